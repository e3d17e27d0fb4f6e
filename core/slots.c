/* Reading a span once. A slot carries the stamp of the span that filled it, so none is ever
 * cleared. Values lend from the arena, from the copy of the last resource, or from `hex`. What a
 * text is as a number, and a field of the span that no value leads on from, is found out when
 * somebody asks: most are asked for by nobody.
 *
 * Spans of one library have their attributes in one order, so the name that stood at the same place
 * of the span before is tried first: comparing is cheaper than hashing. */
#include "slots.h"

#include <string.h>

#include "bytes.h"
#include "err.h"
#include "heap.h"
#include "wire.h"

/* A larger resource is read anew for each span. */
enum { RESOURCE_BYTES_MAX = 4096, ID_FIELDS = 3, PLACES = 32, PLACE_BYTES_MAX = 59, PLACE_EMPTY = 255 };

/* rank 0: under its own name; else which of its other names it is from. */
struct slot {
  uint32_t stamp, absent; /* of the span that has it; of one that was found to lack this field */
  uint32_t rank;
  bool whole; /* the datum's number is known, not only its value */
  struct datum datum;
};

/* The attribute that stood at a place of the span before, as its KeyValue began: the name with its
 * tag and length, and the value's tag. */
struct place {
  uint32_t key;
  uint8_t len, start[PLACE_BYTES_MAX]; /* len PLACE_EMPTY: none */
};

struct slots {
  const struct index *x;
  const struct span_view *view;
  uint32_t stamp;
  uint32_t present_count;
  struct slot *slots;
  uint32_t *present;
  uint32_t resource_len; /* of the copy; UINT32_MAX: there is none */
  uint32_t *resource_keys, resource_keys_count;
  char hex[ID_FIELDS][32];
  struct place places[PLACES];
  uint8_t resource[RESOURCE_BYTES_MAX];
};

/* Where the value of a key is written, before it is marked. Not by way of a copy: a processor that reads whole what
 * was just written in parts waits for it, five times a span. */
static inline struct fluo_value *place_of(struct slots *s, uint32_t key) {
  return &s->slots[key].datum.value;
}

static inline void mark(struct slots *s, uint32_t key, uint32_t rank) {
  struct slot *slot = &s->slots[key];
  if (slot->stamp != s->stamp) s->present[s->present_count++] = key;
  slot->stamp = s->stamp;
  slot->rank = rank;
  slot->whole = false;
}

/* ---- one attribute ------------------------------------------------------------------------- */

/* Nearly all are a KeyValue of a key and a value, in this order, once each, lengths below 128: then
 * the value is what is left behind the key and two bytes. Anything else is left to the reader that
 * takes all forms. The bytes up to where the value's length stands, or 0. */
static inline uint32_t start_bytes(const uint8_t *p, uint32_t n) {
  if (n < 4 || p[0] != 0x0a || p[1] >= 0x80 || p[1] + 4u > n) return 0;
  uint32_t start = p[1] + 3u;
  return p[start - 1] == 0x12 && p[start] < 0x80 && start + 1 + p[start] == n ? start : 0;
}

/* A varint that fills the n bytes at p. false: it does not, or it is one that only the reader of all
 * forms takes. */
static inline bool int_read(const uint8_t *p, uint32_t n, int64_t *out) {
  uint64_t value = 0;
  if (n > 8 || p[n - 1] >= 0x80) return false;
  for (uint32_t i = n; i--;) {
    if (i + 1 < n && p[i] < 0x80) return false;
    value = value << 7 | (p[i] & 0x7f);
  }
  *out = (int64_t)value;
  return true;
}

/* An AnyValue; a short string or an int, and nothing else, without a call. */
static inline void value_read(const uint8_t *p, uint32_t n, struct fluo_value *out) {
  int64_t integer;
  if (n >= 2 && p[0] == 0x0a && p[1] < 0x80 && p[1] + 2u == n)
    *out = (struct fluo_value){.type = FLUO_TYPE_STRING, .text = p + 2, .len = p[1]};
  else if (n >= 2 && p[0] == 0x18 && int_read(p + 1, n - 1, &integer))
    *out = (struct fluo_value){.type = FLUO_TYPE_INT, .integer = integer};
  else
    fluo_any_value(p, n, out);
}

static void place_fill(struct slots *s, struct place *place, const uint8_t *p, uint32_t start) {
  place->key = index_key_find(s->x, FLUO_FIELD_ATTRIBUTE, p + 2, start - 3);
  place->len = (uint8_t)start;
  memcpy(place->start, p, start);
}

/* Of any form. */
static void load_odd(struct slots *s, uint32_t field, const uint8_t *p, uint32_t n) {
  struct fluo_item name;
  struct fluo_value value;
  fluo_key_value(p, n, &name, &value);
  uint32_t key = index_key_find(s->x, field, name.text, name.len);
  if (key == INDEX_KEY_NONE) return;
  *place_of(s, key) = value;
  mark(s, key, 0);
}

/* Out of line, as load_unknown is: the walk past attributes that nobody asks for stays short. */
__attribute__((noinline))
static void load_value(struct slots *s, uint32_t key, const uint8_t *p, uint32_t n) {
  value_read(p, n, place_of(s, key));
  mark(s, key, 0);
}

__attribute__((noinline))
static void load_unknown(struct slots *s, struct place *place, const uint8_t *p, uint32_t n) {
  uint32_t start = start_bytes(p, n);
  if (!start || start > PLACE_BYTES_MAX) {
    load_odd(s, FLUO_FIELD_ATTRIBUTE, p, n);
    return;
  }
  place_fill(s, place, p, start);
  if (place->key != INDEX_KEY_NONE) load_value(s, place->key, p + start + 1, p[start]);
}

/* One of less than 128 bytes, as most are. The last of the same key wins, since it is put last. */
static inline void load_attribute(struct slots *s, struct place *place, const uint8_t *p, uint32_t n) {
  uint32_t start = place->len;
  if (n <= start || start + 1 + p[start] != n || !bytes_same(place->start, p, start))
    load_unknown(s, place, p, n);
  else if (place->key != INDEX_KEY_NONE)
    load_value(s, place->key, p + start + 1, p[start]);
}

/* ---- a span -------------------------------------------------------------------------------- */

static char *hex_of(struct slots *s, uint32_t field) {
  return s->hex[field == FLUO_FIELD_TRACE_ID ? 0 : field == FLUO_FIELD_SPAN_ID ? 1 : 2];
}

static void load_fields(struct slots *s) {
  for (uint32_t left = s->x->fields; left; left &= left - 1) {
    uint32_t field = (uint32_t)__builtin_ctz(left);
    if (field_get(s->view, field, NULL, 0, hex_of(s, field), place_of(s, field))) mark(s, field, 0);
  }
}

static void load_presence(struct slots *s, uint32_t key) {
  *place_of(s, key) = (struct fluo_value){.type = FLUO_TYPE_NONE};
  mark(s, key, 0);
}

static void load_part(struct slots *s, const struct wire_field *field) {
  if (field->type != WIRE_LEN) return;
  if (field->number == 11 && s->x->events)
    load_presence(s, INDEX_KEY_EVENT);
  else if (field->number == 13 && s->x->links)
    load_presence(s, INDEX_KEY_LINK);
}

/* Any field that is no attribute as above: also one whose length is written with more bytes than it
 * takes, as all are that were JSON. */
static const uint8_t *load_field(struct slots *s, struct place *place, const uint8_t *p, const uint8_t *end) {
  struct wire_field field;
  p = wire_next(p, end, &field);
  if (!p) return NULL;
  if (field.number != 9 || field.type != WIRE_LEN)
    load_part(s, &field);
  else if (s->x->attributes && field.len < 0x80)
    load_attribute(s, place, field.text, (uint32_t)field.len);
  else if (s->x->attributes)
    load_odd(s, FLUO_FIELD_ATTRIBUTE, field.text, (uint32_t)field.len);
  return p;
}

static void load_payload(struct slots *s) {
  struct span_payload payload = span_payload(s->view);
  struct place *place = s->places;
  bool attributes = s->x->attributes;
  for (const uint8_t *p = payload.p, *end = p + payload.n; p && p < end;) {
    uint32_t n = end - p > 1 && p[0] == 0x4a ? p[1] : UINT8_MAX;
    if (n >= 0x80 || end - p < n + 2) {
      p = load_field(s, place, p, end);
    } else {
      if (attributes) load_attribute(s, place, p + 2, n);
      p += n + 2;
    }
    if (++place == s->places + PLACES) place = s->places;
  }
}

/* Attributes that are absent take the value of one that is there under another name. */
static void load_renamed(struct slots *s) {
  uint32_t direct = s->present_count;
  for (uint32_t i = 0; i < direct; i++) {
    const struct index_key *key = &s->x->keys[s->present[i]];
    for (uint32_t k = 0; k < key->served.count; k++) {
      struct index_served served = s->x->served[key->served.first + k];
      const struct slot *slot = &s->slots[served.key];
      if (slot->stamp == s->stamp && slot->rank <= served.rank) continue;
      *place_of(s, served.key) = *place_of(s, s->present[i]);
      mark(s, served.key, served.rank);
    }
  }
}

static void read_resource(struct slots *s, const uint8_t *p, uint32_t n) {
  struct fluo_item item = {.next = 0};
  uint32_t before = s->present_count;
  while (fluo_item_next(p, n, 1, &item)) load_odd(s, FLUO_FIELD_RESOURCE, item.text, item.len);
  s->resource_keys_count = s->present_count - before;
  memcpy(s->resource_keys, s->present + before, s->resource_keys_count * sizeof *s->resource_keys);
}

/* Spans of one resource come in a row, so what the last one said is kept: its slots lend from a
 * copy, since the same place in the arena may hold another resource by now. */
static void load_resource(struct slots *s) {
  struct fluo_text text = s->view->span->resource;
  const uint8_t *p = s->view->arena + text.off;
  if (text.len == s->resource_len && (text.len == 0 || memcmp(p, s->resource, text.len) == 0)) {
    for (uint32_t i = 0; i < s->resource_keys_count; i++) {
      s->slots[s->resource_keys[i]].stamp = s->stamp;
      s->present[s->present_count++] = s->resource_keys[i];
    }
    return;
  }
  s->resource_len = UINT32_MAX;
  if (text.len <= RESOURCE_BYTES_MAX) {
    if (text.len) memcpy(s->resource, p, text.len);
    s->resource_len = text.len;
    p = s->resource;
  }
  read_resource(s, p, text.len);
}

void slots_load(struct slots *s, const struct span_view *view) {
  if (++s->stamp == 0) {
    /* After 2^32 spans the oldest values would come back to life. */
    for (uint32_t i = 0; i < s->x->keys_count; i++) s->slots[i].stamp = s->slots[i].absent = 0;
    s->stamp = 1;
  }
  s->view = view;
  s->present_count = 0;
  load_fields(s);
  if (s->x->resources) load_resource(s);
  if (s->x->attributes || s->x->events || s->x->links) load_payload(s);
  if (s->x->served && view->renamed) load_renamed(s);
}

const uint32_t *slots_present(const struct slots *s, uint32_t *count) {
  *count = s->present_count;
  return s->present;
}

const struct fluo_value *slots_value(const struct slots *s, uint32_t key) {
  const struct slot *slot = &s->slots[key];
  return slot->stamp == s->stamp ? &slot->datum.value : NULL;
}

/* A field that was not loaded since no atom is reached by it. */
static bool load_late(struct slots *s, uint32_t field) {
  struct slot *slot = &s->slots[field];
  struct fluo_value value;
  if (field <= INDEX_KEY_LINK || field >= FLUO_FIELD_EVENT_NAME || slot->absent == s->stamp)
    return false;
  slot->absent = s->stamp;
  if (!field_get(s->view, field, NULL, 0, hex_of(s, field), &value)) return false;
  slot->stamp = s->stamp;
  slot->whole = false;
  slot->datum.value = value;
  return true;
}

const struct datum *slots_get(struct slots *s, uint32_t key) {
  struct slot *slot = &s->slots[key];
  if (slot->stamp != s->stamp && !load_late(s, key)) return NULL;
  if (!slot->whole) {
    struct fluo_value value = slot->datum.value;
    datum_init(&slot->datum, &value);
    slot->whole = true;
  }
  return &slot->datum;
}

int slots_new(const struct index *x, struct slots **out) {
  struct slots *s = heap_zalloc(sizeof *s);
  if (!s) return FLUO_ENOMEM;
  s->x = x;
  s->resource_len = UINT32_MAX;
  for (uint32_t i = 0; i < PLACES; i++) s->places[i].len = PLACE_EMPTY;
  s->slots = heap_zalloc(x->keys_count * sizeof *s->slots);
  s->present = heap_alloc(x->keys_count * sizeof *s->present);
  s->resource_keys = heap_alloc(x->keys_count * sizeof *s->resource_keys);
  if (!s->slots || !s->present || !s->resource_keys) {
    slots_free(s);
    return FLUO_ENOMEM;
  }
  *out = s;
  return 0;
}

void slots_free(struct slots *s) {
  if (!s) return;
  heap_free(s->slots);
  heap_free(s->present);
  heap_free(s->resource_keys);
  heap_free(s);
}
