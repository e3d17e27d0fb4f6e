/* Values as they are compared: rules/README.md, Patterns. What is public of it is declared in field.h. */
#ifndef FLUO_VALUE_H
#define FLUO_VALUE_H
#include <stdbool.h>

#include "field.h"

/* A value, and beside it what it is as a number (type NONE: it is none), so that a text is read as
 * a number once however many operands it meets. */
struct datum {
  struct fluo_value value;
  struct fluo_value number;
};

void datum_init(struct datum *d, const struct fluo_value *value);
/* The same of one whose value is there already. */
void datum_number(struct datum *d);
bool datum_equal(const struct datum *a, const struct datum *b);
/* -1, 0, 1: exact, also int against double beyond 2^53; 2: no order (different types, not numeric). */
int datum_compare(const struct datum *a, const struct datum *b);

/* n bytes of an id as lower-case hex in scratch, which *out then lends. n is at most 16. */
void value_hex(const uint8_t *id, uint32_t n, char scratch[32], struct fluo_value *out);

/* Elements of an array value, one a call: *at starts at 0. false: no more. */
bool value_element(const struct fluo_value *array, uint32_t *at, struct fluo_value *out);

#endif
