/* What the engine's files share: its struct, and what each does for the others. Nobody else includes it. */
#ifndef FLUO_ENGINE_PARTS_H
#define FLUO_ENGINE_PARTS_H
#include "cause.h"
#include "engine.h"
#include "state.h"

/* What a question was asked for. Kept in the order of the questions of its job. */
struct question_note {
  struct trace *trace;
  uint32_t span, pattern, function, object;
  uint32_t rule, order;                     /* order: in which it was asked */
};

/* The notes of one job; all groups of a (span, pattern) are whole within it. */
struct question_sheet {
  struct question_sheet *next, **back;      /* the engine's list of what is out */
  struct across_batch *batch;               /* of the request; NULL: no rule across traces asks */
  uint32_t count;
  struct question_note notes[];
};

/* Of all rule sets that know a rule of one name. */
struct rule_count { struct engine_rule_stats stats; struct voice voice; uint32_t sets; };

/* A pattern of a window or a sequence, as one of its rule's: patterns is 1 << its place there. */
struct across_target { struct across *to; uint32_t patterns; };

/* A rule set, and what belongs to it: the one in force, or one that some trace is still judged by. */
struct engine_rules {
  const struct ruleset *set;
  struct study *study;
  struct matcher *matcher;
  struct rule_count **counts;               /* one a rule */
  uint32_t *out;                            /* likewise: its questions and judgments that are not answered */
  uint32_t *cost_ns;                        /* likewise: what one of its questions has taken lately; 0: not known */
  bool payloads;                            /* some rule may read any span (FLUO_RULE_PAYLOADS) */
  struct across **across;                   /* one a window, then one a sequence */
  struct across_target *targets;            /* one a pattern; to NULL: it is none of theirs. NULL: there are none */
  uint32_t windows;
  uint32_t traces;                          /* that are judged by it, and notes of such */
  struct engine_rules *older;
};

struct engine {
  struct store *store;
  struct engine_calls calls;
  struct engine_rules *rules;               /* in force; behind it those that are not any more */
  struct trace *touched;
  struct question_note *asked;              /* of the request being taken, and not sent yet */
  uint32_t asked_count, asked_capacity;
  bool asked_mixed;                         /* about several rules */
  uint32_t questions_out;                   /* asked and not answered; LIMIT_QUESTIONS at most */
  struct question_sheet *sheets;
  struct state *state;                      /* of windows and sequences */
  struct across_batch *now_batch;           /* notes of the request; kept for the next. NULL: none yet */
  uint32_t across_made;                     /* rules' states, ever: each has a number */
  struct across_batch *batch;               /* notes of the request that wait for answers; NULL: none yet */
  struct across_batch *waiting;             /* it, and those before it, the oldest first */
  bool rules_ask;                           /* some window or sequence has functions */
  bool rules_wait;                          /* some window asks for parents */
  bool observed;                            /* windows know of the first arrival */
  uint64_t late_ns, late_from_ns;           /* by which spans are late; UINT64_MAX: by their arrival */
  struct engine_across_stats across;
  struct hash_key cause_key;
  struct cause cause;                      /* of the first cause_spans spans of cause_of; NULL: of none */
  const struct trace *cause_of;
  uint32_t cause_spans;
  struct violation_cause cause_said;       /* of the violation that is being reported */
  struct fluo_answer *group;               /* scratch of take_group */
  uint32_t group_capacity;
  bool live, renamed;
  struct quota lines;                          /* what all rules may write together */
  uint64_t started_ns, max_age_ns, now_ns;
  struct match match;                       /* of the span being written */
  const struct otlp_span *arriving;         /* it, as it came in; NULL: none is */
  const struct fluo_span *arriving_as;      /* and as it was written */
  uint64_t look;                            /* which span is looked at: a number that each has for itself */
  uint64_t viewed;                          /* at which look rules across traces began to read it, as `view` */
  struct span_view view;
  struct engine_receipt *receipt;
  struct engine_stats stats;
};

/* engine_notes.c: what the engine keeps with a trace, sorted by pattern and by rule. NULL: not there, or
 * no memory. *at: where it is or belongs. */
struct tally *tally_put(struct trace *t, uint32_t pattern);
struct trace_rule *trace_rule_find(const struct trace *t, uint32_t rule, uint32_t *at);
struct trace_rule *trace_rule_put(struct trace *t, uint32_t rule);
/* A trace that lost a note cannot prove an absence any more. */
void engine_note_lost(struct engine *e, struct trace *t);

/* engine_rules.c */
/* From its first span on a trace is judged by what is in force now, until it is dropped. */
void engine_hold_rules(struct engine *e, struct trace *t);
void engine_drop_rules(struct trace *t);
static inline struct engine_rule_stats *engine_counts(const struct trace *t, uint32_t rule) {
  return &t->judged_by->counts[rule]->stats;
}
/* Whether it will be written: else nobody asks what more there is to say of it. */
bool engine_count_violation(struct engine *e, struct rule_count *count, struct violation *v);
void engine_free_rules(struct engine *e);

/* engine_across.c: windows and sequences. */
/* The state of a set's rules: found, or made. 0 or FLUO_ENOMEM, and then engine_across_drop. */
int engine_across_use(struct engine *e, struct engine_rules *r);
/* The set is in force, and reports for what it shares with others. */
void engine_across_own(struct engine *e, struct engine_rules *r);
/* The set, which is in no list any more, lets go of its state. */
void engine_across_drop(struct engine *e, struct engine_rules *r);
void engine_across_arrival(struct engine *e);
uint64_t engine_across_due(const struct engine *e);
/* engine_batch.c: what a request says to them. */
void engine_batches_free(struct engine *e);
/* The batch of this request for rules with functions; NULL: there are none, or no memory. */
struct across_batch *engine_batch(struct engine *e);
void engine_batch_asks(struct across_batch *b);
void engine_batch_answered(struct engine *e, struct across_batch *b);
/* All notes of the request are in. */
void engine_end_request(struct engine *e);
/* engine_waits.c: a span of the trace is a hit of a pattern of this window or sequence. */
void engine_across_hit(struct engine *e, struct trace *t, uint32_t pattern, uint32_t span);
/* Whether the payload of such a hit may be read later. */
bool engine_across_rereads(const struct engine_rules *r, uint32_t pattern);
static inline bool engine_is_across(const struct engine_rules *r, uint32_t pattern) {
  return r->targets && r->targets[pattern].to;
}
/* A span arrived in a trace where hits wait. */
void engine_waits_arrival(struct trace *t, const struct fluo_span *span);
/* What waited in the traces that were touched and is due, before the request ends. */
void engine_waits_take(struct engine *e);

/* engine_rules.c: whether n more questions of the rule would be more than it may have out now. */
bool engine_behind(const struct engine *e, const struct engine_rules *r, uint32_t rule, uint32_t n);
/* n questions of the rule were answered in so long. */
void engine_learn_cost(struct engine *e, struct engine_rules *r, uint32_t rule, uint64_t took_ns, uint32_t n);
/* Whether judgments of the rule have to be given up. */
bool engine_slow(const struct engine *e, const struct engine_rules *r, uint32_t rule);

/* engine_cause.c: says in v->cause which of the first n spans of the trace is the cause of what failed there. */
void engine_cause(struct engine *e, struct trace *t, uint32_t n, struct violation *v);
/* Likewise of a violation across traces: in the trace of its last witness, as long as that is in memory. */
void engine_cause_across(struct engine *e, struct violation *v);
/* The trace is dropped. */
void engine_cause_forget(struct engine *e, const struct trace *t);

/* engine_judge.c */
/* The span is a hit of what the rule's `resolve_when` asks for, or that is unknown. */
void engine_resolves(struct engine *e, struct trace *t, uint32_t rule, uint32_t span, bool unknown);
void engine_report_span(struct engine *e, struct trace *t, uint32_t rule, uint32_t span);
struct span_view engine_view(const struct engine *e, const struct trace *t, uint32_t span);
/* What is to be done with a trace now: nothing while answers or a judgment are out. */
void engine_settle(struct engine *e, struct trace *t);
/* Whether a rule with `late = true` may still come to be true of the trace: it has not fired, and the counts have not
 * passed a bound that its gate sets from above. */
bool engine_awaits_late(const struct trace *t);

#endif
