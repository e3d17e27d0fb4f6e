/* Choosing an access set. In a conjunction one operand's set will do, the cheapest; a disjunction
 * needs those of all its operands; a negation turns one into the other. A negated atom has none: it
 * holds where its key is missing. Nothing here decides a match, only what is worth testing, so a
 * bad estimate costs time and never an answer. */
#include "access.h"

#include <math.h>
#include <string.h>

#include "err.h"
#include "heap.h"

/* ---- one atom ------------------------------------------------------------------------------ */

static double as_double(const struct fluo_value *number) {
  return number->type == FLUO_TYPE_INT ? (double)number->integer : number->number;
}

/* Rounding to a double keeps order, so what lies in the interval still does after it. */
static void range_of(const struct atom *a, struct access *out) {
  const struct fluo_value *first = &a->operands[0].number;
  const struct fluo_value *last = &a->operands[a->op == FLUO_OP_BETWEEN].number;
  if (first->type == FLUO_TYPE_NONE || last->type == FLUO_TYPE_NONE) return; /* never holds */
  bool upper = a->op == FLUO_OP_LT || a->op == FLUO_OP_LE;
  out->kind = ACCESS_RANGE;
  out->lo = upper ? -INFINITY : as_double(first);
  out->hi = a->op == FLUO_OP_BETWEEN || upper ? as_double(last) : INFINITY;
}

/* A list of accesses that is being written. */
struct list {
  struct access *items;
  uint32_t count;
};

static void add_literal(struct list *list, enum access_class kind, const uint8_t *text, size_t n) {
  if (n == 0) return;
  list->items[list->count++] = (struct access){.kind = kind, .text = text, .len = (uint32_t)n};
}

/* What stands before the first star, behind the last, and the longest run between two. */
static void add_glob(struct list *list, const struct fluo_value *glob) {
  const uint8_t *p = glob->text, *end = p + glob->len, *best = p;
  size_t longest = 0;
  const uint8_t *first = glob->len ? memchr(p, '*', glob->len) : NULL, *last = first;
  if (!first) { /* an equality, though of texts alone */
    list->items[list->count++] = (struct access){.kind = ACCESS_EQUAL};
    return;
  }
  for (const uint8_t *next; (next = memchr(last + 1, '*', (size_t)(end - last - 1))); last = next) {
    if ((size_t)(next - last - 1) <= longest) continue;
    best = last + 1;
    longest = (size_t)(next - best);
  }
  add_literal(list, ACCESS_PREFIX, p, (size_t)(first - p));
  add_literal(list, ACCESS_SUFFIX, last + 1, (size_t)(end - last - 1));
  add_literal(list, ACCESS_INNER, best, longest);
}

static void add_regex(struct list *list, const struct atom *a) {
  struct regex_literals must = regex_literals(a->regex);
  add_literal(list, ACCESS_PREFIX, must.prefix, must.prefix_len);
  add_literal(list, ACCESS_INNER, must.inner, must.inner_len);
}

uint32_t access_list(const struct atom *a, struct access out[ACCESSES_MAX]) {
  struct list list = {.items = out};
  const struct fluo_value *operand = a->count ? &a->operands->value : NULL;
  out[0] = (struct access){.kind = ACCESS_PRESENT};
  switch (a->op) {
  case FLUO_OP_EQ: out[0].kind = ACCESS_EQUAL; break;
  case FLUO_OP_GT:
  case FLUO_OP_GE:
  case FLUO_OP_LT:
  case FLUO_OP_LE:
  case FLUO_OP_BETWEEN: range_of(a, out); break;
  case FLUO_OP_CONTAINS: add_literal(&list, ACCESS_INNER, operand->text, operand->len); break;
  case FLUO_OP_PREFIX: add_literal(&list, ACCESS_PREFIX, operand->text, operand->len); break;
  case FLUO_OP_SUFFIX: add_literal(&list, ACCESS_SUFFIX, operand->text, operand->len); break;
  case FLUO_OP_GLOB: add_glob(&list, operand); break;
  case FLUO_OP_MATCHES: add_regex(&list, a); break;
  default: break;
  }
  return list.count ? list.count : 1;
}

/* Fields of few values say little by being equal to one of them. */
static double equal_cost(const struct atom *a) {
  switch (a->field) {
  case FLUO_FIELD_STATUS:
  case FLUO_FIELD_KIND:
  case FLUO_FIELD_ROOT: return 0.2;
  case FLUO_FIELD_SERVICE: return 0.05 * a->count;
  default: break;
  }
  double cost = 0;
  for (uint32_t i = 0; i < a->count; i++)
    cost += a->operands[i].value.type == FLUO_TYPE_BOOL ? 0.3 : 0.01;
  return cost;
}

static double affix_cost(uint32_t len) {
  return len < 4 ? 0.1 : len < 8 ? 0.05 : 0.02;
}

/* How often it holds, what many patterns ask being likely to hold often (a service, a kind); for an
 * inner text also its share in walking the value, which costs as much as testing some patterns and
 * is done once for all of them. */
double access_cost(const struct atom *a, const struct access *access, uint32_t users,
                   uint32_t walkers) {
  enum { WALK = 5 };
  double cost = 1;
  switch (access->kind) {
  case ACCESS_EQUAL: cost = equal_cost(a); break;
  case ACCESS_PREFIX:
  case ACCESS_SUFFIX: cost = affix_cost(access->len); break;
  case ACCESS_INNER: cost = access->len < 4 ? 0.6 : affix_cost(access->len) / 2; break;
  case ACCESS_RANGE: cost = isinf(access->lo) || isinf(access->hi) ? 0.3 : 0.1; break;
  case ACCESS_PRESENT:
    /* A key that every span has tells nothing; one of events and links still does. */
    cost = a->field == FLUO_FIELD_ATTRIBUTE || a->field == FLUO_FIELD_RESOURCE ? 0.6 : 1;
    break;
  }
  cost *= 1 + log2(users ? users : 1) / 4;
  return access->kind == ACCESS_INNER ? cost + (double)WALK / (walkers ? walkers : 1) : cost;
}

/* ---- a pattern ----------------------------------------------------------------------------- */

/* Of a node asked plainly and of one asked negated: what its cheapest set costs (infinite: it has
 * none), and the child whose set that is where one child's will do. */
struct option {
  double cost;
  uint32_t child;
};
struct plan {
  struct option ask[2];
  bool taken, negated;
};

struct access_scratch {
  struct plan *plans;
};

int access_scratch_new(uint32_t nodes_max, struct access_scratch **out) {
  struct access_scratch *s = heap_zalloc(sizeof *s);
  if (!s) return FLUO_ENOMEM;
  s->plans = heap_alloc(nodes_max * sizeof *s->plans);
  if (!s->plans) {
    heap_free(s);
    return FLUO_ENOMEM;
  }
  *out = s;
  return 0;
}

void access_scratch_free(struct access_scratch *s) {
  if (!s) return;
  heap_free(s->plans);
  heap_free(s);
}

/* Whether all operands' sets are needed: an OR's, or a negated AND's. */
static bool needs_all(uint32_t op, bool negated) {
  return (op == FLUO_NODE_OR) != negated;
}

static void plan_init(struct plan *p, const struct fluo_ir_node *node, double atom_cost) {
  p->taken = p->negated = false;
  for (int negated = 0; negated < 2; negated++) {
    bool leaf = node->op < FLUO_NODE_AND;
    bool sum = !leaf && needs_all(node->op, negated) && node->op != FLUO_NODE_NOT;
    p->ask[negated] = (struct option){.cost = leaf && !negated ? atom_cost : sum ? 0 : INFINITY};
  }
}

/* Adds child `at` to what its parent's plan costs. */
static void plan_add(struct plan *parent, uint32_t op, const struct plan *child, uint32_t at) {
  for (int negated = 0; negated < 2; negated++) {
    struct option *o = &parent->ask[negated];
    double cost = child->ask[op == FLUO_NODE_NOT ? !negated : negated].cost;
    if (op != FLUO_NODE_NOT && needs_all(op, negated))
      o->cost += cost;
    else if (cost < o->cost)
      *o = (struct option){.cost = cost, .child = at};
  }
}

static uint32_t node_atom(const struct atoms *atoms, const struct fluo_ir_node *node) {
  switch (node->op) {
  case FLUO_NODE_ATOM: return atoms->of_ir[node->arg];
  case FLUO_NODE_EVENT: return atoms->has_event;
  case FLUO_NODE_LINK: return atoms->has_link;
  default: return UINT32_MAX;
  }
}

/* Whether a node's set is part of the root's; its parent's plan is settled already. */
static void plan_take(struct plan *plans, const struct fluo_ir_node *nodes, uint32_t first,
                      uint32_t at) {
  uint32_t parent = nodes[at].parent;
  const struct plan *above = &plans[parent - first];
  struct plan *p = &plans[at - first];
  if (parent == at) {
    p->taken = p->ask[0].cost < INFINITY;
    return;
  }
  uint32_t op = nodes[parent].op;
  bool all = op != FLUO_NODE_NOT && needs_all(op, above->negated);
  p->taken = above->taken && (all || above->ask[above->negated].child == at);
  p->negated = above->negated != (op == FLUO_NODE_NOT);
}

uint32_t access_choose(struct access_scratch *s, const struct ir *ir, const struct atoms *atoms,
                       const double *costs, struct fluo_range range, uint32_t *set) {
  const struct fluo_ir_node *nodes = ir->nodes;
  uint32_t first = range.first, end = first + range.count, count = 0;
  for (uint32_t at = first; at < end; at++) {
    uint32_t atom = node_atom(atoms, &nodes[at]);
    plan_init(&s->plans[at - first], &nodes[at], atom == UINT32_MAX ? INFINITY : costs[atom]);
  }
  for (uint32_t at = first; at < end; at++)
    if (nodes[at].parent != at)
      plan_add(&s->plans[nodes[at].parent - first], nodes[nodes[at].parent].op,
               &s->plans[at - first], at);
  for (uint32_t at = end; at-- > first;) {
    plan_take(s->plans, nodes, first, at);
    if (s->plans[at - first].taken && nodes[at].op < FLUO_NODE_AND)
      set[count++] = node_atom(atoms, &nodes[at]);
  }
  return count;
}

/* Whether the pattern cannot hold where this node (negated: its negation) does not. Its parent's plan is
 * settled already. */
static void block_take(struct plan *plans, const struct fluo_ir_node *nodes, uint32_t first,
                       uint32_t at) {
  uint32_t parent = nodes[at].parent, op = nodes[parent].op;
  const struct plan *above = &plans[parent - first];
  struct plan *p = &plans[at - first];
  p->taken = true;
  p->negated = false;
  if (parent == at) return;
  p->taken = above->taken && (op == FLUO_NODE_NOT || !needs_all(op, above->negated));
  p->negated = above->negated != (op == FLUO_NODE_NOT);
}

uint32_t access_blocker(struct access_scratch *s, const struct ir *ir, const struct atoms *atoms,
                        const uint32_t *users, struct fluo_range range) {
  uint32_t best = UINT32_MAX;
  for (uint32_t at = range.first + range.count; at-- > range.first;) {
    const struct plan *p = &s->plans[at - range.first];
    block_take(s->plans, ir->nodes, range.first, at);
    if (ir->nodes[at].op != FLUO_NODE_ATOM || !p->taken || !p->negated) continue;
    uint32_t atom = atoms->of_ir[ir->nodes[at].arg];
    if (best == UINT32_MAX || users[atom] > users[best]) best = atom;
  }
  return best;
}
