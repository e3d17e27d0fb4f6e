/* The listeners. What each may take follows from the configuration: what bodies may hold in memory, from how large one may
 * be. One that cannot be opened ends the start, which closes the other. */
#include "listeners.h"

#include "admin.h"
#include "limits.h"

static void gone(struct listeners *l) {
  if (!--l->open) l->on_gone(l->ctx);
}

static void on_otlp_closed(void *ctx) {
  struct listeners *l = ctx;
  l->otlp_http = NULL;
  gone(l);
}

static void on_admin_closed(void *ctx) {
  struct listeners *l = ctx;
  l->admin = NULL;
  gone(l);
}

static struct server_limits limits_of(const struct config *c, uint64_t body_bytes_max) {
  uint64_t in_flight = body_bytes_max / 8 * LIMIT_BODIES_IN_FLIGHT_EIGHTHS;
  if (in_flight < LIMIT_BODIES_IN_FLIGHT_BYTES) in_flight = LIMIT_BODIES_IN_FLIGHT_BYTES;
  return (struct server_limits){.connections_max = c->http.connections_max,
                                .body_bytes_max = body_bytes_max,
                                .bytes_in_flight_max = in_flight,
                                .short_bytes = LIMIT_SHORT_BYTES,
                                .bytes_reserved = LIMIT_BODIES_RESERVE_BYTES,
                                .idle_ns = c->http.idle_ns,
                                .header_ns = c->http.header_ns,
                                .body_ns = c->http.body_ns};
}

static int open_one(struct listeners *l, struct uv_loop_s *loop, const struct config_address *address,
                    const struct http_calls *calls, struct server_limits limits, struct server **out, char why[256]) {
  if (address->off) return 0;
  if (server_open(loop, address->host, address->port, calls, &limits, out, why)) return -1;
  l->open++;
  return 0;
}

int listeners_open(struct listeners *l, struct uv_loop_s *loop, const struct config *c, const struct http_calls *otlp_http,
                   const struct http_calls *admin, const char **setting, char why[256]) {
  struct server_limits otlp_limits = limits_of(c, c->http.body_bytes_max), admin_limits = limits_of(c, ADMIN_BODY_BYTES_MAX);
  otlp_limits.unsent_bytes = LIMIT_UNSENT_BYTES;
  *setting = "listen.otlp_http";
  if (open_one(l, loop, &c->listen.otlp_http, otlp_http, otlp_limits, &l->otlp_http, why)) return -1;
  *setting = "listen.admin";
  return open_one(l, loop, &c->listen.admin, admin, admin_limits, &l->admin, why);
}

void listeners_close(struct listeners *l, uint64_t drain_ns) {
  if (l->otlp_http) server_close(l->otlp_http, drain_ns, on_otlp_closed, l);
  if (l->admin) server_close(l->admin, drain_ns, on_admin_closed, l);
}

uint16_t listeners_port(const struct server *server) {
  return server ? server_port(server) : 0;
}
