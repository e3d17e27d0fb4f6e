/* Evidence.
 *
 * Good path: a head with the numbers, then a request in wire form. A skeleton and its payload make a Span again by
 * putting the fields that the skeleton holds before the payload, which is the rest of the Span as it came; spans in a
 * row that share resource and scope stand together. Lengths are written as varints of a fixed size, so nothing is
 * measured beforehand. The thread prints it, with the head's numbers in front, and packs that.
 *
 * A trace within the bounds is taken whole. Of a larger one the witnesses come with what they need, and the others in
 * the order of their arrival while there is room; where a payload does not fit the span comes without.
 *
 * Ways it fails: only the buffer, and then what was appended is the caller's to throw away. */
#include "evidence.h"

#include <inttypes.h>
#include <string.h>

#include "deflate.h"
#include "err.h"
#include "limits.h"
#include "otlp_print.h"
#include "otlp_schema.h"

enum { MAGIC = 0x44495645, LENGTH_BYTES = 4, SKELETON_BYTES = 200 };

/* crowded: payloads that were there and found no room; they are among those without, as are those that were gone. */
struct head { uint32_t magic, spans, spans_total, without, witnesses_missing, traces_missing, cut, crowded; };

/* Fields of the wire form: number and type. */
enum tag {
  REQUEST_RESOURCE_SPANS = 1 << 3 | 2,
  RESOURCE_SPANS_RESOURCE = 1 << 3 | 2,
  RESOURCE_SPANS_SCOPE_SPANS = 2 << 3 | 2,
  SCOPE_SPANS_SCOPE = 1 << 3 | 2,
  SCOPE_SPANS_SPANS = 2 << 3 | 2,
  SPAN_TRACE_ID = 1 << 3 | 2,
  SPAN_ID = 2 << 3 | 2,
  SPAN_PARENT_ID = 4 << 3 | 2,
  SPAN_NAME = 5 << 3 | 2,
  SPAN_KIND = 6 << 3,
  SPAN_START = 7 << 3 | 1,
  SPAN_END = 8 << 3 | 1,
  SPAN_STATUS = 15 << 3 | 2,
  STATUS_CODE = 3 << 3
};

struct collector {
  struct buffer *out;
  struct store *store;
  const uint8_t *arena;
  const struct violation *violation;
  struct head head;
  size_t from, kept_bytes;              /* where it begins in out; what is kept free for witnesses to come */
  const struct trace *trace;            /* the one that is being taken, and its payloads to spare */
  struct spare_reader spare;
  bool has_spare;
  struct otlp_bytes payload;
  size_t resource_at, scope_at;         /* lengths of what is open; 0: nothing is */
  const struct fluo_span *before;
};

/* ---- the wire form --------------------------------------------------------------------------- */

static void put_length(char *to, size_t n) {
  for (int i = 0; i < LENGTH_BYTES; i++) to[i] = (char)(n >> (7 * i) & 0x7f) | (char)(i < LENGTH_BYTES - 1 ? 0x80 : 0);
}

static void put_bytes(struct buffer *b, enum tag tag, const void *p, size_t n) {
  char head[1 + LENGTH_BYTES] = {(char)tag};
  put_length(head + 1, n);
  buffer_add(b, head, sizeof head);
  buffer_add(b, p, n);
}

static void put_small(struct buffer *b, enum tag tag, uint8_t value) {
  buffer_add(b, (const char[]){(char)tag, (char)value}, 2);
}

static void put_fixed(struct buffer *b, enum tag tag, uint64_t value) {
  char field[9] = {(char)tag};
  for (int i = 0; i < 8; i++) field[1 + i] = (char)(value >> (8 * i));
  buffer_add(b, field, sizeof field);
}

/* A message of unknown length: where its length goes. */
static size_t open_message(struct buffer *b, enum tag tag) {
  put_bytes(b, tag, "", 0);
  return b->len - LENGTH_BYTES;
}

static void close_message(struct buffer *b, size_t at) {
  if (!b->err && at) put_length(b->data + at, b->len - at - LENGTH_BYTES);
}

static void put_text(struct collector *c, enum tag tag, struct fluo_text text) {
  put_bytes(c->out, tag, c->arena + text.off, text.len);
}

/* ---- spans ----------------------------------------------------------------------------------- */

static void close_scope(struct collector *c) {
  if (c->scope_at) close_message(c->out, c->scope_at);
  c->scope_at = 0;
}

static void close_resource(struct collector *c) {
  close_scope(c);
  if (c->resource_at) close_message(c->out, c->resource_at);
  c->resource_at = 0;
  c->before = NULL;
}

static bool same_text(struct fluo_text a, struct fluo_text b) {
  return a.off == b.off && a.len == b.len;
}

static void enter(struct collector *c, const struct fluo_span *span) {
  const struct fluo_span *before = c->before;
  if (!before || !same_text(before->resource, span->resource)) {
    close_resource(c);
    c->resource_at = open_message(c->out, REQUEST_RESOURCE_SPANS);
    if (span->resource.len) put_text(c, RESOURCE_SPANS_RESOURCE, span->resource);
  }
  if (!c->scope_at || !same_text(before->scope, span->scope)) {
    close_scope(c);
    c->scope_at = open_message(c->out, RESOURCE_SPANS_SCOPE_SPANS);
    if (span->scope.len) put_text(c, SCOPE_SPANS_SCOPE, span->scope);
  }
  c->before = span;
}

/* What stands for a payload that is not there: an attribute, and the status that the skeleton knows. */
static void put_without(struct buffer *b, const struct fluo_span *span) {
  static const char note[] = "\x4a\x22\x0a\x0d" "fluo.evidence" "\x12\x11\x0a\x0f" "attributes gone";
  buffer_add(b, note, sizeof note - 1);
  if (span->status) put_bytes(b, SPAN_STATUS, (const char[]){STATUS_CODE, (char)span->status}, 2);
}

static void put_span(struct collector *c, const struct trace *t, const struct fluo_span *span,
                     const struct otlp_bytes *payload) {
  static const uint8_t none[8];
  struct buffer *b = c->out;
  enter(c, span);
  size_t at = open_message(b, SCOPE_SPANS_SPANS);
  put_bytes(b, SPAN_TRACE_ID, t->id, sizeof t->id);
  put_bytes(b, SPAN_ID, span->span_id, sizeof span->span_id);
  if (memcmp(span->parent_id, none, sizeof none)) put_bytes(b, SPAN_PARENT_ID, span->parent_id, sizeof span->parent_id);
  put_text(c, SPAN_NAME, span->name);
  put_small(b, SPAN_KIND, span->kind);
  put_fixed(b, SPAN_START, span->start_ns);
  put_fixed(b, SPAN_END, span->end_ns);
  if (payload) buffer_add(b, payload->p, payload->n);
  else put_without(b, span);
  close_message(b, at);
  c->head.spans++;
  c->head.without += !payload;
}

/* A payload where it is: with the span, or to spare; NULL: nowhere any more. */
static const struct otlp_bytes *payload_of(struct collector *c, const struct fluo_span *span, uint32_t index) {
  while (c->has_spare && c->spare.span < index) c->has_spare = store_spare_next(c->store, c->trace, &c->spare);
  if (!(span->flags & FLUO_SPAN_SHED)) c->payload = (struct otlp_bytes){c->arena + span->payload.off, span->payload.len};
  else if (c->has_spare && c->spare.span == index) c->payload = (struct otlp_bytes){c->spare.p, c->spare.n};
  else return NULL;
  return &c->payload;
}

/* What is kept free for a witness, whatever it takes. */
enum { SHARE_BYTES = LIMIT_EVIDENCE_BYTES / FLUO_WITNESSES_MAX };

static bool is_witness(const struct violation *v, const uint8_t span_id[8]) {
  for (uint32_t i = 0; i < v->witnesses_count; i++) {
    const uint8_t *id = v->trace ? v->witnesses[i].span->span_id : v->spans[i].span_id;
    if (!memcmp(id, span_id, 8)) return true;
  }
  return false;
}

/* A span with its payload, without, or not at all, as there is room. */
static void take_span(struct collector *c, uint32_t index, const struct fluo_span *span, bool witness) {
  size_t used = c->out->len - c->from + c->kept_bytes, room = LIMIT_EVIDENCE_BYTES > used ? LIMIT_EVIDENCE_BYTES - used : 0;
  size_t needed = SKELETON_BYTES + span->name.len + span->resource.len + span->scope.len;
  const struct otlp_bytes *payload = payload_of(c, span, index);
  if (payload && needed + payload->n > room) {
    payload = NULL;
    c->head.crowded++;
  }
  if (witness || (c->head.spans < LIMIT_EVIDENCE_SPANS && needed <= room)) put_span(c, c->trace, span, payload);
  if (witness && c->head.witnesses_missing) c->head.witnesses_missing--;      /* one that came twice counts once */
}

/* Of its spans *look at most are looked at, which leaves the rest to others. */
static void take_trace(struct collector *c, const struct trace *t, bool witnesses_only, uint32_t *look) {
  uint32_t count = t->spans.count, looked = count < *look ? count : *look;
  *look -= looked;
  c->trace = t;
  c->spare = (struct spare_reader){0};
  c->has_spare = store_spare_next(c->store, t, &c->spare);
  c->head.spans_total += count;
  c->head.cut |= t->cut;
  for (uint32_t i = 0; i < looked; i++) {
    const struct fluo_span *span = store_span(c->store, t, i);
    bool witness = is_witness(c->violation, span->span_id);
    if (witness && c->kept_bytes) c->kept_bytes -= SHARE_BYTES;
    if (witness || !witnesses_only) take_span(c, i, span, witness);
  }
  close_resource(c);
}

/* ---- traces ---------------------------------------------------------------------------------- */

static bool seen_before(const struct violation *v, uint32_t i) {
  for (uint32_t j = 0; j < i; j++)
    if (!memcmp(v->spans[j].trace_id, v->spans[i].trace_id, 16)) return true;
  return false;
}

/* What is in memory of a trace: also what closed and is kept or still being judged, and what came late. */
static void take_id(struct collector *c, const uint8_t id[16], bool witnesses_only) {
  uint32_t look = LIMIT_EVIDENCE_LOOKED;
  const struct trace *newest = store_find(c->store, id), *t = newest;
  c->head.traces_missing += !newest;
  for (bool more = newest; more && look; more = t != newest) {
    take_trace(c, t, witnesses_only, &look);
    t = store_same(t);
  }
}

static void take_all(struct collector *c, bool witnesses_only) {
  const struct violation *v = c->violation;
  uint32_t look = LIMIT_EVIDENCE_LOOKED;
  if (v->trace) take_trace(c, v->trace, witnesses_only, &look);
  for (uint32_t i = 0; !v->trace && i < v->witnesses_count; i++)
    if (!seen_before(v, i)) take_id(c, v->spans[i].trace_id, witnesses_only);
}

int evidence_collect(struct buffer *out, struct store *s, const struct violation *v, enum evidence_mode mode) {
  struct collector c = {.out = out, .store = s, .arena = arena_base(store_arena(s)), .violation = v, .from = out->len};
  if (mode == EVIDENCE_NONE) return 0;
  c.head.magic = MAGIC;
  c.head.witnesses_missing = v->witnesses_count;
  c.kept_bytes = v->witnesses_count * SHARE_BYTES;
  buffer_add(out, &c.head, sizeof c.head);
  take_all(&c, mode == EVIDENCE_WITNESSES);
  if (out->err) return out->err;
  if (c.head.spans || c.head.witnesses_missing) memcpy(out->data + c.from, &c.head, sizeof c.head);
  else out->len = c.from;               /* a silence, which no span proves */
  return 0;
}

bool evidence_is_whole(const struct buffer *collected) {
  struct head head;
  if (collected->len < sizeof head) return false;
  memcpy(&head, collected->data, sizeof head);
  return head.spans == head.spans_total && !head.crowded && !head.traces_missing && !head.witnesses_missing;
}

/* ---- printing -------------------------------------------------------------------------------- */

int evidence_print(struct buffer *out, const uint8_t *p, size_t n) {
  struct head head;
  if (n < sizeof head) return FLUO_EMALFORMED;
  memcpy(&head, p, sizeof head);
  if (head.magic != MAGIC) return FLUO_EMALFORMED;
  buffer_printf(out, "{\"fluo\":{\"evidence\":{\"spans\":%" PRIu32 ",\"spans_total\":%" PRIu32 ",\"without_attributes\":%" PRIu32
                ",\"witnesses_missing\":%" PRIu32 ",\"traces_missing\":%" PRIu32 ",\"cut\":%s}}",
                head.spans, head.spans_total, head.without, head.witnesses_missing, head.traces_missing,
                head.cut ? "true" : "false");
  if (n == sizeof head) return buffer_text(out, ",\"resourceSpans\":[]}");
  size_t at = out->len;
  int err = otlp_print(out, OTLP_REQUEST, p + sizeof head, n - sizeof head);
  if (!err) out->data[at] = ',';      /* the request's own brace */
  return err;
}

int evidence_pack(struct buffer *out, struct buffer *json, const uint8_t *p, size_t n) {
  buffer_clear(json);
  int err = evidence_print(json, p, n);
  return err ? err : deflate_gzip(json->data, json->len, out);
}
