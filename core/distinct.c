/* Few hashes are a sorted array. More are a HyperLogLog: a register holds the longest run of leading zeros, plus one, among
 * the hashes that belong to it; how many registers hold which value is all that the estimate needs. Nothing allocates,
 * nothing can fail. */
#include "distinct.h"

#include <math.h>
#include <string.h>

#include "err.h"
#include "multiset.h"

enum { RANK_BITS = 64 - DISTINCT_BITS, RANK_MAX = RANK_BITS + 1 };

/* ---- exact --------------------------------------------------------------------------------- */

bool distinct_lacks(const struct distinct *d, uint64_t hash) {
  if (d->estimated) return false;
  uint32_t at = multiset_below(d->hashes, d->count, hash);
  return at == d->count || d->hashes[at] != hash;
}

static void insert(struct distinct *d, uint64_t hash) {
  uint32_t at = multiset_below(d->hashes, d->count, hash);
  memmove(d->hashes + at + 1, d->hashes + at, (d->count - at) * sizeof *d->hashes);
  d->hashes[at] = hash;
  d->count++;
}

/* ---- estimated ----------------------------------------------------------------------------- */

static void mark(struct distinct *d, uint64_t hash) {
  uint8_t *at = &d->registers[hash >> RANK_BITS];
  uint64_t rest = hash << DISTINCT_BITS;
  uint8_t rank = rest ? (uint8_t)(__builtin_clzll(rest) + 1) : RANK_MAX;
  if (rank > *at) *at = rank;
}

void distinct_estimate(struct distinct *d) {
  if (d->estimated) return;
  struct distinct exact = *d;
  *d = (struct distinct){.estimated = true};
  for (uint32_t i = 0; i < exact.count; i++) mark(d, exact.hashes[i]);
}

/* Ertl's sigma: x + sum over k of x^(2^k) 2^(k-1), for the empty registers. x < 1. */
static double sigma(double x) {
  double y = 1, z = x, before;
  do {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  } while (z != before);
  return z;
}

/* Ertl's tau: (1 - x - sum over k of (1 - x^(2^-k))^2 2^-k) / 3, for the full ones. */
static double tau(double x) {
  if (x == 0 || x == 1) return 0;
  double y = 1, z = 1 - x, before;
  do {
    x = sqrt(x);
    before = z;
    y *= 0.5;
    z -= (1 - x) * (1 - x) * y;
  } while (z != before);
  return z / 3;
}

double distinct_count(const struct distinct *d) {
  if (!d->estimated) return d->count;
  const double m = DISTINCT_REGISTERS, alpha = 0.5 / M_LN2;
  uint32_t registers[RANK_MAX + 1] = {0};
  for (int i = 0; i < DISTINCT_REGISTERS; i++) registers[d->registers[i]]++;
  if (registers[0] == DISTINCT_REGISTERS) return 0;
  double z = m * tau(1 - registers[RANK_MAX] / m);
  for (int rank = RANK_BITS; rank >= 1; rank--) z = 0.5 * (z + registers[rank]);
  z += m * sigma(registers[0] / m);
  return alpha * m * m / z;
}

/* ---- either -------------------------------------------------------------------------------- */

void distinct_add(struct distinct *d, uint64_t hash) {
  bool lacks = distinct_lacks(d, hash);
  if (lacks && d->count == DISTINCT_EXACT_MAX) distinct_estimate(d);
  if (d->estimated)
    mark(d, hash);
  else if (lacks)
    insert(d, hash);
}

void distinct_merge(struct distinct *d, const struct distinct *part) {
  if (!part->estimated) {
    for (uint32_t i = 0; i < part->count; i++) distinct_add(d, part->hashes[i]);
    return;
  }
  distinct_estimate(d);
  for (int i = 0; i < DISTINCT_REGISTERS; i++)
    if (part->registers[i] > d->registers[i]) d->registers[i] = part->registers[i];
}

/* EXACT, the count and the hashes; or registers: one that is not empty is itself, a run of empty ones 0 and its length. */
enum { EXACT = RANK_MAX + 1 };

void distinct_write(const struct distinct *d, struct pack *p) {
  if (!d->estimated) {
    pack_uint(p, EXACT);
    pack_uint(p, d->count);
    pack_bytes(p, d->hashes, d->count * sizeof *d->hashes);
    return;
  }
  for (uint32_t i = 0, end; i < DISTINCT_REGISTERS; i = end) {
    end = i + 1;
    pack_uint(p, d->registers[i]);
    if (d->registers[i]) continue;
    while (end < DISTINCT_REGISTERS && !d->registers[end]) end++;
    pack_uint(p, end - i);
  }
}

static int read_exact(struct distinct *d, struct unpack *u) {
  uint32_t count = unpack_count(u, DISTINCT_EXACT_MAX);
  *d = (struct distinct){0};
  for (uint64_t hash; !u->bad && d->count < count;) {
    unpack_copy(u, &hash, sizeof hash);
    if (u->bad || (d->count && hash <= d->hashes[d->count - 1])) return FLUO_EMALFORMED;
    d->hashes[d->count++] = hash;
  }
  return u->bad ? FLUO_EMALFORMED : 0;
}

int distinct_read(struct distinct *d, struct unpack *u) {
  *d = (struct distinct){.estimated = true};
  for (uint32_t i = 0; i < DISTINCT_REGISTERS;) {
    uint8_t rank = (uint8_t)unpack_upto(u, i ? RANK_MAX : EXACT);
    if (rank == EXACT) return read_exact(d, u);
    uint32_t run = rank ? 1 : (uint32_t)unpack_upto(u, DISTINCT_REGISTERS - i);
    if (u->bad || !run) return FLUO_EMALFORMED;
    memset(d->registers + i, rank, run);
    i += run;
  }
  return 0;
}
