/* Blocks, made and read. A block's length is believed where its head is plausible: kind, format, no more bytes than a block
 * may have. If the CRC is wrong then, the next head is looked for behind it: where only bytes inside were damaged it is
 * there; where the length was, what is found is no head, and the reading ends. A first block of another format ends it at
 * once: what comes may mean anything. */
#include "snapshot.h"

#include <assert.h>
#include <string.h>
#include <zlib.h>

#include "err.h"

const char snapshot_magic[SNAPSHOT_MAGIC_BYTES] = {'F', 'L', 'U', 'O', 'S', 'N', 'A', 'P'};

enum { KIND, FORMAT, BYTES, CRC, WORDS };
_Static_assert(WORDS * 4 == SNAPSHOT_BLOCK_HEAD_BYTES, "four words are a block's head");

static void put_word(char *head, int which, uint32_t x) {
  for (int i = 0; i < 4; i++) head[which * 4 + i] = (char)(x >> 8 * i & 255);
}

static uint32_t get_word(const char *head, int which) {
  uint32_t x = 0;
  for (int i = 3; i >= 0; i--) x = x << 8 | (uint8_t)head[which * 4 + i];
  return x;
}

static uint32_t crc_of(const char *head, const char *p, size_t n) {
  uLong crc = crc32_z(0, (const uint8_t *)head, CRC * 4);
  return (uint32_t)crc32_z(crc, (const uint8_t *)p, n);
}

void snapshot_open(struct buffer *b) {
  static const char room[SNAPSHOT_BLOCK_HEAD_BYTES];
  buffer_clear(b);
  buffer_add(b, room, sizeof room);
}

void snapshot_seal(struct buffer *b, enum snapshot_kind kind) {
  assert(b->len >= SNAPSHOT_BLOCK_HEAD_BYTES && b->len <= UINT32_MAX && !b->err);
  size_t n = b->len - SNAPSHOT_BLOCK_HEAD_BYTES;
  put_word(b->data, KIND, kind);
  put_word(b->data, FORMAT, SNAPSHOT_FORMAT);
  put_word(b->data, BYTES, (uint32_t)n);
  put_word(b->data, CRC, crc_of(b->data, b->data + SNAPSHOT_BLOCK_HEAD_BYTES, n));
}

/* Whether the next n bytes could be had. */
static bool take(struct snapshot_reader *r, void *to, size_t n) {
  if (n > r->bytes_max - r->bytes) return false;
  size_t got = r->read(r->ctx, to, n);
  r->bytes += got;
  return got == n;
}

int snapshot_begin(struct snapshot_reader *r) {
  char magic[SNAPSHOT_MAGIC_BYTES];
  r->bytes = 0;
  r->damaged = 0;
  if (!take(r, magic, sizeof magic) || memcmp(magic, snapshot_magic, sizeof magic)) return FLUO_EMALFORMED;
  return 0;
}

int snapshot_next(struct snapshot_reader *r, struct buffer *b) {
  char head[SNAPSHOT_BLOCK_HEAD_BYTES];
  for (;; r->damaged++) {
    if (!take(r, head, sizeof head)) return 0;
    uint32_t kind = get_word(head, KIND), n = get_word(head, BYTES);
    bool ours = get_word(head, FORMAT) == SNAPSHOT_FORMAT;
    if (!ours && r->bytes == SNAPSHOT_MAGIC_BYTES + sizeof head) return FLUO_EUNSUPPORTED;
    if (!ours || kind < SNAPSHOT_HEAD || kind > SNAPSHOT_END || n > b->max) break;
    buffer_clear(b);
    char *to = buffer_reserve(b, n);
    if (!to) return b->err;
    if (!take(r, to, n)) break;
    b->len = n;
    if (get_word(head, CRC) == crc_of(head, to, n)) return (int)kind;
  }
  r->damaged++;
  return 0;
}
