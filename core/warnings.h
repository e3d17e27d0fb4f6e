/* What the agent warns of by looking, about once a second: that the buffer is small for the traffic, that spans were lost,
 * that violations are not written, that a client sends what nobody can read. Each at most once a minute, the last once. */
#ifndef FLUO_WARNINGS_H
#define FLUO_WARNINGS_H
#include "host.h"
#include "intake.h"
#include "log.h"
#include "out.h"

/* Zero at first. */
struct warnings {
  uint64_t horizon_said_ns, loss_said_ns, output_said_ns;
  uint64_t losses;                  /* dropped for memory, when it was last said */
  uint64_t dropped, failed;         /* lines of the output, likewise */
  bool strindex_said;
};

/* violations NULL: they are not written. */
void warnings_tick(struct warnings *w, const struct host *host, const struct intake *intake, const struct out *violations,
                   struct log *log, uint64_t idle_ns, uint64_t now_ns);

#endif
