/* Fields of a span in the arena. Nothing is copied: text is lent from the arena, names of closed
 * sets from constants, ids as hex from the caller's scratch. */
#include "field.h"

#include <string.h>

#include "rename.h"
#include "value.h"

static bool give_text(const uint8_t *p, size_t n, struct fluo_value *out) {
  *out = (struct fluo_value){.type = FLUO_TYPE_STRING, .text = p, .len = (uint32_t)n};
  return true;
}

static bool give_name(const char *name, struct fluo_value *out) {
  return give_text((const uint8_t *)name, strlen(name), out);
}

/* Unix times beyond the year 2262 do not fit: the latest one that does stands for them. */
static bool give_ns(uint64_t ns, struct fluo_value *out) {
  int64_t integer = ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
  *out = (struct fluo_value){.type = FLUO_TYPE_INT, .integer = integer};
  return true;
}

static bool give_bool(bool truth, struct fluo_value *out) {
  *out = (struct fluo_value){.type = FLUO_TYPE_BOOL, .integer = truth};
  return true;
}

static bool give_hex(const uint8_t *id, uint32_t n, char scratch[32], struct fluo_value *out) {
  value_hex(id, n, scratch, out);
  return true;
}

/* The last occurrence of text field `number`. false: absent or empty, which on the wire is the
 * same. */
static bool give_last(const uint8_t *p, uint32_t n, uint32_t number, struct fluo_value *out) {
  struct fluo_item item = {.next = 0};
  bool found = false;
  while (fluo_item_next(p, n, number, &item)) found = give_text(item.text, item.len, out);
  return found && out->len;
}

/* Status may come in several pieces; a later piece's message wins over an earlier one's. */
static bool give_status_message(const uint8_t *p, uint32_t n, struct fluo_value *out) {
  struct fluo_item status = {.next = 0};
  struct fluo_value message;
  bool found = false;
  while (fluo_item_next(p, n, 15, &status)) {
    struct fluo_item item = {.next = 0};
    while (fluo_item_next(status.text, status.len, 2, &item))
      found = give_text(item.text, item.len, &message);
  }
  if (!found || !message.len) return false;
  *out = message;
  return true;
}

static bool give_attribute(const struct span_view *view, const char *key, uint32_t key_len,
                           struct fluo_value *out) {
  struct span_payload payload = span_payload(view);
  if (fluo_attribute(payload.p, payload.n, 9, key, key_len, out)) return true;
  if (!view->renamed) return false;
  for (uint32_t i = 0; i < RENAME_NAMES_MAX; i++) {
    const char *other = fluo_renamed(key, key_len, i);
    if (!other) return false;
    if (fluo_attribute(payload.p, payload.n, 9, other, (uint32_t)strlen(other), out)) return true;
  }
  return false;
}

static bool give_kind(uint8_t kind, struct fluo_value *out) {
  static const char *const names[] = {
      [FLUO_KIND_UNSPECIFIED] = "UNSPECIFIED", [FLUO_KIND_INTERNAL] = "INTERNAL",
      [FLUO_KIND_SERVER] = "SERVER",           [FLUO_KIND_CLIENT] = "CLIENT",
      [FLUO_KIND_PRODUCER] = "PRODUCER",       [FLUO_KIND_CONSUMER] = "CONSUMER",
  };
  return give_name(names[kind <= FLUO_KIND_CONSUMER ? kind : FLUO_KIND_UNSPECIFIED], out);
}

static bool give_status(uint8_t status, struct fluo_value *out) {
  static const char *const names[] = {
      [FLUO_STATUS_UNSET] = "UNSET",
      [FLUO_STATUS_OK] = "OK",
      [FLUO_STATUS_ERROR] = "ERROR",
  };
  return give_name(names[status <= FLUO_STATUS_ERROR ? status : FLUO_STATUS_UNSET], out);
}

/* A service that calls itself is no edge. */
static bool give_parent_service(const struct span_view *view, struct fluo_value *out) {
  const struct fluo_span *parent = view->parent, *span = view->span;
  if (!parent || !(parent->flags & FLUO_SPAN_SERVICE)) return false;
  give_text(view->arena + parent->service.off, parent->service.len, out);
  return !(span->flags & FLUO_SPAN_SERVICE) || span->service.len != out->len ||
         memcmp(view->arena + span->service.off, out->text, out->len) != 0;
}

uint64_t span_duration_ns(const struct fluo_span *span) {
  if (span->flags & FLUO_SPAN_SKEWED || span->end_ns < span->start_ns) return 0;
  return span->end_ns - span->start_ns;
}

bool field_get(const struct span_view *view, uint32_t field, const char *key, uint32_t key_len,
               char scratch[32], struct fluo_value *out) {
  static const uint8_t none[8];
  const struct fluo_span *span = view->span;
  struct span_payload payload = span_payload(view);
  const uint8_t *arena = view->arena;
  switch (field) {
  case FLUO_FIELD_ATTRIBUTE: return give_attribute(view, key, key_len, out);
  case FLUO_FIELD_RESOURCE:
    return fluo_attribute(arena + span->resource.off, span->resource.len, 1, key, key_len, out);
  case FLUO_FIELD_NAME: return give_text(arena + span->name.off, span->name.len, out);
  case FLUO_FIELD_SERVICE:
    return span->flags & FLUO_SPAN_SERVICE &&
           give_text(arena + span->service.off, span->service.len, out);
  case FLUO_FIELD_STATUS: return give_status(span->status, out);
  case FLUO_FIELD_STATUS_MESSAGE: return give_status_message(payload.p, payload.n, out);
  case FLUO_FIELD_KIND: return give_kind(span->kind, out);
  case FLUO_FIELD_DURATION: return give_ns(span_duration_ns(span), out);
  case FLUO_FIELD_START: return give_ns(span->start_ns, out);
  case FLUO_FIELD_END: return give_ns(span->end_ns, out);
  case FLUO_FIELD_SCOPE: return give_last(arena + span->scope.off, span->scope.len, 1, out);
  case FLUO_FIELD_SCOPE_VERSION: return give_last(arena + span->scope.off, span->scope.len, 2, out);
  case FLUO_FIELD_TRACE_ID: return give_hex(view->trace_id, 16, scratch, out);
  case FLUO_FIELD_SPAN_ID: return give_hex(span->span_id, 8, scratch, out);
  case FLUO_FIELD_PARENT_ID:
    return memcmp(span->parent_id, none, 8) != 0 && give_hex(span->parent_id, 8, scratch, out);
  case FLUO_FIELD_TRACE_STATE: return give_last(payload.p, payload.n, 3, out);
  case FLUO_FIELD_ROOT: return give_bool(span->flags & FLUO_SPAN_ROOT, out);
  case FLUO_FIELD_PARENT_SERVICE: return give_parent_service(view, out);
  default: return false;
  }
}
