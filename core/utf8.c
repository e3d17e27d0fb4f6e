/* Reads and writes characters in place; owns nothing, cannot fail. */
#include "utf8.h"

#include <string.h>

/* What the second byte may be says all that is odd about UTF-8: E0 and F0 exclude overlong
 * forms, ED the surrogates, F4 what lies above U+10FFFF. */
static size_t length_of(uint8_t lead, uint8_t *low, uint8_t *high) {
  *low = 0x80, *high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (lead == 0xe0) *low = 0xa0;
    if (lead == 0xed) *high = 0x9f;
    return 3;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (lead == 0xf0) *low = 0x90;
    if (lead == 0xf4) *high = 0x8f;
    return 4;
  }
  return 0;
}

size_t utf8_step(const uint8_t *p, size_t n, bool *valid) {
  *valid = true;
  if (p[0] < 0x80) return 1;
  uint8_t low, high;
  size_t length = length_of(p[0], &low, &high);
  for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf) {
    if (i < n && p[i] >= low && p[i] <= high) continue;
    *valid = false;
    return i;
  }
  *valid = length != 0;
  return length ? length : 1;
}

size_t utf8_put(uint32_t code, char out[4]) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  if (code < 0x800) {
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3f));
    return 2;
  }
  if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
  if (code < 0x10000) {
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | code >> 18);
  out[1] = (char)(0x80 | (code >> 12 & 0x3f));
  out[2] = (char)(0x80 | (code >> 6 & 0x3f));
  out[3] = (char)(0x80 | (code & 0x3f));
  return 4;
}

size_t utf8_ascii(const uint8_t *p, size_t n) {
  size_t i = 0;
  for (uint64_t word; n - i >= 8; i += 8) {
    memcpy(&word, p + i, 8);
    if (word & 0x8080808080808080u) break;
  }
  while (i < n && p[i] < 0x80) i++;
  return i;
}

size_t utf8_fit(const uint8_t *p, size_t n, size_t max) {
  if (n <= max) return n;
  size_t start = max;
  while (start > 0 && max - start < 3 && (p[start] & 0xc0) == 0x80) start--;
  bool valid;
  size_t step = utf8_step(p + start, n - start, &valid);
  return valid && start + step > max ? start : max; /* what is no UTF-8 has no inside */
}
