/* The first pass over a trace body: is it OTLP, and within the budgets?
 *
 * Good path: walk() goes down the messages by the schema's table, skips what it does not know,
 * and counts (spans, bad ones among them, elements, bytes that the arena would take) while it
 * goes, so a body that would explode is refused where it does. Nothing is allocated, nothing
 * kept; the body is only read. It fails with FLUO_ETRUNCATED (the body ends within a field),
 * FLUO_EMALFORMED (no field, a group, a wrong wire type, a message that does not fit the one
 * around it), FLUO_EDEPTH, FLUO_ETOOMANY (spans, elements) or FLUO_ETOOLARGE (decoded bytes);
 * the fault names the message, the field and the byte. Recursion is as deep as limits->depth_max
 * and takes some 200 bytes of stack a level. */
#include "otlp.h"

#include <assert.h>
#include <stdio.h>

#include "err.h"
#include "limits.h"
#include "otlp_head.h"
#include "otlp_schema.h"

_Static_assert(LIMIT_SPAN_ELEMENTS == 65536 && LIMIT_SPAN_TEXT_BYTES == 65536, "the text below says so");

const char *const otlp_reject_names[OTLP_REJECTS] = {"", "invalid_id", "too_large"};
const char *const otlp_reject_texts[OTLP_REJECTS] = {
    "", "a trace id, span id or parent id has the wrong length or is all zero",
    "a span has more than 65536 attributes, events, links and values of these, or its name, resource or scope more than 65536 bytes"};

/* A body has left the nearest cache by the time it is whole: as a span is walked, as many bytes as it has are fetched from
 * where the walk will be some spans later. */
enum { FETCH_AHEAD = 1024, CACHE_LINE = 64 };

struct scan {
  const uint8_t *body, *end;
  const struct otlp_limits *limits;
  struct otlp_summary *summary;
  struct otlp_fault *fault;
  uint32_t elements;
  size_t decoded_bytes;
};

struct place { const uint8_t *at; uint32_t message, number; };

static int fail(struct scan *s, struct place place, int err, const char *reason, size_t limit) {
  const struct otlp_shape *shape = &otlp_shapes[place.message];
  const char *field = place.number < OTLP_FIELDS ? shape->fields[place.number].name : NULL;
  char bound[24] = "";
  if (limit) snprintf(bound, sizeof bound, " %zu", limit);
  *s->fault = (struct otlp_fault){.err = err, .offset = (size_t)(place.at - s->body)};
  snprintf(s->fault->what, sizeof s->fault->what, "%s%s%s: %s%s", shape->name, field ? "." : "",
           field ? field : "", reason, bound);
  return err;
}

/* Off the hot path: why the field at `at` could not be read. */
static int fail_unreadable(struct scan *s, uint32_t message, const uint8_t *at,
                           const uint8_t *end) {
  struct place place = {at, message, 0};
  uint32_t type;
  const uint8_t *p = wire_read_tag(at, end, &place.number, &type);
  bool cut = true;
  for (const uint8_t *q = at; !p && q < end; q++)
    cut = cut && *q >= 0x80 && q - at < WIRE_SIZE_BYTES - 1;
  if (!p && !cut) return fail(s, place, FLUO_EMALFORMED, "no field starts here", 0);
  if (p && (type == 3 || type == 4))
    return fail(s, place, FLUO_EMALFORMED, "groups are not OTLP", 0);
  if (p && type > 5) return fail(s, place, FLUO_EMALFORMED, "no such wire type", 0);
  if (end == s->end) return fail(s, place, FLUO_ETRUNCATED, "cut short", 0);
  return fail(s, place, FLUO_EMALFORMED, "does not fit the message around it", 0);
}

static int walk(struct scan *s, uint32_t message, struct otlp_bytes text, uint32_t depth);
static int walk_span(struct scan *s, struct otlp_bytes text, uint32_t depth);

/* Most strings are short and ASCII: they are answered here, without a call. */
static inline bool is_ascii(const uint8_t *p, size_t n) {
  const uint64_t high = 0x8080808080808080u;
  uint64_t any = 0;
  if (n >= 16) {
    uint64_t part __attribute__((vector_size(16))), all __attribute__((vector_size(16)));
    memcpy(&all, p + n - 16, 16);
    for (size_t i = 0; i + 16 < n; i += 16) memcpy(&part, p + i, 16), all |= part;
    any = all[0] | all[1];
  } else if (n >= 8) {
    uint64_t first, last;
    memcpy(&first, p, 8);
    memcpy(&last, p + n - 8, 8);
    any = first | last;
  } else if (n >= 4) {
    uint32_t first, last;
    memcpy(&first, p, 4);
    memcpy(&last, p + n - 4, 4);
    any = first | last;
  } else {
    for (size_t i = 0; i < n; i++) any |= p[i];
  }
  return !(any & high);
}

static inline bool is_utf8(const uint8_t *p, size_t n) {
  return (n <= 64 && is_ascii(p, n)) || wire_utf8(p, n);
}

/* The shape that nearly every attribute has, for which the table is too slow: a key and then a
 * value, together shorter than 128 bytes (so no length within needs more than a byte), the value one
 * string or varint. Whatever is not exactly that goes the long way. Tags and lengths are ASCII like
 * most texts, so an attribute with a string is looked at as one run; only where that is not ASCII are
 * its two texts. */
__attribute__((always_inline))
static inline bool walk_plain_attribute(struct scan *s, const uint8_t *p, size_t n) {
  if (n < 6 || n >= 128 || p[0] != 0x0a || (size_t)p[1] + 6 > n) return false;
  const uint8_t *key = p + 2, *value = key + p[1], *end = p + n;
  size_t left = n - p[1] - 4;
  if (value[0] != 0x12 || value[1] != left) return false;
  if (value[2] == 0x0a && (size_t)value[3] + 2 == left) {
    if (!is_ascii(p, n))
      s->summary->invalid_utf8 += (uint32_t)!is_utf8(value + 4, left - 2) + !is_utf8(key, (size_t)p[1]);
    return true;
  }
  bool varint = value[2] == 0x10 || value[2] == 0x18;
  uint64_t scalar;
  if (!varint || wire_read_varint(value + 3, end, WIRE_VARINT_BYTES, &scalar) != end) return false;
  s->summary->invalid_utf8 += !is_utf8(key, (size_t)p[1]);
  return true;
}

/* Past an attribute of a Span of 128 bytes or more whose value is a string; NULL: it goes the long way. */
__attribute__((noinline))
static const uint8_t *walk_long_attribute(struct scan *s, const uint8_t *p, const uint8_t *end) {
  struct otlp_bytes attribute, key, value, string;
  if (!otlp_short_field(p, end, 9, &attribute) || !otlp_short_attribute(attribute, &key, &value)) return NULL;
  end = value.p + value.n;
  if (!otlp_short_field(value.p, end, 1, &string) || string.p + string.n != end) return NULL;
  if (s->elements == s->limits->elements_max) return NULL;
  s->elements++;
  if (!is_ascii(string.p, string.n)) s->summary->invalid_utf8 += !wire_utf8(string.p, string.n);
  s->summary->invalid_utf8 += !is_utf8(key.p, key.n);
  return end;
}

/* What may come once is an element when it comes again: the last one wins, but all are read. */
static inline bool is_element(const struct otlp_field *known, uint32_t number, uint32_t *seen) {
  if (known->kind == OTLP_UNKNOWN) return true;
  bool again = *seen >> number & 1;
  *seen |= 1u << number;
  return known->repeated ? known->child != OTLP_SPAN : again;
}

static inline const struct otlp_field *field_of(uint32_t message, uint32_t number) {
  static const struct otlp_field unknown = {.kind = OTLP_UNKNOWN};
  return number < OTLP_FIELDS ? &otlp_shapes[message].fields[number] : &unknown;
}

/* In pieces they are one behind the other. */
static void note_around(struct scan *s, size_t bytes, bool again) {
  uint32_t *most = &s->summary->around_bytes;
  s->summary->pieces |= again;
  if (again) *most += (uint32_t)bytes;
  else if (bytes > *most) *most = (uint32_t)bytes;
}

static int walk_new_span(struct scan *s, struct place place, struct otlp_bytes text, uint32_t depth) {
  if (s->summary->spans == s->limits->spans_max)
    return fail(s, place, FLUO_ETOOMANY, "more spans than", s->limits->spans_max);
  s->summary->spans++;
  return walk_span(s, text, depth);
}

static int walk_child(struct scan *s, struct place place, const struct otlp_field *known,
                      const struct wire_field *field, uint32_t depth) {
  const struct otlp_limits *limits = s->limits;
  struct otlp_bytes text = {field->text, field->len};
  if (depth >= limits->depth_max)
    return fail(s, place, FLUO_EDEPTH, "nested deeper than", limits->depth_max);
  if (known->child == OTLP_KEY_VALUE && depth + 2 <= limits->depth_max &&
      walk_plain_attribute(s, text.p, text.n))
    return 0;
  if (known->child == OTLP_SPAN) return walk_new_span(s, place, text, depth + 1);
  return walk(s, known->child, text, depth + 1);
}

static inline int walk_field(struct scan *s, struct place place, const struct wire_field *field,
                             uint32_t depth, uint32_t *seen) {
  const struct otlp_field *known = field_of(place.message, field->number);
  bool counts = is_element(known, field->number, seen);
  if (counts && ++s->elements > s->limits->elements_max)
    return fail(s, place, FLUO_ETOOMANY, "more elements than", s->limits->elements_max);
  if (known->kind == OTLP_UNKNOWN) return 0;
  if (known->wire != field->type) {
    if (known->kind == OTLP_INDEX) return 0;
    return fail(s, place, FLUO_EMALFORMED, "of a wrong wire type", 0);
  }
  if (known->kind == OTLP_STRING) s->summary->invalid_utf8 += !is_utf8(field->text, field->len);
  else if (known->kind == OTLP_INDEX) s->summary->strindex++;
  if (known->kind != OTLP_MESSAGE) return 0;
  if (known->child == OTLP_RESOURCE || known->child == OTLP_SCOPE) note_around(s, field->len, counts);
  return walk_child(s, place, known, field, depth);
}

static int walk(struct scan *s, uint32_t message, struct otlp_bytes text, uint32_t depth) {
  const uint8_t *p = text.p, *end = wire_end(p, text.n);
  bool spans = message == OTLP_SCOPE_SPANS && depth < s->limits->depth_max;
  uint32_t seen = 0;
  while (p < end) {
    struct wire_field field = {0};
    struct otlp_bytes span;
    if (spans && otlp_short_field(p, end, 2, &span)) {
      int err = walk_new_span(s, (struct place){p, message, 2}, span, depth + 1);
      if (err) return err;
      p = span.p + span.n;
      continue;
    }
    const uint8_t *next = wire_read_field(p, end, &field);
    if (!next) return fail_unreadable(s, message, p, end);
    int err = walk_field(s, (struct place){p, message, field.number}, &field, depth, &seen);
    if (err) return err;
    p = next;
  }
  return 0;
}

/* Past a run of plain attributes of a Span, each shorter than 128 bytes: most of its bytes. */
static inline const uint8_t *walk_attributes(struct scan *s, const uint8_t *p, const uint8_t *end) {
  uint32_t left = s->limits->elements_max - s->elements;
  for (; left && end - p >= 2 && p[0] == (9 << 3 | WIRE_LEN); left--) {
    size_t n = p[1];
    if ((size_t)(end - p) < n + 2 || !walk_plain_attribute(s, p + 2, n)) break;
    p += 2 + n;
  }
  s->elements = s->limits->elements_max - left;
  return p;
}

/* Past one field of a Span in the form that all clients send: a tag of one byte and what lies behind
 * it at a known length. NULL: any other form, for which the table is asked. */
static inline const uint8_t *walk_plain_field(struct scan *s, const uint8_t *p, const uint8_t *end,
                                              struct otlp_ids *ids) {
  size_t left = (size_t)(end - p);
  if (left < 2 || p[1] >= 0x80) return left >= 9 && (p[0] == 0x39 || p[0] == 0x41) ? p + 9 : NULL;
  struct otlp_bytes text = {p + 2, p[1]};
  if (p[0] == 0x30) return p + 2;
  if (p[0] == 0x39 || p[0] == 0x41) return left >= 9 ? p + 9 : NULL;
  if (text.n + 2 > left) return NULL;
  switch (p[0]) {
    case 0x0a: ids->trace = text; break;
    case 0x12: ids->span = text; break;
    case 0x22: ids->parent = text; break;
    case 0x2a: s->summary->invalid_utf8 += !is_utf8(text.p, text.n); break;
    default: return NULL;
  }
  return text.p + text.n;
}

/* Whether a field of a Span, which was accepted, is of its payload and nothing in it is of the skeleton. */
static inline bool is_payload(const struct wire_field *field) {
  bool status = field->number == 15 && field->len, dropped_events = field->number == 12;
  return otlp_kept(field->number) && !status && !dropped_events;
}

static inline void note_plain(struct otlp_summary *summary) {
  uint32_t i = summary->spans - 1;
  if (i < OTLP_NOTED_SPANS) summary->plain[i / 64] |= 1ull << i % 64;
}

static int walk_span(struct scan *s, struct otlp_bytes text, uint32_t depth) {
  struct otlp_head head;
  struct otlp_ids ids = {0};
  size_t payload_bytes = 0;
  uint32_t seen = 0, before = s->elements;
  bool deep = depth + 2 > s->limits->depth_max;      /* an attribute and its value */
  const uint8_t *p = text.p, *end = wire_end(p, text.n), *behind = otlp_head_read(p, end, &head);
  bool rest_is_payload = behind;
  for (size_t at = FETCH_AHEAD, left = (size_t)(s->end - text.p); at < FETCH_AHEAD + text.n && at < left; at += CACHE_LINE)
    __builtin_prefetch(text.p + at);
  if (behind) {
    s->summary->invalid_utf8 += !is_utf8(head.name.p, head.name.n);
    ids = head.ids;
    seen = OTLP_HEAD_FIELDS | (ids.parent.n ? 1u << 4 : 0);
    p = behind;
  }
  while (p < end) {
    struct wire_field field = {0};
    const uint8_t *plain = deep ? p : walk_attributes(s, p, end);
    payload_bytes += (size_t)(plain - p);
    p = plain;
    if (p == end) break;
    uint32_t bit = 1u << (p[0] >> 3 & 15);
    plain = seen & bit ? NULL : walk_plain_field(s, p, end, &ids);
    if (plain) {
      seen |= bit;
      rest_is_payload = false;
      p = plain;
      continue;
    }
    if (!deep && (plain = walk_long_attribute(s, p, end))) {
      payload_bytes += (size_t)(plain - p);
      p = plain;
      continue;
    }
    const uint8_t *next = wire_read_field(p, end, &field);
    if (!next) return fail_unreadable(s, OTLP_SPAN, p, end);
    int err = walk_field(s, (struct place){p, OTLP_SPAN, field.number}, &field, depth, &seen);
    if (err) return err;
    struct otlp_bytes bytes = {field.text, field.len};
    if (field.number == 1) ids.trace = bytes;
    else if (field.number == 2) ids.span = bytes;
    else if (field.number == 4) ids.parent = bytes;
    else if (otlp_kept(field.number)) payload_bytes += (size_t)(next - p);
    rest_is_payload = rest_is_payload && is_payload(&field);
    p = next;
  }
  if (rest_is_payload) note_plain(s->summary);
  bool large = s->elements - before > LIMIT_SPAN_ELEMENTS;
  if (large || !otlp_ids_valid(&ids)) {
    s->summary->large += large;
    s->summary->rejected++;
    return 0;
  }
  s->decoded_bytes += sizeof(struct fluo_span) + payload_bytes;
  if (s->decoded_bytes <= s->limits->decoded_bytes_max) return 0;
  struct place place = {text.p, OTLP_SPAN, 0};
  return fail(s, place, FLUO_ETOOLARGE, "decoded bytes exceed", s->limits->decoded_bytes_max);
}

/* The elements of a message that was accepted; where they are more than `max`, some number that is. */
static uint32_t count_elements(uint32_t message, struct otlp_bytes text, uint32_t max) {
  uint32_t seen = 0, n = 0;
  for (const uint8_t *p = text.p, *end = wire_end(p, text.n); p < end && n <= max;) {
    struct wire_field field = {0};
    p = wire_read_field(p, end, &field);
    assert(p);
    const struct otlp_field *known = field_of(message, field.number);
    n += is_element(known, field.number, &seen);
    if (known->kind == OTLP_MESSAGE && n <= max)
      n += count_elements(known->child, (struct otlp_bytes){field.text, field.len}, max - n);
  }
  return n;
}

bool otlp_span_exceeds(struct otlp_bytes span, uint32_t elements_max) {
  const size_t element_bytes_min = 2;
  return span.n / element_bytes_min > elements_max && count_elements(OTLP_SPAN, span, elements_max) > elements_max;
}

int otlp_check(const uint8_t *body, size_t n, const struct otlp_limits *limits,
               struct otlp_summary *summary, struct otlp_fault *fault) {
  *summary = (struct otlp_summary){0};
  *fault = (struct otlp_fault){0};
  struct scan s = {
      .body = body, .end = wire_end(body, n), .limits = limits, .summary = summary, .fault = fault};
  struct place place = {body, OTLP_REQUEST, 0};
  if (n > UINT32_MAX) return fail(&s, place, FLUO_ETOOLARGE, "more bytes than", UINT32_MAX);
  int err = walk(&s, OTLP_REQUEST, (struct otlp_bytes){body, n}, 0);
  summary->elements = s.elements;
  return err;
}
