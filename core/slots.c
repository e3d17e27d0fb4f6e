/* Reading a span once. A slot carries the stamp of the span that filled it, so none is ever
 * cleared. Values lend from the arena, from the copy of the last resource, or from `hex`. Of an
 * attribute only where its value lies is noted: what it is, and what that is as a number, is found
 * out when somebody asks, and so is a field of the span that no value leads on from: most are asked
 * for by nobody. */
#include "slots.h"

#include <endian.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "otlp_head.h"
#include "wire.h"

/* A larger resource is read anew for each span. */
enum { RESOURCE_BYTES_MAX = 4096, ID_FIELDS = 3 };

/* What is known of a value: where it lies, what it is, and what it is as a number. */
enum known { KNOWN_WIRE, KNOWN_VALUE, KNOWN_DATUM };

/* rank 0: under its own name; else which of its other names it is from. */
struct slot {
  uint32_t stamp, absent; /* of the span that has it; of one that was found to lack this field */
  uint32_t rank;
  uint8_t known;
  bool probed, serves; /* as its key: the same for every span */
  uint32_t bytes_count;
  const uint8_t *bytes; /* see slots_bytes; of KNOWN_WIRE an AnyValue */
  struct datum datum;
};

struct slots {
  const struct index *x;
  const struct span_view *view;
  uint32_t stamp;
  struct slot *slots;
  uint32_t *present, present_count; /* keys that are probed */
  uint32_t *serving, serving_count; /* keys whose values others take */
  uint32_t resource_len; /* of the copy; UINT32_MAX: there is none */
  uint32_t resource_off; /* where what it was copied from stays; 0: it may go */
  uint32_t *resource_keys, resource_keys_count;
  char hex[ID_FIELDS][32];
  uint8_t resource[RESOURCE_BYTES_MAX];
};

static inline struct slot *mark(struct slots *s, uint32_t key, uint32_t rank) {
  struct slot *slot = &s->slots[key];
  if (slot->stamp != s->stamp && slot->probed) s->present[s->present_count++] = key;
  if (slot->stamp != s->stamp && slot->serves) s->serving[s->serving_count++] = key;
  slot->stamp = s->stamp;
  slot->rank = rank;
  return slot;
}

static void take_over(struct slot *to, const struct slot *from) {
  to->known = from->known;
  to->bytes = from->bytes;
  to->bytes_count = from->bytes_count;
  to->datum = from->datum;
}

static inline void put_wire(struct slot *slot, const uint8_t *p, uint32_t n) {
  slot->known = KNOWN_WIRE;
  slot->bytes = p;
  slot->bytes_count = n;
}

/* Of an attribute there are no bytes to tell it by then: they would be taken for another's. */
static void put_value(struct slot *slot, const struct fluo_value *value, bool of_attribute) {
  slot->known = KNOWN_VALUE;
  slot->datum.value = *value;
  slot->bytes = !of_attribute && value->type == FLUO_TYPE_STRING ? value->text : NULL;
  slot->bytes_count = value->len;
}

/* ---- one attribute ------------------------------------------------------------------------- */

/* Of any form. The last of the same key wins, since it is put last. */
static void load_odd(struct slots *s, const uint8_t *p, size_t n) {
  struct fluo_item name;
  struct fluo_value value;
  fluo_key_value(p, (uint32_t)n, &name, &value);
  uint32_t key = index_key_find(s->x, FLUO_FIELD_ATTRIBUTE, name.text, name.len);
  if (key != INDEX_KEY_NONE) put_value(mark(s, key, 0), &value, true);
}

/* Nearly all attributes are a KeyValue of a key and a value, in this order, once each, lengths below 128. The byte behind
 * such a one and where its value's tag stands; NULL: this is any other field, or another form. */
static inline const uint8_t *plain_end(const uint8_t *p, const uint8_t *end, const uint8_t **value) {
  if (end - p < 6) return NULL;
  uint32_t head = le32toh(bytes_load32(p)); /* the attribute's tag and length, its key's tag and length */
  const uint8_t *next = p + 2 + p[1], *at = p + 4 + p[3];
  if ((head & 0x80ff80ff) != 0x000a004a || next > end || at + 2 > next) return NULL;
  *value = at;
  return at[0] == 0x12 && at + 2 + at[1] == next ? next : NULL;
}

/* ---- a span -------------------------------------------------------------------------------- */

static char *hex_of(struct slots *s, uint32_t field) {
  return s->hex[field == FLUO_FIELD_TRACE_ID ? 0 : field == FLUO_FIELD_SPAN_ID ? 1 : 2];
}

static bool load_one(struct slots *s, uint32_t field) {
  struct fluo_value value;
  if (!field_get(s->view, field, NULL, 0, hex_of(s, field), &value)) return false;
  put_value(mark(s, field, 0), &value, false);
  return true;
}

static void load_fields(struct slots *s) {
  for (uint32_t left = s->x->fields; left; left &= left - 1) load_one(s, (uint32_t)__builtin_ctz(left));
}

static void load_presence(struct slots *s, uint32_t key) {
  put_value(mark(s, key, 0), &(struct fluo_value){.type = FLUO_TYPE_NONE}, false);
}

static void load_part(struct slots *s, const struct wire_field *field) {
  if (field->type != WIRE_LEN) return;
  if (field->number == 11 && s->x->events)
    load_presence(s, INDEX_KEY_EVENT);
  else if (field->number == 13 && s->x->links)
    load_presence(s, INDEX_KEY_LINK);
}

/* An attribute of 128 bytes or more that is otherwise like nearly all. NULL: any other field, or form. */
__attribute__((noinline))
static const uint8_t *load_long(struct slots *s, const uint8_t *p, const uint8_t *end) {
  struct otlp_bytes attribute, name, value;
  if (!otlp_short_field(p, end, 9, &attribute) || !otlp_short_attribute(attribute, &name, &value)) return NULL;
  uint32_t key = index_attribute_find(s->x, s->x->hints, name.p, name.n);
  if (key != INDEX_KEY_NONE) put_wire(mark(s, key, 0), value.p, (uint32_t)value.n);
  return attribute.p + attribute.n;
}

/* Any field. */
static const uint8_t *load_field(struct slots *s, const uint8_t *p, const uint8_t *end) {
  struct wire_field field;
  p = wire_next(p, end, &field);
  if (p && field.number == 9 && field.type == WIRE_LEN)
    load_odd(s, field.text, field.len);
  else if (p)
    load_part(s, &field);
  return p;
}

static void load_payload(struct slots *s) {
  struct span_payload payload = span_payload(s->view);
  struct index_hints hints = s->x->hints;
  for (const uint8_t *p = payload.p, *end = p + payload.n, *next, *value; p && p < end; p = next) {
    next = plain_end(p, end, &value);
    if (!next) {
      next = load_long(s, p, end);
      if (!next) next = load_field(s, p, end);
      continue;
    }
    uint32_t key = index_attribute_find(s->x, hints, p + 4, p[3]);
    if (key != INDEX_KEY_NONE) put_wire(mark(s, key, 0), value + 2, value[1]);
  }
}

/* Attributes that are absent take the value of one that is there under another name. */
static void load_renamed(struct slots *s) {
  uint32_t direct = s->serving_count;
  for (uint32_t i = 0; i < direct; i++) {
    const struct slot *from = &s->slots[s->serving[i]];
    struct fluo_range list = s->x->keys[s->serving[i]].served;
    for (uint32_t k = 0; k < list.count; k++) {
      struct index_served served = s->x->served[list.first + k];
      const struct slot *to = &s->slots[served.key];
      if (to->stamp == s->stamp && to->rank <= served.rank) continue;
      take_over(mark(s, served.key, served.rank), from);
    }
  }
}

static void read_resource(struct slots *s, const uint8_t *p, uint32_t n) {
  struct fluo_item item = {.next = 0}, name;
  struct fluo_value value;
  s->resource_keys_count = 0;
  while (fluo_item_next(p, n, 1, &item)) {
    fluo_key_value(item.text, item.len, &name, &value);
    uint32_t key = index_key_find(s->x, FLUO_FIELD_RESOURCE, name.text, name.len);
    if (key == INDEX_KEY_NONE) continue;
    if (s->slots[key].stamp != s->stamp) s->resource_keys[s->resource_keys_count++] = key;
    put_value(mark(s, key, 0), &value, false);
  }
}

/* Spans of one resource come in a row, so what the last one said is kept: its slots lend from a
 * copy, since the same place in the arena may hold another resource by now. */
static void load_resource(struct slots *s) {
  struct fluo_text text = s->view->span->resource;
  const uint8_t *p = s->view->arena + text.off;
  uint32_t off = s->view->span->flags & FLUO_SPAN_LASTING ? text.off : 0;
  bool same = text.len == s->resource_len && ((off && off == s->resource_off) || !text.len || !memcmp(p, s->resource, text.len));
  s->resource_off = off;
  if (same) {
    for (uint32_t i = 0; i < s->resource_keys_count; i++) mark(s, s->resource_keys[i], 0);
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
  s->present_count = s->serving_count = 0;
  load_fields(s);
  if (s->x->resources) load_resource(s);
  if (s->x->attributes || s->x->events || s->x->links) load_payload(s);
  if (s->serving_count && view->renamed) load_renamed(s);
}

const uint32_t *slots_present(const struct slots *s, uint32_t *count) {
  *count = s->present_count;
  return s->present;
}

const uint8_t *slots_bytes(const struct slots *s, uint32_t key, uint32_t *n) {
  const struct slot *slot = &s->slots[key];
  *n = slot->bytes_count;
  return slot->probed ? slot->bytes : NULL;
}

/* A field that was not loaded since no atom is reached by it, or only by way of its shape. */
static bool load_late(struct slots *s, uint32_t field) {
  struct slot *slot = &s->slots[field];
  if (field <= INDEX_KEY_LINK || field >= FLUO_FIELD_EVENT_NAME || slot->absent == s->stamp)
    return false;
  slot->absent = s->stamp;
  return load_one(s, field);
}

static inline void read_value(struct slot *slot) {
  if (slot->known != KNOWN_WIRE) return;
  fluo_any_value(slot->bytes, slot->bytes_count, &slot->datum.value);
  slot->known = KNOWN_VALUE;
}

const struct fluo_value *slots_value(struct slots *s, uint32_t key) {
  struct slot *slot = &s->slots[key];
  if (slot->stamp != s->stamp) return NULL;
  read_value(slot);
  return &slot->datum.value;
}

const struct datum *slots_get(struct slots *s, uint32_t key) {
  struct slot *slot = &s->slots[key];
  if (slot->stamp != s->stamp && !load_late(s, key)) return NULL;
  read_value(slot);
  if (slot->known != KNOWN_DATUM) {
    datum_number(&slot->datum);
    slot->known = KNOWN_DATUM;
  }
  return &slot->datum;
}

int slots_new(const struct index *x, struct slots **out) {
  struct slots *s = heap_zalloc(sizeof *s);
  if (!s) return FLUO_ENOMEM;
  s->x = x;
  s->resource_len = UINT32_MAX;
  s->slots = heap_zalloc(x->keys_count * sizeof *s->slots);
  s->present = heap_alloc(x->keys_count * sizeof *s->present);
  s->serving = heap_alloc(x->keys_count * sizeof *s->serving);
  s->resource_keys = heap_alloc(x->keys_count * sizeof *s->resource_keys);
  if (!s->slots || !s->present || !s->serving || !s->resource_keys) {
    slots_free(s);
    return FLUO_ENOMEM;
  }
  for (uint32_t i = 0; i < x->keys_count; i++) {
    s->slots[i].probed = x->keys[i].probed && !index_is_of_shape(i);
    s->slots[i].serves = x->keys[i].served.count;
  }
  *out = s;
  return 0;
}

void slots_free(struct slots *s) {
  if (!s) return;
  heap_free(s->slots);
  heap_free(s->present);
  heap_free(s->serving);
  heap_free(s->resource_keys);
  heap_free(s);
}
