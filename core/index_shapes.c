/* A pattern is of the shape if each of its atoms asks for a field of it. */
#include "index_shapes.h"

#include "err.h"
#include "heap.h"
#include "index_keys.h"

static bool is_shaped(const struct index *x, struct fluo_range nodes) {
  for (uint32_t i = nodes.first; i < nodes.first + nodes.count; i++) {
    const struct fluo_ir_node *node = &x->ir->nodes[i];
    if (node->op == FLUO_NODE_FUNCTION || node->op == FLUO_NODE_EVENT || node->op == FLUO_NODE_LINK) return false;
    if (node->op == FLUO_NODE_ATOM && !index_is_of_shape(x->atom_keys[x->atoms->of_ir[node->arg]])) return false;
  }
  return true;
}

int index_shapes_add(struct index *x) {
  uint32_t patterns = x->ir->header->patterns;
  x->shaped = heap_zalloc(patterns);
  if (!x->shaped) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < patterns; i++) x->shaped[i] = index_is_live(x->ir, i) && is_shaped(x, x->ir->patterns[i].nodes);
  return 0;
}
