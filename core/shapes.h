/* What spans of one shape match. A span's shape is its service, name, kind and status. Spans have few shapes, and what a
 * pattern that asks for nothing else says of one it says of all: these patterns are tested once a shape, and not once a
 * span. A small cache, compared in full. */
#ifndef FLUO_SHAPES_H
#define FLUO_SHAPES_H
#include <stdint.h>

#include "fluo.h"

struct shapes;

/* Of a shape that more patterns match all are tested each time. */
enum { SHAPE_HITS = 28 };

/* The texts by their ids in a memo, 0: the span has none, or nobody asks. */
struct shape { uint32_t service, name; uint8_t kind, status; };

/* NULL: no memory. */
struct shapes *shapes_new(void);
void shapes_free(struct shapes *s);
/* The patterns that match, *count of them; NULL: not known. Valid until the next shapes_put. */
const uint32_t *shapes_get(const struct shapes *s, const struct shape *shape, uint32_t *count);
/* Of the hits those for which `is_of` is true are all that match; more than SHAPE_HITS are not kept. */
void shapes_put(struct shapes *s, const struct shape *shape, const uint32_t *hits, uint32_t count, const uint8_t *is_of);
/* Nothing is known any more. */
void shapes_clear(struct shapes *s);

#endif
