/* The API: what is under /api/v1/ of the admin listener, as JSON. contrib/openapi.json describes it. What the ledger has is
 * asked of its thread, and the answer comes when it does; all else is answered at once. */
#ifndef FLUO_API_H
#define FLUO_API_H
#include "desk.h"
#include "follow.h"
#include "host.h"
#include "http.h"

#define API_PREFIX "/api/v1/"

struct api;

struct api_options {
  bool local;                         /* the listener is on loopback: who asks must be local, and may then also change things */
  uint64_t started_ns;
  struct host *host;                  /* all outlive the API */
  struct desk *desk;
  const struct alerting *alerting;
  struct follow *follow;
  uint64_t (*now_ns)(void *ctx);
  const char *(*ready)(void *ctx);    /* as admin_calls' */
  void (*changed)(void *ctx);         /* something was written: timers may have changed */
  void *ctx;
};

/* NULL: no memory. */
struct api *api_new(const struct api_options *options);
/* After api_end, and after the server is closed. NULL is fine for both. */
void api_free(struct api *a);
/* The calls for requests whose path begins with API_PREFIX. */
struct http_calls api_http(struct api *a);
/* About once a second: questions that the ledger has not answered in time are given up. */
void api_tick(struct api *a);
/* Whoever waits is told that the agent ends, as is who comes from now on. */
void api_end(struct api *a);

struct api_stats { uint64_t waiting, requests, refused, late; };      /* refused: for want of room; late: given up */
struct api_stats api_stats(const struct api *a);

#endif
