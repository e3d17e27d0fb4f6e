/* What a span is to a window or a sequence: its group, when it counts, and what it adds:
 * rules/README.md, Windows and sequences.
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

/* A note that is being written, of the batch's last span. */
struct sample {
  struct engine *e;
  struct across_batch *b;
  const struct across *to;
  struct across_note note;
};

static bool moment_new(struct across_batch *b, uint64_t at_ns) {
  if (heap_grow((void **)&b->moments, &b->moments_capacity, b->moments_count, sizeof *b->moments) ||
      heap_grow((void **)&b->sorted, &b->sorted_capacity, b->moments_count, sizeof *b->sorted))
    return false;
  uint32_t span = b->spans_count - 1;
  uint64_t id = __builtin_bswap64(bytes_load64(b->spans[span].witness.span_id));
  b->moments[b->moments_count++] = (struct across_moment){at_ns, id, span, b->count, b->count};
  return true;
}

/* Notes of one moment stand together; if one of another time comes between two of them there are two moments of the same
 * time, which stand side by side when they are in order. NULL: lost, and counted. */
static inline struct across_note *note_new(struct engine *e, struct across_batch *b, const struct across *to, uint64_t at_ns) {
  const struct across_moment *last = b->moments_count ? &b->moments[b->moments_count - 1] : NULL;
  bool goes_on = last && last->span == b->spans_count - 1 && last->at_ns == at_ns;
  if (b->count == LIMIT_ACROSS_NOTES || heap_grow((void **)&b->notes, &b->capacity, b->count, sizeof *b->notes) ||
      (!goes_on && !moment_new(b, at_ns))) {
    lost(e);
    return NULL;
  }
  b->moments[b->moments_count - 1].end = b->count + 1;
  b->noted = to;
  b->merges |= to->merges;
  return &b->notes[b->count++];
}

static void note_add(const struct sample *s, uint64_t at_ns) {
  struct across_note *note = note_new(s->e, s->b, s->to, at_ns);
  if (note) *note = s->note;
}

/* An event is never newer than 5 s past the clock. */
static uint64_t clamped(const struct engine *e, uint64_t time_ns) {
  bool beyond = time_ns > e->now_ns && time_ns - e->now_ns > LIMIT_ACROSS_FUTURE_NS;
  return beyond ? e->now_ns + LIMIT_ACROSS_FUTURE_NS : time_ns;
}

static void add_event(struct sample *s, uint64_t time_ns, double value, uint32_t weight, uint32_t flags) {
  uint64_t at_ns = clamped(s->e, time_ns);
  s->e->across.future_events += at_ns != time_ns;
  s->note.value = value;
  s->note.weight = weight;
  s->note.flags = (uint8_t)flags;
  note_add(s, at_ns);
}

/* What the span is one of, at its end. */
static void add_span(struct sample *s, double value) {
  add_event(s, s->b->spans[s->b->spans_count - 1].end_ns, value, 1, SERIES_SPAN);
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

/* Attributes of one that is just arriving were found when it was matched. */
bool across_field(const struct engine *e, const struct across_batch *b, const struct span_view *view, uint32_t field,
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

static void note_field(struct sample *s, const struct span_view *view) {
  const struct fluo_ir_window *w = s->to->terms;
  const struct ruleset *set = s->to->rules->set;
  char scratch[32];
  struct fluo_value value;
  double x = 1;
  if (!across_field(s->e, s->b, view, w->field, ruleset_text(set, w->key), w->key.len, scratch, &value)) return;
  if (w->aggregate == FLUO_AGGREGATE_DISTINCT) {
    uint64_t hash;
    if (!hash_of(&value, &hash)) return;
    memcpy(&x, &hash, sizeof x);
    add_span(s, x);
  } else if (number_of(&value, &x)) {
    add_span(s, x);
  }
}

/* The kept events of that name, each at its own time; and if no other kind was kept, those that the
 * SDK dropped. */
static bool note_events(struct sample *s, const struct span_view *view, const char *name, size_t n) {
  struct span_payload payload = span_payload(view);
  struct fluo_item event = {.next = 0}, called;
  uint32_t named = 0, others = 0;
  s->note.repeats = true;
  while (fluo_item_next(payload.p, payload.n, 11, &event)) {
    struct fluo_item last = {.len = 0, .text = payload.p};
    for (called.next = 0; fluo_item_next(event.text, event.len, 2, &called);) last = called;
    if (last.len != n || memcmp(last.text, name, n)) {
      others++;
      continue;
    }
    add_event(s, fluo_scalar(event.text, event.len, 1), 1, 1, named++ ? 0 : SERIES_SPAN);
  }
  uint32_t dropped = view->span->dropped_events;
  if (named && !others && dropped)
    add_event(s, end_of(view->span), dropped, dropped, SERIES_ESTIMATED);
  return named;
}

/* Notes what is called so on the span; whether anything is. */
static bool note_named(struct sample *s, const struct span_view *view, const char *name, size_t n) {
  struct fluo_value value;
  double x = 1;
  bool there = across_field(s->e, s->b, view, FLUO_FIELD_ATTRIBUTE, name, (uint32_t)n, NULL, &value);
  if (there && (s->to->terms->aggregate == FLUO_AGGREGATE_COUNT || number_of(&value, &x))) {
    add_span(s, x);
    return true;
  }
  if (note_events(s, view, name, n)) return true;
  struct fluo_text own = view->span->name;
  s->note.repeats = false;
  if (own.len != n || memcmp(view->arena + own.off, name, n)) return there;
  add_span(s, 1);
  return true;
}

/* A name finds itself with an s more or less, too, where it is nowhere on the span. */
static void note_either(struct sample *s, const struct span_view *view) {
  const struct fluo_ir_window *w = s->to->terms;
  const char *name = ruleset_text(s->to->rules->set, w->key);
  char plural[LIMIT_TEXT_BYTES];
  size_t n = w->key.len;
  if (note_named(s, view, name, n) || !n || n >= sizeof plural) return;
  if (name[n - 1] == 's') {
    note_named(s, view, name, n - 1);
    return;
  }
  memcpy(plural, name, n);
  plural[n] = 's';
  note_named(s, view, plural, n + 1);
}

/* Counts and durations are known without another look at the span: that is what most windows ask for. */
static bool is_plain(const struct fluo_ir_window *w) {
  if (w->sample == FLUO_SAMPLE_SPAN) return true;
  return w->sample == FLUO_SAMPLE_FIELD && w->field == FLUO_FIELD_DURATION && w->aggregate != FLUO_AGGREGATE_DISTINCT;
}

static void note_plain(struct engine *e, struct across_batch *b, const struct across *to, uint32_t cell, uint32_t patterns) {
  const struct across_span *span = &b->spans[b->spans_count - 1];
  uint64_t at_ns = clamped(e, span->end_ns);
  e->across.future_events += at_ns != span->end_ns;
  struct across_note *note = note_new(e, b, to, at_ns);
  if (!note) return;
  note->value = to->terms->sample == FLUO_SAMPLE_SPAN ? 1 : (double)span->duration_ns;
  note->cell = cell;
  note->weight = 1;
  note->patterns = patterns;
  note->flags = SERIES_SPAN;
  note->repeats = false;
}

/* ---- the span ------------------------------------------------------------------------------ */

/* A span's texts as they stay when its trace is gone. */
static void witness_fill(struct engine *e, const struct trace *t, const struct fluo_span *span,
                         const struct fluo_text *service, struct window_witness *out) {
  *out = (struct window_witness){.start_ns = span->start_ns,
                                 .name = store_lasting(e->store, span, span->name),
                                 .service = service ? *service : store_lasting(e->store, span, span->service),
                                 .has_service = span->flags & FLUO_SPAN_SERVICE};
  memcpy(out->trace_id, t->id, 16);
  memcpy(out->span_id, span->span_id, 8);
}

/* Whether the span has the resource of the one before it: what a request came in with stays until all of it is in. */
static bool same_resource(const struct engine *e, const struct across_batch *b, const struct fluo_span *span) {
  return e->arriving && b->spans_count > 1 && span->resource.off == b->resource.off && span->resource.len == b->resource.len;
}

/* The record of the span that is looked at becomes the batch's last, once. */
static bool span_put(struct engine *e, struct across_batch *b, const struct trace *t, uint32_t index) {
  if (heap_grow((void **)&b->spans, &b->spans_capacity, b->spans_count, sizeof *b->spans)) return false;
  const struct fluo_span *span = across_skeleton(e, t, index);
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
  across_cells_begin(b, span, same);
  b->resource = span->resource;
  return true;
}

const struct span_view *across_view(struct engine *e, const struct trace *t, uint32_t span) {
  if (e->viewed == e->look) return &e->view;
  e->viewed = e->look;
  e->view = engine_view(e, t, span);
  return &e->view;
}

/* Of a cascade's failure what tells it from others. false: it lacks that, or there is no memory, which is counted. */
static bool distinct_get(struct sample *s, const struct trace *t, uint32_t span) {
  const struct fluo_ir_sequence *terms = across_sequence(s->to);
  if (terms->rooted && s->note.patterns & 1) return true;
  int got = across_key(s->e, s->b, s->to->rules->set, terms->distinct, t, span, &s->note.distinct);
  if (got < 0) lost(s->e);
  return got == 1;
}

/* A step of a sequence so far behind the clock that what stood beside it is forgotten: whether anything is missing after
 * it nobody knows any more. What must not come is taken whenever it comes: a match may be waiting for it. */
static bool is_forgotten(struct engine *e, const struct across_target *target, uint64_t start_ns) {
  const struct across *to = target->to;
  if (to->cascade) return false;
  const struct fluo_ir_sequence *terms = across_sequence(to);
  if (!(target->patterns & ~terms->absent)) return false;
  uint64_t age_ns = e->late_ns > start_ns ? e->late_ns - start_ns : 0;
  if (age_ns <= SEQUENCE_LATENESS_NS || age_ns - SEQUENCE_LATENESS_NS <= terms->ns) return false;
  e->across.late_events++;
  if (terms->absent && target->patterns & 1) to->rules->counts[to->rule]->stats.unknown++;
  return true;
}

/* What is in the numerator of a ratio is no event but with its own pattern, which comes first; only where functions are
 * asked may it come later. */
static bool is_numerator(const struct across *to, struct across_batch *b, uint64_t look, uint32_t patterns) {
  if (!to->ratio || to->asks || patterns & 1) return false;
  if (b->look == look && b->noted == to) b->notes[b->count - 1].patterns |= patterns;
  return true;
}

static void note_other(struct sample *s, const struct trace *t, uint32_t span) {
  if (s->to->terms && s->to->terms->sample == FLUO_SAMPLE_FIELD)
    note_field(s, across_view(s->e, t, span));
  else if (s->to->terms)
    note_either(s, across_view(s->e, t, span));
  else if (!s->to->cascade || distinct_get(s, t, span))
    note_add(s, s->b->spans[s->b->spans_count - 1].witness.start_ns);
}

void across_take(struct engine *e, struct trace *t, const struct across_target *target, uint32_t span,
                 const struct fluo_span *parent) {
  struct across *to = target->to;
  struct across_batch *b = across_batch_for(e, to);
  if (b && is_numerator(to, b, e->look, target->patterns)) return;
  if (parent) {
    across_view(e, t, span);
    e->view.parent = parent;
  }
  if (!to->terms && is_forgotten(e, target, store_span(e->store, t, span)->start_ns)) return;
  if (!b || (b->look != e->look && !span_put(e, b, t, span))) {
    lost(e);
    return;
  }
  uint32_t cell;
  int got = across_cell(e, b, to, t, span, &cell);
  if (got < 0) lost(e);
  if (got != 1) return;
  if (to->terms && b->spans[b->spans_count - 1].late)
    e->across.late_events++;
  else if (to->terms && is_plain(to->terms))
    note_plain(e, b, to, cell, target->patterns);
  else
    note_other(&(struct sample){e, b, to, {.cell = cell, .patterns = target->patterns}}, t, span);
}
