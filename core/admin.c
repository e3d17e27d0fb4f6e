/* The admin listener's pages. Moves no data: each page is written straight into the answer. */
#include "admin.h"

#include <string.h>

#include "err.h"

static const char index_text[] = "FLUO\n"
                                 "  /-/healthy  200 while the agent runs\n"
                                 "  /-/ready    200 once it takes spans and judges them\n"
                                 "  /-/reload   POST: reads the rules again; GET: how that went\n"
                                 "  /metrics    its own figures, for Prometheus\n"
                                 "  /api/v1/record  traces as they arrive, as lines of OTLP/JSON; see fluo record\n"
                                 "  /api/v1/status  and what contrib/openapi.json lists, as JSON\n";
static const char text_type[] = "text/plain; charset=utf-8";

static void page_index(const struct admin_calls *calls, const struct http_request *request,
                       struct http_response *response) {
  (void)calls, (void)request;
  response->status = 200;
  response->content_type = text_type;
  (void)buffer_text(response->body, index_text);
}

static void page_healthy(const struct admin_calls *calls, const struct http_request *request,
                         struct http_response *response) {
  (void)calls, (void)request;
  http_say(response, 200, "healthy");
}

static void page_ready(const struct admin_calls *calls, const struct http_request *request,
                       struct http_response *response) {
  (void)request;
  const char *missing = calls->ready(calls->ctx);
  if (missing)
    http_say(response, 503, "not ready: %s", missing);
  else
    http_say(response, 200, "ready");
}

static void page_metrics(const struct admin_calls *calls, const struct http_request *request,
                         struct http_response *response) {
  (void)request;
  int err = calls->metrics(calls->ctx, response->body);
  if (err) {
    buffer_clear(response->body);
    http_say(response, 500, "the page could not be written: %s", err_text(err));
    return;
  }
  response->status = 200;
  response->content_type = "text/plain; version=0.0.4; charset=utf-8";
}

static void page_reload(const struct admin_calls *calls, const struct http_request *request,
                        struct http_response *response) {
  (void)request;
  calls->reload_page(calls->ctx, response);
}

static void post_reload(const struct admin_calls *calls, const struct http_request *request,
                        struct http_response *response) {
  (void)request;
  if (!calls->reload) {
    http_say(response, 403, "only on a loopback address; SIGHUP does the same");
    return;
  }
  calls->reload(calls->ctx);
  calls->reload_page(calls->ctx, response);
}

static void page_record(const struct admin_calls *calls, const struct http_request *request,
                        struct http_response *response) {
  bool begun = request->work && *request->work;
  if (request->verb == HTTP_VERB_HEAD)
    http_say(response, 405, "only GET is taken here");
  else if (!begun && (!calls->record || !http_is_local(request)))
    http_say(response, 403, "only on a loopback address, and asked for by its number or as localhost");
  else
    calls->record(calls->ctx, request, response);
}

struct page {
  const char *path;
  void (*get)(const struct admin_calls *calls, const struct http_request *request, struct http_response *response);
  void (*post)(const struct admin_calls *calls, const struct http_request *request,
               struct http_response *response); /* NULL: not taken */
};

static const struct page pages[] = {{"/", page_index, NULL},
                                    {"/-/healthy", page_healthy, NULL},
                                    {"/-/ready", page_ready, NULL},
                                    {"/-/reload", page_reload, post_reload},
                                    {"/metrics", page_metrics, NULL},
                                    {"/api/v1/record", page_record, NULL}};

static const struct page *page_of(const struct http_request *request) {
  for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
    if (request->path.n == strlen(pages[i].path) &&
        memcmp(request->path.p, pages[i].path, request->path.n) == 0)
      return &pages[i];
  return NULL;
}

/* The API, where the request is for it; else NULL. */
static const struct http_calls *api_of(const struct admin_calls *calls, const struct http_request *request) {
  static const char prefix[] = "/api/v1/";
  const size_t n = sizeof prefix - 1;
  bool fits = calls->api.on_head && request->path.n > n && !memcmp(request->path.p, prefix, n) && !page_of(request);
  return fits ? &calls->api : NULL;
}

static void on_head(void *ctx, const struct http_request *request, struct http_response *response) {
  const struct http_calls *api = api_of(ctx, request);
  const struct page *page = page_of(request);
  bool reads = request->verb == HTTP_VERB_GET || request->verb == HTTP_VERB_HEAD;
  if (api) {
    api->on_head(api->ctx, request, response);
  } else if (!page) {
    http_say(response, 404, "no such page; / lists them");
  } else if (!reads && !(page->post && request->verb == HTTP_VERB_POST)) {
    response->allow = page->post ? "GET, HEAD, POST" : "GET, HEAD";
    http_say(response, 405, "only %s are taken here", page->post ? "GET, HEAD and POST" : "GET and HEAD");
  }
}

static void on_request(void *ctx, const struct http_request *request,
                       struct http_response *response) {
  const struct http_calls *api = api_of(ctx, request);
  const struct page *page = page_of(request);
  if (api) api->on_request(api->ctx, request, response);
  else (request->verb == HTTP_VERB_POST ? page->post : page->get)(ctx, request, response);
}

static void on_refuse(void *ctx, const struct http_request *request, const char *why, struct http_response *response) {
  const struct http_calls *api = api_of(ctx, request);
  if (api) api->on_refuse(api->ctx, request, why, response);
}

void admin_http(const struct admin_calls *calls, struct http_calls *out) {
  *out = (struct http_calls){on_head, on_request, on_refuse, (void *)(uintptr_t)calls};
}
