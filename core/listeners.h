/* The agent's two listeners: OTLP over HTTP, and the admin's. */
#ifndef FLUO_LISTENERS_H
#define FLUO_LISTENERS_H
#include "config.h"
#include "server.h"

struct listeners {
  struct server *otlp_http, *admin;   /* NULL: it is off, or gone */
  uint32_t open;
  void (*on_gone)(void *ctx);         /* the last one is gone */
  void *ctx;
};

/* Opens those that are on; *l has on_gone and ctx, and the calls' ctx outlive it. 0; or -1, and *setting (static) and why
 * say what failed: what is open already stays so. */
int listeners_open(struct listeners *l, struct uv_loop_s *loop, const struct config *c, const struct http_calls *otlp_http,
                   const struct http_calls *admin, const char **setting, char why[256]);
/* As server_close does it, each by itself: one is gone while the other may still answer. */
void listeners_close(struct listeners *l, uint64_t drain_ns);
/* Of a listener; 0: it is off. */
uint16_t listeners_port(const struct server *server);

#endif
