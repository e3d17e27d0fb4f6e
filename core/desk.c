/* The desk.
 *
 * Data flow: alerts say who is to be told of what; dispatch writes that into the keeper's ledger and waits until the
 * ledger says that it is on disk. What goes wrong with that becomes alerts itself (trouble.h). What the ledger gives back
 * at the start goes to alerts and to dispatch. Nothing of its own can fail but the opening; what was opened by then is
 * closed as at any end. */
#include "desk.h"

#include <stdio.h>

#include "err.h"
#include "feedback_subject.h"
#include "heap.h"
#include "trouble.h"

struct desk {
  struct alerts *alerts;
  struct keeper *keeper;
  struct dispatch *dispatch;
  struct feedback *feedback;
  struct engine *engine;              /* NULL: there is none yet, and no group that could be widened */
  struct follow *follow;              /* NULL: none */
  struct log *log;
  struct ledger_restored restored;    /* of alerts */
  struct troubles troubles;
};

static bool on_notice(void *ctx, const struct notice *notice) {
  const struct desk *d = ctx;
  return dispatch_notice(d->dispatch, notice);
}

static void on_incident(void *ctx, const struct incident *incident, uint64_t now_ns) {
  const struct desk *d = ctx;
  if (d->follow) follow_incident(d->follow, incident, now_ns);
}

static void on_saved(void *ctx, uint64_t number, bool held) {
  const struct desk *d = ctx;
  (void)held;                         /* a disk that refuses rows keeps nobody from being told */
  dispatch_saved(d->dispatch, number);
}

static void on_untold(void *ctx, const struct outbox_delivery *delivery, bool given_up, const char *why) {
  const struct desk *d = ctx;
  trouble_delivery(&d->troubles, delivery, given_up, why, dispatch_now_ns(d->dispatch));
}

/* Of a rule that notifies nobody nobody is told this either. */
static void on_refused(void *ctx, const struct incidents_refusal *r, uint64_t now_ns) {
  const struct desk *d = ctx;
  const char *why = r->of_rule ? "as many incidents of it burn as one rule may have" : "as many incidents burn as are remembered";
  log_to(d->log, LOG_WARN, "violations of a rule open no incident: nobody is told of their groups",
         log_b("rule", r->rule.p, r->rule.n), log_s("why", why), log_u("burning", r->burning));
  if (!r->shadow) trouble_refused(&d->troubles, r, now_ns);
}

static void on_trouble(void *ctx, enum ledger_trouble trouble, const char *why) {
  const struct desk *d = ctx;
  trouble_ledger(&d->troubles, trouble, why, dispatch_now_ns(d->dispatch));
}

static void restore_incident(void *ctx, const struct ledger_incident *row) {
  const struct desk *d = ctx;
  d->restored.on_incident(d->restored.ctx, row);
}

static void restore_silence(void *ctx, const struct ledger_silence *row) {
  const struct desk *d = ctx;
  d->restored.on_silence(d->restored.ctx, row);
}

static void restore_delivery(void *ctx, const struct ledger_delivery *row) {
  const struct desk *d = ctx;
  dispatch_restore(d->dispatch, row);
}

static struct feedback_mark mark_of(const struct ledger_feedback *row) {
  return (struct feedback_mark){row->violation,
                                {row->rule.p, (uint32_t)row->rule.n},
                                {row->group.p, (uint32_t)row->group.n},
                                (enum feedback_verdict)row->verdict,
                                row->at_ns};
}

/* Else it is kept for people alone. */
static bool can_widen(const struct feedback_mark *mark) {
  return !text_same(mark->group, text_of("null"));
}

static void restore_feedback(void *ctx, const struct ledger_feedback *row) {
  const struct desk *d = ctx;
  const struct feedback_mark mark = mark_of(row);
  uint32_t widening;
  if (can_widen(&mark)) (void)feedback_take(d->feedback, &mark, &widening); /* one that is refused is counted there */
}

static void on_widened(void *ctx, const char *rule, uint32_t rule_bytes, const void *group, uint32_t n, uint32_t widening) {
  const struct desk *d = ctx;
  if (d->engine) engine_widen(d->engine, rule, rule_bytes, group, n, widening);
}

static int open_keeper(struct desk *d, const struct desk_options *o, char why[256]) {
  d->restored = alerts_restored(d->alerts);
  struct keeper_options options = {.loop = o->loop,
                                   .config = o->config,
                                   .log = o->log,
                                   .writable = o->writable,
                                   .calls = {on_saved, on_trouble, d},
                                   .restored = {restore_incident, restore_delivery, restore_silence, restore_feedback, d}};
  int err = keeper_open(&options, &d->keeper, why);
  if (err) return err;
  alerts_keep(d->alerts, keeper_ledger(d->keeper));
  d->troubles = (struct troubles){alerts_incidents(d->alerts), keeper_ledger(d->keeper), &o->config->alerting};
  trouble_ledger(&d->troubles, LEDGER_WELL, "", o->now_ns);   /* what ailed it before the start ails it no more */
  dispatch_use(d->dispatch, keeper_ledger(d->keeper));
  return 0;
}

int desk_open(const struct desk_options *o, struct desk **out, const char **what, char why[256]) {
  struct desk *d = *out = heap_zalloc(sizeof *d);
  const struct dispatch_options dispatch = {.loop = o->loop, .alerting = &o->config->alerting, .log = o->log,
                                            .seed = o->now_ns, .on_untold = on_untold, .ctx = d};
  why[0] = '\0';
  *what = "alerts";
  if (!d) return FLUO_ENOMEM;
  d->log = o->log;
  const struct alerts_calls calls = {on_notice, on_incident, on_refused, d};
  const struct feedback_calls feedback = {on_widened, d};
  int err = alerts_new(&o->config->alerting, &calls, o->now_ns, &d->alerts, why);
  if (!err) err = dispatch_open(&dispatch, &d->dispatch);
  alerting_forget_setup(&o->config->alerting);
  if (!err) err = feedback_new(&feedback, &d->feedback);
  if (!err) {
    *what = "data";
    err = open_keeper(d, o, why);
  }
  if (err && !why[0]) snprintf(why, 256, "%s", err_text(err));
  return err;                         /* what is open the owner closes, as at any end */
}

void desk_close(struct desk *d) {
  if (!d) return;
  dispatch_close(d->dispatch);
  keeper_close(d->keeper);
}

void desk_free(struct desk *d) {
  if (!d) return;
  keeper_free(d->keeper);
  dispatch_free(d->dispatch);
  alerts_free(d->alerts);
  feedback_free(d->feedback);
  heap_free(d);
}

void desk_use(struct desk *d, struct engine *engine) {
  d->engine = engine;
}

/* ---- feedback ---------------------------------------------------------------------------------- */

static struct ledger_text piece(struct text t) {
  return (struct ledger_text){t.p, t.n};
}

static void answer(const struct ledger_feedback *row, uint32_t widening, struct buffer *out) {
  char at[32];
  time_text(row->at_ns, at);
  buffer_printf(out, "{\"violation\":\"%s\",\"incident\":\"%s\",\"rule\":", row->violation, row->incident);
  buffer_json(out, row->rule.p, row->rule.n);
  buffer_text(out, ",\"group\":");
  buffer_add(out, row->group.p, row->group.n);
  buffer_printf(out, ",\"verdict\":\"%s\",\"who\":", feedback_verdict_names[row->verdict]);
  buffer_json(out, row->who.p, row->who.n);
  buffer_printf(out, ",\"at\":\"%s\",\"widened\":", at);
  buffer_number(out, (1000 + widening) / 1000.0);
  buffer_text(out, "}");
}

/* The row comes first: what widens now does so after a restart, too. */
static int say(struct desk *d, const struct ledger_feedback *row, uint32_t *widening) {
  const struct feedback_mark mark = mark_of(row);
  if (!ledger_feedback(keeper_ledger(d->keeper), row)) return FLUO_EFULL;
  return can_widen(&mark) ? feedback_take(d->feedback, &mark, widening) : 0;
}

int desk_say(struct desk *d, struct text violation, enum feedback_verdict verdict, struct text who, uint64_t now_ns,
             struct buffer *out) {
  struct feedback_subject subject;
  uint32_t widening = 0;
  int err = feedback_subject_read(violation, &subject);
  if (err) return err;
  const struct ledger_feedback row = {.violation = subject.violation,
                                      .incident = subject.incident,
                                      .rule = {subject.rule.data, subject.rule.len},
                                      .group = piece(subject.group),
                                      .who = piece(who),
                                      .verdict = (enum ledger_verdict)verdict,
                                      .at_ns = now_ns};
  err = say(d, &row, &widening);
  if (!err) answer(&row, widening, out);
  feedback_subject_deinit(&subject);
  return err ? err : out->err;
}

/* ---- its rooms --------------------------------------------------------------------------------- */

struct feedback *desk_feedback(const struct desk *d) {
  return d->feedback;
}

void desk_follow(struct desk *d, struct follow *follow) {
  d->follow = follow;
}

struct alerts *desk_alerts(const struct desk *d) {
  return d->alerts;
}

struct keeper *desk_keeper(const struct desk *d) {
  return d->keeper;
}

struct dispatch *desk_dispatch(const struct desk *d) {
  return d->dispatch;
}

void desk_write(const struct desk *d, struct buffer *out) {
  alerts_write(d->alerts, out);
  keeper_write(d->keeper, out);
  dispatch_write(d->dispatch, out);
  feedback_write(d->feedback, out);
}
