/* A pattern is of the shape if each of its atoms asks for a field of it. Texts that such patterns ask for are looked up on
 * every span, whether an atom is reached by them or not: so their values get the ids that tell one shape from another. */
#include "index_shapes.h"

#include "err.h"
#include "heap.h"
#include "index_keys.h"

/* Fewer are tested as soon as their shape is found. */
enum { SHAPED_MIN = 32 };

/* As bits; 0: something else is asked for. */
static uint32_t fields_of(const struct index *x, struct fluo_range nodes) {
  const uint32_t possible = UINT32_C(1) << FLUO_FIELD_SERVICE | UINT32_C(1) << FLUO_FIELD_NAME |
                            UINT32_C(1) << FLUO_FIELD_KIND | UINT32_C(1) << FLUO_FIELD_STATUS;
  uint32_t fields = 0;
  for (uint32_t i = nodes.first; i < nodes.first + nodes.count; i++) {
    const struct fluo_ir_node *node = &x->ir->nodes[i];
    if (node->op == FLUO_NODE_FUNCTION || node->op == FLUO_NODE_EVENT || node->op == FLUO_NODE_LINK) return 0;
    if (node->op != FLUO_NODE_ATOM) continue;
    uint32_t key = x->atom_keys[x->atoms->of_ir[node->arg]];
    if (key >= 32 || !(possible >> key & 1)) return 0;
    fields |= UINT32_C(1) << key;
  }
  return fields;
}

static void use(struct index *x, uint32_t fields) {
  x->shape = fields & (UINT32_C(1) << FLUO_FIELD_SERVICE | UINT32_C(1) << FLUO_FIELD_NAME);
  x->fields |= x->shape;
  for (uint32_t key = 0; key < 32; key++)
    if (x->shape >> key & 1) x->keys[key].probed = true;
}

int index_shapes_add(struct index *x) {
  uint32_t patterns = x->ir->header->patterns, fields = 0, count = 0;
  x->shaped = heap_zalloc(patterns);
  if (!x->shaped) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < patterns; i++) {
    uint32_t asked = index_is_live(x->ir, i) ? fields_of(x, x->ir->patterns[i].nodes) : 0;
    x->shaped[i] = asked != 0;
    count += asked != 0;
    fields |= asked;
  }
  x->shapes = count >= SHAPED_MIN;
  if (x->shapes) use(x, fields);
  return 0;
}
