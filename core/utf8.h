/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef FLUO_UTF8_H
#define FLUO_UTF8_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes that the character at p takes (n of them are readable, at least 1). Where they are
 * not UTF-8, *valid is false and the result is how many of them one U+FFFD stands for: the
 * longest prefix of a character, or one byte (the practice that Unicode recommends). */
size_t utf8_step(const uint8_t *p, size_t n, bool *valid);
/* Writes a code point up to U+10FFFF: 1 to 4 bytes. A surrogate becomes U+FFFD. */
size_t utf8_put(uint32_t code, char out[4]);
/* How many of the n bytes at p come before the first that is not ASCII. */
size_t utf8_ascii(const uint8_t *p, size_t n);
/* How many of the n bytes at p make a text of at most max bytes that ends between characters. */
size_t utf8_fit(const uint8_t *p, size_t n, size_t max);

#endif
