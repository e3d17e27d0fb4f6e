/* Answers of an OTLP server, in the encoding that the request had. Good path: the message is
 * packed straight into the buffer; protobuf-c allocates nothing for that. It fails as a buffer
 * does (bound, memory), and then nothing was appended. */
#include "otlp_reply.h"

#include <string.h>

#include "otlp.pb-c.h"
#include "utf8.h"

/* Clients log it; the protocol's own bound for an answer is 4 MiB. */
enum { REPLY_MESSAGE_BYTES_MAX = 1024 };

/* As much of the message as an answer takes, cut between characters. */
static ProtobufCBinaryData text_of(const char *message) {
  const uint8_t *p = (const uint8_t *)message;
  size_t n = message ? utf8_fit(p, strlen(message), REPLY_MESSAGE_BYTES_MAX) : 0;
  return (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)p};
}

static int pack(struct buffer *out, const ProtobufCMessage *message) {
  size_t n = protobuf_c_message_get_packed_size(message);
  char *to = buffer_reserve(out, n);
  if (!to) return out->err;
  out->len += protobuf_c_message_pack(message, (uint8_t *)to);
  return 0;
}

/* Takes back what was appended from `start` on, if the last append failed. */
static int settle(struct buffer *out, size_t start) {
  if (out->err) out->len = start;
  return out->err;
}

static int export_json(struct buffer *out, int64_t rejected, ProtobufCBinaryData text) {
  size_t start = out->len;
  buffer_text(out, "{\"partialSuccess\":{");
  if (rejected) buffer_printf(out, "\"rejectedSpans\":\"%lld\"", (long long)rejected);
  if (rejected && text.len) buffer_text(out, ",");
  if (text.len) {
    buffer_text(out, "\"errorMessage\":");
    buffer_json(out, text.data, text.len);
  }
  buffer_text(out, "}}");
  return settle(out, start);
}

int otlp_reply_export(struct buffer *out, bool json, int64_t rejected, const char *message) {
  ProtobufCBinaryData text = text_of(message);
  if (!rejected && !message) return json ? buffer_text(out, "{}") : out->err;
  if (json) return export_json(out, rejected, text);
  Fluo__Otlp__PartialSuccess partial = FLUO__OTLP__PARTIAL_SUCCESS__INIT;
  Fluo__Otlp__Response response = FLUO__OTLP__RESPONSE__INIT;
  partial.rejected_spans = rejected;
  partial.error_message = text;
  response.partial_success = &partial;
  return pack(out, &response.base);
}

int otlp_reply_status(struct buffer *out, bool json, int code, const char *message) {
  ProtobufCBinaryData text = text_of(message);
  if (!json) {
    Fluo__Otlp__RpcStatus status = FLUO__OTLP__RPC_STATUS__INIT;
    status.code = code;
    status.message = text;
    return pack(out, &status.base);
  }
  size_t start = out->len;
  buffer_printf(out, "{\"code\":%d,\"message\":", code);
  buffer_json(out, text.data, text.len);
  buffer_text(out, "}");
  return settle(out, start);
}
