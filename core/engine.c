/* The engine.
 *
 * Good path of a request, or of a part of a large one: a cursor hands out spans; each is admitted to its trace, matched,
 * and written into the arena. A hit of a span rule's pattern is a violation at once; a hit of a trace
 * rule's pattern is noted in the trace. Patterns whose functions must be asked become questions,
 * sent as jobs after the last span; their trace is pinned until the answers are in. Then every
 * trace that the request touched is settled: early rules whose gate opened go to the study as one
 * job. A trace that closed is judged by all its rules in ascending order, some at a time, and then
 * dropped; or kept, where a rule with `late = true` may still fire, and judged by these when late spans came.
 *
 * Ways it fails: no memory for a span: dropped(memory). No memory for a question or a note: that
 * pattern is unknown for the span, or the trace is cut, and hits_lost counts it. The study answers
 * every job in the end (with "unknown" where a rule was stopped), so nothing waits for ever.
 *
 * Who frees what: the store owns traces; a closed one is ours from on_close until store_drop, which
 * finish() calls. A job is the study's from study_send on; its `owner` (the trace of a judgment,
 * the notes of questions) is ours and freed in the callback, or in engine_free for those that never
 * came back. */
#include "engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine_parts.h"
#include "err.h"
#include "heap.h"
#include "limits.h"

const char *const drop_reason_names[DROP_REASONS] = {"duplicate", "memory"};

/* ---- matching a span ----------------------------------------------------------------------- */

static void on_pattern(struct engine *e, struct trace *t, uint32_t span, uint32_t pattern,
                       bool unknown) {
  if (!unknown && engine_is_across(t->judged_by, pattern)) {
    engine_across_hit(e, t, pattern, span);
    return;
  }
  const struct ruleset *rules = t->judged_by->set;
  uint32_t rule = ruleset_pattern(rules, pattern)->rule;
  const struct fluo_ir_rule *judging = ruleset_rule(rules, rule);
  if (pattern - judging->patterns.first >= judging->patterns.count) {
    engine_resolves(e, t, rule, span, unknown);
    return;
  }
  if (judging->scope != FLUO_SCOPE_TRACE) {
    if (unknown)
      engine_counts(t, rule)->unknown++;
    else
      engine_report_span(e, t, rule, span);
    return;
  }
  if (t->state == TRACE_LATE) return; /* trace rules do not see late spans */
  struct tally *tally = tally_put(t, pattern);
  struct trace_rule *note = trace_rule_put(t, rule);
  if (!tally || !note) {
    engine_note_lost(e, t);
    return;
  }
  if (!store_hit(e->store, t, unknown ? pattern | FLUO_HIT_UNKNOWN : pattern, span))
    return; /* counted there */
  if (unknown) {
    tally->unknown++;
  } else {
    tally->count++;
    note->dirty = 1;
  }
}

/* Room for n more questions of this request. */
static bool asked_reserve(struct engine *e, uint32_t n) {
  while (e->asked_capacity - e->asked_count < n)
    if (heap_double((void **)&e->asked, &e->asked_capacity, sizeof *e->asked))
      return false;
  return true;
}

/* Asks about one (span, pattern) group of n questions; or nobody, and the pattern is unknown for the span: too many are
 * out, of all rules or of this one, or there is no memory. */
static void ask_group(struct engine *e, struct trace *t, uint32_t span, const struct match_ask *asks, uint32_t n) {
  struct engine_rules *r = t->judged_by;
  uint32_t rule = ruleset_pattern(r->set, asks->pattern)->rule;
  bool shed = n > LIMIT_QUESTIONS - e->questions_out || engine_behind(e, r, rule, n);
  if (shed || !asked_reserve(e, n)) {
    if (shed) e->stats.questions_shed += n;
    else e->stats.hits_lost++;
    on_pattern(e, t, span, asks->pattern, true);
    return;
  }
  if (!t->questions) store_pin(t); /* until the last answer */
  t->questions += n;
  e->questions_out += n;
  r->out[rule] += n;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = e->asked_count++;
    e->asked[at] = (struct question_note){t, span, asks[i].pattern, asks[i].function, asks[i].object, rule, at};
  }
  if (e->asked[0].rule != rule || e->asked[0].trace->judged_by != r) e->asked_mixed = true;
}

static void ask(struct engine *e, struct trace *t, uint32_t span, const struct match *m) {
  for (uint32_t i = 0, end; i < m->asks_count; i = end) {
    for (end = i + 1; end < m->asks_count && m->asks[end].pattern == m->asks[i].pattern;) end++;
    ask_group(e, t, span, m->asks + i, end - i);
  }
}

/* Of a violation that will be counted and not written, all is read while the span is at hand. */
static bool may_be_written(const struct engine *e, const struct engine_rules *rules, uint32_t rule) {
  return !e->live || voice_left(&rules->counts[rule]->voice, &e->lines, e->now_ns);
}

/* Rules across traces take what they need of a span when it is a hit, unless they wait for its parent. */
static bool is_read_again(const struct engine *e, const struct engine_rules *rules, const struct match *m) {
  if (m->unknowns_count || m->asks_count) return true;
  for (uint32_t i = 0; i < m->hits_count; i++) {
    if (engine_is_across(rules, m->hits[i])) {
      if (e->rules_wait && engine_across_rereads(rules, m->hits[i])) return true;
      continue;
    }
    uint32_t index = ruleset_pattern(rules->set, m->hits[i])->rule;
    const struct fluo_ir_rule *rule = ruleset_rule(rules->set, index);
    if (rule->scope == FLUO_SCOPE_TRACE) return true;
    if (rule->scope == FLUO_SCOPE_SPAN && may_be_written(e, rules, index)) return true;
  }
  return false;
}

/* A span is matched before its payload is stored, where it came in: what is no hit and asked nothing about is never
 * read again, unless some rule's functions go through all spans of a trace. Of a failing one the status message is, if
 * it is the cause of a violation. */
static bool needs_payload(void *ctx, const struct trace *t, const struct fluo_span *skeleton,
                          const struct otlp_span *span) {
  struct engine *e = ctx;
  const struct engine_rules *rules = t->judged_by ? t->judged_by : e->rules;
  struct span_view view = {.arena = arena_base(store_arena(e->store)),
                           .span = skeleton,
                           .payload = span->payload.p,
                           .payload_bytes = (uint32_t)span->payload.n,
                           .trace_id = t->id,
                           .renamed = e->renamed};
  if (e->live) matcher_now(rules->matcher, e->now_ns);
  matcher_span(rules->matcher, &view, &e->match);
  bool may_be_cause = skeleton->status == FLUO_STATUS_ERROR && ruleset_ir(rules->set)->rules;
  return rules->payloads || may_be_cause || is_read_again(e, rules, &e->match);
}

static void take_match(struct engine *e, struct trace *t, uint32_t index) {
  const struct match *m = &e->match;
  for (uint32_t i = 0; i < m->hits_count; i++) on_pattern(e, t, index, m->hits[i], false);
  for (uint32_t i = 0; i < m->unknowns_count; i++) on_pattern(e, t, index, m->unknowns[i], true);
  ask(e, t, index, m);
}

/* A touched trace is settled once the request is in. It is not pinned: the rest of the request may shed its
 * attributes, which were matched already, or even close it; it is dropped only when it is settled. */
static void touch(struct engine *e, struct trace *t) {
  if (t->touched) return;
  t->touched = true;
  t->next_touched = e->touched;
  e->touched = t;
}

static void send_asked(struct engine *e);

static void take_span(struct engine *e, const struct otlp_span *span) {
  struct trace *t;
  struct fluo_span *written = NULL;
  uint32_t index;
  e->stats.received++;
  if (span->rejected) {
    e->stats.rejected++;
    e->stats.rejected_for[span->rejected]++;
    e->receipt->rejected++;
    e->receipt->rejected_for[span->rejected]++;
    return;
  }
  enum admit admit = store_admit(e->store, span->trace_id, span->span_id, e->now_ns, &t);
  if (admit == ADMIT_DUPLICATE) {
    e->stats.dropped[DROP_DUPLICATE]++;
    e->receipt->accepted++; /* the client is done with it */
    return;
  }
  if (admit != ADMIT_NO_MEMORY) written = store_add(e->store, t, span, &index);
  if (!written) {
    e->stats.dropped[DROP_MEMORY]++;
    e->receipt->dropped_memory++;
    return;
  }
  if (!t->judged_by) engine_hold_rules(e, t);
  touch(e, t);
  t->errors += written->status == FLUO_STATUS_ERROR;
  e->receipt->accepted++;
  if (t->waits_count) engine_waits_arrival(t, written);
  e->look++;
  e->arriving = span;
  e->arriving_as = written;
  take_match(e, t, index);
  e->arriving = NULL;
  if (e->asked_count >= FLUO_JOB_ITEMS_MAX) send_asked(e);
}

/* ---- questions ----------------------------------------------------------------------------- */

_Static_assert(LIMIT_PATTERN_QUESTIONS <= FLUO_JOB_ITEMS_MAX, "a group of questions fits a job");
_Static_assert(sizeof(struct fluo_job) + FLUO_JOB_ITEMS_MAX * sizeof(struct fluo_question) <= FLUO_MESSAGE_BYTES_MAX,
               "a full job of questions fits a message");

/* Questions of one rule stand together, in the order in which they were asked: each rule has jobs of its own, which
 * tell what its answers take. */
static int by_rule(const void *left, const void *right) {
  const struct question_note *a = left, *b = right;
  if (a->trace->judged_by != b->trace->judged_by) return a->trace->judged_by < b->trace->judged_by ? -1 : 1;
  if (a->rule != b->rule) return a->rule < b->rule ? -1 : 1;
  return a->order < b->order ? -1 : 1;
}

static bool of_one_group(const struct question_note *a, const struct question_note *b) {
  return a->trace == b->trace && a->span == b->span && a->pattern == b->pattern;
}

/* How many of the notes from `first` fill a job: of one rule, no more than take LIMIT_JOB_NS where that is known, and
 * without cutting a (span, pattern) group in two. */
static uint32_t sheet_size(const struct engine *e, uint32_t first) {
  const struct question_note *head = &e->asked[first];
  const struct engine_rules *rules = head->trace->judged_by;
  uint32_t cost = rules->cost_ns[head->rule], most = LIMIT_JOB_FIRST_ITEMS, n = 0;
  if (cost) most = LIMIT_JOB_NS / cost < FLUO_JOB_ITEMS_MAX ? (uint32_t)(LIMIT_JOB_NS / cost) : FLUO_JOB_ITEMS_MAX;
  for (uint32_t end; first + n < e->asked_count; n = end) {
    if (head[n].rule != head->rule || head[n].trace->judged_by != rules) break;
    for (end = n + 1; first + end < e->asked_count && of_one_group(&head[n], &head[end]);) end++;
    if (n && end > most) break;
  }
  assert(n && n <= FLUO_JOB_ITEMS_MAX); /* a group has LIMIT_PATTERN_QUESTIONS at most */
  return n;
}

static void sheet_link(struct engine *e, struct question_sheet *sheet) {
  sheet->next = e->sheets;
  sheet->back = &e->sheets;
  if (sheet->next) sheet->next->back = &sheet->next;
  e->sheets = sheet;
}

static void sheet_free(struct question_sheet *sheet) {
  *sheet->back = sheet->next;
  if (sheet->next) sheet->next->back = sheet->back;
  heap_free(sheet);
}

static void fill_questions(const struct engine *e, struct fluo_question *out,
                           const struct question_note *notes, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    out[i].function = notes[i].function;
    out[i].object = notes[i].object;
    out[i].span = store_offset(e->store, store_span(e->store, notes[i].trace, notes[i].span));
    memcpy(out[i].trace_id, notes[i].trace->id, 16);
  }
}

static bool send_questions(struct engine *e, uint32_t first, uint32_t n) {
  struct study_job *job = heap_zalloc(sizeof *job);
  struct question_sheet *sheet = heap_alloc(sizeof *sheet + n * sizeof sheet->notes[0]);
  struct fluo_question *questions = heap_alloc(n * sizeof *questions);
  if (!job || !sheet || !questions) {
    heap_free(job);
    heap_free(sheet);
    heap_free(questions);
    return false;
  }
  sheet->count = n;
  sheet->batch = engine_batch(e);
  engine_batch_asks(sheet->batch);
  memcpy(sheet->notes, e->asked + first, n * sizeof sheet->notes[0]);
  fill_questions(e, questions, sheet->notes, n);
  sheet_link(e, sheet);
  job->head.message = FLUO_MESSAGE_ASK;
  job->head.count = n;
  job->questions = questions;
  job->owner = sheet;
  job->sent_ns = e->now_ns;
  job->rule = sheet->notes[0].rule;
  e->stats.questions += n;
  study_send(sheet->notes[0].trace->judged_by->study, job);
  return true;
}

/* The answers to one (span, pattern) group of n questions, NULL: none came. */
static void take_group(struct engine *e, const struct question_note *notes, const uint8_t *answers,
                       uint32_t n) {
  enum fluo_truth truth = FLUO_UNKNOWN;
  while (answers && e->group_capacity < n)
    if (heap_double((void **)&e->group, &e->group_capacity, sizeof *e->group))
      answers = NULL;
  if (answers) {
    for (uint32_t i = 0; i < n; i++)
      e->group[i] = (struct fluo_answer){notes[i].function, notes[i].object, answers[i]};
    struct span_view view = engine_view(e, notes->trace, notes->span);
    truth = matcher_resolve(notes->trace->judged_by->matcher, &view, notes->pattern, e->group, n);
  }
  e->look++;
  if (truth != FLUO_FALSE)
    on_pattern(e, notes->trace, notes->span, notes->pattern, truth == FLUO_UNKNOWN);
}

static void take_answers(struct engine *e, const struct question_note *notes,
                         const uint8_t *answers, uint32_t n) {
  for (uint32_t i = 0, end; i < n; i = end) {
    for (end = i + 1; end < n && notes[end].trace == notes[i].trace &&
                      notes[end].span == notes[i].span && notes[end].pattern == notes[i].pattern;)
      end++;
    notes[i].trace->judged_by->out[notes[i].rule] -= end - i;
    take_group(e, notes + i, answers ? answers + i : NULL, end - i);
  }
  e->questions_out -= n;
  for (uint32_t i = 0; i < n; i++) {
    struct trace *t = notes[i].trace;
    assert(t->questions);
    if (--t->questions) continue;
    touch(e, t);
    store_unpin(t);
  }
}

static void send_asked(struct engine *e) {
  if (e->asked_mixed) qsort(e->asked, e->asked_count, sizeof *e->asked, by_rule);
  e->asked_mixed = false;
  for (uint32_t first = 0, n; first < e->asked_count; first += n) {
    n = sheet_size(e, first);
    if (send_questions(e, first, n)) continue;
    e->stats.hits_lost += n;
    take_answers(e, e->asked + first, NULL, n);
  }
  e->asked_count = 0;
}

static void settle_touched(struct engine *e) {
  if (e->calls.on_request_end) e->calls.on_request_end(e->calls.ctx);
  while (e->touched) {
    struct trace *t = e->touched;
    e->touched = t->next_touched;
    t->touched = false;
    engine_settle(e, t);
  }
}

void engine_answers(struct engine *e, const struct study_job *job, const uint8_t *answers) {
  struct question_sheet *sheet = job->owner;
  const struct question_note *first = sheet->notes;
  if (job->left) engine_learn_cost(e, first->trace->judged_by, first->rule, job->took_ns, job->left);
  e->batch = sheet->batch;
  take_answers(e, sheet->notes, answers, sheet->count);
  engine_waits_take(e);
  engine_end_request(e);
  engine_batch_answered(e, sheet->batch);
  sheet_free(sheet);
  settle_touched(e);
}

/* ---- outside ------------------------------------------------------------------------------- */

static void on_close(void *ctx, struct trace *t) {
  struct engine *e = ctx;
  t->look_spans = t->spans.count;
  if (t->state == TRACE_CLOSED && engine_awaits_late(t)) store_keep(e->store, t);
  engine_settle(e, t);
}

static void on_release(void *ctx, struct trace *t) {
  struct engine *e = ctx;
  engine_cause_forget(e, t);
  engine_drop_rules(t);
  store_drop(e->store, t);
}

int engine_new(const struct engine_options *options, const struct engine_calls *calls,
               struct engine **out) {
  struct engine *e = heap_zalloc(sizeof *e);
  if (!e) return FLUO_ENOMEM;
  e->calls = *calls;
  e->live = options->live;
  e->renamed = options->renamed;
  e->started_ns = options->started_ns;
  e->max_age_ns = options->store.max_age_ns;
  e->late_from_ns = UINT64_MAX;
  e->cause_key = hash_key_random();
  struct store_calls store_calls = {
      .on_close = on_close, .on_release = on_release, .needs_payload = needs_payload, .ctx = e};
  int err = state_new(options->state_bytes_max, &e->state);
  if (!err) state_defer(e->state);
  if (!err) err = store_new(&options->store, &store_calls, &e->store);
  if (err) {
    state_free(e->state);
    heap_free(e);
    return err;
  }
  *out = e;
  return 0;
}

void engine_free(struct engine *e) {
  if (!e) return;
  while (e->sheets) sheet_free(e->sheets);
  engine_batches_free(e);
  engine_free_rules(e);
  heap_free(e->asked);
  heap_free(e->group);
  store_free(e->store);
  state_free(e->state);
  heap_free(e);
}

struct store *engine_store(const struct engine *e) {
  return e->store;
}

bool engine_receive_some(struct engine *e, struct otlp_cursor *body, size_t cost_max, uint64_t now_ns,
                         struct engine_receipt *receipt) {
  enum otlp_step step = OTLP_STEP_ON;
  if (now_ns > e->now_ns) e->now_ns = now_ns;
  e->late_ns = e->late_from_ns == UINT64_MAX ? e->now_ns : e->late_from_ns;
  e->receipt = receipt;
  engine_across_arrival(e);
  for (size_t cost = 0; cost < cost_max && (step = otlp_step(body, &cost)) != OTLP_STEP_END;)
    if (step == OTLP_STEP_SPAN) take_span(e, &body->span);
  e->receipt = NULL;
  store_end_request(e->store, e->now_ns);
  send_asked(e);
  engine_waits_take(e);
  engine_end_request(e);
  settle_touched(e);
  return step != OTLP_STEP_END;
}

int engine_receive(struct engine *e, const uint8_t *body, size_t n, const struct otlp_summary *checked, uint64_t now_ns,
                   struct engine_receipt *receipt) {
  struct otlp_cursor cursor;
  *receipt = (struct engine_receipt){0};
  int err = otlp_open(&cursor, body, n, checked);
  if (err) return err;
  while (engine_receive_some(e, &cursor, SIZE_MAX, now_ns, receipt)) {}
  otlp_close(&cursor);
  return 0;
}

void engine_late_from(struct engine *e, uint64_t clock_ns) {
  e->late_from_ns = clock_ns;
}

uint64_t engine_next_due(const struct engine *e) {
  uint64_t traces = store_next_due(e->store), across = engine_across_due(e);
  return traces < across ? traces : across;
}

bool engine_step(struct engine *e, uint64_t now_ns) {
  if (now_ns > e->now_ns) e->now_ns = now_ns;
  if (engine_across_due(e) < store_next_due(e->store)) return state_step(e->state, now_ns);
  return store_close_due(e->store, now_ns);
}

void engine_close_all(struct engine *e, uint64_t now_ns) {
  if (now_ns > e->now_ns) e->now_ns = now_ns;
  while (store_close_oldest(e->store, CLOSE_SHUTDOWN, e->now_ns)) {}
}

void engine_across_stats_get(const struct engine *e, struct engine_across_stats *out) {
  const struct state_stats *s = state_stats(e->state);
  *out = e->across;
  out->groups = s->groups;
  out->bytes = s->bytes;
  out->groups_evicted = s->groups_evicted;
  out->lost_events = s->lost;
  out->overflowed_events = s->overflowed;
}

bool engine_idle(const struct engine *e) {
  struct engine_stats stats;
  engine_stats_get(e, &stats);
  return stats.in_flight == 0;
}

void engine_stats_get(const struct engine *e, struct engine_stats *out) {
  struct store_stats held;
  *out = e->stats;
  store_stats_get(e->store, e->now_ns, &held);
  out->in_flight = held.spans_held;
}
