/* Patterns of the events and links of a span: one of them has to satisfy all of the pattern. */
#ifndef FLUO_NESTED_H
#define FLUO_NESTED_H
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

/* Whether an event (or link, by the pattern's object) of the span satisfies the pattern. */
enum fluo_truth nested_test(struct nested *n, const struct span_view *view, uint32_t pattern,
                            struct regex_scratch *regex);

#endif
