/* What the live agent and replay have in common: an engine, the editions of the rules that it judges by, and how
 * another one comes into force. It runs no loop and knows no clock. */
#ifndef FLUO_HOST_H
#define FLUO_HOST_H
#include <stdbool.h>

#include "config.h"
#include "engine.h"
#include "ruleset.h"
#include "study.h"

struct host;

/* How a reload ended. Everything in it is lent for the call. */
struct host_reload {
  int err;                            /* 0; FLUO_EINVALID: no rules loaded, see diagnostics; else see why */
  const char *why;                    /* "" where the diagnostics say it all */
  const char *diagnostics;            /* a line each: load errors and warnings */
  uint32_t errors;                    /* load errors */
  const struct ruleset *before, *now; /* in force; the same: nothing has changed */
  int texts_fd;                       /* of those in force now, as study_texts */
};

struct host_calls {
  void (*on_violation)(void *ctx, const struct violation *v);
  /* A rule's functions threw; `text` is the first message. */
  void (*on_error)(void *ctx, const char *rule, uint32_t errors, const char *text, uint32_t bytes);
  /* The worker was stopped or died; rule is NULL where nobody is to blame. */
  void (*on_fault)(void *ctx, const char *rule, enum study_fault fault);
  void (*on_quarantine)(void *ctx, const char *rule);
  void (*on_trouble)(void *ctx, const char *why);     /* as the study's */
  void (*on_lost)(void *ctx, const char *why);
  void (*on_reload)(void *ctx, const struct host_reload *reload);     /* NULL: host_reload is never called */
  void *ctx;
  /* As the engine's; NULL: nobody wants to know. */
  void (*on_trace_end)(void *ctx, const struct ruleset *rules, const struct trace *t);
  void (*on_resolve)(void *ctx, const struct ruleset *rules, uint32_t rule, const struct span_view *span,
                     uint64_t now_ns);
  uint32_t (*widening)(void *ctx, const char *rule, uint32_t rule_bytes, const void *group, uint32_t group_bytes);
  void (*on_request_end)(void *ctx);
};

struct host_options {
  const struct config *config;        /* outlives the host */
  const char *exe;                    /* the binary that runs rules, outlives the host; NULL: this one */
  const char *explain;                /* a rule to explain, as for the study, outlives the host; NULL: none */
  bool live;                          /* wall-clock limits; traces near the start may be cut */
  uint64_t started_ns;
  int diagnostics_fd;                 /* where load errors and warnings of the first load go */
  bool json_diagnostics;              /* as lines of a log in JSON; else for people */
};

/* 0; FLUO_EINVALID: the rules did not load, which was said on diagnostics_fd; else a text in `why`. */
int host_open(const struct host_options *options, const struct host_calls *calls, struct host **out,
              char why[256]);
void host_close(struct host *h);

/* The owner polls host_fd, which is the same for life, and calls host_readable; while host_busy it calls host_tick
 * every STUDY_TICK_NS. See study.h. mono_ns: CLOCK_MONOTONIC. */
int host_fd(const struct host *h);
bool host_busy(const struct host *h);
void host_readable(struct host *h, uint64_t mono_ns);
void host_tick(struct host *h, uint64_t mono_ns);
/* study_hand_over, once the engine was called: soon, or later where it was done just now; whether jobs wait for it. */
void host_hand_over(struct host *h);
bool host_waits(const struct host *h);
/* study_ping of those that stand. */
void host_ping(struct host *h, uint64_t mono_ns);
/* Has the rules loaded anew, beside those in force: traces that begin once they are loaded are judged by them. on_reload
 * says how it ended, from within host_readable, host_tick or host_tidy. While one is under way, or LIMIT_EDITIONS
 * are alive, one more waits, however often it is asked for. */
void host_reload(struct host *h);
bool host_reloading(const struct host *h);
/* After the engine was called: ends editions that no trace needs any more, and starts what waited for that. */
void host_tidy(struct host *h);

struct engine *host_engine(const struct host *h);     /* as long as the host */
/* What is in force. Valid until the next call of host_readable, host_tick or host_tidy. */
const struct ruleset *host_rules(const struct host *h);
/* The name of a rule in force, NUL-terminated, valid as the rules are. */
const char *host_rule_name(const struct host *h, uint32_t rule);
/* Of the rules in force. */
struct study *host_study(const struct host *h);
bool host_quarantined(const struct host *h, uint32_t rule);
/* Of all studies there were; heap_bytes of the one in force. */
void host_study_stats(const struct host *h, struct study_stats *out);
/* Errors of the rule files, of those in force. */
uint32_t host_load_errors(const struct host *h);
uint32_t host_editions(const struct host *h);

#endif
