/* Checking the intermediate form: where its sections lie, then each section. Sums are kept as well
 * as ranges, so that a small form cannot ask for a great deal of work by pointing to the same
 * elements again and again. */
#include "ir.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "ir_check.h"

bool ir_wrong(const struct ir_check *c, const char *section, uint32_t index, const char *what) {
  snprintf(c->why, IR_WHY_BYTES, "%s[%u]: %s", section, index, what);
  return false;
}

bool ir_text_fits(const struct ir_check *c, struct fluo_text t) {
  return (uint64_t)t.off + t.len <= c->ir->header->text_bytes;
}

bool ir_range_fits(struct fluo_range range, uint32_t count) {
  return (uint64_t)range.first + range.count <= count;
}

/* ---- layout -------------------------------------------------------------------------------- */

static bool wrong_layout(const struct ir_check *c, const char *what) {
  snprintf(c->why, IR_WHY_BYTES, "header: %s", what);
  return false;
}

/* 2^32 elements of 104 bytes are far from the end of 64 bits, so the sum cannot wrap. */
static const void *section(const char *base, uint64_t *at, uint32_t count, size_t size) {
  const void *start = base + *at;
  *at = (*at + (uint64_t)count * size + 7) & ~UINT64_C(7);
  return start;
}

static bool layout(const struct ir_check *c, const char *base, size_t n, struct ir *ir) {
  if (n < sizeof *ir->header) return wrong_layout(c, "cut short");
  const struct fluo_ir *h = ir->header = (const void *)base;
  if (h->magic != FLUO_IR_MAGIC) return wrong_layout(c, "no intermediate form");
  if (h->version != FLUO_IR_VERSION) return wrong_layout(c, "another version");
  uint64_t at = sizeof *h;
  /* The pointers are only used once the total is known to fit. */
  ir->rules = section(base, &at, h->rules, sizeof *ir->rules);
  ir->patterns = section(base, &at, h->patterns, sizeof *ir->patterns);
  ir->nodes = section(base, &at, h->nodes, sizeof *ir->nodes);
  ir->atoms = section(base, &at, h->atoms, sizeof *ir->atoms);
  ir->values = section(base, &at, h->values, sizeof *ir->values);
  ir->gates = section(base, &at, h->gates, sizeof *ir->gates);
  ir->functions = section(base, &at, h->functions, sizeof *ir->functions);
  ir->parts = section(base, &at, h->parts, sizeof *ir->parts);
  ir->pairs = section(base, &at, h->pairs, sizeof *ir->pairs);
  ir->windows = section(base, &at, h->windows, sizeof *ir->windows);
  ir->sequences = section(base, &at, h->sequences, sizeof *ir->sequences);
  ir->incidents = section(base, &at, h->incidents, sizeof *ir->incidents);
  ir->text = section(base, &at, 0, 1);
  uint64_t end = at + h->text_bytes;
  if (end > n) return wrong_layout(c, "sections reach past the end");
  if (n - end >= 8) return wrong_layout(c, "bytes behind the text"); /* padding is fine */
  return true;
}

/* ---- gates --------------------------------------------------------------------------------- */

static bool compares(uint32_t op) {
  return op == FLUO_OP_EQ || (op >= FLUO_OP_GT && op <= FLUO_OP_LE);
}

static bool is_own_pattern(const struct fluo_ir_rule *rule, uint32_t pattern) {
  return pattern >= rule->patterns.first && pattern - rule->patterns.first < rule->patterns.count;
}

/* What is wrong with one step of the postfix, `depth` operands being on the stack. */
static const char *gate_fault(const struct fluo_ir_rule *rule, const struct fluo_ir_gate *g,
                              uint32_t *depth) {
  switch (g->op) {
  case FLUO_GATE_HITS:
    if (!is_own_pattern(rule, g->pattern)) return "pattern of another rule";
    break;
  case FLUO_GATE_TRUE:
  case FLUO_GATE_SPANS:
  case FLUO_GATE_DURATION: break;
  case FLUO_GATE_AND:
  case FLUO_GATE_OR:
    if (g->n < 1 || g->n > *depth) return "arity";
    *depth -= (uint32_t)g->n;
    break;
  default: return "op";
  }
  bool leaf = g->op == FLUO_GATE_HITS || g->op == FLUO_GATE_SPANS || g->op == FLUO_GATE_DURATION;
  if (leaf && !compares(g->compare)) return "compare";
  ++*depth;
  return NULL;
}

static bool gate_check(const struct ir_check *c, uint32_t index) {
  const struct fluo_ir_rule *rule = &c->ir->rules[index];
  struct fluo_range range = rule->gate;
  if (!ir_range_fits(range, c->ir->header->gates)) return ir_wrong(c, "rules", index, "gate range");
  if (range.count > IR_GATES_MAX) return ir_wrong(c, "rules", index, "gate too long");
  if (rule->scope != FLUO_SCOPE_TRACE && range.count)
    return ir_wrong(c, "rules", index, "gate of no trace rule");
  if (rule->scope == FLUO_SCOPE_TRACE && !range.count)
    return ir_wrong(c, "rules", index, "no gate");
  uint32_t depth = 0;
  for (uint32_t i = range.first; i < range.first + range.count; i++) {
    const char *fault = gate_fault(rule, &c->ir->gates[i], &depth);
    if (fault) return ir_wrong(c, "gates", i, fault);
  }
  return range.count == 0 || depth == 1 ||
         ir_wrong(c, "rules", index, "gate leaves more than one operand");
}

/* ---- rules, templates ---------------------------------------------------------------------- */

static bool parts_check(const struct ir_check *c) {
  for (uint32_t i = 0; i < c->ir->header->parts; i++) {
    const struct fluo_ir_part *part = &c->ir->parts[i];
    if (part->field > FLUO_FIELD_BASELINE) return ir_wrong(c, "parts", i, "field");
    if (!ir_text_fits(c, part->key)) return ir_wrong(c, "parts", i, "key");
  }
  return true;
}

static bool pairs_check(const struct ir_check *c) {
  for (uint32_t i = 0; i < c->ir->header->pairs; i++) {
    const struct fluo_ir_pair *pair = &c->ir->pairs[i];
    if (!ir_text_fits(c, pair->name)) return ir_wrong(c, "pairs", i, "name");
    if (!ir_text_fits(c, pair->value)) return ir_wrong(c, "pairs", i, "value");
    if (!ir_range_fits(pair->parts, c->ir->header->parts)) return ir_wrong(c, "pairs", i, "parts");
  }
  return true;
}

static const char *rule_fault(const struct ir_check *c, const struct fluo_ir_rule *rule) {
  const struct fluo_ir *h = c->ir->header;
  const uint8_t flags =
      FLUO_RULE_EARLY | FLUO_RULE_STRUCTURE | FLUO_RULE_COMPLETE | FLUO_RULE_PAYLOADS | FLUO_RULE_LATE;
  if (!ir_text_fits(c, rule->name)) return "name";
  if (!ir_text_fits(c, rule->file)) return "file";
  if (rule->scope > FLUO_SCOPE_SEQUENCE) return "scope";
  if (rule->severity > FLUO_SEVERITY_CRITICAL) return "severity";
  if (rule->mode > FLUO_MODE_OFF) return "mode";
  if (rule->flags & ~flags) return "flags";
  if (!ir_range_fits(rule->patterns, h->patterns)) return "pattern range";
  if (!ir_range_fits(rule->summary, h->parts)) return "summary range";
  if (!ir_range_fits(rule->actions, h->pairs)) return "action range";
  if (!ir_range_fits(rule->labels, h->pairs)) return "label range";
  return NULL;
}

/* A pattern says whose it is, so of all rules that claim it only one gets past the first. */
bool ir_claim_check(const struct ir_check *c, uint32_t index, struct fluo_range range) {
  for (uint32_t i = range.first; i < range.first + range.count; i++) {
    const struct fluo_ir_pattern *pattern = &c->ir->patterns[i];
    if (pattern->rule != index) return ir_wrong(c, "rules", index, "pattern of another rule");
    if (pattern->object != FLUO_OBJECT_SPAN)
      return ir_wrong(c, "rules", index, "pattern of no span");
  }
  return true;
}

static bool rules_check(const struct ir_check *c) {
  uint64_t gates = 0;
  for (uint32_t i = 0; i < c->ir->header->rules; i++) {
    const char *fault = rule_fault(c, &c->ir->rules[i]);
    if (fault) return ir_wrong(c, "rules", i, fault);
    gates += c->ir->rules[i].gate.count;
    if (gates > c->ir->header->gates) return ir_wrong(c, "rules", i, "gate of another rule");
    if (!ir_claim_check(c, i, c->ir->rules[i].patterns) || !gate_check(c, i)) return false;
  }
  return true;
}

static bool functions_check(const struct ir_check *c) {
  for (uint32_t i = 0; i < c->ir->header->functions; i++) {
    const struct fluo_ir_function *function = &c->ir->functions[i];
    if (function->rule >= c->ir->header->rules) return ir_wrong(c, "functions", i, "rule");
    if (function->object > FLUO_OBJECT_LINK) return ir_wrong(c, "functions", i, "object");
  }
  return true;
}

int ir_check(const void *bytes, size_t n, struct ir *out, char why[IR_WHY_BYTES]) {
  struct ir_check c = {.ir = out, .why = why};
  why[0] = '\0';
  bool sound = layout(&c, bytes, n, out) && parts_check(&c) && pairs_check(&c) &&
               functions_check(&c) && ir_values_check(&c) && ir_atoms_check(&c) &&
               rules_check(&c) && ir_incidents_check(&c) && ir_patterns_check(&c) &&
               ir_across_check(&c);
  return sound ? 0 : FLUO_EINVALID;
}
