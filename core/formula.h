/* Boolean formulas in postorder, in Kleene's logic: false wins an AND, true wins an OR, else
 * unknown. */
#ifndef FLUO_FORMULA_H
#define FLUO_FORMULA_H
#include "fluo.h"

typedef enum fluo_truth formula_on_leaf(void *ctx, const struct fluo_ir_node *leaf);

/* The truth of the formula of nodes `range` (checked by ir_check), asking on_leaf for that of each
 * leaf: in a plain conjunction until one is false, else of every leaf. truths takes each node's
 * (room for as many as the range has), all of them where the result is unknown. No nodes: true. */
enum fluo_truth formula_test(const struct fluo_ir_node *nodes, struct fluo_range range,
                             uint8_t *truths, formula_on_leaf *on_leaf, void *ctx);

/* After a formula_test that came to unknown, with its truths (which are spent then): calls on_open
 * for every leaf that still decides, itself unknown and under nodes that all are. */
typedef void formula_on_open(void *ctx, const struct fluo_ir_node *leaf);
void formula_open(const struct fluo_ir_node *nodes, struct fluo_range range, uint8_t *truths,
                  formula_on_open *on_open, void *ctx);

#endif
