/* What the live agent and replay have in common: an engine, its study, and the rules in force, brought up
 * and taken down together. It runs no loop and knows no clock. */
#ifndef FLUO_HOST_H
#define FLUO_HOST_H
#include <stdbool.h>

#include "config.h"
#include "engine.h"
#include "ruleset.h"
#include "study.h"

struct host;

struct host_calls {
  void (*on_violation)(void *ctx, const struct violation *v);
  /* A rule's functions threw; `text` is the first message. */
  void (*on_error)(void *ctx, const char *rule, uint32_t errors, const char *text, uint32_t bytes);
  /* The worker was stopped or died; rule is NULL where nobody is to blame. */
  void (*on_fault)(void *ctx, const char *rule, enum study_fault fault);
  void (*on_quarantine)(void *ctx, const char *rule);
  void (*on_trouble)(void *ctx, const char *why);     /* as the study's */
  void (*on_lost)(void *ctx, const char *why);
  void *ctx;
};

struct host_options {
  const struct config *config;
  const char *exe;                    /* the binary that runs rules; NULL: this one */
  bool live;                          /* wall-clock limits; traces near the start may be cut */
  uint64_t started_ns;
  int diagnostics_fd;                 /* where load errors and warnings of rules go */
  bool json_diagnostics;              /* as lines of a log in JSON; else for people */
};

/* 0; FLUO_EINVALID: the rules did not load, which was said on diagnostics_fd; else a text in `why`. */
int host_open(const struct host_options *options, const struct host_calls *calls, struct host **out,
              char why[256]);
void host_close(struct host *h);
struct engine *host_engine(const struct host *h);
struct study *host_study(const struct host *h);
const struct ruleset *host_rules(const struct host *h);
/* The name of a rule, NUL-terminated, valid as long as the host. */
const char *host_rule_name(const struct host *h, uint32_t rule);

#endif
