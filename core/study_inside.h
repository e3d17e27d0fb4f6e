/* What study.c (jobs, replies, limits) and study_life.c (the lives and deaths of the two processes) share.
 * Nobody else includes it. */
#ifndef FLUO_STUDY_INSIDE_H
#define FLUO_STUDY_INSIDE_H
#include "hash.h"
#include "study.h"
#include "study_blame.h"
#include "study_process.h"
#include "study_queue.h"
#include "study_reply.h"

enum study_state {
  STUDY_GONE,        /* there is no rule process */
  STUDY_LOADING,     /* it runs; FLUO_MESSAGE_LOADED is awaited */
  STUDY_READY,       /* it waits for FLUO_MESSAGE_FORK */
  STUDY_PINGED,      /* FLUO_MESSAGE_PING is to come back */
  STUDY_FORKING      /* FLUO_MESSAGE_FORKED is awaited */
};

enum study_cause { STUDY_ENDED, STUDY_OVERRAN, STUDY_STALLED, STUDY_BABBLED };

/* What the last look at the worker saw, to see what has changed since. */
struct study_watch { uint64_t call, replies, cpu_ns, cpu_from_ns, idle_ns; };

struct study {
  struct study_options options;       /* exe and rules_path are copies; arena_fd is ours */
  struct study_calls calls;
  const struct ruleset *rules;
  int epoll_fd, wake_fd, pulse_fd;
  struct fluo_pulse *pulse;
  uint64_t now_ns;                    /* monotonic, of the call from outside */

  enum study_state state;
  uint64_t waited_ns;                 /* in it, as ticks add it up */
  struct study_process process;       /* the rule process */
  int texts_fd;                       /* what the rules were loaded from; sealed */
  int pgid, ir_fd, fork_fd;           /* fork_fd: our end of the socket of the worker being forked */
  struct study_process worker;        /* its fd stays open while what it had sent is read */
  struct study_watch watch;
  uint64_t replies_of_worker, worker_ns;     /* signs of life too; worker_ns: since when it stands */
  uint64_t ping;                      /* the sequence of a ping that is out; 0: none */
  uint64_t pinged_ns, ticked_ns;      /* when the last ones were */
  uint64_t wanted_ns;                 /* when the last worker was lost */
  uint32_t barren;                    /* workers in a row that died without a reply */
  bool lost, awake, troubled;         /* awake: wake_fd is readable; troubled: on_trouble was called */

  struct hash_key ir_key;
  uint8_t ir_hash[16];
  bool opening;                       /* until study_opened gave 0: failures end in `failure`, not in a callback */
  int failure;
  uint32_t load_errors;
  char why[256];
  void *ir; size_t ir_bytes;          /* only while opening */

  uint64_t sequence;
  struct study_queue queue;
  struct study_job *shed, *shed_last;
  struct study_blame blame;
  struct study_stats stats;
  uint8_t *inbox, *outbox;            /* FLUO_MESSAGE_BYTES_MAX each */
  struct study_reply *reply;
};

/* study.c */
/* Takes a reply from the inbox: false: it is nonsense. Calls back. */
bool study_take(struct study *s, size_t n);

/* study_life.c */
int study_start_rules(struct study *s);
/* Appends to the n bytes of s->why what the rule process says it was loading. */
void study_say_place(struct study *s, int n);
/* Asks for a worker, starting the rule process where it is gone. */
void study_want_worker(struct study *s);
void study_on_control(struct study *s);
/* Asks the rule process for a sign of life, where it has nothing to do. */
void study_ping_rules(struct study *s);
/* The rule process is of no more use: ends it; `why` for people. */
void study_drop_rules(struct study *s, int failure, const char *why);
/* The worker is dead or must die: blames, and has another one take over. */
void study_drop_worker(struct study *s, enum study_cause cause);

enum study_tag { STUDY_TAG_WAKE, STUDY_TAG_CONTROL, STUDY_TAG_WORKER };
int study_poll_add(struct study *s, int fd, enum study_tag tag);

#endif
