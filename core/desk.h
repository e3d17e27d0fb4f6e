/* The desk: where violations become alerts that are kept and sent. It owns the three rooms that do this, alerts
 * (incidents, notices), the keeper (the ledger) and dispatch (deliveries), and hands from one to the next. */
#ifndef FLUO_DESK_H
#define FLUO_DESK_H
#include "alerts.h"
#include "dispatch.h"
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

struct alerts *desk_alerts(const struct desk *d);
struct keeper *desk_keeper(const struct desk *d);
struct dispatch *desk_dispatch(const struct desk *d);

#endif
