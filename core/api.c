/* The API.
 *
 * Good path: a request's path finds its endpoint, whose handler writes the answer, or asks the ledger: the request waits
 * then (HTTP_WAIT), the ledger's answer is copied into its question, and the request is called again to give it.
 *
 * Ways it fails: what is wrong with a request is said as JSON with a status that goes with it. The ledger's line is full,
 * it does not answer within LIMIT_API_WAIT_NS, or answers that nobody fetched yet take all of LIMIT_API_ANSWER_BYTES: 503.
 *
 * Who frees what: a question belongs to its request (request->work) and is freed by the call that ends it, which the
 * server makes also where the connection is gone. Until it is answered the ledger knows it, and is told to forget it
 * where it is given up. */
#include "api_parts.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "limits.h"

static const char json_type[] = "application/json";

/* ---- answers ----------------------------------------------------------------------------------- */

static const char *code_of(int status) {
  static const struct { int status; const char *code; } codes[] = {
      {400, "bad_request"}, {403, "forbidden"}, {404, "not_found"}, {405, "method_not_allowed"},
      {408, "timeout"}, {409, "conflict"}, {413, "too_large"}, {415, "unsupported_media_type"}, {503, "unavailable"}};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (codes[i].status == status) return codes[i].code;
  return "internal";
}

void api_refuse(struct http_response *response, int status, const char *format, ...) {
  char message[512];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  buffer_clear(response->body);
  response->status = status;
  response->content_type = json_type;
  if (status == 503) response->retry_after_s = 1;
  buffer_printf(response->body, "{\"error\":{\"code\":\"%s\",\"message\":", code_of(status));
  buffer_json(response->body, message, strlen(message));
  buffer_text(response->body, "}}\n");
}

void api_done(struct http_response *response) {
  buffer_text(response->body, "\n");
  if (response->body->err) {
    int err = response->body->err;
    api_refuse(response, err == FLUO_ENOMEM ? 503 : 500, "%s", err_text(err));
    return;
  }
  if (!response->status) response->status = 200;
  response->content_type = json_type;
}

/* ---- questions --------------------------------------------------------------------------------- */

static void wake(struct api_question *q) {
  void (*call)(void *waiter) = q->wake;
  q->wake = NULL;
  if (call) call(q->waiter);
}

static void on_result(void *ctx, int err, const char *json, size_t n) {
  struct api_question *q = ctx;
  q->answered = true;
  q->err = err;
  if (!err && q->api->answer_bytes + n > LIMIT_API_ANSWER_BYTES) q->err = FLUO_EFULL;
  else if (!err) q->err = buffer_add(&q->json, json, n);
  q->api->answer_bytes += q->json.len;
  wake(q);
}

void api_question_free(struct api_question *q) {
  struct api *a = q->api;
  if (!q->answered) ledger_forget(ledger_of(a), q);
  *q->back = q->next;
  if (q->next) q->next->back = q->back;
  a->answer_bytes -= q->json.len;
  a->stats.waiting--;
  buffer_deinit(&q->json);
  heap_free(q);
}

static struct api_question *question_new(struct api *a, const struct http_request *request) {
  struct api_question *q = heap_zalloc(sizeof *q);
  if (!q) return NULL;
  *q = (struct api_question){.api = a, .next = a->questions, .back = &a->questions, .asked_ns = a->o.now_ns(a->o.ctx),
                             .wake = request->wake, .waiter = request->waiter};
  buffer_init(&q->json, LIMIT_LEDGER_ANSWER_BYTES);
  if (q->next) q->next->back = &q->next;
  a->questions = q;
  a->stats.waiting++;
  return q;
}

void api_ask(struct api *a, const struct api_call *call, struct ledger_query *query) {
  struct api_question *q = a->ended ? NULL : question_new(a, call->request);
  int err = a->ended ? FLUO_EFULL : q ? 0 : FLUO_ENOMEM;
  query->on_result = on_result;
  query->ctx = q;
  if (q && (err = ledger_ask(ledger_of(a), query))) {
    q->answered = true;                 /* the ledger does not know it */
    api_question_free(q);
  }
  if (err) {
    a->stats.refused++;
    api_refuse(call->response, 503, "%s", a->ended ? "the agent is ending" : "too much is asked of the ledger at once");
    return;
  }
  *call->request->work = q;
  call->response->later = HTTP_WAIT;
}

static void refuse_question(struct api *a, struct http_response *response, int err) {
  if (err == FLUO_EINVALID) {
    api_refuse(response, 404, "there is none of this id");
    return;
  }
  a->stats.refused++;
  if (a->ended) api_refuse(response, 503, "the agent is ending");
  else if (err == FLUO_ETOOLARGE) api_refuse(response, 500, "it is too large for one answer; ask for less with limit");
  else if (err == FLUO_EFULL) api_refuse(response, 503, "answers that were not fetched take all the room there is");
  else api_refuse(response, 503, "the ledger: %s", err_text(err));
}

struct api_question *api_answered(struct api *a, const struct api_call *call) {
  struct api_question *q = *call->request->work;
  assert(q->answered);
  *call->request->work = NULL;
  if (!q->err) return q;
  refuse_question(a, call->response, q->err);
  api_question_free(q);
  return NULL;
}

void api_pass_on(struct api *a, const struct api_call *call) {
  struct api_question *q = api_answered(a, call);
  if (!q) return;
  buffer_add(call->response->body, q->json.data, q->json.len);
  api_question_free(q);
  api_done(call->response);
}

static void give_up(struct api_question *q, int err) {
  ledger_forget(ledger_of(q->api), q);
  q->answered = true;
  q->err = err;
  wake(q);
}

void api_tick(struct api *a) {
  uint64_t now = a->o.now_ns(a->o.ctx);
  for (struct api_question *q = a->questions; q; q = q->next) {
    if (q->answered || now - q->asked_ns < LIMIT_API_WAIT_NS) continue;
    a->stats.late++;
    give_up(q, FLUO_ETIMEOUT);
  }
}

void api_end(struct api *a) {
  if (!a) return;
  a->ended = true;
  for (struct api_question *q = a->questions; q; q = q->next)
    if (!q->answered) give_up(q, FLUO_EFULL);
}

/* ---- endpoints --------------------------------------------------------------------------------- */

static void get_events(struct api *a, const struct api_call *call) {
  struct http_response *response = call->response;
  if (call->request->verb == HTTP_VERB_HEAD) api_refuse(response, 405, "only GET is taken here");
  else if (!*call->request->work && a->ended) api_refuse(response, 503, "the agent is ending");
  else follow_answer(a->o.follow, call->request, response);
  if (response->status == 503 && !response->body->len) api_refuse(response, 503, "too many follow already");
}

static const struct api_endpoint endpoints[] = {
    {"status", api_get_status, NULL, NULL, NULL, 0, NULL},
    {"rules", api_get_rules, NULL, NULL, NULL, 0, api_rules_params},
    {"receivers", api_get_receivers, NULL, NULL, NULL, 0, NULL},
    {"widened", api_get_widened, NULL, NULL, NULL, 0, NULL},
    {"events", get_events, NULL, NULL, get_events, 0, NULL},
    {"incidents", api_get_list, NULL, NULL, api_pass_on, LEDGER_INCIDENTS, api_incidents_params},
    {"incidents/{id}", api_get_one, NULL, NULL, api_pass_on, LEDGER_INCIDENTS, NULL},
    {"incidents/{id}/ack", NULL, api_post_ack, NULL, NULL, 0, NULL},
    {"incidents/{id}/resolve", NULL, api_post_resolve, NULL, NULL, 0, NULL},
    {"violations", api_get_list, NULL, NULL, api_pass_on, LEDGER_VIOLATIONS, api_violations_params},
    {"violations/{id}", api_get_one, NULL, NULL, api_pass_on, LEDGER_VIOLATIONS, NULL},
    {"violations/{id}/evidence", api_get_evidence, NULL, NULL, api_pass_on, LEDGER_EVIDENCE, NULL},
    {"violations/{id}/feedback", NULL, api_post_feedback, NULL, api_feedback_later, LEDGER_VIOLATIONS, NULL},
    {"deliveries", api_get_list, NULL, NULL, api_pass_on, LEDGER_DELIVERIES, api_deliveries_params},
    {"silences", api_get_list, api_post_silence, NULL, api_pass_on, LEDGER_SILENCES, api_silences_params},
    {"silences/{id}", api_get_one, NULL, api_delete_silence, api_pass_on, LEDGER_SILENCES, NULL},
    {"feedback", api_get_list, NULL, NULL, api_pass_on, LEDGER_FEEDBACK, api_feedback_params},
};

static bool path_fits(struct http_text path, const char *pattern, struct http_text *id) {
  while (path.n && *pattern) {
    if (*pattern == '{') {
      const char *slash = memchr(path.p, '/', path.n);
      *id = (struct http_text){path.p, slash ? (size_t)(slash - path.p) : path.n};
      path = (struct http_text){path.p + id->n, path.n - id->n};
      if (!id->n) return false;
      pattern = strchr(pattern, '}') + 1;
    } else if (*path.p == *pattern) {
      path.p++, path.n--, pattern++;
    } else {
      return false;
    }
  }
  return !path.n && !*pattern;
}

/* The endpoint of the path, and the id in it; NULL: none. */
static const struct api_endpoint *endpoint_of(const struct http_request *request, char id[API_ID_BYTES_MAX]) {
  const size_t prefix = sizeof API_PREFIX - 1;
  struct http_text path = {request->path.p + prefix, request->path.n - prefix}, part = {"", 0};
  for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
    if (!path_fits(path, endpoints[i].path, &part)) continue;
    if (part.n >= API_ID_BYTES_MAX) part.n = 0;
    memcpy(id, part.p, part.n);
    id[part.n] = '\0';
    return &endpoints[i];
  }
  return NULL;
}

static api_handler *handler_of(const struct api_endpoint *e, enum http_verb verb) {
  if (verb == HTTP_VERB_GET || verb == HTTP_VERB_HEAD) return e->get;
  if (verb == HTTP_VERB_POST) return e->post;
  return verb == HTTP_VERB_DELETE ? e->delete : NULL;
}

static const char *allow_of(const struct api_endpoint *e) {
  if (e->get) return e->post ? "GET, HEAD, POST" : e->delete ? "GET, HEAD, DELETE" : "GET, HEAD";
  return "POST";
}

/* A browser asks nobody before it sends a form; what it may not send unasked is JSON. */
static bool body_is_wrong(const struct http_request *r) {
  bool has_body = r->chunked || (r->has_length && r->content_length);
  bool coded = r->content_encoding.n && !http_text_is(r->content_encoding, "identity");
  return has_body && (coded || !http_text_is(http_text_bare(r->content_type), json_type));
}

/* ---- what a server calls ------------------------------------------------------------------------ */

static void on_head(void *ctx, const struct http_request *request, struct http_response *response) {
  struct api *a = ctx;
  char id[API_ID_BYTES_MAX];
  const struct api_endpoint *e = endpoint_of(request, id);
  bool reads = request->verb == HTTP_VERB_GET || request->verb == HTTP_VERB_HEAD;
  a->stats.requests++;
  if (!e) {
    api_refuse(response, 404, "no such endpoint; contrib/openapi.json has them all");
  } else if (!handler_of(e, request->verb)) {
    response->allow = allow_of(e);
    api_refuse(response, 405, "this takes %s", response->allow);
  } else if (a->o.local && !http_is_local(request)) {
    api_refuse(response, 403, "this listener is asked for by an address, or as localhost, and by no other site's page");
  } else if (!a->o.local && !reads) {
    api_refuse(response, 403, "things are changed only where listen.admin is a loopback address");
  } else if (body_is_wrong(request)) {
    api_refuse(response, 415, "a body is application/json, as it is");
  }
}

static void on_request(void *ctx, const struct http_request *request, struct http_response *response) {
  struct api *a = ctx;
  struct api_call call = {.request = request, .response = response};
  call.endpoint = endpoint_of(request, call.id);
  assert(call.endpoint);                /* on_head has found it */
  if (*request->work) call.endpoint->later(a, &call);
  else handler_of(call.endpoint, request->verb)(a, &call);
}

static void on_refuse(void *ctx, const struct http_request *request, const char *why, struct http_response *response) {
  (void)ctx, (void)request;
  api_refuse(response, response->status, "%s", why);
}

struct http_calls api_http(struct api *a) {
  return (struct http_calls){on_head, on_request, on_refuse, a};
}

/* ---- life -------------------------------------------------------------------------------------- */

struct api *api_new(const struct api_options *options) {
  struct api *a = heap_zalloc(sizeof *a);
  if (a) a->o = *options;
  return a;
}

void api_free(struct api *a) {
  if (!a) return;
  assert(!a->questions);
  heap_free(a);
}

struct api_stats api_stats(const struct api *a) {
  return a->stats;
}
