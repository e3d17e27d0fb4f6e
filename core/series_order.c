/* Which number of a series is the n-th. Those of its buckets are known by their sketch, the exact ones by themselves: in
 * order (SERIES_ORDER), which every event pays for, or as they came (SERIES_LIMIT), to be looked through by whoever asks.
 * That is once a crossing: whether the n-th number lies above a limit is known from how many do.
 *
 * Nothing here fails. Of SERIES_LIMIT all exact numbers, EVENTS_MAX at most, are copied to the stack. */
#include <assert.h>
#include <math.h>

#include "events_inline.h"
#include "series_parts.h"

/* Exact numbers, as keys of a multiset. */
struct numbers {
  uint64_t *keys;
  uint32_t count;
  const struct multiset *in_order; /* whose keys they are; NULL: they stand as they came */
};

static struct numbers numbers_of(const struct series *s, uint64_t *scratch) {
  const struct multiset *in_order = s->kind == SERIES_ORDER ? &s->more->keys : NULL;
  if (in_order) return (struct numbers){in_order->keys, in_order->count, in_order};
  for (uint32_t i = 0; i < s->inside; i++) scratch[i] = multiset_of_number(events_get(&s->events, i).value);
  return (struct numbers){scratch, s->inside, NULL};
}

/* How many are below x. */
static uint32_t numbers_below(const struct numbers *n, double x) {
  uint64_t key = multiset_of_number(x);
  uint32_t below = 0;
  if (n->in_order) return multiset_below(n->in_order->keys, n->in_order->count, key);
  for (uint32_t i = 0; i < n->count; i++) below += n->keys[i] < key;
  return below;
}

/* Of those not in order byte by byte only those stay that begin as the one of that rank does: it takes so long and no
 * longer whatever they are. */
static double number_at(struct numbers *n, uint32_t rank) {
  uint64_t *keys = n->keys;
  uint32_t count = n->count;
  assert(rank >= 1 && rank <= count && count <= EVENTS_MAX);
  if (n->in_order) return multiset_to_number(keys[rank - 1]);
  for (uint32_t shift = 64; count > 1 && shift;) {
    uint32_t counts[256] = {0}, byte = 0, left = 0;
    shift -= 8;
    for (uint32_t i = 0; i < count; i++) counts[keys[i] >> shift & 255]++;
    while (rank > counts[byte]) rank -= counts[byte++];
    for (uint32_t i = 0; i < count; i++)
      if ((keys[i] >> shift & 255) == byte) keys[left++] = keys[i];
    count = left;
  }
  return multiset_to_number(keys[0]);
}

/* The numbers of the buckets, by their sketch, and the exact ones are both in order. None is taken for less than the least
 * or more than the greatest: what is always the same is that. A bin can hold the rank only where
 * those below it and all exact ones come up to it: what a bin stands for is worked out for few. */
double series_at_rank(const struct series *s, uint64_t rank) {
  uint64_t scratch[EVENTS_MAX], below = 0;
  struct numbers exact = numbers_of(s, scratch);
  const struct sketch none = {0}, *sketch = s->more ? &s->more->sketch : &none;
  double least = sketch->count ? series_least(s) : 0, greatest = sketch->count ? series_greatest(s) : 0;
  assert(rank >= 1 && rank <= sketch->count + exact.count);
  for (uint32_t i = 0; i < sketch->bins_count; below += sketch->bins[i++].count) {
    if (below + sketch->bins[i].count + exact.count < rank) continue;
    double x = fmin(fmax(sketch_bin_value(&sketch->bins[i]), least), greatest);
    uint64_t before = below + numbers_below(&exact, x);
    if (before >= rank) return number_at(&exact, (uint32_t)(rank - below));
    if (before + sketch->bins[i].count >= rank) return x;
  }
  return number_at(&exact, (uint32_t)(rank - below));
}

double series_least(const struct series *s) {
  uint64_t scratch[EVENTS_MAX];
  struct numbers exact = numbers_of(s, scratch);
  double least = exact.count ? number_at(&exact, 1) : INFINITY;
  for (uint32_t i = 0; s->more && i < s->more->buckets_inside; i++) least = fmin(least, s->more->buckets[i].least);
  return least;
}

double series_greatest(const struct series *s) {
  uint64_t scratch[EVENTS_MAX];
  struct numbers exact = numbers_of(s, scratch);
  double greatest = exact.count ? number_at(&exact, exact.count) : -INFINITY;
  for (uint32_t i = 0; s->more && i < s->more->buckets_inside; i++) greatest = fmax(greatest, s->more->buckets[i].greatest);
  return greatest;
}

/* ---- a limit ------------------------------------------------------------------------------- */

/* Of exact numbers what matters is whether there are any on either side: that is what least and greatest ask for. */
static uint64_t bucket_above(const struct series *s, const struct series_bucket *b) {
  uint64_t above = 0, samples = b->totals.samples;
  if (!s->rounded && b->least > s->limit) return samples;
  if (!s->rounded && b->greatest <= s->limit) return 0;
  for (uint32_t i = 0; i < b->sketch.bins_count; i++)
    if (b->sketch.bins[i].key > s->limit_key) above += b->sketch.bins[i].count;
  if (s->rounded) return above;
  return above < 1 ? 1 : above < samples ? above : samples - 1;
}

/* Whether all that is inside, or nothing, is above the limit. Mostly the first bucket tells that it is not so. What buckets
 * do not have of those marked are exact ones. */
static bool is_all(const struct series *s, bool above) {
  const struct series_more *m = s->more;
  uint64_t marked = m->totals.numerator;
  for (uint32_t i = 0; i < m->buckets_inside; i++) {
    const struct series_bucket *b = &m->buckets[i];
    if (above ? b->least <= s->limit : b->greatest > s->limit) return false;
    marked -= b->totals.numerator;
  }
  return marked == (above ? s->inside : 0);
}

uint64_t series_above(const struct series *s) {
  uint64_t above = series_numerator(s), samples = series_samples(s);
  assert(s->kind == SERIES_LIMIT);
  if (!s->rounded || !s->more || !s->more->buckets_inside) return above;
  if (above && is_all(s, false)) return 0;
  return above < samples && is_all(s, true) ? samples : above;
}

void series_limit(struct series *s, double limit, bool rounded) {
  struct series_more *m = s->more;
  uint64_t inside = 0;
  assert(s->kind == SERIES_LIMIT);
  s->limit = limit;
  s->rounded = rounded;
  s->limit_key = sketch_key_upto(limit);
  for (uint32_t i = 0; i < s->events.count; i++) {
    struct series_event e = events_get(&s->events, i);
    series_mark(&e, e.value > limit);
    events_put(&s->events, i, &e);
    inside += i < s->inside && e.flags & SERIES_NUMERATOR;
  }
  for (uint32_t i = 0; m && i < m->buckets_count; i++) {
    struct series_bucket *b = &m->buckets[i];
    b->totals.numerator = bucket_above(s, b);
    if (i < m->buckets_inside) inside += b->totals.numerator;
  }
  if (m) m->totals.numerator = inside;
  else s->numerator = (uint16_t)inside;
}
