/* A growing run of bytes with an upper bound: output is built in it, bodies are gathered in it. */
#ifndef FLUO_BUFFER_H
#define FLUO_BUFFER_H
#include <stddef.h>
#include <stdint.h>

struct buffer {
  char *data;             /* owned; NULL when empty */
  size_t len, capacity;
  size_t max;             /* bound on len, in bytes */
  int err;                /* sticky: FLUO_ENOMEM or FLUO_ETOOLARGE once an append failed */
};

void buffer_init(struct buffer *b, size_t max);
void buffer_deinit(struct buffer *b);
/* Empties it and keeps its memory. */
void buffer_clear(struct buffer *b);
/* Room for n more bytes: a pointer to them (valid until the next call), or NULL and b->err. The caller
 * then adds what it used to b->len. */
char *buffer_reserve(struct buffer *b, size_t n);
/* Appends: 0, or b->err, and then nothing was appended. */
int buffer_add(struct buffer *b, const void *p, size_t n);
int buffer_text(struct buffer *b, const char *s);
int buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
int buffer_int(struct buffer *b, int64_t x);
int buffer_uint(struct buffer *b, uint64_t x);
/* Appends a JSON string, quotes included: control characters and Unicode's ends of a line escaped, invalid UTF-8 as U+FFFD. */
int buffer_json(struct buffer *b, const void *p, size_t n);
/* Appends a number as JSON: whole ones up to 2^53 without a fraction, others as the shortest decimal
 * that reads back the same; not-a-number and infinities as null. */
int buffer_number(struct buffer *b, double x);
/* The same text for a finite number (and "inf", "nan"), NUL-terminated: its length. */
int buffer_number_text(double x, char out[32]);

#endif
