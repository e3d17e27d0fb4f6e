/* Alerts.
 *
 * Good path: a violation's group is written into a buffer of ours, its incident is found by that, and what changes is put
 * into the ledger's queue as it happens; a notice goes to whoever delivers. What of a violation is withheld from the output
 * is counted by its incident, and nothing else is done.
 *
 * Ways it fails: no memory for a group or a text: the violation has no incident, or the row is not written; the incidents
 * and the ledger count that (fluo_incidents_refused_total, fluo_incidents_lost_rows_total). No room for an incident: counted
 * likewise, and on_refused is told now and then. */
#include "alerts.h"

#include <string.h>

#include "err.h"
#include "group.h"
#include "heap.h"
#include "json_text.h"
#include "limits.h"
#include "metrics.h"

/* Violations that are only counted come as spans do, and mostly go where the one before them went. */
enum { COUNTED_BITS = 7 };
struct counted { uint32_t service; struct incident_known incident; };

struct alerts {
  struct incidents *incidents;
  struct ledger *ledger; /* NULL: none */
  struct alerts_calls calls;
  struct buffer group, labels, summary, value; /* of the violation at hand */
  struct buffer json, state;                   /* of the row at hand */
  uint64_t started_ns;
  uint64_t groups_lost, rows_lost, restores_failed;
  struct counted counted[1 << COUNTED_BITS];
};

/* ---- groups ------------------------------------------------------------------------------------ */

static struct text text_in(const struct ruleset *r, struct fluo_text t) {
  return (struct text){ruleset_text(r, t), t.len};
}

static void add_value(struct alerts *a, struct text name, const struct fluo_value *value) {
  buffer_clear(&a->value);
  if (group_text(value, &a->value) < 0) a->group.err = FLUO_ENOMEM;
  labels_add(&a->group, name, (struct text){a->value.data, (uint32_t)a->value.len});
}

/* The keys of group_by, each as `get` finds it. */
static void add_keys(struct alerts *a, const struct ruleset *rules, struct fluo_range keys, const struct violation *v,
                     const struct span_view *span) {
  for (uint32_t k = 0; k < keys.count; k++) {
    const struct fluo_ir_pair *pair = ruleset_pair(rules, keys.first + k);
    const struct fluo_ir_part *part = ruleset_part(rules, pair->parts.first);
    struct text key = text_in(rules, part->key);
    struct fluo_value value = {.type = FLUO_TYPE_STRING, .text = (const uint8_t *)key.p, .len = key.n};
    char scratch[32];
    bool there = part->field == FLUO_FIELD_LITERAL ||
                 (v ? violation_field(v, part, scratch, &value)
                    : field_get(span, part->field, key.p, key.n, scratch, &value));
    if (there) add_value(a, text_in(rules, pair->name), &value);
  }
}

static bool is_across(const struct fluo_ir_rule *rule) {
  return rule->scope == FLUO_SCOPE_WINDOW || rule->scope == FLUO_SCOPE_SEQUENCE;
}

static const struct fluo_range *by_of(const struct ruleset *rules, const struct fluo_ir_rule *rule) {
  return rule->scope == FLUO_SCOPE_WINDOW ? &ruleset_window(rules, rule->across)->by
                                          : &ruleset_sequence(rules, rule->across)->by;
}

/* group_by; else a window's or a sequence's own `by`; else the service. */
static struct labels group_of(struct alerts *a, const struct ruleset *rules, const struct fluo_ir_rule *rule,
                              const struct violation *v, const struct span_view *span) {
  static const struct fluo_ir_part service = {.field = FLUO_FIELD_SERVICE};
  const struct fluo_ir_incident *it = ruleset_incident(rules, rule);
  struct fluo_value value;
  char scratch[32];
  buffer_clear(&a->group);
  if (it && it->grouped)
    add_keys(a, rules, it->group_by, v, span);
  else if (is_across(rule))
    add_keys(a, rules, *by_of(rules, rule), v, span);
  else if (v ? violation_field(v, &service, scratch, &value)
             : field_get(span, FLUO_FIELD_SERVICE, "", 0, scratch, &value))
    add_value(a, text_of("service"), &value);
  return (struct labels){a->group.data, (uint32_t)a->group.len};
}

/* ---- violations -------------------------------------------------------------------------------- */

static struct incident_policy policy_of(const struct violation *v) {
  const struct fluo_ir_incident *it = ruleset_incident(v->rules, v->rule);
  if (!it) return (struct incident_policy){0};
  return (struct incident_policy){it->pending_ns, it->keep_firing_ns, it->cooldown_ns, it->resolve_ns, it->m, it->n};
}

static uint32_t receivers_of(const struct violation *v, struct text *out, uint32_t max) {
  uint32_t count = 0;
  for (uint32_t k = 0; k < v->rule->actions.count && count < max; k++) {
    struct text name = text_in(v->rules, ruleset_pair(v->rules, v->rule->actions.first + k)->name);
    if (!text_same(name, text_of("log"))) out[count++] = name;
  }
  return count;
}

static struct labels labels_of(struct alerts *a, const struct violation *v) {
  buffer_clear(&a->labels);
  for (uint32_t k = 0; k < v->rule->labels.count; k++) {
    const struct fluo_ir_pair *label = ruleset_pair(v->rules, v->rule->labels.first + k);
    labels_add(&a->labels, text_in(v->rules, label->name), text_in(v->rules, label->value));
  }
  return (struct labels){a->labels.data, (uint32_t)a->labels.len};
}

static const struct incident *take(struct alerts *a, const struct violation *v, struct labels group, struct text json) {
  struct text receivers[LIMIT_RULE_RECEIVERS];
  struct incident_violation it = {.rule = text_in(v->rules, v->rule->name),
                                  .group = group,
                                  .labels = labels_of(a, v),
                                  .severity = v->rule->severity,
                                  .shadow = v->rule->mode == FLUO_MODE_SHADOW,
                                  .time_ns = v->time_ns,
                                  .json = json,
                                  .receivers = receivers,
                                  .receivers_count = receivers_of(v, receivers, LIMIT_RULE_RECEIVERS),
                                  .policy = policy_of(v)};
  violation_id(v, it.id);
  buffer_clear(&a->summary);
  violation_template(v, v->rule->summary, &a->summary);
  it.summary = (struct text){a->summary.data, (uint32_t)a->summary.len};
  const struct incident *incident = incidents_take(a->incidents, &it, v->now_ns);
  struct incidents_refusal refusal;
  if (!incident && a->calls.on_refused && incidents_refusal(a->incidents, &it, &refusal))
    a->calls.on_refused(a->calls.ctx, &refusal, v->now_ns);
  return incident;
}

const char *alerts_violation(struct alerts *a, const struct violation *v, struct text json) {
  struct labels group = group_of(a, v->rules, v->rule, v, NULL);
  if (a->group.err) {
    a->groups_lost++;
    return "";
  }
  const struct incident *incident = take(a, v, group, json);
  return incident ? incident->id : "";
}

/* Where the incident is noted that a violation of this rule and service was counted by; a service that lasts is told by
 * where it lies. NULL: that does not say which group it is in. */
static struct counted *counted_at(struct alerts *a, const struct violation *v) {
  const struct fluo_ir_incident *it = ruleset_incident(v->rules, v->rule);
  if ((it && it->grouped) || is_across(v->rule) || !v->witnesses_count) return NULL;
  const struct fluo_span *span = v->witnesses->span;
  if (!(span->flags & FLUO_SPAN_LASTING)) return NULL;
  uint32_t service = span->flags & FLUO_SPAN_SERVICE ? span->service.off : UINT32_MAX;
  uint64_t key = (uint64_t)v->rule_index << 32 | service;
  struct counted *at = &a->counted[key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - COUNTED_BITS)];
  if (at->service != service) *at = (struct counted){.service = service};
  return at;
}

void alerts_count(struct alerts *a, const struct violation *v) {
  struct counted elsewhere = {0}, *at = counted_at(a, v);
  struct text rule = text_in(v->rules, v->rule->name);
  if (!at) at = &elsewhere;
  if (incidents_count_known(a->incidents, &at->incident, rule, v->now_ns)) return;
  struct labels group = group_of(a, v->rules, v->rule, v, NULL);
  if (a->group.err)
    a->groups_lost++;
  else if (!incidents_count(a->incidents, rule, group, v->now_ns, &at->incident))
    take(a, v, group, (struct text){"", 0});
}

void alerts_resolve(struct alerts *a, const struct ruleset *rules, uint32_t rule, const struct span_view *span,
                    uint64_t now_ns) {
  const struct fluo_ir_rule *it = ruleset_rule(rules, rule);
  struct labels group = group_of(a, rules, it, NULL, span);
  if (!a->group.err) incidents_clear(a->incidents, text_in(rules, it->name), group, now_ns);
}

void alerts_renew(struct alerts *a, const struct violation *v) {
  struct labels group = group_of(a, v->rules, v->rule, v, NULL);
  if (!a->group.err) incidents_renew(a->incidents, text_in(v->rules, v->rule->name), group, v->now_ns);
}

/* ---- rows and notices -------------------------------------------------------------------------- */

static struct ledger_text row_text(const struct buffer *b) {
  return (struct ledger_text){b->data ? b->data : "", b->len};
}

static void on_incident(void *ctx, const struct incident *inc, enum incident_change change) {
  struct alerts *a = ctx;
  if (a->calls.on_incident && change != INCIDENT_NOTIFIED) a->calls.on_incident(a->calls.ctx, inc, inc->said_ns);
  if (!a->ledger) return;
  buffer_clear(&a->json);
  buffer_clear(&a->state);
  buffer_clear(&a->value);
  incident_json(inc, true, &a->json);
  labels_json(inc->group, &a->value);
  if (incident_save(inc, &a->state) || a->json.err || a->value.err) {
    a->rows_lost++;
    return;
  }
  struct ledger_incident row = {.id = inc->id,
                                .severity = severity_text(inc->severity),
                                .status = incident_status_names[inc->status],
                                .rule = {inc->rule.p, inc->rule.n},
                                .group = row_text(&a->value),
                                .count = inc->count,
                                .started_ns = inc->started_ns,
                                .last_seen_ns = inc->last_seen_ns,
                                .resolved_ns = inc->resolved_ns,
                                .json = row_text(&a->json),
                                .state = row_text(&a->state)};
  ledger_incident(a->ledger, &row);
}

static bool on_notice(void *ctx, const struct notice *notice) {
  const struct alerts *a = ctx;
  return !a->calls.on_notice || a->calls.on_notice(a->calls.ctx, notice);
}

static void on_silence(void *ctx, const struct silence *s) {
  struct alerts *a = ctx;
  if (!a->ledger) return;
  buffer_clear(&a->json);
  if (silence_json(s, &a->json)) {
    a->rows_lost++;
    return;
  }
  struct ledger_silence row = {.id = s->id,
                               .over = s->ended_ns != 0,
                               .created_ns = s->created_ns,
                               .ends_ns = s->ends_ns == UINT64_MAX ? 0 : s->ends_ns,
                               .json = row_text(&a->json)};
  ledger_silence(a->ledger, &row);
}

/* ---- what the ledger gives back ---------------------------------------------------------------- */

static void restore_incident(void *ctx, const struct ledger_incident *row) {
  struct alerts *a = ctx;
  int err = incidents_restore(a->incidents, row->state.p, row->state.n, row->count, a->started_ns);
  if (err) a->restores_failed++;
}

/* A member of silence_json that is a text. */
static bool get_member(struct ledger_text json, const char *name, struct buffer *out) {
  struct json j;
  struct json_slice key;
  bool found = false;
  json_init(&j, json.p, json.n);
  bool sound = json_expect(&j, '{', "an object");
  while (sound && !found && json_short(&j, &key) && json_expect(&j, ':', "a colon")) {
    found = key.n == strlen(name) && memcmp(key.p, name, key.n) == 0;
    sound = (found ? json_string(&j, out) : json_skip(&j, 4)) && json_take(&j, ',');
  }
  json_deinit(&j);
  return found && !buffer_add(out, "", 1);
}

static void restore_silence(void *ctx, const struct ledger_silence *row) {
  struct alerts *a = ctx;
  struct buffer texts[3];
  static const char *const names[] = {"matchers", "created_by", "comment"};
  char id[33], why[MATCHERS_WHY_BYTES];
  bool sound = true;
  for (int k = 0; k < 3; k++) {
    buffer_init(&texts[k], LIMIT_TEXT_BYTES);
    sound = get_member(row->json, names[k], &texts[k]) && sound;
  }
  struct silence_request request = {.id = row->id,
                                    .matchers = texts[0].data,
                                    .created_by = texts[1].data,
                                    .comment = texts[2].data,
                                    .created_ns = row->created_ns,
                                    .ends_ns = row->ends_ns ? row->ends_ns : UINT64_MAX};
  bool over = request.ends_ns <= a->started_ns; /* it ended while there was no agent */
  if (!sound || (!over && incidents_silence(a->incidents, &request, a->started_ns, id, why))) a->restores_failed++;
  for (int k = 0; k < 3; k++) buffer_deinit(&texts[k]);
}

struct ledger_restored alerts_restored(struct alerts *a) {
  return (struct ledger_restored){.on_incident = restore_incident, .on_silence = restore_silence, .ctx = a};
}

/* ---- life -------------------------------------------------------------------------------------- */

static int open_incidents(struct alerts *a, const struct alerting *config, char why[MATCHERS_WHY_BYTES]) {
  struct receiver_options *receivers = heap_zalloc(config->receivers_count * sizeof *receivers);
  struct incidents_calls calls = {on_incident, on_notice, on_silence, a};
  if (!receivers) return FLUO_ENOMEM;
  for (uint32_t k = 0; k < config->receivers_count; k++)
    receivers[k] = (struct receiver_options){config->receivers[k].name, config->receivers[k].notice};
  struct incidents_options options = {.notice = config->notice,
                                      .receivers = receivers,
                                      .receivers_count = config->receivers_count,
                                      .inhibitions = config->inhibitions,
                                      .inhibitions_count = config->inhibitions_count,
                                      .mute_times = config->mutes,
                                      .mute_times_count = config->mutes_count};
  int err = incidents_new(&options, &calls, &a->incidents, why);
  heap_free(receivers);
  return err;
}

int alerts_new(const struct alerting *config, const struct alerts_calls *calls, uint64_t now_ns, struct alerts **out,
               char why[MATCHERS_WHY_BYTES]) {
  struct alerts *a = heap_zalloc(sizeof *a);
  why[0] = '\0';
  if (!a) return FLUO_ENOMEM;
  a->calls = *calls;
  a->started_ns = now_ns;
  struct buffer *small[] = {&a->group, &a->labels, &a->summary, &a->value};
  for (size_t k = 0; k < sizeof small / sizeof *small; k++) buffer_init(small[k], LIMIT_INCIDENT_KEY_BYTES);
  buffer_init(&a->json, LIMIT_NOTICE_BYTES);
  buffer_init(&a->state, LIMIT_NOTICE_BYTES);
  int err = open_incidents(a, config, why);
  if (err)
    alerts_free(a);
  else
    *out = a;
  return err;
}

void alerts_free(struct alerts *a) {
  if (!a) return;
  struct buffer *all[] = {&a->group, &a->labels, &a->summary, &a->value, &a->json, &a->state};
  incidents_free(a->incidents);
  for (size_t k = 0; k < sizeof all / sizeof *all; k++) buffer_deinit(all[k]);
  heap_free(a);
}

void alerts_keep(struct alerts *a, struct ledger *ledger) {
  a->ledger = ledger;
}

uint64_t alerts_next_due(const struct alerts *a) {
  return incidents_next_due(a->incidents);
}

void alerts_step(struct alerts *a, uint64_t now_ns) {
  incidents_step(a->incidents, now_ns);
}

struct incidents *alerts_incidents(struct alerts *a) {
  return a->incidents;
}

/* ---- /metrics ---------------------------------------------------------------------------------- */

static void write_rule(void *ctx, const struct incident_rule *rule) {
  struct buffer *b = ctx;
  char name[LIMIT_RULE_NAME_BYTES + 1] = "";
  uint32_t n = rule->head.key_bytes;
  memcpy(name, state_group_key(&rule->head), n < LIMIT_RULE_NAME_BYTES ? n : LIMIT_RULE_NAME_BYTES);
  for (uint32_t severity = 0; severity < 4; severity++)
    if (rule->open[severity])
      metrics_uint(b, "fluo_alert_active", metrics_labels("rule", name, "severity", severity_text(severity)),
                   rule->open[severity]);
}

static void write_muted(struct buffer *b, const struct incidents_stats *s) {
  static const char name[] = "fluo_notices_held_total";
  metrics_family(b, name, METRICS_COUNTER, "Times that an incident was kept out of a notice, by why.");
  metrics_uint(b, name, metrics_labels("reason", "silenced"), s->silenced);
  metrics_uint(b, name, metrics_labels("reason", "inhibited"), s->inhibited);
  metrics_uint(b, name, metrics_labels("reason", "muted"), s->muted);
}

static void write_states(struct buffer *b, const struct incidents_stats *s) {
  static const char name[] = "fluo_incidents";
  uint64_t resolved = s->incidents - s->pending - s->open - s->acknowledged;
  metrics_family(b, name, METRICS_GAUGE, "Incidents that are remembered, by status.");
  metrics_uint(b, name, metrics_labels("status", "pending"), s->pending);
  metrics_uint(b, name, metrics_labels("status", "open"), s->open);
  metrics_uint(b, name, metrics_labels("status", "acknowledged"), s->acknowledged);
  metrics_uint(b, name, metrics_labels("status", "resolved"), resolved);
}

void alerts_write(const struct alerts *a, struct buffer *out) {
  const struct incidents_stats *s = incidents_stats(a->incidents);
  metrics_family(out, "fluo_alert_active", METRICS_GAUGE, "Incidents that are open, by rule and severity, shadows aside.");
  incidents_each_rule(a->incidents, write_rule, out);
  write_states(out, s);
  metrics_counter(out, "fluo_incidents_opened_total", "Incidents opened.", s->opened);
  metrics_counter(out, "fluo_incidents_reopened_total", "Resolved incidents that came back.", s->reopened);
  metrics_counter(out, "fluo_incidents_resolved_total", "Incidents resolved.", s->resolved);
  metrics_counter(out, "fluo_incidents_lapsed_total", "Pending ones that came to nothing.", s->lapsed);
  metrics_counter(out, "fluo_incidents_cooled_violations_total", "Violations that a cooldown kept quiet.", s->cooled);
  metrics_counter(out, "fluo_incidents_refused_total", "Violations for whose incident there was no room.",
                  s->refused + a->groups_lost);
  metrics_counter(out, "fluo_incidents_forgotten_total", "Resolved or pending incidents that made room.", s->forgotten);
  metrics_counter(out, "fluo_incidents_lost_exemplars_total", "Texts of violations that incidents had no room for.",
                  s->exemplars_lost);
  metrics_counter(out, "fluo_incidents_lost_rows_total", "Changes of incidents and silences that found no memory.",
                  a->rows_lost);
  metrics_counter(out, "fluo_incidents_failed_restores_total", "Rows of the ledger that could not be taken back.",
                  a->restores_failed);
  metrics_counter(out, "fluo_notices_total", "Notices to receivers.", s->notices);
  metrics_counter(out, "fluo_notices_lost_total", "Notices that found no memory, and were tried again.", s->notices_lost);
  write_muted(out, s);
  metrics_gauge(out, "fluo_silences", "Silences in force.", (double)s->silences);
}
