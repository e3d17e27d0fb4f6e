/* The admin listener's pages: /-/healthy, /-/ready, /-/reload, /metrics, /api/v1/record, and / which lists them. What else is
 * under /api/v1/ is the API's. */
#ifndef FLUO_ADMIN_H
#define FLUO_ADMIN_H
#include "http.h"

enum admin_bounds { ADMIN_BODY_BYTES_MAX = 65536 };    /* for the server's limits */

struct admin_calls {
  /* NULL when ready, else a static text that says what is missing. */
  const char *(*ready)(void *ctx);
  /* Appends the page in Prometheus text format 0.0.4. 0 or a negative fluo_err (500 then). */
  int (*metrics)(void *ctx, struct buffer *out);
  /* Says how the last reload of the rules went. */
  void (*reload_page)(void *ctx, struct http_response *response);
  /* Has the rules reloaded; NULL: whoever is here may not ask for that. */
  void (*reload)(void *ctx);
  void *ctx;
  /* Answers a request to record, as http_calls' on_request; NULL: whoever is here may not ask for that. */
  void (*record)(void *ctx, const struct http_request *request, struct http_response *response);
  struct http_calls api;              /* its requests go there; on_head NULL: there is none */
};

/* What to open the server with; `calls` outlives it. */
void admin_http(const struct admin_calls *calls, struct http_calls *out);

#endif
