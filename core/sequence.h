/* Sequences: spans of any traces that share a key, in order of their start, all within D; and what must not come between
 * or after them. rules/README.md, Windows and sequences. Time is an argument; nothing here knows spans or rules: the
 * engine hands in hits, each saying which of the sequence's patterns it satisfies, and is told of matches. */
#ifndef FLUO_SEQUENCE_H
#define FLUO_SEQUENCE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fluo.h"
#include "state.h"

#define SEQUENCE_LATENESS_NS 5000000000ull    /* how long it waits for what is still on its way */
enum { SEQUENCE_STEPS_MAX = 16,               /* patterns, those that must not come included */
       SEQUENCE_KEYS_MAX  = 10000,            /* with open partial matches, of one rule; the least recently used goes */
       SEQUENCE_HITS_MAX  = 1024 };           /* of one key; past it the oldest goes (state_stats.overflowed) */

struct sequence;

struct sequence_terms {
  uint64_t ns;                      /* D, 1 or more */
  uint32_t steps;                   /* 1 to SEQUENCE_STEPS_MAX */
  uint32_t absent;                  /* bit i: pattern i must not come; never that of the first */
};

/* A span that satisfies patterns of the sequence. The texts are the caller's business. */
struct sequence_hit {
  uint64_t start_ns, end_ns;
  uint32_t patterns;                /* bit i: pattern i */
  uint8_t  trace_id[16], span_id[8];
  struct fluo_text name, service;
  bool     has_service;
};

/* Lent for the call. */
struct sequence_match {
  void *owner;
  const void *group; uint32_t group_bytes;
  uint64_t time_ns;                 /* the latest end; where an absence closes it, t0 + D */
  const struct sequence_hit *const *witnesses;  /* one a step that must come, in order */
  uint32_t witnesses_count;
  int32_t absent;                   /* the pattern whose absence closes it; -1: none */
};

struct sequence_calls {
  void (*on_match)(void *ctx, const struct sequence_match *match);
  void *ctx;
  void (*on_unknown)(void *ctx, void *owner);   /* it might be a match, but part of its time was not observed. NULL: nobody
                                                   wants to know */
};

/* Its keys are kept in `state`, whose timers run it. 0 or FLUO_ENOMEM. */
int sequence_new(struct state *state, const struct sequence_terms *terms, const struct sequence_calls *calls, void *owner,
                 struct sequence **out);
void sequence_free(struct sequence *s);
/* Takes a hit that arrives now; those of one request in order of start, and timers that are due by then run after them.
 * Each span once. Calls on_match. 0, or FLUO_ENOMEM: it is lost, and counted. */
int sequence_take(struct sequence *s, const struct state_key *group, const struct sequence_hit *hit, uint64_t now_ns);
/* For snapshots. What is read from now on was not observed from when it was written until now: what must not come may have
 * come, for every first step that started before. */
struct state_owner *sequence_keys(struct sequence *s);
void sequence_resume(struct sequence *s, uint64_t now_ns);

#endif
