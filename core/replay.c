/* Replay.
 *
 * One event at a time: a request or a timer, whichever comes first on the virtual clock, and no
 * step while a job is out. A request arrives at its receivedAtUnixNano, else at the latest end of
 * its spans, but never before the one ahead of it. After the last request the clock runs on until
 * every trace is decided. Then the violations, kept as text meanwhile, are sorted and printed. The
 * same input gives the same bytes.
 *
 * Ways it fails: rules that do not load (said by the study), input that does not parse (what came
 * before it is still judged and printed, then exit 1), a rule that was stopped (the others'
 * violations stand, exit 1), no memory for a violation (said, exit 1). The host, the lines and the
 * sources are freed in every case. */
#include "replay.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "err.h"
#include "heap.h"
#include "host.h"
#include "limits.h"
#include "source.h"

struct replay_line {
  uint64_t time_ns;
  uint32_t rule;
  char id[33];
  char *text; /* owned; with its line end */
  size_t n;
};

struct replay {
  struct host *host;
  uint64_t now_ns, arrived_ns; /* the clock; the last arrival, 0 before the first */
  struct replay_line *lines;
  uint32_t lines_count, lines_capacity;
  bool failed, fired;
};

static void on_violation(void *ctx, const struct violation *v) {
  struct replay *r = ctx;
  struct buffer json;
  buffer_init(&json, LIMIT_VIOLATION_BYTES);
  int err = violation_json(v, &json);
  if (!err) err = buffer_text(&json, "\n");
  if (!err)
    err = heap_grow((void **)&r->lines, &r->lines_capacity, r->lines_count, sizeof *r->lines);
  if (err) {
    fprintf(stderr, "fluo: a violation of rule %s is lost: %s\n",
            host_rule_name(r->host, v->rule_index), err_text(err));
    r->failed = true;
    buffer_deinit(&json);
    return;
  }
  struct replay_line *line = &r->lines[r->lines_count++];
  *line = (struct replay_line){
      .time_ns = v->time_ns, .rule = v->rule_index, .text = json.data, .n = json.len};
  memcpy(line->id, v->id, sizeof line->id);
  r->fired |= v->rule->mode != FLUO_MODE_SHADOW;
}

static void on_error(void *ctx, const char *rule, uint32_t errors, const char *text,
                     uint32_t bytes) {
  (void)ctx;
  fprintf(stderr, "fluo: rule %s: a function raised an error (%u times): %.*s\n", rule, errors,
          (int)bytes, text);
}

static void on_fault(void *ctx, const char *rule, enum study_fault fault) {
  struct replay *r = ctx;
  r->failed = true;
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
  struct replay *r = ctx;
  r->failed = true;
  fprintf(stderr, "fluo: rules no longer run: %s\n", why);
}

static uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Takes no step while a job is out. */
static void wait_for_study(struct replay *r) {
  while (host_busy(r->host)) {
    struct pollfd fd = {.fd = host_fd(r->host), .events = POLLIN};
    int ready = poll(&fd, 1, (int)(STUDY_TICK_NS / 1000000));
    if (ready > 0)
      host_readable(r->host, monotonic_ns());
    else
      host_tick(r->host, monotonic_ns());
  }
}

static void run_timers(struct replay *r, uint64_t until_ns) {
  struct engine *engine = host_engine(r->host);
  uint64_t due;
  while ((due = engine_next_due(engine)) != UINT64_MAX && due <= until_ns) {
    if (due > r->now_ns) r->now_ns = due;
    engine_step(engine, r->now_ns);
    wait_for_study(r);
  }
}

static int latest_end(void *ctx, const struct otlp_span *span) {
  uint64_t *latest = ctx, end = span->end_ns > span->start_ns ? span->end_ns : span->start_ns;
  if (span->valid && end > *latest) *latest = end;
  return 0;
}

static int take_request(struct replay *r, const struct source_request *request) {
  uint64_t arrival = request->received_at_ns;
  struct engine_receipt receipt;
  if (!request->has_received_at) {
    arrival = 0;
    otlp_each(request->body, request->n, latest_end, &arrival);
  }
  if (arrival < r->now_ns) arrival = r->now_ns;
  uint64_t before = r->arrived_ns;
  run_timers(r, arrival);
  r->now_ns = r->arrived_ns = arrival;
  engine_late_from(host_engine(r->host), request->has_received_at ? UINT64_MAX : before);
  int err = engine_receive(host_engine(r->host), request->body, request->n, arrival, &receipt);
  if (err) return err;
  if (receipt.rejected)
    fprintf(stderr, "fluo: %u spans rejected: an id has the wrong length or is all zero\n",
            receipt.rejected);
  if (receipt.dropped_memory) {
    fprintf(stderr, "fluo: %u spans dropped: the buffer is full (buffer.bytes_max)\n",
            receipt.dropped_memory);
    r->failed = true;
  }
  wait_for_study(r);
  return 0;
}

static int take_file(struct replay *r, const char *path, const struct config *config) {
  struct otlp_limits limits = {LIMIT_DEPTH, LIMIT_SPANS, LIMIT_ELEMENTS, config->buffer.bytes_max};
  struct source *source;
  struct source_request request;
  char why[512];
  int got = source_open(path, &limits, &source, why);
  if (got) goto bad;
  while ((got = source_next(source, &request, why)) > 0) {
    int err = take_request(r, &request);
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
  r->failed = true;
  return -1;
}

/* By time, then rule name, then id. */
static int compare_lines(const void *pa, const void *pb, void *ctx) {
  const struct replay_line *a = pa, *b = pb;
  const struct replay *r = ctx;
  if (a->time_ns != b->time_ns) return a->time_ns < b->time_ns ? -1 : 1;
  int by_rule = strcmp(host_rule_name(r->host, a->rule), host_rule_name(r->host, b->rule));
  return by_rule ? by_rule : strcmp(a->id, b->id);
}

static void print_lines(struct replay *r) {
  if (r->lines_count) qsort_r(r->lines, r->lines_count, sizeof *r->lines, compare_lines, r);
  for (uint32_t i = 0; i < r->lines_count; i++) {
    fwrite(r->lines[i].text, 1, r->lines[i].n, stdout);
    heap_free(r->lines[i].text);
  }
  heap_free(r->lines);
  if (fflush(stdout) || ferror(stdout)) {
    fprintf(stderr, "fluo: standard output: %s\n", strerror(errno));
    r->failed = true;
  }
}

int replay_run(const struct config *config) {
  struct replay r = {0};
  struct host_options options = {.config = config, .diagnostics_fd = STDERR_FILENO};
  struct host_calls calls = {on_violation, on_error, on_fault, on_quarantine, on_trouble, on_lost, NULL, &r, NULL};
  char why[256];
  int err = host_open(&options, &calls, &r.host, why);
  if (err) {
    if (err != FLUO_EINVALID || why[0]) fprintf(stderr, "fluo: %s: %s\n", config->rules, why);
    return 1;
  }
  for (uint32_t i = 0; i < config->args_count; i++)
    if (take_file(&r, config->args[i], config)) break;
  engine_end_windows(host_engine(r.host));
  run_timers(&r, UINT64_MAX - 1);
  print_lines(&r);
  host_close(r.host);
  if (r.failed) return 1;
  return config->fail_on_violation && r.fired ? 3 : 0;
}
