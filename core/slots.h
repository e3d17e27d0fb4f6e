/* What a span says about the keys that an index knows: a slot a key, filled in one walk of the
 * span. */
#ifndef FLUO_SLOTS_H
#define FLUO_SLOTS_H
#include "index.h"
#include "ruleset.h"

struct slots;

/* x outlives the slots. 0 or FLUO_ENOMEM. */
int slots_new(const struct index *x, struct slots **out);
void slots_free(struct slots *s);

/* Fills the slots from a span; cannot fail. Values are good until the next one, as long as the
 * arena is, and the payload if it is elsewhere. */
void slots_load(struct slots *s, const struct span_view *view);
/* The keys that are there and that some atom is reached by, but for those of the shape, in no particular order; the bytes by
 * which the value of one of these is told from any other that the key may have, NULL: there are none; the value of any key
 * but a field that was not asked for yet, as it came; and of any key with what it is as a number. NULL: the span has none. */
const uint32_t *slots_present(const struct slots *s, uint32_t *count);
const uint8_t *slots_bytes(const struct slots *s, uint32_t key, uint32_t *n);
const struct fluo_value *slots_value(struct slots *s, uint32_t key);
const struct datum *slots_get(struct slots *s, uint32_t key);

#endif
