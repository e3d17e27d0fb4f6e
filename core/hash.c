/* SipHash-2-4, after Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; the 128-bit
 * output is the variant that its authors published with their reference code. */
#include "hash.h"

#include <string.h>
#include <sys/random.h>

#include "fluo.h"

struct sip {
  uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned bits) {
  return x << bits | x >> (64 - bits);
}

static inline uint64_t load_le64(const uint8_t *p) {
  uint64_t x;
  memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  x = __builtin_bswap64(x);
#endif
  return x;
}

static inline void store_le64(uint8_t *p, uint64_t x) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  x = __builtin_bswap64(x);
#endif
  memcpy(p, &x, sizeof x);
}

static inline void sip_round(struct sip *s) {
  s->v0 += s->v1;
  s->v1 = rotate(s->v1, 13);
  s->v1 ^= s->v0;
  s->v0 = rotate(s->v0, 32);
  s->v2 += s->v3;
  s->v3 = rotate(s->v3, 16);
  s->v3 ^= s->v2;
  s->v0 += s->v3;
  s->v3 = rotate(s->v3, 21);
  s->v3 ^= s->v0;
  s->v2 += s->v1;
  s->v1 = rotate(s->v1, 17);
  s->v1 ^= s->v2;
  s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word) {
  s->v3 ^= word;
  sip_round(s);
  sip_round(s);
  s->v0 ^= word;
}

/* The last word holds the bytes left over and, in its top byte, the length. */
static inline uint64_t last_word(const uint8_t *p, size_t left, size_t n) {
  uint64_t word = (uint64_t)n << 56;
  for (size_t i = 0; i < left; i++) word |= (uint64_t)p[i] << 8 * i;
  return word;
}

static inline void sip_absorb(struct sip *s, const struct hash_key *key, const uint8_t *p,
                              size_t n) {
  s->v0 ^= key->k0 ^ 0x736f6d6570736575U;
  s->v1 ^= key->k1 ^ 0x646f72616e646f6dU;
  s->v2 ^= key->k0 ^ 0x6c7967656e657261U;
  s->v3 ^= key->k1 ^ 0x7465646279746573U;
  size_t words = n / 8;
  for (size_t i = 0; i < words; i++) sip_word(s, load_le64(p + 8 * i));
  sip_word(s, last_word(p + 8 * words, n % 8, n));
}

static inline uint64_t sip_squeeze(struct sip *s) {
  for (int i = 0; i < 4; i++) sip_round(s);
  return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

struct hash_key hash_key_random(void) {
  struct hash_key key = {0, 0};
  uint8_t *p = (uint8_t *)&key;
  size_t got = 0;
  while (got < sizeof key) {
    ssize_t n = getrandom(p + got, sizeof key - got, 0);
    /* EINTR before the pool is ready is the only failure that a valid call can meet. */
    if (n > 0) got += (size_t)n;
  }
  return key;
}

uint64_t hash64(const struct hash_key *key, const void *p, size_t n) {
  struct sip s = {0, 0, 0, 0};
  sip_absorb(&s, key, p, n);
  s.v2 ^= 0xff;
  return sip_squeeze(&s);
}

void hash128(const struct hash_key *key, const void *p, size_t n, uint8_t out[16]) {
  struct sip s = {0, 0xee, 0, 0};
  sip_absorb(&s, key, p, n);
  s.v2 ^= 0xee;
  store_le64(out, sip_squeeze(&s));
  s.v1 ^= 0xdd;
  store_le64(out + 8, sip_squeeze(&s));
}

void fluo_hash128(const void *p, uint64_t n, uint8_t out[16]) {
  /* "fluo rule version": any fixed key will do, but it may never change, or every version does. */
  static const struct hash_key fixed = {0x6c72206f756c6672U, 0x6e6f697372657620U};
  hash128(&fixed, p, n, out);
}
