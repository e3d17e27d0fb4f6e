/* OTLP/HTTP.
 *
 * Good path of traces: the head names a path, a method, an encoding and a compression that we take;
 * the body is decoded (decode.h; plain protobuf is not copied) and handed to the engine. A body that
 * would keep others waiting joins the line: the first in it is decoded aside, then taken in parts,
 * one a turn of the loop, and answered when all of it is in. Bodies of other signals are taken and dropped undecoded, so that SDKs which send
 * all signals to one place do not complain.
 *
 * Ways it fails: by the head: 405 and 415 in text, 404 and 413 with a google.rpc.Status in the
 * request's encoding where that is known. By the body: 400 or 413 with such a status, and then
 * nothing of it was counted as spans. No memory: 503 with Retry-After.
 *
 * Who frees what: the request's body stays the server's; the scratch is ours, kept from
 * one request to the next while it is small and needed. A body in line is ours from long_wait to long_end, and the
 * server asks until it is answered, so every one gets there. */
#include "intake.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "cors.h"
#include "decode.h"
#include "err.h"
#include "heap.h"
#include "limits.h"
#include "otlp_reply.h"

enum rpc_code {
  RPC_INVALID_ARGUMENT = 3,
  RPC_DEADLINE_EXCEEDED = 4,
  RPC_NOT_FOUND = 5,
  RPC_RESOURCE_EXHAUSTED = 8,
  RPC_UNAVAILABLE = 14
};

const char *const intake_signal_names[INTAKE_SIGNALS] = {"traces", "metrics", "logs", "profiles"};
const char *const intake_format_names[INTAKE_FORMATS] = {"protobuf", "json"};
static const char *const paths[INTAKE_SIGNALS] = {"/v1/traces", "/v1/metrics", "/v1/logs",
                                                  "/v1development/profiles"};
static const char *const content_types[INTAKE_FORMATS] = {"application/x-protobuf",
                                                          "application/json"};

struct intake {
  struct intake_options options;
  char *traces_path; /* NULL: none */
  char *cors_origins;
  struct intake_calls calls;
  struct otlp_limits short_limits;     /* what has more waits in line */
  struct decode_scratch scratch;       /* of bodies that are answered at once */
  struct decode_scratch long_scratch;  /* of the first in line */
  struct long_body *line, **line_end;  /* the first is being worked on */
  struct intake_stats stats;
};

/* A body that takes long: it waits in line, is decoded aside, and then taken in parts. */
struct long_body {
  struct long_body *next;
  struct intake *in;
  const struct http_request *request;
  struct decode decode;
  struct otlp_cursor cursor;
  struct intake_receipt receipt;
  size_t charged; /* to the budget, for its scratch */
  int err;
  bool decoded;
};

/* ---- what the head says ---------------------------------------------------------------------- */

static bool is_path(struct http_text path, const char *word) {
  return path.n == strlen(word) && memcmp(path.p, word, path.n) == 0;
}

static bool signal_of(const struct intake *in, const struct http_request *request,
                      enum intake_signal *out) {
  if (in->traces_path && is_path(request->path, in->traces_path)) {
    *out = INTAKE_TRACES;
    return true;
  }
  int signals = in->options.reject_other_signals ? INTAKE_TRACES + 1 : INTAKE_SIGNALS;
  for (int i = 0; i < signals; i++) {
    if (!is_path(request->path, paths[i])) continue;
    *out = (enum intake_signal)i;
    return true;
  }
  return false;
}

static bool format_of(const struct http_request *request, enum intake_format *out) {
  struct http_text type = http_text_bare(request->content_type);
  for (int i = 0; i < INTAKE_FORMATS; i++) {
    if (!http_text_is(type, content_types[i])) continue;
    *out = (enum intake_format)i;
    return true;
  }
  return false;
}

static bool gzip_of(const struct http_request *request, bool *gzip) {
  struct http_text coding = http_text_bare(request->content_encoding);
  *gzip = http_text_is(coding, "gzip") || http_text_is(coding, "x-gzip");
  if (http_header_count(request, "content-encoding") > 1) return false; /* one coding, or none */
  return *gzip || coding.n == 0 || http_text_is(coding, "identity");
}

/* ---- refusing -------------------------------------------------------------------------------- */

static int rpc_code_of(int status) {
  switch (status) {
  case 404: return RPC_NOT_FOUND;
  case 408: return RPC_DEADLINE_EXCEEDED;
  case 413: return RPC_RESOURCE_EXHAUSTED;
  case 503: return RPC_UNAVAILABLE;
  default: return RPC_INVALID_ARGUMENT;
  }
}

/* Says it as a google.rpc.Status. Where there is no memory for it, the status alone is the answer.
 */
static void refuse(struct http_response *response, enum intake_format format, int status,
                   const char *why) {
  response->status = status;
  response->content_type = content_types[format];
  if (status == 503) response->retry_after_s = 1;
  if (otlp_reply_status(response->body, format == INTAKE_JSON, rpc_code_of(status), why) != 0)
    buffer_clear(response->body);
}

static void on_refuse(void *ctx, const struct http_request *request, const char *why,
                      struct http_response *response) {
  struct intake *in = ctx;
  enum intake_format format;
  char limit[128];
  if (response->status == 413) {
    in->stats.too_large++;
    snprintf(limit, sizeof limit, "%s of %zu bytes (http.body_bytes_max)", why, in->options.body_bytes_max);
    why = limit;
  }
  if (format_of(request, &format)) refuse(response, format, response->status, why);
  cors_permit(in->cors_origins, request, response);
}

static void refuse_path(const struct intake *in, const struct http_request *request,
                        struct http_response *response) {
  char why[512];
  enum intake_format format;
  const char *extra = in->traces_path ? in->traces_path : "", *comma = in->traces_path ? ", " : "";
  if (in->options.reject_other_signals)
    snprintf(why, sizeof why, "no such path; POST traces to %s%s%s", paths[INTAKE_TRACES], comma,
             extra);
  else
    snprintf(why, sizeof why, "no such path; POST to %s%s%s, %s, %s or %s", paths[INTAKE_TRACES],
             comma, extra, paths[INTAKE_METRICS], paths[INTAKE_LOGS], paths[INTAKE_PROFILES]);
  if (format_of(request, &format))
    refuse(response, format, 404, why);
  else
    http_say(response, 404, "%s", why);
}

static void judge_head(struct intake *in, const struct http_request *request,
                       struct http_response *response) {
  enum intake_signal signal;
  enum intake_format format;
  bool gzip;
  if (!signal_of(in, request, &signal)) {
    refuse_path(in, request, response);
  } else if (cors_preflight(in->cors_origins, request, response)) {
    return;
  } else if (request->verb != HTTP_VERB_POST) {
    response->allow = "POST";
    http_say(response, 405, "only POST is taken here");
  } else if (!format_of(request, &format)) {
    http_say(response, 415, "the Content-Type must be %s or %s", content_types[INTAKE_PROTOBUF],
             content_types[INTAKE_JSON]);
  } else if (!gzip_of(request, &gzip)) {
    http_say(response, 415, "the Content-Encoding must be gzip or identity");
  }
}

static void on_head(void *ctx, const struct http_request *request, struct http_response *response) {
  struct intake *in = ctx;
  judge_head(in, request, response);
  if (response->status && response->status != 204) in->stats.refused++;
  cors_permit(in->cors_origins, request, response);
}

/* ---- answering ------------------------------------------------------------------------------- */

enum { SHORTFALL_BYTES = 512 };

static size_t add_shortfall(char *out, size_t at, const char *what, uint32_t spans, const char *why) {
  if (!spans) return at;
  int n = snprintf(out + at, SHORTFALL_BYTES - at, "%sspans %s: %u; %s", at ? ". " : "", what, spans, why);
  assert(n > 0 && at + (size_t)n < SHORTFALL_BYTES);
  return at + (size_t)n;
}

/* Why some spans are not in, or NULL. */
static const char *shortfall(const struct intake_receipt *receipt, char out[SHORTFALL_BYTES]) {
  size_t n = 0;
  for (int i = OTLP_TAKEN + 1; i < OTLP_REJECTS; i++)
    n = add_shortfall(out, n, "rejected", receipt->rejected_for[i], otlp_reject_texts[i]);
  n = add_shortfall(out, n, "dropped", receipt->dropped_memory, "the buffer is full (buffer.bytes_max)");
  return n ? out : NULL;
}

static void reply(struct intake *in, struct http_response *response, enum intake_format format,
                  const struct intake_receipt *receipt) {
  char message[SHORTFALL_BYTES];
  const char *text = shortfall(receipt, message);
  if (text) in->stats.partial++;
  response->status = 200;
  response->content_type = content_types[format];
  /* Without memory for the message: the spans were taken, so an empty 200 is what is left to say.
   */
  if (otlp_reply_export(response->body, format == INTAKE_JSON, receipt->rejected, text) != 0)
    buffer_clear(response->body);
}

static void fail(struct intake *in, struct http_response *response, const struct decode *d,
                 int err) {
  enum intake_format format = d->json ? INTAKE_JSON : INTAKE_PROTOBUF;
  if (err == FLUO_ENOMEM || err == FLUO_EFULL) {
    in->stats.no_memory++;
    refuse(response, format, 503,
           err == FLUO_EFULL ? "too many bodies are being received" : "out of memory");
  } else if (err == FLUO_ETOOLARGE) {
    in->stats.too_large++;
    refuse(response, format, 413, d->why);
  } else {
    in->stats.malformed++;
    refuse(response, format, 400, d->why);
  }
}

/* The one answer to a body of traces. */
static void conclude(struct intake *in, struct http_response *response, const struct decode *d,
                     const struct intake_receipt *receipt, int err) {
  in->stats.bytes_decoded += d->inflated_bytes;
  if (err) {
    fail(in, response, d, err);
    return;
  }
  in->stats.invalid_utf8 += d->summary.invalid_utf8 + d->invalid_utf8;
  in->stats.strindex += d->summary.strindex;
  in->stats.enum_names += d->enum_names;
  reply(in, response, d->json ? INTAKE_JSON : INTAKE_PROTOBUF, receipt);
}

static struct decode decoding(const struct intake *in, const struct http_request *request,
                              struct decode_scratch *scratch) {
  enum intake_format format = INTAKE_PROTOBUF;
  struct decode d = {.body = {request->body, request->body_bytes},
                     .limits = &in->options.limits,
                     .scratch = scratch,
                     .bytes_max = SIZE_MAX};
  if (request->budget && request->budget->bytes_max > request->body_bytes)
    d.bytes_max = request->budget->bytes_max - request->body_bytes;
  bool known = format_of(request, &format) && gzip_of(request, &d.gzip);
  assert(known); /* on_head saw to it */
  (void)known;
  d.json = format == INTAKE_JSON;
  return d;
}

/* ---- a body that takes long ------------------------------------------------------------------ */

/* In a thread of its own: only the body, its decoding and its scratch are touched. */
static void long_decode(void *job) {
  struct long_body *b = job;
  if (!b->err) b->err = decode_run(&b->decode);
  if (!b->err) b->err = otlp_open(&b->cursor, b->decode.body.p, b->decode.body.n, &b->decode.summary);
}

static void long_decoded(void *job) {
  struct long_body *b = job;
  b->decoded = true;
  b->request->wake(b->request->waiter);
}

static bool long_charge(struct long_body *b) {
  struct http_budget *budget = b->request->budget;
  size_t bytes = decode_bytes(&b->decode);
  if (!budget) return true;
  if (!http_budget_affords(budget, bytes, SIZE_MAX)) {
    /* One that is alone may have what it needs, or it never would; a chunked one holds up to twice its bytes. It is
     * charged what there is: the others' reserve is not for it to take. */
    if (budget->bytes > 2 * b->request->body_bytes) return false;
    bytes = budget->bytes < budget->bytes_max ? budget->bytes_max - budget->bytes : 0;
  }
  budget->bytes += bytes;
  b->charged = bytes;
  return true;
}

/* The first in line is begun; it may be in a bad place in time, and is told so when its turn comes. */
static void long_begin(struct intake *in) {
  struct long_body *b = in->line;
  if (b && !long_charge(b)) b->err = FLUO_EFULL;
  if (b) in->calls.aside(in->calls.ctx, long_decode, long_decoded, b);
}

/* Leaves the line, so that the next may begin while this one is answered. */
static void long_end(struct intake *in, struct long_body *b) {
  assert(in->line == b);
  in->line = b->next;
  if (!in->line) in->line_end = &in->line;
  decode_scratch_trim(&in->long_scratch, LIMIT_SCRATCH_KEPT_BYTES);
  if (b->charged) b->request->budget->bytes -= b->charged;
  *b->request->work = NULL;
  long_begin(in);
}

/* Joins the line. */
static void long_wait(struct intake *in, const struct http_request *request,
                      struct http_response *response) {
  struct long_body *b = heap_zalloc(sizeof *b);
  if (!b) {
    struct decode d = decoding(in, request, &in->scratch);
    fail(in, response, &d, FLUO_ENOMEM);
    return;
  }
  b->in = in;
  b->request = request;
  b->decode = decoding(in, request, &in->long_scratch);
  *request->work = b;
  response->later = HTTP_WAIT;
  *in->line_end = b;
  in->line_end = &b->next;
  if (in->line == b) long_begin(in);
}

/* Its turn: one part of it, or the answer. */
static void long_go_on(struct intake *in, struct long_body *b, struct http_response *response) {
  struct intake_receipt *receipt = &b->receipt;
  assert(b->decoded);
  if (!b->err && in->calls.receive_some(in->calls.ctx, &b->cursor, LIMIT_PART_COST, receipt)) {
    response->later = HTTP_NEXT_TURN;
    return;
  }
  if (!b->err) otlp_close(&b->cursor);
  long_end(in, b);
  conclude(in, response, &b->decode, receipt, b->err);
  heap_free(b);
}

/* ---- a body ---------------------------------------------------------------------------------- */

static bool takes_long(const struct decode *d) {
  size_t span = OTLP_SPAN_COST + OTLP_AROUND_COST((size_t)2 * d->summary.around_bytes);
  size_t cost = d->body.n + d->summary.spans * span + (size_t)d->summary.elements * 2 * OTLP_STEP_COST;
  return cost > LIMIT_SHORT_COST;
}

static void take_traces(struct intake *in, const struct http_request *request,
                        struct http_response *response) {
  struct intake_receipt receipt = {0};
  bool waits = in->calls.aside != NULL;
  if (waits && request->body_bytes > LIMIT_SHORT_BYTES) {
    long_wait(in, request, response);
    return;
  }
  struct decode d = decoding(in, request, &in->scratch);
  if (waits) d.limits = &in->short_limits;
  int err = decode_run(&d);
  /* What is too large for the short way may be small enough for the long one. */
  if (waits && (err == FLUO_ETOOLARGE || err == FLUO_ETOOMANY || (!err && takes_long(&d)))) {
    long_wait(in, request, response);
    return;
  }
  if (!err) err = in->calls.receive(in->calls.ctx, d.body.p, d.body.n, &d.summary, &receipt);
  conclude(in, response, &d, &receipt, err);
}

static void on_request(void *ctx, const struct http_request *request,
                       struct http_response *response) {
  struct intake *in = ctx;
  enum intake_signal signal = INTAKE_TRACES;
  enum intake_format format = INTAKE_PROTOBUF;
  bool gzip = false;
  cors_permit(in->cors_origins, request, response);
  if (request->work && *request->work) {
    long_go_on(in, *request->work, response);
    return;
  }
  bool known =
      signal_of(in, request, &signal) && format_of(request, &format) && gzip_of(request, &gzip);
  assert(known); /* on_head saw to it */
  (void)known;
  in->stats.requests[signal][format]++;
  in->stats.bytes[signal] += request->body_bytes;
  if (gzip) in->stats.gzip++;
  if (signal == INTAKE_TRACES)
    take_traces(in, request, response);
  else
    reply(in, response, format, &(struct intake_receipt){0});
  decode_scratch_trim(&in->scratch, LIMIT_SCRATCH_KEPT_BYTES);
}

/* ---- life ------------------------------------------------------------------------------------ */

int intake_new(const struct intake_options *options, const struct intake_calls *calls,
               struct intake **out) {
  struct intake *in = heap_zalloc(sizeof *in);
  if (!in) return FLUO_ENOMEM;
  in->options = *options;
  in->calls = *calls;
  const char *path = options->traces_path, *origins = options->cors_origins;
  if (path && *path && !(in->traces_path = heap_strdup(path))) goto err_after_alloc;
  if (origins && *origins && !(in->cors_origins = heap_strdup(origins))) goto err_after_path;
  in->short_limits = options->limits;
  if (in->short_limits.spans_max > LIMIT_SHORT_COST / OTLP_SPAN_COST) in->short_limits.spans_max = LIMIT_SHORT_COST / OTLP_SPAN_COST;
  if (in->short_limits.elements_max > LIMIT_SHORT_ELEMENTS) in->short_limits.elements_max = LIMIT_SHORT_ELEMENTS;
  size_t at_once = options->body_bytes_max;
  if (calls->aside && at_once > LIMIT_SHORT_BYTES) at_once = LIMIT_SHORT_BYTES;
  decode_scratch_init(&in->scratch, at_once);
  decode_scratch_init(&in->long_scratch, options->body_bytes_max);
  in->line_end = &in->line;
  *out = in;
  return 0;

err_after_path:
  heap_free(in->traces_path);
err_after_alloc:
  heap_free(in);
  return FLUO_ENOMEM;
}

void intake_free(struct intake *in) {
  if (!in) return;
  assert(!in->line); /* the servers are closed, and so every request has ended */
  decode_scratch_trim(&in->scratch, 0);
  decode_scratch_trim(&in->long_scratch, 0);
  heap_free(in->traces_path);
  heap_free(in->cors_origins);
  heap_free(in);
}

void intake_http(struct intake *in, struct http_calls *out) {
  *out = (struct http_calls){on_head, on_request, on_refuse, in};
}

void intake_rest(struct intake *in) {
  decode_scratch_rest(&in->scratch);
  if (!in->line) decode_scratch_rest(&in->long_scratch); /* else the thread may be at work in it */
}

const struct intake_stats *intake_stats(const struct intake *in) {
  return &in->stats;
}
