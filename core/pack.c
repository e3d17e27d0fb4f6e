/* Numbers are little-endian base 128, a byte for every seven bits. A number with a fraction, or a large one, is a 1 and its
 * eight bytes as they lie in memory; another is its sign and size, doubled twice, and so even. A text that stood in the
 * group before is its place among these, from 1; a new one is 0, its length and its bytes. Nothing here allocates but the
 * buffer, whose error says that what it holds is incomplete. */
#include "pack.h"

#include <math.h>
#include <string.h>

#include "limits.h"

enum { TEXT_BYTES_MAX = LIMIT_TEXT_BYTES + 4 };     /* still too long, so it is cut where it always was */

void pack_uint(struct pack *p, uint64_t x) {
  uint8_t bytes[10];
  size_t n = 0;
  for (; x >= 128; x >>= 7) bytes[n++] = (uint8_t)(x | 128);
  bytes[n++] = (uint8_t)x;
  buffer_add(p->out, bytes, n);
}

void pack_number(struct pack *p, double x) {
  if (x == trunc(x) && fabs(x) < 0x1p53) {
    pack_uint(p, (uint64_t)fabs(x) << 2 | (x < 0 ? 2u : 0u));
    return;
  }
  pack_uint(p, 1);
  buffer_add(p->out, &x, sizeof x);
}

void pack_bytes(struct pack *p, const void *bytes, size_t n) {
  if (n) buffer_add(p->out, bytes, n);
}

void pack_text(struct pack *p, struct fluo_text text) {
  for (uint32_t i = 0; i < p->known_count; i++) {
    if (p->known[i].off != text.off || p->known[i].len != text.len) continue;
    pack_uint(p, i + 1);
    return;
  }
  uint32_t n = text.len < TEXT_BYTES_MAX ? text.len : TEXT_BYTES_MAX;
  pack_uint(p, 0);
  pack_uint(p, n);
  pack_bytes(p, p->texts + text.off, n);
  if (p->known_count < PACK_TEXTS_MAX) p->known[p->known_count++] = text;
}

/* ---- and back ------------------------------------------------------------------------------ */

uint64_t unpack_uint(struct unpack *u) {
  uint64_t x = 0;
  for (uint32_t shift = 0; !u->bad && u->at < u->end && shift < 64; shift += 7) {
    uint8_t byte = *u->at++;
    if (shift == 63 && byte > 1) break;
    x |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return x;
  }
  u->bad = true;
  return 0;
}

uint64_t unpack_upto(struct unpack *u, uint64_t max) {
  uint64_t x = unpack_uint(u);
  if (x <= max) return x;
  u->bad = true;
  return 0;
}

uint32_t unpack_count(struct unpack *u, uint32_t max) {
  uint64_t n = unpack_upto(u, max);
  if (n <= (uint64_t)(u->end - u->at)) return (uint32_t)n;
  u->bad = true;
  return 0;
}

double unpack_number(struct unpack *u) {
  uint64_t x = unpack_uint(u);
  double number = (double)(x >> 2);
  if (!(x & 1)) return x & 2 ? -number : number;
  const uint8_t *bytes = x == 1 ? unpack_bytes(u, sizeof number) : NULL;
  if (bytes) memcpy(&number, bytes, sizeof number);
  u->bad = !bytes;
  return bytes ? number : 0;
}

const uint8_t *unpack_bytes(struct unpack *u, size_t n) {
  const uint8_t *bytes = u->at;
  if (u->bad || n > (size_t)(u->end - u->at)) {
    u->bad = true;
    return NULL;
  }
  u->at += n;
  return bytes;
}

void unpack_copy(struct unpack *u, void *to, size_t n) {
  const uint8_t *bytes = unpack_bytes(u, n);
  if (bytes)
    memcpy(to, bytes, n);
  else
    memset(to, 0, n);
}

struct fluo_text unpack_text(struct unpack *u) {
  struct fluo_text text = {0, 0};
  uint64_t known = unpack_upto(u, u->known_count);
  if (known) return u->known[known - 1];
  size_t n = unpack_upto(u, TEXT_BYTES_MAX);
  const uint8_t *bytes = unpack_bytes(u, n);
  if (bytes && n) text = u->keep(u->ctx, bytes, n);
  if (u->known_count < PACK_TEXTS_MAX) u->known[u->known_count++] = text;
  return text;
}
