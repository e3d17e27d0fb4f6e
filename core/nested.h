/* Patterns of the events and links of a span: one of them has to satisfy all of the pattern.
 * Functions make that Kleene's `or`: one event for which it is true, else unknown while any is. */
#ifndef FLUO_NESTED_H
#define FLUO_NESTED_H
#include "answers.h"
#include "atom.h"
#include "formula.h"
#include "ir.h"
#include "ruleset.h"
#include "wire.h"

struct nested;

/* nodes_max: of any pattern. 0 or FLUO_ENOMEM. */
int nested_new(const struct ir *ir, const struct atoms *atoms, uint32_t nodes_max,
               struct nested **out);
void nested_free(struct nested *n);

/* Where a pattern is looked at: of which span, with what is answered so far. Lent. */
struct nested_view {
  const struct span_view *span;
  const struct answers *answers;
  struct regex_scratch *regex;
};

/* Whether an event (or link, by the pattern's object) of the span satisfies the pattern. */
enum fluo_truth nested_test(struct nested *n, const struct nested_view *view, uint32_t pattern);

/* After a nested_test that came to unknown: calls on_ask for every function that can still decide
 * about an event (or link), by its index among the span's, from 0; until on_ask is false. */
typedef bool nested_on_ask(void *ctx, uint32_t function, uint32_t object);
void nested_asks(struct nested *n, const struct nested_view *view, uint32_t pattern,
                 nested_on_ask *on_ask, void *ctx);

#endif
