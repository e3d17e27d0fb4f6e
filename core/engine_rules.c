/* The rule sets that the engine judges by: one in force, and those that traces from before it still
 * have.
 *
 * A trace holds a set by a count, from its first span until it is dropped, so no trace is judged by
 * two. What a rule counts belongs to its name: a new set takes over the counts of the one before
 * it, and rules that left are forgotten with the last set that knew them. Jobs name traces, so a
 * set that no trace holds has no job out, and its study may end.
 *
 * Ways it fails: no memory for a new set. Then what was made of it is freed and nothing has
 * changed. */
#include <assert.h>

#include "engine_across.h"
#include "err.h"
#include "heap.h"
#include "limits.h"

void engine_hold_rules(struct engine *e, struct trace *t) {
  t->judged_by = e->rules;
  t->judged_by->traces++;
}

void engine_drop_rules(struct trace *t) {
  assert(t->judged_by->traces);
  t->judged_by->traces--;
  t->judged_by = NULL;
}

/* Whatever of it was made. */
static void rules_free(struct engine *e, struct engine_rules *r) {
  for (uint32_t i = 0; r->counts && i < ruleset_ir(r->set)->rules && r->counts[i]; i++)
    if (!--r->counts[i]->sets) heap_free(r->counts[i]);
  heap_free(r->counts);
  heap_free(r->out);
  heap_free(r->cost_ns);
  engine_across_drop(e, r);
  matcher_free(r->matcher);
  heap_free(r);
}

void engine_free_rules(struct engine *e) {
  while (e->rules) {
    struct engine_rules *r = e->rules;
    e->rules = r->older;
    rules_free(e, r);
  }
}

static struct rule_count *count_of(const struct engine_rules *before, const struct ruleset *set,
                                   uint32_t rule) {
  struct fluo_text name = ruleset_rule(set, rule)->name;
  uint32_t known =
      before ? ruleset_find(before->set, ruleset_text(set, name), name.len) : UINT32_MAX;
  return known == UINT32_MAX ? heap_zalloc(sizeof(struct rule_count)) : before->counts[known];
}

static int take_counts(struct engine_rules *r, const struct engine_rules *before) {
  uint32_t count = ruleset_ir(r->set)->rules;
  r->counts = heap_zalloc(count * sizeof *r->counts);
  r->out = heap_zalloc(count * sizeof *r->out);
  r->cost_ns = heap_zalloc(count * sizeof *r->cost_ns);
  if (!r->counts || !r->out || !r->cost_ns) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < count; i++) {
    r->counts[i] = count_of(before, r->set, i);
    if (!r->counts[i]) return FLUO_ENOMEM;
    r->counts[i]->sets++;
  }
  return 0;
}

static bool reads_payloads(const struct ruleset *set) {
  for (uint32_t i = 0; i < ruleset_ir(set)->rules; i++)
    if (ruleset_rule(set, i)->flags & FLUO_RULE_PAYLOADS) return true;
  return false;
}

/* Payloads stay while some rule of some set in use may read any span. */
static void keep_payloads(struct engine *e) {
  bool keep = false;
  for (const struct engine_rules *r = e->rules; r; r = r->older) keep = keep || r->payloads;
  store_keep_payloads(e->store, keep);
}

int engine_use(struct engine *e, const struct ruleset *set, struct study *study) {
  struct engine_rules *r = heap_zalloc(sizeof *r);
  if (!r) return FLUO_ENOMEM;
  r->set = set;
  r->study = study;
  r->payloads = reads_payloads(set);
  int err = take_counts(r, e->rules);
  if (!err) err = engine_across_use(e, r);
  if (!err) err = matcher_new(set, &r->matcher);
  if (err) {
    rules_free(e, r);
    return err;
  }
  r->older = e->rules;
  e->rules = r;
  engine_across_own(e, r);
  keep_payloads(e);
  return 0;
}

/* A group of questions goes as a whole, so a rule that has nothing out may have any. Under a
 * virtual clock nothing is given up: it stands still while a job is out. */
bool engine_behind(const struct engine *e, const struct engine_rules *r, uint32_t rule,
                   uint32_t n) {
  uint64_t out = r->out[rule] + n;
  if (!e->live || out == n) return false;
  if (!r->cost_ns[rule]) return out > LIMIT_RULE_FIRST_ITEMS;
  return out > LIMIT_RULE_ITEMS || out * r->cost_ns[rule] > LIMIT_BEHIND_NS;
}

bool engine_slow(const struct engine *e, const struct engine_rules *r, uint32_t rule) {
  if (!e->live || r->out[rule] <= LIMIT_SLOW_ITEMS) return false;
  uint64_t since = study_waiting_since(r->study);
  return e->now_ns > since && e->now_ns - since >= LIMIT_SLOW_NS;
}

/* A moving average over some eight jobs. Where it turns out that what waits is too much, it is
 * given up. */
void engine_learn_cost(struct engine *e, struct engine_rules *r, uint32_t rule, uint64_t took_ns,
                       uint32_t n) {
  uint64_t one = took_ns / n + 1, before = r->cost_ns[rule];
  if (one > LIMIT_BEHIND_NS) one = LIMIT_BEHIND_NS;
  r->cost_ns[rule] = (uint32_t)(before ? (7 * before + one) / 8 : one);
  if (e->live && (uint64_t)r->out[rule] * r->cost_ns[rule] > 2 * LIMIT_BEHIND_NS)
    e->stats.questions_shed += study_give_up(r->study, rule);
}

bool engine_release(struct engine *e, const struct ruleset *set) {
  for (struct engine_rules **at = &e->rules->older; *at; at = &(*at)->older) {
    struct engine_rules *r = *at;
    if (r->set != set || r->traces) continue;
    *at = r->older;
    rules_free(e, r);
    keep_payloads(e);
    return true;
  }
  return false;
}

bool engine_count_violation(struct engine *e, struct rule_count *count, struct violation *v) {
  count->stats.violations++;
  v->voice = &count->voice;
  v->now_ns = e->now_ns;
  v->withheld = e->live && !voice_line(&count->voice, &e->lines, e->now_ns);
  return !v->withheld;
}

const struct engine_rule_stats *engine_rule_stats(const struct engine *e, uint32_t rule) {
  return &e->rules->counts[rule]->stats;
}

struct voice *engine_rule_voice(const struct engine *e, uint32_t rule) {
  return &e->rules->counts[rule]->voice;
}

void engine_count_error(struct engine *e, const struct ruleset *set, uint32_t rule,
                        uint32_t errors) {
  for (struct engine_rules *r = e->rules; r; r = r->older)
    if (r->set == set) r->counts[rule]->stats.errors += errors;
}

/* ---- what stays crossed ---------------------------------------------------------------------- */

struct crossed { uint64_t now_ns; void (*each)(void *ctx, const struct violation *v); void *ctx; };

static void on_crossed(void *ctx, void *owner, const void *group, uint32_t n) {
  const struct crossed *c = ctx;
  const struct across *from = owner;
  struct violation v = {.rules = from->rules->set,
                        .rule = ruleset_rule(from->rules->set, from->rule),
                        .rule_index = from->rule,
                        .group = group,
                        .group_bytes = n,
                        .by = across_by(from),
                        .now_ns = c->now_ns};
  c->each(c->ctx, &v);
}

void engine_each_crossed(struct engine *e, uint64_t now_ns, void (*each)(void *ctx, const struct violation *v), void *ctx) {
  struct crossed c = {now_ns, each, ctx};
  for (uint32_t i = 0; e->rules && i < ruleset_ir(e->rules->set)->windows; i++)
    if (e->rules->across[i]->window) window_each_crossed(e->rules->across[i]->window, now_ns, on_crossed, &c);
}
