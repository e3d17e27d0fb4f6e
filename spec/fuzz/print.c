/* Any bytes as OTLP protobuf: what the scanner takes is printed as JSON that the transcoder and the scanner take, with
 * as many spans; and what came of that is printed the same again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "otlp.h"
#include "otlp_json.h"
#include "otlp_print.h"
#include "otlp_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct otlp_limits limits = {64, 4096, 65536, 1 << 24};

static void refuse(const char *why) {
  fprintf(stderr, "%s\n", why);
  abort();
}

/* Prints the body and reads what was printed: `text`, `again`. */
static void there_and_back(const uint8_t *body, size_t n, struct buffer *text, struct buffer *again) {
  struct otlp_json_result result;
  struct otlp_fault fault;
  buffer_init(text, 1 << 24);
  buffer_init(again, 1 << 24);
  if (otlp_print(text, OTLP_REQUEST, body, n)) refuse("it does not print");
  if (otlp_json_transcode(text->data, text->len, true, &limits, again, &result, &fault)) refuse(fault.what);
  if (result.invalid_utf8 || result.enum_names) refuse("it is no plain JSON");
}

/* An id of a link that is longer than any becomes another one on the first way, but not on the second. */
static void round_trips(const uint8_t *body, size_t n, const struct otlp_summary *before) {
  struct buffer text[3], bodies[3];
  struct otlp_summary after;
  struct otlp_fault fault;
  for (int i = 0; i < 3; i++) {
    there_and_back(body, n, &text[i], &bodies[i]);
    body = (const uint8_t *)bodies[i].data;
    n = bodies[i].len;
  }
  if (otlp_check(body, n, &limits, &after, &fault)) refuse(fault.what);
  if (before->spans != after.spans) refuse("spans got lost");
  if (text[1].len != text[2].len || memcmp(text[1].data, text[2].data, text[1].len)) refuse("it changes each time");
  for (int i = 0; i < 3; i++) {
    buffer_deinit(&text[i]);
    buffer_deinit(&bodies[i]);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct otlp_summary before;
  struct otlp_fault fault;
  uint8_t *copy = malloc(size ? size : 1);
  memcpy(copy, data, size);
  if (!otlp_check(copy, size, &limits, &before, &fault)) round_trips(copy, size, &before);
  free(copy);
  if (heap_live() != 0) refuse("a leak");
  return 0;
}
