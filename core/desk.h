/* The desk: where violations become alerts that are kept and sent. It owns the three rooms that do this, alerts
 * (incidents, notices), the keeper (the ledger) and dispatch (deliveries), and hands from one to the next; and feedback, which
 * says to the engine which limits people have widened. */
#ifndef FLUO_DESK_H
#define FLUO_DESK_H
#include "alerts.h"
#include "dispatch.h"
#include "engine.h"
#include "feedback.h"
#include "follow.h"
#include "keeper.h"

struct desk;

struct desk_options {
  struct uv_loop_s *loop;
  const struct config *config;        /* outlives it */
  struct log *log;
  bool writable;                      /* config->data */
  uint64_t now_ns;                    /* Unix time */
};

/* 0, or a negative fluo_err, what it is about (static) and a line for people; *out is to be closed and freed even then. */
int desk_open(const struct desk_options *options, struct desk **out, const char **what, char why[256]);
/* The ledger is committed, LIMIT_DRAIN_NS at most, and the post room ended; desk_free once the loop has closed its handles.
 * NULL is fine for both. */
void desk_close(struct desk *d);
void desk_free(struct desk *d);

/* Whose groups are widened by what was said, and is said. Before the first span; the feedback that was restored is asked
 * for before that, as groups begin (desk_feedback). */
void desk_use(struct desk *d, struct engine *engine);
/* What a person says of a violation, whose JSON this is, as the ledger prints it: a row, and where it is of a window that
 * compares a number the group's limit is widened anew (feedback.h). Appends {"violation":…,"incident":…,"rule":…,"group":…,
 * "verdict":…,"who":…,"at":…,"widened":1.125}: group is null, and widened 1, where nothing can be widened. 0; FLUO_EMALFORMED: it is
 * no violation; FLUO_EFULL: the ledger has no room, so nothing was done; FLUO_ENOMEM. */
int desk_say(struct desk *d, struct text violation, enum feedback_verdict verdict, struct text who, uint64_t now_ns,
             struct buffer *answer);

struct feedback *desk_feedback(const struct desk *d);
/* Who is told of incidents as they change, from here on; outlives the desk. */
void desk_follow(struct desk *d, struct follow *follow);
struct alerts *desk_alerts(const struct desk *d);
struct keeper *desk_keeper(const struct desk *d);
struct dispatch *desk_dispatch(const struct desk *d);
/* Appends their part of /metrics. */
void desk_write(const struct desk *d, struct buffer *out);

#endif
