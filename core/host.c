/* Bringing rules into force.
 *
 * Good path: the engine makes the arena, an edition of the rules is loaded over it, and the engine is told to use it.
 * On a reload another edition is loaded beside the one in force and, once it stands, takes its place for traces
 * that begin from then on; the old one ends when its last trace is dropped. Whatever of a reload fails, the
 * edition in force stays, and on_reload says why.
 *
 * The host owns engine and editions: the one in force heads a list of those that drain, the one being loaded stands
 * apart. Callbacks of a study pass through here on their way to the engine (answers, verdicts) or to the owner,
 * who wants names instead of indices. They must not close a study, so editions end in host_tidy. */
#include "host.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "edition.h"
#include "err.h"
#include "heap.h"
#include "limits.h"

struct host {
  const struct config *config;
  const char *exe, *explain;
  bool live;
  struct host_calls calls;
  struct engine *engine;
  struct edition *editions;           /* in force, and behind it those that drain */
  struct edition *loading;
  uint32_t count;                     /* of both */
  bool wanted;                        /* a reload was asked for, and has not begun */
  int epoll_fd;                       /* over the studies' descriptors */
  struct study_stats ended;           /* of studies that are gone */
};

/* ---- what a study says ------------------------------------------------------------------------ */

static void on_answers(void *ctx, const struct study_job *job, const uint8_t *answers) {
  struct edition *e = ctx;
  engine_answers(e->host->engine, job, answers);
}

static void on_verdicts(void *ctx, const struct study_job *job,
                        const struct study_verdict *verdicts) {
  struct edition *e = ctx;
  engine_verdicts(e->host->engine, job, verdicts);
}

static void on_violation(void *ctx, const struct violation *v) {
  struct host *h = ctx;
  h->calls.on_violation(h->calls.ctx, v);
}

static void on_trace_end(void *ctx, const struct ruleset *rules, const struct trace *t) {
  struct host *h = ctx;
  h->calls.on_trace_end(h->calls.ctx, rules, t);
}

static void on_resolve(void *ctx, const struct ruleset *rules, uint32_t rule, const struct span_view *span,
                       uint64_t now_ns) {
  struct host *h = ctx;
  h->calls.on_resolve(h->calls.ctx, rules, rule, span, now_ns);
}

static uint32_t on_widening(void *ctx, const char *rule, uint32_t rule_bytes, const void *group, uint32_t group_bytes) {
  struct host *h = ctx;
  return h->calls.widening(h->calls.ctx, rule, rule_bytes, group, group_bytes);
}

static void on_request_end(void *ctx) {
  struct host *h = ctx;
  h->calls.on_request_end(h->calls.ctx);
}

static void on_error(void *ctx, uint32_t rule, uint32_t errors, const char *text, uint32_t bytes) {
  struct edition *e = ctx;
  struct host *h = e->host;
  engine_count_error(h->engine, e->rules, rule, errors);
  h->calls.on_error(h->calls.ctx, e->names[rule], errors, text, bytes);
}

static void on_fault(void *ctx, uint32_t rule, enum study_fault fault) {
  struct edition *e = ctx;
  struct host *h = e->host;
  h->calls.on_fault(h->calls.ctx, rule == UINT32_MAX || !e->names ? NULL : e->names[rule], fault);
}

static void on_quarantine(void *ctx, uint32_t rule) {
  struct edition *e = ctx;
  e->host->calls.on_quarantine(e->host->calls.ctx, e->names[rule]);
}

static void on_trouble(void *ctx, const char *why) {
  struct edition *e = ctx;
  e->host->calls.on_trouble(e->host->calls.ctx, why);
}

static void on_lost(void *ctx, const char *why) {
  struct edition *e = ctx;
  e->host->calls.on_lost(e->host->calls.ctx, why);
}

/* ---- loading ---------------------------------------------------------------------------------- */

static int watch(const struct host *h, const struct edition *e) {
  struct epoll_event event = {.events = EPOLLIN};
  return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, study_fd(e->study), &event) ? FLUO_EIO : 0;
}

static int start(struct host *h, int diagnostics_fd, bool json, char why[256]) {
  int arena_fd = arena_open_readonly(store_arena(engine_store(h->engine)));
  if (arena_fd < 0) {
    snprintf(why, 256, "the arena cannot be opened read-only (is /proc mounted?)");
    return FLUO_EIO;
  }
  struct edition_options options = {
      .config = h->config, .exe = h->exe, .explain = h->explain, .live = h->live, .arena_fd = arena_fd, .diagnostics_fd = diagnostics_fd,
      .json = json, .last = h->editions};
  struct study_calls calls = {on_answers,    on_verdicts, on_error, on_fault,
                              on_quarantine, on_trouble,  on_lost,  NULL};
  int err = edition_start(&options, &calls, h, &h->loading, why);
  if (err) return err;
  h->count++;
  return watch(h, h->loading);
}

static void add_stats(struct study_stats *sum, const struct study *study) {
  struct study_stats s;
  study_stats_get(study, &s);
  sum->jobs += s.jobs;
  sum->replies += s.replies;
  sum->pings += s.pings;
  sum->restarts += s.restarts;
  sum->kills_cpu += s.kills_cpu;
  sum->kills_memory += s.kills_memory;
  sum->crashes += s.crashes;
  sum->stalls += s.stalls;
  sum->shed += s.shed;
  sum->given_up += s.given_up;
  sum->errors += s.errors;
}

static void end(struct host *h, struct edition *e) {
  if (!e) return;
  h->count--;
  if (e->study) add_stats(&h->ended, e->study);
  edition_free(e);
}

/* What was loaded is in force from here on. */
static int use(struct host *h) {
  struct edition *e = h->loading, *before = h->editions;
  int err = engine_use(h->engine, e->rules, e->study);
  if (err) return err;
  if (before) study_inherit(e->study, before->study);
  e->older = before;
  h->editions = e;
  h->loading = NULL;
  return 0;
}

/* The reload is over: err is how. Where it could not even begin nothing is loading. */
static void finish_reload(struct host *h, int err, char why[256]) {
  const struct edition *e = h->loading, *now = h->editions;
  struct host_reload reload = {.before = now->rules, .why = why, .diagnostics = ""};
  char *diagnostics = e ? edition_diagnostics(e) : NULL;
  if (!err && (study_is_lost(now->study) || !ruleset_same(now->rules, e->rules))) {
    err = use(h);
    if (err) snprintf(why, 256, "%s", err_text(err));
  }
  reload.err = err;
  if (diagnostics) reload.diagnostics = diagnostics;
  if (e) reload.errors = study_load_errors(e->study);
  reload.now = h->editions->rules;
  reload.texts_fd = study_texts(h->editions->study);
  h->calls.on_reload(h->calls.ctx, &reload);
  heap_free(diagnostics);
  end(h, h->loading);
  h->loading = NULL;
}

static void begin_reload(struct host *h) {
  char why[256] = "";
  h->wanted = false;
  int err = start(h, -1, false, why);
  if (err) finish_reload(h, err, why);
}

void host_reload(struct host *h) {
  h->wanted = true;
  host_tidy(h);
}

bool host_reloading(const struct host *h) {
  return h->wanted || h->loading;
}

/* ---- turning ---------------------------------------------------------------------------------- */

static void end_drained(struct host *h) {
  for (struct edition **at = &h->editions->older; *at;) {
    struct edition *e = *at;
    if (engine_release(h->engine, e->rules)) {
      *at = e->older;
      end(h, e);
    } else {
      at = &e->older;
    }
  }
}

void host_tidy(struct host *h) {
  char why[256] = "";
  int err = h->loading ? edition_loaded(h->loading, h->config, why) : 1;
  if (err <= 0) finish_reload(h, err, why);
  if (h->editions->older) end_drained(h);
  if (h->wanted && !h->loading && h->count < LIMIT_EDITIONS) begin_reload(h);
}

int host_fd(const struct host *h) {
  return h->epoll_fd;
}

bool host_busy(const struct host *h) {
  bool busy = h->loading && study_busy(h->loading->study);
  for (const struct edition *e = h->editions; e && !busy; e = e->older) busy = study_busy(e->study);
  return busy;
}

void host_hand_over(struct host *h) {
  for (struct edition *e = h->editions; e; e = e->older) study_hand_over(e->study);
}

bool host_waits(const struct host *h) {
  bool waits = false;
  for (const struct edition *e = h->editions; e && !waits; e = e->older) waits = study_waits(e->study);
  return waits;
}

void host_readable(struct host *h, uint64_t mono_ns) {
  for (struct edition *e = h->editions; e; e = e->older) study_readable(e->study, mono_ns);
  if (h->loading) study_readable(h->loading->study, mono_ns);
  host_tidy(h);
}

void host_tick(struct host *h, uint64_t mono_ns) {
  for (struct edition *e = h->editions; e; e = e->older)
    if (study_busy(e->study)) study_tick(e->study, mono_ns);
  if (h->loading) study_tick(h->loading->study, mono_ns);
  host_tidy(h);
}

void host_ping(struct host *h, uint64_t mono_ns) {
  for (struct edition *e = h->editions; e; e = e->older) study_ping(e->study, mono_ns);
}

/* ---- opening and closing ---------------------------------------------------------------------- */

static int open_engine(struct host *h, const struct host_options *options) {
  const struct config *c = options->config;
  struct engine_options engine = {
      .store = {.arena_bytes = c->buffer.bytes_max,
                .idle_ns = c->trace.idle_ns,
                .max_age_ns = c->trace.max_age_ns,
                .late_ns = c->trace.late_ns,
                .trace_spans_max = c->trace.spans_max,
                .trace_bytes_max = c->trace.bytes_max,
                .remembered_bytes_max = c->buffer.bytes_max / LIMIT_REMEMBERED_SHARE,
                .symbols_bytes_max = c->buffer.bytes_max / LIMIT_SYMBOLS_SHARE,
                .spare_bytes_max = options->live && c->ledger.evidence == EVIDENCE_TRACE ? c->buffer.bytes_max / LIMIT_SPARE_SHARE : 0},
      .live = options->live,
      .renamed = c->semconv_renames,
      .started_ns = options->started_ns,
      .state_bytes_max = c->state.bytes_max};
  struct engine_calls calls = {on_violation, h, h->calls.on_trace_end ? on_trace_end : NULL,
                               h->calls.on_resolve ? on_resolve : NULL,
                               h->calls.widening ? on_widening : NULL,
                               h->calls.on_request_end ? on_request_end : NULL};
  return engine_new(&engine, &calls, &h->engine);
}

static int open_all(struct host *h, const struct host_options *options, char why[256]) {
  h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (h->epoll_fd < 0) return FLUO_EIO;
  int err = open_engine(h, options);
  if (!err) err = start(h, options->diagnostics_fd, options->json_diagnostics, why);
  if (!err) err = edition_wait(h->loading, h->config, why);
  return err ? err : use(h);
}

int host_open(const struct host_options *options, const struct host_calls *calls, struct host **out,
              char why[256]) {
  struct host *h = heap_zalloc(sizeof *h);
  int err = FLUO_ENOMEM;
  why[0] = '\0';
  if (h) {
    h->epoll_fd = -1;
    h->calls = *calls;
    h->config = options->config;
    h->exe = options->exe;
    h->explain = options->explain;
    h->live = options->live;
    err = open_all(h, options, why);
  }
  if (!err) {
    *out = h;
    return 0;
  }
  if (!why[0]) snprintf(why, 256, "%s", err_text(err));
  host_close(h);
  return err;
}

/* The studies first, which may still look into the arena; the rules last, which the engine still looks at. */
void host_close(struct host *h) {
  if (!h) return;
  for (struct edition *e = h->editions; e; e = e->older) edition_stop(e);
  end(h, h->loading);
  engine_free(h->engine);
  for (struct edition *e = h->editions, *older; e; e = older) {
    older = e->older;
    end(h, e);
  }
  if (h->epoll_fd >= 0) close(h->epoll_fd);
  heap_free(h);
}

/* ---- looking ---------------------------------------------------------------------------------- */

struct engine *host_engine(const struct host *h) {
  return h->engine;
}

const struct ruleset *host_rules(const struct host *h) {
  return h->editions->rules;
}

const char *host_rule_name(const struct host *h, uint32_t rule) {
  return h->editions->names[rule];
}

struct study *host_study(const struct host *h) {
  return h->editions->study;
}

bool host_quarantined(const struct host *h, uint32_t rule) {
  return study_quarantined(h->editions->study, rule);
}

void host_study_stats(const struct host *h, struct study_stats *out) {
  struct study_stats now;
  *out = h->ended;
  for (const struct edition *e = h->editions; e; e = e->older) add_stats(out, e->study);
  study_stats_get(h->editions->study, &now);
  out->heap_bytes = now.heap_bytes;
}

uint32_t host_load_errors(const struct host *h) {
  return study_load_errors(h->editions->study);
}

uint32_t host_editions(const struct host *h) {
  return h->count;
}
