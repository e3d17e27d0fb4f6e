/* Playback.
 *
 * One event at a time: a request or a timer, whichever comes first on the virtual clock, and no
 * step while a job is out. A request arrives at its receivedAtUnixNano, else at the latest end of
 * its spans, but never before the one ahead of it. After the last request the clock runs on until
 * every trace is decided.
 *
 * Ways it fails: rules that do not load (said by the study), input that does not parse (what came
 * before it is still judged), a rule that was stopped (the others go on). Each is said on stderr
 * and noted. A source is closed before the next is opened; the host goes in playback_close. */
#include "playback.h"

#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "limits.h"
#include "source.h"

/* ---- what the host has to say --------------------------------------------------------------- */

static void on_violation(void *ctx, const struct violation *v) {
  struct playback *p = ctx;
  p->on_violation(p->ctx, v);
}

static void on_error(void *ctx, const char *rule, uint32_t errors, const char *text,
                     uint32_t bytes) {
  (void)ctx;
  fprintf(stderr, "fluo: rule %s: a function raised an error (%u time%s): %.*s\n", rule, errors,
          errors == 1 ? "" : "s", (int)bytes, text);
}

static void on_fault(void *ctx, const char *rule, enum study_fault fault) {
  struct playback *p = ctx;
  p->failed = true;
  fprintf(stderr, "fluo: rule %s was stopped: %s\n", rule ? rule : "(none to blame)",
          study_fault_text(fault));
}

static void on_quarantine(void *ctx, const char *rule) {
  (void)ctx;
  fprintf(stderr, "fluo: rule %s is quarantined after three faults\n", rule);
}

static void on_trouble(void *ctx, const char *why) {
  (void)ctx;
  fprintf(stderr, "fluo: a process that runs rules failed and is tried again: %s\n", why);
}

static void on_lost(void *ctx, const char *why) {
  struct playback *p = ctx;
  p->failed = true;
  fprintf(stderr, "fluo: rules no longer run: %s\n", why);
}

static uint32_t on_widening(void *ctx, const char *rule, uint32_t rule_bytes, const void *group, uint32_t group_bytes) {
  const struct playback *p = ctx;
  return feedback_widening(p->feedback, (struct text){rule, rule_bytes}, group, group_bytes);
}

/* ---- the clock ------------------------------------------------------------------------------ */

static uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Takes no step while a job is out. */
static void wait_for_study(struct playback *p) {
  while (host_busy(p->host)) {
    host_hand_over(p->host);
    struct pollfd fd = {.fd = host_fd(p->host), .events = POLLIN};
    int ready = poll(&fd, 1, (int)(STUDY_TICK_NS / 1000000));
    if (ready > 0)
      host_readable(p->host, monotonic_ns());
    else
      host_tick(p->host, monotonic_ns());
  }
}

static void run_timers(struct playback *p, uint64_t until_ns) {
  struct engine *engine = host_engine(p->host);
  uint64_t due;
  while ((due = engine_next_due(engine)) != UINT64_MAX && due <= until_ns) {
    if (due > p->now_ns) p->now_ns = due;
    engine_step(engine, p->now_ns);
    wait_for_study(p);
  }
}

static int latest_end(void *ctx, const struct otlp_span *span) {
  uint64_t *latest = ctx, end = span->end_ns > span->start_ns ? span->end_ns : span->start_ns;
  if (!span->rejected && end > *latest) *latest = end;
  return 0;
}

static int take_request(struct playback *p, const struct source_request *request) {
  uint64_t arrival = request->received_at_ns;
  struct engine_receipt receipt;
  if (!request->has_received_at) {
    arrival = 0;
    otlp_each(request->body, request->n, NULL, latest_end, &arrival);
  }
  if (arrival < p->now_ns) arrival = p->now_ns;
  uint64_t before = p->arrived_ns;
  run_timers(p, arrival);
  p->now_ns = p->arrived_ns = arrival;
  if (!p->began_ns) p->began_ns = arrival;
  engine_late_from(host_engine(p->host), request->has_received_at ? UINT64_MAX : before);
  int err = engine_receive(host_engine(p->host), request->body, request->n, NULL, arrival, &receipt);
  if (err) return err;
  for (int i = OTLP_TAKEN + 1; i < OTLP_REJECTS; i++)
    if (receipt.rejected_for[i])
      fprintf(stderr, "fluo: %u spans rejected: %s\n", receipt.rejected_for[i], otlp_reject_texts[i]);
  if (receipt.dropped_memory) {
    fprintf(stderr, "fluo: %u spans dropped: the buffer is full (buffer.bytes_max)\n",
            receipt.dropped_memory);
    p->failed = true;
  }
  wait_for_study(p);
  return 0;
}

static int take_file(struct playback *p, const char *path, const struct config *config) {
  struct otlp_limits limits = {LIMIT_DEPTH, LIMIT_SPANS, LIMIT_ELEMENTS, config->buffer.bytes_max};
  struct source *source;
  struct source_request request;
  char why[512];
  int got = source_open(path, &limits, &source, why);
  if (got) goto bad;
  while ((got = source_next(source, &request, why)) > 0) {
    int err = take_request(p, &request);
    if (err) {
      snprintf(why, sizeof why, "%s: %s", path, err_text(err));
      got = err;
      break;
    }
  }
  source_close(source);
  if (!got) return 0;
bad:
  fprintf(stderr, "fluo: %s\n", why);
  p->failed = true;
  return -1;
}

/* ---- all of it ------------------------------------------------------------------------------ */

int playback_open(struct playback *p, const struct config *config, const char *explain) {
  struct host_options options = {
      .config = config, .explain = explain, .diagnostics_fd = STDERR_FILENO};
  struct host_calls calls = {on_violation, on_error, on_fault, on_quarantine, on_trouble,
                             on_lost,      NULL,     p,        NULL,     NULL,     p->feedback ? on_widening : NULL,
                             NULL};
  char why[256];
  int err = host_open(&options, &calls, &p->host, why);
  if (!err) return 0;
  if (err != FLUO_EINVALID || why[0]) fprintf(stderr, "fluo: %s: %s\n", config->rules, why);
  return -1;
}

void playback_run(struct playback *p, const struct config *config, char *const *paths,
                  uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (take_file(p, paths[i], config)) break;
  engine_end_windows(host_engine(p->host));
  run_timers(p, UINT64_MAX - 1);
}

void playback_close(struct playback *p) { host_close(p->host); }
