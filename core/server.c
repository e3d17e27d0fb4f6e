/* The porch: a listening socket, polled; and what its connections share.
 *
 * Good path: on_readable accepts what is there, a bounded number at a time, and opens a connection
 * each.
 *
 * Ways it fails: at connections_max one that need not be there any more is closed, and polling stops until one is; peers
 * wait in the kernel's backlog. When accept fails for want of descriptors or memory it is counted, and polling stops for
 * 100 ms, for a listening socket that cannot be emptied would spin the loop. (This is why the
 * socket is polled and not given to uv_listen: that one holds an accepted socket back, and may
 * spin.)
 *
 * The end: server_close stops the listener and drains. The server is freed when its last connection
 * and all of its own handles are closed, whichever comes last. */
#include "server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "conn.h"
#include "err.h"
#include "heap.h"

enum { ACCEPTS_MAX = 64, BACKLOG = 511, BACK_OFF_MS = 100, HEAD_BYTES_MAX = 1024 };

const char *const server_timeout_names[SERVER_TIMEOUTS] = {"idle", "header", "body", "write"};

struct server {
  struct porch porch;
  uv_poll_t poll;
  uv_timer_t timer; /* backs off from accepting; then bounds the drain */
  uv_idle_t turns; /* while connections wait for theirs */
  int fd;
  int handles; /* not yet closed */
  uint16_t port;
  bool paused; /* at connections_max, or backing off */
  void (*on_closed)(void *ctx);
  void *ctx;
};

/* ---- the end --------------------------------------------------------------------------------- */

static void server_free(struct server *s) {
  buffer_deinit(&s->porch.head);
  buffer_deinit(&s->porch.body);
  heap_free(s->porch.block);
  http_budget_trim(&s->porch.budget);
  heap_free(s);
}

static void server_finish(struct server *s) {
  if (s->handles > 0) return;
  assert(s->porch.budget.bytes == 0);
  void (*on_closed)(void *ctx) = s->on_closed;
  void *ctx = s->ctx;
  server_free(s);
  if (on_closed) on_closed(ctx);
}

static void on_handle_closed(uv_handle_t *handle) {
  struct server *s = handle->data;
  s->handles--;
  server_finish(s);
}

/* The timer goes last: while connections are left it bounds them. */
static void server_last(struct server *s) {
  if (s->porch.draining && s->porch.stats.connections_open == 0 &&
      !uv_is_closing((uv_handle_t *)&s->timer)) {
    uv_close((uv_handle_t *)&s->timer, on_handle_closed);
    uv_close((uv_handle_t *)&s->turns, on_handle_closed);
  }
}

static void on_drained(uv_timer_t *timer) {
  struct server *s = timer->data;
  conn_drain(&s->porch, true);
}

void server_close(struct server *s, uint64_t drain_ns, void (*on_closed)(void *ctx), void *ctx) {
  if (!s->porch.draining) {
    s->porch.draining = true;
    s->on_closed = on_closed;
    s->ctx = ctx;
    uv_close((uv_handle_t *)&s->poll, on_handle_closed);
    close(s->fd);
    conn_drain(&s->porch, false);
    uv_timer_stop(&s->timer);
  }
  if (drain_ns == 0) conn_drain(&s->porch, true);
  uint64_t left = drain_ns / 1000000;
  if (!uv_is_closing((uv_handle_t *)&s->timer) &&
      (!uv_is_active((uv_handle_t *)&s->timer) || uv_timer_get_due_in(&s->timer) > left))
    uv_timer_start(&s->timer, on_drained, left, 0);
  server_last(s);
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* One a turn of the loop, which looks at all sockets in between. */
static void on_turn(uv_idle_t *turns) {
  struct server *s = turns->data;
  if (!conn_next_turn(&s->porch)) uv_idle_stop(turns);
}

static void on_turns(struct porch *porch) {
  struct server *s = (struct server *)((char *)porch - offsetof(struct server, porch));
  uv_idle_start(&s->turns, on_turn);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events);

static void accept_on(struct server *s) {
  s->paused = false;
  uv_poll_start(&s->poll, UV_READABLE, on_readable);
}

static void on_backed_off(uv_timer_t *timer) {
  struct server *s = timer->data;
  accept_on(s);
}

static void back_off(struct server *s) {
  s->porch.stats.accept_errors++;
  s->paused = true;
  uv_poll_stop(&s->poll);
  uv_timer_start(&s->timer, on_backed_off, BACK_OFF_MS, 0);
}

/* A connection is gone: there is room for one more. */
static void on_gone(struct porch *porch) {
  struct server *s = (struct server *)((char *)porch - offsetof(struct server, porch));
  if (porch->draining)
    server_last(s);
  else if (s->paused && !uv_is_active((uv_handle_t *)&s->timer))
    accept_on(s);
}

static bool is_full(const struct server *s) {
  return s->porch.stats.connections_open >= s->porch.limits.connections_max;
}

/* Somebody waits until one is gone. */
static void make_place(struct server *s) {
  s->porch.stats.connections_full++;
  s->paused = true;
  uv_poll_stop(&s->poll);
  conn_make_place(&s->porch);
}

/* Whether the loop may go on accepting. */
static bool accept_one(struct server *s) {
  int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) {
    if (conn_open(&s->porch, fd) == 0) return true;
    back_off(s);
    return false;
  }
  if (errno == EINTR || errno == ECONNABORTED) return true;
  if (errno != EAGAIN && errno != EWOULDBLOCK) back_off(s);
  return false;
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  struct server *s = poll->data;
  (void)events;
  if (status < 0) {
    back_off(s);
    return;
  }
  if (is_full(s))
    make_place(s);
  else
    for (int i = 0; i < ACCEPTS_MAX && !is_full(s) && accept_one(s); i++) {}
}

/* ---- opening --------------------------------------------------------------------------------- */

static uint64_t or_default(uint64_t value, uint64_t otherwise) {
  return value ? value : otherwise;
}

static struct server_limits limits_of(const struct server_limits *given) {
  struct server_limits l = given ? *given : (struct server_limits){0};
  const uint64_t s = 1000000000;
  l.connections_max = l.connections_max ? l.connections_max : 1024;
  l.body_bytes_max = or_default(l.body_bytes_max, 8 << 20);
  l.bytes_in_flight_max = or_default(l.bytes_in_flight_max, 64 << 20);
  l.idle_ns = or_default(l.idle_ns, 75 * s);
  l.header_ns = or_default(l.header_ns, 10 * s);
  l.body_ns = or_default(l.body_ns, 30 * s);
  l.write_ns = or_default(l.write_ns, 10 * s);
  return l;
}

/* The socket address of a numeric host: its length, 0 where it is none. */
static socklen_t address_of(const char *host, uint16_t port, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  struct sockaddr_in *v4 = (struct sockaddr_in *)out;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
  if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof *v6;
  }
  return 0;
}

static void say_why(char why[256], const char *host, uint16_t port, const char *reason) {
  const char *format = strchr(host, ':') ? "[%s]:%u: %s" : "%s:%u: %s";
  snprintf(why, 256, format, host, port, reason);
  if (errno == EADDRINUSE)
    snprintf(why + strlen(why), 256 - strlen(why),
             "; `ss -ltnp sport = :%u` shows who listens there", port);
}

static int listen_on(const char *host, uint16_t port, int unsent_bytes, char why[256]) {
  struct sockaddr_storage address;
  socklen_t n = address_of(host, port, &address);
  if (n == 0) {
    errno = 0;
    say_why(why, host, port, "not a numeric IPv4 or IPv6 address");
    return FLUO_EINVALID;
  }
  int on = 1, fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) goto err;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  /* Whoever is accepted has it, too. */
  if (unsent_bytes) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &unsent_bytes, sizeof unsent_bytes);
  /* [::] means IPv6 here, whatever the machine's default is; for both, listen on both. */
  if (address.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&address, n) != 0 || listen(fd, BACKLOG) != 0)
    goto err_after_socket;
  return fd;

err_after_socket:
  on = errno;
  close(fd);
  errno = on;
err:
  say_why(why, host, port, strerror(errno));
  return FLUO_EIO;
}

static uint16_t port_of(int fd) {
  union {
    struct sockaddr_storage storage;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } address;
  socklen_t n = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &n) != 0) return 0;
  return ntohs(address.storage.ss_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static struct server *server_alloc(struct uv_loop_s *loop, const struct http_calls *calls,
                                   const struct server_limits *limits) {
  struct server *s = heap_zalloc(sizeof *s);
  if (!s) return NULL;
  s->porch.loop = loop;
  s->porch.calls = *calls;
  s->porch.limits = limits_of(limits);
  s->porch.budget.bytes_max = (size_t)s->porch.limits.bytes_in_flight_max;
  s->porch.budget.short_bytes = (size_t)s->porch.limits.short_bytes;
  s->porch.budget.reserve_bytes = (size_t)s->porch.limits.bytes_reserved;
  s->porch.budget.make_room = conn_make_room;
  s->porch.budget.spare_bytes_max = CONN_BODY_KEPT_BYTES;
  link_init(&s->porch.line);
  link_init(&s->porch.long_line);
  s->porch.on_gone = on_gone;
  s->porch.on_turns = on_turns;
  buffer_init(&s->porch.head, HEAD_BYTES_MAX);
  buffer_init(&s->porch.body, CONN_ANSWER_BYTES_MAX);
  s->porch.block = heap_alloc(CONN_BLOCK_BYTES);
  if (s->porch.block) return s;
  heap_free(s);
  return NULL;
}

int server_open(struct uv_loop_s *loop, const char *host, uint16_t port,
                const struct http_calls *calls, const struct server_limits *limits,
                struct server **out, char why[256]) {
  int err = FLUO_ENOMEM, fd = listen_on(host, port, limits ? (int)limits->unsent_bytes : 0, why);
  if (fd < 0) return fd;
  struct server *s = server_alloc(loop, calls, limits);
  errno = ENOMEM;
  if (!s) goto err_after_listen;
  s->fd = fd;
  s->port = port_of(fd);
  err = FLUO_EIO;
  if (uv_poll_init(loop, &s->poll, fd) != 0) goto err_after_alloc;
  uv_timer_init(loop, &s->timer);
  uv_idle_init(loop, &s->turns);
  s->handles = 3;
  s->poll.data = s->timer.data = s->turns.data = s;
  accept_on(s);
  *out = s;
  return 0;

err_after_alloc:
  server_free(s);
err_after_listen:
  say_why(why, host, port, err_text(err));
  close(fd);
  return err;
}

uint16_t server_port(const struct server *s) {
  return s->port;
}

const struct server_stats *server_stats(const struct server *s) {
  struct server_stats *stats = &((struct server *)(uintptr_t)s)->porch.stats;
  stats->body_bytes_in_flight = s->porch.budget.bytes;
  return stats;
}
