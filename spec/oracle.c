/* Decodes a body twice and compares. A span's payload, its resource and its scope are compared
 * by what protobuf-c writes when it packs them again: that is blind to order among different
 * fields, padding and pieces, as a reader should be. Unknown fields of the Span itself are not
 * kept, so they are taken out. */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "otlp.pb-c.h"
#include "otlp_schema.h"
#include "wire.h"

struct compare {
  Fluo__Otlp__Request *request;
  size_t resource, scope, span;      /* the next one */
  char *why;
};

#define DIFFER(c, ...) (snprintf((c)->why, 256, __VA_ARGS__), 1)

int64_t oracle_spans(const uint8_t *body, size_t n) {
  Fluo__Otlp__Request *r = fluo__otlp__request__unpack(NULL, n, body);
  if (!r) return -1;
  int64_t spans = 0;
  for (size_t i = 0; i < r->n_resource_spans; i++)
    for (size_t j = 0; j < r->resource_spans[i]->n_scope_spans; j++)
      spans += (int64_t)r->resource_spans[i]->scope_spans[j]->n_spans;
  fluo__otlp__request__free_unpacked(r, NULL);
  return spans;
}

static bool same_bytes(ProtobufCBinaryData a, struct otlp_bytes b) {
  return a.len == b.n && (b.n == 0 || memcmp(a.data, b.p, b.n) == 0);
}

/* Packs a message without its own unknown fields: merging pieces, protobuf-c forgets those of
 * the first. */
static uint8_t *pack_known(ProtobufCMessage *message, size_t *n) {
  unsigned unknown = message->n_unknown_fields;
  message->n_unknown_fields = 0;
  *n = protobuf_c_message_get_packed_size(message);
  uint8_t *out = malloc(*n + 1);
  protobuf_c_message_pack(message, out);
  message->n_unknown_fields = unknown;
  return out;
}

/* Whether `bytes` unpack to what `wanted` is (NULL: to nothing). */
static bool same_message(ProtobufCMessage *wanted, const ProtobufCMessageDescriptor *type,
                         struct otlp_bytes bytes) {
  ProtobufCMessage *ours = protobuf_c_message_unpack(type, NULL, bytes.n, bytes.p);
  if (!ours) return false;
  size_t n, m = 0;
  uint8_t *a = pack_known(ours, &n), *b = wanted ? pack_known(wanted, &m) : NULL;
  bool same = n == m && (n == 0 || memcmp(a, b, n) == 0);
  free(a);
  free(b);
  protobuf_c_message_free_unpacked(ours, NULL);
  return same;
}

static bool same_value(const Fluo__Otlp__AnyValue *a, const struct fluo_value *b) {
  struct otlp_bytes text = {b->text, b->len};
  const ProtobufCMessageDescriptor *array = &fluo__otlp__array_value__descriptor;
  const ProtobufCMessageDescriptor *map = &fluo__otlp__key_value_list__descriptor;
  switch (a ? a->value_case : FLUO__OTLP__ANY_VALUE__VALUE__NOT_SET) {
    case FLUO__OTLP__ANY_VALUE__VALUE_STRING_VALUE:
      return b->type == FLUO_TYPE_STRING && same_bytes(a->string_value, text);
    case FLUO__OTLP__ANY_VALUE__VALUE_BYTES_VALUE:
      return b->type == FLUO_TYPE_BYTES && same_bytes(a->bytes_value, text);
    case FLUO__OTLP__ANY_VALUE__VALUE_BOOL_VALUE:
      return b->type == FLUO_TYPE_BOOL && b->integer == (a->bool_value != 0);
    case FLUO__OTLP__ANY_VALUE__VALUE_INT_VALUE:
      return b->type == FLUO_TYPE_INT && b->integer == a->int_value;
    case FLUO__OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE:
      return b->type == FLUO_TYPE_DOUBLE && memcmp(&b->number, &a->double_value, 8) == 0;
    case FLUO__OTLP__ANY_VALUE__VALUE_ARRAY_VALUE:
      return b->type == FLUO_TYPE_ARRAY && same_message(&a->array_value->base, array, text);
    case FLUO__OTLP__ANY_VALUE__VALUE_KVLIST_VALUE:
      return b->type == FLUO_TYPE_MAP && same_message(&a->kvlist_value->base, map, text);
    default: return b->type == FLUO_TYPE_NONE;
  }
}

/* Every attribute: in order, and by its key (of equal keys the last). */
static int compare_attributes(struct compare *c, Fluo__Otlp__KeyValue **all, size_t n,
                              struct otlp_bytes message, uint32_t number) {
  struct fluo_item item = {0};
  for (size_t i = 0; i < n; i++) {
    struct fluo_item key;
    struct fluo_value value;
    if (!fluo_item_next(message.p, (uint32_t)message.n, number, &item))
      return DIFFER(c, "attribute lost");
    fluo_key_value(item.text, item.len, &key, &value);
    if (!same_bytes(all[i]->key, (struct otlp_bytes){key.text, key.len}))
      return DIFFER(c, "other key");
    if (!same_value(all[i]->value, &value))
      return DIFFER(c, "other value of %.*s", (int)key.len, key.text);
    size_t last = i;
    for (size_t j = i + 1; j < n && n < 64; j++)
      if (same_bytes(all[j]->key, (struct otlp_bytes){key.text, key.len})) last = j;
    if (n >= 64) continue;
    const char *name = (const char *)key.text;
    if (!fluo_attribute(message.p, (uint32_t)message.n, number, name, key.len, &value))
      return DIFFER(c, "no attribute by its key");
    if (!same_value(all[last]->value, &value)) return DIFFER(c, "not the last of a key");
  }
  if (fluo_item_next(message.p, (uint32_t)message.n, number, &item))
    return DIFFER(c, "extra attribute");
  return 0;
}

static bool id_is_bad(ProtobufCBinaryData id, size_t wanted) {
  uint8_t any = 0;
  for (size_t i = 0; i < id.len; i++) any |= id.data[i];
  return id.len != wanted || !any;
}

static int compare_ids(struct compare *c, const Fluo__Otlp__Span *s, const struct otlp_span *ours) {
  bool parent_is_bad = s->parent_span_id.len != 0 && s->parent_span_id.len != 8;
  bool bad = id_is_bad(s->trace_id, 16) || id_is_bad(s->span_id, 8) || parent_is_bad;
  if (bad != (ours->rejected == OTLP_INVALID_ID)) return DIFFER(c, "one of us rejects the span");
  if (bad) return 0;
  static const uint8_t none[8];
  const uint8_t *parent = s->parent_span_id.len ? s->parent_span_id.data : none;
  if (memcmp(s->trace_id.data, ours->trace_id, 16) || memcmp(s->span_id.data, ours->span_id, 8) ||
      memcmp(parent, ours->parent_id, 8))
    return DIFFER(c, "other ids");
  return 0;
}

static int compare_scalars(struct compare *c, const Fluo__Otlp__Span *s,
                           const struct otlp_span *ours) {
  uint32_t kind = s->kind >= 0 && s->kind <= 5 ? (uint32_t)s->kind : 0;
  uint32_t status =
      s->status && s->status->code >= 0 && s->status->code <= 2 ? (uint32_t)s->status->code : 0;
  if (!same_bytes(s->name, ours->name)) return DIFFER(c, "other name");
  if (kind != ours->kind || status != ours->status) return DIFFER(c, "other kind or status");
  if (s->start_time_unix_nano != ours->start_ns || s->end_time_unix_nano != ours->end_ns)
    return DIFFER(c, "other times");
  if (s->dropped_events_count != ours->dropped_events) return DIFFER(c, "other dropped events");
  return 0;
}

static int compare_payload(struct compare *c, Fluo__Otlp__Span *s, const struct otlp_span *ours) {
  Fluo__Otlp__Span kept = *s;
  ProtobufCBinaryData none = {0};
  kept.trace_id = kept.span_id = kept.parent_span_id = kept.name = none;
  kept.kind = 0;
  kept.start_time_unix_nano = kept.end_time_unix_nano = 0;
  uint8_t *payload = malloc(ours->payload_bytes + 1);
  otlp_payload(ours, payload);
  struct otlp_bytes bytes = {payload, ours->payload_bytes};
  int differ = compare_attributes(c, s->attributes, s->n_attributes, bytes, 9);
  if (!differ && !same_message(&kept.base, &fluo__otlp__span__descriptor, bytes))
    differ = DIFFER(c, "other payload");
  free(payload);
  return differ;
}

static int compare_span(struct compare *c, Fluo__Otlp__ResourceSpans *r,
                        Fluo__Otlp__ScopeSpans *scope, Fluo__Otlp__Span *s,
                        const struct otlp_span *ours) {
  Fluo__Otlp__Resource *resource = r->resource;
  if (ours->rejected == OTLP_TOO_LARGE) return 0;
  if (!same_message(resource ? &resource->base : NULL, &fluo__otlp__resource__descriptor,
                    ours->resource))
    return DIFFER(c, "other resource");
  if (!same_message(scope->scope ? &scope->scope->base : NULL, &fluo__otlp__scope__descriptor,
                    ours->scope))
    return DIFFER(c, "other scope");
  if (resource &&
      compare_attributes(c, resource->attributes, resource->n_attributes, ours->resource, 1))
    return 1;
  if (compare_ids(c, s, ours) || compare_scalars(c, s, ours)) return 1;
  return ours->rejected ? 0 : compare_payload(c, s, ours);
}

static int on_span(void *ctx, const struct otlp_span *ours) {
  struct compare *c = ctx;
  for (; c->resource < c->request->n_resource_spans; c->resource++, c->scope = 0) {
    Fluo__Otlp__ResourceSpans *r = c->request->resource_spans[c->resource];
    for (; c->scope < r->n_scope_spans; c->scope++, c->span = 0) {
      Fluo__Otlp__ScopeSpans *scope = r->scope_spans[c->scope];
      if (c->span < scope->n_spans) return compare_span(c, r, scope, scope->spans[c->span++], ours);
    }
  }
  return DIFFER(c, "a span that protobuf-c does not see");
}

/* A message given twice where one belongs, somewhere. Merging them protobuf-c 1.4.1 loses
 * scalars of the first and refuses an empty AnyValue; those are its mistakes. What we make of
 * it, specs say themselves. */
static bool has_pieces(uint32_t message, struct otlp_bytes text) {
  struct wire_field field;
  uint32_t seen = 0;
  for (const uint8_t *p = text.p, *end = p + text.n; p < end && (p = wire_next(p, end, &field));) {
    if (field.number >= OTLP_FIELDS || field.type != WIRE_LEN) continue;
    const struct otlp_field *known = &otlp_shapes[message].fields[field.number];
    if (known->kind != OTLP_MESSAGE) continue;
    if (!known->repeated && (seen >> field.number & 1)) return true;
    seen |= (uint32_t)1 << field.number;
    if (has_pieces(known->child, (struct otlp_bytes){field.text, field.len})) return true;
  }
  return false;
}

/* protobuf-c takes padded zero tags, numbers past 2^29 - 1 and a bool of any wire type: no
 * encoder writes those, and the reference implementation refuses the first two. */
static bool is_lenient(const char *what) {
  return strstr(what, "no field") || strstr(what, "boolValue: of a wrong wire type");
}

static int compare_body(struct compare *c, const uint8_t *body, size_t n, int err, const char *what,
                        const struct otlp_summary *summary) {
  if (!c->request) return err ? 0 : DIFFER(c, "only protobuf-c refuses it");
  if (err) return is_lenient(what) ? 2 : DIFFER(c, "only we refuse it: %s", what);
  if (otlp_each(body, n, summary, on_span, c)) return 1;
  return oracle_spans(body, n) == summary->spans ? 0 : DIFFER(c, "other number of spans");
}

int oracle_compare(const uint8_t *body, size_t n, const struct otlp_limits *limits, char why[256]) {
  struct otlp_summary summary;
  struct otlp_fault fault;
  int err = otlp_check(body, n, limits, &summary, &fault);
  if (err == FLUO_EDEPTH || err == FLUO_ETOOMANY || err == FLUO_ETOOLARGE) return 2;
  struct compare c = {.request = fluo__otlp__request__unpack(NULL, n, body), .why = why};
  int differ = compare_body(&c, body, n, err, fault.what, &summary);
  if (c.request) fluo__otlp__request__free_unpacked(c.request, NULL);
  return differ == 1 && has_pieces(OTLP_REQUEST, (struct otlp_bytes){body, n}) ? 2 : differ;
}
