/* Any bytes as YAML: events within the text, as many closed as opened, nothing leaked. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct fluo_yaml *yaml, size_t size) {
  struct fluo_yaml_event event;
  size_t open = 0;
  for (;;) {
    fluo_yaml_next(yaml, &event);
    if (event.at > size) abort();
    if (event.type == FLUO_YAML_ERROR && !event.len) abort();
    if (event.type == FLUO_YAML_ERROR) return;
    if (event.type == FLUO_YAML_END) break;
    if (event.type >= FLUO_YAML_DOCUMENT && event.type <= FLUO_YAML_MAPPING) open++;
    if (event.type == FLUO_YAML_CLOSE && !open--) abort();
    if (open > 32) return;          /* as deep as rules go */
  }
  if (open) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* A copy of just that size, so that a byte read past it is seen. */
  char *text = malloc(size ? size : 1);
  memcpy(text, data, size);
  struct fluo_yaml *yaml = fluo_yaml_open(text, size);
  read_all(yaml, size);
  fluo_yaml_close(yaml);
  free(text);
  if (heap_live() != 0) abort();
  return 0;
}
