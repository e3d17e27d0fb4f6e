/* The spans of a group's latest events, so that a violation can name them: as many as there is room for, each once. */
#ifndef FLUO_LATEST_H
#define FLUO_LATEST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fluo.h"
#include "pack.h"

/* A span that an event came from. The texts are the caller's business: they are kept and given back as they are. */
struct window_witness {
  uint64_t time_ns, start_ns;       /* of the event; of the span */
  uint8_t  trace_id[16], span_id[8];
  struct fluo_text name, service;
  bool     has_service;
  bool     repeats;                 /* another event of the window may have come from it */
};

/* In the caller's storage; all zero is an empty one. A ring, by event time, then arrival. */
struct latest {
  struct latest_span *spans;        /* owned */
  uint8_t head, count, capacity;    /* FLUO_WITNESSES_MAX at most */
};

void latest_deinit(struct latest *l);
/* Keeps the span; `max` of them, 1 to FLUO_WITNESSES_MAX, or as many as there are already. Without room, or memory, for
 * one more the oldest goes. Of a span that is kept already the later event counts. */
void latest_note(struct latest *l, const struct window_witness *witness, uint32_t max);
/* latest_note of a span that is not kept yet, whose event is not older than any that is. There is room for one more, or
 * the oldest goes. */
void latest_push(struct latest *l, const struct window_witness *witness);
/* The i-th, i < count. */
struct window_witness latest_get(const struct latest *l, uint32_t i);
size_t latest_bytes(const struct latest *l);

void latest_write(const struct latest *l, struct pack *p);
/* Into an empty one. 0 or FLUO_EMALFORMED, and then only latest_deinit is left. */
int latest_read(struct latest *l, struct unpack *u);

#endif
