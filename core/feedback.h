/* Feedback: what people said of violations of windows, and by how much that widens the limit of the group that they are
 * of. Pure: time is an argument, nothing is read or written, what changes is said through a function pointer.
 *
 * A violation that is marked wrong is worth a step of FEEDBACK_STEP thousandths of the group's distance to its limit, one
 * that is right takes a step back; between none and FEEDBACK_STEPS_MAX, so the distance doubles at the most. Steps halve
 * every FEEDBACK_HALF_LIFE_NS. The last word about a violation is what counts of it, and of a group the newest
 * FEEDBACK_MARKS_MAX. A group is revoked whole: it is as if nothing had been said. The same marks at the same times give
 * the same widening, so the ledger's rows, given again in their order, are all that a restart needs. */
#ifndef FLUO_FEEDBACK_H
#define FLUO_FEEDBACK_H
#include "buffer.h"
#include "labels.h"

enum { FEEDBACK_STEP = 125,            /* thousandths: 12.5 % */
       FEEDBACK_STEPS_MAX = 8,
       FEEDBACK_MARKS_MAX = 16 };
#define FEEDBACK_HALF_LIFE_NS 2592000000000000ull   /* 30 days */

enum feedback_verdict { FEEDBACK_WRONG, FEEDBACK_RIGHT, FEEDBACK_REVOKED, FEEDBACK_VERDICTS };
extern const char *const feedback_verdict_names[FEEDBACK_VERDICTS];

struct feedback;

struct feedback_calls {
  /* The group of this key (as group_add writes it) is widened by so many thousandths from now on; 0: no more. NULL: nobody
   * wants to know. */
  void (*on_change)(void *ctx, const char *rule, uint32_t rule_bytes, const void *key, uint32_t n, uint32_t widening);
  void *ctx;
};

/* 0 or FLUO_ENOMEM. */
int feedback_new(const struct feedback_calls *calls, struct feedback **out);
/* No more is said. NULL is fine. */
void feedback_free(struct feedback *f);

struct feedback_mark {
  const char *violation;               /* its id */
  struct text rule, group;             /* group: the JSON object that the violation has; "{}": it has none */
  enum feedback_verdict verdict;
  uint64_t at_ns;
};
/* Takes a mark, and says what it changes; *widening: the group's, from now on. 0; FLUO_EMALFORMED: group is no object of
 * texts, or the id none of 32 digits; FLUO_ENOMEM. Past LIMIT_FEEDBACK_GROUPS the group goes that was marked
 * longest ago. */
int feedback_take(struct feedback *f, const struct feedback_mark *mark, uint32_t *widening);
/* Has a group widened by so many thousandths whatever people said, for time that is over: replay. As feedback_take. */
int feedback_give(struct feedback *f, struct text rule, struct text group, uint32_t widening);
/* The thousandths of a group; 0: it has none, or there is no memory to look it up, counted. */
uint32_t feedback_widening(struct feedback *f, struct text rule, const void *key, uint32_t n);
/* Time goes on: what has halved since is said, each FEEDBACK_AGAIN_NS. */
#define FEEDBACK_AGAIN_NS 3600000000000ull
void feedback_step(struct feedback *f, uint64_t now_ns);

/* Appends an array of the groups that are widened, the last marked first, of this rule ("": of any):
 * [{"rule":…,"group":{…},"widened":1.125,"wrong":1,"right":0,"marked_at":…}]. 0 or out->err. */
int feedback_json(const struct feedback *f, struct text rule, struct buffer *out);
/* Appends its part of /metrics. */
void feedback_write(const struct feedback *f, struct buffer *out);

#endif
