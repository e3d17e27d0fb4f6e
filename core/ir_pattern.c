/* The second half of the check: what patterns are made of. */
#include <math.h>
#include <string.h>

#include "ir_check.h"

/* ---- values and atoms ---------------------------------------------------------------------- */

bool ir_values_check(const struct ir_check *c) {
  for (uint32_t i = 0; i < c->ir->header->values; i++) {
    const struct fluo_ir_value *v = &c->ir->values[i];
    switch (v->type) {
    case FLUO_TYPE_STRING:
      if (!ir_text_fits(c, v->text)) return ir_wrong(c, "values", i, "text");
      break;
    case FLUO_TYPE_BOOL:
      if (v->integer != 0 && v->integer != 1) return ir_wrong(c, "values", i, "bool");
      break;
    case FLUO_TYPE_INT: break;
    case FLUO_TYPE_DOUBLE:
      if (isnan(v->number)) return ir_wrong(c, "values", i, "not a number");
      break;
    default: return ir_wrong(c, "values", i, "type");
    }
  }
  return true;
}

static bool count_fits(uint32_t op, uint32_t count) {
  switch (op) {
  case FLUO_OP_EQ:
  case FLUO_OP_NE: return count >= 1;
  case FLUO_OP_BETWEEN: return count == 2;
  case FLUO_OP_EXISTS: return count == 0;
  default: return count == 1;
  }
}

static bool is_text_op(uint32_t op) {
  return op >= FLUO_OP_CONTAINS && op <= FLUO_OP_MATCHES;
}

static bool is_one_of(const struct ir_check *c, const struct fluo_ir_value *v,
                      const char *const *names) {
  if (v->type != FLUO_TYPE_STRING) return false;
  for (; *names; names++)
    if (strlen(*names) == v->text.len && !memcmp(*names, c->ir->text + v->text.off, v->text.len))
      return true;
  return false;
}

static const char *operand_fault(const struct ir_check *c, const struct fluo_ir_atom *atom,
                                 const struct fluo_ir_value *v) {
  static const char *const statuses[] = {"UNSET", "OK", "ERROR", "EXPLICIT_OK", NULL};
  static const char *const kinds[] = {"UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT",
                                      "PRODUCER",    "CONSUMER", NULL};
  if (is_text_op(atom->op) && v->type != FLUO_TYPE_STRING) return "operand is no text";
  bool equality = atom->op == FLUO_OP_EQ || atom->op == FLUO_OP_NE;
  switch (atom->field) {
  case FLUO_FIELD_STATUS: return is_one_of(c, v, statuses) ? NULL : "operand is no status";
  case FLUO_FIELD_KIND: return !equality || is_one_of(c, v, kinds) ? NULL : "operand is no kind";
  case FLUO_FIELD_ROOT: return v->type == FLUO_TYPE_BOOL ? NULL : "operand is no bool";
  case FLUO_FIELD_DURATION:
  case FLUO_FIELD_START:
  case FLUO_FIELD_END: return v->type == FLUO_TYPE_BOOL ? "operand is no number" : NULL;
  default: return NULL;
  }
}

static bool op_fits(uint32_t field, uint32_t op) {
  if (op == FLUO_OP_EXISTS || op == FLUO_OP_EQ || op == FLUO_OP_NE) return true;
  bool keyed = field == FLUO_FIELD_ATTRIBUTE || field == FLUO_FIELD_RESOURCE;
  if (op == FLUO_OP_STRICT) return keyed;
  switch (field) {
  case FLUO_FIELD_STATUS:
  case FLUO_FIELD_ROOT: return false;
  case FLUO_FIELD_DURATION:
  case FLUO_FIELD_START:
  case FLUO_FIELD_END: return !is_text_op(op);
  default: return true;
  }
}

static const char *atom_fault(const struct ir_check *c, const struct fluo_ir_atom *atom) {
  if (atom->field > FLUO_FIELD_EVENT_NAME) return "field";
  if (atom->op > FLUO_OP_STRICT) return "op";
  if (!op_fits(atom->field, atom->op)) return "op does not fit the field";
  if (!ir_text_fits(c, atom->key)) return "key";
  if (!ir_range_fits(atom->values, c->ir->header->values)) return "value range";
  if (!count_fits(atom->op, atom->values.count)) return "number of operands";
  for (uint32_t i = 0; i < atom->values.count; i++) {
    const char *fault = operand_fault(c, atom, &c->ir->values[atom->values.first + i]);
    if (fault) return fault;
  }
  return NULL;
}

bool ir_atoms_check(const struct ir_check *c) {
  uint64_t operands = 0;
  for (uint32_t i = 0; i < c->ir->header->atoms; i++) {
    operands += c->ir->atoms[i].values.count;
    if (operands > IR_OPERANDS_MAX) return ir_wrong(c, "atoms", i, "too many operands");
    const char *fault = atom_fault(c, &c->ir->atoms[i]);
    if (fault) return ir_wrong(c, "atoms", i, fault);
  }
  return true;
}

/* ---- nodes --------------------------------------------------------------------------------- */

static bool field_fits(uint32_t object, uint32_t field) {
  if (field == FLUO_FIELD_ATTRIBUTE) return true;
  switch (object) {
  case FLUO_OBJECT_SPAN: return field < FLUO_FIELD_PARENT_SERVICE;
  case FLUO_OBJECT_EVENT: return field == FLUO_FIELD_EVENT_NAME;
  default:
    return field == FLUO_FIELD_TRACE_ID || field == FLUO_FIELD_SPAN_ID ||
           field == FLUO_FIELD_TRACE_STATE;
  }
}

static const char *nested_fault(const struct ir_check *c, uint32_t index, uint32_t arg,
                                uint32_t object) {
  if (arg >= index) return "pattern is no lower one";
  if (c->ir->patterns[arg].object != object) return "pattern of another object";
  if (c->ir->patterns[arg].rule != c->ir->patterns[index].rule) return "pattern of another rule";
  return NULL;
}

static const char *function_fault(const struct ir_check *c, const struct fluo_ir_pattern *pattern,
                                  uint32_t arg) {
  if (arg >= c->ir->header->functions) return "function";
  if (c->ir->functions[arg].rule != pattern->rule) return "function of another rule";
  return c->ir->functions[arg].object == pattern->object ? NULL : "function of another object";
}

static const char *leaf_fault(const struct ir_check *c, uint32_t index,
                              const struct fluo_ir_node *node) {
  const struct fluo_ir_pattern *pattern = &c->ir->patterns[index];
  bool nests = node->op == FLUO_NODE_EVENT || node->op == FLUO_NODE_LINK;
  if (nests && pattern->object != FLUO_OBJECT_SPAN) return "op within an event or link";
  switch (node->op) {
  case FLUO_NODE_ATOM:
    if (node->arg >= c->ir->header->atoms) return "atom";
    return field_fits(pattern->object, c->ir->atoms[node->arg].field)
               ? NULL
               : "field does not fit the object";
  case FLUO_NODE_FUNCTION: return function_fault(c, pattern, node->arg);
  case FLUO_NODE_EVENT: return nested_fault(c, index, node->arg, FLUO_OBJECT_EVENT);
  default: return nested_fault(c, index, node->arg, FLUO_OBJECT_LINK);
  }
}

static bool is_branch(uint32_t op) {
  return op == FLUO_NODE_AND || op == FLUO_NODE_OR || op == FLUO_NODE_NOT;
}

/* Read from the root backwards, a postorder is a preorder: a node's parent is the node read before
 * it or one of that one's ancestors, and what is climbed past is never a parent again. So this is
 * linear, and the depth is known all along. */
static const char *order_fault(const struct fluo_ir_node *nodes, uint32_t root, uint32_t at,
                               uint32_t *depth) {
  uint32_t parent = nodes[at].parent, from = at + 1;
  if (parent <= at || parent > root) return "parent";
  while (from != parent) {
    if (from == root) return "not in postorder";
    from = nodes[from].parent;
    --*depth;
  }
  if (!is_branch(nodes[parent].op)) return "child of a leaf";
  return ++*depth > IR_DEPTH_MAX ? "nested too deep" : NULL;
}

/* In postorder a branch has a child exactly if the node before it is one. A NOT has no second: that
 * would be a node, other than the one before it, that names it as parent. */
static const char *arity_fault(const struct fluo_ir_node *nodes, uint32_t first, uint32_t at) {
  if (is_branch(nodes[at].op) && (at == first || nodes[at - 1].parent != at))
    return "without operands";
  uint32_t parent = nodes[at].parent;
  if (parent != at && nodes[parent].op == FLUO_NODE_NOT && parent != at + 1)
    return "not of two operands";
  return NULL;
}

static const char *node_fault(const struct ir_check *c, uint32_t index, uint32_t at,
                              uint32_t *depth) {
  struct fluo_range range = c->ir->patterns[index].nodes;
  const struct fluo_ir_node *nodes = c->ir->nodes, *node = &nodes[at];
  uint32_t root = range.first + range.count - 1;
  if (node->op > FLUO_NODE_NOT) return "op";
  const char *fault = is_branch(node->op) ? NULL : leaf_fault(c, index, node);
  if (!fault && at == root && node->parent != root) fault = "the root's parent";
  if (!fault && at != root) fault = order_fault(nodes, root, at, depth);
  return fault ? fault : arity_fault(nodes, range.first, at);
}

static bool nodes_check(const struct ir_check *c, uint32_t index) {
  struct fluo_range range = c->ir->patterns[index].nodes;
  uint32_t depth = 1;
  for (uint32_t at = range.first + range.count; at-- > range.first;) {
    const char *fault = node_fault(c, index, at, &depth);
    if (fault) return ir_wrong(c, "nodes", at, fault);
  }
  return true;
}

/* ---- patterns ------------------------------------------------------------------------------ */

static bool is_within(struct fluo_range range, uint32_t index) {
  return index >= range.first && index - range.first < range.count;
}

/* It stands among its rule's, or resolves the rule's incidents: both were checked. */
static bool is_claimed(const struct ir_check *c, uint32_t index) {
  const struct fluo_ir_rule *rule = &c->ir->rules[c->ir->patterns[index].rule];
  return is_within(rule->patterns, index) ||
         (rule->incident && is_within(c->ir->incidents[rule->incident - 1].resolve, index));
}

static const char *pattern_fault(const struct ir_check *c, uint32_t index) {
  const struct fluo_ir_pattern *pattern = &c->ir->patterns[index];
  if (pattern->object > FLUO_OBJECT_LINK) return "object";
  if (!ir_text_fits(c, pattern->label)) return "label";
  if (pattern->rule >= c->ir->header->rules) return "rule";
  if (!ir_range_fits(pattern->nodes, c->ir->header->nodes)) return "node range";
  if (pattern->object == FLUO_OBJECT_SPAN && !is_claimed(c, index)) return "not among its rule's";
  return NULL;
}

bool ir_patterns_check(const struct ir_check *c) {
  uint64_t nodes = 0;
  for (uint32_t i = 0; i < c->ir->header->patterns; i++) {
    const char *fault = pattern_fault(c, i);
    if (fault) return ir_wrong(c, "patterns", i, fault);
    nodes += c->ir->patterns[i].nodes.count;
    if (nodes > c->ir->header->nodes) return ir_wrong(c, "patterns", i, "nodes of another pattern");
    if (!nodes_check(c, i)) return false;
  }
  return true;
}
