/* Writing the index out: the entries are sorted by where they are looked for, and what is looked through in order (prefixes,
 * intervals, those that are always tried) stands in that order; equalities and grams go into buckets by their hash.
 *
 * Without memory what was made is the index's, and goes with it. */
#include "index_entry.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "heap.h"

static int compare_texts(const struct index_entry *a, const struct index_entry *b) {
  uint32_t n = a->len < b->len ? a->len : b->len;
  int order = n ? memcmp(a->text, b->text, n) : 0;
  return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare_entries(const void *left, const void *right) {
  const struct index_entry *a = left, *b = right;
  if (a->place != b->place) return a->place < b->place ? -1 : 1;
  if (a->place != PLACE_HASH && a->key != b->key) return a->key < b->key ? -1 : 1;
  int order = 0;
  switch (a->place) {
  case PLACE_PREFIX:
  case PLACE_SUFFIX: order = compare_texts(a, b); break;
  case PLACE_RANGE: order = (a->lo > b->lo) - (a->lo < b->lo); break;
  case PLACE_HASH: order = (a->hash > b->hash) - (a->hash < b->hash); break;
  default: break;
  }
  if (order) return order;
  return a->atom != b->atom ? (a->atom < b->atom ? -1 : 1)
                            : (a->operand > b->operand) - (a->operand < b->operand);
}

static struct fluo_range add_ref(struct index *x, const struct index_entry *e) {
  x->refs[x->refs_count] = (struct index_ref){e->atom, e->operand};
  return (struct fluo_range){x->refs_count++, 1};
}

/* Extends `range`, or starts it at `at`. */
static void range_add(struct fluo_range *range, uint32_t at) {
  if (range->count++ == 0) range->first = at;
}

static void write_hashed(struct index *x, const struct index_entry *e) {
  uint32_t at = (uint32_t)(e->hash >> 32) & x->bucket_mask;
  while (x->buckets[at].refs.count && x->buckets[at].hash != e->hash)
    at = (at + 1) & x->bucket_mask;
  x->buckets[at].hash = e->hash;
  range_add(&x->buckets[at].refs, add_ref(x, e).first);
}

/* The affixes of a key come sorted, so the one before this, or one above that one, is the longest
 * that this one starts with. */
static void write_affix(struct index *x, struct fluo_range *range, const struct index_entry *e) {
  struct index_affix *last = range->count ? &x->affixes[x->affixes_count - 1] : NULL;
  struct fluo_range ref = add_ref(x, e);
  if (last && last->len == e->len && memcmp(last->text, e->text, e->len) == 0) {
    last->refs.count++;
    return;
  }
  uint32_t up = last ? x->affixes_count - 1 : UINT32_MAX;
  while (up != UINT32_MAX && (x->affixes[up].len > e->len ||
                              memcmp(x->affixes[up].text, e->text, x->affixes[up].len) != 0))
    up = x->affixes[up].up;
  range_add(range, x->affixes_count);
  x->affixes[x->affixes_count++] =
      (struct index_affix){.text = e->text, .len = e->len, .up = up, .refs = ref};
}

static double write_tops(struct index_interval *intervals, uint32_t low, uint32_t high) {
  if (low == high) return -__builtin_inf();
  uint32_t middle = low + (high - low) / 2;
  double left = write_tops(intervals, low, middle), right = write_tops(intervals, middle + 1, high);
  double top = intervals[middle].hi;
  if (left > top) top = left;
  if (right > top) top = right;
  return intervals[middle].top = top;
}

static void write_entry(struct index *x, const struct index_entry *e, uint32_t *intervals) {
  struct index_key *key = &x->keys[e->key];
  key->probed = true;
  if (e->key > INDEX_KEY_LINK && e->key < FLUO_FIELD_EVENT_NAME) x->fields |= (UINT32_C(1) << e->key) & ~(uint32_t)INDEX_SHAPE;
  switch (e->place) {
  case PLACE_PRESENT: range_add(&key->present, add_ref(x, e).first); break;
  case PLACE_PREFIX: write_affix(x, &key->prefixes, e); break;
  case PLACE_SUFFIX: write_affix(x, &key->suffixes, e); break;
  case PLACE_RANGE:
    range_add(&key->intervals, *intervals);
    x->intervals[(*intervals)++] =
        (struct index_interval){.lo = e->lo, .hi = e->hi, .atom = e->atom};
    break;
  case PLACE_HASH: write_hashed(x, e); break;
  default: break;
  }
}

int index_entries_write(struct index *x, struct index_entry *entries, uint32_t n) {
  uint32_t size = 16, intervals = 0;
  while (size < (uint64_t)n * 2 && size < UINT32_C(1) << 31) size *= 2;
  x->bucket_mask = size - 1;
  x->buckets = heap_zalloc(size * sizeof *x->buckets);
  x->refs = heap_alloc(n * sizeof *x->refs);
  x->affixes = heap_alloc(n * sizeof *x->affixes);
  x->intervals = heap_alloc(n * sizeof *x->intervals);
  if (!x->buckets || !x->refs || !x->affixes || !x->intervals) return FLUO_ENOMEM;
  if (n) qsort(entries, n, sizeof *entries, compare_entries);
  for (uint32_t i = 0; i < n; i++) write_entry(x, &entries[i], &intervals);
  for (uint32_t i = 0; i < x->keys_count; i++) {
    struct fluo_range range = x->keys[i].intervals;
    write_tops(x->intervals, range.first, range.first + range.count);
  }
  return 0;
}
