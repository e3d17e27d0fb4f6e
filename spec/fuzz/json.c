/* Any bytes as OTLP/JSON: what the transcoder lets through, the scanner has to take (but for its
 * own budgets), and protobuf-c has to see the same spans. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "otlp_json.h"
#include "otlp_plain.h"
#include "../oracle.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refuse(const char *why) {
  fprintf(stderr, "%s\n", why);
  abort();
}

/* What is plain is read in one go only where text and room enough are ahead, and has to be the same. */
static void compare_ahead(const char *text, size_t n, const struct otlp_limits *limits, const struct buffer *expected) {
  struct otlp_json_result result;
  struct otlp_fault fault;
  struct buffer out;
  char *ahead = malloc(n + PLAIN_AHEAD_BYTES);
  memcpy(ahead, text, n);
  memset(ahead + n, ' ', PLAIN_AHEAD_BYTES);
  buffer_init(&out, 1 << 20);
  if (!buffer_reserve(&out, 2 * n + PLAIN_ROOM_BYTES) && out.err != FLUO_ETOOLARGE) refuse("no memory");
  buffer_clear(&out);
  if (otlp_json_transcode(ahead, n + PLAIN_AHEAD_BYTES, true, limits, &out, &result, &fault)) refuse(fault.what);
  if (out.len != expected->len || (out.len && memcmp(out.data, expected->data, out.len))) refuse("another form ahead");
  buffer_deinit(&out);
  free(ahead);
}

static void transcode(const char *text, size_t n, bool exact) {
  const struct otlp_limits limits = {64, 4096, 65536, 1 << 20};
  struct otlp_json_result result;
  struct otlp_summary summary;
  struct otlp_fault fault;
  struct buffer out;
  char why[256];
  buffer_init(&out, 1 << 20);
  int err = otlp_json_transcode(text, n, exact, &limits, &out, &result, &fault);
  const uint8_t *body = (const uint8_t *)out.data;
  if (result.consumed > n || (err && out.len)) refuse("more than there is");
  if (!err && otlp_check(body, out.len, &limits, &summary, &fault) && fault.err != FLUO_ETOOMANY &&
      fault.err != FLUO_ETOOLARGE)
    refuse(fault.what);
  if (!err && oracle_compare(body, out.len, &limits, why) == 1) refuse(why);
  if (!err && exact) compare_ahead(text, n, &limits, &out);
  buffer_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* A copy of just that size, so that a byte read past it is seen. */
  char *text = malloc(size ? size : 1);
  memcpy(text, data, size);
  transcode(text, size, true);
  transcode(text, size, false);
  free(text);
  if (heap_live() != 0) refuse("a leak");
  return 0;
}
