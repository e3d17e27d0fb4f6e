/* Atoms, ready to be tested: each distinct one of a rule set once, however many rules ask it. */
#ifndef FLUO_ATOM_H
#define FLUO_ATOM_H
#include "ir.h"
#include "regex.h"
#include "ruleset.h"
#include "value.h"

struct atom {
  uint32_t field, op; /* enum fluo_field, enum fluo_op */
  const char *key;    /* of ATTRIBUTE and RESOURCE; lent from the IR */
  uint32_t key_len;
  uint32_t count;
  const struct datum *operands; /* of a status, what it means: "OK" is OK and UNSET */
  struct regex *regex;          /* of MATCHES */
};

/* Two more stand behind the IR's: that a span has an event, and that it has a link. */
struct atoms {
  struct atom *items;
  uint32_t count; /* both included */
  uint32_t has_event, has_link;
  uint32_t *of_ir; /* the atom that the i-th of the IR became */
  struct datum *operands;
};

/* The IR is checked and outlives the atoms. 0, FLUO_ENOMEM, or FLUO_EINVALID and why: a regular
 * expression does not compile. */
int atoms_init(struct atoms *a, const struct ir *ir, const struct ruleset_options *options,
               char why[IR_WHY_BYTES]);
void atoms_deinit(struct atoms *a);

/* Whether an atom holds of a value that is present. FLUO_UNKNOWN: a `matches` went beyond its
 * limit. */
enum fluo_truth atom_test(const struct atom *a, const struct datum *value,
                          struct regex_scratch *regex);

#endif
