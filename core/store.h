/* The pantry: traces being assembled, in bounded memory. It owns the arena, the table of traces, their
 * timers (two FIFO lists, by last and by first arrival), and the memory of what was closed lately.
 * It takes the time as an argument (ns, Unix time) and does no I/O. What traces mean to rules is not
 * its business: it hands out places to write to and says when a trace closes. */
#ifndef FLUO_STORE_H
#define FLUO_STORE_H
#include <stdbool.h>

#include "arena.h"
#include "otlp.h"
#include "tally.h"

struct store;

enum trace_state {
  TRACE_OPEN,      /* takes spans */
  TRACE_CLOSED,    /* on_close was called; the engine judges it and then calls store_drop, or store_rest */
  TRACE_KEPT,      /* closed and judged; waits for late spans, which make it TRACE_CLOSED again, or for on_release */
  TRACE_LATE       /* holds late spans of one request only */
};

enum close_reason { CLOSE_IDLE, CLOSE_AGE, CLOSE_SPANS, CLOSE_BYTES, CLOSE_EVICTED, CLOSE_SHUTDOWN,
                    CLOSE_LATE, CLOSE_REASONS };
const char *close_reason_text(enum close_reason r);        /* "idle", "max_age", "span_cap" … */

/* A growing chain of arena extents of one record size. */
struct chain { uint32_t head, tail; uint32_t count; uint32_t tail_used, tail_capacity; };

struct trace_rule {
  uint32_t rule, spans_judged;       /* spans there were when it was last judged */
  uint8_t fired, unknown;            /* once it was */
  uint8_t dirty;                     /* a pattern of it gained a hit since */
};

/* A hit that counts when the span's parent is there: its id, or 0: it is. */
struct trace_wait { uint64_t parent; uint32_t pattern, span; };

struct trace {
  uint8_t  id[16];
  enum trace_state state;
  enum close_reason reason;      /* once closed */
  bool     cut;                  /* closed by anything but CLOSE_IDLE: absence may be unknown */
  bool     kept;                 /* closed, and its late spans come to it (store_keep) */
  bool     touched, judging;     /* the engine's */
  uint32_t pins;                 /* jobs out, and questions unanswered: not evicted, not shed, not freed */
  uint64_t first_ns, last_ns;    /* arrivals */
  uint64_t closed_ns;            /* when it closed: for CLOSE_IDLE last_ns + idle; then the engine's */
  uint64_t start_min_ns, end_max_ns;
  struct chain spans, hits;
  uint32_t settled;              /* spans, in order of arrival, that are in flight no longer */
  uint32_t errors;               /* spans whose status is ERROR */
  /* The engine's notes; the store only frees the arrays (heap_free) and counts their bytes. */
  struct tally *tallies;         /* sorted by pattern */
  uint32_t tallies_count, tallies_capacity;
  struct trace_rule *rules;      /* sorted by rule */
  uint32_t rules_count, rules_capacity;
  struct trace_wait *waits;
  uint32_t waits_count, waits_capacity, waits_due;     /* due: whose parent is there */
  uint32_t questions;            /* unanswered */
  uint64_t cause_visits;         /* spans that were looked at for its cause: see LIMIT_CAUSE_VISITS */
  uint32_t look_spans;           /* once closed: the spans that it is judged on now; later ones came late */
  uint32_t close_from;           /* rules below it were judged on these */
  struct engine_rules *judged_by; /* the engine's: the rules in force at its first span */
  struct trace *next_touched;    /* the engine's list of traces that a request touched */
  struct trace_memory *memory;   /* the store's own: lists, payload blocks, ids */
};

struct store_limits {
  size_t   arena_bytes;
  uint64_t idle_ns, max_age_ns, late_ns;
  uint32_t trace_spans_max;
  size_t   trace_bytes_max;          /* skeletons and payloads of one trace */
  size_t   remembered_bytes_max;     /* ids of closed traces and their spans; within arena_bytes, too */
  size_t   symbols_bytes_max;
  size_t   spare_bytes_max;          /* payloads that no rule needs are kept while no more than this is in use; 0: never */
};

struct store_calls {
  /* The trace left the table (state, reason, cut, closed_ns are set). The engine must in the end call
   * store_drop, now or later. May be called within store_admit, store_add and store_hit. */
  void (*on_close)(void *ctx, struct trace *t);
  /* The time of a TRACE_KEPT trace is over, or its room is wanted: the engine calls store_drop within the call. */
  void (*on_release)(void *ctx, struct trace *t);
  /* Within store_add, of a span whose skeleton is complete but for its payload: whether that may be read later. If not it
   * is not stored (FLUO_SPAN_SHED), or to spare (store_spare_next). Must not call the store. NULL: any may be. */
  bool (*needs_payload)(void *ctx, const struct trace *t, const struct fluo_span *skeleton, const struct otlp_span *span);
  void *ctx;
};

int store_new(const struct store_limits *limits, const struct store_calls *calls, struct store **out);
void store_free(struct store *s);    /* all traces with it, without callbacks */
struct arena *store_arena(const struct store *s);

enum admit { ADMIT_NEW, ADMIT_DUPLICATE, ADMIT_LATE, ADMIT_NO_MEMORY };
/* Which trace a span that arrives now belongs to. ADMIT_NEW: *out is open and takes it (a trace that holds
 * trace_spans_max spans or trace_bytes_max bytes, or whose time is over, was closed first, and then this span
 * is ADMIT_LATE). store_add follows before the next store_admit: only then the span is noted, and its arrival.
 * ADMIT_LATE: *out is the closed trace, where that is kept; else a TRACE_LATE trace, shared by this trace's late spans
 * until store_end_request.
 * ADMIT_DUPLICATE: seen before, in an open trace or a remembered one. Time never runs backwards. */
enum admit store_admit(struct store *s, const uint8_t trace_id[16], const uint8_t span_id[8],
                       uint64_t now_ns, struct trace **out);
/* Writes the span into the trace that store_admit gave for it: the skeleton, and its index in *index
 * (index of arrival). Frees memory in this order where there is none: payloads of
 * traces that cannot need them, kept traces, ids of closed ones, then the oldest idle trace is closed (CLOSE_EVICTED),
 * pinned ones passed over. NULL: dropped for memory (all is pinned, or evicted traces that hold a quarter of the arena are still
 * being judged, or the span alone would take a quarter). Then nothing was written; the trace is marked cut, and
 * one that has no span and no pin is gone, without on_close: do not look at it again. Until store_end_request a resource or
 * scope that lies where the one before lay, and is as long, is the same. */
struct fluo_span *store_add(struct store *s, struct trace *t, const struct otlp_span *span,
                            uint32_t *index);
/* After the last span of a request, or of a part of it: every TRACE_LATE trace of it is closed (CLOSE_LATE). */
void store_end_request(struct store *s, uint64_t now_ns);

/* Notes a hit (pattern may carry FLUO_HIT_UNKNOWN). false: no memory; the trace is marked cut, counted. */
bool store_hit(struct store *s, struct trace *t, uint32_t pattern, uint32_t span);
struct fluo_span *store_span(const struct store *s, const struct trace *t, uint32_t index);
/* The payloads of spans whose skeleton says that theirs was shed, as far as they are still there, in order of arrival.
 * Begins zeroed. true: there is one more, lent until the store is called again. */
struct spare_reader { uint32_t block, at, span; const uint8_t *p; size_t n; };
bool store_spare_next(const struct store *s, const struct trace *t, struct spare_reader *r);
/* The span's parent, as long as the store is not called. NULL: it is a root, or its parent is not in this trace now. */
const struct fluo_span *store_parent(struct store *s, struct trace *t, uint32_t span);
/* The arena offset of a skeleton. */
uint32_t store_offset(const struct store *s, const struct fluo_span *span);

/* The same text of a span where it stays as long as the store does: as a symbol. Where there is no room for one more: empty. */
struct fluo_text store_lasting(struct store *s, const struct fluo_span *span, struct fluo_text text);
/* Any text as such a symbol. */
struct fluo_text store_symbol(struct store *s, const void *text, size_t n);

/* Of the traces of this id that are in memory, in whatever state, the newest: the open one, if any is. NULL: none is. */
struct trace *store_find(const struct store *s, const uint8_t id[16]);
/* The next older trace of the same id, and from the oldest the newest again: itself, mostly. */
struct trace *store_same(const struct trace *t);

void store_pin(struct trace *t);
void store_unpin(struct trace *t);
/* Within on_close: the late spans of a trace that closed by time come to it from now on, as long as it is remembered and
 * below its caps; t->kept says so. */
void store_keep(struct store *s, struct trace *t);
/* The first n spans of a closed trace are in flight no longer. */
void store_settle(struct store *s, struct trace *t, uint32_t n);
/* A closed trace that is kept, all settled and not pinned, becomes TRACE_KEPT. */
void store_rest(struct store *s, struct trace *t);
/* Frees a closed, kept or late trace that is not pinned; a late one keeps TRACE_LATE, and has closed_ns by then.
 * The ids of a trace that was open stay remembered for late_ns from its closed_ns. */
void store_drop(struct store *s, struct trace *t);

/* While set, no payload is shed: some rule may read any span (FLUO_RULE_PAYLOADS). */
void store_keep_payloads(struct store *s, bool keep);

/* When the next trace closes by time; UINT64_MAX: none is open. */
uint64_t store_next_due(const struct store *s);
/* Closes the one trace whose time came first at or before now: true if there was one. Also forgets
 * closed traces that were remembered for late_ns. */
bool store_close_due(struct store *s, uint64_t now_ns);
/* Closes the oldest open trace with this reason: false if none is open. */
bool store_close_oldest(struct store *s, enum close_reason reason, uint64_t now_ns);

/* What is in it and what it did. Counters only grow. */
struct store_stats {
  uint64_t traces_open, traces_closed[CLOSE_REASONS];
  uint64_t spans_held;                    /* in open, closed-not-dropped and late traces, but for settled ones */
  uint64_t traces_kept, kept_released;    /* released before trace.late, for want of room or at a cap */
  uint64_t late_spans, duplicates;
  uint64_t skewed_spans, malformed_spans; /* own parent; cut from a cycle (found at the close) */
  uint64_t spares_shed;                   /* payloads that only evidence needs */
  uint64_t payloads_shed, hits_lost, ids_forgotten;   /* forgotten: remembered_bytes_max was reached */
  uint64_t arena_bytes, arena_bytes_used, heap_bytes, remembered_bytes, symbols_bytes, symbols_refused;
  double   horizon_s;                     /* how long a trace can live at the present rate */
};
void store_stats_get(const struct store *s, uint64_t now_ns, struct store_stats *out);

#endif
