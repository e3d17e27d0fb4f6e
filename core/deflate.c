/* Bytes to gzip, in one call: zlib says beforehand how much room the worst takes, and the buffer has it or the call
 * fails. The stream's own memory (some 30 KB with this small a window, through heap) is freed before the return. */
#include "deflate.h"

#include <zlib.h>

#include "err.h"
#include "heap.h"

enum { LEVEL = 1, GZIP_WINDOW = 16 + 13, MEMORY_LEVEL = 6 };

int deflate_gzip(const void *p, size_t n, struct buffer *out) {
  z_stream z = {.zalloc = heap_items, .zfree = heap_items_free};
  if (out->err) return out->err;
  if (n > UINT32_MAX / 2) return FLUO_ETOOLARGE;
  if (deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) return FLUO_ENOMEM;
  uLong room = deflateBound(&z, (uLong)n);
  char *to = buffer_reserve(out, room);
  int result = Z_STREAM_ERROR;
  if (to) {
    z.next_in = (z_const Bytef *)p;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)to;
    z.avail_out = (uInt)room;
    result = deflate(&z, Z_FINISH);
    if (result == Z_STREAM_END) out->len += room - z.avail_out;
  }
  deflateEnd(&z);
  return result == Z_STREAM_END ? 0 : out->err ? out->err : FLUO_EIO;
}
