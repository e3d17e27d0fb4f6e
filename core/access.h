/* How a pattern is reached: a set of atoms of which at least one must hold for the pattern to hold.
 * The index tests a pattern only where one of its set does, so the set is chosen to hold rarely. */
#ifndef FLUO_ACCESS_H
#define FLUO_ACCESS_H
#include <stdbool.h>

#include "atom.h"
#include "ir.h"

/* Where in the index an atom is looked for. */
enum access_class {
  ACCESS_EQUAL,  /* by hash of each operand */
  ACCESS_PREFIX, /* by the literal text at the start of whatever it matches */
  ACCESS_SUFFIX, /* … at the end */
  ACCESS_INNER,  /* … anywhere in it */
  ACCESS_RANGE,  /* as an interval */
  ACCESS_PRESENT /* tested whenever its key is there */
};

struct access {
  enum access_class kind;
  const uint8_t *text; /* the literal of PREFIX, SUFFIX, INNER; of EQUAL of a glob without stars */
  uint32_t len;
  double lo, hi; /* of RANGE, both ends in, never narrower than what the atom asks */
};

/* scratch: room for the operand's text; what `out` lends lies there or in the operand. */
void access_of(const struct atom *a, uint8_t *scratch, struct access *out);

struct access_scratch;
int access_scratch_new(uint32_t nodes_max, struct access_scratch **out);
void access_scratch_free(struct access_scratch *s);

/* The access set of a pattern's nodes into *set (room for as many as there are nodes): how many, or
 * 0: it has none and has to be tested on every span. costs[atom]: how rarely an atom holds. */
uint32_t access_choose(struct access_scratch *s, const struct ir *ir, const struct atoms *atoms,
                       const double *costs, struct fluo_range nodes, uint32_t *set);

/* How many nodes ask an atom, and how many atoms of its key are inner texts. */
struct access_users {
  uint32_t atom, inner;
};
/* A first estimate of what reaching a pattern by this atom costs a span, in tests of the pattern. */
double access_cost(const struct atom *a, const struct access *access,
                   const struct access_users *users);

#endif
