/* The memory of a body: grows by doubling, never past what the body can become, and every byte of
 * capacity is charged to the budget until http_body_release gives it back. A failure changes
 * nothing. */
#include "http_body.h"

#include <assert.h>

#include "err.h"
#include "heap.h"

static uint64_t grown_bytes(const struct http_body *body, uint64_t needed, uint64_t bound) {
  uint64_t bytes = (uint64_t)body->capacity * 2;
  if (bytes < HTTP_BODY_STEP_BYTES) bytes = HTTP_BODY_STEP_BYTES;
  if (bytes > bound) bytes = bound;
  return bytes < needed ? needed : bytes;
}

bool http_budget_affords(struct http_budget *b, size_t n) {
  while (b->bytes > b->bytes_max || n > b->bytes_max - b->bytes)
    if (!b->make_room || !b->make_room(b)) return false;
  return true;
}

int http_body_room(struct http_body *body, size_t n, uint64_t bound) {
  assert(body->len <= body->capacity && body->len <= body->bytes_max);
  if (n <= body->capacity - body->len) return 0;
  if (n > body->bytes_max - body->len) return FLUO_ETOOLARGE;
  size_t bytes = (size_t)grown_bytes(body, body->len + n, bound), more = bytes - body->capacity;
  if (body->budget && !http_budget_affords(body->budget, more)) return FLUO_EFULL;
  uint8_t *grown = heap_realloc(body->data, bytes);
  if (!grown) return FLUO_ENOMEM;
  if (body->budget) body->budget->bytes += more;
  body->data = grown;
  body->capacity = bytes;
  return 0;
}

void http_body_release(struct http_body *body) {
  if (body->budget) body->budget->bytes -= body->capacity;
  heap_free(body->data);
  body->data = NULL;
  body->len = body->capacity = 0;
}
