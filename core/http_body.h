/* A request's body as it grows: bounded by itself, and by a budget that it shares with all others. */
#ifndef FLUO_HTTP_BODY_H
#define FLUO_HTTP_BODY_H
#include "http.h"

enum { HTTP_BODY_STEP_BYTES = 65536 };       /* the least it grows by, up to what it can become */

struct http_body {
  uint8_t *data;               /* owned */
  size_t len, capacity;        /* capacity is what the budget is charged */
  uint64_t bytes_max;
  struct http_budget *budget;  /* NULL: none */
};

/* Room for n more bytes behind len; the body will not become longer than `bound` (its known length, or
 * bytes_max). 0; FLUO_ETOOLARGE past bytes_max, FLUO_EFULL past the budget, FLUO_ENOMEM. */
int http_body_room(struct http_body *body, size_t n, uint64_t bound);
/* Gives its memory back, to the budget too. */
void http_body_release(struct http_body *body);

#endif
