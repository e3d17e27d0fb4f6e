/* Checking windows, sequences and incidents. A rule and its window name each other, so that each has one; what
 * is left to check are numbers that code follows blindly. */
#include <math.h>

#include "ir_check.h"

/* Whether each of these pairs names one part, which is a field, or a literal where that is allowed. */
static bool by_fits(const struct ir_check *c, struct fluo_range by, uint32_t least, bool literals) {
  if (by.count < least || by.count > IR_BY_MAX || !ir_range_fits(by, c->ir->header->pairs))
    return false;
  for (uint32_t i = by.first; i < by.first + by.count; i++) {
    struct fluo_range parts = c->ir->pairs[i].parts;
    if (parts.count != 1) return false;
    uint32_t field = c->ir->parts[parts.first].field;
    if (field >= FLUO_FIELD_EVENT_NAME && !(literals && field == FLUO_FIELD_LITERAL)) return false;
  }
  return true;
}

static bool is_owner(const struct ir_check *c, uint32_t rule, uint32_t scope, uint32_t across) {
  return rule < c->ir->header->rules && c->ir->rules[rule].scope == scope &&
         c->ir->rules[rule].across == across;
}

static const char *window_fault(const struct ir_check *c, uint32_t index) {
  const struct fluo_ir_window *w = &c->ir->windows[index];
  if (!is_owner(c, w->rule, FLUO_SCOPE_WINDOW, index)) return "rule";
  uint32_t patterns = c->ir->rules[w->rule].patterns.count;
  if (patterns != (w->aggregate == FLUO_AGGREGATE_RATIO ? 2u : 1u)) return "patterns";
  if (w->aggregate > FLUO_AGGREGATE_NEW) return "aggregate";
  if (w->sample > FLUO_SAMPLE_NAMED) return "sample";
  if (w->compare < FLUO_OP_GT || w->compare > FLUO_OP_LE) return "compare";
  if (w->field >= FLUO_FIELD_EVENT_NAME) return "field";
  if (w->baseline > FLUO_BASELINE_SIGMAS) return "baseline";
  if (w->every > 1) return "every";
  if (!ir_text_fits(c, w->key)) return "key";
  if (!by_fits(c, w->by, w->aggregate == FLUO_AGGREGATE_NEW, false)) return "by";
  if (!w->ns || w->ns > INT64_MAX) return "length";
  if (!(w->quantile >= 0 && w->quantile <= 100)) return "quantile";
  if (!isfinite(w->normal_min)) return "normal";
  return isfinite(w->threshold) ? NULL : "threshold";
}

static const char *sequence_fault(const struct ir_check *c, uint32_t index) {
  const struct fluo_ir_sequence *s = &c->ir->sequences[index];
  if (!is_owner(c, s->rule, FLUO_SCOPE_SEQUENCE, index)) return "rule";
  uint32_t steps = c->ir->rules[s->rule].patterns.count;
  bool cascade = s->at_least;
  if (s->rooted > cascade) return "rooted";
  if (cascade && (s->absent || steps != 1 + s->rooted)) return "patterns";
  if (s->distinct.count != cascade || !by_fits(c, s->distinct, cascade, false)) return "distinct";
  if (!steps || steps > IR_STEPS_MAX) return "steps";
  if (s->absent & 1 || s->absent >> steps) return "absent";
  if (!by_fits(c, s->by, !cascade, false)) return "by";
  return s->ns && s->ns <= INT64_MAX ? NULL : "length";
}

/* Each window and sequence has its rule; that each rule has one is left. */
static bool owned(const struct ir_check *c, uint32_t rule) {
  const struct fluo_ir_rule *r = &c->ir->rules[rule];
  switch (r->scope) {
  case FLUO_SCOPE_WINDOW:
    return r->across < c->ir->header->windows && c->ir->windows[r->across].rule == rule;
  case FLUO_SCOPE_SEQUENCE:
    return r->across < c->ir->header->sequences && c->ir->sequences[r->across].rule == rule;
  default: return r->across == 0;
  }
}

bool ir_across_check(const struct ir_check *c) {
  for (uint32_t i = 0; i < c->ir->header->windows; i++) {
    const char *fault = window_fault(c, i);
    if (fault) return ir_wrong(c, "windows", i, fault);
  }
  for (uint32_t i = 0; i < c->ir->header->sequences; i++) {
    const char *fault = sequence_fault(c, i);
    if (fault) return ir_wrong(c, "sequences", i, fault);
  }
  for (uint32_t i = 0; i < c->ir->header->rules; i++)
    if (!owned(c, i)) return ir_wrong(c, "rules", i, "across");
  return true;
}

static bool is_duration(uint64_t ns) {
  return ns <= INT64_MAX;
}

static const char *incident_fault(const struct ir_check *c, uint32_t index) {
  const struct fluo_ir_incident *it = &c->ir->incidents[index];
  if (it->rule >= c->ir->header->rules || c->ir->rules[it->rule].incident != index + 1) return "rule";
  if (it->m > it->n || it->n > IR_M_OF_N_MAX || !it->m != !it->n) return "m of n";
  if (!by_fits(c, it->group_by, 0, true)) return "group_by";
  if (!ir_range_fits(it->resolve, c->ir->header->patterns) || it->resolve.count > 1) return "resolve";
  bool sound = is_duration(it->pending_ns) && is_duration(it->keep_firing_ns) &&
               is_duration(it->cooldown_ns) && is_duration(it->resolve_ns);
  return sound ? NULL : "duration";
}

bool ir_incidents_check(const struct ir_check *c) {
  const struct fluo_ir *h = c->ir->header;
  for (uint32_t i = 0; i < h->incidents; i++) {
    const char *fault = incident_fault(c, i);
    if (fault) return ir_wrong(c, "incidents", i, fault);
    if (!ir_claim_check(c, c->ir->incidents[i].rule, c->ir->incidents[i].resolve)) return false;
  }
  for (uint32_t i = 0; i < h->rules; i++) {
    uint32_t incident = c->ir->rules[i].incident;
    if (incident && (incident > h->incidents || c->ir->incidents[incident - 1].rule != i))
      return ir_wrong(c, "rules", i, "incident");
  }
  return true;
}
