/* Any bytes as a trace body: the scanner and protobuf-c have to agree. Neither may crash, and
 * what the scanner hands out is read to the last byte. */
#include <stdio.h>
#include <stdlib.h>

#include "../oracle.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const struct otlp_limits limits = {64, 4096, 65536, 1 << 20};
  char why[256];
  if (oracle_compare(data, size, &limits, why) != 1) return 0;
  fprintf(stderr, "the decoders differ: %s\n", why);
  abort();
}
