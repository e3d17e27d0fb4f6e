/* Cascades: one failure after another. What it begins with (a root, where the rule has one), and then the first failure of
 * each distinct value of a key, say of each service, all within D: a chain in order of failure, whose first is the cause.
 * Time is an argument; nothing here knows spans or rules: the engine hands in hits and is told of chains. */
#ifndef FLUO_CASCADE_H
#define FLUO_CASCADE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sequence.h"

enum { CASCADE_KEYS_MAX   = 10000,  /* groups of one rule; the least recently used goes */
       CASCADE_HITS_MAX   = 1024,   /* of one group; past it of each value only the first in D/60 is kept, then in D/15 … */
       CASCADE_VALUES_MAX = 256,    /* of one group; past it those of further values are lost (state_stats.overflowed) */
       CASCADE_CHAIN_MAX  = FLUO_WITNESSES_MAX };   /* links that are told, the root included; `values` has their number */

struct cascade;

struct cascade_terms {
  uint64_t ns;                      /* D, 1 or more */
  uint32_t at_least;                /* so many distinct values, 1 or more */
  bool     rooted;                  /* it begins with a hit of pattern 0, failures are hits of pattern 1; else of 0 */
};

/* A failure is one when its span ends; a root counts from its start. */
struct cascade_link {
  const struct sequence_hit *hit;
  uint64_t time_ns;
  const void *value; uint32_t value_bytes;      /* NULL: the root */
};

/* Lent for the call. */
struct cascade_match {
  void *owner;
  const void *group; uint32_t group_bytes;
  uint64_t time_ns;                 /* when the at_least-th value failed */
  struct cascade_link chain[CASCADE_CHAIN_MAX];         /* by time; the first is the cause */
  uint32_t chain_count, values;     /* values: distinct ones that failed, all of them */
};

struct cascade_calls {
  void (*on_match)(void *ctx, const struct cascade_match *match);
  void *ctx;
};

/* Its groups are kept in `state`, whose timers run it. 0 or FLUO_ENOMEM. */
int cascade_new(struct state *state, const struct cascade_terms *terms, const struct cascade_calls *calls, void *owner,
                struct cascade **out);
void cascade_free(struct cascade *c);
/* Takes a hit that arrives now; value: of the key, which a root need not have. Each span once. Calls on_match. 0;
 * FLUO_ENOMEM; or FLUO_EFULL, there is no room: then it is lost, and counted. */
int cascade_take(struct cascade *c, const struct state_key *group, const struct sequence_hit *hit, const void *value,
                 uint32_t value_bytes, uint64_t now_ns);
/* For snapshots. */
struct state_owner *cascade_groups(struct cascade *c);

#endif
