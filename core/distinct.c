/* HyperLogLog. A register holds the longest run of leading zeros, plus one, among the hashes that
 * belong to it; how many registers hold which value is all that the estimate needs. Nothing
 * allocates, nothing can fail. */
#include "distinct.h"

#include <math.h>
#include <string.h>

#include "err.h"

enum { RANK_BITS = 64 - DISTINCT_BITS, RANK_MAX = RANK_BITS + 1 };

void distinct_add(struct distinct *d, uint64_t hash) {
  uint8_t *at = &d->registers[hash >> RANK_BITS];
  uint64_t rest = hash << DISTINCT_BITS;
  uint8_t rank = rest ? (uint8_t)(__builtin_clzll(rest) + 1) : RANK_MAX;
  if (rank > *at) *at = rank;
}

void distinct_merge(struct distinct *d, const struct distinct *part) {
  for (int i = 0; i < DISTINCT_REGISTERS; i++)
    if (part->registers[i] > d->registers[i]) d->registers[i] = part->registers[i];
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
  const double m = DISTINCT_REGISTERS, alpha = 0.5 / M_LN2;
  uint32_t registers[RANK_MAX + 1] = {0};
  for (int i = 0; i < DISTINCT_REGISTERS; i++) registers[d->registers[i]]++;
  if (registers[0] == DISTINCT_REGISTERS) return 0;
  double z = m * tau(1 - registers[RANK_MAX] / m);
  for (int rank = RANK_BITS; rank >= 1; rank--) z = 0.5 * (z + registers[rank]);
  z += m * sigma(registers[0] / m);
  return alpha * m * m / z;
}

/* A register that is not empty is itself, a run of empty ones 0 and its length. */
void distinct_write(const struct distinct *d, struct pack *p) {
  for (uint32_t i = 0, end; i < DISTINCT_REGISTERS; i = end) {
    end = i + 1;
    pack_uint(p, d->registers[i]);
    if (d->registers[i]) continue;
    while (end < DISTINCT_REGISTERS && !d->registers[end]) end++;
    pack_uint(p, end - i);
  }
}

int distinct_read(struct distinct *d, struct unpack *u) {
  for (uint32_t i = 0; i < DISTINCT_REGISTERS;) {
    uint8_t rank = (uint8_t)unpack_upto(u, RANK_MAX);
    uint32_t run = rank ? 1 : (uint32_t)unpack_upto(u, DISTINCT_REGISTERS - i);
    if (u->bad || !run) return FLUO_EMALFORMED;
    memset(d->registers + i, rank, run);
    i += run;
  }
  return 0;
}
