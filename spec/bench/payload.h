/* Seeded OTLP bodies for the benches: traces of 8 to 20 spans in trees over 5 services, ten attributes and about
 * 450 bytes a span as protobuf, 1 % of the spans errors, and in 1 % of the traces one span that a bench's rules
 * match (http.status_code 503).
 *
 * A body is written once and then stamped for each request: ids and times are new, all else stays. The last 8
 * bytes of each trace id are the request's number, so whoever sees a violation knows when its span was sent. */
#ifndef PAYLOAD_H
#define PAYLOAD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct patch;
struct payload {
  uint8_t *block, *bytes;       /* bytes: where the body starts in the block */
  size_t n;
  struct patch *patches;
  size_t patches_count;
  bool json;
};

/* Ends the program where there is no memory. */
void payload_init(struct payload *p, uint64_t seed, size_t spans, bool json);
void payload_stamp(struct payload *p, uint64_t request, uint64_t now_ns);
void payload_deinit(struct payload *p);

#endif
