/* What the agent is at: itself, its rules, its receivers, the limits that feedback has widened. Written straight into the answer. */
#include "api_parts.h"

#include <inttypes.h>
#include <string.h>

static void add_text(struct buffer *b, const char *name, const char *text) {
  buffer_printf(b, "\"%s\":", name);
  buffer_json(b, text, strlen(text));
}

static void add_count(struct buffer *b, const char *name, uint64_t count) {
  buffer_printf(b, "\"%s\":%" PRIu64, name, count);
}

static bool takes_no_query(const struct api_call *call) {
  if (call->request->query.n) api_refuse(call->response, 400, "this takes no parameters");
  return !call->request->query.n;
}

/* ---- status ------------------------------------------------------------------------------------ */

static void add_spans(struct buffer *b, const struct host *host) {
  struct engine_stats s;
  uint64_t dropped = 0;
  engine_stats_get(host_engine(host), &s);
  for (int i = 0; i < DROP_REASONS; i++) dropped += s.dropped[i];
  buffer_printf(b, ",\"spans\":{\"received\":%" PRIu64 ",\"evaluated\":%" PRIu64 ",\"rejected\":%" PRIu64
                   ",\"dropped\":%" PRIu64 ",\"in_flight\":%" PRIu64 "}",
                s.received, s.evaluated, s.rejected, dropped, s.in_flight);
}

static void add_buffer(struct buffer *b, const struct host *host, uint64_t now_ns) {
  struct store_stats s;
  store_stats_get(engine_store(host_engine(host)), now_ns, &s);
  buffer_text(b, ",");
  add_count(b, "open_traces", s.traces_open);
  buffer_printf(b, ",\"buffer\":{\"limit_bytes\":%" PRIu64 ",\"used_bytes\":%" PRIu64 "}", (uint64_t)s.arena_bytes,
                (uint64_t)(s.arena_bytes_used + s.heap_bytes + s.remembered_bytes));
}

static void add_incidents(struct buffer *b, struct incidents *i) {
  const struct incidents_stats *s = incidents_stats(i);
  buffer_printf(b, ",\"incidents\":{\"open\":%" PRIu64 ",\"acknowledged\":%" PRIu64 ",\"pending\":%" PRIu64 "},\"silences\":%" PRIu64,
                s->open, s->acknowledged, s->pending, s->silences);
}

static void add_ledger(struct buffer *b, struct ledger *ledger) {
  struct ledger_stats s;
  ledger_stats_get(ledger, &s);
  buffer_printf(b, ",\"ledger\":{\"in_memory\":%s,\"bytes\":%" PRIu64 ",\"trouble\":", s.in_memory ? "true" : "false", s.file_bytes);
  if (s.trouble) buffer_json(b, ledger_trouble_text(s.trouble), strlen(ledger_trouble_text(s.trouble)));
  else buffer_text(b, "null");
  buffer_text(b, "}");
}

void api_get_status(struct api *a, const struct api_call *call) {
  struct buffer *b = call->response->body;
  const char *missing = a->o.ready(a->o.ctx);
  char started[32];
  if (!takes_no_query(call)) return;
  time_text(a->o.started_ns, started);
  buffer_printf(b, "{\"version\":\"%s\",\"state\":\"%s\",\"started_at\":\"%s\",\"rules\":%" PRIu32, FLUO_VERSION,
                missing ? missing : "ready", started, ruleset_ir(host_rules(a->o.host))->rules);
  add_spans(b, a->o.host);
  add_buffer(b, a->o.host, a->o.now_ns(a->o.ctx));
  add_incidents(b, incidents_of(a));
  add_ledger(b, ledger_of(a));
  buffer_text(b, "}");
  api_done(call->response);
}

/* ---- rules ------------------------------------------------------------------------------------- */

static void add_rule(struct buffer *b, const struct host *host, uint32_t at, bool first) {
  static const char *const scopes[] = {"span", "trace", "window", "sequence"};
  const struct fluo_ir_rule *rule = ruleset_rule(host_rules(host), at);
  const struct engine_rule_stats *s = engine_rule_stats(host_engine(host), at);
  buffer_text(b, first ? "{" : ",{");
  add_text(b, "name", host_rule_name(host, at));
  buffer_printf(b, ",\"mode\":\"%s\",\"severity\":\"%s\",\"scope\":\"%s\"", rule->mode == FLUO_MODE_SHADOW ? "shadow" : "active",
                severity_text(rule->severity), scopes[rule->scope]);
  buffer_text(b, ",\"file\":");
  buffer_json(b, ruleset_text(host_rules(host), rule->file), rule->file.len);
  buffer_printf(b, ",\"violations\":%" PRIu64 ",\"unknown\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"quarantined\":%s}",
                s->violations, s->unknown, s->errors, host_quarantined(host, at) ? "true" : "false");
}

/* The cursor is how many the pages before had: after a reload in between a page begins there in the new list. */
void api_get_rules(struct api *a, const struct api_call *call) {
  struct buffer *b = call->response->body;
  uint32_t limit, count = ruleset_ir(host_rules(a->o.host))->rules;
  uint64_t from;
  if (!api_take_page(call, &limit, &from)) return;
  uint64_t end = from + limit < count ? from + limit : count;
  buffer_text(b, "{\"rules\":[");
  for (uint64_t i = from; i < end; i++) add_rule(b, a->o.host, (uint32_t)i, i == from);
  buffer_text(b, "]");
  if (end < count) buffer_printf(b, ",\"next\":\"%" PRIu64 "\"", end);
  buffer_text(b, "}");
  api_done(call->response);
}

/* ---- receivers --------------------------------------------------------------------------------- */

struct receivers { struct buffer *out; const struct alerting *alerting; bool some; };

static void add_receiver(struct receivers *to, const char *name, bool configured, const struct outbox_receiver *r) {
  buffer_text(to->out, to->some ? ",{" : "{");
  to->some = true;
  add_text(to->out, "name", name);
  buffer_printf(to->out, ",\"configured\":%s,\"waiting\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"dead\":%" PRIu64
                         ",\"failures\":%" PRIu32,
                configured ? "true" : "false", r->waiting, r->delivered, r->dead, r->failures);
  if (r->failures && r->last_error) {
    buffer_text(to->out, ",");
    add_text(to->out, "last_error", r->last_error);
  }
  buffer_text(to->out, "}");
}

/* Of one receiver, by name. */
struct lookup { const char *name; struct outbox_receiver found; };

static void look_up(void *ctx, const struct outbox_receiver *r) {
  struct lookup *look = ctx;
  if (!strcmp(look->name, r->name)) look->found = *r;
}

static void add_other(void *ctx, const struct outbox_receiver *r) {
  struct receivers *to = ctx;
  if (!alerting_find(to->alerting, r->name)) add_receiver(to, r->name, false, r);
}

/* Those of the configuration, then those that are actions of rule files and had something to do. */
void api_get_receivers(struct api *a, const struct api_call *call) {
  struct receivers to = {call->response->body, a->o.alerting, false};
  if (!takes_no_query(call)) return;
  buffer_text(to.out, "{\"receivers\":[");
  for (uint32_t i = 0; i < to.alerting->receivers_count; i++) {
    struct lookup look = {to.alerting->receivers[i].name, {0}};
    dispatch_each(desk_dispatch(a->o.desk), look_up, &look);
    add_receiver(&to, look.name, true, &look.found);
  }
  dispatch_each(desk_dispatch(a->o.desk), add_other, &to);
  buffer_text(to.out, "]}");
  api_done(call->response);
}

/* ---- what feedback has widened ----------------------------------------------------------------- */

void api_get_widened(struct api *a, const struct api_call *call) {
  if (!takes_no_query(call)) return;
  buffer_text(call->response->body, "{\"widened\":");
  feedback_json(desk_feedback(a->o.desk), (struct text){"", 0}, call->response->body);
  buffer_text(call->response->body, "}");
  api_done(call->response);
}
