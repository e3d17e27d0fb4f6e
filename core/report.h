/* What the agent says about its rules: violations, by the output and the actions, and in the log what rules did wrong
 * and what was done about it. An error that a function raises comes as often as spans do, so the log has the first one
 * of a rule and then one line a minute with how many there were; the metrics count them all. So it is with violations that
 * are more than is written of one rule. */
#ifndef FLUO_REPORT_H
#define FLUO_REPORT_H
#include "alerts.h"
#include "host.h"
#include "dispatch.h"
#include "feedback.h"
#include "follow.h"
#include "keeper.h"
#include "log.h"
#include "out.h"
#include "recorder.h"
#include "reload.h"

/* A rule whose functions raised an error within the last minute. */
struct report_error {
  char *rule;                    /* owned */
  uint64_t said_ns, unsaid;      /* when a line was written; the errors since */
  uint32_t bytes;
  char text[FLUO_ERROR_BYTES_MAX];      /* the latest one's */
};

/* Zero, then log, recorder and violations are set, which are the owner's. */
struct report {
  struct log *log;
  struct recorder *recorder;     /* NULL: nobody records */
  struct follow *follow;         /* NULL: nobody follows */
  struct alerts *alerts;         /* NULL: violations are no incidents */
  struct keeper *keeper;         /* NULL: violations are not kept */
  struct dispatch *dispatch;     /* NULL: nobody runs actions */
  struct feedback *feedback;     /* NULL: nobody widens limits */
  struct out *violations;        /* NULL: output.violations is "none" */
  struct reload reload;          /* of the owner; reload_init once rules are there */
  uint64_t now_ns, renewed_ns;   /* as the last tick said; when windows were last looked at */
  struct report_error *errors;
  uint32_t errors_count, errors_capacity;
};

/* Callbacks for a host; *r must outlive it. */
struct host_calls report_calls(struct report *r);
/* About once a second, by any clock that never runs backwards: writes the lines that are due. h: whose rules' voices
 * are looked at; NULL: nobody's. UINT64_MAX is the end: all that was not said is due. */
void report_tick(struct report *r, const struct host *h, uint64_t now_ns);
/* Every LIMIT_RENEW_NS, on the engine's clock: windows that stay crossed go on with their incidents. */
void report_renew(struct report *r, struct engine *e, uint64_t now_ns);
/* Its share for one rule: says what was withheld of it, where that is due. */
void report_voice(const struct report *r, const char *rule, struct voice *v);
/* Says what was not said yet, and gives back what it holds. */
void report_deinit(struct report *r);

#endif
