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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct otlp_summary before, after;
  struct otlp_fault fault;
  struct buffer text, body, text_again, body_again;
  uint8_t *copy = malloc(size ? size : 1);
  memcpy(copy, data, size);
  if (!otlp_check(copy, size, &limits, &before, &fault)) {
    there_and_back(copy, size, &text, &body);
    if (otlp_check((const uint8_t *)body.data, body.len, &limits, &after, &fault)) refuse(fault.what);
    if (before.spans != after.spans) refuse("spans got lost");
    there_and_back((const uint8_t *)body.data, body.len, &text_again, &body_again);
    if (text.len != text_again.len && before.rejected == after.rejected && before.elements == after.elements)
      refuse("it changes each time");
    buffer_deinit(&text);
    buffer_deinit(&body);
    buffer_deinit(&text_again);
    buffer_deinit(&body_again);
  }
  free(copy);
  if (heap_live() != 0) refuse("a leak");
  return 0;
}
