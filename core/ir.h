/* The intermediate form, checked: after ir_check every index, range, text and operand in it may be
 * followed blindly. It comes from the process that ran the user's rule files, so nothing is
 * believed. */
#ifndef FLUO_CORE_IR_H
#define FLUO_CORE_IR_H
#include <stddef.h>
#include <stdint.h>

#include "fluo.h"

/* The sections, lent from the bytes they lie in. */
struct ir {
  const struct fluo_ir *header;
  const struct fluo_ir_rule *rules;
  const struct fluo_ir_pattern *patterns;
  const struct fluo_ir_node *nodes;
  const struct fluo_ir_atom *atoms;
  const struct fluo_ir_value *values;
  const struct fluo_ir_gate *gates;
  const struct fluo_ir_function *functions;
  const struct fluo_ir_part *parts;
  const struct fluo_ir_pair *pairs;
  const struct fluo_ir_window *windows;
  const struct fluo_ir_sequence *sequences;
  const struct fluo_ir_incident *incidents;
  const char *text;
};

enum {
  IR_WHY_BYTES = 128,
  IR_DEPTH_MAX = 256,       /* of a pattern's nodes */
  IR_GATES_MAX = 8192,      /* of a rule; a condition has at most 5,000 terms */
  IR_BY_MAX = 16,           /* fields of a `by` */
  IR_STEPS_MAX = 16,        /* of a sequence */
  IR_M_OF_N_MAX = 1000,     /* minutes that m_of_n looks back */
  IR_OPERANDS_MAX = 1 << 24 /* of all atoms together: ranges may share values */
};

/* bytes lie 8-aligned, stay as they are and outlive *out. 0, or FLUO_EINVALID and in `why` the
 * section and index at fault. */
int ir_check(const void *bytes, size_t n, struct ir *out, char why[IR_WHY_BYTES]);

#endif
