/* Recorded telemetry read from files: OTLP as JSON (one request, or one a line), as protobuf, and either
 * gzipped. What kind a file is shows in its first bytes. */
#ifndef FLUO_SOURCE_H
#define FLUO_SOURCE_H
#include <stdbool.h>

#include "otlp.h"

struct source;

/* One request of a file. The body is lent until the next call. */
struct source_request {
  const uint8_t *body; size_t n;      /* protobuf wire form; otlp_check accepted it */
  struct otlp_summary summary;
  uint64_t received_at_ns; bool has_received_at;
};

/* Reads the whole file ("-": standard input), at most LIMIT_FILE_BYTES of it decoded. 0, or a negative
 * fluo_err and what to tell the user in `why` (with the file's name). */
int source_open(const char *path, const struct otlp_limits *limits, struct source **out, char why[512]);
/* The next request: 1 and *request; 0: the end; a negative fluo_err: bad input, `why` has file and line. */
int source_next(struct source *s, struct source_request *request, char why[512]);
void source_close(struct source *s);

#endif
