/* Bytes to gzip (RFC 1952) with zlib, fast rather than small: the way back of inflate.h. */
#ifndef FLUO_DEFLATE_H
#define FLUO_DEFLATE_H
#include "buffer.h"

/* Appends one member. 0; FLUO_ETOOLARGE past out->max; FLUO_ENOMEM. Failing, it leaves the buffer as it found it, but
 * for its error. */
int deflate_gzip(const void *p, size_t n, struct buffer *out);

#endif
