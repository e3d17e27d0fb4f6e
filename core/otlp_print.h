/* OTLP protobuf as OTLP/JSON, the way back of otlp_json.h: ids in hex, 64-bit numbers as text, bytes in base64, enums
 * as numbers, text that is not UTF-8 with U+FFFD in its place. What otlp_json makes of it means the same: fields that
 * OTLP does not know are left out, of a scalar that came twice the last one is there, and of a message its pieces. */
#ifndef FLUO_OTLP_PRINT_H
#define FLUO_OTLP_PRINT_H
#include <stdint.h>

#include "buffer.h"

/* Appends a message (shape: enum otlp_message) that otlp_check accepted, as an object. 0 or out->err; then what was appended is the caller's to
 * throw away. Recursion is as deep as the message. */
int otlp_print(struct buffer *out, uint32_t shape, const uint8_t *p, size_t n);

#endif
