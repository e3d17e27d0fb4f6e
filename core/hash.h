/* SipHash-2-4 (Aumasson and Bernstein, 2012), 64 and 128 bits: keyed where an attacker chooses the input
 * (tables), with a fixed key where the result must be the same everywhere (ids, rule versions). */
#ifndef FLUO_HASH_H
#define FLUO_HASH_H
#include <stddef.h>
#include <stdint.h>

struct hash_key { uint64_t k0, k1; };

/* A random key from the kernel (getrandom). */
struct hash_key hash_key_random(void);
uint64_t hash64(const struct hash_key *key, const void *p, size_t n);
void hash128(const struct hash_key *key, const void *p, size_t n, uint8_t out[16]);
/* fluo_hash128 (fluo.h) is hash128 with a fixed key. */

#endif
