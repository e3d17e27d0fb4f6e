/* What a window's series amounts to, and what that is compared with. window.c's own. */
#ifndef FLUO_WINDOW_LIMIT_H
#define FLUO_WINDOW_LIMIT_H
#include "window.h"

/* The aggregate; NaN: it has no value. */
double window_value(const struct window_terms *terms, const struct series *s);
/* Whether `over`, `at_least`, `under` or `at_most` can be told of the aggregate by how many numbers lie above a limit, and
 * which that is. */
bool window_is_ranked(const struct window_terms *terms);
double window_rank_limit(const struct window_terms *terms, double threshold);
/* The comparison, of a series of that limit. */
bool window_rank_compares(const struct window_terms *terms, const struct series *s);
bool window_compares(double value, uint32_t compare, double threshold);
/* What the value is compared with at t_ns; of two things that are normal, by that which is farther off, and *normal is
 * that one. NaN: with nothing. baseline: NULL where there is none, or none yet. */
double window_limit(const struct window_terms *terms, const struct series *s, const struct baseline *baseline,
                    uint64_t t_ns, double value, struct baseline_normal *normal);
/* The limit with its distance from what is normal, else from zero, widened by so many thousandths. The ends of a scale
 * are never reached: above zero a lower limit stays above it, a ratio's upper one that is below one stays below. */
double window_widened(const struct window_terms *terms, const struct baseline_normal *normal, double limit, uint32_t widening);

#endif
