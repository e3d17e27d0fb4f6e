/* Dispatch: notices become deliveries. Each is written into the ledger, waits in the outbox until it is on disk, and goes
 * to the post room, which runs its receiver's action; what became of it goes back into the ledger and the outbox. All on
 * the loop. */
#ifndef FLUO_DISPATCH_H
#define FLUO_DISPATCH_H
#include "alerting.h"
#include "ledger.h"
#include "log.h"
#include "notice.h"
#include "outbox.h"
#include "post.h"

struct dispatch;
struct uv_loop_s;

/* Most outages are shorter: then nobody needs to know. */
#define DISPATCH_LATE_NS 300000000000ull

struct dispatch_options {
  struct uv_loop_s *loop;
  const struct alerting *alerting;    /* outlives it */
  struct log *log;
  const char *exe;                    /* the binary; NULL: this one */
  uint64_t seed;                      /* of the jitter */
  /* A delivery was given up, or failed once more DISPATCH_LATE_NS after its alert: nobody knows of it. NULL: it is but
   * logged. */
  void (*on_untold)(void *ctx, const struct outbox_delivery *d, bool given_up, const char *why);
  void *ctx;
};

/* 0; FLUO_ENOMEM; FLUO_EIO (no descriptor). */
int dispatch_open(const struct dispatch_options *options, struct dispatch **out);
/* Ends the post room: what it has is delivered again at the next start. d is freed by dispatch_free once the loop has
 * closed its handles. NULL is fine for both. */
void dispatch_close(struct dispatch *d);
void dispatch_free(struct dispatch *d);
/* Where deliveries are written; before the first notice. */
void dispatch_use(struct dispatch *d, struct ledger *ledger);
/* The rule files in force, in which actions stand (a memfd, copied; -1: none). */
void dispatch_texts(struct dispatch *d, int texts_fd);

/* Of a delivery that the ledger had: goes as soon as dispatch_use was called. */
void dispatch_restore(struct dispatch *d, const struct ledger_delivery *row);
/* false: there is no room or no memory for it now. */
bool dispatch_notice(struct dispatch *d, const struct notice *notice);
/* Rows up to this number are on disk, or what waits for them waits in vain (ledger.h). */
void dispatch_saved(struct dispatch *d, uint64_t row);
/* No delivery is at the post room. */
bool dispatch_quiet(const struct dispatch *d);

/* Calls for each receiver that had something to do. */
void dispatch_each(const struct dispatch *d, void (*each)(void *ctx, const struct outbox_receiver *r), void *ctx);
/* Unix time as deliveries have it: it passes as CLOCK_MONOTONIC does. */
uint64_t dispatch_now_ns(const struct dispatch *d);

/* Appends its part of /metrics. */
void dispatch_write(const struct dispatch *d, struct buffer *out);

#endif
