/* Reporting.
 *
 * Good path: violations go on to deliver; of everything else the log gets a line. A rule's first error gets one at
 * once and a record; what follows within LIMIT_TOLD_NS is added up there, and said by the tick when that time
 * is over. A record that had nothing to say in its turn is let go, so there are no more of them than rules that raise
 * errors now, whatever rules come and go.
 *
 * Ways it fails: without memory for a record each job's errors get a line, as if they were the first. */
#include "report.h"

#include <string.h>

#include "deliver.h"
#include "heap.h"
#include "limits.h"

static void on_violation(void *ctx, const struct violation *v) {
  struct report *r = ctx;
  const struct deliver_to to = {r->violations, r->alerts, r->keeper, r->follow, r->log};
  deliver(v, &to);
  if (r->recorder) recorder_violation(r->recorder, v);
}

static void on_trace_end(void *ctx, const struct ruleset *rules, const struct trace *t) {
  const struct report *r = ctx;
  if (r->recorder) recorder_trace_end(r->recorder, rules, t);
}

static void on_resolve(void *ctx, const struct ruleset *rules, uint32_t rule, const struct span_view *span, uint64_t now_ns) {
  const struct report *r = ctx;
  if (r->alerts) alerts_resolve(r->alerts, rules, rule, span, now_ns);
}

static void on_crossed(void *ctx, const struct violation *v) {
  const struct report *r = ctx;
  alerts_renew(r->alerts, v);
}

void report_renew(struct report *r, struct engine *e, uint64_t now_ns) {
  if (!r->alerts || now_ns - r->renewed_ns < LIMIT_RENEW_NS) return;
  r->renewed_ns = now_ns;
  engine_each_crossed(e, now_ns, on_crossed, r);
}

/* ---- errors, one line a minute ------------------------------------------------------------------ */

static struct report_error *find(const struct report *r, const char *rule) {
  for (uint32_t i = 0; i < r->errors_count; i++)
    if (strcmp(r->errors[i].rule, rule) == 0) return &r->errors[i];
  return NULL;
}

/* NULL: no memory. */
static struct report_error *add(struct report *r, const char *rule) {
  if (heap_grow((void **)&r->errors, &r->errors_capacity, r->errors_count, sizeof *r->errors)) return NULL;
  char *name = heap_strdup(rule);
  if (!name) return NULL;
  struct report_error *e = &r->errors[r->errors_count++];
  e->rule = name;
  e->said_ns = r->now_ns;
  e->unsaid = 0;
  return e;
}

static void on_error(void *ctx, const char *rule, uint32_t errors, const char *text, uint32_t bytes) {
  struct report *r = ctx;
  struct report_error *e = find(r, rule);
  if (e) {
    e->unsaid += errors;
    e->bytes = bytes < sizeof e->text ? bytes : (uint32_t)sizeof e->text;
    memcpy(e->text, text, e->bytes);
    return;
  }
  add(r, rule);
  log_to(r->log, LOG_WARN, "a function of a rule raised an error: its answer is unknown", log_s("rule", rule),
         log_u("times", errors), log_b("error", text, bytes));
}

static void say_unsaid(struct report *r, struct report_error *e) {
  if (e->unsaid)
    log_to(r->log, LOG_WARN, "a function of a rule goes on raising errors", log_s("rule", e->rule),
           log_u("times", e->unsaid), log_b("error", e->text, e->bytes));
  e->said_ns = r->now_ns;
  e->unsaid = 0;
}

void report_voice(const struct report *r, const char *rule, struct voice *v) {
  uint64_t lines, log;
  if (voice_tell(v, r->now_ns, &lines, &log))
    log_to(r->log, LOG_WARN, "a rule fires more often than is written: the rest is counted", log_s("rule", rule),
           log_u("violations", lines), log_u("log_lines", log));
}

static void tick_voices(const struct report *r, const struct host *h) {
  uint32_t rules = ruleset_ir(host_rules(h))->rules;
  for (uint32_t i = 0; i < rules; i++) report_voice(r, host_rule_name(h, i), engine_rule_voice(host_engine(h), i));
}

void report_tick(struct report *r, const struct host *h, uint64_t now_ns) {
  r->now_ns = now_ns;
  if (h) tick_voices(r, h);
  for (uint32_t i = 0; i < r->errors_count;) {
    struct report_error *e = &r->errors[i];
    bool due = now_ns - e->said_ns >= LIMIT_TOLD_NS, over = due && !e->unsaid;
    if (due) say_unsaid(r, e);
    if (over) {
      heap_free(e->rule);
      *e = r->errors[--r->errors_count];
    } else {
      i++;
    }
  }
}

void report_deinit(struct report *r) {
  for (uint32_t i = 0; i < r->errors_count; i++) {
    say_unsaid(r, &r->errors[i]);
    heap_free(r->errors[i].rule);
  }
  heap_free(r->errors);
  reload_deinit(&r->reload);
  r->errors = NULL;
  r->errors_count = r->errors_capacity = 0;
}

/* ---- all else ------------------------------------------------------------------------------------ */

static void on_fault(void *ctx, const char *rule, enum study_fault fault) {
  struct report *r = ctx;
  if (rule)
    log_to(r->log, LOG_ERROR, "a rule was stopped; the others are judged again without it", log_s("rule", rule),
           log_s("why", study_fault_text(fault)));
  else
    log_to(r->log, LOG_WARN, "the rule worker was replaced", log_s("why", study_fault_text(fault)));
}

static void on_quarantine(void *ctx, const char *rule) {
  struct report *r = ctx;
  log_to(r->log, LOG_ERROR, "a rule is quarantined: three faults in ten minutes; it runs again when its text has changed",
         log_s("rule", rule));
}

static void on_trouble(void *ctx, const char *why) {
  struct report *r = ctx;
  log_to(r->log, LOG_WARN, "a process that runs rules failed and is tried again", log_s("why", why));
}

static void on_lost(void *ctx, const char *why) {
  struct report *r = ctx;
  log_to(r->log, LOG_ERROR, "rules no longer run: what needs them is unknown until a reload", log_s("why", why));
}

static void on_reload(void *ctx, const struct host_reload *reload) {
  struct report *r = ctx;
  reload_note(&r->reload, reload);
  if (r->dispatch && reload->now != reload->before) dispatch_texts(r->dispatch, reload->texts_fd);
}

static uint32_t on_widening(void *ctx, const char *rule, uint32_t rule_bytes, const void *group, uint32_t group_bytes) {
  const struct report *r = ctx;
  return r->feedback ? feedback_widening(r->feedback, (struct text){rule, rule_bytes}, group, group_bytes) : 0;
}

static void on_request_end(void *ctx) {
  const struct report *r = ctx;
  if (r->keeper) keeper_settle(r->keeper);
}

struct host_calls report_calls(struct report *r) {
  return (struct host_calls){on_violation, on_error, on_fault, on_quarantine, on_trouble, on_lost, on_reload, r,
                             on_trace_end, on_resolve, on_widening, on_request_end};
}
