/* The engine.
 *
 * Good path of a request: otlp_each hands out spans; each is admitted to its trace, written into the
 * arena and matched. A hit of a span rule's pattern is a violation at once; a hit of a trace rule's
 * pattern is noted in the trace. Patterns whose functions must be asked become questions, sent as jobs
 * after the last span; their trace is pinned until the answers are in. Then every trace that the request
 * touched is settled: early rules whose gate opened go to the study as one job. A trace that closed is
 * judged by all its rules in ascending order, some at a time, and then dropped.
 *
 * Ways it fails: no memory for a span: dropped(memory). No memory for a question or a note: that pattern
 * is unknown for the span, or the trace is cut, and hits_lost counts it. The study answers every job in
 * the end (with "unknown" where a rule was stopped), so nothing waits for ever.
 *
 * Who frees what: the store owns traces; a closed one is ours from on_close until store_drop, which
 * finish() calls. A job is the study's from study_send on; its `owner` (the trace of a judgment, the notes
 * of questions) is ours and freed in the callback, or in engine_free for those that never came back. */
#include "engine.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "err.h"
#include "heap.h"

const char *const drop_reason_names[DROP_REASONS] = {"duplicate", "memory"};

/* What a question was asked for. Kept in the order of the questions of its job. */
struct question_note {
  struct trace *trace;
  uint32_t span, pattern, function;
};

/* The notes of one job; all groups of a (span, pattern) are whole within it. */
struct question_sheet {
  struct question_sheet *next, **back;      /* the engine's list of what is out */
  uint32_t count;
  struct question_note notes[];
};

/* The rules in force, and what belongs to them. A trace keeps those of its first span. */
struct engine_rules {
  const struct ruleset *set;
  struct study *study;
  struct matcher *matcher;
  struct engine_rule_stats *stats;
};

struct engine {
  struct store *store;
  struct engine_calls calls;
  struct engine_rules rules;
  struct trace *touched;
  struct question_note *asked;              /* of the request being taken */
  uint32_t asked_count, asked_capacity;
  struct question_sheet *sheets;
  struct match_answer *group;               /* scratch of take_group */
  uint32_t group_capacity;
  bool live, renamed;
  uint64_t started_ns, max_age_ns, now_ns;
  struct engine_receipt receipt;
  struct engine_stats stats;
};

static void settle(struct engine *e, struct trace *t);

/* ---- notes in a trace ---------------------------------------------------------------------------- */

static struct tally *tally_find(const struct trace *t, uint32_t pattern, uint32_t *at) {
  uint32_t low = 0, high = t->tallies_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (t->tallies[middle].pattern < pattern) low = middle + 1;
    else high = middle;
  }
  *at = low;
  return low < t->tallies_count && t->tallies[low].pattern == pattern ? &t->tallies[low] : NULL;
}

static struct tally *tally_put(struct trace *t, uint32_t pattern) {
  uint32_t at;
  struct tally *found = tally_find(t, pattern, &at);
  if (found) return found;
  if (heap_grow((void **)&t->tallies, &t->tallies_capacity, t->tallies_count, sizeof *t->tallies)) return NULL;
  memmove(t->tallies + at + 1, t->tallies + at, (t->tallies_count - at) * sizeof *t->tallies);
  t->tallies_count++;
  t->tallies[at] = (struct tally){.pattern = pattern};
  return &t->tallies[at];
}

static struct trace_rule *rule_find(const struct trace *t, uint32_t rule, uint32_t *at) {
  uint32_t low = 0, high = t->rules_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (t->rules[middle].rule < rule) low = middle + 1;
    else high = middle;
  }
  *at = low;
  return low < t->rules_count && t->rules[low].rule == rule ? &t->rules[low] : NULL;
}

static struct trace_rule *rule_put(struct trace *t, uint32_t rule) {
  uint32_t at;
  struct trace_rule *found = rule_find(t, rule, &at);
  if (found) return found;
  if (heap_grow((void **)&t->rules, &t->rules_capacity, t->rules_count, sizeof *t->rules)) return NULL;
  memmove(t->rules + at + 1, t->rules + at, (t->rules_count - at) * sizeof *t->rules);
  t->rules_count++;
  t->rules[at] = (struct trace_rule){.rule = rule};
  return &t->rules[at];
}

/* A trace that lost a note cannot prove an absence any more. */
static void note_lost(struct engine *e, struct trace *t) {
  t->cut = true;
  e->stats.hits_lost++;
}

/* ---- violations ---------------------------------------------------------------------------------- */

static struct span_view view_of(const struct engine *e, const struct trace *t, uint32_t span) {
  return (struct span_view){.arena = arena_base(store_arena(e->store)),
                            .span = store_span(e->store, t, span),
                            .trace_id = t->id,
                            .renamed = e->renamed};
}

static void report(struct engine *e, struct violation *v, const struct trace *t, uint32_t rule) {
  v->rules = e->rules.set;
  v->rule_index = rule;
  v->rule = ruleset_rule(e->rules.set, rule);
  memcpy(v->trace_id, t->id, 16);
  violation_identify(v);
  e->rules.stats[rule].violations++;
  e->calls.on_violation(e->calls.ctx, v);
}

static void report_span(struct engine *e, struct trace *t, uint32_t rule, uint32_t span) {
  struct violation v = {.witnesses_count = 1, .witness_total = 1};
  v.witnesses[0] = view_of(e, t, span);
  v.time_ns = v.witnesses[0].span->end_ns;
  report(e, &v, t, rule);
}

static void report_trace(struct engine *e, struct trace *t, const struct study_verdict *verdict) {
  struct violation v = {.witnesses_count = verdict->witnesses_count,
                        .witness_total = verdict->witness_total,
                        .time_ns = verdict->time_ns,
                        .reason = verdict->reason,
                        .reason_bytes = verdict->reason_bytes,
                        .has_value = verdict->has_value,
                        .value = verdict->value,
                        .threshold = verdict->threshold};
  bool early = ruleset_rule(e->rules.set, verdict->rule)->flags & FLUO_RULE_EARLY;
  if (!early && t->state == TRACE_CLOSED) v.time_ns = t->closed_ns;    /* decided at the close */
  for (uint32_t i = 0; i < verdict->witnesses_count; i++)
    v.witnesses[i] = view_of(e, t, verdict->witnesses[i]);
  report(e, &v, t, verdict->rule);
}

/* ---- matching a span ----------------------------------------------------------------------------- */

static void on_pattern(struct engine *e, struct trace *t, uint32_t span, uint32_t pattern, bool unknown) {
  uint32_t rule = ruleset_pattern(e->rules.set, pattern)->rule;
  bool span_rule = ruleset_rule(e->rules.set, rule)->scope == FLUO_SCOPE_SPAN;
  if (span_rule) {
    if (unknown) e->rules.stats[rule].unknown++;
    else report_span(e, t, rule, span);
    return;
  }
  if (t->state == TRACE_LATE) return;                    /* trace rules do not see late spans */
  struct tally *tally = tally_put(t, pattern);
  struct trace_rule *note = rule_put(t, rule);
  if (!tally || !note || !store_hit(e->store, t, unknown ? pattern | FLUO_HIT_UNKNOWN : pattern, span)) {
    note_lost(e, t);
    return;
  }
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
    if (heap_grow((void **)&e->asked, &e->asked_capacity, e->asked_capacity, sizeof *e->asked)) return false;
  return true;
}

static void ask(struct engine *e, struct trace *t, uint32_t span, const struct match *m) {
  if (!m->asks_count) return;
  if (!asked_reserve(e, m->asks_count)) {
    e->stats.hits_lost++;
    for (uint32_t i = 0; i < m->asks_count; i++)
      if (i == 0 || m->asks[i].pattern != m->asks[i - 1].pattern)
        on_pattern(e, t, span, m->asks[i].pattern, true);
    return;
  }
  if (!t->questions) store_pin(t);                       /* until the last answer */
  t->questions += m->asks_count;
  for (uint32_t i = 0; i < m->asks_count; i++)
    e->asked[e->asked_count++] = (struct question_note){t, span, m->asks[i].pattern, m->asks[i].function};
}

static void match_span(struct engine *e, struct trace *t, uint32_t index) {
  struct span_view view = view_of(e, t, index);
  struct match m;
  if (matcher_span(e->rules.matcher, &view, &m)) {
    note_lost(e, t);
    return;
  }
  for (uint32_t i = 0; i < m.hits_count; i++) on_pattern(e, t, index, m.hits[i], false);
  for (uint32_t i = 0; i < m.unknowns_count; i++) on_pattern(e, t, index, m.unknowns[i], true);
  ask(e, t, index, &m);
}

/* A touched trace is pinned until it is settled, so that making room for the rest of the request never
 * takes it away. */
static void touch(struct engine *e, struct trace *t) {
  if (t->touched) return;
  t->touched = true;
  t->next_touched = e->touched;
  e->touched = t;
  store_pin(t);
}

static int on_span(void *ctx, const struct otlp_span *span) {
  struct engine *e = ctx;
  struct trace *t;
  uint32_t index;
  e->stats.received++;
  if (!span->valid) {
    e->stats.rejected++;
    e->receipt.rejected++;
    return 0;
  }
  enum admit admit = store_admit(e->store, span->trace_id, span->span_id, e->now_ns, &t);
  if (admit == ADMIT_DUPLICATE) {
    e->stats.dropped[DROP_DUPLICATE]++;
    e->receipt.accepted++;                               /* the client is done with it */
    return 0;
  }
  if (admit != ADMIT_NO_MEMORY) touch(e, t);
  if (admit == ADMIT_NO_MEMORY || !store_add(e->store, t, span, &index)) {
    e->stats.dropped[DROP_MEMORY]++;
    e->receipt.dropped_memory++;
    return 0;
  }
  e->receipt.accepted++;
  t->ruleset = &e->rules;
  match_span(e, t, index);
  return 0;
}

/* ---- questions ----------------------------------------------------------------------------------- */

/* How many of the notes from `first` fill a job without cutting a (span, pattern) group in two. */
static uint32_t sheet_size(const struct engine *e, uint32_t first) {
  uint32_t left = e->asked_count - first, n = left;
  if (n <= FLUO_JOB_ITEMS_MAX) return n;
  for (n = FLUO_JOB_ITEMS_MAX; n; n--) {
    const struct question_note *a = &e->asked[first + n - 1], *b = a + 1;
    if (a->trace != b->trace || a->span != b->span || a->pattern != b->pattern) break;
  }
  return n ? n : FLUO_JOB_ITEMS_MAX;
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

static void fill_questions(const struct engine *e, struct fluo_question *out, const struct question_note *notes,
                           uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    out[i].function = notes[i].function;
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
  memcpy(sheet->notes, e->asked + first, n * sizeof sheet->notes[0]);
  fill_questions(e, questions, sheet->notes, n);
  sheet_link(e, sheet);
  job->head.message = FLUO_MESSAGE_ASK;
  job->head.count = n;
  job->questions = questions;
  job->owner = sheet;
  e->stats.questions += n;
  study_send(e->rules.study, job);
  return true;
}

/* The answers to one (span, pattern) group of n questions, NULL: none came. */
static void take_group(struct engine *e, const struct question_note *notes, const uint8_t *answers, uint32_t n) {
  enum fluo_truth truth = FLUO_UNKNOWN;
  while (answers && e->group_capacity < n)
    if (heap_grow((void **)&e->group, &e->group_capacity, e->group_capacity, sizeof *e->group)) answers = NULL;
  if (answers) {
    for (uint32_t i = 0; i < n; i++) e->group[i] = (struct match_answer){notes[i].function, answers[i]};
    struct span_view view = view_of(e, notes->trace, notes->span);
    truth = matcher_resolve(e->rules.matcher, &view, notes->pattern, e->group, n);
  }
  if (truth != FLUO_FALSE) on_pattern(e, notes->trace, notes->span, notes->pattern, truth == FLUO_UNKNOWN);
}

static void take_answers(struct engine *e, const struct question_note *notes, const uint8_t *answers, uint32_t n) {
  for (uint32_t i = 0, end; i < n; i = end) {
    for (end = i + 1; end < n && notes[end].trace == notes[i].trace && notes[end].span == notes[i].span &&
                      notes[end].pattern == notes[i].pattern;)
      end++;
    take_group(e, notes + i, answers ? answers + i : NULL, end - i);
  }
  for (uint32_t i = 0; i < n; i++) {
    struct trace *t = notes[i].trace;
    assert(t->questions);
    if (--t->questions) continue;
    touch(e, t);
    store_unpin(t);
  }
}

static void send_asked(struct engine *e) {
  for (uint32_t first = 0, n; first < e->asked_count; first += n) {
    n = sheet_size(e, first);
    if (send_questions(e, first, n)) continue;
    e->stats.hits_lost += n;
    take_answers(e, e->asked + first, NULL, n);
  }
  e->asked_count = 0;
}

static void settle_touched(struct engine *e) {
  while (e->touched) {
    struct trace *t = e->touched;
    e->touched = t->next_touched;
    t->touched = false;
    store_unpin(t);
    settle(e, t);
  }
}

void engine_answers(struct engine *e, const struct study_job *job, const uint8_t *answers) {
  struct question_sheet *sheet = job->owner;
  take_answers(e, sheet->notes, answers, sheet->count);
  sheet_free(sheet);
  settle_touched(e);
}

/* ---- judging a trace ----------------------------------------------------------------------------- */

static bool gate_open(const struct engine *e, const struct trace *t, uint32_t rule) {
  struct gate_counts counts = {.tallies = t->tallies,
                               .tallies_count = t->tallies_count,
                               .spans = t->spans.count,
                               .duration_ns = t->end_max_ns > t->start_min_ns ? t->end_max_ns - t->start_min_ns : 0};
  return ruleset_gate(e->rules.set, rule, &counts);
}

/* Whether an early rule could have become true since it was last judged. */
static bool due_early(const struct engine *e, const struct trace *t, const struct trace_rule *note) {
  const struct fluo_ir_rule *rule = ruleset_rule(e->rules.set, note->rule);
  if (note->fired || !(rule->flags & FLUO_RULE_EARLY)) return false;
  bool grew = rule->flags & FLUO_RULE_STRUCTURE && note->spans_judged != t->spans.count;
  return (note->dirty || grew) && gate_open(e, t, note->rule);
}

/* Early rules that look at any span stand in every trace's notes from its first settling on. */
static void note_any_span(struct engine *e, struct trace *t) {
  uint32_t count;
  const uint32_t *rules = ruleset_any_span(e->rules.set, &count);
  for (uint32_t i = 0; i < count; i++) {
    struct trace_rule *note = rule_put(t, rules[i]);
    if (!note) note_lost(e, t);
    else if (note->spans_judged != t->spans.count) note->dirty = 1;
  }
}

static uint32_t collect_early(struct engine *e, struct trace *t, uint32_t *rules) {
  uint32_t n = 0;
  note_any_span(e, t);
  for (uint32_t i = 0; i < t->rules_count && n < FLUO_JOB_RULES_MAX; i++) {
    struct trace_rule *note = &t->rules[i];
    if (!due_early(e, t, note)) continue;
    note->dirty = 0;
    note->spans_judged = t->spans.count;
    rules[n++] = note->rule;
  }
  return n;
}

/* Whether a rule has to be judged at the close: it has not fired, and is not an early one that was
 * judged on all that is there. */
static bool due_closing(const struct engine *e, const struct trace *t, uint32_t rule, const struct trace_rule *note) {
  if (note && note->fired) return false;
  if (ruleset_rule(e->rules.set, rule)->flags & FLUO_RULE_EARLY)
    return note && due_early(e, t, note);
  return gate_open(e, t, rule);
}

/* The rules to judge at the close, in ascending order from t->close_from on: those noted in the trace,
 * and those whose gate is open without any hit. */
static uint32_t collect_closing(struct engine *e, struct trace *t, uint32_t *rules) {
  uint32_t always_count, n = 0, a = 0, r;
  const uint32_t *always = ruleset_always(e->rules.set, &always_count);
  rule_find(t, t->close_from, &r);
  while (a < always_count && always[a] < t->close_from) a++;
  while (n < FLUO_JOB_RULES_MAX && (r < t->rules_count || a < always_count)) {
    const struct trace_rule *note = NULL;
    uint32_t rule;
    if (r < t->rules_count && (a == always_count || t->rules[r].rule <= always[a])) {
      note = &t->rules[r++];
      rule = note->rule;
      if (a < always_count && always[a] == rule) a++;
    } else {
      rule = always[a++];
    }
    t->close_from = rule + 1;
    if (due_closing(e, t, rule, note)) rules[n++] = rule;
  }
  return n;
}

static uint32_t job_flags(const struct engine *e, const struct trace *t) {
  uint32_t flags = 0;
  if (t->state == TRACE_CLOSED) flags |= FLUO_JOB_CLOSING;
  if (t->cut) flags |= FLUO_JOB_CUT;
  if (e->live && t->first_ns < e->started_ns + e->max_age_ns) flags |= FLUO_JOB_STARTUP;
  return flags;
}

/* Sends rules[0..n) to be judged on the trace as it is now; the job takes the array. */
static bool send_judgment(struct engine *e, struct trace *t, uint32_t *rules, uint32_t n) {
  struct study_job *job = heap_zalloc(sizeof *job);
  if (!job) return false;
  job->head = (struct fluo_job){.message = FLUO_MESSAGE_JUDGE,
                                .count = n,
                                .spans_head = t->spans.head,
                                .spans_count = t->spans.count,
                                .hits_head = t->hits.head,
                                .hits_count = t->hits.count,
                                .flags = job_flags(e, t)};
  memcpy(job->head.trace_id, t->id, 16);
  job->rules = rules;
  job->owner = t;
  t->judging = true;
  store_pin(t);
  e->stats.judgments++;
  study_send(e->rules.study, job);
  return true;
}

static void finish(struct engine *e, struct trace *t) {
  e->stats.evaluated += t->spans.count;
  store_drop(e->store, t);
}

/* Without memory for a job the rules that were due stay unjudged: said as unknown, never silently. */
static void unjudged(struct engine *e, struct trace *t, const uint32_t *rules, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) e->rules.stats[rules[i]].unknown++;
  note_lost(e, t);
}

/* What is to be done with a trace now: nothing while answers or a judgment are out. */
static void settle(struct engine *e, struct trace *t) {
  uint32_t due[FLUO_JOB_RULES_MAX], n;
  if (t->touched || t->questions || t->judging) return;
  if (t->state == TRACE_LATE) {
    if (t->closed_ns) finish(e, t);
    return;
  }
  do {
    n = t->state == TRACE_CLOSED ? collect_closing(e, t, due) : collect_early(e, t, due);
    if (!n) break;
    uint32_t *rules = heap_alloc(n * sizeof *rules);
    if (rules) memcpy(rules, due, n * sizeof *rules);
    if (rules && send_judgment(e, t, rules, n)) return;
    heap_free(rules);
    unjudged(e, t, due, n);
  } while (t->state == TRACE_CLOSED);
  if (t->state == TRACE_CLOSED) finish(e, t);
}

void engine_verdicts(struct engine *e, const struct study_job *job, const struct study_verdict *verdicts) {
  struct trace *t = job->owner;
  for (uint32_t i = 0; i < job->head.count; i++) {
    const struct study_verdict *verdict = &verdicts[i];
    uint32_t at;
    if (verdict->truth == FLUO_UNKNOWN) e->rules.stats[verdict->rule].unknown++;
    if (verdict->truth != FLUO_TRUE) continue;
    struct trace_rule *note = rule_find(t, verdict->rule, &at);
    if (note) note->fired = 1;
    report_trace(e, t, verdict);
  }
  t->judging = false;
  store_unpin(t);
  settle(e, t);
}

static void on_close(void *ctx, struct trace *t) {
  settle(ctx, t);
}

/* ---- outside ------------------------------------------------------------------------------------- */

int engine_new(const struct engine_options *options, const struct engine_calls *calls, struct engine **out) {
  struct engine *e = heap_zalloc(sizeof *e);
  if (!e) return FLUO_ENOMEM;
  e->calls = *calls;
  e->live = options->live;
  e->renamed = options->renamed;
  e->started_ns = options->started_ns;
  e->max_age_ns = options->store.max_age_ns;
  struct store_calls store_calls = {.on_close = on_close, .ctx = e};
  int err = store_new(&options->store, &store_calls, &e->store);
  if (err) heap_free(e);
  else *out = e;
  return err;
}

void engine_free(struct engine *e) {
  if (!e) return;
  while (e->sheets) sheet_free(e->sheets);
  matcher_free(e->rules.matcher);
  heap_free(e->rules.stats);
  heap_free(e->asked);
  heap_free(e->group);
  store_free(e->store);
  heap_free(e);
}

struct store *engine_store(const struct engine *e) {
  return e->store;
}

int engine_use(struct engine *e, const struct ruleset *rules, struct study *study) {
  uint32_t count = ruleset_ir(rules)->rules;
  bool payloads = false;
  struct engine_rule_stats *stats = heap_zalloc((count ? count : 1) * sizeof *stats);
  if (!stats) return FLUO_ENOMEM;
  int err = matcher_new(rules, &e->rules.matcher);
  if (err) {
    heap_free(stats);
    return err;
  }
  for (uint32_t i = 0; i < count; i++) payloads |= ruleset_rule(rules, i)->flags & FLUO_RULE_PAYLOADS;
  store_keep_payloads(e->store, payloads);
  e->rules.set = rules;
  e->rules.study = study;
  e->rules.stats = stats;
  return 0;
}

int engine_receive(struct engine *e, const uint8_t *body, size_t n, uint64_t now_ns,
                   struct engine_receipt *receipt) {
  if (now_ns > e->now_ns) e->now_ns = now_ns;
  e->receipt = (struct engine_receipt){0};
  int err = otlp_each(body, n, on_span, e);
  store_end_request(e->store, e->now_ns);
  send_asked(e);
  settle_touched(e);
  *receipt = e->receipt;
  return err;
}

uint64_t engine_next_due(const struct engine *e) {
  return store_next_due(e->store);
}

bool engine_step(struct engine *e, uint64_t now_ns) {
  if (now_ns > e->now_ns) e->now_ns = now_ns;
  return store_close_due(e->store, now_ns);
}

void engine_close_all(struct engine *e, uint64_t now_ns) {
  if (now_ns > e->now_ns) e->now_ns = now_ns;
  while (store_close_oldest(e->store, CLOSE_SHUTDOWN, e->now_ns)) {
  }
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

const struct engine_rule_stats *engine_rule_stats(const struct engine *e, uint32_t rule) {
  return &e->rules.stats[rule];
}

void engine_count_error(struct engine *e, uint32_t rule, uint32_t errors) {
  e->rules.stats[rule].errors += errors;
}
