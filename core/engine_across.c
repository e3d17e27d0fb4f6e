/* What rules see across traces: hits of windows and sequences, from spans to their state.
 *
 * Good path: a hit of a window's or a sequence's pattern is noted with all that will be asked of
 * its span, so that nothing of the trace is needed later. When the request is in, its notes are put
 * in order of time and handed over one by one. Notes of rules with functions stand in a batch of
 * their own, which is handed over when the last of the request's answers is in: so every rule sees
 * a request whole, and its functions answered. A crossing or a match that comes of it is reported
 * at once.
 *
 * Timers judge what has gone by, so none runs that is due after a span's arrival while answers
 * about it are out.
 *
 * Which state a rule has: rules of one name and version share it, whichever rule sets they stand
 * in, so that a reload goes on where the one before it was.
 *
 * Ways it fails: no memory for a note, or too many: that event is lost, and counted with those that
 * the state had no memory for. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_across.h"
#include "err.h"
#include "heap.h"
#include "limits.h"

/* ---- a rule's state ---------------------------------------------------------------------- */

const struct fluo_ir_sequence *across_sequence(const struct across *a) {
  return ruleset_sequence(a->rules->set, ruleset_rule(a->rules->set, a->rule)->across);
}

struct fluo_range across_by(const struct across *a) {
  return a->terms ? a->terms->by : across_sequence(a)->by;
}

/* ---- reporting ----------------------------------------------------------------------------- */

struct violation_span across_witness(const struct engine *e, const uint8_t *trace_id, const uint8_t *span_id,
                                     struct fluo_text name, const struct fluo_text *service) {
  const uint8_t *arena = arena_base(store_arena(e->store));
  return (struct violation_span){
      .trace_id = trace_id,
      .span_id = span_id,
      .name = arena + name.off,
      .name_bytes = name.len,
      .service = service ? arena + service->off : NULL,
      .service_bytes = service ? service->len : 0,
  };
}

static void report(struct engine *e, const struct across *from, struct violation *v) {
  const struct engine_rules *r = from->rules;
  v->rules = r->set;
  v->rule_index = from->rule;
  v->rule = ruleset_rule(r->set, from->rule);
  if (engine_count_violation(e, r->counts[from->rule], v) && !from->cascade)
    engine_cause_across(e, v); /* a cascade's is its first link */
  e->calls.on_violation(e->calls.ctx, v);
}

/* Durations stand in milliseconds, as rules write them. */
static double shown(const struct fluo_ir_window *w, double x) {
  bool duration = w->sample == FLUO_SAMPLE_FIELD && w->field == FLUO_FIELD_DURATION;
  return duration && w->aggregate != FLUO_AGGREGATE_DISTINCT ? x / 1e6 : x;
}

static void on_crossing(void *ctx, const struct window_crossing *c) {
  struct engine *e = ctx;
  const struct across *from = c->owner;
  struct violation_span spans[FLUO_WITNESSES_MAX];
  struct violation v = {.time_ns = c->time_ns,
                        .spans = spans,
                        .witnesses_count = c->witnesses_count,
                        .group = c->group,
                        .group_bytes = c->group_bytes,
                        .by = across_by(from),
                        .witness_total = c->spans > UINT32_MAX ? UINT32_MAX : (uint32_t)c->spans,
                        .has_value = !from->novel,
                        .value = shown(from->terms, c->value),
                        .threshold = shown(from->terms, c->threshold),
                        .widening = c->widening,
                        .estimated = c->estimated,
                        .has_baseline = c->has_baseline,
                        .drifted = c->state == BASELINE_DRIFTED,
                        .normal = c->normal};
  v.normal.normal = shown(from->terms, c->normal.normal);
  v.normal.spread = shown(from->terms, c->normal.spread);
  for (uint32_t i = 0; i < c->witnesses_count; i++) {
    const struct window_witness *w = &c->witnesses[i];
    spans[i] = across_witness(e, w->trace_id, w->span_id, w->name, w->has_service ? &w->service : NULL);
  }
  report(e, from, &v);
}

static void on_match(void *ctx, const struct sequence_match *m) {
  struct engine *e = ctx;
  const struct across *from = m->owner;
  const struct ruleset *set = from->rules->set;
  const struct fluo_ir_rule *rule = ruleset_rule(set, from->rule);
  struct violation_span spans[FLUO_WITNESSES_MAX];
  struct violation v = {.time_ns = m->time_ns,
                        .spans = spans,
                        .witnesses_count = m->witnesses_count,
                        .group = m->group,
                        .group_bytes = m->group_bytes,
                        .by = across_by(from),
                        .witness_total = m->witnesses_count};
  for (uint32_t i = 0; i < m->witnesses_count; i++) {
    const struct sequence_hit *w = m->witnesses[i];
    spans[i] = across_witness(e, w->trace_id, w->span_id, w->name, w->has_service ? &w->service : NULL);
  }
  char reason[FLUO_REASON_BYTES_MAX];
  if (m->absent >= 0) {
    struct fluo_text label =
        ruleset_pattern(set, rule->patterns.first + (uint32_t)m->absent)->label;
    v.reason = reason;
    v.reason_bytes = (uint32_t)snprintf(reason, sizeof reason, "missing %.*s", (int)label.len,
                                        ruleset_text(set, label));
    if (v.reason_bytes >= sizeof reason) v.reason_bytes = sizeof reason - 1;
  }
  report(e, from, &v);
}

/* The time that the agent was down may hold what must not come. */
static void on_unknown(void *ctx, void *owner) {
  const struct across *from = owner;
  (void)ctx;
  from->rules->counts[from->rule]->stats.unknown++;
}

static void on_cascade(void *ctx, const struct cascade_match *m) {
  struct engine *e = ctx;
  const struct across *from = m->owner;
  const struct fluo_ir_sequence *terms = across_sequence(from);
  struct violation_link chain[CASCADE_CHAIN_MAX];
  struct violation_span spans[CASCADE_CHAIN_MAX];
  across_chain(e, m, chain, spans);
  struct violation v = {.time_ns = m->time_ns,
                        .group = m->group,
                        .group_bytes = m->group_bytes,
                        .by = across_by(from),
                        .spans = spans,
                        .witnesses_count = m->chain_count,
                        .witness_total = m->values + terms->rooted,
                        .chain = chain,
                        .chain_count = m->chain_count,
                        .has_value = true,
                        .value = m->values,
                        .threshold = terms->at_least,
                        .distinct = terms->distinct};
  report(e, from, &v);
}

/* ---- feedback ------------------------------------------------------------------------------ */

static uint32_t widening(void *ctx, void *owner, const void *group, uint32_t n) {
  const struct engine *e = ctx;
  const struct across *a = owner;
  struct fluo_text name = ruleset_rule(a->rules->set, a->rule)->name;
  return e->calls.widening(e->calls.ctx, ruleset_text(a->rules->set, name), name.len, group, n);
}

void engine_widen(struct engine *e, const char *rule, uint32_t rule_bytes, const void *group, uint32_t group_bytes,
                  uint32_t thousandths) {
  struct state_key key = {group, group_bytes, state_hash(e->state, group, group_bytes)};
  for (const struct engine_rules *r = e->rules; r; r = r->older) {
    uint32_t at = ruleset_find(r->set, rule, rule_bytes);
    if (at == UINT32_MAX || ruleset_rule(r->set, at)->scope != FLUO_SCOPE_WINDOW) continue;
    struct window *w = across_of(r, ruleset_rule(r->set, at))->window;
    if (w) window_widen(w, &key, thousandths);
  }
}

/* ---- states -------------------------------------------------------------------------------- */

static int open_window(struct engine *e, struct across *a, const struct fluo_ir_window *w) {
  if (w->aggregate == FLUO_AGGREGATE_NEW)
    return novel_new(e->state, w->ns, &(struct novel_calls){on_crossing, on_unknown, e}, a, &a->novel);
  struct window_calls calls = {on_crossing, e, e->calls.widening ? widening : NULL};
  struct window_terms terms = {.ns = w->ns,
                               .aggregate = w->aggregate,
                               .compare = w->compare,
                               .quantile = w->quantile,
                               .threshold = w->threshold,
                               .samples_min = w->samples_min,
                               .grouped = w->by.count > 0,
                               .every = w->every,
                               .baseline = w->baseline,
                               .normal_min = w->normal_min};
  return window_new(e->state, &terms, &calls, a, &a->window);
}

static int open_sequence(struct engine *e, struct across *a, const struct fluo_ir_sequence *s,
                         uint32_t steps) {
  if (s->at_least) {
    struct cascade_terms how = {.ns = s->ns, .at_least = s->at_least, .rooted = s->rooted};
    return cascade_new(e->state, &how, &(struct cascade_calls){on_cascade, e}, a, &a->cascade);
  }
  struct sequence_calls calls = {on_match, e, on_unknown};
  struct sequence_terms terms = {.ns = s->ns, .steps = steps, .absent = s->absent};
  return sequence_new(e->state, &terms, &calls, a, &a->sequence);
}

static void across_free(struct across *a) {
  window_free(a->window);
  sequence_free(a->sequence);
  cascade_free(a->cascade);
  novel_free(a->novel);
  heap_free(a);
}

static struct across *across_new(struct engine *e, const struct ruleset *set, uint32_t rule) {
  struct across *a = heap_zalloc(sizeof *a);
  if (!a) return NULL;
  a->number = ++e->across_made;
  const struct fluo_ir_rule *it = ruleset_rule(set, rule);
  int err = it->scope == FLUO_SCOPE_WINDOW
                ? open_window(e, a, ruleset_window(set, it->across))
                : open_sequence(e, a, ruleset_sequence(set, it->across), it->patterns.count);
  if (!err) return a;
  across_free(a);
  return NULL;
}

/* What a set in use has of this rule, if it has it in this version. */
static struct across *across_find(const struct engine *e, const struct ruleset *set,
                                  const struct fluo_ir_rule *rule) {
  for (const struct engine_rules *r = e->rules; r; r = r->older) {
    uint32_t known = ruleset_find(r->set, ruleset_text(set, rule->name), rule->name.len);
    if (known == UINT32_MAX) continue;
    const struct fluo_ir_rule *other = ruleset_rule(r->set, known);
    if (other->scope == rule->scope && !memcmp(other->version, rule->version, 16))
      return across_of(r, other);
  }
  return NULL;
}

static int targets_make(struct engine_rules *r) {
  const struct fluo_ir *ir = ruleset_ir(r->set);
  r->targets = heap_zalloc(ir->patterns * sizeof *r->targets);
  if (!r->targets) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < ir->rules; i++) {
    const struct fluo_ir_rule *rule = ruleset_rule(r->set, i);
    if (rule->scope != FLUO_SCOPE_WINDOW && rule->scope != FLUO_SCOPE_SEQUENCE) continue;
    for (uint32_t k = 0; k < rule->patterns.count; k++)
      r->targets[rule->patterns.first + k] = (struct across_target){across_of(r, rule), 1u << k};
  }
  return 0;
}

int engine_across_use(struct engine *e, struct engine_rules *r) {
  const struct fluo_ir *ir = ruleset_ir(r->set);
  uint32_t count = ir->windows + ir->sequences, at = 0;
  r->windows = ir->windows;
  if (!count) return 0;
  r->across = heap_zalloc(count * sizeof *r->across);
  if (!r->across) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < count; i++) {
    bool window = i < ir->windows;
    at = window ? ruleset_window(r->set, i)->rule : ruleset_sequence(r->set, i - ir->windows)->rule;
    struct across *a = across_find(e, r->set, ruleset_rule(r->set, at));
    if (!a) a = across_new(e, r->set, at);
    if (!a) return FLUO_ENOMEM;
    a->sets++;
    r->across[i] = a;
  }
  return targets_make(r);
}

static void by_hash(const struct ruleset *set, struct fluo_range by, uint8_t out[16]) {
  struct { uint8_t before[16], key[16]; uint64_t field; } link = {.field = 0};
  memset(out, 0, 16);
  for (uint32_t i = 0; i < by.count; i++) {
    const struct fluo_ir_part *part =
        ruleset_part(set, ruleset_pair(set, by.first + i)->parts.first);
    memcpy(link.before, out, 16);
    fluo_hash128(ruleset_text(set, part->key), part->key.len, link.key);
    link.field = part->field;
    fluo_hash128(&link, sizeof link, out);
  }
}

static bool is_of_resource(const struct ruleset *set, struct fluo_range by) {
  bool all = true;
  for (uint32_t i = 0; i < by.count; i++) {
    uint32_t field = ruleset_part(set, ruleset_pair(set, by.first + i)->parts.first)->field;
    all &= field == FLUO_FIELD_SERVICE || field == FLUO_FIELD_RESOURCE;
  }
  return all;
}

static bool is_of_shape(const struct ruleset *set, struct fluo_range by) {
  bool all = true;
  for (uint32_t i = 0; i < by.count; i++) {
    uint32_t field = ruleset_part(set, ruleset_pair(set, by.first + i)->parts.first)->field;
    all &= field == FLUO_FIELD_SERVICE || field == FLUO_FIELD_NAME || field == FLUO_FIELD_KIND || field == FLUO_FIELD_STATUS;
  }
  return all;
}

static bool is_of_payload(uint32_t field) {
  return field == FLUO_FIELD_ATTRIBUTE || field == FLUO_FIELD_STATUS_MESSAGE || field == FLUO_FIELD_TRACE_STATE;
}

/* Whether a window's hits wait for the parents of their spans, and what of these they read then. */
static void waits_of(const struct ruleset *set, struct across *a) {
  const struct fluo_ir_window *w = a->terms;
  bool samples = w->sample == FLUO_SAMPLE_FIELD, payload = w->sample == FLUO_SAMPLE_NAMED;
  a->waits = samples && w->field == FLUO_FIELD_PARENT_SERVICE;
  payload |= samples && is_of_payload(w->field);
  for (uint32_t i = w->by.first; i < w->by.first + w->by.count; i++) {
    uint32_t field = ruleset_part(set, ruleset_pair(set, i)->parts.first)->field;
    a->waits |= field == FLUO_FIELD_PARENT_SERVICE;
    payload |= is_of_payload(field);
  }
  a->rereads = a->waits && payload;
}

/* The i-th of a set is reported for by that set: its own terms are the same ones, and live as long
 * as it does. */
static void own(struct engine_rules *r, uint32_t i) {
  struct across *a = r->across[i];
  const struct fluo_ir *ir = ruleset_ir(r->set);
  a->rules = r;
  a->terms = i < ir->windows ? ruleset_window(r->set, i) : NULL;
  a->rule = a->terms ? a->terms->rule : ruleset_sequence(r->set, i - ir->windows)->rule;
  a->asks = ruleset_asks(r->set, a->rule);
  a->ratio = a->window && a->terms->aggregate == FLUO_AGGREGATE_RATIO;
  a->merges = a->ratio ? a->asks : !a->window;
  by_hash(r->set, across_by(a), a->by);
  a->by_resource = is_of_resource(r->set, across_by(a));
  a->by_shape = is_of_shape(r->set, across_by(a));
  if (a->terms) waits_of(r->set, a);
}

void engine_across_own(struct engine *e, struct engine_rules *r) {
  const struct fluo_ir *ir = ruleset_ir(r->set);
  uint64_t now_ns = e->now_ns > e->started_ns ? e->now_ns : e->started_ns;
  for (uint32_t i = 0; i < ir->windows + ir->sequences; i++) {
    own(r, i);
    e->rules_ask |= r->across[i]->asks;
    e->rules_wait |= r->across[i]->waits;
    if (r->across[i]->window && e->live && window_observe(r->across[i]->window, now_ns))
      state_stats(e->state)->lost++;
  }
}

/* Some other set that has it reports for it from here on. */
static void find_owner(struct engine *e, struct across *a) {
  for (struct engine_rules *r = e->rules; r; r = r->older) {
    uint32_t count = ruleset_ir(r->set)->windows + ruleset_ir(r->set)->sequences;
    for (uint32_t i = 0; i < count; i++)
      if (r->across[i] == a) own(r, i);
  }
}

void engine_across_drop(struct engine *e, struct engine_rules *r) {
  uint32_t count = ruleset_ir(r->set)->windows + ruleset_ir(r->set)->sequences;
  for (uint32_t i = 0; r->across && i < count && r->across[i]; i++) {
    struct across *a = r->across[i];
    if (!--a->sets)
      across_free(a);
    else if (a->rules == r)
      find_owner(e, a);
  }
  heap_free(r->across);
  heap_free(r->targets);
}

void engine_across_arrival(struct engine *e) {
  const struct engine_rules *r = e->rules;
  if (e->observed || !r) return;
  e->observed = true;
  for (uint32_t i = 0; i < ruleset_ir(r->set)->windows; i++)
    if (r->across[i]->window && window_observe(r->across[i]->window, e->now_ns))
      state_stats(e->state)->lost++;
}

/* ---- timers -------------------------------------------------------------------------------- */

uint64_t engine_across_due(const struct engine *e) {
  uint64_t due = state_next_due(e->state);
  /* What arrived before it is not answered yet: then the last answer makes it due. */
  return e->waiting && e->waiting->now_ns < due ? UINT64_MAX : due;
}

void engine_end_windows(struct engine *e) {
  for (const struct engine_rules *r = e->rules; r; r = r->older)
    for (uint32_t i = 0; i < ruleset_ir(r->set)->windows; i++)
      if (r->across[i]->window) window_stop(r->across[i]->window);
}
