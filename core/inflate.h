/* gzip (RFC 1952) with zlib, bounded: several members are joined, as the RFC says. */
#ifndef FLUO_INFLATE_H
#define FLUO_INFLATE_H
#include "buffer.h"

/* Appends the decoded bytes to out, never past out->max. 0; FLUO_ETOOLARGE past the bound;
 * FLUO_EMALFORMED (bad header, CRC or trailing bytes that are no member); FLUO_ETRUNCATED; FLUO_ENOMEM. */
int inflate_gzip(const void *p, size_t n, struct buffer *out);

#endif
