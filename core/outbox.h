/* The outbox: deliveries that are not done, each until its receiver has it. A receiver that cannot be had delays its own
 * alone: they are tried again later and later (exponential backoff with jitter, AWS Architecture Blog, "Exponential
 * Backoff And Jitter", 2015: half of it is random), one at a time until one gets through. Pure: time is an argument, and
 * sending and keeping are the owner's. */
#ifndef FLUO_OUTBOX_H
#define FLUO_OUTBOX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postroom.h"

/* At once to one receiver that answers, while there is room (LIMIT_OUTBOX_SHARED). */
#define OUTBOX_RECEIVER_IN_FLIGHT 4
#define OUTBOX_BACKOFF_NS 1000000000ull
#define OUTBOX_BACKOFF_MAX_NS 300000000000ull
/* A receiver may ask for more time, up to this. */
#define OUTBOX_RETRY_AFTER_MAX_NS 3600000000000ull
/* What is not delivered for so long goes to the fallback receiver too. */
#define OUTBOX_FALLBACK_NS 60000000000ull

struct outbox;

/* Lent; of a callback, for the call. */
struct outbox_delivery {
  uint64_t number;                 /* the outbox's own, below 2^53, from 1 */
  const char *id, *receiver;
  const char *alert; size_t bytes; /* JSON */
  uint64_t created_ns, next_ns;    /* next_ns: when it is tried (again) */
  uint32_t attempts;               /* that ended */
  uint32_t to_say;                 /* of an attempt to be made again: failures of its receiver that were not said yet; 0: not now */
  uint64_t order;                  /* of one receiver, those of equal order go one after the other; 0: it waits for all before it, and
                                      all behind it for it */
};

struct outbox_calls {
  /* Has it delivered; outbox_outcome follows. false: not now. */
  bool (*send)(void *ctx, const struct outbox_delivery *d);
  /* Keeps a new delivery (to a fallback receiver): the number of its row for outbox_saved, 0: it is not kept, and goes at
   * once. */
  uint64_t (*keep)(void *ctx, const struct outbox_delivery *d);
  /* An attempt has ended: DONE, to be tried again at next_ns (RETRY), or given up for good (FAILED). */
  void (*on_attempt)(void *ctx, const struct outbox_delivery *d, enum postroom_result result, const char *text, size_t n);
  void *ctx;
};

/* Of a receiver. fallback "" or NULL: none; what fell back once does so no more. */
struct outbox_policy { uint64_t max_age_ns; const char *fallback; };
struct outbox_options {
  /* Sets *out, whose texts outlive the outbox. */
  void (*policy)(void *ctx, const char *receiver, struct outbox_policy *out);
  void *ctx;
  uint64_t seed;
};

/* 0 or FLUO_ENOMEM. */
int outbox_new(const struct outbox_options *options, const struct outbox_calls *calls, struct outbox **out);
void outbox_free(struct outbox *o);

/* Takes a delivery (number is not used, texts are copied). It may go once outbox_saved has said `row`, 0: at once. One that is
 * there already, by id and receiver, stays as it is. 0; FLUO_EFULL: as much waits for its receiver as there is room left to all
 * (limits.h); or FLUO_ENOMEM. Then it is not sent, counted. */
int outbox_add(struct outbox *o, const struct outbox_delivery *d, uint64_t row);
/* All rows up to this one are on disk. */
void outbox_saved(struct outbox *o, uint64_t row, uint64_t now_ns);
/* What became of the one that send took. */
void outbox_outcome(struct outbox *o, uint64_t number, enum postroom_result result, uint32_t retry_after_s,
                    const char *text, size_t n, uint64_t now_ns);

/* When there is something to do by time alone; UINT64_MAX: never. */
uint64_t outbox_next_due(const struct outbox *o);
/* Sends what may go now, gives up what is too old. Also whenever there is room to send again. */
void outbox_step(struct outbox *o, uint64_t now_ns);

struct outbox_stats {
  uint64_t delivered, retried, dead, fallbacks, refused;        /* refused: for which there was no room */
  uint64_t waiting, bytes, in_flight;
};
void outbox_stats_get(const struct outbox *o, struct outbox_stats *out);
/* Calls for each receiver there was: how many wait, how many attempts failed in a row, and what the last one said. */
struct outbox_receiver { const char *name; uint64_t waiting, delivered, dead; uint32_t failures; const char *last_error; };
void outbox_each(const struct outbox *o, void (*each)(void *ctx, const struct outbox_receiver *r), void *ctx);

#endif
