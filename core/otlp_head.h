/* The beginning of a Span as nearly every client writes it, read in one go by both passes: ids, name, kind and times in the
 * order of their numbers, once each, no length of more than a byte; and fields and attributes with lengths of up to two. Not
 * part of any contract. */
#ifndef FLUO_OTLP_HEAD_H
#define FLUO_OTLP_HEAD_H
#include "otlp.h"
#include "wire_inline.h"

struct otlp_ids { struct otlp_bytes trace, span, parent; };

struct otlp_head {
  struct otlp_ids ids;                /* parent: n = 0 where there is none */
  struct otlp_bytes name;
  uint32_t kind;
  uint64_t start_ns, end_ns;
};

enum {
  OTLP_HEAD_FIELDS = 1 << 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,   /* and 4 where there is a parent */
  OTLP_HEAD_IDS = 18 + 10,            /* trace_id and span_id, tags and lengths included */
  OTLP_HEAD_PARENT = 10,
  OTLP_HEAD_TAIL = 2 + 9 + 9          /* kind and times */
};

/* A field of this number, below 16, whose length takes two bytes at most: where its text lies. false: any other. */
static inline bool otlp_short_field(const uint8_t *p, const uint8_t *end, uint32_t number, struct otlp_bytes *text) {
  if (end - p < 3 || p[0] != (number << 3 | WIRE_LEN)) return false;
  bool two = p[1] >= 0x80;
  if (two && p[2] >= 0x80) return false;
  text->p = p + 2 + two;
  text->n = two ? (p[1] & 0x7fu) | (size_t)p[2] << 7 : p[1];
  return text->n <= (size_t)(end - text->p);
}

/* The same of a KeyValue: a key and then a value, once each. */
static inline bool otlp_short_attribute(struct otlp_bytes attribute, struct otlp_bytes *key, struct otlp_bytes *value) {
  const uint8_t *end = attribute.p + attribute.n;
  return otlp_short_field(attribute.p, end, 1, key) && otlp_short_field(key->p + key->n, end, 2, value) && value->p + value->n == end;
}

static inline uint64_t otlp_head_fixed64(const uint8_t *p) {
  uint64_t value;
  memcpy(&value, p, 8);
  return le64toh(value);
}

static inline bool otlp_head_tag(const uint8_t *p, uint8_t tag, uint8_t second) {
  return p[0] == tag && p[1] == second;
}

/* The byte after it; NULL: it begins in another way, and nothing is said about it. What follows may be any field, one of
 * these too, which then counts instead. */
static inline const uint8_t *otlp_head_read(const uint8_t *p, const uint8_t *end, struct otlp_head *h) {
  if (end - p < OTLP_HEAD_IDS + OTLP_HEAD_PARENT + 2 + OTLP_HEAD_TAIL) return NULL;
  if (!otlp_head_tag(p, 0x0a, 16) || !otlp_head_tag(p + 18, 0x12, 8)) return NULL;
  h->ids.trace = (struct otlp_bytes){p + 2, 16};
  h->ids.span = (struct otlp_bytes){p + 20, 8};
  h->ids.parent = (struct otlp_bytes){NULL, 0};
  p += OTLP_HEAD_IDS;
  if (otlp_head_tag(p, 0x22, 8)) {
    h->ids.parent = (struct otlp_bytes){p + 2, 8};
    p += OTLP_HEAD_PARENT;
  }
  if (p[0] != 0x2a || p[1] >= 0x80 || end - p < p[1] + 2 + OTLP_HEAD_TAIL) return NULL;
  h->name = (struct otlp_bytes){p + 2, p[1]};
  p += p[1] + 2;
  if (p[0] != 0x30 || p[1] >= 0x80 || p[2] != 0x39 || p[11] != 0x41) return NULL;
  h->kind = p[1];
  h->start_ns = otlp_head_fixed64(p + 3);
  h->end_ns = otlp_head_fixed64(p + 12);
  return p + OTLP_HEAD_TAIL;
}

/* Whether an id has this many bytes, 8 or 16, and a bit in them. */
static inline bool otlp_id_valid(struct otlp_bytes id, size_t wanted) {
  uint64_t first, last;
  if (id.n != wanted) return false;
  memcpy(&first, id.p, 8);
  memcpy(&last, id.p + wanted - 8, 8);
  return (first | last) != 0;
}

static inline bool otlp_ids_valid(const struct otlp_ids *ids) {
  return otlp_id_valid(ids->trace, 16) && otlp_id_valid(ids->span, 8) && (ids->parent.n == 0 || ids->parent.n == 8);
}

#endif
