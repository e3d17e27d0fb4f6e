/* Room for incidents: the table that finds them, who goes when it is full, what each of them holds.
 *
 * An incident stands in `table` under its rule and group. Those that are resolved and of which nobody is to be told stand
 * in `idle`, and go first; the pending ones in `pending`, and go next; one that burns never goes: what is new is refused
 * instead. Its rule's record counts it, and goes with the last. Who frees what: state_drop, through incident_ops. */
#include <assert.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "incident_parts.h"
#include "limits.h"
#include "violation.h"

/* ---- rules --------------------------------------------------------------------------------------- */

static int rule_init(struct state_group *head) {
  (void)head;
  return 0;
}

static void rule_deinit(struct state_group *head) {
  (void)head;
}

static const struct state_ops rule_ops = {sizeof(struct incident_rule), rule_init, rule_deinit, NULL, NULL, NULL, NULL};

static void rule_release(struct incident_rule *rule) {
  if (!--rule->incidents) state_drop(&rule->head);
}

/* ---- counts and lists ---------------------------------------------------------------------------- */

static uint64_t *counter_of(struct incidents *i, const struct incident *inc) {
  switch (inc->status) {
  case INCIDENT_PENDING: return &i->stats.pending;
  case INCIDENT_OPEN: return &i->stats.open;
  case INCIDENT_ACKNOWLEDGED: return &i->stats.acknowledged;
  default: return NULL;
  }
}

void incident_leave(struct incident *inc) {
  uint64_t *counter = counter_of(incident_owner(inc), inc);
  link_remove(&inc->link);
  if (counter) --*counter, inc->of_rule->burning--;
  if (incident_burns(inc) && !inc->shadow) inc->of_rule->open[inc->severity]--;
}

void incident_enter(struct incident *inc) {
  struct incidents *i = incident_owner(inc);
  uint64_t *counter = counter_of(i, inc);
  if (counter) ++*counter, inc->of_rule->burning++;
  if (incident_burns(inc) && !inc->shadow) inc->of_rule->open[inc->severity]++;
  if (inc->status == INCIDENT_PENDING) link_append(&i->pending, &inc->link);
  if (inc->status == INCIDENT_RESOLVED && !inc->members_joined) link_append(&i->idle, &inc->link);
}

/* ---- finding and making -------------------------------------------------------------------------- */

/* rule, NUL, group: a rule's name has no NUL. */
static int make_key(struct incidents *i, struct text rule, struct labels group) {
  struct buffer *key = &i->key;
  buffer_clear(key);
  buffer_add(key, rule.p, rule.n);
  buffer_add(key, "", 1);
  return group.n ? buffer_add(key, group.p, group.n) : key->err;
}

static struct incident *look_up(const struct incidents *i) {
  struct state_key it = incident_key(i->table, i->key.data, i->key.len);
  return (struct incident *)(void *)state_find(&i->incidents, &it);
}

struct incident *incident_at(struct incidents *i, struct text rule, struct labels group) {
  return make_key(i, rule, group) ? NULL : look_up(i);
}

void incident_forget(struct incident *inc) {
  struct incidents *i = incident_owner(inc);
  for (uint32_t k = 0; k < inc->members_count; k++) notice_leave(&inc->members[k]);
  for (uint32_t k = 0; k < inc->exemplars_count; k++) i->stats.exemplar_bytes -= inc->exemplars[k].json_bytes;
  incident_leave(inc);
  link_remove(&inc->source_link);
  rule_release(inc->of_rule);
  i->stats.incidents--;
  state_drop(&inc->head);
}

static struct incident *of_link(struct link *at) {
  return (struct incident *)(void *)((char *)at - offsetof(struct incident, link));
}

static bool make_room(struct incidents *i) {
  struct link *from = link_alone(&i->idle) ? &i->pending : &i->idle;
  if (i->stats.incidents < i->incidents_max) return true;
  if (link_alone(from)) return false;
  i->stats.forgotten++;
  incident_forget(of_link(from->next));
  return true;
}

static struct incident_rule *rule_get(struct incidents *i, struct text name) {
  struct state_group *found;
  struct state_key key = incident_key(i->table, name.p, name.n);
  if (state_get(&i->rules, &key, &found)) return NULL;
  struct incident_rule *rule = (struct incident_rule *)(void *)found;
  rule->incidents++;
  return rule;
}

static struct incident *make(struct incidents *i, struct incident_rule *rule, uint32_t name_bytes) {
  struct state_group *head;
  struct state_key it = incident_key(i->table, i->key.data, i->key.len);
  if (state_get(&i->incidents, &it, &head)) return NULL;
  if (state_timer(head, INCIDENT_NEVER)) {
    state_drop(head);
    return NULL;
  }
  struct incident *inc = (struct incident *)(void *)head;
  const char *own = (const char *)state_group_key(head);
  inc->rule = (struct text){own, name_bytes};
  inc->group = (struct labels){own + name_bytes + 1, it.n - name_bytes - 1};
  inc->of_rule = rule;
  i->stats.incidents++;
  incident_enter(inc);
  return inc;
}

static struct incident *incident_new(struct incidents *i, struct text name) {
  if (!make_room(i)) return NULL;
  struct incident_rule *rule = rule_get(i, name);
  if (!rule) return NULL;
  struct incident *inc = rule->burning < i->groups_max ? make(i, rule, name.n) : NULL;
  if (!inc) rule_release(rule);
  return inc;
}

struct incident *incident_get(struct incidents *i, struct text rule, struct labels group) {
  if (make_key(i, rule, group)) return NULL;
  struct incident *inc = look_up(i);
  return inc ? inc : incident_new(i, rule);
}

bool incidents_refusal(struct incidents *i, const struct incident_violation *v, struct incidents_refusal *out) {
  struct state_key key = incident_key(i->table, v->rule.p, v->rule.n);
  struct incident_rule *rule = (struct incident_rule *)(void *)state_find(&i->rules, &key);
  bool of_rule = rule && rule->burning >= i->groups_max;
  uint64_t *told = of_rule ? &rule->refused_ns : &i->refused_ns;
  if (!of_rule && i->stats.incidents < i->incidents_max) return false; /* it was memory */
  if (*told && i->now_ns - *told < LIMIT_TOLD_NS) return false;
  *told = i->now_ns;
  *out = (struct incidents_refusal){v->rule, of_rule, v->shadow, of_rule ? rule->burning : (uint32_t)i->stats.incidents};
  return true;
}

/* ---- what it holds ------------------------------------------------------------------------------- */

struct matchable incident_matchable(const struct incident *inc) {
  return (struct matchable){inc->rule, text_of(severity_text(inc->severity)), inc->group,
                            (struct labels){inc->labels, inc->labels_bytes}};
}

static bool same_receivers(const struct incident *inc, const struct text *names, uint32_t count) {
  const struct incidents *i = incident_owner(inc);
  if (inc->members_count != count) return false;
  for (uint32_t k = 0; k < count; k++)
    if (!text_same(text_of(i->receivers[inc->members[k].receiver].name), names[k])) return false;
  return true;
}

/* What a receiver knows stays with the one who takes the member's place. */
static void take_place(struct notice_member *m, struct notice_member *before) {
  if (m->receiver != before->receiver || !before->group || m->group) return;
  *m = *before;
  link_init(&m->link);
  link_append(&before->link, &m->link);
  link_remove(&before->link);
  before->group = NULL;
}

int incident_receivers(struct incident *inc, const struct text *names, uint32_t count) {
  struct incidents *i = incident_owner(inc);
  struct notice_member *members = NULL;
  if (count && !(members = heap_zalloc(count * sizeof *members))) return FLUO_ENOMEM;
  for (uint32_t k = 0; k < count; k++) {
    uint32_t receiver = notice_receiver(i, names[k]);
    if (receiver == UINT32_MAX) {
      heap_free(members);
      return FLUO_ENOMEM;
    }
    members[k] = (struct notice_member){.incident = inc, .receiver = (uint16_t)receiver};
    link_init(&members[k].link);
  }
  for (uint32_t k = 0; k < inc->members_count; k++) {
    for (uint32_t n = 0; n < count; n++) take_place(&members[n], &inc->members[k]);
    notice_leave(&inc->members[k]);
  }
  heap_free(inc->members);
  inc->members = members;
  inc->members_count = count;
  return 0;
}

static bool is_described(const struct incident *inc, const struct incident_violation *v) {
  return inc->severity == v->severity && inc->shadow == v->shadow && inc->labels_bytes == v->labels.n &&
         (!v->labels.n || !memcmp(inc->labels, v->labels.p, v->labels.n));
}

static int set_labels(struct incident *inc, struct labels from) {
  void *labels = NULL;
  if (from.n && !(labels = heap_alloc(from.n))) return FLUO_ENOMEM;
  if (from.n) memcpy(labels, from.p, from.n);
  heap_free(inc->labels);
  inc->labels = labels;
  inc->labels_bytes = from.n;
  return 0;
}

/* Silences and counts that know it by what it was let go of it before, and take it again after. */
static int redescribe(struct incident *inc, const struct incident_violation *v) {
  bool burns = incident_burns(inc);
  if (burns) silence_burns(inc, false);
  incident_leave(inc);
  int err = set_labels(inc, v->labels);
  if (!err) {
    inc->severity = (uint8_t)v->severity;
    inc->shadow = v->shadow;
  }
  incident_enter(inc);
  if (burns) silence_burns(inc, true);
  return err;
}

int incident_describe(struct incident *inc, const struct incident_violation *v) {
  uint32_t receivers = v->shadow ? 0 : v->receivers_count;
  assert(v->severity <= FLUO_SEVERITY_CRITICAL);
  inc->policy = v->policy;
  if (inc->minutes_count > inc->policy.m) inc->minutes_count = inc->policy.m;
  int err = is_described(inc, v) ? 0 : redescribe(inc, v);
  if (err || same_receivers(inc, v->receivers, receivers)) return err;
  err = incident_receivers(inc, v->receivers, receivers);
  if (!err && incident_burns(inc)) notice_join(inc, false, incident_owner(inc)->now_ns); /* else a second later */
  return err;
}

static void drop_json(struct incident *inc, uint32_t at) {
  struct incident_exemplar *e = &inc->exemplars[at];
  incident_owner(inc)->stats.exemplar_bytes -= e->json_bytes;
  heap_free(e->json);
  e->json = NULL;
  e->json_bytes = 0;
}

/* With half of the room taken each incident keeps one only; with all of it none. */
static char *keep_json(struct incident *inc, struct text json) {
  struct incidents *i = incident_owner(inc);
  if (!json.n) return NULL;
  if (i->stats.exemplar_bytes + json.n > i->exemplar_bytes_max / 2)
    for (uint32_t k = 1; k < inc->exemplars_count; k++) drop_json(inc, k);
  bool fits = json.n <= LIMIT_EXEMPLAR_BYTES && i->stats.exemplar_bytes + json.n <= i->exemplar_bytes_max;
  char *kept = fits ? heap_alloc((size_t)json.n + 1) : NULL;
  if (!kept) {
    i->stats.exemplars_lost++;
    return NULL;
  }
  memcpy(kept, json.p, json.n);
  kept[json.n] = '\0';
  i->stats.exemplar_bytes += json.n;
  return kept;
}

void incident_exemplar(struct incident *inc, const char *id, struct text json) {
  struct incident_exemplar *first = inc->exemplars;
  if (inc->exemplars_count == INCIDENT_EXEMPLARS_MAX) drop_json(inc, --inc->exemplars_count);
  memmove(first + 1, first, inc->exemplars_count * sizeof *first);
  inc->exemplars_count++;
  *first = (struct incident_exemplar){0};
  memcpy(first->id, id, 32);
  first->json = keep_json(inc, json);
  if (first->json) first->json_bytes = json.n;
}

/* Without memory the one before stays. */
void incident_set_summary(struct incident *inc, struct text summary) {
  char *copy = heap_alloc((size_t)summary.n + 1);
  if (!copy) return;
  if (summary.n) memcpy(copy, summary.p, summary.n);
  copy[summary.n] = '\0';
  heap_free(inc->summary);
  inc->summary = copy;
}

/* ---- all of them --------------------------------------------------------------------------------- */

static struct incident *of_owner(const struct link *at) {
  return (struct incident *)(void *)((char *)(uintptr_t)at - offsetof(struct state_group, of_owner));
}

void incidents_each(const struct incidents *i, void (*each)(void *, const struct incident *), void *ctx) {
  for (const struct link *at = i->incidents.groups.next; at != &i->incidents.groups; at = at->next)
    each(ctx, of_owner(at));
}

void incidents_each_rule(const struct incidents *i, void (*each)(void *, const struct incident_rule *), void *ctx) {
  for (const struct link *at = i->rules.groups.next; at != &i->rules.groups; at = at->next)
    each(ctx, (const struct incident_rule *)(const void *)of_owner(at));
}

/* People ask by id, seldom: no index is kept for them. */
const struct incident *incidents_find(const struct incidents *i, const char *id) {
  for (const struct link *at = i->incidents.groups.next; at != &i->incidents.groups; at = at->next)
    if (strcmp(of_owner(at)->id, id) == 0) return of_owner(at);
  return NULL;
}

const struct incidents_stats *incidents_stats(const struct incidents *i) {
  return &i->stats;
}

/* ---- life ---------------------------------------------------------------------------------------- */

static int copy_receivers(struct incidents *i, const struct incidents_options *options) {
  int err = notice_copy_options(&options->notice, &i->notice);
  for (uint32_t k = 0; !err && k < options->receivers_count; k++) {
    uint32_t at = notice_receiver(i, text_of(options->receivers[k].name));
    if (at == UINT32_MAX) return FLUO_ENOMEM;
    notice_options_free(&i->receivers[at].notice);
    err = notice_copy_options(&options->receivers[k].notice, &i->receivers[at].notice);
  }
  return err;
}

static int set_up(struct incidents *i, const struct incidents_options *options, char why[MATCHERS_WHY_BYTES]) {
  int err = state_new(SIZE_MAX, &i->table);
  if (!err) err = state_new(SIZE_MAX, &i->clocks);
  if (err) return err;
  state_owner_init(&i->incidents, i->table, &incident_ops, UINT32_MAX);
  state_owner_init(&i->rules, i->table, &rule_ops, UINT32_MAX);
  state_owner_init(&i->groups, i->clocks, &notice_group_ops, UINT32_MAX);
  err = regex_scratch_new(LIMIT_REGEX_MATCHES, &i->scratch);
  if (!err) err = copy_receivers(i, options);
  return err ? err : inhibitions_new(i, options, why);
}

int incidents_new(const struct incidents_options *options, const struct incidents_calls *calls, struct incidents **out,
                  char why[MATCHERS_WHY_BYTES]) {
  struct incidents *i = heap_zalloc(sizeof *i);
  why[0] = '\0';
  if (!i) return FLUO_ENOMEM;
  i->calls = *calls;
  i->incidents_max = options->incidents_max ? options->incidents_max : LIMIT_INCIDENTS;
  i->groups_max = options->groups_max ? options->groups_max : LIMIT_INCIDENT_GROUPS;
  i->exemplar_bytes_max = options->exemplar_bytes_max ? options->exemplar_bytes_max : LIMIT_EXEMPLARS_BYTES;
  i->silences_due_ns = UINT64_MAX;
  buffer_init(&i->key, LIMIT_INCIDENT_KEY_BYTES);
  link_init(&i->idle);
  link_init(&i->pending);
  link_init(&i->sources);
  int err = set_up(i, options, why);
  if (err)
    incidents_free(i);
  else
    *out = i;
  return err;
}

void incidents_free(struct incidents *i) {
  if (!i) return;
  if (i->groups.ops) {
    while (i->stats.incidents) incident_forget(of_owner(i->incidents.groups.next));
    state_owner_deinit(&i->groups);
  }
  state_free(i->table);
  state_free(i->clocks);
  for (uint32_t k = 0; k < i->receivers_count; k++) {
    heap_free(i->receivers[k].name);
    notice_options_free(&i->receivers[k].notice);
  }
  heap_free(i->receivers);
  notice_options_free(&i->notice);
  inhibitions_free(i);
  silences_free(i);
  regex_scratch_free(i->scratch);
  buffer_deinit(&i->key);
  heap_free(i);
}
