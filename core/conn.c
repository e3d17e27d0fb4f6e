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
 * When a request takes long, many came at once, or bytes are many or take long to parse: reading stops as well, the
 * connection joins the line of those whose turn is to come, and the room behind is asked again, one connection a turn
 * of the loop (conn_next_turn). What is closed meanwhile stays until then. Those that send long bodies, or bytes that
 * are read past, have a line of their own, and share what may be read of them in a turn: a crowd of them waits for itself.
 *
 * Where bodies find no room, the connection that has been at one for longest makes it, while another
 * is being read (conn_make_room).
 *
 * Who frees what: everything belongs to struct conn and is freed with it in on_handle_closed, when
 * libuv has closed both handles and no turn is waited for. `rest` is charged to the budget as bodies are. */
#include "conn.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn_parts.h"
#include "err.h"
#include "heap.h"
#include "limits.h"

static void conn_take(struct conn *c, const char *bytes, size_t n);

/* ---- the end --------------------------------------------------------------------------------- */

void conn_drop_rest(struct conn *c) {
  c->porch->budget.bytes -= c->rest_bytes;
  heap_free(c->rest);
  c->rest = NULL;
  c->rest_bytes = 0;
}

static void conn_release(struct conn *c) {
  if (--c->holds > 0) return;
  struct porch *porch = c->porch;
  http1_free(c->http);
  conn_drop_rest(c);
  heap_free(c->out);
  c->magic = 0;
  heap_free(c);
  porch->stats.connections_open--;
  porch->on_gone(porch);
}

static void on_handle_closed(uv_handle_t *handle) {
  conn_release(conn_of(handle->data));
}

void conn_close(struct conn *c) {
  if (c->phase == PHASE_CLOSED) return;
  c->phase = PHASE_CLOSED;
  *c->back = c->next;
  if (c->next) c->next->back = c->back;
  uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
  uv_close((uv_handle_t *)&c->timer, on_handle_closed);
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
  http1_abandon(c->http); /* a body that was refused is not held any longer */
  conn_drop_rest(c);
  if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0 || shutdown(fd, SHUT_WR) != 0) {
    conn_close(c);
    return;
  }
  conn_enter(c, PHASE_LINGER);
  read_on(c);
}

/* The kernel has the answer. Reading goes on in on_written, and was never stopped elsewhere. */
static void conn_sent(struct conn *c) {
  if (c->streaming)
    conn_enter(c, PHASE_TURN);
  else if (c->last)
    conn_linger(c);
  else
    conn_enter(c, http1_begun(c->http) ? PHASE_BODY : PHASE_IDLE);
}

/* Parses what was kept, and reads again. */
static void conn_go_on(struct conn *c) {
  if (c->phase == PHASE_LINGER) read_on(c);
  if (c->phase >= PHASE_WRITE) return;
  char *rest = c->rest;
  size_t n = c->rest_bytes;
  c->rest = NULL;
  c->rest_bytes = 0;
  c->porch->budget.bytes -= n;
  conn_take(c, rest, n);
  heap_free(rest);
  if (c->phase < PHASE_WRITE) read_on(c);
}

static void turn_take(struct conn *c);

static void on_written(uv_write_t *write, int status) {
  struct conn *c = conn_of(write->data);
  heap_free(c->out);
  c->out = NULL;
  if (c->woken) turn_take(c);
  if (c->phase == PHASE_CLOSED) return;
  if (status < 0) {
    conn_close(c);
    return;
  }
  c->porch->stats.bytes_written += c->out_left;
  conn_sent(c);
  conn_go_on(c);
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

void conn_refuse(struct conn *c, int status, const char *why, bool has_head) {
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

/* What it was held for, by take_request or conn_next_turn, has come. */
static void turn_take(struct conn *c) {
  c->woken = false;
  conn_join(c);
  conn_release(c);
}

static void on_wake(void *waiter) {
  turn_take(conn_of(waiter));
}

/* Reading stops until its turn has come. */
static void turn_wait(struct conn *c) {
  if (c->phase == PHASE_CLOSED) return;
  uv_read_stop((uv_stream_t *)&c->tcp);
  conn_enter(c, PHASE_TURN);
}

/* Sends a piece of an answer without a length; `last`: there is no more. */
static void conn_stream(struct conn *c, struct http_response *response, bool last) {
  struct porch *porch = c->porch;
  bool first = !c->streaming;
  c->streaming = !last;
  c->last = true;
  if (c->phase == PHASE_CLOSED) return;
  buffer_clear(&porch->head);
  if (first) {
    porch->stats.requests++;
    porch->stats.responses[response->status]++;
    http_head(&porch->head, response, (size_t)HTTP_LENGTH_UNKNOWN, false, http_date(&porch->date));
  }
  if (porch->head.err || porch->body.err) { /* its end is missing, which tells the peer */
    conn_close(c);
    return;
  }
  uv_read_stop((uv_stream_t *)&c->tcp);
  conn_send(c, porch->head.data, porch->head.len, porch->body.data, porch->body.len);
}

static void take_request(struct conn *c) {
  const struct http_calls *calls = &c->porch->calls;
  struct http_request *request = http1_request(c->http);
  if (c->answered) {
    c->answered = false;
    http1_next(c->http);
    conn_enter(c, PHASE_IDLE);
    return;
  }
  struct http_response response = answer_begin(c);
  request->work = &c->work;
  request->wake = on_wake;
  request->waiter = c;
  request->budget = &c->porch->budget;
  request->gone = c->phase == PHASE_CLOSED;
  calls->on_request(calls->ctx, request, &response);
  c->working = response.later != HTTP_NOW;
  if (response.later == HTTP_NEXT_TURN) conn_join(c);
  if (response.later >= HTTP_WAIT) c->holds++;
  if (response.later == HTTP_STREAM || c->streaming) {
    conn_stream(c, &response, !c->working);
    return;
  }
  if (c->working) {
    turn_wait(c);
    return;
  }
  bool keep = request->keep_alive, bare = request->verb == HTTP_VERB_HEAD;
  http1_next(c->http);
  conn_answer(c, &response, keep, bare);
}

static void turn_come(struct conn *c) {
  c->porch->current = c;
  if (c->working && c->phase == PHASE_WRITE) {
    c->woken = true; /* on_written has it called again */
    return;
  }
  if (c->working)
    take_request(c);
  else if (c->phase == PHASE_TURN)
    conn_enter(c, PHASE_IDLE);
  conn_go_on(c);
  conn_release(c);
}

bool conn_next_turn(struct porch *porch) {
  struct conn *c = conn_leave(&porch->line);
  bool any = c != NULL;
  porch->pipelined = 0;
  porch->long_bytes = 0;
  if (c) turn_come(c);
  for (int i = 0; i < CONN_LONG_A_TURN && (c = conn_leave(&porch->long_line)); i++, any = true) turn_come(c);
  return any;
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
  /* SIZE_MAX: a peer that does not read what it is answered is no short body, and has no part in their reserve. */
  c->rest = http_budget_affords(budget, n, SIZE_MAX) ? heap_alloc(n) : NULL;
  if (!c->rest) {
    conn_close(c);
    return;
  }
  memcpy(c->rest, bytes, n);
  c->rest_bytes = n;
  budget->bytes += n;
}

/* A request that came behind another waits for its connection's turn where this turn has answered enough of that kind. */
static bool pipelined_enough(struct porch *porch) {
  return ++porch->pipelined >= LIMIT_REQUESTS_A_TURN;
}

/* Parses the bytes and acts on what they complete, until they are used up, an answer must wait for
 * the peer or its turn, or the connection ends. */
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
    if (event != HTTP1_REQUEST || n == 0 || c->phase != PHASE_IDLE || !pipelined_enough(c->porch)) continue;
    turn_wait(c);
    conn_join(c);
  }
  bool waits = c->phase == PHASE_TURN || (c->phase == PHASE_WRITE && !c->last);
  if (waits && n > 0) keep_rest(c, bytes, n);
}

/* No room: it has to wait for its turn. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  struct conn *c = conn_of(handle->data);
  size_t n;
  c->porch->current = c;
  *buf = uv_buf_init(NULL, 0);
  if (conn_must_wait(c)) return;
  char *place = c->phase == PHASE_BODY ? http1_lend(c->http, &n) : NULL;
  *buf = place ? uv_buf_init(place, (unsigned)(n < LIMIT_READ_A_TURN_BYTES ? n : LIMIT_READ_A_TURN_BYTES))
               : uv_buf_init(c->porch->block, c->phase == PHASE_BODY ? CONN_BLOCK_BYTES : CONN_HEAD_BYTES);
}

/* Amid its phase, whose time goes on. */
static void line_up(struct conn *c) {
  uv_read_stop((uv_stream_t *)&c->tcp);
  conn_join(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct conn *c = conn_of(stream->data);
  if (n == 0 || c->phase == PHASE_CLOSED) return;
  if (n == UV_ENOBUFS) {
    line_up(c);
    return;
  }
  if (n < 0) { /* the end: a request that is not whole goes with it */
    conn_close(c);
    return;
  }
  c->porch->stats.bytes_read += (uint64_t)n;
  if (c->phase == PHASE_LINGER)
    conn_extend(c);
  else
    conn_take(c, buf->base, (size_t)n);
  bool enough = conn_has_share(c, (size_t)n) || (c->phase == PHASE_BODY && http1_tires(c->http));
  if (enough && c->phase < PHASE_WRITE) line_up(c);
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
  c->holds = 2;
  link_init(&c->turn);
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
