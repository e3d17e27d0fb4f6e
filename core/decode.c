/* The good path: what is gzip is inflated, what is JSON is transcoded into wire form, and the whole is
 * checked. Each step's result lies in the scratch and is the next one's body; nothing else is kept, so
 * failing leaves nothing to undo. */
#include "decode.h"

#include <stdio.h>

#include "err.h"
#include "inflate.h"
#include "limits.h"
#include "otlp_json.h"

enum { WIRE_SLACK_BYTES = 4096 };

/* Wire form is shorter than JSON, but a byte that is no UTF-8 becomes the three of U+FFFD. */
void decode_scratch_init(struct decode_scratch *s, size_t body_bytes_max) {
  size_t more = 2 * body_bytes_max < LIMIT_DECODED_MORE_BYTES ? 2 * body_bytes_max : LIMIT_DECODED_MORE_BYTES;
  s->inflated_bytes_max = body_bytes_max;
  s->wire_bytes_max = body_bytes_max + more + WIRE_SLACK_BYTES;
  buffer_init(&s->inflated, s->inflated_bytes_max);
  buffer_init(&s->wire, s->wire_bytes_max);
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

static void trim(struct buffer *b, size_t kept) {
  size_t max = b->max;
  if (b->capacity <= kept) return;
  buffer_deinit(b);
  buffer_init(b, max);
}

size_t decode_bytes(const struct decode *d) {
  size_t text = d->gzip ? d->scratch->inflated_bytes_max : d->body.n;
  return least((d->gzip ? text : 0) + (d->json ? text : 0), d->bytes_max);
}

void decode_scratch_trim(struct decode_scratch *s, size_t kept) {
  trim(&s->inflated, kept);
  trim(&s->wire, kept);
}

void decode_scratch_rest(struct decode_scratch *s) {
  if (!s->used) decode_scratch_trim(s, 0);
  s->used = false;
}

/* What is left of the bound, for one step. */
static struct buffer *begin(struct buffer *b, size_t max, size_t left) {
  buffer_clear(b);
  b->max = least(max, left);
  return b;
}

static int inflate(struct decode *d) {
  struct buffer *out = begin(&d->scratch->inflated, d->scratch->inflated_bytes_max, d->bytes_max);
  int err = inflate_gzip(d->body.p, d->body.n, out);
  if (err == FLUO_ETOOLARGE)
    snprintf(d->why, sizeof d->why, "the body is larger than %zu bytes once inflated",
             d->scratch->inflated.max);
  else if (err)
    snprintf(d->why, sizeof d->why, "gzip: %s", err_text(err));
  d->body = (struct otlp_bytes){(const uint8_t *)d->scratch->inflated.data, d->scratch->inflated.len};
  return err;
}

static int transcode(struct decode *d) {
  struct otlp_json_result result;
  struct otlp_fault fault = {0};
  struct buffer *out = begin(&d->scratch->wire, d->scratch->wire_bytes_max, d->bytes_max - (d->gzip ? d->body.n : 0));
  int err = otlp_json_transcode((const char *)d->body.p, d->body.n, true, d->limits, out, &result, &fault);
  if (err) {
    snprintf(d->why, sizeof d->why, "%s (line %u, column %u)",
             *fault.what ? fault.what : err_text(err), fault.line, fault.column);
    return err;
  }
  d->invalid_utf8 = result.invalid_utf8;
  d->enum_names = result.enum_names;
  d->body = (struct otlp_bytes){(const uint8_t *)d->scratch->wire.data, d->scratch->wire.len};
  return 0;
}

static int check(struct decode *d) {
  struct otlp_fault fault = {0};
  int err = otlp_check(d->body.p, d->body.n, d->limits, &d->summary, &fault);
  if (!err) return 0;
  const char *what = *fault.what ? fault.what : err_text(err);
  /* A byte of the transcoded form would tell a sender of JSON nothing. */
  if (d->json)
    snprintf(d->why, sizeof d->why, "%s", what);
  else
    snprintf(d->why, sizeof d->why, "%s (byte %zu)", what, fault.offset);
  return err;
}

int decode_run(struct decode *d) {
  int err = 0;
  d->scratch->used |= d->gzip || d->json;
  if (d->gzip) err = inflate(d);
  if (!err) d->inflated_bytes = d->body.n;
  if (!err && d->json) err = transcode(d);
  if (!err) err = check(d);
  return err;
}
