/* A sketch of many numbers that answers quantiles within 1 % of the value: DDSketch (Masson, Rim and Lee,
 * "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019).
 * Sketches of parts merge into the sketch of the whole. */
#ifndef FLUO_SKETCH_H
#define FLUO_SKETCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pack.h"

enum { SKETCH_BINS_MAX = 2048 };    /* 17 decades of one sign; past it the lowest bins fall together */

struct sketch_bin {
  int32_t  key;                     /* orders bins as their numbers are ordered */
  uint64_t count;
};

/* In the caller's storage; all zero is an empty one. */
struct sketch {
  struct sketch_bin *bins;          /* owned; ascending by key */
  uint32_t bins_count, bins_capacity;
  uint64_t count;
};

void sketch_deinit(struct sketch *s);
/* The key of the bin that the number x is in (no NaN; an infinite one counts as the largest that is finite). */
int32_t sketch_key(double x);
/* n numbers, 1 or more, of one bin. 0 or FLUO_ENOMEM, and then it is as it was. */
int sketch_add(struct sketch *s, int32_t key, uint64_t n);
/* The greatest key whose bin's value is x or less. */
int32_t sketch_key_upto(double x);
/* Room for n bins more, so that as many calls of sketch_add cannot fail. 0 or FLUO_ENOMEM. */
int sketch_reserve(struct sketch *s, uint32_t n);
/* All of `part` into s: 0 or FLUO_ENOMEM, and then s is as it was. */
int sketch_merge(struct sketch *s, const struct sketch *part);
/* All of `part`, which was added before, out of s again. false: bins of it have fallen together, and s is good for nothing
 * but sketch_clear. */
bool sketch_subtract(struct sketch *s, const struct sketch *part);
/* Empties it and keeps its memory. */
void sketch_clear(struct sketch *s);

/* For walking the numbers in order, bins standing for theirs: what all numbers of a bin are taken as, within 1 % of each. */
double sketch_bin_value(const struct sketch_bin *bin);
size_t sketch_bytes(const struct sketch *s);

void sketch_write(const struct sketch *s, struct pack *p);
/* Into an empty one. 0, FLUO_EMALFORMED or FLUO_ENOMEM. */
int sketch_read(struct sketch *s, struct unpack *u);

#endif
