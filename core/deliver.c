/* What is done about a violation.
 *
 * Good path: its JSON goes as one line to the output's queue, to its incident and as a row to the ledger's, then each action of the rule runs, as far as
 * the rule's voice carries; past that they are counted there. Ways to fail: the line cannot be built (no memory, or over its bound), which is logged in its place; the queue is
 * full, which the output counts. Buffers live within the call. */
#include "deliver.h"

#include <string.h>

#include "buffer.h"
#include "err.h"
#include "limits.h"
#include "voice.h"

static enum log_level level_of(uint32_t severity) {
  if (severity == FLUO_SEVERITY_LOW) return LOG_INFO;
  return severity == FLUO_SEVERITY_CRITICAL ? LOG_ERROR : LOG_WARN;
}

/* The `log` action; its argument is a template, without one the rule's summary serves. */
static void act_log(const struct violation *v, struct fluo_range template, struct log *log) {
  char id[33], trace_id[33];
  struct buffer text;
  buffer_init(&text, LIMIT_TEXT_BYTES);
  violation_template(v, template.count ? template : v->rule->summary, &text);
  hex_text(v->trace_id, 16, trace_id);
  violation_id(v, id);
  log_to(log, level_of(v->rule->severity), "violation",
         log_b("rule", ruleset_text(v->rules, v->rule->name), v->rule->name.len),
         log_s("severity", severity_text(v->rule->severity)),
         log_b("text", text.data ? text.data : "", (uint32_t)text.len), log_s("trace_id", trace_id),
         log_s("violation", id));
  buffer_deinit(&text);
}

/* The loader has put `log` in the place of names that nothing defines, so nothing is passed over here. */
static void act(const struct violation *v, struct log *log) {
  if (v->rule->mode == FLUO_MODE_SHADOW) return;
  for (uint32_t i = 0; i < v->rule->actions.count; i++) {
    const struct fluo_ir_pair *action = ruleset_pair(v->rules, v->rule->actions.first + i);
    if (action->name.len == 3 && memcmp(ruleset_text(v->rules, action->name), "log", 3) == 0 &&
        log_enabled(log, level_of(v->rule->severity)) && voice_log(v->voice, v->now_ns))
      act_log(v, action->parts, log);
  }
}

static void write_json(const struct violation *v, const struct deliver_to *to) {
  struct buffer json;
  char id[33];
  buffer_init(&json, LIMIT_VIOLATION_BYTES);
  int err = violation_json(v, &json);
  if (!err) err = buffer_text(&json, "\n");
  if (!err) {
    if (to->out) out_add(to->out, json.data, json.len);
    struct text text = {json.data, (uint32_t)json.len - 1};
    struct ledger_text row = {text.p, text.n};
    const char *incident = to->alerts ? alerts_violation(to->alerts, v, text) : "";
    if (to->keeper) keeper_violation(to->keeper, v, incident, row);
    if (to->follow) follow_violation(to->follow, row, incident, v->now_ns);
  } else {
    violation_id(v, id);
    log_to(to->log, LOG_ERROR, "a violation could not be written", log_s("violation", id), log_s("error", err_text(err)));
  }
  buffer_deinit(&json);
}

void deliver(const struct violation *v, const struct deliver_to *to) {
  if (v->withheld && to->alerts) alerts_count(to->alerts, v);
  if ((to->out || to->alerts || to->keeper) && !v->withheld) write_json(v, to);
  act(v, to->log);
}
