/* OTLP/JSON to protobuf wire form, streaming: one pass over the text, recursion bounded by depth_max,
 * the output bounded by the buffer's max. Then the body takes the same scanner as protobuf does.
 * Rules: OTLP's specification, JSON Protobuf Encoding (lowerCamelCase keys, hex ids, digits read as digits, unknown
 * keys skipped, null is absent); beyond it enum names and old instrumentationLibrary keys are taken. */
#ifndef FLUO_OTLP_JSON_H
#define FLUO_OTLP_JSON_H
#include "buffer.h"
#include "otlp.h"

struct otlp_json_result {
  size_t   consumed;          /* bytes of text, white space behind the document included */
  uint32_t lines;             /* line ends within them */
  uint64_t received_at_ns;    /* the request's receivedAtUnixNano, where has_received_at */
  bool     has_received_at;
  uint32_t invalid_utf8;      /* byte sequences replaced by U+FFFD */
  uint32_t enum_names;        /* enums given by name instead of number */
};

/* Transcodes the one document at the start of text (a BOM and white space before it are skipped)
 * and appends it to out. `exact`: anything but white space behind it is an error (an HTTP body);
 * else it ends there (lines of a file). 0; or *fault and FLUO_ETRUNCATED (the text ends too early),
 * FLUO_EMALFORMED, FLUO_EDEPTH, FLUO_ETOOLARGE (out->max, or out of room while a message was open: three
 * bytes a level more than the result has) or FLUO_ENOMEM, and out->len is as it was. */
int otlp_json_transcode(const char *text, size_t n, bool exact, const struct otlp_limits *limits,
                        struct buffer *out, struct otlp_json_result *result, struct otlp_fault *fault);

#endif
