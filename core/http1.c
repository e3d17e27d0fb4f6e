/* HTTP/1.1 requests.
 *
 * Good path: llhttp reads the head byte for byte as it is lent; its callbacks copy the target and
 * the headers into one block and stop at the empty line. There the head is judged as a whole, for
 * llhttp is more lenient than we want to be, and HTTP1_HEAD is said. A body of known length never
 * sees llhttp: it is counted here, and may be read straight into its place (http1_lend). A chunked
 * body goes through llhttp, which copies out the data between the frames. Then HTTP1_REQUEST, and
 * http1_next forgets it all, so that every request meets a fresh parser.
 *
 * Ways it fails: anything malformed or past its bound becomes p->error once, and the parser stays
 * there. No memory or no budget for the body, or the request abandoned, is 503 in the same way.
 *
 * Who frees what: the head block and the body are the parser's; both go back in http1_next and in
 * http1_free, and the budget gets back exactly what the body had taken from it. */
#include "http1.h"

#include <assert.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "http_body.h"
#include "http_lines.h"
#include "limits.h"
#include "llhttp.h"

enum state {
  STATE_IDLE, /* no byte of a request yet */
  STATE_HEAD,
  STATE_READY, /* the head was told, the body is not yet begun */
  STATE_LENGTH,
  STATE_CHUNKED,
  STATE_DONE,
  STATE_FAILED
};

/* Target, names and values, copied one behind the other: never more bytes than the head had. */
struct head {
  struct http_header headers[HTTP1_HEADERS_MAX];
  uint32_t count;
  bool in_name; /* of the last header */
  uint32_t target_bytes, used;
  char text[HTTP1_HEAD_BYTES_MAX];
};

struct http1 {
  llhttp_t parser;
  enum state state;
  struct head *head; /* from the first byte on */
  struct http_request request;
  struct http1_error error; /* status 0: none */

  uint32_t head_bytes; /* as sent */
  struct http_lines lines;

  struct http_body body;
  uint64_t left;          /* of a body of known length */
  bool discard, trailing; /* trailing: the last chunk was seen */
  uint64_t discarded;
  uint64_t frame_bytes, frames_told; /* of a chunked body: all that is not data; at the last http1_tires */
  uint32_t extension_bytes, trailer_bytes;
};

static void fail(struct http1 *p, int status, const char *why) {
  if (p->error.status) return;
  p->error = (struct http1_error){status, why, p->state >= STATE_READY};
}

static bool body_room(struct http1 *p, size_t n) {
  uint64_t bound = p->request.has_length ? p->request.content_length : p->body.bytes_max;
  int err = http_body_room(&p->body, n, bound);
  if (err == FLUO_ETOOLARGE)
    fail(p, 413, "the body is larger than the limit");
  else if (err == FLUO_EFULL)
    fail(p, 503, "too many bodies are being received");
  else if (err)
    fail(p, 503, "out of memory");
  return !err;
}

static bool body_add(struct http1 *p, const void *bytes, size_t n) {
  if (p->discard) {
    p->discarded += n;
    if (p->discarded > HTTP1_DISCARD_BYTES_MAX) fail(p, 413, "the body is too large to read past");
    return !p->error.status;
  }
  if (!body_room(p, n)) return false;
  /* What was read into http1_lend's place is there already. */
  uint8_t *to = p->body.data + p->body.len;
  if (to != bytes) memcpy(to, bytes, n);
  p->body.len += n;
  return true;
}

/* ---- llhttp's callbacks: record, and stop ---------------------------------------------------- */

static char *head_text(struct http1 *p, const char *at, size_t n) {
  struct head *head = p->head;
  assert(n <= sizeof head->text - head->used); /* it was sent, and fewer bytes were sent */
  char *to = head->text + head->used;
  memcpy(to, at, n);
  head->used += (uint32_t)n;
  return to;
}

static int on_url(llhttp_t *parser, const char *at, size_t n) {
  struct http1 *p = parser->data;
  if (n > HTTP1_TARGET_BYTES_MAX - p->head->target_bytes) {
    fail(p, 414, "the target is longer than 4096 bytes");
    return HPE_USER;
  }
  head_text(p, at, n);
  p->head->target_bytes += (uint32_t)n;
  return 0;
}

static int on_trailer(struct http1 *p, size_t n) {
  if (n <= HTTP1_TRAILER_BYTES_MAX - p->trailer_bytes) {
    p->trailer_bytes += (uint32_t)n;
    return 0;
  }
  fail(p, 431, "the trailers are larger than 4096 bytes");
  return HPE_USER;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t n) {
  struct http1 *p = parser->data;
  if (p->state != STATE_HEAD) return on_trailer(p, n);
  struct head *head = p->head;
  if (!head->in_name) {
    if (head->count == HTTP1_HEADERS_MAX) {
      fail(p, 431, "more than 100 headers");
      return HPE_USER;
    }
    head->headers[head->count++] = (struct http_header){{head->text + head->used, 0}, {"", 0}};
    head->in_name = true;
  }
  char *name = head_text(p, at, n);
  for (size_t i = 0; i < n; i++)
    if (name[i] >= 'A' && name[i] <= 'Z') name[i] |= 0x20;
  head->headers[head->count - 1].name.n += n;
  return 0;
}

static int on_header_field_complete(llhttp_t *parser) {
  struct http1 *p = parser->data;
  if (p->state != STATE_HEAD) return 0;
  struct http_header *last = &p->head->headers[p->head->count - 1];
  if (last->name.n == 0) { /* llhttp takes ": value" for a header */
    fail(p, 400, "a header without a name");
    return -1;
  }
  p->head->in_name = false;
  last->value.p = p->head->text + p->head->used;
  return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t n) {
  struct http1 *p = parser->data;
  if (p->state != STATE_HEAD) return on_trailer(p, n);
  assert(p->head->count > 0);
  head_text(p, at, n);
  p->head->headers[p->head->count - 1].value.n += n;
  return 0;
}

static int on_headers_complete(llhttp_t *parser) {
  parser->upgrade = 0; /* an Upgrade is an offer, and we do not take it */
  return HPE_PAUSED;
}

static int on_chunk_header(llhttp_t *parser) {
  struct http1 *p = parser->data;
  p->extension_bytes = 0;
  if (parser->content_length == 0) {
    p->trailing = true;
    return HPE_PAUSED; /* so that feed_chunked sees the trailers' lines */
  }
  if (p->discard || parser->content_length <= p->body.bytes_max - p->body.len) return 0;
  fail(p, 413, "the body is larger than the limit");
  return -1;
}

static int on_chunk_extension(llhttp_t *parser, const char *at, size_t n) {
  (void)at;
  struct http1 *p = parser->data;
  if (n <= HTTP1_EXTENSION_BYTES_MAX - p->extension_bytes) {
    p->extension_bytes += (uint32_t)n;
    return 0;
  }
  fail(p, 400, "a chunk's extensions are larger than 256 bytes");
  return HPE_USER;
}

static int on_body(llhttp_t *parser, const char *at, size_t n) {
  return body_add(parser->data, at, n) ? 0 : HPE_USER;
}

static int on_message_complete(llhttp_t *parser) {
  (void)parser;
  return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- the head -------------------------------------------------------------------------------- */

static enum http_verb verb_of(uint8_t method) {
  switch (method) {
  case HTTP_GET: return HTTP_VERB_GET;
  case HTTP_HEAD: return HTTP_VERB_HEAD;
  case HTTP_POST: return HTTP_VERB_POST;
  case HTTP_OPTIONS: return HTTP_VERB_OPTIONS;
  case HTTP_DELETE: return HTTP_VERB_DELETE;
  default: return HTTP_VERB_OTHER;
  }
}

/* llhttp skips the spaces before a value, not those behind it. */
static void trim_values(struct head *head) {
  for (uint32_t i = 0; i < head->count; i++) {
    struct http_text *value = &head->headers[i].value;
    while (value->n && (value->p[value->n - 1] == ' ' || value->p[value->n - 1] == '\t'))
      value->n--;
  }
}

static void fill_request(struct http1 *p) {
  struct http_request *r = &p->request;
  trim_values(p->head);
  r->verb = verb_of(llhttp_get_method(&p->parser));
  http_target((struct http_text){p->head->text, p->head->target_bytes}, &r->path, &r->query);
  r->headers = p->head->headers;
  r->headers_count = p->head->count;
  r->host = http_header(r, "host");
  r->content_type = http_header(r, "content-type");
  r->content_encoding = http_header(r, "content-encoding");
  r->has_length = (p->parser.flags & F_CONTENT_LENGTH) != 0;
  r->content_length = r->has_length ? p->parser.content_length : 0;
  r->chunked = (p->parser.flags & F_CHUNKED) != 0;
  r->http10 = p->parser.http_minor == 0;
  r->keep_alive = llhttp_should_keep_alive(&p->parser) != 0;
}

static void judge_head(struct http1 *p) {
  const char *why;
  if (p->parser.http_major != 1 || p->parser.http_minor > 1)
    fail(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  int status = http_judge(&p->request, &why);
  if (status) fail(p, status, why);
}

/* Runs llhttp over n bytes: how many it took. p->error tells whether it failed. */
static size_t run(struct http1 *p, const char *bytes, size_t n, bool *paused) {
  llhttp_errno_t err = llhttp_execute(&p->parser, bytes, n);
  *paused = err == HPE_PAUSED;
  if (err == HPE_OK) return n;
  if (*paused) return (size_t)(llhttp_get_error_pos(&p->parser) - bytes);
  if (err == HPE_PAUSED_H2_UPGRADE)
    fail(p, 505, "HTTP/2 and gRPC are not spoken here yet: send OTLP over HTTP/1.1");
  else if (err == HPE_INVALID_VERSION)
    fail(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  else if (err == HPE_INVALID_TRANSFER_ENCODING)
    fail(p, 501, "no Transfer-Encoding but chunked is understood");
  else
    fail(p, 400, llhttp_get_error_reason(&p->parser));
  return n;
}

static enum http1_event failed(struct http1 *p) {
  p->state = STATE_FAILED;
  return HTTP1_ERROR;
}

static bool begin(struct http1 *p) {
  p->head = heap_alloc(sizeof *p->head);
  if (!p->head) {
    fail(p, 503, "out of memory");
    return false;
  }
  p->head->count = p->head->target_bytes = p->head->used = 0;
  p->head->in_name = false;
  p->state = STATE_HEAD;
  return true;
}

static enum http1_event feed_head(struct http1 *p, const char *bytes, size_t n, size_t *taken) {
  const char *why;
  bool whole;
  if (n > HTTP1_HEAD_BYTES_MAX - p->head_bytes) n = HTTP1_HEAD_BYTES_MAX - p->head_bytes;
  if (n && !p->head_bytes && bytes[0] == 22) fail(p, 400, "TLS is not spoken here yet: send plain HTTP"); /* RFC 8446 5.1 */
  size_t used = run(p, bytes, http_lines_scan(&p->lines, bytes, n, &why), &whole);
  *taken += used;
  p->head_bytes += (uint32_t)used;
  if (why) fail(p, 400, why);
  if (p->error.status) return failed(p);
  if (whole) {
    fill_request(p);
    p->state = STATE_READY;
    judge_head(p);
    return p->error.status ? failed(p) : HTTP1_HEAD;
  }
  if (p->head_bytes < HTTP1_HEAD_BYTES_MAX) return HTTP1_MORE;
  fail(p, 431, "the head is larger than 16384 bytes");
  return failed(p);
}

/* ---- the body -------------------------------------------------------------------------------- */

static enum http1_event done(struct http1 *p) {
  p->state = STATE_DONE;
  p->request.body = p->body.data;
  p->request.body_bytes = p->body.len;
  return HTTP1_REQUEST;
}

static enum http1_event feed_length(struct http1 *p, const char *bytes, size_t n, size_t *taken) {
  if (n > p->left) n = (size_t)p->left;
  if (n > 0 && !body_add(p, bytes, n)) return failed(p);
  p->left -= n, *taken += n;
  return p->left == 0 ? done(p) : HTTP1_MORE;
}

static enum http1_event feed_chunked(struct http1 *p, const char *bytes, size_t n, size_t *taken) {
  uint64_t before = p->body.len + p->discarded;
  bool whole = false;
  size_t used = 0;
  if (!p->trailing) used = run(p, bytes, n, &whole);
  if (p->trailing && !p->error.status) {
    const char *why;
    if (whole) llhttp_resume(&p->parser);
    used += run(p, bytes + used, http_lines_scan(&p->lines, bytes + used, n - used, &why), &whole);
    if (why) fail(p, 400, why);
  }
  *taken += used;
  if (p->error.status) return failed(p);
  uint64_t data = p->body.len + p->discarded;
  p->frame_bytes += used - (data - before);
  /* One byte a chunk has five bytes of frame; the worst of honest senders stays far below this. */
  if (p->frame_bytes > HTTP_BODY_STEP_BYTES + 16 * data)
    return fail(p, 400, "more chunk framing than data"), failed(p);
  return whole ? done(p) : HTTP1_MORE;
}

static enum http1_event begin_body(struct http1 *p) {
  const struct http_request *r = &p->request;
  if (r->chunked) {
    llhttp_resume(&p->parser);
    p->lines = (struct http_lines){0};
    p->state = STATE_CHUNKED;
    return HTTP1_MORE;
  }
  if (r->content_length == 0) return done(p);
  if (r->content_length > (p->discard ? HTTP1_DISCARD_BYTES_MAX : p->body.bytes_max)) {
    fail(p, 413, "the body is larger than the limit");
    return failed(p);
  }
  p->left = r->content_length;
  p->state = STATE_LENGTH;
  return HTTP1_MORE;
}

static enum http1_event feed_some(struct http1 *p, const char *bytes, size_t n, size_t *taken) {
  switch (p->state) {
  case STATE_IDLE:
    while (*taken < n && (bytes[*taken] == '\r' || bytes[*taken] == '\n')) ++*taken;
    if (*taken < n && !begin(p)) return failed(p);
    return HTTP1_MORE;
  case STATE_HEAD: return feed_head(p, bytes, n, taken);
  case STATE_READY: return begin_body(p);
  case STATE_LENGTH: return feed_length(p, bytes, n, taken);
  case STATE_CHUNKED: return feed_chunked(p, bytes, n, taken);
  default: return HTTP1_ERROR;
  }
}

enum http1_event http1_feed(struct http1 *p, const void *bytes, size_t n, size_t *taken) {
  const char *at = n ? bytes : "";
  assert(p->state != STATE_DONE);
  *taken = 0;
  enum http1_event event;
  do {
    size_t some = 0;
    event = feed_some(p, at + *taken, n - *taken, &some);
    *taken += some;
  } while (event == HTTP1_MORE && (*taken < n || p->state == STATE_READY));
  return event;
}

char *http1_lend(struct http1 *p, size_t *n) {
  if (p->state != STATE_LENGTH || p->discard) return NULL;
  size_t wanted = p->left < HTTP_BODY_STEP_BYTES ? (size_t)p->left : HTTP_BODY_STEP_BYTES;
  size_t room = p->body.capacity - p->body.len;
  if (room == 0 || (room < wanted && room < HTTP_BODY_STEP_BYTES / 4)) {
    if (!body_room(p, wanted)) {
      p->error = (struct http1_error){0}; /* the next feed will find out, if it is still so */
      return NULL;
    }
    room = p->body.capacity - p->body.len;
  }
  *n = room < p->left ? room : (size_t)p->left;
  return (char *)p->body.data + p->body.len;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* All but what every request's body has; it holds nothing now. */
static void reset(struct http1 *p) {
  *p = (struct http1){.body = {.bytes_max = p->body.bytes_max, .budget = p->body.budget}};
  llhttp_init(&p->parser, HTTP_REQUEST, &settings);
  p->parser.data = p;
}

int http1_new(uint64_t body_bytes_max, struct http_budget *budget, struct http1 **out) {
  struct http1 *p = heap_zalloc(sizeof *p);
  if (!p) return FLUO_ENOMEM;
  p->body.bytes_max = body_bytes_max;
  p->body.budget = budget;
  reset(p);
  *out = p;
  return 0;
}

void http1_free(struct http1 *p) {
  if (!p) return;
  http_body_release(&p->body);
  heap_free(p->head);
  heap_free(p);
}

void http1_next(struct http1 *p) {
  assert(p->state == STATE_DONE);
  http_body_release(&p->body);
  heap_free(p->head);
  reset(p);
}

size_t http1_held(const struct http1 *p) {
  return p->body.capacity;
}

void http1_abandon(struct http1 *p) {
  fail(p, 503, "the request was abandoned");
  http_body_release(&p->body);
}

struct http_request *http1_request(struct http1 *p) {
  return &p->request;
}

uint64_t http1_left(const struct http1 *p) {
  if (p->request.chunked) return UINT64_MAX;
  return p->state == STATE_READY ? p->request.content_length : p->left;
}

bool http1_tires(struct http1 *p) {
  if (p->frame_bytes - p->frames_told <= LIMIT_FRAMES_A_TURN_BYTES) return false;
  p->frames_told = p->frame_bytes;
  return true;
}

void http1_discard(struct http1 *p) {
  assert(p->state == STATE_READY);
  p->discard = true;
}

bool http1_begun(const struct http1 *p) {
  return p->state != STATE_IDLE;
}

struct http1_error http1_error(const struct http1 *p) {
  return p->error;
}
