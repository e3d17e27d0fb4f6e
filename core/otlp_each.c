/* The second pass over a trace body: its spans, one by one, lent from the body.
 *
 * Good path: for every ResourceSpans the resource is looked for first (it may come last), then
 * for every ScopeSpans the scope, then the spans go to the caller in order. A resource or scope
 * in one piece is lent as it lies. One in several pieces is their concatenation, which is what
 * protobuf means by merging; those copies are made before the first span is handed out, so that
 * no memory means no span, and live until the last one was: equal pointers are the same
 * resource. They are freed here, whatever the caller said. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "buffer.h"
#include "err.h"
#include "heap.h"
#include "otlp.h"
#include "otlp_schema.h"
#include "wire_inline.h"

struct joined {
  struct joined *next;
  size_t n;
  uint8_t bytes[];
};

struct each {
  int (*on_span)(void *ctx, const struct otlp_span *span);   /* NULL: the look ahead that joins */
  void *ctx;
  struct joined *first, **last;    /* in the order in which the body has them */
  struct joined *due;              /* the next one to lend */
  struct otlp_span span;
};

/* otlp_check has been here: the field is whole, and of the type that its number has. */
static const uint8_t *next_field(const uint8_t *p, const uint8_t *end, struct wire_field *field) {
  p = wire_read_field(p, end, field);
  assert(p);
  return p;
}

/* Past a run of attributes of a Span (field 9) shorter than 128 bytes each: half of a span's
 * fields, and neither reader below looks into them. */
static inline const uint8_t *skip_attributes(const uint8_t *p, const uint8_t *end) {
  while (p < end && p[0] == (9 << 3 | WIRE_LEN) && p[1] < 0x80) p += 2 + p[1];
  assert(p <= end);
  return p;
}

static int join(struct each *e, struct otlp_bytes message, uint32_t number, size_t bytes) {
  struct joined *j = heap_alloc(sizeof *j + bytes);
  if (!j) return FLUO_ENOMEM;
  j->next = NULL;
  j->n = 0;
  *e->last = j;
  e->last = &j->next;
  struct wire_field field;
  for (const uint8_t *p = message.p, *end = wire_end(p, message.n); p < end;) {
    p = next_field(p, end, &field);
    if (field.number != number) continue;
    memcpy(j->bytes + j->n, field.text, field.len);
    j->n += field.len;
  }
  return 0;
}

/* The whole of a message that is field 1 of another, in however many pieces. Where the look ahead joined nothing the
 * first piece is all, and the spans behind it need not be passed once more. */
static int gather(struct each *e, struct otlp_bytes message, struct otlp_bytes *out) {
  struct wire_field field;
  bool whole = e->on_span && !e->first;
  size_t pieces = 0, bytes = 0;
  *out = (struct otlp_bytes){0};
  for (const uint8_t *p = message.p, *end = wire_end(p, message.n); p < end;) {
    p = next_field(p, end, &field);
    if (field.number != 1 || field.len == 0) continue;
    *out = (struct otlp_bytes){field.text, field.len};
    if (whole) return 0;
    bytes += field.len;
    pieces++;
  }
  if (pieces < 2) return 0;
  if (!e->on_span) return join(e, message, 1, bytes);
  *out = (struct otlp_bytes){e->due->bytes, e->due->n};
  e->due = e->due->next;
  return 0;
}

static void put_id(uint8_t *to, size_t wanted, struct otlp_bytes id) {
  memset(to, 0, wanted);
  if (id.n) memcpy(to, id.p, id.n < wanted ? id.n : wanted);
}

static bool some_bit(const uint8_t *id, size_t n) {
  uint8_t any = 0;
  for (size_t i = 0; i < n; i++) any |= id[i];
  return any != 0;
}

static uint32_t read_status(struct otlp_bytes status, uint32_t before) {
  struct wire_field field;
  uint32_t code = before;
  for (const uint8_t *p = status.p, *end = wire_end(p, status.n); p < end;) {
    p = next_field(p, end, &field);
    if (field.number == 3) code = (uint32_t)field.scalar;
  }
  return code;
}

struct ids { struct otlp_bytes trace, span, parent; };

static void read_field(struct otlp_span *out, const struct wire_field *field, struct ids *ids) {
  struct otlp_bytes text = {field->text, field->len};
  switch (field->number) {
    case 1: ids->trace = text; break;
    case 2: ids->span = text; break;
    case 4: ids->parent = text; break;
    case 5: out->name = text; break;
    case 6: out->kind = (uint32_t)field->scalar; break;
    case 7: out->start_ns = field->scalar; break;
    case 8: out->end_ns = field->scalar; break;
    case 12: out->dropped_events = (uint32_t)field->scalar; break;
    case 15: out->status = read_status(text, out->status); break;
    default: break;
  }
}

/* One field in the form that all clients send, as otlp_check has it. NULL: any other form. */
static inline const uint8_t *read_plain_field(const uint8_t *p, const uint8_t *end,
                                              struct otlp_span *out, struct ids *ids) {
  if (p[0] == 0x39) return wire_read_fixed64(p + 1, end, &out->start_ns);
  if (p[0] == 0x41) return wire_read_fixed64(p + 1, end, &out->end_ns);
  if (end - p < 2 || p[1] >= 0x80) return NULL;
  struct otlp_bytes text = {p + 2, p[1]};
  switch (p[0]) {
    case 0x0a: ids->trace = text; break;
    case 0x12: ids->span = text; break;
    case 0x22: ids->parent = text; break;
    case 0x2a: out->name = text; break;
    case 0x30: out->kind = p[1]; return p + 2;
    default: return NULL;
  }
  return text.p + text.n;
}

static void read_span(struct otlp_bytes message, struct otlp_span *out) {
  struct ids ids = {0};
  *out = (struct otlp_span){.message = message, .resource = out->resource, .scope = out->scope};
  size_t dropped_bytes = 0;
  const uint8_t *after_dropped = message.p;
  for (const uint8_t *p = message.p, *end = wire_end(p, message.n); p < end;) {
    struct wire_field field = {0};
    p = skip_attributes(p, end);
    if (p == end) break;
    const uint8_t *next = read_plain_field(p, end, out, &ids);
    if (!next) {
      next = next_field(p, end, &field);
      read_field(out, &field, &ids);
    }
    if (!otlp_kept(field.number)) {               /* those that are plain are not */
      dropped_bytes += (size_t)(next - p);
      after_dropped = next;
    }
    p = next;
  }
  out->payload_bytes = message.n - dropped_bytes;
  /* What is kept stands behind what is not, as nearly always. */
  if (message.n && after_dropped == message.p + dropped_bytes) out->payload = after_dropped;
  if (out->kind > FLUO_KIND_CONSUMER) out->kind = FLUO_KIND_UNSPECIFIED;
  if (out->status > FLUO_STATUS_ERROR) out->status = FLUO_STATUS_UNSET;
  put_id(out->trace_id, 16, ids.trace);
  put_id(out->span_id, 8, ids.span);
  put_id(out->parent_id, 8, ids.parent);
  out->valid = ids.trace.n == 16 && ids.span.n == 8 && (ids.parent.n == 8 || ids.parent.n == 0) &&
               some_bit(out->trace_id, 16) && some_bit(out->span_id, 8);
}

static int each_scope(struct each *e, struct otlp_bytes message) {
  struct wire_field field;
  int err = gather(e, message, &e->span.scope);
  if (err || !e->on_span) return err;
  for (const uint8_t *p = message.p, *end = wire_end(p, message.n); p < end && !err;) {
    p = next_field(p, end, &field);
    if (field.number != 2) continue;
    read_span((struct otlp_bytes){field.text, field.len}, &e->span);
    err = e->on_span(e->ctx, &e->span);
  }
  return err;
}

static int each_resource(struct each *e, struct otlp_bytes message) {
  struct wire_field field;
  int err = gather(e, message, &e->span.resource);
  for (const uint8_t *p = message.p, *end = wire_end(p, message.n); p < end && !err;) {
    p = next_field(p, end, &field);
    if (field.number == 2) err = each_scope(e, (struct otlp_bytes){field.text, field.len});
  }
  return err;
}

static int each_request(struct each *e, struct otlp_bytes body) {
  struct wire_field field;
  int err = 0;
  for (const uint8_t *p = body.p, *end = wire_end(p, body.n); p < end && !err;) {
    p = next_field(p, end, &field);
    if (field.number == 1) err = each_resource(e, (struct otlp_bytes){field.text, field.len});
  }
  return err;
}

int otlp_each(const uint8_t *body, size_t n,
              int (*on_span)(void *ctx, const struct otlp_span *span), void *ctx) {
  struct each e = {.ctx = ctx};
  e.last = &e.first;
  int err = each_request(&e, (struct otlp_bytes){body, n});
  e.on_span = on_span;
  e.due = e.first;
  if (!err) err = each_request(&e, (struct otlp_bytes){body, n});
  for (struct joined *j = e.first, *next; j; j = next) {
    next = j->next;
    heap_free(j);
  }
  return err;
}

void otlp_payload(const struct otlp_span *span, uint8_t *out) {
  const uint8_t *p = span->message.p, *end = wire_end(p, span->message.n), *run = p;
  uint8_t *to = out;
  if (span->payload_bytes == 0) return;
  if (span->payload) {
    memcpy(out, span->payload, span->payload_bytes);
    return;
  }
  while ((p = skip_attributes(p, end)) < end) {
    struct wire_field field;
    const uint8_t *next = next_field(p, end, &field);
    if (!otlp_kept(field.number)) {
      memcpy(to, run, (size_t)(p - run));
      to += p - run;
      run = next;
    }
    p = next;
  }
  if (p > run) memcpy(to, run, (size_t)(p - run));
  to += p - run;
  assert((size_t)(to - out) == span->payload_bytes);
}

bool otlp_service(struct otlp_bytes resource, char scratch[32], struct otlp_bytes *out) {
  struct fluo_value v;
  int n = 0;
  if (!fluo_attribute(resource.p, (uint32_t)resource.n, 1, "service.name", 12, &v)) return false;
  switch (v.type) {
    case FLUO_TYPE_STRING: *out = (struct otlp_bytes){v.text, v.len}; return true;
    case FLUO_TYPE_BOOL: n = snprintf(scratch, 32, "%s", v.integer ? "true" : "false"); break;
    case FLUO_TYPE_INT: n = snprintf(scratch, 32, "%" PRId64, v.integer); break;
    case FLUO_TYPE_DOUBLE: n = buffer_number_text(v.number, scratch); break;
    default: return false;
  }
  *out = (struct otlp_bytes){(const uint8_t *)scratch, (size_t)n};
  return true;
}
