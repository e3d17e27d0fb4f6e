/* What engine_across.c, engine_batch.c and engine_sample.c share: rules that see across traces, and the notes that are taken for them
 * while a request comes in. Nobody else includes it. */
#ifndef FLUO_ENGINE_ACROSS_H
#define FLUO_ENGINE_ACROSS_H
#include "buffer.h"
#include "cascade.h"
#include "engine_parts.h"
#include "novel.h"
#include "sequence.h"
#include "window.h"

/* A rule's state, and who reports for it: the newest set that has the rule. */
struct across {
  const struct engine_rules *rules;
  uint32_t rule, sets;
  const struct fluo_ir_window *terms;      /* of a window or what is new; NULL: a sequence or a cascade */
  struct window *window;
  struct sequence *sequence;
  struct cascade *cascade;
  struct novel *novel;                     /* one of the four */
  uint8_t by[16];                          /* a hash of its `by`: rules with an equal list have equal keys */
  bool by_resource;                        /* all of it is of the resource */
  bool by_shape;                           /* all of it is service, name, kind or status */
  bool asks;
  bool waits, rereads;                     /* for a span's parent; and then for its payload, too */
  bool ratio;
  bool merges;                             /* several notes that a span makes for it at one time are one event */
  struct across_note *merged;              /* while a span's notes are merged: its first one */
};

/* A span, as all notes of it in one batch see it. */
struct across_span {
  struct engine_rules *rules;              /* of its trace, held until the batch is handed over */
  struct window_witness witness;           /* but for time_ns */
  uint64_t end_ns, duration_ns;
  bool late;                               /* too late for windows */
};

/* The key of a group, in the batch's bytes. */
struct across_key { uint32_t at, bytes; uint64_t hash; };

/* One event of a window, or one span of a sequence. */
struct across_note {
  struct across *to;
  union { double value; uint64_t hash; };  /* hash: of what `distinct` counts, one by one */
  uint32_t key, distinct;                  /* of the batch's keys; distinct: of a cascade's failure */
  uint32_t weight, patterns;
  uint8_t flags;
  bool repeats;                            /* its span may have more than one for this rule */
};

/* What a span says at one time: most have one such moment, when they end. */
struct across_moment {
  uint64_t at_ns, span_id;                 /* when it counts; the id as a number that is ordered as its bytes are */
  uint32_t span, first, end;               /* its notes, which stand together */
};

/* Keys of the span that came last. Most rules group by one of a few lists. */
enum { ACROSS_MEMO = 4 };
struct across_memo { uint8_t by[16]; uint32_t key; bool there, by_resource; };

/* Keys of spans that agree in all of this. The texts are symbols, so what is one text is one place. */
enum { ACROSS_SHAPES_BITS = 6 };
struct across_shape {
  uint8_t by[16];
  struct fluo_text service, name;
  uint8_t kind, status;
  bool has_service;
};
struct across_shaped { struct across_shape shape; uint32_t key; bool used; };

struct across_batch {
  struct across_batch *next;
  struct across_span *spans;
  struct across_note *notes;
  struct across_moment *moments, *sorted;  /* sorted: room for as many */
  struct across_key *keys;
  uint32_t spans_count, spans_capacity, count, capacity, moments_count, moments_capacity, sorted_capacity;
  uint32_t keys_count, keys_capacity;
  uint64_t look;                           /* at which the last of `spans` was noted, whose keys the memo has */
  struct fluo_text resource;               /* of the last of `spans` */
  const struct across *noted;              /* whose is the last of the notes, if it is of that span; or NULL */
  struct across_memo memo[ACROSS_MEMO];
  uint32_t memo_count;
  struct across_shaped shapes[1 << ACROSS_SHAPES_BITS];
  uint32_t sheets;                         /* of questions that are out */
  bool closed;                             /* its request is in */
  bool merges;                             /* some of its notes may be of one event */
  uint64_t now_ns;
  struct buffer bytes;                     /* of keys */
};

/* The batch that a note for this rule belongs to now. NULL: no memory. */
struct across_batch *across_batch_for(struct engine *e, const struct across *to);
/* engine_sample.c: the hit counts now. parent: of the span, or NULL. */
void across_take(struct engine *e, struct trace *t, const struct across_target *target, uint32_t span,
                 const struct fluo_span *parent);
/* The state of a rule of the set. */
static inline struct across *across_of(const struct engine_rules *r, const struct fluo_ir_rule *rule) {
  return r->across[rule->across + (rule->scope == FLUO_SCOPE_SEQUENCE ? r->windows : 0)];
}
/* Its terms in the set that reports for it. */
const struct fluo_ir_sequence *across_sequence(const struct across *a);
/* A span that may be gone by now; service: NULL: it has none. */
struct violation_span across_witness(const struct engine *e, const uint8_t *trace_id, const uint8_t *span_id,
                                     struct fluo_text name, const struct fluo_text *service);
/* engine_chain.c: the links in order of failure, and their spans in order of start; there are m->chain_count of each. */
void across_chain(const struct engine *e, const struct cascade_match *m, struct violation_link *chain,
                  struct violation_span *spans);
/* The fields of `by`. */
struct fluo_range across_by(const struct across *a);

#endif
