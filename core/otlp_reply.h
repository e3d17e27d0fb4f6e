/* The bodies of an OTLP server's answers, encoded with protobuf-c (off the hot path), or as JSON. */
#ifndef FLUO_OTLP_REPLY_H
#define FLUO_OTLP_REPLY_H
#include <stdbool.h>

#include "buffer.h"

/* Appends an ExportTraceServiceResponse: empty (or {}) when rejected is 0 and message NULL, else with
 * partial_success. 0 or a negative fluo_err. */
int otlp_reply_export(struct buffer *out, bool json, int64_t rejected, const char *message);
/* Appends a google.rpc.Status with a gRPC code (3 INVALID_ARGUMENT, 8 RESOURCE_EXHAUSTED, 14 …). */
int otlp_reply_status(struct buffer *out, bool json, int code, const char *message);

#endif
