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

/* The moment of the batch's last span at that time: one of its last two, or a new one. NULL: no memory. A second one of
 * the same time stands beside the first when they are in order. */
static struct across_moment *moment_at(struct across_batch *b, uint64_t at_ns) {
  uint32_t span = b->spans_count - 1;
  for (uint32_t i = b->moments_count; i && i + 2 > b->moments_count && b->moments[i - 1].span == span; i--)
    if (b->moments[i - 1].at_ns == at_ns) return &b->moments[i - 1];
  if (heap_grow((void **)&b->moments, &b->moments_capacity, b->moments_count, sizeof *b->moments) ||
      heap_grow((void **)&b->sorted, &b->sorted_capacity, b->moments_count, sizeof *b->sorted))
    return NULL;
  struct across_moment *m = &b->moments[b->moments_count++];
  *m = (struct across_moment){at_ns, __builtin_bswap64(bytes_load64(b->spans[span].witness.span_id)), span, ACROSS_END,
                              ACROSS_END};
  return m;
}

static void note_add(struct engine *e, struct across_batch *b, const struct across_note *draft, uint64_t at_ns) {
  bool room = b->count < LIMIT_ACROSS_NOTES && !heap_grow((void **)&b->notes, &b->capacity, b->count, sizeof *b->notes);
  struct across_moment *m = room ? moment_at(b, at_ns) : NULL;
  if (!m) {
    lost(e);
    return;
  }
  uint32_t at = b->count++;
  b->notes[at] = *draft;
  b->notes[at].next = ACROSS_END;
  b->noted = draft->to;
  b->merges |= draft->to->merges;
  *(m->first == ACROSS_END ? &m->first : &b->notes[m->last].next) = at;
  m->last = at;
}

/* An event is never newer than 5 s past the clock. */
static uint64_t clamped(struct engine *e, uint64_t time_ns) {
  uint64_t newest = e->now_ns + LIMIT_ACROSS_FUTURE_NS;
  if (time_ns <= newest) return time_ns;
  e->across.future_events++;
  return newest;
}

static void add_event(struct engine *e, struct across_batch *b, struct across_note *draft,
                      uint64_t time_ns, double value, uint32_t weight, uint32_t flags) {
  draft->value = value;
  draft->weight = weight;
  draft->flags = flags;
  note_add(e, b, draft, clamped(e, time_ns));
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
  bool distinct = w->aggregate == FLUO_AGGREGATE_DISTINCT;
  if (distinct ? hash_of(&value, &draft->hash) : number_of(&value, &x))
    add_event(e, b, draft, end_of(view->span), x, 1, SERIES_SPAN);
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
    add_event(e, b, draft, end_of(view->span), x, 1, SERIES_SPAN);
    return true;
  }
  if (note_events(e, b, draft, view, name, n)) return true;
  struct fluo_text own = view->span->name;
  draft->repeats = false;
  if (own.len != n || memcmp(view->arena + own.off, name, n)) return there;
  add_event(e, b, draft, end_of(view->span), 1, 1, SERIES_SPAN);
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

static void note_window(struct engine *e, struct across_batch *b, struct across_note *draft,
                        const struct span_view *view) {
  uint64_t end = end_of(view->span);
  if (e->late_ns > end && e->late_ns - end > LIMIT_ACROSS_LATE_NS) {
    e->across.late_events++;
    return;
  }
  switch (draft->to->terms->sample) {
  case FLUO_SAMPLE_SPAN: add_event(e, b, draft, end, 1, 1, SERIES_SPAN); break;
  case FLUO_SAMPLE_FIELD: note_field(e, b, draft, view); break;
  default: note_either(e, b, draft, view); break;
  }
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
static bool span_put(struct engine *e, struct across_batch *b, const struct trace *t,
                     const struct fluo_span *span) {
  if (b->look == e->look) return true;
  if (heap_grow((void **)&b->spans, &b->spans_capacity, b->spans_count, sizeof *b->spans))
    return false;
  struct across_span *record = &b->spans[b->spans_count++];
  *record = (struct across_span){.rules = t->judged_by, .end_ns = end_of(span)};
  bool same = same_resource(e, b, span);
  witness_fill(e, t, span, same ? &record[-1].witness.service : NULL, &record->witness);
  record->rules->traces++;
  b->look = e->look;
  b->noted = NULL;
  memo_begin(b, same);
  b->resource = span->resource;
  return true;
}

/* The key as the span has it: 1; 0: it lacks a field of `by`; or a negative fluo_err. */
static int key_make(struct engine *e, struct across_batch *b, const struct ruleset *set, struct fluo_range by,
                    const struct span_view *view, struct across_key *out) {
  size_t at = b->keys.len;
  char scratch[32];
  struct fluo_value value;
  int got = 1;
  for (uint32_t i = 0; got == 1 && i < by.count; i++) {
    const struct fluo_ir_part *part =
        ruleset_part(set, ruleset_pair(set, by.first + i)->parts.first);
    bool there = read_field(e, b, view, part->field, ruleset_text(set, part->key), part->key.len, scratch, &value);
    got = there ? group_add(&value, &b->keys) : 0;
  }
  if (got == 1) {
    *out = (struct across_key){.at = (uint32_t)at, .bytes = (uint32_t)(b->keys.len - at)};
    out->hash = state_hash(e->state, by.count ? b->keys.data + at : NULL, out->bytes);
  } else {
    b->keys.len = at;
    b->keys.err = 0;
  }
  return got;
}

/* It is made once a span and list of fields. false: it lacks one, or there is no memory, which is counted. */
static bool key_get(struct engine *e, struct across_batch *b, const struct across *to,
                    const struct span_view *view, struct across_key *out) {
  for (uint32_t i = 0; i < b->memo_count; i++) {
    if (memcmp(b->memo[i].by, to->by, 16) != 0) continue;
    *out = b->memo[i].key;
    return b->memo[i].there;
  }
  int got = key_make(e, b, to->rules->set, across_by(to), view, out);
  if (got < 0) {
    lost(e);
    return false;
  }
  if (b->memo_count < ACROSS_MEMO) {
    struct across_memo *memo = &b->memo[b->memo_count++];
    *memo = (struct across_memo){.key = *out, .there = got, .by_resource = to->by_resource};
    memcpy(memo->by, to->by, 16);
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

/* Of a cascade's failure what tells it from others. false: it lacks that, or there is no memory, which is counted. */
static bool distinct_get(struct engine *e, struct across_batch *b, struct across_note *draft,
                         const struct span_view *view) {
  if (!draft->to->cascade) return true;
  const struct fluo_ir_sequence *terms = across_sequence(draft->to);
  if (terms->rooted && draft->patterns & 1) return true;
  int got = key_make(e, b, draft->to->rules->set, terms->distinct, view, &draft->distinct);
  if (got < 0) lost(e);
  return got == 1;
}

/* A step of a sequence so far behind the clock that what stood beside it is forgotten: whether anything is missing after
 * it nobody knows any more. What must not come is taken whenever it comes: a match may be waiting for it. */
static bool is_forgotten(struct engine *e, const struct across_note *draft, uint64_t start_ns) {
  const struct across *to = draft->to;
  if (to->terms || to->cascade) return false;
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

void across_take(struct engine *e, struct trace *t, const struct fluo_ir_rule *of, uint32_t pattern, uint32_t span,
                 const struct fluo_span *parent) {
  struct across *to = across_of(t->judged_by, of);
  struct across_batch *b = across_batch_for(e, to);
  uint32_t patterns = 1u << (pattern - of->patterns.first);
  if (b && is_numerator(to, b, e->look, patterns)) return;
  const struct span_view *view = view_of(e, t, span);
  if (parent) e->view.parent = parent;
  struct across_note draft = {.to = to, .patterns = patterns};
  if (is_forgotten(e, &draft, view->span->start_ns)) return;
  if (!b || !span_put(e, b, t, view->span)) {
    lost(e);
    return;
  }
  if (!key_get(e, b, to, view, &draft.key) || !distinct_get(e, b, &draft, view)) return;
  if (to->terms)
    note_window(e, b, &draft, view);
  else
    note_add(e, b, &draft, view->span->start_ns);
}
