/* A sorted array. The only way to fail is to have no room for one more. */
#include "multiset.h"

#include <assert.h>
#include <string.h>

#include "heap.h"

void multiset_deinit(struct multiset *m) {
  heap_free(m->keys);
  *m = (struct multiset){0};
}

uint32_t multiset_below(const uint64_t *keys, uint32_t count, uint64_t key) {
  uint32_t lo = 0, hi = count;
  while (lo < hi) {
    uint32_t middle = lo + (hi - lo) / 2;
    if (keys[middle] < key)
      lo = middle + 1;
    else
      hi = middle;
  }
  return lo;
}

static int is_there(const struct multiset *m, uint32_t at, uint64_t key) {
  return at < m->count && m->keys[at] == key;
}

int multiset_add(struct multiset *m, uint64_t key) {
  int err = heap_grow((void **)&m->keys, &m->capacity, m->count, sizeof *m->keys);
  if (err) return err;
  uint32_t at = multiset_below(m->keys, m->count, key);
  m->different += !is_there(m, at, key);
  memmove(m->keys + at + 1, m->keys + at, (m->count - at) * sizeof *m->keys);
  m->keys[at] = key;
  m->count++;
  return 0;
}

int multiset_reserve(struct multiset *m, uint32_t n) {
  int err = 0;
  while (!err && m->capacity - m->count < n)
    err = heap_grow((void **)&m->keys, &m->capacity, m->capacity, sizeof *m->keys);
  return err;
}

void multiset_remove(struct multiset *m, uint64_t key) {
  uint32_t at = multiset_below(m->keys, m->count, key);
  assert(is_there(m, at, key));
  m->count--;
  memmove(m->keys + at, m->keys + at + 1, (m->count - at) * sizeof *m->keys);
  m->different -= !is_there(m, at, key);
}

/* IEEE 754 doubles order as their bits do, negative ones backwards and below all others. */
uint64_t multiset_of_number(double x) {
  const uint64_t sign = UINT64_C(1) << 63;
  uint64_t bits;
  if (x == 0) x = 0; /* -0 too */
  memcpy(&bits, &x, sizeof bits);
  return bits & sign ? ~bits : bits | sign;
}

double multiset_to_number(uint64_t key) {
  const uint64_t sign = UINT64_C(1) << 63;
  uint64_t bits = key & sign ? key & ~sign : ~key;
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
