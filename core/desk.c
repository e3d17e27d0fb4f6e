/* The desk.
 *
 * Data flow: alerts say who is to be told of what; dispatch writes that into the keeper's ledger and waits until the
 * ledger says that it is on disk. What the ledger gives back at the start goes to alerts and to dispatch. Nothing of its
 * own can fail but the opening; what was opened by then is closed as at any end. */
#include "desk.h"

#include <stdio.h>

#include "err.h"
#include "heap.h"

struct desk {
  struct alerts *alerts;
  struct keeper *keeper;
  struct dispatch *dispatch;
  struct ledger_restored restored;    /* of alerts */
};

static bool on_notice(void *ctx, const struct notice *notice) {
  const struct desk *d = ctx;
  return dispatch_notice(d->dispatch, notice);
}

static void on_saved(void *ctx, uint64_t number, bool held) {
  const struct desk *d = ctx;
  (void)held;                         /* a disk that refuses rows keeps nobody from being told */
  dispatch_saved(d->dispatch, number);
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

static int open_keeper(struct desk *d, const struct desk_options *o, char why[256]) {
  d->restored = alerts_restored(d->alerts);
  struct keeper_options options = {.loop = o->loop,
                                   .config = o->config,
                                   .log = o->log,
                                   .writable = o->writable,
                                   .calls = {.on_saved = on_saved, .ctx = d},
                                   .restored = {restore_incident, restore_delivery, restore_silence, NULL, d}};
  int err = keeper_open(&options, &d->keeper, why);
  if (err) return err;
  alerts_keep(d->alerts, keeper_ledger(d->keeper));
  dispatch_use(d->dispatch, keeper_ledger(d->keeper));
  return 0;
}

int desk_open(const struct desk_options *o, struct desk **out, const char **what, char why[256]) {
  const struct dispatch_options dispatch = {.loop = o->loop, .alerting = &o->config->alerting, .log = o->log,
                                            .seed = o->now_ns};
  struct desk *d = *out = heap_zalloc(sizeof *d);
  why[0] = '\0';
  *what = "alerts";
  if (!d) return FLUO_ENOMEM;
  const struct alerts_calls calls = {on_notice, d};
  int err = alerts_new(&o->config->alerting, &calls, o->now_ns, &d->alerts, why);
  if (!err) err = dispatch_open(&dispatch, &d->dispatch);
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
  heap_free(d);
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
