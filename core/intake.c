/* OTLP/HTTP.
 *
 * Good path of traces: the head names a path, a method, an encoding and a compression that we take;
 * the body is inflated into `inflated`, transcoded from JSON into `wire`, checked as a whole by
 * otlp_check, and handed to the engine, each step only where it is needed: plain protobuf is not
 * copied at all. Bodies of other signals are taken and dropped undecoded, so that SDKs which send
 * all signals to one place do not complain.
 *
 * Ways it fails: by the head: 405 and 415 in text, 404 and 413 with a google.rpc.Status in the
 * request's encoding where that is known. By the body: 400 or 413 with such a status, and then
 * nothing of it was counted as spans. No memory: 503 with Retry-After.
 *
 * Who frees what: the request's body stays the server's; both scratch buffers are ours, kept from
 * one request to the next while they are small. */
#include "intake.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "inflate.h"
#include "otlp_json.h"
#include "otlp_reply.h"

enum { SCRATCH_KEPT_BYTES = 1 << 20, WIRE_SLACK_BYTES = 4096 };
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
  struct intake_calls calls;
  struct buffer inflated, wire;
  struct intake_stats stats;
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
  if (response->status == 413) in->stats.too_large++;
  if (format_of(request, &format)) refuse(response, format, response->status, why);
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
  if (response->status) in->stats.refused++;
}

/* ---- decoding -------------------------------------------------------------------------------- */

struct decoding {
  const struct http_request *request;
  enum intake_format format;
  bool gzip;
  struct otlp_bytes body;
  struct otlp_summary summary;
  uint32_t invalid_utf8, enum_names; /* found by the transcoder */
  char why[256];
};

static int inflate(struct intake *in, struct decoding *d) {
  buffer_clear(&in->inflated);
  int err = inflate_gzip(d->body.p, d->body.n, &in->inflated);
  if (err == FLUO_ETOOLARGE)
    snprintf(d->why, sizeof d->why, "the body is larger than %zu bytes once inflated",
             in->inflated.max);
  else if (err)
    snprintf(d->why, sizeof d->why, "gzip: %s", err_text(err));
  d->body = (struct otlp_bytes){(const uint8_t *)in->inflated.data, in->inflated.len};
  return err;
}

static int transcode(struct intake *in, struct decoding *d) {
  struct otlp_json_result result;
  struct otlp_fault fault = {0};
  buffer_clear(&in->wire);
  int err = otlp_json_transcode((const char *)d->body.p, d->body.n, true, &in->options.limits,
                                &in->wire, &result, &fault);
  if (err) {
    snprintf(d->why, sizeof d->why, "%s (line %u, column %u)",
             *fault.what ? fault.what : err_text(err), fault.line, fault.column);
    return err;
  }
  d->invalid_utf8 = result.invalid_utf8;
  d->enum_names = result.enum_names;
  d->body = (struct otlp_bytes){(const uint8_t *)in->wire.data, in->wire.len};
  return 0;
}

static int check(struct intake *in, struct decoding *d) {
  struct otlp_fault fault = {0};
  int err = otlp_check(d->body.p, d->body.n, &in->options.limits, &d->summary, &fault);
  if (!err) return 0;
  const char *what = *fault.what ? fault.what : err_text(err);
  /* A byte of the transcoded form would tell a sender of JSON nothing. */
  if (d->format == INTAKE_JSON)
    snprintf(d->why, sizeof d->why, "%s", what);
  else
    snprintf(d->why, sizeof d->why, "%s (byte %zu)", what, fault.offset);
  return err;
}

static int decode(struct intake *in, struct decoding *d) {
  int err = 0;
  d->body = (struct otlp_bytes){d->request->body, d->request->body_bytes};
  if (d->gzip) err = inflate(in, d);
  if (!err) in->stats.bytes_decoded += d->body.n;
  if (!err && d->format == INTAKE_JSON) err = transcode(in, d);
  if (!err) err = check(in, d);
  return err;
}

/* ---- answering ------------------------------------------------------------------------------- */

/* Why some spans are not in, or NULL. */
static const char *shortfall(const struct intake_receipt *receipt, char out[256]) {
  int n = 0;
  if (!receipt->rejected && !receipt->dropped_memory) return NULL;
  if (receipt->rejected)
    n = snprintf(out, 256,
                 "spans rejected: %u; a trace id, span id or parent id has the wrong length or is "
                 "all zero%s",
                 receipt->rejected, receipt->dropped_memory ? ". " : "");
  if (receipt->dropped_memory)
    snprintf(out + n, 256 - (size_t)n, "spans dropped: %u; the buffer is full (buffer.bytes_max)",
             receipt->dropped_memory);
  return out;
}

static void reply(struct intake *in, struct http_response *response, enum intake_format format,
                  const struct intake_receipt *receipt) {
  char message[256];
  const char *text = shortfall(receipt, message);
  if (text) in->stats.partial++;
  response->status = 200;
  response->content_type = content_types[format];
  /* Without memory for the message: the spans were taken, so an empty 200 is what is left to say.
   */
  if (otlp_reply_export(response->body, format == INTAKE_JSON, receipt->rejected, text) != 0)
    buffer_clear(response->body);
}

static void fail(struct intake *in, struct http_response *response, const struct decoding *d,
                 int err) {
  if (err == FLUO_ENOMEM) {
    in->stats.no_memory++;
    refuse(response, d->format, 503, "out of memory");
  } else if (err == FLUO_ETOOLARGE) {
    in->stats.too_large++;
    refuse(response, d->format, 413, d->why);
  } else {
    in->stats.malformed++;
    refuse(response, d->format, 400, d->why);
  }
}

static void take_traces(struct intake *in, struct decoding *d, struct http_response *response) {
  struct intake_receipt receipt = {0};
  int err = decode(in, d);
  if (!err) err = in->calls.receive(in->calls.ctx, d->body.p, d->body.n, &d->summary, &receipt);
  if (err) {
    fail(in, response, d, err);
    return;
  }
  in->stats.invalid_utf8 += d->summary.invalid_utf8 + d->invalid_utf8;
  in->stats.strindex += d->summary.strindex;
  in->stats.enum_names += d->enum_names;
  reply(in, response, d->format, &receipt);
}

static void trim(struct buffer *b, size_t kept) {
  size_t max = b->max;
  if (b->capacity <= kept) return;
  buffer_deinit(b);
  buffer_init(b, max);
}

static void on_request(void *ctx, const struct http_request *request,
                       struct http_response *response) {
  struct intake *in = ctx;
  enum intake_signal signal = INTAKE_TRACES;
  struct decoding d = {.request = request};
  bool known =
      signal_of(in, request, &signal) && format_of(request, &d.format) && gzip_of(request, &d.gzip);
  assert(known); /* on_head saw to it */
  (void)known;
  in->stats.requests[signal][d.format]++;
  in->stats.bytes[signal] += request->body_bytes;
  if (d.gzip) in->stats.gzip++;
  if (signal == INTAKE_TRACES)
    take_traces(in, &d, response);
  else
    reply(in, response, d.format, &(struct intake_receipt){0});
  trim(&in->inflated, SCRATCH_KEPT_BYTES);
  trim(&in->wire, SCRATCH_KEPT_BYTES);
}

/* ---- life ------------------------------------------------------------------------------------ */

int intake_new(const struct intake_options *options, const struct intake_calls *calls,
               struct intake **out) {
  struct intake *in = heap_zalloc(sizeof *in);
  if (!in) return FLUO_ENOMEM;
  in->options = *options;
  in->calls = *calls;
  if (options->traces_path && *options->traces_path) {
    in->traces_path = heap_strdup(options->traces_path);
    if (!in->traces_path) goto err_after_alloc;
  }
  buffer_init(&in->inflated, options->body_bytes_max);
  /* Wire form can be longer than JSON: a byte that is no UTF-8 becomes the three of U+FFFD. */
  buffer_init(&in->wire, options->body_bytes_max * 3 + WIRE_SLACK_BYTES);
  *out = in;
  return 0;

err_after_alloc:
  heap_free(in);
  return FLUO_ENOMEM;
}

void intake_free(struct intake *in) {
  if (!in) return;
  buffer_deinit(&in->inflated);
  buffer_deinit(&in->wire);
  heap_free(in->traces_path);
  heap_free(in);
}

void intake_http(struct intake *in, struct http_calls *out) {
  *out = (struct http_calls){on_head, on_request, on_refuse, in};
}

void intake_trim(struct intake *in) {
  trim(&in->inflated, 0);
  trim(&in->wire, 0);
}

const struct intake_stats *intake_stats(const struct intake *in) {
  return &in->stats;
}
