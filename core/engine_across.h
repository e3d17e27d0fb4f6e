/* What engine_across.c, engine_batch.c, engine_cells.c and engine_sample.c share: rules that see across traces, and the
 * notes that are taken for them while a request comes in. Nobody else includes it. */
#ifndef FLUO_ENGINE_ACROSS_H
#define FLUO_ENGINE_ACROSS_H
#include "buffer.h"
#include "cascade.h"
#include "engine_parts.h"
#include "novel.h"
#include "sequence.h"
#include "shapes.h"
#include "window.h"

/* A rule's state, and who reports for it: the newest set that has the rule. */
struct across {
  const struct engine_rules *rules;
  uint32_t rule, sets;
  uint32_t number;                         /* which of all that ever were; no other has it */
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

#define ACROSS_NONE UINT32_MAX

/* A rule and a key: one group. Its notes are handed over together, as a list, which stands once they are in order. `to` is
 * good as long as there are notes; the number tells it from what has come to the same place since. */
struct across_cell {
  struct across *to;
  struct window_known known;               /* of a window: its group */
  uint32_t number, key, first, last;
};

/* One event of a window, or one span of a sequence. */
struct across_note {
  union { double value; uint64_t hash; };  /* hash: of what `distinct` counts, one by one */
  uint32_t cell;
  union { uint32_t weight, distinct; };    /* distinct: of a cascade's failure, of the batch's keys */
  uint32_t patterns;
  uint32_t moment, next;                   /* among those in order; of the same cell, ACROSS_NONE: it is the last */
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

/* Spans of one shape (shapes.h) have one number. */
enum { ACROSS_SHAPES_BITS = 9, ACROSS_SHAPED_BITS = 12 };
/* The cell of spans of a shape, and of a rule, by its number, that groups by what is of the shape. */
struct across_shaped { uint32_t number, shape, cell; };

/* Where keys or cells are, by their hash; there is an empty place always. */
struct across_places { uint32_t *at; uint32_t capacity; };

struct across_batch {
  struct across_batch *next;
  struct across_span *spans;
  struct across_note *notes;
  struct across_moment *moments, *sorted;  /* sorted: room for as many */
  struct across_key *keys;
  struct across_cell *cells;
  uint32_t spans_count, spans_capacity, count, capacity, moments_count, moments_capacity, sorted_capacity;
  uint32_t keys_count, keys_capacity, cells_count, cells_capacity;
  struct across_places key_places, cell_places;
  uint64_t look;                           /* at which the last of `spans` was noted, whose keys the memo has */
  struct fluo_text resource;               /* of the last of `spans` */
  uint32_t shape;                          /* likewise: the number of its shape; 0: it has none */
  const struct across *noted;              /* whose is the last of the notes, if it is of that span; or NULL */
  struct across_memo memo[ACROSS_MEMO];
  uint32_t memo_count, shapes_count;       /* shapes_count: how many numbers there were */
  struct { struct shape shape; uint32_t number; } shapes[1 << ACROSS_SHAPES_BITS];
  struct across_shaped shaped[1 << ACROSS_SHAPED_BITS];
  uint32_t sheets;                         /* of questions that are out */
  bool closed;                             /* its request is in */
  bool merges;                             /* some of its notes may be of one event */
  uint64_t now_ns;
  struct buffer bytes;                     /* of keys */
};

/* Where the cell of spans of the last one's shape is, if it is known. */
static inline struct across_shaped *across_shaped(struct across_batch *b, uint32_t number) {
  uint64_t mixed = (uint64_t)number << 32 | b->shape;
  return &b->shaped[mixed * UINT64_C(0x9e3779b97f4a7c15) >> (64 - ACROSS_SHAPED_BITS)];
}

/* engine_cells.c. The last span is a new one: its keys are not known, but for those of its resource, where it has that of
 * the one before. */
void across_cells_begin(struct across_batch *b, const struct fluo_span *span, bool same_resource);
/* The rule's group that the span which is looked at, the last of the batch's, is in. 1; 0: it lacks a field of `by`; or
 * FLUO_ENOMEM. */
int across_cell_find(struct engine *e, struct across_batch *b, struct across *to, const struct trace *t, uint32_t span,
                     uint32_t *out);
static inline int across_cell(struct engine *e, struct across_batch *b, struct across *to, const struct trace *t, uint32_t span,
                              uint32_t *out) {
  const struct across_shaped *shaped = across_shaped(b, to->number);
  if (shaped->number != to->number || shaped->shape != b->shape) return across_cell_find(e, b, to, t, span, out);
  *out = shaped->cell;
  return 1;
}
/* A key that those fields of the span make. As across_cell. */
int across_key(struct engine *e, struct across_batch *b, const struct ruleset *set, struct fluo_range by, const struct trace *t,
               uint32_t span, uint32_t *out);
/* The notes are handed over. What is known of cells stays, for the next request, as long as it is little. */
void across_cells_end(struct across_batch *b);
void across_cells_forget(struct across_batch *b);

/* The batch that a note for this rule belongs to now. NULL: no memory. */
struct across_batch *across_batch_for(struct engine *e, const struct across *to);
/* engine_sample.c: the hit counts now. parent: of the span, or NULL. */
void across_take(struct engine *e, struct trace *t, const struct across_target *target, uint32_t span,
                 const struct fluo_span *parent);
/* A field of the batch's last span. false: it has none. */
bool across_field(const struct engine *e, const struct across_batch *b, const struct span_view *view, uint32_t field,
                  const char *name, uint32_t n, char scratch[32], struct fluo_value *out);
/* The span that is looked at, as it is in memory, and its skeleton alone. */
const struct span_view *across_view(struct engine *e, const struct trace *t, uint32_t span);
static inline const struct fluo_span *across_skeleton(const struct engine *e, const struct trace *t, uint32_t span) {
  return e->arriving ? e->arriving_as : store_span(e->store, t, span);
}
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
