/* One load of the rules.
 *
 * Good path: the study starts the rule process, which reads and evaluates the files; their intermediate form
 * becomes a rule set here, and study and rule set are told of each other. At the start the owner waits for
 * that; on a reload its loop turns meanwhile.
 *
 * Ways it fails: the files do not load, which was printed; the rule process dies, loops or takes too much; the
 * form is none, which would be a mistake of ours. Then all that was made goes in edition_free, which takes an
 * edition in any state. */
#include "edition.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "heap.h"
#include "limits.h"

/* A file of fixed size: past it a write fails, so however much a rule process prints, it fills no memory and waits
 * for nobody. */
static int open_diagnostics(void) {
  int fd = memfd_create("fluo: diagnostics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  if (!ftruncate(fd, LIMIT_DIAGNOSTICS_BYTES) && !fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
    return fd;
  close(fd);
  return -1;
}

/* All that judging depends on, as flags of `fluo replay`: specs are to be judged as the traces will be. */
static void specs_flags(const struct config *c, char out[STUDY_SPECS_BYTES]) {
  snprintf(out, STUDY_SPECS_BYTES,
           "--trace.idle=%lluns --trace.max-age=%lluns --trace.late=%lluns --trace.spans-max=%u --trace.bytes-max=%llu "
           "--buffer.bytes-max=%llu --semconv.renames=%d --status-ok-is-explicit=%d",
           (unsigned long long)c->trace.idle_ns, (unsigned long long)c->trace.max_age_ns,
           (unsigned long long)c->trace.late_ns, c->trace.spans_max, (unsigned long long)c->trace.bytes_max,
           (unsigned long long)c->buffer.bytes_max, c->semconv_renames, c->status_ok_is_explicit);
}

int edition_start(const struct edition_options *options, const struct study_calls *calls, struct host *host,
                  struct edition **out, char why[256]) {
  int err = FLUO_ENOMEM;
  char specs[STUDY_SPECS_BYTES];
  why[0] = '\0';
  struct edition *e = heap_zalloc(sizeof *e);
  if (!e) goto err_after_nothing;
  e->host = host;
  e->diagnostics_fd = -1;
  err = FLUO_EIO;
  if (options->diagnostics_fd < 0 && (e->diagnostics_fd = open_diagnostics()) < 0) goto err_after_edition;
  specs_flags(options->config, specs);
  struct study_options study = {.exe = options->exe,
                                .rules_path = options->config->rules,
                                .specs = options->live && options->config->require_specs ? specs : NULL,
                                .explain = options->explain,
                                .actions = options->config->alerting.names,
                                .skip_broken = options->config->skip_broken,
                                .renamed = options->config->semconv_renames,
                                .explicit_ok = options->config->status_ok_is_explicit,
                                .wall_clock = options->live,
                                .arena_fd = options->arena_fd,
                                .json_diagnostics = options->json,
                                .last = options->last ? options->last->study : NULL,
                                .line_diagnostics = options->diagnostics_fd < 0,
                                .diagnostics_fd = e->diagnostics_fd < 0 ? options->diagnostics_fd : e->diagnostics_fd};
  struct study_calls mine = *calls;
  mine.ctx = e;
  err = study_start(&study, &mine, &e->study, why);
  if (!err) {
    *out = e;
    return 0;
  }
  edition_free(e);
  return err;
err_after_edition:
  heap_free(e);
err_after_nothing:
  close(options->arena_fd);
  snprintf(why, 256, "%s", err == FLUO_EIO ? strerror(errno) : err_text(err));
  return err;
}

static int name_rules(struct edition *e) {
  uint32_t count = ruleset_ir(e->rules)->rules;
  e->names = heap_zalloc((count + 1) * sizeof *e->names);
  if (!e->names) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < count; i++) {
    struct fluo_text name = ruleset_rule(e->rules, i)->name;
    e->names[i] = heap_zalloc(name.len + 1u);
    if (!e->names[i]) return FLUO_ENOMEM;
    memcpy(e->names[i], ruleset_text(e->rules, name), name.len);
  }
  return 0;
}

static int use_form(struct edition *e, const struct config *c, const void *ir, size_t ir_bytes, char why[256]) {
  struct ruleset_options options = {.status_ok_is_explicit = c->status_ok_is_explicit,
                                    .renamed = c->semconv_renames,
                                    .matches_limit = LIMIT_REGEX_MATCHES};
  char wrong[128] = "";
  int err = ruleset_new(ir, ir_bytes, &options, &e->rules, wrong);
  if (err == FLUO_EINVALID) {
    /* The rule process says only what it compiled itself: a fault of ours, not of the author. */
    snprintf(why, 256, "the compiled rules are not valid: %s (please report this)", wrong);
    return FLUO_EIO;
  }
  if (!err) err = name_rules(e);
  if (!err) study_use(e->study, e->rules);
  else snprintf(why, 256, "%s", err_text(err));
  return err;
}

int edition_loaded(struct edition *e, const struct config *config, char why[256]) {
  void *ir = NULL;
  size_t ir_bytes = 0;
  int err = study_opened(e->study, &ir, &ir_bytes, why);
  if (err) return err;
  err = use_form(e, config, ir, ir_bytes, why);
  heap_free(ir);
  return err;
}

static uint64_t monotonic_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int edition_wait(struct edition *e, const struct config *config, char why[256]) {
  int err;
  while ((err = edition_loaded(e, config, why)) > 0) {
    struct pollfd fd = {.fd = study_fd(e->study), .events = POLLIN};
    poll(&fd, 1, (int)(STUDY_TICK_NS / 1000000));
    study_tick(e->study, monotonic_ns());
  }
  return err;
}

void edition_stop(struct edition *e) {
  study_close(e->study);
  e->study = NULL;
}

void edition_free(struct edition *e) {
  if (!e) return;
  edition_stop(e);
  for (uint32_t i = 0; e->names && e->names[i]; i++) heap_free(e->names[i]);
  heap_free(e->names);
  ruleset_free(e->rules);
  if (e->diagnostics_fd >= 0) close(e->diagnostics_fd);
  heap_free(e);
}

char *edition_diagnostics(const struct edition *e) {
  char *text = heap_zalloc(LIMIT_DIAGNOSTICS_BYTES + 1);
  ssize_t n = 0;
  if (!text) return NULL;
  if (e->diagnostics_fd >= 0) n = pread(e->diagnostics_fd, text, LIMIT_DIAGNOSTICS_BYTES, 0);
  text[n > 0 ? n : 0] = '\0';
  char *end = strrchr(text, '\n');      /* the last line may be cut; past the text there is nothing but NUL */
  if (end) end[1] = '\0';
  else text[0] = '\0';
  return text;
}
