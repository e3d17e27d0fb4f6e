/* The core's side of the study: starts the rule process and its worker, sends numbered jobs, takes
 * validated replies, watches the worker's CPU and wall clock, replaces it, sends again what it had not
 * answered, the job that ran without the rule that is to blame, and quarantines rules. It runs no loop:
 * the owner polls study_fd and calls study_readable, calls study_tick every STUDY_TICK_NS while
 * study_busy, and study_hand_over after each of these and when it has sent what it had to. Both processes are the
 * study's children; it waits for them by pid and needs no SIGCHLD. */
#ifndef FLUO_STUDY_H
#define FLUO_STUDY_H
#include <stdbool.h>

#include "ruleset.h"

struct study;

enum study_limit {
  STUDY_UNANSWERED_MAX = 64,          /* jobs at the worker; the rest wait here */
  STUDY_RULE_MAX = 2,                 /* of them with questions of one rule */
  STUDY_WAITING_MAX = 8192,           /* jobs waiting here; a question past it is unknown, shed. Judgments
                                         are never shed: there is one a trace at most */
  STUDY_FAULTS_MAX = 3,               /* of one rule within STUDY_FAULTS_NS: quarantined */
  STUDY_BARREN_MAX = 5                /* workers in a row that died without a reply and without a rule to
                                         blame: then the job in front is answered unknown, and counted */
};
#define STUDY_FAULTS_NS 600000000000ull
#define STUDY_TICK_NS        50000000ull
#define STUDY_CALL_CPU_NS   250000000ull    /* CPU of one call of rule code */
#define STUDY_WALL_NS      1000000000ull    /* without progress and without CPU: replaced, no blame */
#define STUDY_LOAD_CPU_NS 10000000000ull    /* CPU for loading all rules */
#define STUDY_LOAD_NS     60000000000ull    /* the same by the clock on the wall, for a disk that hangs */
#define STUDY_WITHOUT_NS  60000000000ull    /* without a worker, because none can be had: then rules are lost */
#define STUDY_PING_NS      5000000000ull    /* between two signs of life of processes that have nothing to do: a
                                               hung one should cost no job its second, nor an idle machine its sleep */
#define STUDY_SILENCE_NS   5000000000ull    /* of the rule process when it was asked for something: a fork is 0.3 ms,
                                               so it was stopped from outside, and is replaced */
#define STUDY_IR_BYTES_MAX  (64u << 20)     /* intermediate form of all rules */
#define STUDY_HEAP_BYTES     (64u << 20)    /* Lua heap of the worker, and of the rule process */

/* A job. The engine fills all but head.sequence and gives it away (study takes it, with its items). */
struct study_job {
  struct fluo_job head;               /* message: FLUO_MESSAGE_ASK or _JUDGE; count: items */
  union { struct fluo_question *questions; uint32_t *rules; };   /* heap; owned */
  uint32_t rule;                      /* whose questions they are; UINT32_MAX: judgments. A rule has few jobs at the worker
                                         at a time, so that a slow one keeps no other waiting */
  void *owner;                        /* the engine's */
  uint64_t sent_ns;                   /* when it was given away, by the engine's clock */
  uint64_t took_ns;                   /* of the worker's CPU, once it is answered */
  /* The study's; zero when it is given away. */
  struct study_job *next;
  uint8_t *blamed;                    /* one byte an item: taken out, its answer is unknown; NULL: none */
  uint32_t left;                      /* items that are asked; 0: all are unknown */
};

struct study_verdict {
  uint32_t rule;
  enum fluo_truth truth;
  const uint32_t *witnesses; uint32_t witnesses_count, witness_total;
  uint64_t time_ns;
  const char *reason; uint32_t reason_bytes;
  bool has_value; double value, threshold;
};

enum study_fault { STUDY_FAULT_CPU, STUDY_FAULT_MEMORY, STUDY_FAULT_CRASH, STUDY_FAULT_NONSENSE,
                   STUDY_FAULT_STALL };
const char *study_fault_text(enum study_fault f);

struct study_calls {
  /* One answer a question, in order; FLUO_UNKNOWN for those of a blamed or quarantined rule or shed. */
  void (*on_answers)(void *ctx, const struct study_job *job, const uint8_t *answers);
  /* One verdict a rule of the job, in order; a blamed or quarantined rule's truth is FLUO_UNKNOWN. */
  void (*on_verdicts)(void *ctx, const struct study_job *job, const struct study_verdict *verdicts);
  /* A rule's functions threw: how often in one job, and the first message. */
  void (*on_error)(void *ctx, uint32_t rule, uint32_t errors, const char *text, uint32_t bytes);
  /* The worker was stopped or died. rule: who is to blame, UINT32_MAX: nobody. A worker that was killed
   * from outside (SIGKILL that is not ours) or that stalled is nobody's fault. */
  void (*on_fault)(void *ctx, uint32_t rule, enum study_fault fault);
  void (*on_quarantine)(void *ctx, uint32_t rule);
  /* The rule process died or hangs, or a process cannot be had: it is tried again, and jobs wait where there is no
   * worker meanwhile. Of what fails at every try: once, until a worker stands again. */
  void (*on_trouble)(void *ctx, const char *why);
  /* The rule process and the worker are gone and cannot be had again: rules no longer run, every job is
   * unknown from here on. */
  void (*on_lost)(void *ctx, const char *why);
  void *ctx;
};

enum { STUDY_SPECS_BYTES = 512, STUDY_ACTIONS_BYTES = 8192, STUDY_EXPLAIN_BYTES = 512 };

struct study_options {
  const char *exe;                    /* the binary to start; NULL: /proc/self/exe */
  const char *rules_path;             /* a directory or one file */
  bool skip_broken;                   /* leave out files that do not load */
  const char *specs;                  /* require_specs: flags to judge specs with, less than STUDY_SPECS_BYTES; NULL: none */
  const char *actions;                /* names that rules may give besides those that files declare, spaces between them, less
                                         than STUDY_ACTIONS_BYTES; outlives the study; NULL: none */
  const char *explain;                /* "FORM:TRACE:RULE", less than STUDY_EXPLAIN_BYTES: that rule alone is loaded,
                                         and explained of each trace (lua/fluo/explain.lua); NULL: none is */
  bool renamed;                       /* span.attributes[…] looks renamed keys up */
  bool explicit_ok;                   /* "OK" does not match UNSET in patterns that functions make */
  bool wall_clock;                    /* false in replay: only CPU and memory are limited */
  int  arena_fd;                      /* read-only; the study closes it */
  const struct study *last;           /* the one in force: of files that do not load now its version stays; NULL: none */
  int  diagnostics_fd;                /* where the rule process prints load errors and warnings (2) */
  bool json_diagnostics, line_diagnostics;     /* as lines of a log; as one line of text each */
  uint64_t cpu_ns, wall_ns, load_cpu_ns, heap_bytes;   /* 0: the limits above */
};

/* Starts the rule process: study_fd, study_tick and study_busy are then served as for a study that stands, and study_opened
 * is asked after each. 0: *out; or an error, a text in `why`, and there is no study. */
int study_start(const struct study_options *options, const struct study_calls *calls, struct study **out,
                char why[256]);
/* 1: the rules are being loaded. 0, once: they are (their diagnostics were printed) and the worker stands: *ir (heap, the
 * caller's) of *ir_bytes. FLUO_EINVALID: rules did not load; FLUO_ETIMEOUT, FLUO_EDIED, FLUO_EIO, FLUO_ENOMEM: a text in
 * `why`, and all that is left is study_close. */
int study_opened(struct study *s, void **ir, size_t *ir_bytes, char why[256]);
/* How many errors the rule files had when they were loaded. */
uint32_t study_load_errors(const struct study *s);
/* The rule set that the IR became; must be set before the first job. Not owned. */
void study_use(struct study *s, const struct ruleset *rules);
/* The faults of rules that are the same in both stay theirs; those for which there is no memory are forgotten. After
 * study_use. */
void study_inherit(struct study *s, const struct study *before);
void study_close(struct study *s);    /* ends both processes and waits for them; jobs are freed unanswered */

/* The texts of the rule files in force, as lua/fluo/texts.lua writes them (a memfd, lent); -1: none yet. */
int study_texts(const struct study *s);
/* Readable when study_readable has something to do. The same descriptor for the life of the study. */
int  study_fd(const struct study *s);
bool study_busy(const struct study *s);       /* a job is unanswered or waiting, or a process is starting */
/* Takes the job. Its reply comes later through a callback, never from within this call. Of one rule, and of
 * judgments, replies come in the order of the jobs, but for questions that were shed: jobs of others pass those of a rule
 * that keeps the worker busy. A callback may send; it must not close. */
void study_send(struct study *s, struct study_job *job);
/* Gives the worker what it may have, and is all that wakes one that has nothing to do; whether jobs wait for just that. Those
 * that wait behind others go by themselves, as replies are read. */
void study_hand_over(struct study *s);
bool study_waits(const struct study *s);
/* Reads what is there, without blocking: calls back for each complete, validated reply. Where the worker
 * turns out to be dead it is replaced here. */
void study_readable(struct study *s, uint64_t mono_ns);
/* Samples the worker; kills and replaces it where a limit is passed. mono_ns: CLOCK_MONOTONIC. */
void study_tick(struct study *s, uint64_t mono_ns);
/* Asks the processes that have nothing to do for a sign of life where the last one is STUDY_PING_NS ago; the study is
 * busy until they gave it, so study_tick notices one that hangs. For an owner that wakes up now and then anyway. */
void study_ping(struct study *s, uint64_t mono_ns);
bool study_is_lost(const struct study *s);    /* on_lost was called */
/* Gives up what questions of the rule wait here: unknown. How many. */
uint32_t study_give_up(struct study *s, uint32_t rule);
/* The sent_ns of the oldest job that is not answered; UINT64_MAX: there is none. */
uint64_t study_waiting_since(const struct study *s);
bool study_quarantined(const struct study *s, uint32_t rule);

struct study_stats {
  uint64_t jobs, replies;                     /* sent (again, too), and taken */
  uint64_t pings;                             /* signs of life that processes gave */
  uint64_t restarts;                          /* workers replaced, for whatever reason */
  uint64_t kills_cpu, kills_memory, crashes;  /* of these; crashes: nonsense too */
  uint64_t stalls;                            /* replaced for making no progress without CPU */
  uint64_t shed, given_up;                    /* jobs answered unknown: too many waited; STUDY_BARREN_MAX */
  uint64_t errors;                            /* calls of rule code that threw */
  uint64_t heap_bytes;                        /* Lua heap of the worker after its last job */
};
void study_stats_get(const struct study *s, struct study_stats *out);
int study_worker_pid(const struct study *s);  /* 0: there is none now */
int study_rules_pid(const struct study *s);

#endif
