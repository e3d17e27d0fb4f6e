/* What the agent warns of by looking, about once a second: that the buffer is small for the traffic, that spans were lost,
 * that a client sends what nobody can read. Each at most once a minute, the last once. */
#ifndef FLUO_WARNINGS_H
#define FLUO_WARNINGS_H
#include "host.h"
#include "intake.h"
#include "log.h"

/* Zero at first. */
struct warnings {
  uint64_t horizon_said_ns, loss_said_ns;
  uint64_t losses;                  /* dropped for memory, when it was last said */
  bool strindex_said;
};

/* intake NULL: it is not open. */
void warnings_tick(struct warnings *w, const struct host *host, const struct intake *intake, struct log *log,
                   uint64_t idle_ns, uint64_t now_ns);

#endif
