/* A connection: reads, feeds the parser, asks the room behind, answers.
 *
 * Good path: libuv reads into the block that all connections share (or, amid a body of known
 * length, straight into its place); within that same call the bytes go to the parser, and each
 * whole request is answered before the next byte is looked at. An answer that the kernel takes at
 * once, as almost all are, is written from the porch's buffers. So an idle connection holds two
 * handles and a parser, no more.
 *
 * When the peer does not take the answer: what is left of it is copied, the bytes not yet parsed
 * too, and reading stops until it is written. One answer is owed at most.
 *
 * Ways it ends: after a last answer the sending side is shut and what still comes is read past
 * (linger), for closing on unread bytes would make the kernel destroy the answer on its way. An
 * error or the end of the stream, or a step that took too long, closes it; a peer amid a request is
 * told 408 first.
 *
 * Where bodies find no room, the connection that has been at one for longest makes it, while another
 * is being read (conn_make_room).
 *
 * Who frees what: everything belongs to struct conn and is freed with it in on_handle_closed, when
 * libuv has closed both handles. `rest` is charged to the budget as bodies are. */
#include "conn.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "err.h"
#include "heap.h"
#include "http1.h"

/* Each has its time limit. */
enum phase { PHASE_IDLE, PHASE_HEAD, PHASE_BODY, PHASE_WRITE, PHASE_LINGER, PHASE_CLOSED };

enum { CONN_MAGIC = 0x636f6e6e };

struct conn {
  uint32_t magic;
  enum phase phase;
  uv_tcp_t tcp;
  uv_timer_t timer;
  uv_write_t write;
  int handles; /* not yet closed */
  struct porch *porch;
  struct conn *next, **back;
  struct http1 *http;
  bool last;            /* the connection ends with the answer being written */
  bool answered;        /* the request was refused by its head; its body is read past */
  uint64_t deadline_ms; /* of the phase; the timer may come earlier, and then looks again */
  uint64_t end_ms;      /* of body and linger: not past this, whatever progress there is */
  uint64_t since_ms;    /* when the phase began */
  char *out;            /* what the peer did not take yet */
  size_t out_left;      /* of it at the last look */
  char *rest;           /* bytes to parse after that */
  size_t rest_bytes;
};

static void conn_take(struct conn *c, const char *bytes, size_t n);

static struct conn *conn_of(void *data) {
  struct conn *c = data;
  assert(c && c->magic == CONN_MAGIC);
  return c;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void drop_rest(struct conn *c) {
  c->porch->budget.bytes -= c->rest_bytes;
  heap_free(c->rest);
  c->rest = NULL;
  c->rest_bytes = 0;
}

static void on_handle_closed(uv_handle_t *handle) {
  struct conn *c = conn_of(handle->data);
  if (--c->handles > 0) return;
  struct porch *porch = c->porch;
  http1_free(c->http);
  drop_rest(c);
  heap_free(c->out);
  c->magic = 0;
  heap_free(c);
  porch->stats.connections_open--;
  porch->on_gone(porch);
}

static void conn_close(struct conn *c) {
  if (c->phase == PHASE_CLOSED) return;
  c->phase = PHASE_CLOSED;
  *c->back = c->next;
  if (c->next) c->next->back = c->back;
  uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
  uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

/* ---- time ------------------------------------------------------------------------------------ */

static uint64_t now_ms(const struct conn *c) {
  return uv_now(c->porch->loop);
}

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
static void conn_extend(struct conn *c) {
  c->deadline_ms = now_ms(c) + phase_ms(c);
  if ((c->phase == PHASE_BODY || c->phase == PHASE_LINGER) && c->deadline_ms > c->end_ms)
    c->deadline_ms = c->end_ms;
  uint64_t left = c->deadline_ms > now_ms(c) ? c->deadline_ms - now_ms(c) : 0;
  if (!uv_is_active((uv_handle_t *)&c->timer) || uv_timer_get_due_in(&c->timer) > left)
    uv_timer_start(&c->timer, on_timer, left, 0);
}

static void conn_enter(struct conn *c, enum phase phase) {
  c->phase = phase;
  c->since_ms = now_ms(c);
  if (phase == PHASE_BODY) c->end_ms = now_ms(c) + phase_ms(c) * CONN_BODY_FACTOR;
  if (phase == PHASE_LINGER) c->end_ms = now_ms(c) + (uint64_t)CONN_LINGER_MS * 5;
  conn_extend(c);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void read_on(struct conn *c) {
  int err = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
  if (err != 0 && err != UV_EALREADY) conn_close(c);
}

/* The last answer is on its way: no more from us, but hear the peer out. */
static void conn_linger(struct conn *c) {
  uv_os_fd_t fd;
  drop_rest(c);
  if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0 || shutdown(fd, SHUT_WR) != 0) {
    conn_close(c);
    return;
  }
  conn_enter(c, PHASE_LINGER);
  read_on(c);
}

/* The kernel has the answer. Reading goes on in on_written, and was never stopped elsewhere. */
static void conn_sent(struct conn *c) {
  if (c->last)
    conn_linger(c);
  else
    conn_enter(c, http1_begun(c->http) ? PHASE_BODY : PHASE_IDLE);
}

static void on_written(uv_write_t *write, int status) {
  struct conn *c = conn_of(write->data);
  heap_free(c->out);
  c->out = NULL;
  if (c->phase == PHASE_CLOSED) return;
  if (status < 0) {
    conn_close(c);
    return;
  }
  c->porch->stats.bytes_written += c->out_left;
  conn_sent(c);
  if (c->last || c->phase == PHASE_CLOSED) return;
  char *rest = c->rest;
  size_t n = c->rest_bytes;
  c->rest = NULL;
  c->rest_bytes = 0;
  c->porch->budget.bytes -= n;
  conn_take(c, rest, n);
  heap_free(rest);
  if (c->phase < PHASE_WRITE) read_on(c);
}

/* The peer is slow: keep what it did not take. */
static void conn_queue(struct conn *c, const uv_buf_t bufs[2], size_t sent) {
  size_t n = bufs[0].len + bufs[1].len - sent, first = sent < bufs[0].len ? bufs[0].len - sent : 0;
  c->out = heap_alloc(n);
  if (!c->out) {
    conn_close(c);
    return;
  }
  if (first) memcpy(c->out, bufs[0].base + sent, first);
  if (n > first) memcpy(c->out + first, bufs[1].base + (bufs[1].len - (n - first)), n - first);
  c->out_left = n;
  c->write.data = c;
  uv_buf_t buf = uv_buf_init(c->out, (unsigned)n);
  uv_read_stop((uv_stream_t *)&c->tcp);
  conn_enter(c, PHASE_WRITE);
  if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) != 0) conn_close(c);
}

static void conn_send(struct conn *c, const char *head, size_t head_bytes, const char *body,
                      size_t body_bytes) {
  uv_buf_t bufs[2] = {uv_buf_init((char *)(uintptr_t)head, (unsigned)head_bytes),
                      uv_buf_init((char *)(uintptr_t)body, (unsigned)body_bytes)};
  int sent = uv_try_write((uv_stream_t *)&c->tcp, bufs, body_bytes ? 2 : 1);
  if (sent == UV_EAGAIN) sent = 0;
  if (sent < 0) {
    conn_close(c);
    return;
  }
  c->porch->stats.bytes_written += (uint64_t)sent;
  if ((size_t)sent == head_bytes + body_bytes)
    conn_sent(c);
  else
    conn_queue(c, bufs, (size_t)sent);
}

/* ---- answering ------------------------------------------------------------------------------- */

static struct http_response answer_begin(struct conn *c) {
  buffer_clear(&c->porch->body);
  return (struct http_response){.body = &c->porch->body};
}

/* Sends the answer. keep: the connection may serve another request. bare: no body (HEAD). */
static void conn_answer(struct conn *c, struct http_response *response, bool keep, bool bare) {
  struct porch *porch = c->porch;
  if (c->phase == PHASE_CLOSED) return; /* cut by the room behind */
  assert(response->status >= 200 && response->status < SERVER_STATUS_MAX);
  if (porch->body.err) { /* no memory for all of it: send none of it */
    buffer_clear(&porch->body);
    response->status = 503;
    response->content_type = NULL;
    response->retry_after_s = 1;
  }
  c->last = !keep || response->close || porch->draining;
  porch->stats.requests++;
  porch->stats.responses[response->status]++;
  if (response->status == 503) porch->stats.overloads++;
  buffer_clear(&porch->head);
  if (http_head(&porch->head, response, porch->body.len, !c->last, http_date(&porch->date)) != 0) {
    conn_close(c);
    return;
  }
  conn_send(c, porch->head.data, porch->head.len, porch->body.data, bare ? 0 : porch->body.len);
  if (porch->body.capacity > CONN_ANSWER_KEPT_BYTES) {
    buffer_deinit(&porch->body);
    buffer_init(&porch->body, CONN_ANSWER_BYTES_MAX);
  }
}

/* The hall's own refusals end the connection: where a next request would begin is unknown. */
static void conn_refuse(struct conn *c, int status, const char *why, bool has_head) {
  const struct http_calls *calls = &c->porch->calls;
  struct http_response response = answer_begin(c);
  response.status = status;
  if (status == 503) response.retry_after_s = 1;
  if (has_head && calls->on_refuse)
    calls->on_refuse(calls->ctx, http1_request(c->http), why, &response);
  if (response.body->len == 0 && !response.content_type) http_say(&response, status, "%s", why);
  conn_answer(c, &response, false, has_head && http1_request(c->http)->verb == HTTP_VERB_HEAD);
}

static void take_head(struct conn *c) {
  const struct http_calls *calls = &c->porch->calls;
  const struct http_request *request = http1_request(c->http);
  struct http_response response = answer_begin(c);
  conn_enter(c, PHASE_BODY);
  calls->on_head(calls->ctx, request, &response);
  if (!response.status) return;
  c->answered = true;
  /* A small body that is on its way is read past, so that the connection lives on. */
  bool keep = request->keep_alive && !request->expects_continue &&
              (request->chunked || http1_left(c->http) <= HTTP1_DISCARD_BYTES_MAX);
  http1_discard(c->http);
  conn_answer(c, &response, keep, request->verb == HTTP_VERB_HEAD);
}

static void take_request(struct conn *c) {
  const struct http_calls *calls = &c->porch->calls;
  const struct http_request *request = http1_request(c->http);
  if (c->answered) {
    c->answered = false;
    http1_next(c->http);
    conn_enter(c, PHASE_IDLE);
    return;
  }
  struct http_response response = answer_begin(c);
  calls->on_request(calls->ctx, request, &response);
  bool keep = request->keep_alive, bare = request->verb == HTTP_VERB_HEAD;
  http1_next(c->http);
  conn_answer(c, &response, keep, bare);
}

static void take_error(struct conn *c) {
  struct http1_error error = http1_error(c->http);
  if (!c->answered)
    conn_refuse(c, error.status, error.why, error.has_head);
  else
    conn_linger(c);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* All bytes are parsed, the request is not whole. fresh: nothing of its body came with its head. */
static void conn_wait(struct conn *c, bool fresh) {
  static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
  if (c->phase == PHASE_IDLE && http1_begun(c->http))
    conn_enter(c, PHASE_HEAD);
  else if (c->phase == PHASE_BODY)
    conn_extend(c);
  if (fresh && !c->answered && http1_request(c->http)->expects_continue) {
    c->last = false;
    conn_send(c, go_on, sizeof go_on - 1, NULL, 0);
  }
}

static void keep_rest(struct conn *c, const char *bytes, size_t n) {
  struct http_budget *budget = &c->porch->budget;
  c->rest = http_budget_affords(budget, n) ? heap_alloc(n) : NULL;
  if (!c->rest) {
    conn_close(c);
    return;
  }
  memcpy(c->rest, bytes, n);
  c->rest_bytes = n;
  budget->bytes += n;
}

/* Parses the bytes and acts on what they complete, until they are used up, an answer must wait for
 * the peer, or the connection ends. */
static void conn_take(struct conn *c, const char *bytes, size_t n) {
  bool fresh = false;
  while (c->phase < PHASE_WRITE) {
    size_t taken;
    c->porch->current = c;
    enum http1_event event = http1_feed(c->http, bytes, n, &taken);
    if (taken) bytes += taken, n -= taken;
    if (event == HTTP1_MORE) {
      assert(n == 0);
      conn_wait(c, fresh);
      return;
    }
    fresh = event == HTTP1_HEAD && n == 0;
    if (event == HTTP1_HEAD)
      take_head(c);
    else if (event == HTTP1_REQUEST)
      take_request(c);
    else
      take_error(c);
  }
  if (c->phase == PHASE_WRITE && !c->last && n > 0) keep_rest(c, bytes, n);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  struct conn *c = conn_of(handle->data);
  size_t n;
  c->porch->current = c;
  char *place = c->phase == PHASE_BODY ? http1_lend(c->http, &n) : NULL;
  *buf = place ? uv_buf_init(place, (unsigned)(n < INT32_MAX ? n : INT32_MAX))
               : uv_buf_init(c->porch->block, CONN_BLOCK_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct conn *c = conn_of(stream->data);
  if (n == 0 || c->phase == PHASE_CLOSED) return;
  if (n < 0) { /* the end: a request that is not whole goes with it */
    conn_close(c);
    return;
  }
  c->porch->stats.bytes_read += (uint64_t)n;
  if (c->phase == PHASE_LINGER)
    conn_extend(c);
  else
    conn_take(c, buf->base, (size_t)n);
}

/* ---- making room ----------------------------------------------------------------------------- */

static size_t held(const struct conn *c) {
  return c->phase == PHASE_BODY || c->phase == PHASE_WRITE ? http1_held(c->http) + c->rest_bytes : 0;
}

bool conn_make_room(struct http_budget *budget) {
  struct porch *porch = (struct porch *)(void *)((char *)budget - offsetof(struct porch, budget));
  struct conn *oldest = NULL;
  for (struct conn *c = porch->conns; c; c = c->next)
    if (c != porch->current && held(c) && (!oldest || c->since_ms < oldest->since_ms)) oldest = c;
  if (!oldest || now_ms(oldest) - oldest->since_ms < CONN_PATIENCE_MS) return false;
  http1_abandon(oldest->http);
  drop_rest(oldest);
  if (oldest->phase == PHASE_BODY && !oldest->answered)
    conn_refuse(oldest, 503, "too many bodies are being received, and this one is slow", true);
  else
    conn_close(oldest);
  return true;
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
  default: conn_close(c);
  }
}

static void on_timer(uv_timer_t *timer) {
  struct conn *c = conn_of(timer->data);
  if (c->phase == PHASE_CLOSED) return;
  uint64_t now = now_ms(c);
  if (now < c->deadline_ms)
    uv_timer_start(timer, on_timer, c->deadline_ms - now, 0);
  else
    conn_late(c);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static void conn_link(struct conn *c) {
  struct porch *porch = c->porch;
  c->next = porch->conns;
  c->back = &porch->conns;
  if (c->next) c->next->back = &c->next;
  porch->conns = c;
  porch->stats.connections_open++;
}

int conn_open(struct porch *porch, int fd) {
  struct conn *c = heap_zalloc(sizeof *c);
  if (!c) goto err_after_fd;
  if (http1_new(porch->limits.body_bytes_max, &porch->budget, &c->http) != 0) goto err_after_alloc;
  c->magic = CONN_MAGIC;
  c->porch = porch;
  c->handles = 2;
  uv_timer_init(porch->loop, &c->timer);
  uv_tcp_init(porch->loop, &c->tcp);
  c->timer.data = c->tcp.data = c;
  conn_link(c);
  if (uv_tcp_open(&c->tcp, fd) != 0) {
    close(fd);
    conn_close(c);
    return FLUO_EIO;
  }
  porch->stats.connections_accepted++;
  uv_tcp_nodelay(&c->tcp, 1);
  conn_enter(c, PHASE_IDLE);
  read_on(c);
  return 0;

err_after_alloc:
  heap_free(c);
err_after_fd:
  close(fd);
  return FLUO_ENOMEM;
}

void conn_drain(struct porch *porch, bool cut) {
  struct conn *next;
  for (struct conn *c = porch->conns; c; c = next) {
    next = c->next;
    if (cut || c->phase == PHASE_IDLE) conn_close(c);
  }
}
