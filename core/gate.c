/* Gates are postfix, checked by ir_check, so the stack neither runs dry nor over. */
#include "gate.h"

#include <assert.h>

#include "tally.h"

/* Hits of a pattern, at the most where a lower bound is asked: a span whose answer is unknown may be one
 * (`all` is unknown over it, and that is the study's to say). For an upper bound they are none. */
static int64_t hits_of(const struct gate_counts *counts, uint32_t pattern, uint32_t op) {
  const struct tally *tally =
      counts ? tally_get(counts->tallies, counts->tallies_count, pattern) : NULL;
  if (!tally) return 0;
  return op == FLUO_OP_GT || op == FLUO_OP_GE ? (int64_t)tally->count + tally->unknown : tally->count;
}

static bool compare(int64_t count, uint32_t op, int64_t n, bool growing) {
  if (growing && (op == FLUO_OP_GT || op == FLUO_OP_GE)) return true;
  if (growing && op == FLUO_OP_EQ) return count <= n;
  switch (op) {
  case FLUO_OP_EQ: return count == n;
  case FLUO_OP_GT: return count > n;
  case FLUO_OP_GE: return count >= n;
  case FLUO_OP_LT: return count < n;
  default: return count <= n;
  }
}

static bool leaf(const struct fluo_ir_gate *g, const struct gate_counts *counts) {
  bool growing = counts && counts->growing;
  switch (g->op) {
  case FLUO_GATE_HITS: return compare(hits_of(counts, g->pattern, g->compare), g->compare, g->n, growing);
  case FLUO_GATE_SPANS: return !counts || compare(counts->spans, g->compare, g->n, growing);
  case FLUO_GATE_DURATION: {
    if (!counts) return true;
    uint64_t ns = counts->duration_ns;
    return compare(ns > INT64_MAX ? INT64_MAX : (int64_t)ns, g->compare, g->n, growing);
  }
  default: return true;
  }
}

/* The last n of the stack become one. */
static uint32_t fold(bool *stack, uint32_t depth, const struct fluo_ir_gate *g) {
  uint32_t first = depth - (uint32_t)g->n;
  bool all = true, any = false;
  for (uint32_t i = first; i < depth; i++) {
    all &= stack[i];
    any |= stack[i];
  }
  stack[first] = g->op == FLUO_GATE_AND ? all : any;
  return first + 1;
}

bool gate_open(const struct ir *ir, uint32_t rule, const struct gate_counts *counts) {
  struct fluo_range range = ir->rules[rule].gate;
  bool stack[IR_GATES_MAX];
  uint32_t depth = 0;
  for (uint32_t i = range.first; i < range.first + range.count; i++) {
    const struct fluo_ir_gate *g = &ir->gates[i];
    if (g->op == FLUO_GATE_AND || g->op == FLUO_GATE_OR)
      depth = fold(stack, depth, g);
    else
      stack[depth++] = leaf(g, counts);
  }
  assert(depth == (range.count != 0));
  return depth && stack[0];
}

bool gate_asks_spans(const struct ir *ir, uint32_t rule) {
  struct fluo_range range = ir->rules[rule].gate;
  for (uint32_t i = range.first; i < range.first + range.count; i++) {
    uint32_t op = ir->gates[i].op;
    if (op == FLUO_GATE_SPANS || op == FLUO_GATE_DURATION || op == FLUO_GATE_TRUE) return true;
  }
  return false;
}
