/* Troubles.
 *
 * Good path: a trouble is written as a violation would be, becomes an incident by its rule and group, and a row of the
 * ledger. Ways it fails: no memory for its text, or no room for its incident, which the incidents count; the log has had
 * it by then in either case. */
#include "trouble.h"

#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "hash.h"
#include "limits.h"
#include "violation.h"

enum { TEXT_BYTES = 4096, SUMMARY_BYTES = 512 };
/* Of what is over when it is said to be. */
#define LASTING_NS (30 * 24 * 3600 * 1000000000ull)

static const char delivery[] = "fluo:delivery", refused[] = "fluo:incidents", ledger[] = "fluo:ledger";

struct trouble {
  const char *rule, *name, *value;      /* the group is {name: value} */
  const char *summary;
  struct text key;                      /* what tells it from others of its group, for its id */
  uint64_t resolve_ns;                  /* 0: as any */
};

/* Those of the configuration but this one. */
static uint32_t receivers_but(const struct alerting *a, const char *name, struct text *out) {
  uint32_t count = 0;
  for (uint32_t k = 0; k < a->receivers_count && count < LIMIT_RULE_RECEIVERS; k++)
    if (strcmp(a->receivers[k].name, name)) out[count++] = text_of(a->receivers[k].name);
  return count;
}

static void write_id(const struct trouble *t, uint64_t now_ns, struct buffer *scratch, char id[33]) {
  uint8_t digest[16];
  buffer_clear(scratch);
  buffer_printf(scratch, "%s\n%s\n%.*s\n%llu", t->rule, t->value, (int)t->key.n, t->key.p, (unsigned long long)now_ns);
  fluo_hash128(scratch->data ? scratch->data : "", scratch->len, digest);
  hex_text(digest, sizeof digest, id);
}

static void write_json(const struct trouble *t, const char *id, uint64_t now_ns, struct buffer *json) {
  char time[32];
  time_text(now_ns, time);
  buffer_clear(json);
  buffer_printf(json, "{\"id\":\"%s\",\"rule\":\"%s\",\"severity\":\"high\",\"scope\":\"agent\",\"time\":\"%s\",\"spans\":[],"
                      "\"span_total\":0,\"summary\":", id, t->rule, time);
  buffer_json(json, t->summary, strlen(t->summary));
  buffer_text(json, "}");
}

static void keep(const struct troubles *to, const struct incident_violation *v, const char *incident) {
  struct ledger_violation row = {.id = v->id, .incident = incident, .severity = severity_text(v->severity), .trace_id = "",
                                 .rule = {v->rule.p, v->rule.n}, .rule_version = {"", 0}, .at_ns = v->time_ns,
                                 .written_ns = v->time_ns, .json = {v->json.p, v->json.n}};
  ledger_violation(to->ledger, &row, NULL);
}

static void say(const struct troubles *to, const struct trouble *t, const char *not_to, uint64_t now_ns) {
  struct text receivers[LIMIT_RULE_RECEIVERS];
  struct buffer group, json;
  struct incident_violation v = {.rule = text_of(t->rule), .severity = FLUO_SEVERITY_HIGH, .time_ns = now_ns,
                                 .summary = text_of(t->summary), .receivers = receivers,
                                 .policy = {.resolve_ns = t->resolve_ns}};
  buffer_init(&group, LIMIT_INCIDENT_KEY_BYTES);
  buffer_init(&json, TEXT_BYTES);
  labels_add(&group, text_of(t->name), text_of(t->value));
  write_id(t, now_ns, &json, v.id);
  write_json(t, v.id, now_ns, &json);
  if (!group.err && !json.err) {
    v.group = (struct labels){group.data, (uint32_t)group.len};
    v.json = (struct text){json.data, (uint32_t)json.len};
    v.receivers_count = receivers_but(to->alerting, not_to, receivers);
    const struct incident *incident = incidents_take(to->incidents, &v, now_ns);
    keep(to, &v, incident ? incident->id : "");
  }
  buffer_deinit(&group);
  buffer_deinit(&json);
}

void trouble_delivery(const struct troubles *to, const struct outbox_delivery *d, bool given_up, const char *why, uint64_t now_ns) {
  static const char ours[] = "\"rule\":\"fluo:";             /* in a text of somebody's these quotes are escaped */
  char summary[SUMMARY_BYTES];
  if (memmem(d->alert, d->bytes, ours, sizeof ours - 1)) return;
  snprintf(summary, sizeof summary, "%s was not told of an alert, which is %s: %s", d->receiver,
           given_up ? "given up" : "tried again", why);
  const struct trouble t = {.rule = delivery, .name = "receiver", .value = d->receiver, .summary = summary,
                            .key = text_of(d->id)};
  say(to, &t, d->receiver, now_ns);
}

void trouble_refused(const struct troubles *to, const struct incidents_refusal *r, uint64_t now_ns) {
  char rule[LIMIT_RULE_NAME_BYTES + 1], summary[SUMMARY_BYTES];
  snprintf(rule, sizeof rule, "%.*s", (int)r->rule.n, r->rule.p);
  snprintf(summary, sizeof summary, "%u incidents %s burn, and no more fit: of other groups of %s nobody is told",
           r->burning, r->of_rule ? "of this rule" : "of all rules", rule);
  const struct trouble t = {.rule = refused, .name = "rule", .value = rule, .summary = summary, .key = text_of("")};
  say(to, &t, "", now_ns);
}

static void over(const struct troubles *to, uint64_t now_ns) {
  struct buffer group;
  buffer_init(&group, LIMIT_INCIDENT_KEY_BYTES);
  for (int k = LEDGER_DISK_FULL; k < LEDGER_CORRUPT; k++) {
    buffer_clear(&group);
    if (labels_add(&group, text_of("trouble"), text_of(ledger_trouble_text((enum ledger_trouble)k)))) continue;
    incidents_clear(to->incidents, text_of(ledger), (struct labels){group.data, (uint32_t)group.len}, now_ns);
  }
  buffer_deinit(&group);
}

void trouble_ledger(const struct troubles *to, enum ledger_trouble trouble, const char *why, uint64_t now_ns) {
  static const char *const texts[LEDGER_TROUBLES] = {
      [LEDGER_CORRUPT] = "The ledger was damaged: it is set aside, and a new one begun",
      [LEDGER_BEHIND] = "The ledger does not keep up with what is to be written",
  };
  char summary[SUMMARY_BYTES];
  over(to, now_ns);
  if (trouble == LEDGER_WELL) return;
  const char *text = texts[trouble] ? texts[trouble] : "The ledger cannot be written";
  snprintf(summary, sizeof summary, "%s: %s", text, why);
  const struct trouble t = {.rule = ledger, .name = "trouble", .value = ledger_trouble_text(trouble), .summary = summary,
                            .key = text_of(""), .resolve_ns = texts[trouble] ? 0 : LASTING_NS};
  say(to, &t, "", now_ns);
}
