/* The engine: what happens to a span between intake and violation. It owns the store and the matcher,
 * feeds the study, and says what broke. It takes the time as an argument and does no I/O, so the live
 * agent and replay are the same engine under two clocks. */
#ifndef FLUO_ENGINE_H
#define FLUO_ENGINE_H
#include <stdbool.h>

#include "otlp.h"
#include "ruleset.h"
#include "store.h"
#include "study.h"
#include "violation.h"
#include "voice.h"

struct engine;

struct engine_calls {
  /* The violation and what it lends are valid within the call only. */
  void (*on_violation)(void *ctx, const struct violation *v);
  void *ctx;
  /* All that there was to judge in the trace, by these rules, is judged; it is dropped next. NULL: nobody wants to know. */
  void (*on_trace_end)(void *ctx, const struct ruleset *rules, const struct trace *t);
  /* A span came that the rule's `resolve_when` asks for. Lent for the call. NULL: nobody wants to know. */
  void (*on_resolve)(void *ctx, const struct ruleset *rules, uint32_t rule, const struct span_view *span,
                     uint64_t now_ns);
  /* A group of a window begins, of this key (as group_add writes it): by how many thousandths people have its limit
   * widened. NULL: by none, as in replay. */
  uint32_t (*widening)(void *ctx, const char *rule, uint32_t rule_bytes, const void *group, uint32_t group_bytes);
  /* A request, or what answers to its questions led to, is in: what its violations with `more` are about is as whole as
   * it makes it, and may go from now on. NULL: nobody wants to know. */
  void (*on_request_end)(void *ctx);
};

struct engine_options {
  struct store_limits store;
  /* Live: a trace first seen within max_age of started_ns that holds an orphan counts as cut. */
  bool live;
  bool renamed;                 /* fields of templates are looked up under renamed conventions */
  uint64_t started_ns;
  size_t state_bytes_max;       /* of windows and sequences */
};

/* 0, FLUO_ENOMEM, or what arena_new says of the buffer. */
int engine_new(const struct engine_options *options, const struct engine_calls *calls, struct engine **out);
void engine_free(struct engine *e);
struct store *engine_store(const struct engine *e);
/* What the study's on_answers and on_verdicts have to be given to. */
void engine_answers(struct engine *e, const struct study_job *job, const uint8_t *answers);
void engine_verdicts(struct engine *e, const struct study_job *job, const struct study_verdict *verdicts);
/* The rules in force for traces that begin from now on; a trace that has begun keeps those of its first span until
 * it is dropped. Neither is owned: both stay until engine_release says so, or outlive the engine. Counts of a rule
 * go on under its name. 0, or FLUO_ENOMEM and what was in force still is. */
int engine_use(struct engine *e, const struct ruleset *rules, struct study *study);
/* Whether these rules are out of force and no trace needs them: then the engine has let go of them and their study. */
bool engine_release(struct engine *e, const struct ruleset *rules);

struct engine_receipt { uint32_t accepted, rejected, dropped_memory, rejected_for[OTLP_REJECTS]; };
/* Takes the spans of a body that otlp_check accepted, arriving now; checked is for otlp_open. Time never runs backwards: an
 * earlier now_ns is taken as the latest one seen. 0, or FLUO_ENOMEM and then nothing of it was counted. */
int engine_receive(struct engine *e, const uint8_t *body, size_t n, const struct otlp_summary *checked, uint64_t now_ns,
                   struct engine_receipt *receipt);
/* The same in parts, so that a large body does not keep others waiting: goes on until the cursor has come as far
 * as cost_max (see otlp_step) or the end. true: there is more to do. Each part is a request to the engine; *receipt
 * starts zeroed and sums up. */
bool engine_receive_some(struct engine *e, struct otlp_cursor *body, size_t cost_max, uint64_t now_ns,
                         struct engine_receipt *receipt);
/* What is received next is late, to windows, by this clock and not by its arrival. For replay, where a request may arrive
 * at the end of its own spans. */
void engine_late_from(struct engine *e, uint64_t clock_ns);
/* Calls for each group of a window in force that stays crossed: with rules, rule, group, by and now_ns alone. */
void engine_each_crossed(struct engine *e, uint64_t now_ns, void (*each)(void *ctx, const struct violation *v), void *ctx);
/* People have the limit of this group widened anew (window.h), where there is such a group in such a rule. */
void engine_widen(struct engine *e, const char *rule, uint32_t rule_bytes, const void *group, uint32_t group_bytes,
                  uint32_t thousandths);
/* Windows are judged no more, nor are their timers due. */
void engine_end_windows(struct engine *e);
/* When the next timer is due; UINT64_MAX: none. */
uint64_t engine_next_due(const struct engine *e);
/* Runs the one timer that is due first at or before now: false if there was none. */
bool engine_step(struct engine *e, uint64_t now_ns);
/* Closes every open trace as cut (shutdown). Their judgments may still be out: see engine_idle. */
void engine_close_all(struct engine *e, uint64_t now_ns);
/* No span is in flight. */
bool engine_idle(const struct engine *e);

/* ---- snapshots of what windows, baselines and sequences know: what stands in the blocks of snapshot.h ---- */

/* Another number once something of it may have changed. */
uint64_t engine_state_changes(const struct engine *e);
/* Begins a snapshot, at now_ns, and ends one that is under way. Appends what its HEAD holds. */
void engine_snapshot_begin(struct engine *e, uint64_t now_ns, struct buffer *out);
/* Appends groups until there are so many bytes, and the last one whole; the engine may go on between two calls. *left_out
 * counts those that out's bound has no room for. How many; 0: that was all, or out->err. */
uint32_t engine_snapshot_groups(struct engine *e, size_t bytes, struct buffer *out, uint64_t *left_out);

/* Passes over all that are left: how many. */
uint64_t engine_snapshot_rest(struct engine *e);

/* Reading one: the caller's storage, zero. Before the first span, under the rules in force. */
struct engine_restore {
  struct across **owners;                   /* by number, from 1; NULL: no rule in force is it */
  uint32_t owners_count;
  uint64_t moment_ns;                       /* when it was begun */
  uint32_t rules, rules_dropped;            /* with state; of these, not in force in that version */
  uint64_t groups, groups_dropped;          /* groups_dropped: of such rules, or malformed */
};
/* The first block. What it holds was not observed from its moment to now_ns. 0; FLUO_EMALFORMED; FLUO_EINVALID: it is from
 * the future, by more than LIMIT_ACROSS_FUTURE_NS; FLUO_ENOMEM. After an error nothing more is read. */
int engine_restore_head(struct engine *e, struct engine_restore *r, const void *p, size_t n, uint64_t now_ns);
/* The groups of one block. 0 or FLUO_ENOMEM. */
int engine_restore_groups(struct engine *e, struct engine_restore *r, const void *p, size_t n);
void engine_restore_end(struct engine_restore *r);

enum drop_reason { DROP_DUPLICATE, DROP_MEMORY, DROP_REASONS };
extern const char *const drop_reason_names[DROP_REASONS];

/* received = evaluated + rejected + sum(dropped) + in flight, exactly, between any two calls. */
struct engine_stats {
  uint64_t received, evaluated, rejected, dropped[DROP_REASONS], in_flight;
  uint64_t rejected_for[OTLP_REJECTS];  /* they make up `rejected` */
  uint64_t questions, judgments;
  uint64_t questions_shed;                  /* not asked: LIMIT_QUESTIONS or _RULE_ITEMS were out. Unknown */
  uint64_t judgments_shed;                  /* of rules that are far behind. Unknown */
  uint64_t causes_skipped;                  /* not looked for: LIMIT_CAUSE_VISITS, or no memory */
  uint64_t hits_lost;                       /* no memory for a question or a note: the trace counts as cut */
};
/* Windows and sequences. */
struct engine_across_stats {
  uint64_t late_events, future_events;      /* of windows and sequences: dropped; of windows: moved */
  uint64_t groups, bytes, groups_evicted, lost_events, overflowed_events;
};
void engine_across_stats_get(const struct engine *e, struct engine_across_stats *out);
struct engine_rule_stats { uint64_t violations, unknown, errors; };
void engine_stats_get(const struct engine *e, struct engine_stats *out);
/* Of a rule in force. */
const struct engine_rule_stats *engine_rule_stats(const struct engine *e, uint32_t rule);
struct voice *engine_rule_voice(const struct engine *e, uint32_t rule);
/* Of a rule of a set that was not released. */
void engine_count_error(struct engine *e, const struct ruleset *rules, uint32_t rule, uint32_t errors);

#endif
