/* What the store's files share: store.c (admission, closing, timers), store_memory.c (room, pressure, freeing),
 * store_write.c (a span, a hit), store_ids.c (the span ids of a trace, cycles), store_remembered.c (closed traces),
 * store_spare.c (what no rule needs), chain.c (extents). Nobody else includes it. */
#ifndef FLUO_STORE_PARTS_H
#define FLUO_STORE_PARTS_H
#include <stddef.h>
#include <string.h>

#include "hash.h"
#include "link.h"
#include "store.h"
#include "symbol.h"
#include "table.h"

enum {
  BLOCK_BYTES_MAX = 65536,        /* extents and payload blocks grow to this */
  BLOCK_GAIN = 10,                /* hundredths more that a larger block has to be filled */
  WANTED_STEPS = 4,               /* of pressure for a block of the size that is best, not needed */
  IDS_LINEAR_MAX = 32,            /* up to here a look through the skeletons beats a table */
  DIRECTORY_FROM = 24,            /* extents from which span indices are looked up in a directory */
  ONE_SHARE = 4,                  /* of the arena: the largest piece of one span, so that it cannot close all */
  EVICTIONS_MAX = 1024,           /* traces closed to make room for one span: past it, the span goes */
  HOLES_SHARE = 10,              /* of the arena: holes in it that are let be */
  HOLE_BYTES = 64 << 10,          /* the most that goes back to the kernel at once */
  REMEMBERED_KEPT_SHARE = 8,      /* of what may be remembered: not forgotten for the sake of open traces */
  EVICTED_SHARE = 4,              /* of the arena: what evicted traces may hold that are still being judged */
  RECORDS_UNUSED = 64             /* records that wait for a trace: a request ends some 40, the next begins as many */
};

/* ---- trace ids ------------------------------------------------------------------------------- */

/* Tables of what begins with its trace id. */
static inline bool id_is(uint64_t entry, const void *id) {
  return !memcmp((const void *)(uintptr_t)entry, id, 16);
}

static inline void *id_find(const struct table *t, uint64_t hash, const uint8_t id[16]) {
  return (void *)(uintptr_t)table_find(t, hash, id_is, id);
}

/* Span ids are hashed once a span and more at the close, so not by SipHash: multiply-shift with a random
 * odd multiplier is universal (Dietzfelbinger), which is enough against chosen ids. */
static inline uint32_t id_hash(const struct hash_key *key, uint64_t id) {
  uint64_t x = (id ^ key->k0) * (key->k1 | 1);
  return (uint32_t)((x ^ x >> 32) * (key->k0 | 1) >> 32);
}

/* Trace ids, once a span: a product of two keyed halves, which is universal in the same way (Lemire and Kaser,
 * "Strongly universal string hashing is fast", 2014). */
static inline uint64_t trace_hash(const struct hash_key *key, const uint8_t id[16]) {
  uint64_t a, b;
  memcpy(&a, id, 8);
  memcpy(&b, id + 8, 8);
  unsigned __int128 product = (unsigned __int128)(a + key->k0) * (b + key->k1);
  uint64_t x = ((uint64_t)product ^ (uint64_t)(product >> 64)) * (key->k0 | 1);
  return x ^ x >> 32;
}

static inline uint64_t id_load(const uint8_t id[8]) {
  uint64_t x;
  memcpy(&x, id, 8);
  return x;
}

/* ---- extents --------------------------------------------------------------------------------- */

/* The next record's place, NULL: the tail is full. Not counted until chain_commit. */
static inline void *chain_room(const struct arena *a, const struct chain *c, size_t size) {
  if (c->tail_used == c->tail_capacity) return NULL;
  return (uint8_t *)arena_at(a, c->tail) + sizeof(struct fluo_extent) + c->tail_used * size;
}
void chain_extend(const struct arena *a, struct chain *c, uint32_t off, size_t bytes, size_t size);
static inline void chain_commit(struct chain *c) {
  c->count++;
  c->tail_used++;
}
void *chain_at(const struct arena *a, const struct chain *c, size_t size, uint32_t index);
void chain_free(struct arena *a, struct chain *c);

/* The next extent or block of something that holds `held` bytes: an eighth to a quarter of it, so that a small trace
 * wastes little and a large one has few. */
static inline size_t grow_bytes(size_t held, size_t min) {
  size_t wanted = min;
  while (wanted * 8 <= held && wanted < BLOCK_BYTES_MAX) wanted *= 2;
  return wanted;
}

/* ---- remembered traces ----------------------------------------------------------------------- */

/* A closed trace until until_ns, with the ids of its spans as far as the bound allows. */
struct ghost {
  uint8_t id[16];
  uint64_t hash, until_ns;
  struct link all, with_ids;      /* by time; with_ids: alone where the ids went or are none */
  struct trace *late;             /* takes its late spans: itself where it is kept, else TRACE_LATE; or NULL */
  uint64_t *ids;                  /* open addressing, all at home in the first where they are few; 0 is empty (no valid id is) */
  uint32_t count, capacity;
};

struct remembered {
  struct table table;
  struct link all, with_ids;
  struct hash_key key;
  size_t bytes, bytes_max, table_bytes;     /* bytes: table_bytes among them */
  uint64_t forgotten;
};

void remembered_init(struct remembered *r, size_t bytes_max, struct hash_key key);
void remembered_deinit(struct remembered *r);
/* Notes a trace; then its ids with remembered_reserve and remembered_add. NULL: no room. */
struct ghost *remembered_put(struct remembered *r, const uint8_t id[16], uint64_t hash, uint64_t until_ns);
/* Room for n ids at once. false: only the trace is remembered. */
bool remembered_reserve(struct remembered *r, struct ghost *g, uint32_t n);
void remembered_add(struct remembered *r, struct ghost *g, uint64_t id);    /* within the reserve */
/* The ghost at this time; one whose time is over is forgotten. */
struct ghost *remembered_find(struct remembered *r, const uint8_t id[16], uint64_t hash, uint64_t now_ns);
bool remembered_has(const struct remembered *r, const struct ghost *g, uint64_t id);
/* A late span came: the ghost stays until until_ns, and the id is noted if there is room. */
void remembered_renew(struct remembered *r, struct ghost *g, uint64_t id, uint64_t until_ns);
void remembered_expire(struct remembered *r, uint64_t now_ns);
/* What a trace of n spans takes, its place in the table aside. */
size_t remembered_bytes(uint32_t n);
/* Forgets one trace's ids, or where none has any one trace, the oldest: false: a share is kept in any case. */
bool remembered_shrink(struct remembered *r);

/* ---- the store ------------------------------------------------------------------------------- */

/* Bytes of one trace: blocks linked through their first words, newest first, one of them being filled. */
struct blocks { uint32_t newest, fill, used, capacity, bytes; };

struct block { uint32_t next; };             /* stands at the start of each */

static inline size_t power_of_two(size_t bytes) {
  size_t p = ARENA_BLOCK_MIN;
  while (p < bytes) p *= 2;
  return p;
}

/* Payloads that no rule needs (store_spare.c): blocks, the oldest first. */
struct spare { uint32_t head, tail, capacity, bytes, count; };

struct extent_at { uint32_t first, off; };   /* the index of its first record, and where it lies */

enum { EXTENTS_NOTED = 4 };                  /* 12 spans, the extents being of 256 bytes so far */

/* A record for each open trace: some thirty bytes a span, where traces are short. */
struct trace_memory {
  struct store *store;
  uint64_t hash;
  struct link idle, age;          /* open; closed, kept and late ones use idle */
  struct link same;               /* those of the same id, the newest of which stands in the table; by age from there */
  struct link spares;             /* has some */
  struct link full;               /* open or kept, no hit, and with payload: can be shed */
  struct ghost *ghost;            /* whose late spans it takes */
  struct spare spare;
  struct blocks payload, kept;    /* kept: texts that the symbols refused; never shed */
  uint64_t filter[2];             /* of span ids: a bit each. Where it is not set, the id is new */
  uint32_t *ids;                  /* arena offsets of skeletons by span id; NULL: few spans */
  struct extent_at *directory;    /* of a long chain of spans, or NULL */
  uint32_t ids_capacity, directory_capacity, extents;
  uint32_t noted[EXTENTS_NOTED];  /* its first extents: found without a look at one for the next */
  uint32_t shed_marked, shed;     /* spans below have no payload: and say so; and are to say so (shed_mark) */
  uint32_t payloads;              /* spans from `shed` on that have one */
  /* All within the arena's size, which is below 4 GiB. */
  uint32_t bytes;                 /* what trace_bytes_max is about */
  uint32_t arena_bytes, heap_bytes;   /* what it takes */
  uint32_t notes_bytes;           /* of heap_bytes: the engine's arrays */
  uint32_t evicted_bytes;         /* what it held when it was evicted */
  bool parked;                    /* taken off `full` because it was pinned */
};

struct record { struct trace trace; struct trace_memory memory; };

#define trace_of(link, list) \
  (&((struct record *)(void *)((char *)(link) - offsetof(struct record, memory.list)))->trace)

struct store {
  struct store_limits limits;
  struct store_calls calls;
  struct arena *arena;
  struct symbols *symbols;
  struct hash_key key;
  struct table traces;
  struct remembered remembered;
  struct link idle, age, full, spares, closed, kept, late;
  struct link *passed;            /* in `idle`: all up to here were pinned when last looked at */
  struct trace *recent;           /* open, what the span before belonged to: mostly this one does, too */
  struct record *unused[RECORDS_UNUSED];    /* given back; charged as if in use. None while no trace is open and none ends */
  uint32_t unused_count;
  struct trace *adding;           /* not to be evicted: a span is being written into it */
  struct fluo_text scope;         /* of the last span: most have those of the one before */
  struct fluo_span resource;      /* its resource, service and flags likewise */
  const uint8_t *scope_at, *resource_at;   /* where they lie in the request that is being taken; NULL: not known */
  bool keep_payloads;
  uint64_t now_ns;
  size_t heap_bytes, evicted_bytes;
  size_t holes_kept;              /* of the arena, when it was last searched for a piece to return in vain */
  uint32_t evictions;             /* within this call */
  double taken_bytes;             /* of the last ten seconds, decaying */
  uint64_t taken_ns, taken_from_ns;
  struct store_stats stats;       /* the counters */
};

/* store.c */
void idle_remove(struct store *s, struct trace *t);
void traces_leave(struct store *s, struct trace *t);      /* it is freed */
void store_forget(struct store *s, struct trace *t);      /* a trace without spans: as if it had never been */
void store_close(struct store *s, struct trace *t, enum close_reason reason, uint64_t at_ns);
void store_wake(struct store *s, struct trace *t);        /* a TRACE_KEPT trace is TRACE_CLOSED again */
/* Late spans come to it no longer: it is released, or, where it is being judged, the engine will see. */
void store_let_go(struct store *s, struct trace *t);

/* store_memory.c */
static inline size_t books_bytes(const struct store *s) {
  return s->heap_bytes + s->remembered.bytes;
}
/* Of heap or arena; asked for each span. */
static inline bool room_is(const struct store *s, size_t bytes) {
  return arena_bytes_used(s->arena) + books_bytes(s) + bytes <= arena_bytes(s->arena);
}
bool pressure(struct store *s);                           /* one step down its order; false: nothing left */
/* As many steps as it takes. */
static inline bool room_make(struct store *s, size_t bytes) {
  while (!room_is(s, bytes))
    if (!pressure(s)) return false;
  return true;
}
bool room_heap_make(struct store *s, size_t bytes);       /* for heap, which has no use for holes in the arena */
void heap_charge(struct store *s, struct trace *t, size_t bytes);
void heap_discharge(struct store *s, struct trace *t, size_t bytes);
void notes_charge(struct store *s, struct trace *t);      /* the engine's arrays may have grown */
void full_update(struct store *s, struct trace *t);       /* whether it can be shed may have changed */
/* Shedding does not touch the skeletons, which are cold by then, and most of which nobody looks at again: they are
 * marked when somebody does, who comes through store_span or pins the trace. */
void shed_mark(const struct store *s, const struct trace *t);
struct fluo_span *span_at_index(const struct store *s, const struct trace *t, uint32_t index);   /* unmarked */
/* A block for the trace: of `wanted` bytes if a little pressure gives it, else as near to that as there is, but
 * of what is needed at any price. */
uint32_t block_get(struct store *s, struct trace *t, size_t wanted, size_t needed, bool payload, size_t *actual);
void blocks_push(struct store *s, struct blocks *b, uint32_t off, size_t bytes);
void blocks_free(struct store *s, struct trace *t, struct blocks *b, uint32_t until);    /* those newer */
struct record *record_new(struct store *s, const uint8_t id[16], uint64_t hash);
void record_free(struct store *s, struct trace *t);       /* in no list any more, but `closed` */

/* store_spare.c */
void spare_put(struct store *s, struct trace *t, const struct otlp_span *span);      /* of the trace's next span, if there is room */
void spare_free(struct store *s, struct trace *t);
bool spare_shed(struct store *s);                         /* of one trace; false: there is none */

/* store_ids.c */
bool ids_has(const struct store *s, const struct trace *t, const uint8_t id[8]);
bool ids_grow(struct store *s, struct trace *t);
/* Room for one more span. */
static inline bool ids_reserve(struct store *s, struct trace *t) {
  return t->spans.count < IDS_LINEAR_MAX || t->spans.count < t->memory->ids_capacity / 4 * 3 || ids_grow(s, t);
}
void ids_put(struct store *s, struct trace *t, const struct fluo_span *span);
void ids_free(struct store *s, struct trace *t);
uint32_t ids_cycles(const struct store *s, const struct trace *t);

#endif
