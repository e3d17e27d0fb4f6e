/* A rule set: one validated intermediate form, sealed, with the index over its patterns' atoms. */
#ifndef FLUO_RULESET_H
#define FLUO_RULESET_H
#include <stdbool.h>
#include <stddef.h>

#include "field.h"
#include "fluo.h"

struct ruleset;

struct ruleset_options {
  bool     status_ok_is_explicit;     /* "OK" does not match UNSET */
  bool     renamed;                   /* semantic-convention renames are looked up */
  uint32_t matches_limit;             /* PCRE2 match limit of one regular expression */
};

/* Copies and checks n bytes of intermediate form (never trusts them: every index, range, operand and
 * text is checked), compiles regular expressions, builds the index. 0 and *out, or FLUO_EINVALID /
 * FLUO_ENOMEM and what was wrong in `why`. */
int ruleset_new(const void *ir, size_t n, const struct ruleset_options *options, struct ruleset **out,
                char why[128]);
void ruleset_free(struct ruleset *r);

const struct fluo_ir *ruleset_ir(const struct ruleset *r);
const struct fluo_ir_rule *ruleset_rule(const struct ruleset *r, uint32_t rule);
const struct fluo_ir_pattern *ruleset_pattern(const struct ruleset *r, uint32_t pattern);
uint32_t ruleset_function_rule(const struct ruleset *r, uint32_t function);
const struct fluo_ir_part *ruleset_part(const struct ruleset *r, uint32_t part);
const struct fluo_ir_pair *ruleset_pair(const struct ruleset *r, uint32_t pair);
/* By a rule's `across`. */
const struct fluo_ir_window *ruleset_window(const struct ruleset *r, uint32_t window);
const struct fluo_ir_sequence *ruleset_sequence(const struct ruleset *r, uint32_t sequence);
/* How its violations become incidents; NULL: by the defaults. */
const struct fluo_ir_incident *ruleset_incident(const struct ruleset *r, const struct fluo_ir_rule *rule);
/* Whether some pattern of the rule has a function. */
bool ruleset_asks(const struct ruleset *r, uint32_t rule);
/* The rule of this name; UINT32_MAX: there is none. */
uint32_t ruleset_find(const struct ruleset *r, const char *name, size_t n);
/* The rule of r that is rule `of` of `other` unchanged: of that name and that version. UINT32_MAX: none. */
uint32_t ruleset_unchanged(const struct ruleset *r, const struct ruleset *other, uint32_t of);
/* Whether both were made from the same intermediate form. */
bool ruleset_same(const struct ruleset *a, const struct ruleset *b);
/* Text of the IR; not NUL-terminated. Valid as long as the rule set. */
const char *ruleset_text(const struct ruleset *r, struct fluo_text t);

/* Rules to test at every close even when no pattern had a hit, because their gate is open with all
 * counts at zero (pure absence, TRUE): their indices, ascending, and how many. */
const uint32_t *ruleset_always(const struct ruleset *r, uint32_t *count);
/* Early rules to test on any new span of a trace: those whose gate asks for SPANS or DURATION or is
 * TRUE (FLUO_RULE_STRUCTURE rules become due by their hits). */
const uint32_t *ruleset_any_span(const struct ruleset *r, uint32_t *count);

/* Trace rules with FLUO_RULE_LATE. */
const uint32_t *ruleset_late(const struct ruleset *r, uint32_t *count);

/* What a gate asks about a trace. */
struct gate_counts {
  const struct tally *tallies; uint32_t tallies_count;     /* sorted by pattern (store.h) */
  uint32_t spans;
  uint64_t duration_ns;
  bool growing;                       /* not what they are, but what they may come to be */
};
/* Whether a trace rule's condition can be true at these counts. */
bool ruleset_gate(const struct ruleset *r, uint32_t rule, const struct gate_counts *counts);

/* Scratch for matching one span at a time. The sets in `struct match` are valid until the
 * next matcher_span. */
struct matcher;
int matcher_new(const struct ruleset *r, struct matcher **out);
void matcher_free(struct matcher *m);
/* The time of what follows: expressions that take long too often are unknown for a while (regex.h). */
void matcher_now(struct matcher *m, uint64_t now_ns);

/* A function to call; object: with which of the span's events or links, 0 for a function of the span. */
struct match_ask { uint32_t pattern, function, object; };
struct match {
  const uint32_t *hits;         uint32_t hits_count;       /* patterns that hold */
  const uint32_t *unknowns;     uint32_t unknowns_count;   /* a `matches` beyond its limit decides, or it
                                                              has more than LIMIT_PATTERN_QUESTIONS asks */
  const struct match_ask *asks; uint32_t asks_count;
};
/* Which span patterns the span satisfies. Each set ascending; asks by pattern, function, object, and only
 * those that can still decide. A pattern stands in one of the three. */
int matcher_span(struct matcher *m, const struct span_view *view, struct match *out);

/* An attribute, of the span or its resource, by its key in the index, of the span that matcher_span was called for last.
 * NULL: it has none. Valid as long as that span's bytes are. */
const struct fluo_value *matcher_value(struct matcher *m, uint32_t key);

/* One pattern with the answers to all its asks, in the order of the asks: no (FLUO_FALSE), hit, or unknown
 * (Kleene). */
enum fluo_truth matcher_resolve(struct matcher *m, const struct span_view *view, uint32_t pattern,
                                const struct fluo_answer *answers, uint32_t count);

#endif
