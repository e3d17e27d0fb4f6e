/* What spans of one shape match. A span's shape is its service, name, kind and status. Spans have few shapes, and what a
 * pattern that asks for nothing else says of one it says of all: these patterns are tested once a shape, and not once a
 * span; and of the others it is known which atoms of theirs hold. A small cache, compared in full. */
#ifndef FLUO_SHAPES_H
#define FLUO_SHAPES_H
#include <stdbool.h>
#include <stdint.h>

#include "fluo.h"

struct shapes;

/* A shape of which there is more to say is looked up each time. */
enum { SHAPE_ITEMS = 27 };

/* service and name by where they lie, which says what they are (FLUO_SPAN_LASTING); whether there is a service, kind, status. */
struct shape { uint64_t texts, rest; };

static inline struct shape shape_of(const struct fluo_span *span) {
  uint64_t has_service = span->flags & FLUO_SPAN_SERVICE;
  return (struct shape){(uint64_t)span->service.off << 32 | span->name.off, has_service << 16 | (uint64_t)span->kind << 8 | span->status};
}

static inline bool shape_same(const struct shape *a, const struct shape *b) {
  return a->texts == b->texts && a->rest == b->rest;
}

/* The place of a shape in a table of 2^bits. */
static inline uint32_t shape_place(const struct shape *shape, uint32_t bits) {
  return (uint32_t)((shape->texts ^ shape->rest << 40) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits));
}

struct shape_entry {
  struct shape shape;
  uint16_t hits_next, atoms;   /* how many hits, + 1; 0: empty */
  uint32_t items[SHAPE_ITEMS]; /* patterns that match, and behind them atoms that hold */
};

/* For so many patterns. NULL: no memory. */
struct shapes *shapes_new(uint32_t patterns);
void shapes_free(struct shapes *s);
/* NULL: not known. Valid until the next shapes_put. */
const struct shape_entry *shapes_get(const struct shapes *s, const struct shape *shape);
/* Of the hits those for which `is_of` is true are all that match; more than there is room for are not kept. */
struct shape_list { const uint32_t *items; uint32_t count; };
void shapes_put(struct shapes *s, const struct shape *shape, struct shape_list hits, const uint8_t *is_of, struct shape_list atoms);

#endif
