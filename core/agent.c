/* The live agent: one struct that owns all rooms, and the loop that turns.
 *
 * Data flow: the OTLP server hands bodies to the intake, the intake hands what parsed to
 * on_receive, and that to the engine. The engine's jobs go to the study, whose socket the loop
 * polls; violations come back through the report, as a line on the output and through the rule's
 * actions. After whatever happened, rearm() looks once at what may have changed: the next timer,
 * what waits for the study or the output, whether the study must be watched.
 *
 * Start and end: rooms open in the order of their needs (log, rules, outputs, listeners) and
 * agent_run takes them down in reverse, also when one of them fails to open. A signal drains:
 * listeners close, every open trace is closed as cut and judged, outputs are flushed, all within
 * LIMIT_DRAIN_NS. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "aside.h"
#include "console.h"
#include "data_dir.h"
#include "desk.h"
#include "err.h"
#include "greeting.h"
#include "heap.h"
#include "host.h"
#include "intake.h"
#include "limits.h"
#include "listeners.h"
#include "log.h"
#include "loop.h"
#include "out.h"
#include "page.h"
#include "quota.h"
#include "report.h"
#include "state_file.h"
#include "warnings.h"
#include "watch.h"

enum agent_state { AGENT_STARTING, AGENT_READY, AGENT_DRAINING };

struct agent {
  const struct config *config;
  enum agent_state state;
  struct log *log;
  struct desk *desk;
  struct report report; /* its outputs are ours */
  struct host *host;
  struct watch *rules_watch; /* NULL: watch_rules is false */
  struct intake *intake;
  struct aside *aside;
  struct state_file *state_file; /* NULL: the data directory cannot be written */
  struct listeners listeners;
  struct console *console; /* behind the admin listener */
  uv_loop_t loop;
  uv_poll_t study;
  uv_timer_t due, watch, housekeeping, trim, drain;
  size_t trim_left; /* of the arena, to be given back until the next housekeeping */
  uv_signal_t term, interrupt, hangup;
  uint64_t wall_ns, mono_ns; /* the same moment on both clocks */
  struct quota asking, writing; /* wakes of the worker, and of the output's writer */
  struct warnings warnings;
};

static uint64_t now_ns(const struct agent *a) {
  return a->wall_ns + (uv_hrtime() - a->mono_ns);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void rearm(struct agent *a);

static void on_study(uv_poll_t *poll, int status, int events) {
  struct agent *a = poll->data;
  (void)status, (void)events;
  host_readable(a->host, uv_hrtime());
  rearm(a);
}

static void on_watch(uv_timer_t *timer) {
  struct agent *a = timer->data;
  host_tick(a->host, uv_hrtime());
  rearm(a);
}

static void on_due(uv_timer_t *timer) {
  struct agent *a = timer->data;
  uint64_t now = now_ns(a);
  while (engine_step(host_engine(a->host), now)) {}
  alerts_step(a->report.alerts, now);
  rearm(a);
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static bool may_wake(struct quota *wakes, uint64_t now, uint64_t *due) {
  static const struct quota_terms terms = {LIMIT_WAKES, LIMIT_WAKE_NS};
  if (quota_take(wakes, terms, now)) return true;
  *due = least(*due, quota_next_ns(wakes, terms));
  return false;
}

/* Jobs to the worker, lines to the output's writer: at once where there are few, where there are many together. Returns
 * when what waits is to go; UINT64_MAX: nothing waits. */
static uint64_t hand_over(struct agent *a, uint64_t now) {
  struct out *lines = a->report.violations;
  uint64_t due = UINT64_MAX;
  if (host_waits(a->host) && may_wake(&a->asking, now, &due)) host_hand_over(a->host);
  if (lines && out_waits(lines) && may_wake(&a->writing, now, &due)) out_wake(lines);
  return due;
}

static void rearm(struct agent *a) {
  host_tidy(a->host);
  uint64_t now = now_ns(a), due = hand_over(a, now);
  bool busy = host_busy(a->host);
  if (busy && !uv_is_active((uv_handle_t *)&a->watch))
    uv_timer_start(&a->watch, on_watch, STUDY_TICK_NS / 1000000, STUDY_TICK_NS / 1000000);
  else if (!busy)
    uv_timer_stop(&a->watch);
  due = least(due, least(engine_next_due(host_engine(a->host)), alerts_next_due(a->report.alerts)));
  if (due == UINT64_MAX)
    uv_timer_stop(&a->due);
  else
    uv_timer_start(&a->due, on_due, due > now ? (due - now) / 1000000 + 1 : 0, 0);
  if (a->state == AGENT_DRAINING && !a->listeners.open && engine_idle(host_engine(a->host)) &&
      dispatch_quiet(a->report.dispatch))
    uv_stop(&a->loop);
}

static void taken(struct agent *a, const struct engine_receipt *some, struct intake_receipt *sum) {
  sum->accepted += some->accepted;
  sum->rejected += some->rejected;
  sum->dropped_memory += some->dropped_memory;
  for (int i = 0; i < OTLP_REJECTS; i++) sum->rejected_for[i] += some->rejected_for[i];
  rearm(a);
}

static bool on_receive_some(void *ctx, struct otlp_cursor *body, size_t cost_max,
                            struct intake_receipt *receipt) {
  struct agent *a = ctx;
  struct engine_receipt some = {0};
  uint64_t now = now_ns(a);
  recorder_take(a->report.recorder, body, cost_max, now);
  bool more = engine_receive_some(host_engine(a->host), body, cost_max, now, &some);
  taken(a, &some, receipt);
  return more;
}

static int on_receive(void *ctx, const uint8_t *body, size_t n, const struct otlp_summary *summary,
                      struct intake_receipt *receipt) {
  struct otlp_cursor cursor;
  int err = otlp_open(&cursor, body, n, summary);
  if (err) return err;
  while (on_receive_some(ctx, &cursor, SIZE_MAX, receipt)) {}
  otlp_close(&cursor);
  return 0;
}

static void on_aside(void *ctx, void (*work)(void *), void (*done)(void *), void *job) {
  struct agent *a = ctx;
  aside_run(a->aside, work, done, job);
}

/* ---- once a second ------------------------------------------------------------------------- */

enum { TRIM_EACH_MS = 20 };

/* A page takes the kernel some 2 us: what a second left unused goes back in small pieces. */
static void on_trim(uv_timer_t *timer) {
  struct agent *a = timer->data;
  size_t piece = a->trim_left < LIMIT_TRIM_A_TURN_BYTES ? a->trim_left : LIMIT_TRIM_A_TURN_BYTES;
  size_t trimmed = arena_trim(store_arena(engine_store(host_engine(a->host))), piece);
  a->trim_left = trimmed && trimmed < a->trim_left ? a->trim_left - trimmed : 0;
  if (!a->trim_left) uv_timer_stop(timer);
}

static void trim_begin(struct agent *a) {
  size_t unused = arena_unused(store_arena(engine_store(host_engine(a->host))));
  a->trim_left = unused < LIMIT_TRIM_A_SECOND_BYTES ? unused : LIMIT_TRIM_A_SECOND_BYTES;
  if (a->trim_left) uv_timer_start(&a->trim, on_trim, 0, TRIM_EACH_MS);
}

static void on_housekeeping(uv_timer_t *timer) {
  struct agent *a = timer->data;
  while (engine_step(host_engine(a->host), now_ns(a))) {}     /* what closed long ago is forgotten without a timer */
  trim_begin(a);
  intake_rest(a->intake);
  warnings_tick(&a->warnings, a->host, a->intake, a->report.violations, a->log, a->config->trace.idle_ns, now_ns(a));
  report_tick(&a->report, a->host, uv_hrtime());
  report_renew(&a->report, host_engine(a->host), now_ns(a));
  feedback_step(a->report.feedback, now_ns(a));
  if (a->console) console_tick(a->console);
  host_ping(a->host, uv_hrtime());
  if (a->state_file) state_file_tick(a->state_file, now_ns(a));
  rearm(a);
}

/* ---- the admin listener -------------------------------------------------------------------- */

static const char *on_ready(void *ctx) {
  const struct agent *a = ctx;
  return a->state == AGENT_READY ? NULL : a->state == AGENT_STARTING ? "starting" : "draining";
}

static void on_page(void *ctx, struct page *out) {
  struct agent *a = ctx;
  *out = (struct page){.host = a->host,
                       .intake = a->intake,
                       .otlp_http = a->listeners.otlp_http,
                       .violations = a->report.violations,
                       .log = a->log,
                       .now_ns = now_ns(a),
                       .started_ns = a->wall_ns,
                       .reload = &a->report.reload,
                       .state_file = a->state_file,
                       .desk = a->desk,
                       .ready = a->state == AGENT_READY};
}

static void on_reload_wanted(void *ctx) {
  struct agent *a = ctx;
  if (a->state != AGENT_READY) return; /* draining: what is judged is what is there */
  host_reload(a->host);
  rearm(a);
}

static uint64_t on_now(void *ctx) {
  return now_ns(ctx);
}

static void on_changed(void *ctx) {
  rearm(ctx);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void on_drained_too_long(uv_timer_t *timer) {
  struct agent *a = timer->data;
  struct engine_stats s;
  engine_stats_get(host_engine(a->host), &s);
  log_to(a->log, LOG_WARN, "gave up waiting for judgments", log_u("spans_in_flight", s.in_flight));
  uv_stop(&a->loop);
}

/* Nothing more comes in. */
static void on_listeners_gone(void *ctx) {
  struct agent *a = ctx;
  if (!a->host) return;
  engine_close_all(host_engine(a->host), now_ns(a));
  rearm(a);
}

static void close_servers(struct agent *a, uint64_t drain_ns) {
  console_end(a->console);
  listeners_close(&a->listeners, drain_ns);
}

static void on_hangup(uv_signal_t *handle, int number) {
  (void)number;
  on_reload_wanted(handle->data);
}

static void on_signal(uv_signal_t *handle, int number) {
  struct agent *a = handle->data;
  if (a->state == AGENT_DRAINING) _exit(128 + number); /* a second one ends at once */
  a->state = AGENT_DRAINING;
  log_to(a->log, LOG_INFO, "draining: open traces are judged, then the agent ends",
         log_s("signal", strsignal(number)));
  uv_timer_start(&a->drain, on_drained_too_long, LIMIT_DRAIN_NS / 1000000, 0);
  close_servers(a, LIMIT_DRAIN_NS / 5);
  if (!a->listeners.open) on_listeners_gone(a);
}

/* ---- the start ----------------------------------------------------------------------------- */

static int complain(struct agent *a, const char *what, const char *why) {
  if (a->log && log_is_json(a->log))
    log_to(a->log, LOG_ERROR, why, log_s("at", what));
  else
    fprintf(stderr, "fluo: %s: %s\n", what, why);
  return -1;
}

static int open_host(struct agent *a) {
  struct host_options options = {.config = a->config, .live = true, .started_ns = a->wall_ns,
                                 .diagnostics_fd = STDERR_FILENO, .json_diagnostics = log_is_json(a->log)};
  struct host_calls calls = report_calls(&a->report);
  char why[256];
  int err = host_open(&options, &calls, &a->host, why);
  if (!err) desk_use(a->desk, host_engine(a->host));
  if (!err) keeper_use(a->report.keeper, engine_store(host_engine(a->host)));
  if (!err) dispatch_texts(a->report.dispatch, study_texts(host_study(a->host)));
  if (!err) return reload_init(&a->report.reload, a->log, host_load_errors(a->host)), 0;
  if (err == FLUO_EINVALID)
    return complain(a, a->config->rules,
        "the rules did not load, so nothing would be judged; mend them, or pass --skip-broken");
  return complain(a, a->config->rules, why);
}

static int open_violations(struct agent *a) {
  const char *path = a->config->output.violations;
  if (strcmp(path, "none") == 0) return 0;
  int fd = STDOUT_FILENO;
  if (strcmp(path, "stdout") != 0) fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) {
    char why[512];
    snprintf(why, sizeof why, "%s cannot be opened: %s", path, strerror(errno));
    return complain(a, "output.violations", why);
  }
  int err = out_new(fd, LIMIT_OUT_BYTES, &a->report.violations);
  return err ? complain(a, "output.violations", err_text(err)) : 0;
}

/* The ledger comes first: it is by its lock that a second agent on the same data is refused. */
static int open_desk(struct agent *a, bool writable) {
  char why[256];
  const char *what;
  struct desk_options options = {&a->loop, a->config, a->log, writable, a->wall_ns};
  if (desk_open(&options, &a->desk, &what, why)) return complain(a, what, why);
  a->report.alerts = desk_alerts(a->desk);
  a->report.keeper = desk_keeper(a->desk);
  a->report.dispatch = desk_dispatch(a->desk);
  a->report.feedback = desk_feedback(a->desk);
  return 0;
}

/* What windows and sequences knew before, while there is no span yet. */
static int open_state(struct agent *a, bool writable) {
  if (!writable) return 0;
  struct state_file_options options = {.data = a->config->data,
                                       .loop = &a->loop,
                                       .engine = host_engine(a->host),
                                       .log = a->log,
                                       .state_bytes_max = a->config->state.bytes_max};
  int err = state_file_open(&options, now_ns(a), &a->state_file);
  return err ? complain(a, "data", err_text(err)) : 0;
}

/* After the last judgment: an orderly end keeps all of it. A start that failed has nothing to keep. */
static void save_state(struct agent *a) {
  if (!a->state_file) return;
  state_file_stop(a->state_file);
  while (state_file_busy(a->state_file)) uv_run(&a->loop, UV_RUN_ONCE);
  if (a->state == AGENT_DRAINING) state_file_save(a->state_file, now_ns(a));
}

static int open_intake(struct agent *a) {
  const struct config *c = a->config;
  uint32_t elements = (uint32_t)(c->http.body_bytes_max / LIMIT_ELEMENT_BYTES);
  if (elements < LIMIT_ELEMENTS) elements = LIMIT_ELEMENTS;
  struct intake_options options = {.limits = {LIMIT_DEPTH, LIMIT_SPANS, elements,
                                              c->http.body_bytes_max * LIMIT_DECODED_FACTOR},
                                   .body_bytes_max = c->http.body_bytes_max,
                                   .traces_path = c->http.traces_path, .cors_origins = c->http.cors_origins,
                                   .reject_other_signals = c->other_signals == CONFIG_REJECT};
  struct intake_calls calls = {on_receive, a, on_aside, on_receive_some};
  int err = aside_new(&a->loop, &a->aside);
  if (!err) err = intake_new(&options, &calls, &a->intake);
  return err ? complain(a, "intake", err_text(err)) : 0;
}

static int open_servers(struct agent *a) {
  const struct console_options options = {a->config, a->host, a->desk, a->wall_ns, on_ready, on_now, on_page,
                                          on_reload_wanted, on_changed, a};
  struct http_calls otlp, admin;
  const char *setting;
  char why[256];
  if (!(a->console = console_new(&options))) return complain(a, "listen.admin", err_text(FLUO_ENOMEM));
  a->report.recorder = console_recorder(a->console);
  a->report.follow = console_follow(a->console);
  desk_follow(a->desk, a->report.follow);
  admin = console_http(a->console);
  intake_http(a->intake, &otlp);
  a->listeners.on_gone = on_listeners_gone;
  a->listeners.ctx = a;
  int err = listeners_open(&a->listeners, &a->loop, a->config, &otlp, &admin, &setting, why);
  return err ? complain(a, setting, why) : 0;
}

/* Before the rules are read: a change that is announced from then on is not missed. */
static void open_hangup(struct agent *a) {
  uv_signal_init(&a->loop, &a->hangup);
  a->hangup.data = a;
  uv_signal_start(&a->hangup, on_hangup, SIGHUP);
}

static int open_loop(struct agent *a) {
  uv_timer_t *timers[] = {&a->due, &a->watch, &a->housekeeping, &a->trim, &a->drain};
  for (size_t i = 0; i < sizeof timers / sizeof *timers; i++) {
    uv_timer_init(&a->loop, timers[i]);
    timers[i]->data = a;
  }
  uv_signal_init(&a->loop, &a->term);
  uv_signal_init(&a->loop, &a->interrupt);
  a->term.data = a->interrupt.data = a;
  uv_signal_start(&a->term, on_signal, SIGTERM);
  uv_signal_start(&a->interrupt, on_signal, SIGINT);
  uv_timer_start(&a->housekeeping, on_housekeeping, 1000, 1000);
  a->study.data = a;
  if (uv_poll_init(&a->loop, &a->study, host_fd(a->host))) return complain(a, "event loop", "no poll handle");
  uv_poll_start(&a->study, UV_READABLE, on_study);
  return 0;
}

static int open_watch(struct agent *a) {
  struct watch_options options = {.path = a->config->rules,
                                  .settle_ns = LIMIT_SETTLE_NS,
                                  .settle_max_ns = LIMIT_SETTLE_MAX_NS,
                                  .rescan_ns = LIMIT_RESCAN_NS};
  if (!a->config->watch_rules) return 0;
  int err = watch_open(&a->loop, &options, on_reload_wanted, a, &a->rules_watch);
  return err ? complain(a, "watch_rules", err_text(err)) : 0;
}

static int open_all(struct agent *a) {
  int err = log_new(STDERR_FILENO, a->config->log.level, a->config->log.format, &a->log);
  if (err) return complain(a, "log", err_text(err));
  a->report.log = a->log;
  a->report.now_ns = a->mono_ns;
  bool writable = data_dir_make(a->config->data, a->log);
  open_hangup(a);
  if (open_desk(a, writable) || open_watch(a) || open_host(a) || open_state(a, writable)) return -1;
  if (open_violations(a) || open_intake(a) || open_loop(a)) return -1;
  return open_servers(a);
}

static void close_handle(uv_handle_t *handle, void *ctx) {
  (void)ctx;
  if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

/* The last word: what became of every span. */
static void say_stopped(struct agent *a) {
  struct engine_stats s;
  if (!a->host) return;
  engine_stats_get(host_engine(a->host), &s);
  report_tick(&a->report, a->host, UINT64_MAX);
  log_to(a->log, LOG_INFO, "stopped", log_u("received", s.received),
         log_u("evaluated", s.evaluated), log_u("rejected", s.rejected),
         log_u("duplicates", s.dropped[DROP_DUPLICATE]),
         log_u("dropped_memory", s.dropped[DROP_MEMORY]), log_u("in_flight", s.in_flight));
}

/* Everything down, in reverse. Servers still open (a failed start, a drain that took too long) are
 * cut. */
static bool close_all(struct agent *a) {
  bool flushed = true;
  close_servers(a, 0);
  while (a->listeners.open) uv_run(&a->loop, UV_RUN_ONCE);
  save_state(a);
  desk_close(a->desk);
  watch_close(a->rules_watch);
  aside_close(a->aside);
  state_file_close(a->state_file);
  uv_walk(&a->loop, close_handle, NULL);
  uv_run(&a->loop, UV_RUN_DEFAULT);
  uv_loop_close(&a->loop);
  watch_free(a->rules_watch);
  say_stopped(a);
  host_close(a->host);
  intake_free(a->intake);
  desk_free(a->desk);
  report_deinit(&a->report);
  console_free(a->console);
  if (a->report.violations) flushed = out_close(a->report.violations, LIMIT_DRAIN_NS);
  if (!flushed)
    log_to(a->log, LOG_ERROR, "violations were lost: the output did not take them in time");
  log_free(a->log);
  return flushed;
}

int agent_run(const struct config *config) {
  struct agent a = {.config = config};
  struct timespec wall;
  heap_lean();
  clock_gettime(CLOCK_REALTIME, &wall);
  a.wall_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
  a.mono_ns = uv_hrtime();
  if (loop_open(&a.loop)) return complain(&a, "event loop", "cannot be made"), 1;
  int err = open_all(&a);
  if (!err) {
    a.state = AGENT_READY;
    greet(a.log, config, a.host, listeners_port(a.listeners.otlp_http), listeners_port(a.listeners.admin));
    heap_settle();
    rearm(&a);
    uv_run(&a.loop, UV_RUN_DEFAULT);
  }
  bool flushed = close_all(&a);
  return err || !flushed ? 1 : 0;
}
