/* The sketch's story. A number x > 0 belongs to bin i, gamma^(i-1) < x <= gamma^i, with gamma = (1
 * + a) / (1 - a) for a relative error a; the bin's middle, 2 gamma^i / (gamma + 1), is within a of
 * each number in it. Negative numbers mirror that, zero has a bin of its own, and one key orders
 * them all, so that there is one sparse, sorted array of bins and a rank is found by walking it.
 *
 * Bounds: past SKETCH_BINS_MAX the lowest bins fall together into one (the paper's collapsing
 * store). Ways to fail: no memory for a bin, found out before anything is changed. */
#include "sketch.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "err.h"
#include "heap.h"

#define RELATIVE_ERROR 0.01
#define GAMMA          ((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))

/* Above every |i| of a double: ln(2^1074) / ln(GAMMA) is 37,224. */
enum { KEY_OFFSET = 40000, KEY_MAX = 2 * KEY_OFFSET };

/* A sum of many counts that were read stays a count. */
#define SKETCH_COUNT_MAX (UINT64_C(1) << 40)

int32_t sketch_key(double x) {
  if (x == 0) return 0;
  double i = ceil(log(fmin(fabs(x), DBL_MAX)) / log(GAMMA));
  int32_t key = (int32_t)i + KEY_OFFSET;
  return x < 0 ? -key : key;
}

double sketch_bin_value(const struct sketch_bin *bin) {
  if (bin->key == 0) return 0;
  int32_t i = (bin->key < 0 ? -bin->key : bin->key) - KEY_OFFSET;
  /* By its logarithm, so that the outermost bins do not overflow on the way. */
  double x = exp(i * log(GAMMA) + log(2 / (GAMMA + 1)));
  return bin->key < 0 ? -x : x;
}

int32_t sketch_key_upto(double x) {
  struct sketch_bin bin = {.key = sketch_key(x)};
  return sketch_bin_value(&bin) > x ? bin.key - 1 : bin.key;
}

void sketch_deinit(struct sketch *s) {
  heap_free(s->bins);
  *s = (struct sketch){0};
}

/* Where the key is or belongs. */
static uint32_t find(const struct sketch *s, int32_t key) {
  uint32_t lo = 0, hi = s->bins_count;
  while (lo < hi) {
    uint32_t middle = lo + (hi - lo) / 2;
    if (s->bins[middle].key < key)
      lo = middle + 1;
    else
      hi = middle;
  }
  return lo;
}

/* The two lowest bins become one. */
static void collapse(struct sketch *s) {
  s->bins[1].count += s->bins[0].count;
  s->bins_count--;
  memmove(s->bins, s->bins + 1, s->bins_count * sizeof *s->bins);
}

int sketch_add(struct sketch *s, int32_t key, uint64_t n) {
  uint32_t at = find(s, key);
  if (at == s->bins_count || s->bins[at].key != key) {
    int err = heap_grow((void **)&s->bins, &s->bins_capacity, s->bins_count, sizeof *s->bins);
    if (err) return err;
    memmove(s->bins + at + 1, s->bins + at, (s->bins_count - at) * sizeof *s->bins);
    s->bins[at] = (struct sketch_bin){.key = key};
    s->bins_count++;
  }
  s->bins[at].count += n;
  s->count += n;
  if (s->bins_count > SKETCH_BINS_MAX) collapse(s);
  return 0;
}

int sketch_reserve(struct sketch *s, uint32_t n) {
  uint32_t wanted = s->bins_count + n;
  if (wanted > SKETCH_BINS_MAX + 1) wanted = SKETCH_BINS_MAX + 1;
  if (wanted <= s->bins_capacity) return 0;
  if (n == 1)
    return heap_grow((void **)&s->bins, &s->bins_capacity, s->bins_count, sizeof *s->bins);
  void *bins = heap_realloc(s->bins, wanted * sizeof *s->bins);
  if (!bins) return FLUO_ENOMEM;
  s->bins = bins;
  s->bins_capacity = wanted;
  return 0;
}

int sketch_merge(struct sketch *s, const struct sketch *part) {
  int err = sketch_reserve(s, part->bins_count);
  for (uint32_t i = 0; !err && i < part->bins_count; i++)
    err = sketch_add(s, part->bins[i].key, part->bins[i].count);
  return err;
}

bool sketch_subtract(struct sketch *s, const struct sketch *part) {
  uint32_t left = 0;
  for (uint32_t i = 0; i < part->bins_count; i++) {
    uint32_t at = find(s, part->bins[i].key);
    if (at == s->bins_count || s->bins[at].key != part->bins[i].key || s->bins[at].count < part->bins[i].count) return false;
    s->bins[at].count -= part->bins[i].count;
  }
  for (uint32_t i = 0; i < s->bins_count; i++)
    if (s->bins[i].count) s->bins[left++] = s->bins[i];
  s->bins_count = left;
  s->count -= part->count;
  return true;
}

void sketch_clear(struct sketch *s) {
  s->bins_count = 0;
  s->count = 0;
}

size_t sketch_bytes(const struct sketch *s) {
  return heap_block(s->bins_capacity * sizeof *s->bins);
}

void sketch_write(const struct sketch *s, struct pack *p) {
  int32_t before = -KEY_MAX - 1;
  pack_uint(p, s->bins_count);
  for (uint32_t i = 0; i < s->bins_count; i++) {
    pack_uint(p, (uint64_t)(s->bins[i].key - before - 1));
    pack_uint(p, s->bins[i].count);
    before = s->bins[i].key;
  }
}

int sketch_read(struct sketch *s, struct unpack *u) {
  uint32_t bins = unpack_count(u, SKETCH_BINS_MAX);
  int64_t key = -KEY_MAX - 1;
  int err = sketch_reserve(s, bins);
  for (uint32_t i = 0; !err && i < bins; i++) {
    key += 1 + (int64_t)unpack_upto(u, 2 * KEY_MAX);
    uint64_t count = unpack_upto(u, SKETCH_COUNT_MAX);
    if (u->bad || key > KEY_MAX || !count) return FLUO_EMALFORMED;
    err = sketch_add(s, (int32_t)key, count);
  }
  return err ? err : u->bad ? FLUO_EMALFORMED : 0;
}
