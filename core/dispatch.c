/* Dispatch.
 *
 * Good path: an alert becomes a row of the ledger and a delivery of the outbox; once the ledger has said that
 * the row is on disk, the outbox sends it, the post room takes it, and its outcome ends it, in the row as well. After
 * whatever happened, settle() lets the outbox send what fits, and sets the two timers: the outbox's, and the look at the
 * post room's process.
 *
 * Ways it fails: the ledger drops the row: it is delivered all the same. What the outbox refuses stays in the ledger. Errors of receivers are
 * said in the log, of each the first and then one a minute. */
#include "dispatch.h"

#include <string.h>
#include <time.h>
#include <uv.h>

#include "alert_json.h"
#include "err.h"
#include "hash.h"
#include "heap.h"
#include "limits.h"
#include "metrics.h"

enum { HEAP_BYTES = 64 << 20, IDLE_TICK_MS = 5000 };

struct dispatch {
  const struct alerting *alerting;
  struct log *log;
  struct ledger *ledger;               /* NULL: not yet */
  struct outbox *outbox;
  struct post *post;
  void (*on_untold)(void *ctx, const struct outbox_delivery *d, bool given_up, const char *why);
  void *ctx;
  uv_poll_t poll;
  uv_timer_t due, tick;
  uint64_t wall_ns, mono_ns;           /* the same moment on both clocks */
  bool settling;
};

uint64_t dispatch_now_ns(const struct dispatch *d) {
  return d->wall_ns + (uv_hrtime() - d->mono_ns);
}

/* ---- turning --------------------------------------------------------------------------------------- */

static void settle(struct dispatch *d);

static void on_due(uv_timer_t *timer) {
  settle(timer->data);
}

static void on_tick(uv_timer_t *timer) {
  struct dispatch *d = timer->data;
  post_tick(d->post, uv_hrtime());
  settle(d);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  struct dispatch *d = poll->data;
  (void)status, (void)events;
  post_turn(d->post, uv_hrtime());
  settle(d);
}

static void set_timers(struct dispatch *d) {
  struct post_stats post;
  post_stats_get(d->post, &post);
  uint64_t due = outbox_next_due(d->outbox), now = dispatch_now_ns(d), every = post.in_flight ? POST_TICK_NS / 1000000 : IDLE_TICK_MS;
  if (due == UINT64_MAX) uv_timer_stop(&d->due);
  else uv_timer_start(&d->due, on_due, due > now ? (due - now) / 1000000 + 1 : 0, 0);
  if (!post_busy(d->post)) uv_timer_stop(&d->tick);
  else if (!uv_is_active((uv_handle_t *)&d->tick) || uv_timer_get_repeat(&d->tick) != every)
    uv_timer_start(&d->tick, on_tick, post.pid ? every : 0, every);
}

/* Callbacks of the outbox and the post room come from within. */
static void settle(struct dispatch *d) {
  if (d->settling || !d->ledger) return;
  d->settling = true;
  outbox_step(d->outbox, dispatch_now_ns(d));
  d->settling = false;
  set_timers(d);
}

/* ---- the outbox's ----------------------------------------------------------------------------------- */

static bool on_send(void *ctx, const struct outbox_delivery *d) {
  struct dispatch *self = ctx;
  return post_ready(self->post) && post_send(self->post, d->number, d->receiver, d->alert, d->bytes) == 0;
}

static uint64_t on_keep(void *ctx, const struct outbox_delivery *d) {
  struct dispatch *self = ctx;
  struct ledger_delivery row = {.id = d->id, .receiver = d->receiver, .state = LEDGER_PENDING, .created_ns = d->created_ns,
                                .next_ns = d->next_ns, .alert = {d->alert, d->bytes}, .outcome = {"", 0}};
  return ledger_delivery(self->ledger, &row);
}

static void say(const struct dispatch *d, const struct outbox_delivery *o, enum postroom_result result, const char *text, size_t n) {
  if (result == POSTROOM_FAILED) {
    log_to(d->log, LOG_ERROR, "an alert was not delivered, and is given up", log_s("receiver", o->receiver),
           log_s("delivery", o->id), log_u("attempts", o->attempts), log_b("why", text, (uint32_t)n));
    return;
  }
  if (!o->to_say) return;
  log_to(d->log, LOG_WARN, "an alert was not delivered, and is tried again", log_s("receiver", o->receiver),
         log_s("delivery", o->id), log_u("attempts", o->attempts), log_u("failures", o->to_say),
         log_b("why", text, (uint32_t)n));
}

static bool is_late(const struct dispatch *d, const struct outbox_delivery *o) {
  uint64_t now = dispatch_now_ns(d);
  return now > o->created_ns && now - o->created_ns >= DISPATCH_LATE_NS;
}

/* Before the row says that it is dead: a crash in between tells twice rather than never. */
static void tell_untold(struct dispatch *d, const struct outbox_delivery *o, enum postroom_result result, const char *text,
                        size_t n) {
  char why[256];
  bool given_up = result == POSTROOM_FAILED;
  if (!d->on_untold || (!given_up && !(result == POSTROOM_RETRY && is_late(d, o)))) return;
  if (n >= sizeof why) n = sizeof why - 1;
  memcpy(why, text, n);
  why[n] = '\0';
  d->on_untold(d->ctx, o, given_up, why);
}

static void on_attempt(void *ctx, const struct outbox_delivery *o, enum postroom_result result, const char *text, size_t n) {
  static const enum ledger_delivery_state states[] = {LEDGER_DONE, LEDGER_PENDING, LEDGER_DEAD};
  struct dispatch *d = ctx;
  struct ledger_delivery row = {.id = o->id, .receiver = o->receiver, .state = states[result], .attempts = o->attempts,
                                .created_ns = o->created_ns, .next_ns = o->next_ns, .outcome = {text, n}};
  tell_untold(d, o, result, text, n);
  ledger_delivery(d->ledger, &row);
  if (result != POSTROOM_OK) say(d, o, result, text, n);
}

static void policy_of(void *ctx, const char *receiver, struct outbox_policy *out) {
  const struct dispatch *d = ctx;
  const struct alerting_receiver *r = alerting_find(d->alerting, receiver);
  *out = (struct outbox_policy){r ? r->max_age_ns : ALERTING_MAX_AGE_NS, r ? r->fallback : NULL};
}

/* ---- the post room's --------------------------------------------------------------------------------- */

static void on_outcome(void *ctx, uint64_t delivery, enum postroom_result result, uint32_t retry_after_s, const char *text,
                       size_t n) {
  struct dispatch *d = ctx;
  outbox_outcome(d->outbox, delivery, result, retry_after_s, text, n, dispatch_now_ns(d));
}

static void on_log(void *ctx, const char *text, size_t n) {
  const struct dispatch *d = ctx;
  log_to(d->log, LOG_INFO, "an action says", log_b("text", text, (uint32_t)n));
}

static void on_trouble(void *ctx, const char *why) {
  const struct dispatch *d = ctx;
  log_to(d->log, LOG_WARN, "the process that runs actions was replaced", log_s("why", why));
}

/* ---- life ------------------------------------------------------------------------------------------- */

static void open_handles(struct dispatch *d, uv_loop_t *loop) {
  uv_timer_init(loop, &d->due);
  uv_timer_init(loop, &d->tick);
  d->poll.data = d->due.data = d->tick.data = d;
  uv_poll_start(&d->poll, UV_READABLE, on_ready);
}

int dispatch_open(const struct dispatch_options *options, struct dispatch **out) {
  struct dispatch *d = heap_zalloc(sizeof *d);
  struct timespec wall;
  if (!d) return FLUO_ENOMEM;
  clock_gettime(CLOCK_REALTIME, &wall);
  d->wall_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
  d->mono_ns = uv_hrtime();
  d->alerting = options->alerting;
  d->log = options->log;
  d->on_untold = options->on_untold;
  d->ctx = options->ctx;
  const struct outbox_options box = {policy_of, d, options->seed};
  const struct outbox_calls box_calls = {on_send, on_keep, on_attempt, d};
  const char *setup = options->alerting->setup ? options->alerting->setup : "{}";
  const struct post_options post = {options->exe, setup, strlen(setup), HEAP_BYTES, STDERR_FILENO};
  const struct post_calls post_calls = {on_outcome, on_log, on_trouble, d};
  int err = outbox_new(&box, &box_calls, &d->outbox);
  if (!err) err = post_new(&post, &post_calls, &d->post);
  if (!err && uv_poll_init(options->loop, &d->poll, post_fd(d->post))) err = FLUO_EIO;
  if (err) {
    dispatch_free(d);
    return err;
  }
  open_handles(d, options->loop);
  *out = d;
  return 0;
}

void dispatch_close(struct dispatch *d) {
  if (!d) return;
  uv_close((uv_handle_t *)&d->poll, NULL);
  uv_close((uv_handle_t *)&d->due, NULL);
  uv_close((uv_handle_t *)&d->tick, NULL);
  d->ledger = NULL;
}

void dispatch_free(struct dispatch *d) {
  if (!d) return;
  outbox_free(d->outbox);
  post_free(d->post);
  heap_free(d);
}

void dispatch_use(struct dispatch *d, struct ledger *ledger) {
  d->ledger = ledger;
  settle(d);
}

void dispatch_texts(struct dispatch *d, int texts_fd) {
  if (post_texts(d->post, texts_fd))
    log_to(d->log, LOG_ERROR, "actions stay as they were: no descriptor for the rule files");
}

/* ---- deliveries ------------------------------------------------------------------------------------- */

static void add(struct dispatch *d, const struct outbox_delivery *delivery, uint64_t row) {
  int err = outbox_add(d->outbox, delivery, row);
  if (err)
    log_to(d->log, LOG_ERROR, "an alert waits for the next start: too many are not delivered",
           log_s("receiver", delivery->receiver), log_s("delivery", delivery->id), log_s("error", err_text(err)));
}

/* Of one receiver, alerts of one group go one after the other: the group as it stands in the alert, whose members come in
 * this order, and in whose texts quotes are escaped. */
static uint64_t order_of(const char *alert, size_t n) {
  static const struct hash_key key = {0};
  static const char group[] = ",\"group\":", incidents[] = ",\"incidents\":[";
  const char *from = memmem(alert, n, group, sizeof group - 1);
  const char *to = from ? memmem(from, n - (size_t)(from - alert), incidents, sizeof incidents - 1) : NULL;
  return to ? hash64(&key, from, (size_t)(to - from)) | 1 : 0;
}

void dispatch_restore(struct dispatch *d, const struct ledger_delivery *row) {
  struct outbox_delivery delivery = {.id = row->id, .receiver = row->receiver, .alert = row->alert.p,
                                     .bytes = row->alert.n, .created_ns = row->created_ns, .next_ns = row->next_ns,
                                     .attempts = row->attempts};
  uint64_t now = dispatch_now_ns(d);            /* the clock may have been set back since */
  if (delivery.created_ns > now) delivery.created_ns = now;
  if (delivery.next_ns > now + OUTBOX_RETRY_AFTER_MAX_NS) delivery.next_ns = now;
  if (!row->alert.p) return;
  delivery.order = order_of(row->alert.p, row->alert.n);
  add(d, &delivery, 0);
}

static bool take(struct dispatch *d, const struct notice *n, struct buffer *json) {
  char receiver[LIMIT_RULE_NAME_BYTES + 1];
  if (!d->ledger || n->receiver.n >= sizeof receiver || alert_json(n, json)) return false;
  memcpy(receiver, n->receiver.p, n->receiver.n);
  receiver[n->receiver.n] = '\0';
  struct outbox_delivery delivery = {.id = n->id, .receiver = receiver, .alert = json->data, .bytes = json->len,
                                     .created_ns = n->at_ns, .next_ns = n->at_ns, .order = order_of(json->data, json->len)};
  add(d, &delivery, on_keep(d, &delivery));
  uv_timer_start(&d->due, on_due, 0, 0);     /* not now: who gives notice is not to be called back from within */
  return true;
}

bool dispatch_notice(struct dispatch *d, const struct notice *n) {
  struct buffer json;
  buffer_init(&json, LIMIT_NOTICE_BYTES);
  bool taken = take(d, n, &json);
  buffer_deinit(&json);
  return taken;
}

void dispatch_saved(struct dispatch *d, uint64_t row) {
  if (!d->ledger) return;
  outbox_saved(d->outbox, row, dispatch_now_ns(d));
  settle(d);
}

bool dispatch_quiet(const struct dispatch *d) {
  struct post_stats s;
  post_stats_get(d->post, &s);
  return s.in_flight == 0;
}

void dispatch_each(const struct dispatch *d, void (*each)(void *ctx, const struct outbox_receiver *r), void *ctx) {
  outbox_each(d->outbox, each, ctx);
}

/* ---- /metrics --------------------------------------------------------------------------------------- */

#define RECEIVER_FAMILY(family, member)                                                       \
  static void write_##member(void *ctx, const struct outbox_receiver *r) {                    \
    metrics_uint(ctx, family, metrics_labels("receiver", r->name), r->member);                 \
  }
RECEIVER_FAMILY("fluo_notifications_delivered_total", delivered)
RECEIVER_FAMILY("fluo_notifications_dead_total", dead)
RECEIVER_FAMILY("fluo_notifications_waiting", waiting)
RECEIVER_FAMILY("fluo_notifications_failing", failures)
#undef RECEIVER_FAMILY

void dispatch_write(const struct dispatch *d, struct buffer *b) {
  struct outbox_stats s;
  struct post_stats p;
  outbox_stats_get(d->outbox, &s);
  post_stats_get(d->post, &p);
  metrics_family(b, "fluo_notifications_delivered_total", METRICS_COUNTER, "Alerts that a receiver took.");
  outbox_each(d->outbox, write_delivered, b);
  metrics_family(b, "fluo_notifications_dead_total", METRICS_COUNTER, "Alerts that were given up.");
  outbox_each(d->outbox, write_dead, b);
  metrics_family(b, "fluo_notifications_waiting", METRICS_GAUGE, "Alerts that were not delivered yet.");
  outbox_each(d->outbox, write_waiting, b);
  metrics_family(b, "fluo_notifications_failing", METRICS_GAUGE, "Attempts that failed since one succeeded.");
  outbox_each(d->outbox, write_failures, b);
  metrics_counter(b, "fluo_notifications_retried_total", "Attempts that failed and were made again.", s.retried);
  metrics_counter(b, "fluo_notifications_fallback_total", "Alerts that went to a fallback receiver.", s.fallbacks);
  metrics_counter(b, "fluo_notifications_refused_total", "Alerts that wait for the next start, for want of room.", s.refused);
  metrics_counter(b, "fluo_post_starts_total", "Processes started to run actions.", p.starts);
  metrics_counter(b, "fluo_post_deaths_total", "Of these, those that crashed or were stopped.", p.deaths);
}
