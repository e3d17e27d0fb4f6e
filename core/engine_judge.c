/* Judging: which rules are due on a trace, what the study says of them, and what is reported.
 *
 * Good path: engine_settle looks at a trace whenever something about it changed. While it is open,
 * early rules whose gate opened go out as one job; once it is closed, all rules that may hold go
 * out in ascending order, FLUO_JOB_RULES_MAX at a time, on the spans that were there at the close: that is a
 * look. After the last verdict the trace is dropped; or, where a late rule may still fire, it rests, and spans
 * that come late, or came meanwhile, make another look, of the late rules alone. One judgment of a trace
 * is out at a time; hits that come meanwhile make the next one.
 *
 * Ways it fails: no memory for a job: its rules stay unjudged, which is counted as unknown and cuts
 * the trace. A job's rules are the study's with it; the trace is pinned until its verdicts are in.
 */
#include <string.h>

#include "engine_parts.h"
#include "heap.h"

/* ---- violations ---------------------------------------------------------------------------- */

struct span_view engine_view(const struct engine *e, const struct trace *t, uint32_t span) {
  struct span_view view = {.arena = arena_base(store_arena(e->store)),
                           .span = store_span(e->store, t, span),
                           .trace_id = t->id,
                           .renamed = e->renamed};
  if (e->arriving && view.span == e->arriving_as) {
    view.payload = e->arriving->payload.p;
    view.payload_bytes = (uint32_t)e->arriving->payload.n;
  }
  return view;
}

/* spans: so many of the trace it goes by. */
static void report(struct engine *e, struct violation *v, struct trace *t, uint32_t rule, uint32_t spans) {
  v->rules = t->judged_by->set;
  v->rule_index = rule;
  v->rule = ruleset_rule(t->judged_by->set, rule);
  v->trace = t;
  memcpy(v->trace_id, t->id, 16);
  if (engine_count_violation(e, t->judged_by->counts[rule], v)) engine_cause(e, t, spans, v);
  e->calls.on_violation(e->calls.ctx, v);
}

void engine_report_span(struct engine *e, struct trace *t, uint32_t rule, uint32_t span) {
  struct span_view witness = engine_view(e, t, span);
  /* Its end; of a span that ends before it starts, whose duration is 0, its start. */
  struct violation v = {.witnesses = &witness, .witnesses_count = 1, .witness_total = 1, .more = true,
                        .time_ns = witness.span->start_ns + span_duration_ns(witness.span)};
  report(e, &v, t, rule, t->spans.count);
}

void engine_resolves(struct engine *e, struct trace *t, uint32_t rule, uint32_t span, bool unknown) {
  if (unknown) {
    engine_counts(t, rule)->unknown++;
  } else if (e->calls.on_resolve) {
    struct span_view view = engine_view(e, t, span);
    e->calls.on_resolve(e->calls.ctx, t->judged_by->set, rule, &view, e->now_ns);
  }
}

/* Whether it is judged again, after its close. */
static bool looks_late(const struct trace *t) {
  return t->state == TRACE_CLOSED && t->settled;
}

static void report_trace(struct engine *e, struct trace *t, const struct study_verdict *verdict, uint32_t spans) {
  struct span_view witnesses[FLUO_WITNESSES_MAX];
  struct violation v = {.witnesses = witnesses,
                        .witnesses_count = verdict->witnesses_count,
                        .witness_total = verdict->witness_total,
                        .time_ns = verdict->time_ns,
                        .reason = verdict->reason,
                        .reason_bytes = verdict->reason_bytes,
                        .has_value = verdict->has_value,
                        .value = verdict->value,
                        .threshold = verdict->threshold};
  bool early = ruleset_rule(t->judged_by->set, verdict->rule)->flags & FLUO_RULE_EARLY;
  v.late = looks_late(t);
  if (v.late || (!early && t->state == TRACE_CLOSED)) v.time_ns = t->closed_ns; /* decided by the look */
  for (uint32_t i = 0; i < verdict->witnesses_count; i++)
    witnesses[i] = engine_view(e, t, verdict->witnesses[i]);
  report(e, &v, t, verdict->rule, spans);
}

/* ---- judging a trace ----------------------------------------------------------------------- */

static bool gate_open(const struct trace *t, uint32_t rule, bool growing) {
  struct gate_counts counts = {
      .tallies = t->tallies,
      .tallies_count = t->tallies_count,
      .spans = t->spans.count,
      .duration_ns = t->end_max_ns > t->start_min_ns ? t->end_max_ns - t->start_min_ns : 0,
      .growing = growing};
  return ruleset_gate(t->judged_by->set, rule, &counts);
}

/* Where late spans came during a look, the counts are ahead of it, and only the study can tell. */
static bool gate_open_now(const struct trace *t, uint32_t rule) {
  if (t->state == TRACE_CLOSED && t->spans.count > t->look_spans)
    return ruleset_rule(t->judged_by->set, rule)->mode != FLUO_MODE_OFF;
  return gate_open(t, rule, false);
}

static void count_unknown(struct trace *t, uint32_t rule) {
  uint32_t at;
  struct trace_rule *note = trace_rule_find(t, rule, &at);
  if (note && note->unknown) return;      /* once a trace, however often it is judged */
  if (note) note->unknown = 1;
  engine_counts(t, rule)->unknown++;
}

/* Whether an early rule could have become true since it was last judged. */
static bool due_early(const struct trace *t, const struct trace_rule *note) {
  const struct fluo_ir_rule *rule = ruleset_rule(t->judged_by->set, note->rule);
  if (note->fired || !(rule->flags & FLUO_RULE_EARLY)) return false;
  bool grew = rule->flags & FLUO_RULE_STRUCTURE && note->spans_judged != t->spans.count;
  return (note->dirty || grew) && gate_open_now(t, note->rule);
}

/* Early rules that look at any span stand in every trace's notes from its first settling on. */
static void note_any_span(struct engine *e, struct trace *t) {
  uint32_t count;
  const uint32_t *rules = ruleset_any_span(t->judged_by->set, &count);
  for (uint32_t i = 0; i < count; i++) {
    struct trace_rule *note = trace_rule_put(t, rules[i]);
    if (!note)
      engine_note_lost(e, t);
    else if (note->spans_judged != t->spans.count)
      note->dirty = 1;
  }
}

static uint32_t collect_early(struct engine *e, struct trace *t, uint32_t *rules) {
  uint32_t n = 0;
  note_any_span(e, t);
  for (uint32_t i = 0; i < t->rules_count && n < FLUO_JOB_RULES_MAX; i++) {
    struct trace_rule *note = &t->rules[i];
    if (!due_early(t, note) || engine_slow(e, t->judged_by, note->rule)) continue; /* or at the close */
    note->dirty = 0;
    note->spans_judged = t->spans.count;
    rules[n++] = note->rule;
  }
  return n;
}

/* Whether a rule has to be judged at the close: it has not fired, and is not an early one that was
 * judged on all that is there. Later only late rules are. */
static bool due_closing(const struct trace *t, uint32_t rule, const struct trace_rule *note) {
  uint32_t flags = ruleset_rule(t->judged_by->set, rule)->flags;
  if (note && note->fired) return false;
  if (looks_late(t)) return flags & FLUO_RULE_LATE && gate_open_now(t, rule);
  if (flags & FLUO_RULE_EARLY) return note && due_early(t, note);
  return gate_open_now(t, rule);
}

/* A late rule is noted before it is judged, so that it fires once. false: no memory, so it is not judged. */
static bool note_late(struct engine *e, struct trace *t, uint32_t rule) {
  if (trace_rule_put(t, rule)) return true;
  engine_counts(t, rule)->unknown++;
  engine_note_lost(e, t);
  return false;
}

/* The rules to judge at the close, in ascending order from t->close_from on: those noted in the
 * trace, and those whose gate is open without any hit. */
static uint32_t collect_closing(struct engine *e, struct trace *t, uint32_t *rules) {
  uint32_t always_count, n = 0, a = 0, r;
  const uint32_t *always = ruleset_always(t->judged_by->set, &always_count);
  if (!t->close_from) note_any_span(e, t);
  trace_rule_find(t, t->close_from, &r);
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
    if (!due_closing(t, rule, note)) continue;
    if (engine_slow(e, t->judged_by, rule)) {
      count_unknown(t, rule);
      e->stats.judgments_shed++;
      continue;
    }
    if (!note && t->kept) {
      if (!note_late(e, t, rule)) continue;
      r++;
    }
    rules[n++] = rule;
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
                                .spans_count = t->state == TRACE_CLOSED ? t->look_spans : t->spans.count,
                                .hits_head = t->hits.head,
                                .hits_count = t->hits.count,
                                .flags = job_flags(e, t)};
  memcpy(job->head.trace_id, t->id, 16);
  job->rules = rules;
  job->owner = t;
  job->sent_ns = e->now_ns;
  job->rule = UINT32_MAX;
  for (uint32_t i = 0; i < n; i++) t->judged_by->out[rules[i]]++;
  t->judging = true;
  store_pin(t);
  e->stats.judgments++;
  study_send(t->judged_by->study, job);
  return true;
}

static void finish(struct engine *e, struct trace *t) {
  e->stats.evaluated += t->spans.count - t->settled;
  if (e->calls.on_trace_end && t->judged_by) e->calls.on_trace_end(e->calls.ctx, t->judged_by->set, t);
  engine_cause_forget(e, t);
  engine_drop_rules(t);
  store_drop(e->store, t);
}

/* Without memory for a job the rules that were due stay unjudged: said as unknown, never silently.
 */
static void unjudged(struct engine *e, struct trace *t, const uint32_t *rules, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) count_unknown(t, rules[i]);
  engine_note_lost(e, t);
}

/* Sends the next rules that are due. false: there are none. */
static bool judge(struct engine *e, struct trace *t) {
  uint32_t due[FLUO_JOB_RULES_MAX], n;
  while ((n = t->state == TRACE_CLOSED ? collect_closing(e, t, due) : collect_early(e, t, due))) {
    uint32_t *rules = heap_alloc(n * sizeof *rules);
    if (rules) memcpy(rules, due, n * sizeof *rules);
    if (rules && send_judgment(e, t, rules, n)) return true;
    heap_free(rules);
    unjudged(e, t, due, n);
  }
  return false;
}

/* ---- what comes after the close -------------------------------------------------------------- */

bool engine_awaits_late(const struct trace *t) {
  uint32_t count, at;
  const uint32_t *late = ruleset_late(t->judged_by->set, &count);
  for (uint32_t i = 0; i < count; i++) {
    const struct trace_rule *note = trace_rule_find(t, late[i], &at);
    if (!(note && note->fired) && gate_open(t, late[i], true)) return true;
  }
  return false;
}

/* A look is over. true: another one begins, for late spans came meanwhile. Else the trace rests until some come, or is
 * dropped. Rules that are no longer in force are not renewed by late spans: no sender can hold them. */
static bool look_again(struct engine *e, struct trace *t) {
  bool more = t->spans.count > t->look_spans;
  bool waits = t->kept && (!t->settled || t->judged_by == e->rules);
  if (!(more || waits) || !engine_awaits_late(t)) {
    finish(e, t);
    return false;
  }
  e->stats.evaluated += t->look_spans - t->settled;
  store_settle(e->store, t, t->look_spans);
  t->close_from = more ? 0 : UINT32_MAX;
  if (!more) {
    store_rest(e->store, t);
    return false;
  }
  t->look_spans = t->spans.count;
  t->closed_ns = t->last_ns;
  return true;
}

void engine_settle(struct engine *e, struct trace *t) {
  if (t->touched || t->questions || t->judging) return;
  if (t->state == TRACE_LATE) {
    if (t->closed_ns) finish(e, t);
    return;
  }
  while (!judge(e, t) && t->state == TRACE_CLOSED && look_again(e, t)) {}
}

void engine_verdicts(struct engine *e, const struct study_job *job,
                     const struct study_verdict *verdicts) {
  struct trace *t = job->owner;
  for (uint32_t i = 0; i < job->head.count; i++) {
    const struct study_verdict *verdict = &verdicts[i];
    uint32_t at;
    t->judged_by->out[verdict->rule]--;
    if (verdict->truth == FLUO_UNKNOWN) count_unknown(t, verdict->rule);
    if (verdict->truth != FLUO_TRUE) continue;
    struct trace_rule *note = trace_rule_find(t, verdict->rule, &at);
    if (note) note->fired = 1;
    report_trace(e, t, verdict, job->head.spans_count);
  }
  t->judging = false;
  store_unpin(t);
  engine_settle(e, t);
}
