/* How many different things there were, in 2 KiB: HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, 2007) with
 * the estimator of Ertl ("New cardinality estimation algorithms for HyperLogLog sketches", 2017), which needs no
 * tables of corrections. Standard error 1.04 / sqrt(2048) = 2.3 %. Two of parts merge into one of the whole. */
#ifndef FLUO_DISTINCT_H
#define FLUO_DISTINCT_H
#include <stdint.h>

#include "pack.h"

enum { DISTINCT_BITS = 11, DISTINCT_REGISTERS = 1 << DISTINCT_BITS };

/* In the caller's storage; all zero is an empty one. */
struct distinct { uint8_t registers[DISTINCT_REGISTERS]; };

/* hash: 64 well-mixed bits of the thing; the same thing, the same hash. */
void distinct_add(struct distinct *d, uint64_t hash);
void distinct_merge(struct distinct *d, const struct distinct *part);
/* The estimate; 0 for an empty one. */
double distinct_count(const struct distinct *d);

void distinct_write(const struct distinct *d, struct pack *p);
/* 0 or FLUO_EMALFORMED. */
int distinct_read(struct distinct *d, struct unpack *u);

#endif
