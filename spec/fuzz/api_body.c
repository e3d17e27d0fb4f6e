/* Any bytes as the body of a request to the API, and as a time: what is taken lies within its bounds and ends with a NUL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_body.h"
#include "heap.h"
#include "timestamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds, const char *why) {
  if (holds) return;
  fprintf(stderr, "%s\n", why);
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char matchers[33], comment[9], why[API_BODY_WHY_BYTES];
  struct api_member members[] = {
      {"matchers", matchers, sizeof matchers, false}, {"comment", comment, sizeof comment, false}, {"until_resolved", NULL, 0, false}};
  /* A copy of just that size, so that a byte read past it is seen. */
  uint8_t *copy = malloc(size ? size : 1);
  uint64_t ns;
  memcpy(copy, data, size);
  if (api_body_read(copy, size, members, 3, why)) {
    check(memchr(matchers, '\0', sizeof matchers) && memchr(comment, '\0', sizeof comment), "a text without an end");
  } else {
    check(memchr(why, '\0', sizeof why) && why[0], "refused without a reason");
  }
  if (timestamp_read((const char *)copy, size, &ns)) check(ns < 7258204800000000000u, "past 2200");
  free(copy);
  check(heap_live() == 0, "a leak");
  return 0;
}
