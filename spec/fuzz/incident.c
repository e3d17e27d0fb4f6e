/* Bytes of the ledger become an incident or nothing, and matchers are read or refused; what was taken lives on
 * until it is forgotten. */
#include <stdint.h>
#include <string.h>

#include "incident.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  struct incidents_options options = {.incidents_max = 4};
  struct incidents_calls calls = {NULL, NULL, NULL, NULL};
  struct incidents *i;
  struct matchers *m;
  char why[MATCHERS_WHY_BYTES];
  if (!matchers_new((const char *)data, n, &m, why)) matchers_free(m);
  if (incidents_new(&options, &calls, &i, why)) return 0;
  if (!incidents_restore(i, data, n, 0, 1000))
    for (uint64_t now = 1000; now < UINT64_MAX / 8; now *= 8) incidents_step(i, now);
  incidents_free(i);
  return 0;
}
