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
  const uint8_t *text; /* the literal of PREFIX, SUFFIX, INNER; lent from the atom */
  uint32_t len;
  double lo, hi; /* of RANGE, both ends in, never narrower than what the atom asks */
};

/* The ways in which an atom can be looked for, any of which will do, into out: how many, one at
 * least. */
enum { ACCESSES_MAX = 3 };
uint32_t access_list(const struct atom *a, struct access out[ACCESSES_MAX]);

struct access_scratch;
int access_scratch_new(uint32_t nodes_max, struct access_scratch **out);
void access_scratch_free(struct access_scratch *s);

/* The access set of a pattern's nodes into *set (room for as many as there are nodes): how many, or
 * 0: it has none and has to be tested on every span. costs[atom]: how rarely an atom holds. */
uint32_t access_choose(struct access_scratch *s, const struct ir *ir, const struct atoms *atoms,
                       const double *costs, struct fluo_range nodes, uint32_t *set);

/* Of a pattern without a set: an atom that fails wherever the pattern holds, the one with the most
 * users; UINT32_MAX: none. */
uint32_t access_blocker(struct access_scratch *s, const struct ir *ir, const struct atoms *atoms,
                        const uint32_t *users, struct fluo_range nodes);

/* A first estimate of what reaching a pattern by this atom costs a span, in tests of the pattern.
 * users: how many nodes ask the atom, or another one with the same literal. walkers: how many atoms
 * of its key could be looked for as an INNER one. */
double access_cost(const struct atom *a, const struct access *access, uint32_t users,
                   uint32_t walkers);

#endif
