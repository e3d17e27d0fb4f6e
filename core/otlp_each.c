/* The second pass over a trace body: its spans, one by one, lent from the body.
 *
 * Good path: a cursor stands in the request, a ResourceSpans and a ScopeSpans, and each step moves
 * it by one field, so that whoever has others to serve may go on later. Where it enters a
 * ResourceSpans the resource is looked for first, at a ScopeSpans the scope, some fields a step: it may
 * come last, behind a body full of spans. A resource or scope in one piece is lent as it lies. One in several pieces is their concatenation,
 * which is what protobuf means by merging; those copies are made by otlp_open, so that no memory
 * means no span, and live until otlp_close: equal pointers are the same resource. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "buffer.h"
#include "err.h"
#include "heap.h"
#include "limits.h"
#include "otlp.h"
#include "otlp_head.h"
#include "otlp_schema.h"

/* Of one step that looks for a resource or scope: the fields that it passes, and what one costs at the most, which is a
 * place in memory that nobody has been to. */
enum { LOOK_FIELDS = 64, LOOK_COST_MAX = 64 };

struct otlp_joined {
  struct otlp_joined *next;
  size_t n;
  uint8_t bytes[];
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

static int join(struct otlp_cursor *c, struct otlp_bytes message, size_t bytes) {
  struct otlp_joined *j = heap_alloc(sizeof *j + bytes);
  if (!j) return FLUO_ENOMEM;
  j->next = NULL;
  j->n = 0;
  *c->last = j;
  c->last = &j->next;
  struct wire_field field;
  for (const uint8_t *p = message.p, *end = wire_end(p, message.n); p < end;) {
    p = next_field(p, end, &field);
    if (field.number != 1) continue;
    memcpy(j->bytes + j->n, field.text, field.len);
    j->n += field.len;
  }
  return 0;
}

/* The look ahead: joins field 1 of a message where it is in several pieces, in the order in which the cursor will come to
 * it. */
static int join_pieces(struct otlp_cursor *c, struct otlp_bytes message) {
  struct wire_field field;
  size_t count = 0, bytes = 0;
  for (const uint8_t *p = message.p, *end = wire_end(p, message.n); p < end;) {
    struct otlp_bytes text;
    if (otlp_short_field(p, end, 2, &text)) {
      p = text.p + text.n;
      continue;
    }
    p = next_field(p, end, &field);
    count += field.number == 1 && field.len;
    bytes += field.number == 1 ? field.len : 0;
  }
  return count < 2 ? 0 : join(c, message, bytes);
}

static int join_resource(struct otlp_cursor *c, struct otlp_bytes message) {
  struct wire_field field;
  int err = join_pieces(c, message);
  for (const uint8_t *p = message.p, *end = wire_end(p, message.n); p < end && !err;) {
    p = next_field(p, end, &field);
    if (field.number == 2) err = join_pieces(c, (struct otlp_bytes){field.text, field.len});
  }
  return err;
}

static int join_all(struct otlp_cursor *c, struct otlp_bytes body) {
  struct wire_field field;
  int err = 0;
  for (const uint8_t *p = body.p, *end = wire_end(p, body.n); p < end && !err;) {
    p = next_field(p, end, &field);
    if (field.number == 1) err = join_resource(c, (struct otlp_bytes){field.text, field.len});
  }
  return err;
}

static inline void put_id(uint8_t *to, size_t wanted, struct otlp_bytes id) {
  if (id.n == wanted) {
    memcpy(to, id.p, wanted);
    return;
  }
  memset(to, 0, wanted);
  if (id.n) memcpy(to, id.p, id.n < wanted ? id.n : wanted);
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

static void read_field(struct otlp_span *out, const struct wire_field *field, struct otlp_ids *ids) {
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
                                              struct otlp_span *out, struct otlp_ids *ids) {
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

/* plain: see otlp_summary. */
static void read_span(struct otlp_bytes message, bool plain, struct otlp_span *out) {
  const uint8_t *end = wire_end(message.p, message.n);
  struct otlp_head head;
  const uint8_t *after_dropped = otlp_head_read(message.p, end, &head);
  assert(after_dropped || !plain);
  if (!after_dropped) {
    head = (struct otlp_head){.kind = 0};
    after_dropped = message.p;
  }
  struct otlp_ids ids = head.ids;
  size_t dropped_bytes = (size_t)(after_dropped - message.p);
  out->message = message;
  out->start_ns = head.start_ns;
  out->end_ns = head.end_ns;
  out->kind = head.kind;
  out->status = out->dropped_events = 0;
  out->name = head.name;
  for (const uint8_t *p = plain ? end : after_dropped; p < end;) {
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
  bool behind = after_dropped == message.p + dropped_bytes;
  out->payload = behind ? (struct otlp_bytes){after_dropped, out->payload_bytes} : message;
  if (out->kind > FLUO_KIND_CONSUMER) out->kind = FLUO_KIND_UNSPECIFIED;
  if (out->status > FLUO_STATUS_ERROR) out->status = FLUO_STATUS_UNSET;
  put_id(out->trace_id, 16, ids.trace);
  put_id(out->span_id, 8, ids.span);
  put_id(out->parent_id, 8, ids.parent);
  if (!otlp_ids_valid(&ids)) out->rejected = OTLP_INVALID_ID;
  else if (out->name.n > LIMIT_SPAN_TEXT_BYTES) out->rejected = OTLP_TOO_LARGE;
}

/* What would take long is not even read. */
static void take_span(struct otlp_cursor *c, struct otlp_bytes message) {
  struct otlp_span *out = &c->span;
  uint32_t index = c->index++;
  bool plain = c->checked && index < OTLP_NOTED_SPANS && c->checked->plain[index / 64] >> index % 64 & 1;
  bool around = out->resource.n > LIMIT_SPAN_TEXT_BYTES || out->scope.n > LIMIT_SPAN_TEXT_BYTES;
  bool may_be_large = !c->checked || c->checked->large;
  bool large = around || (may_be_large && otlp_span_exceeds(message, LIMIT_SPAN_ELEMENTS));
  out->rejected = large ? OTLP_TOO_LARGE : OTLP_TAKEN;
  if (!large) read_span(message, plain, out);
}

/* ---- the cursor ------------------------------------------------------------------------------ */

int otlp_open(struct otlp_cursor *c, const uint8_t *body, size_t n, const struct otlp_summary *checked) {
  struct otlp_bytes all = {body, n};
  *c = (struct otlp_cursor){.request = all, .checked = checked};
  c->last = &c->first;
  int err = checked && !checked->pieces ? 0 : join_all(c, all);
  c->due = c->first;
  if (err) otlp_close(c);
  return err;
}

void otlp_close(struct otlp_cursor *c) {
  for (struct otlp_joined *j = c->first, *next; j; j = next) {
    next = j->next;
    heap_free(j);
  }
  c->first = NULL;
}

/* Takes the next field of a message of which this is left. */
static inline size_t take_field(struct otlp_bytes *left, struct wire_field *field) {
  const uint8_t *next, *end = left->p + left->n;
  struct otlp_bytes text;
  if (otlp_short_field(left->p, end, 2, &text)) {
    field->number = 2;
    field->text = text.p;
    field->len = text.n;
    next = text.p + text.n;
  } else {
    next = next_field(left->p, end, field);
  }
  size_t taken = (size_t)(next - left->p);
  *left = (struct otlp_bytes){next, left->n - taken};
  return taken;
}

static void look_for(struct otlp_cursor *c, enum otlp_look what, struct otlp_bytes in) {
  c->look_for = what;
  c->look = in;
  *(what == OTLP_LOOK_RESOURCE ? &c->span.resource : &c->span.scope) = (struct otlp_bytes){NULL, 0};
}

/* The first piece is all of it where the look ahead joined nothing; else a second one means that it was joined. */
static void look_on(struct otlp_cursor *c, size_t *cost) {
  struct otlp_bytes *found = c->look_for == OTLP_LOOK_RESOURCE ? &c->span.resource : &c->span.scope;
  for (int i = 0; i < LOOK_FIELDS && c->look.n; i++) {
    struct wire_field field;
    size_t taken = take_field(&c->look, &field);
    *cost += OTLP_STEP_COST + (taken < LOOK_COST_MAX ? taken : LOOK_COST_MAX);
    if (field.number != 1 || !field.len) continue;
    bool joined = found->n;
    *found = (struct otlp_bytes){field.text, field.len};
    if (joined) {
      *found = (struct otlp_bytes){c->due->bytes, c->due->n};
      c->due = c->due->next;
    }
    if (joined || !c->first) c->look.n = 0;
  }
}

enum otlp_step otlp_step(struct otlp_cursor *c, size_t *cost) {
  struct wire_field field;
  *cost += OTLP_STEP_COST;
  if (c->look.n) {
    look_on(c, cost);
    return OTLP_STEP_ON;
  }
  if (c->scope.n) {
    size_t taken = take_field(&c->scope, &field);
    if (field.number != 2) return OTLP_STEP_ON;
    take_span(c, (struct otlp_bytes){field.text, field.len});
    *cost += OTLP_SPAN_COST + taken + (c->span.rejected ? 0 : OTLP_AROUND_COST(c->span.resource.n + c->span.scope.n));
    return OTLP_STEP_SPAN;
  }
  if (c->resource.n) {
    take_field(&c->resource, &field);
    if (field.number != 2) return OTLP_STEP_ON;
    c->scope = (struct otlp_bytes){field.text, field.len};
    look_for(c, OTLP_LOOK_SCOPE, c->scope);
    return OTLP_STEP_ON;
  }
  if (!c->request.n) return OTLP_STEP_END;
  take_field(&c->request, &field);
  if (field.number != 1) return OTLP_STEP_ON;
  c->resource = (struct otlp_bytes){field.text, field.len};
  look_for(c, OTLP_LOOK_RESOURCE, c->resource);
  return OTLP_STEP_ON;
}

int otlp_each(const uint8_t *body, size_t n, const struct otlp_summary *checked,
              int (*on_span)(void *ctx, const struct otlp_span *span), void *ctx) {
  struct otlp_cursor c;
  size_t cost = 0;
  int err = otlp_open(&c, body, n, checked);
  if (err) return err;
  for (enum otlp_step step; !err && (step = otlp_step(&c, &cost)) != OTLP_STEP_END;)
    if (step == OTLP_STEP_SPAN) err = on_span(ctx, &c.span);
  otlp_close(&c);
  return err;
}

void otlp_payload(const struct otlp_span *span, uint8_t *out) {
  const uint8_t *p = span->message.p, *end = wire_end(p, span->message.n), *run = p;
  uint8_t *to = out;
  if (span->payload_bytes == 0) return;
  if (span->payload.n == span->payload_bytes) {
    memcpy(out, span->payload.p, span->payload_bytes);
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
