/* A small multiset of 64-bit keys in order: which is the n-th, and how many different ones there are. A sorted array:
 * of a few thousand keys, moving half of it costs less than following pointers would. */
#ifndef FLUO_MULTISET_H
#define FLUO_MULTISET_H
#include <stdint.h>

/* In the caller's storage; all zero is an empty one. */
struct multiset {
  uint64_t *keys;                   /* owned; ascending */
  uint32_t count, capacity;
  uint32_t different;
};

void multiset_deinit(struct multiset *m);
/* 0 or FLUO_ENOMEM, and then it is as it was. */
int multiset_add(struct multiset *m, uint64_t key);
/* Room for n keys more, so that as many calls of multiset_add cannot fail. 0 or FLUO_ENOMEM. */
int multiset_reserve(struct multiset *m, uint32_t n);
/* One of that key, which is there. */
void multiset_remove(struct multiset *m, uint64_t key);

/* How many of these keys, which ascend, are below this one. */
uint32_t multiset_below(const uint64_t *keys, uint32_t count, uint64_t key);

/* Keys that are ordered as the numbers are (no NaN; -0 is 0), and back. */
uint64_t multiset_of_number(double x);
double   multiset_to_number(uint64_t key);

#endif
