/* The core's side of the post room: starts the process when there is something to deliver, hands it deliveries, watches
 * its time, and starts another one where it dies. It runs no loop and knows no clock. A delivery that was sent has one
 * outcome, whatever becomes of the process: at the worst POSTROOM_RETRY, and why. */
#ifndef FLUO_POST_H
#define FLUO_POST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postroom.h"

/* Deliveries at the post room at once; their frames, 1 MiB each at most, are kept until the outcome. */
#define POST_IN_FLIGHT_MAX 32
/* How often post_tick is called while post_busy. */
#define POST_TICK_NS 50000000ull
/* CPU that an action may take between two requests; past it the process is killed, and that action's delivery to blame. */
#define POST_CPU_NS 250000000ull
/* A process that has nothing to do for so long is ended: it is 10 MiB. */
#define POST_IDLE_NS 60000000000ull
/* Without a sign of life while deliveries are out and its CPU stands still; an action is given up by itself after 60 s. */
#define POST_STALL_NS 90000000000ull
/* Between two processes, where the one before did not get to work: doubled each time, up to the second. */
#define POST_RESTART_NS 100000000ull
#define POST_RESTART_MAX_NS 30000000000ull

/* For what is out when other rule files come; then it goes again to the next process. */
#define POST_RETIRE_NS 5000000000ull

struct post;

struct post_options {
  const char *exe;                 /* the binary, outlives it; NULL: this one */
  const char *setup;               /* JSON, for POSTROOM_FD_SETUP; copied */
  size_t setup_bytes;
  uint64_t heap_bytes;             /* of its Lua state */
  int diagnostics_fd;              /* lent for life */
};

struct post_calls {
  /* Texts are valid within the call. A callback may call post_send. */
  void (*on_outcome)(void *ctx, uint64_t delivery, enum postroom_result result, uint32_t retry_after_s,
                     const char *text, size_t bytes);
  void (*on_log)(void *ctx, const char *text, size_t bytes);       /* an action has something to say */
  void (*on_trouble)(void *ctx, const char *why);                  /* the process died, or could not be started */
  void *ctx;
};

/* Starts nothing yet. 0, FLUO_ENOMEM or FLUO_EIO (no descriptor: errno). */
int post_new(const struct post_options *options, const struct post_calls *calls, struct post **out);
/* Ends the process; what was not delivered has no outcome. NULL is fine. */
void post_free(struct post *p);
/* Other rule files are in force (a memfd, copied; -1: none): the next process reads them. The one that runs takes no more,
 * and is ended when what it has is delivered, after POST_RETIRE_NS at the latest. */
int post_texts(struct post *p, int texts_fd);

/* Whether it takes one more delivery now. */
bool post_ready(const struct post *p);
/* Has it delivered: a number of the caller's, below 2^53, not 0 and not at the post room already; the receiver's name; the alert as
 * JSON (copied). Only while post_ready. 0; FLUO_ENOMEM; FLUO_ETOOLARGE: past POSTROOM_FRAME_BYTES. */
int post_send(struct post *p, uint64_t delivery, const char *receiver, const char *alert, size_t bytes);

/* Readable (and writable, where there is something to write) when post_turn has something to do; one for life. */
int post_fd(const struct post *p);
/* Whether a delivery is out or a process stands. */
bool post_busy(const struct post *p);
/* Reads and writes what can be, without blocking. mono_ns: CLOCK_MONOTONIC. */
void post_turn(struct post *p, uint64_t mono_ns);
/* Looks at the process's time, starts it where it is due, ends it when it was idle for long. */
void post_tick(struct post *p, uint64_t mono_ns);

struct post_stats { uint64_t sent, outcomes, starts, deaths; uint32_t in_flight; int pid; };
void post_stats_get(const struct post *p, struct post_stats *out);

#endif
