/* What a snapshot of the state of windows, baselines and sequences is as a file:
 *
 *   8 bytes  "FLUOSNAP"
 *   blocks:  kind, format, bytes, CRC-32 of these and what follows (4 bytes each, little-endian); then so many bytes
 *
 * The first block is the HEAD (the moment, and which rules there are, each with a number), then come GROUPS blocks (groups
 * with their rule's number, the least recently used first), and last the END, which is empty: without it the
 * file was cut short.
 * engine_snapshot.c writes and reads what is in them. A damaged block costs itself where its length can be believed, else
 * what follows it. Groups know nothing of each other, so each is as it was at one moment, and not all at the same one:
 * not before the head's. */
#ifndef FLUO_SNAPSHOT_H
#define FLUO_SNAPSHOT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* Of what the structs write: raised by whoever changes that. A snapshot of another format is not read. */
enum { SNAPSHOT_FORMAT = 2 };
enum snapshot_kind { SNAPSHOT_HEAD = 1, SNAPSHOT_GROUPS, SNAPSHOT_END };
enum { SNAPSHOT_MAGIC_BYTES = 8, SNAPSHOT_BLOCK_HEAD_BYTES = 16 };
extern const char snapshot_magic[SNAPSHOT_MAGIC_BYTES];

/* Leaves room for a block's head; what is appended from then on is in the block. */
void snapshot_open(struct buffer *b);
/* The block is whole: `b` holds it alone, and it is not empty. May run in any thread. */
void snapshot_seal(struct buffer *b, enum snapshot_kind kind);

struct snapshot_reader {
  /* The next n bytes; less than n: there were no more, or they could not be read. */
  size_t (*read)(void *ctx, void *to, size_t n);
  void *ctx;
  size_t bytes_max;                 /* of what may be read in all */
  size_t bytes;                     /* read so far */
  uint32_t damaged;                 /* blocks that were passed over */
};

/* Looks for the magic: 0 or FLUO_EMALFORMED. */
int snapshot_begin(struct snapshot_reader *r);
/* The next good block into `b`, whose bound bounds it, in the place of what is there: its kind; 0: there is no more that can
 * be read; FLUO_EUNSUPPORTED: all of it is of another format; FLUO_ENOMEM. */
int snapshot_next(struct snapshot_reader *r, struct buffer *b);

#endif
