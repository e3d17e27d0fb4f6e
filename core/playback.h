/* Recorded telemetry through the live engine, under a virtual clock: what `fluo replay` and `fluo explain` share. */
#ifndef FLUO_PLAYBACK_H
#define FLUO_PLAYBACK_H
#include <stdbool.h>

#include "config.h"
#include "feedback.h"
#include "host.h"

struct playback {
  struct host *host;
  uint64_t now_ns, arrived_ns; /* the clock; the last arrival, 0 before the first */
  uint64_t began_ns;           /* the first arrival */
  bool failed;                 /* bad input, a rule that was stopped, spans dropped: it was said on stderr */
  void (*on_violation)(void *ctx, const struct violation *v);
  void *ctx;
  struct feedback *feedback;   /* the caller's: limits that people have widened; NULL: none */
};

/* Loads the rules (explain: see host.h). The caller has set on_violation and ctx, and *p stays where it is until
 * playback_close. 0; -1 and then it was said on stderr, and there is nothing to close. */
int playback_open(struct playback *p, const struct config *config, const char *explain);
/* Plays files, one after the other, up to the first with bad input; then the clock runs on until every trace is
 * decided. */
void playback_run(struct playback *p, const struct config *config, char *const *paths, uint32_t count);
void playback_close(struct playback *p);

#endif
