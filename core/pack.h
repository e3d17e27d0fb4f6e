/* Numbers and texts as bytes, for what outlives the process, and back. Small numbers take one byte. What a struct holds is
 * written and read beside it (series_write, series_read …); whoever changes what is written raises SNAPSHOT_FORMAT.
 * A reader trusts nothing: it never looks past its end, and the first wrong byte makes all that follows zero. */
#ifndef FLUO_PACK_H
#define FLUO_PACK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "fluo.h"

enum { PACK_TEXTS_MAX = 64 };       /* of one group, that are written once however often they stand in it */

/* Errors stick to the buffer. */
struct pack {
  struct buffer *out;
  const uint8_t *texts;             /* what a fluo_text counts from */
  struct fluo_text known[PACK_TEXTS_MAX];       /* of the group being written: known_count = 0 begins one */
  uint32_t known_count;
};

void pack_uint(struct pack *p, uint64_t x);
/* Any double; a whole one below 2^53 is short, and -0 becomes 0. */
void pack_number(struct pack *p, double x);
void pack_bytes(struct pack *p, const void *bytes, size_t n);
/* Of a long text the first LIMIT_TEXT_BYTES and a few more: nothing that prints texts shows more. */
void pack_text(struct pack *p, struct fluo_text text);

struct unpack {
  const uint8_t *at, *end;
  bool bad;                         /* sticky */
  /* Keeps a text: where it lies now; {0, 0} where there is no room. */
  struct fluo_text (*keep)(void *ctx, const void *text, size_t n);
  void *ctx;
  struct fluo_text known[PACK_TEXTS_MAX];
  uint32_t known_count;
};

uint64_t unpack_uint(struct unpack *u);
/* At most max, else bad and 0. */
uint64_t unpack_upto(struct unpack *u, uint64_t max);
/* Of things of at least one byte each: more than max, or than bytes are left, is bad and 0. */
uint32_t unpack_count(struct unpack *u, uint32_t max);
double unpack_number(struct unpack *u);
/* The next n bytes, where they are; NULL: there are not so many. */
const uint8_t *unpack_bytes(struct unpack *u, size_t n);
/* The same, copied; zeroes where there are not so many. */
void unpack_copy(struct unpack *u, void *to, size_t n);
struct fluo_text unpack_text(struct unpack *u);

#endif
