/* What the parts of the check share: ir.c (layout, rules, gates, templates), ir_pattern.c (patterns,
 * nodes, atoms, values) and ir_across.c (windows, sequences, incidents). */
#ifndef FLUO_CORE_IR_CHECK_H
#define FLUO_CORE_IR_CHECK_H
#include <stdbool.h>

#include "ir.h"

struct ir_check {
  const struct ir *ir;
  char *why; /* IR_WHY_BYTES */
};

/* Notes what is wrong with element `index` of a section; always false. */
bool ir_wrong(const struct ir_check *c, const char *section, uint32_t index, const char *what);
bool ir_text_fits(const struct ir_check *c, struct fluo_text t);
bool ir_range_fits(struct fluo_range range, uint32_t count);

/* Each: whether the section is sound; if not, why. */
bool ir_values_check(const struct ir_check *c);
bool ir_atoms_check(const struct ir_check *c);
bool ir_patterns_check(const struct ir_check *c);
bool ir_across_check(const struct ir_check *c);
bool ir_incidents_check(const struct ir_check *c);
/* Whether these patterns are the rule's own, and of spans. */
bool ir_claim_check(const struct ir_check *c, uint32_t rule, struct fluo_range patterns);

#endif
