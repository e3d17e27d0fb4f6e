/* Connections whose turn is to come. Two lines: of those that send much, long bodies or bytes that are read past, a few go
 * on each turn of the loop, and all of them share what is read of such in it; of the others one. So a crowd of the former
 * delays itself, whatever it sends, and the others wait for a turn that is short. */
#include <stddef.h>

#include "conn_parts.h"
#include "limits.h"

/* Whether nobody waits for the rest of what it sends, or only after much more of it. */
static bool is_long(const struct conn *c) {
  if (c->phase != PHASE_BODY || c->answered) return c->phase == PHASE_LINGER || c->answered;
  uint64_t left = http1_left(c->http);
  return (left == UINT64_MAX ? http1_held(c->http) : left) > c->porch->budget.short_bytes;
}

void conn_join(struct conn *c) {
  struct porch *porch = c->porch;
  assert(link_alone(&c->turn));
  c->holds++;
  link_append(is_long(c) ? &porch->long_line : &porch->line, &c->turn);
  porch->on_turns(porch);
}

struct conn *conn_leave(struct link *line) {
  if (link_alone(line)) return NULL;
  struct conn *c = (struct conn *)(void *)((char *)line->next - offsetof(struct conn, turn));
  link_remove(&c->turn);
  return c;
}

bool conn_must_wait(const struct conn *c) {
  return c->porch->long_bytes >= LIMIT_READ_A_TURN_BYTES && is_long(c);
}

/* libuv reads on while a read fills what it was given, so a peer that sends as fast as we take would keep the loop for
 * dozens of requests. Within a turn the loop's clock stands still. */
bool conn_has_share(struct conn *c, size_t n) {
  if (c->read_ms != conn_now_ms(c)) c->read_bytes = 0;
  c->read_ms = conn_now_ms(c);
  c->read_bytes += n;
  if (is_long(c)) c->porch->long_bytes += n;
  if (c->read_bytes < LIMIT_READ_A_TURN_BYTES) return false;
  c->read_bytes = 0;
  return true;
}
