/* Decoding a query. The query stays the caller's; a pair lies in the reader's own scratch. */
#include "http_query.h"

#include <string.h>

void http_query_init(struct http_query *q, struct http_text query) {
  q->left = query;
}

int http_hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 32);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes n bytes to *to, which is moved on: their length, -1: malformed. */
static int decode(const char *p, size_t n, char **to) {
  char *start = *to;
  for (size_t i = 0; i < n; i++) {
    if (p[i] != '%') {
      *(*to)++ = p[i] == '+' ? ' ' : p[i];
      continue;
    }
    int high = n - i > 2 ? http_hex_digit(p[i + 1]) : -1, low = n - i > 2 ? http_hex_digit(p[i + 2]) : -1;
    if (high < 0 || low < 0) return -1;
    *(*to)++ = (char)(high << 4 | low);
    i += 2;
  }
  return (int)(*to - start);
}

int http_query_next(struct http_query *q, struct http_query_pair *pair) {
  while (q->left.n && *q->left.p == '&') q->left.p++, q->left.n--;
  if (!q->left.n) return 0;
  const char *p = q->left.p, *end = memchr(p, '&', q->left.n);
  size_t n = end ? (size_t)(end - p) : q->left.n;
  const char *equals = memchr(p, '=', n);
  size_t name_bytes = equals ? (size_t)(equals - p) : n, value_at = equals ? name_bytes + 1 : n;
  char *to = q->scratch;
  q->left = (struct http_text){p + n, q->left.n - n};
  if (n > sizeof q->scratch) return -1;
  int name = decode(p, name_bytes, &to);
  const char *value = to;
  int value_bytes = name < 0 ? -1 : decode(p + value_at, n - value_at, &to);
  if (value_bytes < 0) return -1;
  pair->name = (struct http_text){q->scratch, (size_t)name};
  pair->value = (struct http_text){value, (size_t)value_bytes};
  return 1;
}
