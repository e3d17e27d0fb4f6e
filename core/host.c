/* Bringing the rules into force.
 *
 * Good path: the engine makes the arena, the study gets it read-only and loads the rules, their
 * intermediate form becomes the rule set, and engine and study are told to use it. Whatever fails,
 * what stands is taken down in reverse. The host owns all of it; callbacks of the study pass
 * through here on their way to the engine (answers, verdicts) or to the owner, who wants names
 * instead of indices. */
#include "host.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "heap.h"
#include "limits.h"

struct host {
  struct host_calls calls;
  struct engine *engine;
  struct study *study;
  struct ruleset *rules;
  char **names; /* of the rules, NUL-terminated */
};

const char *host_rule_name(const struct host *h, uint32_t rule) {
  return h->names[rule];
}

static void on_answers(void *ctx, const struct study_job *job, const uint8_t *answers) {
  struct host *h = ctx;
  engine_answers(h->engine, job, answers);
}

static void on_verdicts(void *ctx, const struct study_job *job,
                        const struct study_verdict *verdicts) {
  struct host *h = ctx;
  engine_verdicts(h->engine, job, verdicts);
}

static void on_violation(void *ctx, const struct violation *v) {
  struct host *h = ctx;
  h->calls.on_violation(h->calls.ctx, v);
}

static void on_error(void *ctx, uint32_t rule, uint32_t errors, const char *text, uint32_t bytes) {
  struct host *h = ctx;
  engine_count_error(h->engine, h->rules, rule, errors);
  h->calls.on_error(h->calls.ctx, h->names[rule], errors, text, bytes);
}

static void on_fault(void *ctx, uint32_t rule, enum study_fault fault) {
  struct host *h = ctx;
  h->calls.on_fault(h->calls.ctx, rule == UINT32_MAX || !h->names ? NULL : h->names[rule], fault);
}

static void on_quarantine(void *ctx, uint32_t rule) {
  struct host *h = ctx;
  h->calls.on_quarantine(h->calls.ctx, h->names[rule]);
}

static void on_trouble(void *ctx, const char *why) {
  struct host *h = ctx;
  h->calls.on_trouble(h->calls.ctx, why);
}

static void on_lost(void *ctx, const char *why) {
  struct host *h = ctx;
  h->calls.on_lost(h->calls.ctx, why);
}

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
                .symbols_bytes_max = c->buffer.bytes_max / LIMIT_SYMBOLS_SHARE},
      .live = options->live,
      .renamed = c->semconv_renames,
      .started_ns = options->started_ns};
  struct engine_calls calls = {.on_violation = on_violation, .ctx = h};
  return engine_new(&engine, &calls, &h->engine);
}

static int open_study(struct host *h, const struct host_options *options, void **ir,
                      size_t *ir_bytes, char why[256]) {
  int arena_fd = arena_open_readonly(store_arena(engine_store(h->engine)));
  if (arena_fd < 0) {
    snprintf(why, 256, "the arena cannot be opened read-only (is /proc mounted?)");
    return FLUO_EIO;
  }
  struct study_options study = {.exe = options->exe,
                                .rules_path = options->config->rules,
                                .skip_broken = options->config->skip_broken,
                                .renamed = options->config->semconv_renames,
                                .explicit_ok = options->config->status_ok_is_explicit,
                                .wall_clock = options->live,
                                .arena_fd = arena_fd,
                                .diagnostics_fd = options->diagnostics_fd,
                                .json_diagnostics = options->json_diagnostics};
  struct study_calls calls = {on_answers,    on_verdicts, on_error, on_fault,
                              on_quarantine, on_trouble,  on_lost,  h};
  return study_open(&study, &calls, &h->study, ir, ir_bytes, why);
}

static int name_rules(struct host *h) {
  uint32_t count = ruleset_ir(h->rules)->rules;
  h->names = heap_zalloc((count + 1) * sizeof *h->names);
  if (!h->names) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < count; i++) {
    struct fluo_text name = ruleset_rule(h->rules, i)->name;
    h->names[i] = heap_zalloc(name.len + 1u);
    if (!h->names[i]) return FLUO_ENOMEM;
    memcpy(h->names[i], ruleset_text(h->rules, name), name.len);
  }
  return 0;
}

static int use_rules(struct host *h, const struct config *c, const void *ir, size_t ir_bytes,
                     char why[256]) {
  struct ruleset_options options = {.status_ok_is_explicit = c->status_ok_is_explicit,
                                    .renamed = c->semconv_renames,
                                    .matches_limit = LIMIT_REGEX_MATCHES};
  char wrong[128] = "";
  int err = ruleset_new(ir, ir_bytes, &options, &h->rules, wrong);
  if (err) {
    /* The rule process says only what it compiled itself: a fault of ours, not of the author. */
    snprintf(why, 256, "the compiled rules are not valid: %s (please report this)", wrong);
    return err == FLUO_ENOMEM ? err : FLUO_EIO;
  }
  err = name_rules(h);
  if (err) return err;
  study_use(h->study, h->rules);
  return engine_use(h->engine, h->rules, h->study);
}

int host_open(const struct host_options *options, const struct host_calls *calls, struct host **out,
              char why[256]) {
  void *ir = NULL;
  size_t ir_bytes = 0;
  struct host *h = heap_zalloc(sizeof *h);
  why[0] = '\0';
  int err = FLUO_ENOMEM;
  if (!h) goto err_after_nothing;
  h->calls = *calls;
  err = open_engine(h, options);
  if (err) goto err_after_host;
  err = open_study(h, options, &ir, &ir_bytes, why);
  if (err) goto err_after_host;
  err = use_rules(h, options->config, ir, ir_bytes, why);
  heap_free(ir);
  if (err) goto err_after_host;
  *out = h;
  return 0;
err_after_host:
  host_close(h);
err_after_nothing:
  if (!why[0]) snprintf(why, 256, "%s", err_text(err));
  return err;
}

void host_close(struct host *h) {
  if (!h) return;
  if (h->study) study_close(h->study);
  engine_free(h->engine);
  for (uint32_t i = 0; h->names && h->names[i]; i++) heap_free(h->names[i]);
  heap_free(h->names);
  ruleset_free(h->rules);
  heap_free(h);
}

struct engine *host_engine(const struct host *h) {
  return h->engine;
}

struct study *host_study(const struct host *h) {
  return h->study;
}

const struct ruleset *host_rules(const struct host *h) {
  return h->rules;
}
