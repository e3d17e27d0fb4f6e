/* Any bytes as gzip: never past the bound, nothing left behind by a failure, nothing leaked. */
#include <stdlib.h>

#include "heap.h"
#include "inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct buffer out;
  buffer_init(&out, 100000);
  buffer_text(&out, "before");
  int err = inflate_gzip(data, size, &out);
  if (out.len > out.max || (err && out.len != 6)) abort();
  buffer_deinit(&out);
  if (heap_live() != 0) abort();
  return 0;
}
