/* gzip to bytes, never more of them than the buffer may hold. Good path: members are inflated
 * one after the other straight into the buffer's memory; the stream's own memory (40 KB, through
 * heap) is freed before the return, whatever it is. Failing, it leaves the buffer as it found
 * it: too large (a bomb stops at the bound, having cost no more than that), malformed (header,
 * CRC, length, bytes behind the last member), cut short, no memory. */
#include "inflate.h"

#include <zlib.h>

#include "err.h"
#include "heap.h"

enum { INFLATE_STEP_BYTES = 16384, GZIP_ONLY = 16 + MAX_WBITS };

static int error_of(int result, const z_stream *z) {
  if (result == Z_MEM_ERROR) return FLUO_ENOMEM;
  return result == Z_BUF_ERROR && z->avail_in == 0 ? FLUO_ETRUNCATED : FLUO_EMALFORMED;
}

/* One call of inflate, with whatever room the buffer has; at its bound one byte beside it tells
 * the end of the data from more of it. */
static int step(z_stream *z, struct buffer *out, int *result) {
  size_t room = out->max - out->len;
  size_t wanted = room < INFLATE_STEP_BYTES ? room : INFLATE_STEP_BYTES;
  Bytef beside;
  char *to = wanted ? buffer_reserve(out, wanted) : NULL;
  if (wanted && !to) return out->err;
  z->next_out = to ? (Bytef *)to : &beside;
  z->avail_out = to ? (uInt)wanted : 1;
  *result = inflate(z, Z_NO_FLUSH);
  size_t got = (to ? wanted : 1) - z->avail_out;
  if (!to && got) return FLUO_ETOOLARGE;
  out->len += got;
  return 0;
}

/* All members from p on. n fits zlib's counter: longer input is none of ours. */
static int members(z_stream *z, const void *p, size_t n, struct buffer *out) {
  z->next_in = (z_const Bytef *)p;
  z->avail_in = (uInt)n;
  for (;;) {
    int result = Z_OK, err = step(z, out, &result);
    if (err) return err;
    if (result == Z_OK) continue;
    if (result != Z_STREAM_END) return error_of(result, z);
    if (z->avail_in == 0) return 0;
    if (inflateReset(z) != Z_OK) return FLUO_EMALFORMED;
  }
}

int inflate_gzip(const void *p, size_t n, struct buffer *out) {
  z_stream z = {.zalloc = heap_items, .zfree = heap_items_free};
  if (out->err) return out->err;
  if (n > UINT32_MAX) return FLUO_ETOOLARGE;
  if (inflateInit2(&z, GZIP_ONLY) != Z_OK) return FLUO_ENOMEM;
  size_t before = out->len;
  int err = members(&z, p, n, out);
  inflateEnd(&z);
  if (err) out->len = before;
  return err;
}
