/* Reading JSON text in place (RFC 8259): strict about the grammar, patient about broken UTF-8.
 * The text stays the caller's and needs no NUL behind it. Functions return false after a
 * failure; the first one is kept (err, at, what) and p then means nothing. */
#ifndef FLUO_JSON_TEXT_H
#define FLUO_JSON_TEXT_H
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "buffer.h"

struct json_slice { const char *p; size_t n; };

struct json {
  const uint8_t *text, *p, *end;
  struct buffer scratch;       /* short strings that have escapes */
  uint32_t invalid_utf8;       /* byte sequences that became U+FFFD */
  int err;
  const uint8_t *at;
  const char *what;            /* static */
};

/* Skips a BOM. */
void json_init(struct json *j, const char *text, size_t n);
void json_deinit(struct json *j);
/* Notes a failure, if it is the first: false. */
bool json_fail(struct json *j, const uint8_t *at, int err, const char *what);

/* Fails: c does not come next. */
bool json_unexpected(struct json *j, const char *what);
/* The end of the white space from p. */
const uint8_t *json_space_run(const uint8_t *p, const uint8_t *end);
/* Past white space: the byte behind it, -1 at the end. */
int json_past_space(struct json *j);
/* The same; most senders put none. */
static inline int json_peek(struct json *j) {
  return j->p < j->end && *j->p > ' ' ? *j->p : json_past_space(j);
}
static inline void json_space(struct json *j) {
  json_peek(j);
}
/* Takes c if it comes next. */
static inline bool json_take(struct json *j, char c) {
  if (json_peek(j) != (uint8_t)c) return false;
  j->p++;
  return true;
}
/* Fails if c does not come next. */
static inline bool json_expect(struct json *j, char c, const char *what) {
  return json_take(j, c) || json_unexpected(j, what);
}
bool json_rest(struct json *j, const char *word);     /* whose first byte comes next */
/* Takes a word (true, false, null) if it comes next. */
static inline bool json_word(struct json *j, const char *word) {
  return json_peek(j) == (uint8_t)word[0] && json_rest(j, word);
}
/* How many of the JSON_BLOCK_BYTES bytes from p stand for themselves in a string, up to the first that does not: printable
 * ASCII but quote and backslash. Past ASCII is below 0. */
enum { JSON_BLOCK_BYTES = 16 };
static inline size_t json_plain_bytes(const uint8_t *p) {
  int8_t c __attribute__((vector_size(JSON_BLOCK_BYTES)));
  uint64_t found __attribute__((vector_size(JSON_BLOCK_BYTES)));
  memcpy(&c, p, sizeof c);
  found = (__typeof__(found))((c < ' ') | (c == '"') | (c == '\\'));
  if (found[0]) return (size_t)__builtin_ctzll(le64toh(found[0])) / 8;
  return found[1] ? 8 + (size_t)__builtin_ctzll(le64toh(found[1])) / 8 : JSON_BLOCK_BYTES;
}
/* The end of the bytes from p that stand for themselves; what writes JSON asks, too. */
const uint8_t *json_plain_run(const uint8_t *p, const uint8_t *end);
/* A string without escapes in it: a slice of the text, else p stays. The bytes are as they came. */
bool json_plain(struct json *j, struct json_slice *out);
/* A string, decoded, at the end of out (NULL: just read past it). */
bool json_string(struct json *j, struct buffer *out);
/* A short string: a slice of the text or of scratch, valid until the next call. What is longer
 * than 1 KiB and has escapes is given as an empty slice: it is no key, number or name of ours. */
bool json_short(struct json *j, struct json_slice *out);
/* A number, as its characters. */
bool json_number(struct json *j, struct json_slice *out);
/* Any value, nested at most `depth` deep. */
bool json_skip(struct json *j, uint32_t depth);
/* 1-based, in bytes. */
void json_place(const struct json *j, const uint8_t *at, uint32_t *line, uint32_t *column);

#endif
