/* Short runs of bytes, compared and hashed without a call. Not for lengths that are mostly long. */
#ifndef FLUO_BYTES_H
#define FLUO_BYTES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t bytes_load64(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, 8);
  return word;
}

static inline uint32_t bytes_load32(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, 4);
  return word;
}

/* Words overlap at the end, so nothing past n is read. */
static inline bool bytes_same(const uint8_t *a, const uint8_t *b, size_t n) {
  if (n >= 8) {
    for (size_t i = 0; i + 8 < n; i += 8)
      if (bytes_load64(a + i) != bytes_load64(b + i)) return false;
    return bytes_load64(a + n - 8) == bytes_load64(b + n - 8);
  }
  if (n >= 4) return bytes_load32(a) == bytes_load32(b) && bytes_load32(a + n - 4) == bytes_load32(b + n - 4);
  for (size_t i = 0; i < n; i++)
    if (a[i] != b[i]) return false;
  return true;
}

/* Of the ends and the length: for caches, where a collision costs a miss, and never for a table. */
static inline uint64_t bytes_sketch(const uint8_t *p, size_t n) {
  uint64_t first, last;
  if (n >= 8) first = bytes_load64(p), last = bytes_load64(p + n - 8);
  else if (n >= 4) first = bytes_load32(p), last = bytes_load32(p + n - 4);
  else first = n ? p[0] : 0, last = n ? (uint64_t)p[n / 2] << 8 | p[n - 1] : 0;
  return (first ^ (last << 29 | last >> 35) ^ n) * UINT64_C(0x9e3779b97f4a7c15);
}

#endif
