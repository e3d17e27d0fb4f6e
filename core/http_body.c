/* The memory of a body: grows by doubling, never past what the body can become, and every byte of
 * capacity is charged to the budget until http_body_release gives it back. A failure changes
 * nothing. What a body leaves is kept for the next one that begins, if it is not too large: most are
 * of about one size, and to grow to it means copies, and pages that the kernel must clear. */
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

bool http_budget_affords(struct http_budget *b, size_t n, size_t body_bytes) {
  size_t max = b->bytes_max + (body_bytes <= b->short_bytes ? b->reserve_bytes : 0);
  while (b->bytes > max || n > max - b->bytes)
    if (!b->make_room || !b->make_room(b)) return false;
  return true;
}

void http_budget_trim(struct http_budget *b) {
  heap_free(b->spare);
  b->spare = NULL;
  b->spare_bytes = 0;
}

static bool take_spare(struct http_body *body, size_t n, size_t expected) {
  struct http_budget *b = body->budget;
  if (body->data || !b || b->spare_bytes < n || !http_budget_affords(b, b->spare_bytes, expected) || !b->spare) return false;
  body->data = b->spare;
  body->capacity = b->spare_bytes;
  b->bytes += b->spare_bytes;
  b->spare = NULL;
  b->spare_bytes = 0;
  return true;
}

/* The larger one is kept. */
static bool leave_spare(struct http_body *body) {
  struct http_budget *b = body->budget;
  if (!b || body->capacity > b->spare_bytes_max || body->capacity <= b->spare_bytes) return false;
  heap_free(b->spare);
  b->spare = body->data;
  b->spare_bytes = body->capacity;
  return true;
}

int http_body_room(struct http_body *body, size_t n, uint64_t bound) {
  assert(body->len <= body->capacity && body->len <= body->bytes_max);
  if (n <= body->capacity - body->len) return 0;
  if (n > body->bytes_max - body->len) return FLUO_ETOOLARGE;
  size_t bytes = (size_t)grown_bytes(body, body->len + n, bound), more = bytes - body->capacity;
  size_t expected = bound < body->bytes_max ? (size_t)bound : bytes; /* what says that it will be long is so already */
  if (take_spare(body, n, expected)) return 0;
  if (body->budget && !http_budget_affords(body->budget, more, expected)) return FLUO_EFULL;
  uint8_t *grown = heap_realloc(body->data, bytes);
  if (!grown) return FLUO_ENOMEM;
  if (body->budget) body->budget->bytes += more;
  body->data = grown;
  body->capacity = bytes;
  return 0;
}

void http_body_release(struct http_body *body) {
  if (body->budget) body->budget->bytes -= body->capacity;
  if (!leave_spare(body)) heap_free(body->data);
  body->data = NULL;
  body->len = body->capacity = 0;
}
