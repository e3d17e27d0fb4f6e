/* One walk over the nodes: in postorder a branch stands behind its operands, so its truth is joined from theirs as they come.
 * What is still open is found by a second walk, from the root down. Nothing fails. */
#include "formula.h"

#include <stdbool.h>

/* One more operand of an AND (or OR): the one that wins wins, an unknown one spoils the other. */
static uint8_t join(uint8_t so_far, uint8_t operand, uint8_t winner) {
  if (so_far == winner || operand == winner) return winner;
  return so_far == FLUO_UNKNOWN ? so_far : operand;
}

static uint8_t negate(uint8_t truth) {
  return truth == FLUO_UNKNOWN ? truth : !truth;
}

static bool is_branch(const struct fluo_ir_node *node) {
  return node->op >= FLUO_NODE_AND;
}

/* Most patterns are a table of entries: an AND whose operands are all leaves. The first node's
 * parent being the root, and no node between them being a branch, says so. */
static enum fluo_truth test_plain(const struct fluo_ir_node *nodes, uint32_t count, uint8_t *truths,
                                  formula_on_leaf *on_leaf, void *ctx) {
  uint8_t root = FLUO_TRUE;
  for (uint32_t i = 0; i + 1 < count; i++) {
    truths[i] = (uint8_t)on_leaf(ctx, &nodes[i]);
    if (truths[i] == FLUO_FALSE) return FLUO_FALSE;
    root = join(root, truths[i], FLUO_FALSE);
  }
  truths[count - 1] = root;
  return root;
}

static bool is_plain(const struct fluo_ir_node *nodes, uint32_t count) {
  if (nodes[count - 1].op != FLUO_NODE_AND) return false;
  for (uint32_t i = 0; i + 1 < count; i++)
    if (is_branch(&nodes[i])) return false;
  return true;
}

enum fluo_truth formula_test(const struct fluo_ir_node *section, struct fluo_range range,
                             uint8_t *truths, formula_on_leaf *on_leaf, void *ctx) {
  const struct fluo_ir_node *nodes = section + range.first;
  uint32_t count = range.count;
  if (count == 0) return FLUO_TRUE;
  if (is_plain(nodes, count)) return test_plain(nodes, count, truths, on_leaf, ctx);
  for (uint32_t i = 0; i < count; i++)
    truths[i] = nodes[i].op == FLUO_NODE_AND ? FLUO_TRUE : FLUO_FALSE;
  for (uint32_t i = 0; i < count; i++) {
    if (!is_branch(&nodes[i])) truths[i] = (uint8_t)on_leaf(ctx, &nodes[i]);
    if (i + 1 == count) break;
    uint32_t parent = nodes[i].parent - range.first;
    switch (nodes[parent].op) {
    case FLUO_NODE_AND: truths[parent] = join(truths[parent], truths[i], FLUO_FALSE); break;
    case FLUO_NODE_OR: truths[parent] = join(truths[parent], truths[i], FLUO_TRUE); break;
    default: truths[parent] = negate(truths[i]); break;
    }
  }
  return truths[count - 1];
}

/* From the root down, so that a node's parent is settled: what hangs on a decided one is decided. */
void formula_open(const struct fluo_ir_node *section, struct fluo_range range, uint8_t *truths,
                  formula_on_open *on_open, void *ctx) {
  const struct fluo_ir_node *nodes = section + range.first;
  for (uint32_t at = range.count; at--;) {
    uint32_t parent = nodes[at].parent - range.first;
    if (parent != at && truths[parent] != FLUO_UNKNOWN) truths[at] = FLUO_FALSE;
    if (truths[at] == FLUO_UNKNOWN && !is_branch(&nodes[at])) on_open(ctx, &nodes[at]);
  }
}
