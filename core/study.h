/* The core's side of the study: starts the rule process and its worker, sends numbered jobs, takes
 * validated replies, watches the worker's CPU and wall clock, replaces it, sends again what it had not
 * answered without the rule that is to blame, and quarantines rules. It runs no loop: the owner polls
 * study_fd and calls study_readable, and calls study_tick every STUDY_TICK_NS while study_busy. */
#ifndef FLUO_STUDY_H
#define FLUO_STUDY_H
#include <stdbool.h>

#include "ruleset.h"

struct study;

enum study_limit {
  STUDY_UNANSWERED_MAX = 64,          /* jobs at the worker; the rest wait here */
  STUDY_WAITING_MAX = 8192            /* jobs waiting here; a question past it is unknown, shed */
};
#define STUDY_TICK_NS        50000000ull
#define STUDY_CALL_CPU_NS   250000000ull    /* CPU of one call of rule code */
#define STUDY_WALL_NS      1000000000ull    /* without progress and without CPU: replaced, no blame */
#define STUDY_LOAD_CPU_NS 10000000000ull    /* CPU for loading all rules */
#define STUDY_HEAP_BYTES     (64u << 20)    /* Lua heap of the worker, and of the rule process */

/* A job. The engine fills all but head.sequence and gives it away (study takes it, with its items). */
struct study_job {
  struct fluo_job head;               /* message: FLUO_MESSAGE_ASK or _JUDGE; count: items */
  union { struct fluo_question *questions; uint32_t *rules; };   /* heap; owned */
  void *owner;                        /* the engine's */
  struct study_job *next;             /* the study's */
  uint8_t *blamed;                    /* the study's: items taken out after a fault */
};

struct study_verdict {
  uint32_t rule;
  enum fluo_truth truth;
  const uint32_t *witnesses; uint32_t witnesses_count, witness_total;
  uint64_t time_ns;
  const char *reason; uint32_t reason_bytes;
  bool has_value; double value, threshold;
};

enum study_fault { STUDY_FAULT_CPU, STUDY_FAULT_MEMORY, STUDY_FAULT_CRASH, STUDY_FAULT_NONSENSE };
const char *study_fault_text(enum study_fault f);

struct study_calls {
  /* One answer a question, in order; FLUO_UNKNOWN for those of a blamed or quarantined rule or shed. */
  void (*on_answers)(void *ctx, const struct study_job *job, const uint8_t *answers);
  /* One verdict a rule of the job, in order; a blamed or quarantined rule's truth is FLUO_UNKNOWN. */
  void (*on_verdicts)(void *ctx, const struct study_job *job, const struct study_verdict *verdicts);
  /* A rule's functions threw: how often in one job, and the first message. */
  void (*on_error)(void *ctx, uint32_t rule, uint32_t errors, const char *text, uint32_t bytes);
  /* The worker was stopped or died. rule: who is to blame, UINT32_MAX: nobody. */
  void (*on_fault)(void *ctx, uint32_t rule, enum study_fault fault);
  void (*on_quarantine)(void *ctx, uint32_t rule);
  /* The rule process is gone and cannot be had again: rules no longer run. */
  void (*on_lost)(void *ctx, const char *why);
  void *ctx;
};

struct study_options {
  const char *rules_path;             /* a directory or one file */
  bool skip_broken;                   /* leave out files that do not load */
  bool renamed;                       /* span.attributes[…] looks renamed keys up */
  bool wall_clock;                    /* false in replay: only CPU and memory are limited */
  int  arena_fd;                      /* read-only; the study closes it */
  int  diagnostics_fd;                /* where the rule process prints load errors and warnings (2) */
  bool json_diagnostics;
  uint64_t cpu_ns, wall_ns, heap_bytes;   /* 0: the limits above */
};

/* Starts the rule process, waits until the rules are loaded (its diagnostics are then printed) and the
 * worker stands. 0: *out, and *ir (heap, the caller's) of *ir_bytes. FLUO_EINVALID: rules did not load;
 * FLUO_ETIMEOUT, FLUO_EDIED, FLUO_EIO, FLUO_ENOMEM: a text in `why`. */
int study_open(const struct study_options *options, const struct study_calls *calls, struct study **out,
               void **ir, size_t *ir_bytes, char why[256]);
/* The rule set that the IR became; must be set before the first job. Not owned. */
void study_use(struct study *s, const struct ruleset *rules);
void study_close(struct study *s);    /* ends both processes and waits for them; jobs are freed unanswered */

int  study_fd(const struct study *s);         /* changes when the worker is replaced: ask again after each call */
bool study_busy(const struct study *s);       /* a job is unanswered or waiting */
/* Takes the job. Its reply comes later through a callback, never from within this call. */
void study_send(struct study *s, struct study_job *job);
/* Reads what is there, without blocking: calls back for each complete, validated reply. */
void study_readable(struct study *s, uint64_t mono_ns);
/* Samples the worker; kills and replaces it where a limit is passed. mono_ns: CLOCK_MONOTONIC. */
void study_tick(struct study *s, uint64_t mono_ns);
bool study_quarantined(const struct study *s, uint32_t rule);

struct study_stats { uint64_t jobs, replies, restarts, kills_cpu, kills_memory, crashes, shed, errors; uint64_t heap_bytes; };
void study_stats_get(const struct study *s, struct study_stats *out);
int study_worker_pid(const struct study *s);
int study_rules_pid(const struct study *s);

#endif
