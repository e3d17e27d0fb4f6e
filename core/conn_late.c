/* Connections and time: each phase has its deadline, and what is done about a peer that is past it; and
 * who makes room where bodies find none. A connection has one timer, which may come too early, and
 * then looks again. A deadline that is past is looked at twice, with a look at the sockets in between: where it
 * was the loop that stood still, or the machine, the peer's bytes have been there all the while. */
#include <stddef.h>

#include "conn_parts.h"

/* ---- time ------------------------------------------------------------------------------------ */

static uint64_t phase_ms(const struct conn *c) {
  const struct server_limits *l = &c->porch->limits;
  switch (c->phase) {
  case PHASE_IDLE: return l->idle_ns / 1000000;
  case PHASE_HEAD: return l->header_ns / 1000000;
  case PHASE_BODY: return l->body_ns / 1000000;
  case PHASE_WRITE: return l->write_ns / 1000000;
  default: return CONN_LINGER_MS;
  }
}

static void on_timer(uv_timer_t *timer);

/* Sets the deadline anew. The timer is only moved when it would come too late: most deadlines are
 * replaced long before they are due. */
void conn_extend(struct conn *c) {
  c->deadline_ms = conn_now_ms(c) + phase_ms(c);
  if ((c->phase == PHASE_BODY || c->phase == PHASE_LINGER) && c->deadline_ms > c->end_ms)
    c->deadline_ms = c->end_ms;
  uint64_t left = c->deadline_ms > conn_now_ms(c) ? c->deadline_ms - conn_now_ms(c) : 0;
  if (!uv_is_active((uv_handle_t *)&c->timer) || uv_timer_get_due_in(&c->timer) > left)
    uv_timer_start(&c->timer, on_timer, left, 0);
}

void conn_enter(struct conn *c, enum phase phase) {
  c->phase = phase;
  c->since_ms = conn_now_ms(c);
  if (phase == PHASE_BODY) c->end_ms = conn_now_ms(c) + phase_ms(c) * CONN_BODY_FACTOR;
  if (phase == PHASE_LINGER) c->end_ms = conn_now_ms(c) + (uint64_t)CONN_LINGER_MS * 5;
  conn_extend(c);
}

/* ---- making room ----------------------------------------------------------------------------- */

static size_t held(const struct conn *c) {
  return c->phase == PHASE_BODY || c->phase == PHASE_WRITE ? http1_held(c->http) + c->rest_bytes : 0;
}

bool conn_make_room(struct http_budget *budget) {
  struct porch *porch = (struct porch *)(void *)((char *)budget - offsetof(struct porch, budget));
  struct conn *oldest = NULL;
  for (struct conn *c = porch->conns; c; c = c->next)
    if (c != porch->current && link_alone(&c->turn) && held(c) && (!oldest || c->since_ms < oldest->since_ms)) oldest = c;
  if (!oldest || conn_now_ms(oldest) - oldest->since_ms < CONN_PATIENCE_MS) return false;
  http1_abandon(oldest->http);
  conn_drop_rest(oldest);
  if (oldest->phase == PHASE_BODY && !oldest->answered)
    conn_refuse(oldest, 503, "too many bodies are being received, and this one is slow", true);
  else
    conn_close(oldest);
  return true;
}

void conn_make_place(struct porch *porch) {
  struct conn *oldest = NULL;
  for (struct conn *c = porch->conns; c; c = c->next)
    if (c->phase == PHASE_LINGER && (!oldest || c->since_ms <= oldest->since_ms)) oldest = c;
  if (oldest) conn_close(oldest);
}

/* ---- too late -------------------------------------------------------------------------------- */

/* A peer that takes bytes, however slowly, is given more time. */
static void write_late(struct conn *c) {
  size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
  if (left < c->out_left) {
    c->porch->stats.bytes_written += c->out_left - left;
    c->out_left = left;
    conn_extend(c);
    return;
  }
  c->porch->stats.timeouts[SERVER_TIMEOUT_WRITE]++;
  conn_close(c);
}

static void conn_late(struct conn *c) {
  switch (c->phase) {
  case PHASE_IDLE:
    c->porch->stats.timeouts[SERVER_TIMEOUT_IDLE]++;
    conn_close(c);
    break;
  case PHASE_HEAD:
    c->porch->stats.timeouts[SERVER_TIMEOUT_HEADER]++;
    conn_refuse(c, 408, "the head of the request took too long", false);
    break;
  case PHASE_BODY:
    c->porch->stats.timeouts[SERVER_TIMEOUT_BODY]++;
    if (c->answered)
      conn_close(c);
    else
      conn_refuse(c, 408, "the body of the request took too long", true);
    break;
  case PHASE_WRITE: write_late(c); break;
  case PHASE_TURN: conn_extend(c); break; /* it is for us to be late */
  default: conn_close(c);
  }
}

static void on_timer(uv_timer_t *timer) {
  struct conn *c = conn_of(timer->data);
  if (c->phase == PHASE_CLOSED) return;
  uint64_t now = conn_now_ms(c);
  if (now < c->deadline_ms) {
    uv_timer_start(timer, on_timer, c->deadline_ms - now, 0);
  } else if (c->late_ms != c->deadline_ms) {
    c->late_ms = c->deadline_ms;
    uv_timer_start(timer, on_timer, 1, 0); /* not 0: that would be before the sockets */
  } else {
    conn_late(c);
  }
}
