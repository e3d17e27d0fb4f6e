/* The second opinion: what protobuf-c makes of a body, compared with what the scanner makes of
 * it. */
#ifndef FLUO_SPEC_ORACLE_H
#define FLUO_SPEC_ORACLE_H
#include <stddef.h>
#include <stdint.h>

#include "otlp.h"

/* 0: both refuse the body, or both see the same spans, attributes and resources. 1: they differ,
 * and `why` says how. 2: not comparable (a budget of ours refused it). Never give it a body that
 * nests so deep that protobuf-c runs out of stack. */
int oracle_compare(const uint8_t *body, size_t n, const struct otlp_limits *limits, char why[256]);
/* Spans that protobuf-c sees, or -1: it refuses the body. */
int64_t oracle_spans(const uint8_t *body, size_t n);

#endif
