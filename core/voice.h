/* How much the live agent says of one rule. A rule that is true of every span has violations as often as spans come,
 * half a million a second: what is said of it is bounded, what is counted is not. Zero is one that has said nothing. */
#ifndef FLUO_VOICE_H
#define FLUO_VOICE_H
#include "quota.h"

struct voice {
  struct quota lines, own, log;                  /* of the output; of these without the common one; of the `log` action */
  uint64_t lines_withheld, log_withheld;         /* what did not go there */
  uint64_t lines_told, log_told, told_ns;        /* of them, those that the log was told of, and when */
};

/* Whether one more line may go there; else it is withheld, and counted. A few are the rule's own; what is more comes out of
 * `common`, which all rules share: so a hundred loud ones do not silence one that seldom speaks. */
bool voice_line(struct voice *v, struct quota *common, uint64_t now_ns);
/* Whether it might; once it may not, it may not again at the same time. */
bool voice_left(const struct voice *v, const struct quota *common, uint64_t now_ns);
bool voice_log(struct voice *v, uint64_t now_ns);

/* What is withheld is to be told, in a line of the log, at the first time, and then once every LIMIT_TOLD_NS. true: now,
 * of so many; told of them, it is quiet. now_ns is of any clock, and not 0. */
bool voice_tell(struct voice *v, uint64_t now_ns, uint64_t *lines, uint64_t *log);

#endif
