/* What a span is to a window or a sequence: its group, when it counts, and what it adds. RULES.md
 * sections 5 and 6.
 *
 * A window's span counts at its end, its events at their own times. What is needed of the span is
 * copied into a note, so that the trace may go. Ways it fails: a field is missing, which is no
 * event; no memory, or too many notes of one request: lost, counted with what the state loses. */
#include <math.h>
#include <string.h>

#include "bytes.h"
#include "engine_across.h"
#include "group.h"
#include "heap.h"
#include "index.h"
#include "limits.h"
#include "value.h"

static uint64_t end_of(const struct fluo_span *span) {
  return span->start_ns + span_duration_ns(span);
}

static void lost(struct engine *e) {
  state_stats(e->state)->lost++;
}

static bool moment_new(struct across_batch *b, uint64_t at_ns) {
  if (heap_grow((void **)&b->moments, &b->moments_capacity, b->moments_count, sizeof *b->moments) ||
      heap_grow((void **)&b->sorted, &b->sorted_capacity, b->moments_count, sizeof *b->sorted))
    return false;
  uint32_t span = b->spans_count - 1;
  uint64_t id = __builtin_bswap64(bytes_load64(b->spans[span].witness.span_id));
  b->moments[b->moments_count++] = (struct across_moment){at_ns, id, span, b->count, b->count};
  return true;
}

static bool notes_grow(struct across_batch *b) {
  return b->count < LIMIT_ACROSS_NOTES && !heap_grow((void **)&b->notes, &b->capacity, b->count, sizeof *b->notes);
}

/* Notes of one moment stand together; if one of another time comes between two of them there are two moments of the same
 * time, which stand side by side when they are in order. */
static void note_add(struct engine *e, struct across_batch *b, const struct across_note *draft, uint64_t at_ns) {
  const struct across_moment *last = b->moments_count ? &b->moments[b->moments_count - 1] : NULL;
  bool goes_on = last && last->span == b->spans_count - 1 && last->at_ns == at_ns;
  if ((b->count == b->capacity && !notes_grow(b)) || (!goes_on && !moment_new(b, at_ns))) {
    lost(e);
    return;
  }
  b->notes[b->count++] = *draft;
  b->moments[b->moments_count - 1].end = b->count;
  b->noted = draft->to;
  b->merges |= draft->to->merges;
}

/* An event is never newer than 5 s past the clock. */
static uint64_t clamped(const struct engine *e, uint64_t time_ns) {
  uint64_t newest = e->now_ns + LIMIT_ACROSS_FUTURE_NS;
  return time_ns <= newest ? time_ns : newest;
}

static void add_event(struct engine *e, struct across_batch *b, struct across_note *draft,
                      uint64_t time_ns, double value, uint32_t weight, uint32_t flags) {
  uint64_t at_ns = clamped(e, time_ns);
  e->across.future_events += at_ns != time_ns;
  draft->value = value;
  draft->weight = weight;
  draft->flags = (uint8_t)flags;
  note_add(e, b, draft, at_ns);
}

/* What the span is one of, at its end. */
static void add_span(struct engine *e, struct across_batch *b, struct across_note *draft, double value) {
  add_event(e, b, draft, b->spans[b->spans_count - 1].end_ns, value, 1, SERIES_SPAN);
}

/* A value as a number: false where section 2 knows none. */
static bool number_of(const struct fluo_value *value, double *out) {
  struct fluo_value number = *value;
  if (value->type == FLUO_TYPE_STRING && !value_number(value->text, value->len, &number))
    return false;
  if (number.type != FLUO_TYPE_INT && number.type != FLUO_TYPE_DOUBLE) return false;
  *out = number.type == FLUO_TYPE_INT ? (double)number.integer : number.number;
  return !isnan(*out);
}

static bool hash_of(const struct fluo_value *value, uint64_t *out) {
  uint8_t digest[16];
  struct buffer text;
  buffer_init(&text, 65536);
  bool good = group_text(value, &text) > 0;
  if (good) fluo_hash128(text.data, text.len, digest);
  if (good) memcpy(out, digest, sizeof *out);
  buffer_deinit(&text);
  return good;
}

/* A field of the batch's last span. Attributes of one that is just arriving were found when it was matched. */
static bool read_field(const struct engine *e, const struct across_batch *b, const struct span_view *view, uint32_t field,
                       const char *name, uint32_t n, char scratch[32], struct fluo_value *out) {
  const struct engine_rules *rules = b->spans[b->spans_count - 1].rules;
  uint32_t key = INDEX_KEY_NONE;
  if (e->arriving && (field == FLUO_FIELD_ATTRIBUTE || field == FLUO_FIELD_RESOURCE))
    key = index_key_find(ruleset_index(rules->set), field, name, n);
  if (key == INDEX_KEY_NONE) return field_get(view, field, name, n, scratch, out);
  const struct fluo_value *value = matcher_value(rules->matcher, key);
  if (value) *out = *value;
  return value;
}

static void note_field(struct engine *e, struct across_batch *b, struct across_note *draft,
                       const struct span_view *view) {
  const struct fluo_ir_window *w = draft->to->terms;
  const struct ruleset *set = draft->to->rules->set;
  char scratch[32];
  struct fluo_value value;
  double x = 1;
  if (!read_field(e, b, view, w->field, ruleset_text(set, w->key), w->key.len, scratch, &value)) return;
  if (w->aggregate == FLUO_AGGREGATE_DISTINCT) {
    uint64_t hash;
    if (!hash_of(&value, &hash)) return;
    memcpy(&x, &hash, sizeof x);
    add_span(e, b, draft, x);
  } else if (number_of(&value, &x)) {
    add_span(e, b, draft, x);
  }
}

/* The kept events of that name, each at its own time; and if no other kind was kept, those that the
 * SDK dropped. */
static bool note_events(struct engine *e, struct across_batch *b, struct across_note *draft,
                        const struct span_view *view, const char *name, size_t n) {
  struct span_payload payload = span_payload(view);
  struct fluo_item event = {.next = 0}, called;
  uint32_t named = 0, others = 0;
  draft->repeats = true;
  while (fluo_item_next(payload.p, payload.n, 11, &event)) {
    struct fluo_item last = {.len = 0, .text = payload.p};
    for (called.next = 0; fluo_item_next(event.text, event.len, 2, &called);) last = called;
    if (last.len != n || memcmp(last.text, name, n)) {
      others++;
      continue;
    }
    add_event(e, b, draft, fluo_scalar(event.text, event.len, 1), 1, 1, named++ ? 0 : SERIES_SPAN);
  }
  uint32_t dropped = view->span->dropped_events;
  if (named && !others && dropped)
    add_event(e, b, draft, end_of(view->span), dropped, dropped, SERIES_ESTIMATED);
  return named;
}

/* Notes what is called so on the span; whether anything is. */
static bool note_named(struct engine *e, struct across_batch *b, struct across_note *draft,
                       const struct span_view *view, const char *name, size_t n) {
  struct fluo_value value;
  double x = 1;
  bool there = read_field(e, b, view, FLUO_FIELD_ATTRIBUTE, name, (uint32_t)n, NULL, &value);
  if (there && (draft->to->terms->aggregate == FLUO_AGGREGATE_COUNT || number_of(&value, &x))) {
    add_span(e, b, draft, x);
    return true;
  }
  if (note_events(e, b, draft, view, name, n)) return true;
  struct fluo_text own = view->span->name;
  draft->repeats = false;
  if (own.len != n || memcmp(view->arena + own.off, name, n)) return there;
  add_span(e, b, draft, 1);
  return true;
}

/* A name finds itself with an s more or less, too, where it is nowhere on the span. */
static void note_either(struct engine *e, struct across_batch *b, struct across_note *draft,
                        const struct span_view *view) {
  const struct fluo_ir_window *w = draft->to->terms;
  const char *name = ruleset_text(draft->to->rules->set, w->key);
  char plural[LIMIT_TEXT_BYTES];
  size_t n = w->key.len;
  if (note_named(e, b, draft, view, name, n) || !n || n >= sizeof plural) return;
  if (name[n - 1] == 's') {
    note_named(e, b, draft, view, name, n - 1);
    return;
  }
  memcpy(plural, name, n);
  plural[n] = 's';
  note_named(e, b, draft, view, plural, n + 1);
}

static const struct span_view *view_of(struct engine *e, const struct trace *t, uint32_t span);

/* Counts and durations are known without another look at the span. */
static void note_window(struct engine *e, struct across_batch *b, struct across_note *draft, const struct trace *t,
                        uint32_t span) {
  const struct across_span *record = &b->spans[b->spans_count - 1];
  const struct fluo_ir_window *w = draft->to->terms;
  if (record->late)
    e->across.late_events++;
  else if (w->sample == FLUO_SAMPLE_SPAN)
    add_span(e, b, draft, 1);
  else if (w->sample != FLUO_SAMPLE_FIELD)
    note_either(e, b, draft, view_of(e, t, span));
  else if (w->field == FLUO_FIELD_DURATION && w->aggregate != FLUO_AGGREGATE_DISTINCT)
    add_span(e, b, draft, (double)record->duration_ns);
  else
    note_field(e, b, draft, view_of(e, t, span));
}

static const struct fluo_span *skeleton_of(const struct engine *e, const struct trace *t, uint32_t span) {
  return e->arriving ? e->arriving_as : store_span(e->store, t, span);
}

/* ---- the span and its keys ----------------------------------------------------------------- */

/* A span's texts as they stay when its trace is gone. */
static void witness_fill(struct engine *e, const struct trace *t, const struct fluo_span *span,
                         const struct fluo_text *service, struct window_witness *out) {
  *out = (struct window_witness){.start_ns = span->start_ns,
                                 .name = store_lasting(e->store, span->name),
                                 .service = service ? *service : store_lasting(e->store, span->service),
                                 .has_service = span->flags & FLUO_SPAN_SERVICE};
  memcpy(out->trace_id, t->id, 16);
  memcpy(out->span_id, span->span_id, 8);
}

/* Whether the span has the resource of the one before it: what a request came in with stays until all of it is in. */
static bool same_resource(const struct engine *e, const struct across_batch *b, const struct fluo_span *span) {
  return e->arriving && b->spans_count > 1 && span->resource.off == b->resource.off && span->resource.len == b->resource.len;
}

/* A new span's keys are not known, but for those of its resource, where it has that of the one before. */
static void memo_begin(struct across_batch *b, bool same) {
  uint32_t kept = 0;
  for (uint32_t i = 0; same && i < b->memo_count; i++)
    if (b->memo[i].by_resource) b->memo[kept++] = b->memo[i];
  b->memo_count = kept;
}

/* The record of the span that is looked at becomes the batch's last, once. */
static bool span_put(struct engine *e, struct across_batch *b, const struct trace *t, uint32_t index) {
  if (heap_grow((void **)&b->spans, &b->spans_capacity, b->spans_count, sizeof *b->spans)) return false;
  const struct fluo_span *span = skeleton_of(e, t, index);
  struct across_span *record = &b->spans[b->spans_count++];
  uint64_t duration_ns = span_duration_ns(span), end_ns = span->start_ns + duration_ns;
  bool same = same_resource(e, b, span);
  record->rules = t->judged_by;
  record->duration_ns = duration_ns;
  record->end_ns = end_ns;
  record->late = e->late_ns > end_ns && e->late_ns - end_ns > LIMIT_ACROSS_LATE_NS;
  witness_fill(e, t, span, same ? &record[-1].witness.service : NULL, &record->witness);
  record->rules->traces++;
  b->look = e->look;
  b->noted = NULL;
  memo_begin(b, same);
  b->resource = span->resource;
  return true;
}

/* The key as the span has it, as the batch's last: 1; 0: it lacks a field of `by`; or a negative fluo_err. */
static int key_make(struct engine *e, struct across_batch *b, const struct ruleset *set, struct fluo_range by,
                    const struct span_view *view, uint32_t *out) {
  size_t at = b->bytes.len;
  char scratch[32];
  struct fluo_value value;
  int got = heap_grow((void **)&b->keys, &b->keys_capacity, b->keys_count, sizeof *b->keys);
  if (!got) got = 1;
  for (uint32_t i = 0; got == 1 && i < by.count; i++) {
    const struct fluo_ir_part *part =
        ruleset_part(set, ruleset_pair(set, by.first + i)->parts.first);
    bool there = read_field(e, b, view, part->field, ruleset_text(set, part->key), part->key.len, scratch, &value);
    got = there ? group_add(&value, &b->bytes) : 0;
  }
  if (got == 1) {
    uint32_t n = (uint32_t)(b->bytes.len - at);
    uint64_t hash = state_hash(e->state, by.count ? b->bytes.data + at : NULL, n);
    b->keys[b->keys_count] = (struct across_key){(uint32_t)at, n, hash};
    *out = b->keys_count++;
  } else {
    b->bytes.len = at;
    b->bytes.err = 0;
  }
  return got;
}

/* The span that is looked at. */
static const struct span_view *view_of(struct engine *e, const struct trace *t, uint32_t span) {
  if (e->viewed == e->look) return &e->view;
  e->viewed = e->look;
  e->view = engine_view(e, t, span);
  return &e->view;
}

/* Where the key of such spans is, or will be. NULL: it is no matter of shape, or there is a text that is no symbol. */
static struct across_shaped *shaped_of(struct across_batch *b, const struct across *to, const struct fluo_span *span) {
  const struct window_witness *w = &b->spans[b->spans_count - 1].witness;
  if (!to->by_shape || w->name.len != span->name.len || w->service.len != span->service.len) return NULL;
  struct across_shape shape = {.service = w->service, .name = w->name, .kind = span->kind, .status = span->status,
                               .has_service = w->has_service};
  memcpy(shape.by, to->by, 16);
  uint64_t mixed = ((uint64_t)w->service.off << 32 | w->name.off) ^ bytes_load64(to->by) ^ (uint64_t)span->kind << 16 ^ span->status;
  struct across_shaped *at = &b->shapes[mixed * UINT64_C(0x9e3779b97f4a7c15) >> (64 - ACROSS_SHAPES_BITS)];
  const struct across_shape *is = &at->shape;
  bool same = at->used && is->service.off == shape.service.off && is->name.off == shape.name.off && is->kind == shape.kind &&
              is->status == shape.status && is->has_service == shape.has_service && bytes_same(is->by, shape.by, 16);
  if (!same) *at = (struct across_shaped){.shape = shape};
  return at;
}

/* It is made once a span and list of fields, or once a batch for spans of one shape. false: it lacks one, or there is no
 * memory, which is counted. */
static bool key_get(struct engine *e, struct across_batch *b, const struct across *to, const struct trace *t, uint32_t span,
                    uint32_t *out) {
  for (uint32_t i = 0; i < b->memo_count; i++) {
    if (!bytes_same(b->memo[i].by, to->by, 16)) continue;
    *out = b->memo[i].key;
    return b->memo[i].there;
  }
  struct across_shaped *shaped = to->by_shape ? shaped_of(b, to, skeleton_of(e, t, span)) : NULL;
  int got = 1;
  if (shaped && shaped->used)
    *out = shaped->key;
  else
    got = key_make(e, b, to->rules->set, across_by(to), view_of(e, t, span), out);
  if (got < 0) {
    lost(e);
    return false;
  }
  if (shaped && got) {
    shaped->key = *out;
    shaped->used = true;
  }
  if (b->memo_count < ACROSS_MEMO) {
    struct across_memo *memo = &b->memo[b->memo_count++];
    *memo = (struct across_memo){.key = *out, .there = got, .by_resource = to->by_resource};
    memcpy(memo->by, to->by, 16);
  }
  return got;
}

/* Of a cascade's failure what tells it from others. false: it lacks that, or there is no memory, which is counted. */
static bool distinct_get(struct engine *e, struct across_batch *b, struct across_note *draft, const struct trace *t,
                         uint32_t span) {
  const struct fluo_ir_sequence *terms = across_sequence(draft->to);
  if (terms->rooted && draft->patterns & 1) return true;
  int got = key_make(e, b, draft->to->rules->set, terms->distinct, view_of(e, t, span), &draft->distinct);
  if (got < 0) lost(e);
  return got == 1;
}

/* A step of a sequence so far behind the clock that what stood beside it is forgotten: whether anything is missing after
 * it nobody knows any more. What must not come is taken whenever it comes: a match may be waiting for it. */
static bool is_forgotten(struct engine *e, const struct across_note *draft, uint64_t start_ns) {
  const struct across *to = draft->to;
  if (to->cascade) return false;
  const struct fluo_ir_sequence *terms = across_sequence(to);
  if (!(draft->patterns & ~terms->absent)) return false;
  uint64_t age_ns = e->late_ns > start_ns ? e->late_ns - start_ns : 0;
  if (age_ns <= SEQUENCE_LATENESS_NS || age_ns - SEQUENCE_LATENESS_NS <= terms->ns) return false;
  e->across.late_events++;
  if (terms->absent && draft->patterns & 1) to->rules->counts[to->rule]->stats.unknown++;
  return true;
}

/* What is in the numerator of a ratio is no event but with its own pattern, which comes first; only where functions are
 * asked may it come later. */
static bool is_numerator(const struct across *to, struct across_batch *b, uint64_t look, uint32_t patterns) {
  if (!to->ratio || to->asks || patterns & 1) return false;
  if (b->look == look && b->noted == to) b->notes[b->count - 1].patterns |= patterns;
  return true;
}

void across_take(struct engine *e, struct trace *t, const struct across_target *target, uint32_t span,
                 const struct fluo_span *parent) {
  struct across *to = target->to;
  struct across_batch *b = across_batch_for(e, to);
  struct across_note draft = {.to = to, .patterns = target->patterns};
  if (b && is_numerator(to, b, e->look, draft.patterns)) return;
  if (parent) {
    view_of(e, t, span);
    e->view.parent = parent;
  }
  if (!to->terms && is_forgotten(e, &draft, store_span(e->store, t, span)->start_ns)) return;
  if (!b || (b->look != e->look && !span_put(e, b, t, span))) {
    lost(e);
    return;
  }
  if (!key_get(e, b, to, t, span, &draft.key)) return;
  if (to->cascade && !distinct_get(e, b, &draft, t, span)) return;
  if (to->terms)
    note_window(e, b, &draft, t, span);
  else
    note_add(e, b, &draft, b->spans[b->spans_count - 1].witness.start_ns);
}
