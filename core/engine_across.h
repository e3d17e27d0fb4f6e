/* What engine_across.c and engine_sample.c share: rules that see across traces, and the notes that are taken for them
 * while a request comes in. Nobody else includes it. */
#ifndef FLUO_ENGINE_ACROSS_H
#define FLUO_ENGINE_ACROSS_H
#include "buffer.h"
#include "engine_parts.h"
#include "sequence.h"
#include "window.h"

/* A rule's state, and who reports for it: the newest set that has the rule. */
struct across {
  const struct engine_rules *rules;
  uint32_t rule, sets;
  const struct fluo_ir_window *terms;      /* NULL: a sequence */
  struct window *window;
  struct sequence *sequence;
  bool asks;
};

/* One event of a window, or one span of a sequence. */
struct across_note {
  struct across *to;
  struct engine_rules *rules;              /* of its trace, held until it is handed over */
  uint64_t order_ns;                       /* when it counts */
  struct window_witness span;
  uint64_t end_ns, hash;
  double value;
  uint32_t group, group_bytes;             /* its key, in the batch's keys */
  uint32_t weight, flags, patterns;
};

struct across_batch {
  struct across_batch *next;
  struct across_note *notes, **sorted;     /* sorted: room for as many, filled when they are handed over */
  uint32_t count, capacity, sorted_capacity;
  uint32_t sheets;                         /* of questions that are out */
  bool closed;                             /* its request is in */
  uint64_t now_ns;
  struct buffer keys;
};

/* The batch that a note for this rule belongs to now. NULL: no memory. */
struct across_batch *across_batch_for(struct engine *e, const struct across *to);
/* A rule's state. */
struct across *across_of(const struct engine_rules *r, uint32_t rule);
/* The fields of `by`. */
struct fluo_range across_by(const struct across *a);

#endif
