/* A violation: a fact about a rule, with the spans that prove it: rules/README.md, What comes out. */
#ifndef FLUO_VIOLATION_H
#define FLUO_VIOLATION_H
#include <stdbool.h>

#include "baseline.h"
#include "buffer.h"
#include "cause.h"
#include "ruleset.h"

struct trace;

/* A span that may be gone by now. */
struct violation_span {
  const uint8_t *trace_id, *span_id, *name, *service;       /* service NULL: it has none */
  uint32_t name_bytes, service_bytes;
};

struct voice;

/* Why: of the failing spans of the trace the deepest one, and what is above it (cause.h). */
struct violation_cause {
  struct violation_span span;
  const uint8_t *message;             /* of its status; NULL: it has none, or it is not here any more */
  uint32_t message_bytes, total;      /* total: failures that are independent of each other */
  struct violation_span impact[CAUSE_IMPACT_MAX];   /* from its parent up */
  uint32_t impact_count, impact_total;
};

/* One failure of a cascade: when, of what (as group_add wrote it; NULL: what it began with). */
struct violation_link { struct violation_span span; uint64_t time_ns; const void *value; uint32_t value_bytes; };

/* Lives as long as the callback that hands it out; it lends from the arena and the rule set. */
struct violation {
  const struct ruleset *rules;
  const struct fluo_ir_rule *rule;
  uint32_t rule_index;
  const struct trace *trace;          /* in the store; NULL: across traces */
  uint8_t  trace_id[16];
  uint64_t time_ns;                   /* event time at which the rule became true */
  const struct span_view *witnesses;  /* in start order, FLUO_WITNESSES_MAX at most */
  uint32_t witnesses_count, witness_total;
  const char *reason; uint32_t reason_bytes;
  bool     has_value; double value, threshold;
  uint32_t widening;                  /* thousandths that people have the threshold's distance widened by; it is so already */
  bool     estimated, late;
  bool     has_baseline, drifted;
  struct baseline_normal normal;                    /* what was normal, and how sure that was */
  /* Of windows and sequences, instead of trace_id and witnesses: witnesses_count of these. */
  const struct violation_span *spans;
  const void *group; uint32_t group_bytes;          /* as group_add wrote it, for the fields of `by` */
  struct fluo_range by;
  const struct violation_cause *cause;              /* NULL: none is known */
  bool more;                          /* its request may have more of the trace, which stays until on_request_end */
  bool withheld;                      /* live: the rule has had its lines, so this one is counted and not written */
  struct voice *voice;                /* the rule's, for the lines of the log. Not const: saying more changes it */
  uint64_t now_ns;                    /* when it was found, on the engine's clock */
  /* Of a cascade, in order of failure; its cause is the first. */
  const struct violation_link *chain;
  uint32_t chain_count;
  struct fluo_range distinct;         /* what tells one value from another: as `by`, of one */
};

/* What there is to say of a span; it lends from the arena. */
struct violation_span violation_span_of(const struct span_view *view);
/* 32 hex digits and a NUL, from rule name, rule version, scope and key (trace id, and for a span rule the span id; across
 * traces the group, the time and the first witness): the same violation has the same id after a restart, a replay or a
 * second delivery. */
void violation_id(const struct violation *v, char out[33]);
/* Appends the object that rules/README.md describes (What comes out), without a line end. 0 or a negative fluo_err. */
int violation_json(const struct violation *v, struct buffer *out);
/* Appends a template of the rule (summary, or an action's): of the first witness; what is absent is "-". */
int violation_template(const struct violation *v, struct fluo_range parts, struct buffer *out);
/* The value of a field (not of those that only templates have): of the group, or of the first witness. false: it has none.
 * Lent as field_get's. */
bool violation_field(const struct violation *v, const struct fluo_ir_part *part, char scratch[32], struct fluo_value *out);
const char *severity_text(uint32_t severity);
/* RFC 3339 with nine digits and Z, into 31 bytes. */
void time_text(uint64_t unix_ns, char out[32]);
void hex_text(const uint8_t *p, size_t n, char *out);      /* 2n digits and a NUL */

#endif
