/* From a body as it was sent to one that otlp_check accepted: gzip, JSON, the check. Pure: it touches nothing but
 * what the struct names, so it may run in a thread of its own. */
#ifndef FLUO_DECODE_H
#define FLUO_DECODE_H
#include "buffer.h"
#include "otlp.h"

/* What decoding needs besides the body; reused from one body to the next. Each has its bound. */
struct decode_scratch {
  struct buffer inflated, wire;
  size_t inflated_bytes_max, wire_bytes_max;
  bool used;                          /* since decode_scratch_rest */
};

void decode_scratch_init(struct decode_scratch *s, size_t body_bytes_max);
/* Gives back what is larger than `kept` bytes. */
void decode_scratch_trim(struct decode_scratch *s, size_t kept);
/* Gives all of it back if nothing was decoded into it since the last call. */
void decode_scratch_rest(struct decode_scratch *s);

struct decode {
  struct otlp_bytes body;             /* as sent; then decoded: it lies there, or in the scratch */
  bool gzip, json;
  size_t bytes_max;                   /* of what it is decoded into, all together: FLUO_ETOOLARGE */
  const struct otlp_limits *limits;
  struct decode_scratch *scratch;
  struct otlp_summary summary;
  size_t inflated_bytes;              /* the body's, once without gzip */
  uint32_t invalid_utf8, enum_names;  /* found by the transcoder */
  char why[256];                      /* it failed */
};
/* What of the scratch a body that was not decoded yet may take, in bytes: wire form is no longer than its JSON, but for text
 * that is no UTF-8. */
size_t decode_bytes(const struct decode *d);
/* 0; or FLUO_ETOOLARGE (the scratch's bounds, decoded bytes), FLUO_ENOMEM, or another error that says it is no OTLP. */
int decode_run(struct decode *d);

#endif
