/* Keys that were not seen before: which operations, callers, kinds of errors there are, and the first span of one that
 * nobody knew. Windows (window.h) are what it is like: D is how long a key has to have been away, and how
 * long everything was looked at before anything is told. Time is an argument. */
#ifndef FLUO_NOVEL_H
#define FLUO_NOVEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state.h"
#include "window.h"

enum { NOVEL_KEYS_MAX = 10000,          /* of one rule; past it the least recently used goes, and learning begins anew */
       NOVEL_NEWS_MAX = 32 };           /* in one D; what is new more often is no news, and learning begins anew */

struct novel;

struct novel_calls {
  /* A key that was not seen for D. value, threshold and baseline say nothing. Lent for the call. */
  void (*on_novel)(void *ctx, const struct window_crossing *crossing);
  /* One that may be such, but learning had to begin anew. */
  void (*on_unknown)(void *ctx, void *owner);
  void *ctx;
};

/* Its keys are kept in `state`. 0 or FLUO_ENOMEM. */
int novel_new(struct state *state, uint64_t ns, const struct novel_calls *calls, void *owner, struct novel **out);
void novel_free(struct novel *n);
/* Takes a span of a key, which is not empty; its time is the witness's. 0, or FLUO_ENOMEM: it is lost, and counted. */
int novel_take(struct novel *n, const struct state_key *key, const struct window_witness *witness);
/* For snapshots. What is read from now on was written so long ago, and nobody watched since. */
struct state_owner *novel_keys(struct novel *n);
void novel_resume(struct novel *n, uint64_t unwatched_ns);

#endif
