/* Windows: what many spans add up to, per rule and group (rules/README.md, Windows and sequences).
 * Time is an argument; nothing here knows spans or rules: the engine hands in events with their group's key, and is
 * told when a comparison becomes true. `over` and `at_least` are judged as events are taken, `under` and `at_most` by
 * timers. */
#ifndef FLUO_WINDOW_H
#define FLUO_WINDOW_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "baseline.h"
#include "fluo.h"
#include "latest.h"
#include "series.h"
#include "state.h"

#define WINDOW_LATENESS_NS 5000000000ull    /* how long a timer waits for what is still on its way */
enum { WINDOW_GROUPS_MAX = 10000,           /* of one window; past it the least recently used goes */
       WINDOW_WITNESSES_MAX = FLUO_WITNESSES_MAX };

struct window;
struct window_group;

struct window_terms {
  uint64_t ns;                      /* D, 1 or more */
  uint32_t aggregate;               /* enum fluo_aggregate */
  uint32_t compare;                 /* FLUO_OP_GT, GE: judged at events; LT, LE: by timers */
  double   quantile;                /* of FLUO_AGGREGATE_QUANTILE, 0 to 100 */
  double   threshold;
  uint64_t samples_min;
  bool     grouped;                 /* has `by`: a group exists from its first event on */
  uint32_t baseline;                /* enum fluo_baseline */
  bool     every;                   /* not only crossings are told, but each value that is compared */
  double   normal_min;              /* of a baseline: where less is normal, nothing is judged */
};

/* A comparison became true. Lent for the call. */
struct window_crossing {
  void *owner;                      /* as given to window_new */
  const void *group; uint32_t group_bytes;      /* the key */
  uint64_t time_ns;                 /* the newest event's, or the window's end */
  double   value, threshold;
  uint32_t widening;                /* thousandths that the distance to the threshold is more than the rule says */
  bool     estimated, has_baseline;
  struct baseline_normal normal;    /* what the threshold was reckoned from */
  enum baseline_state state;
  const struct window_witness *witnesses;       /* the latest of the window, in start order */
  uint32_t witnesses_count;
  uint64_t spans;                   /* in the window */
};

struct window_calls {
  void (*on_crossing)(void *ctx, const struct window_crossing *crossing);
  void *ctx;
  /* A group begins: its widening (window_widen). NULL: none is widened. */
  uint32_t (*widening)(void *ctx, void *owner, const void *group, uint32_t n);
};

/* Its groups are kept in `state`, whose timers judge them. The terms are copied. 0 or FLUO_ENOMEM. */
int window_new(struct state *state, const struct window_terms *terms, const struct window_calls *calls, void *owner,
               struct window **out);
void window_free(struct window *w);

/* A window without `by` that timers judge is observed from here on; a second time means nothing. 0 or FLUO_ENOMEM. */
int window_observe(struct window *w, uint64_t now_ns);
/* For snapshots. What is read from now on was not observed from when it was written until now. Then a window is whole, for
 * timers and baselines, only where it begins now or later. */
struct state_owner *window_groups(struct window *w);
void window_resume(struct window *w, uint64_t now_ns);
/* From the next time that it is judged on, a group that there is has its limit so many thousandths, 1000 at the most,
 * farther off than the rule says. */
void window_widen(struct window *w, const struct state_key *group, uint32_t widening);
/* It is judged by timers no more. */
void window_stop(struct window *w);
/* Takes an event of the key's group. Events of one group come in order of time, but for late ones. Calls on_crossing. 0, or
 * FLUO_ENOMEM or FLUO_EFULL: it is lost, and counted. known: of this window and key, all zero at first; where the group was
 * found, for the next time. */
struct window_known { struct window_group *group; uint64_t gone; };
int window_take(struct window *w, const struct state_key *key, struct window_known *known, const struct series_event *event,
                const struct window_witness *witness);

/* Calls for each group whose comparison is true, and has not fallen silent by now (of `over` and `at_least`: an event came
 * within the window's length). */
void window_each_crossed(const struct window *w, uint64_t now_ns, void (*each)(void *ctx, void *owner, const void *group, uint32_t n),
                         void *ctx);

#endif
