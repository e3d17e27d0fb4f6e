/* The arena's story. One memfd is mapped shared and never moves. arena_get takes the free block that lies lowest
 * of those that are large enough, arena_get_high the highest, and splits it (so what lives long gathers at the
 * bottom, what goes first at the top, and what is between can go back to the kernel); arena_put merges it with
 * free buddies. All books lie in the heap: per order a bitmap of free blocks with summaries above it (the lowest
 * set bit is found in as many steps as there are summaries, four at 4 GiB), and one byte a block for the order of
 * those given out. Of each order the free blocks nearest to both ends are known, and of it and all larger ones
 * together, so nothing is searched for. Only arena_new allocates; if it fails, arena_free takes down what stood.
 * arena_trim knows from one byte a page what was written since it last went back, so a second call costs a look at
 * the large free blocks and no system call. It begins with the largest, which lies between the two ends: what is free
 * near them is written again soonest. */
#include "arena.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"
#include "heap.h"

enum {
  ORDERS = 25,                /* 256 B << 24 is 4 GiB */
  LEVELS = 5,                 /* 64^4 bits are 4 GiB of blocks; one more where that is not a whole word */
  PAGE_BYTES = 4096,
  SIZE_STEP = 65536,          /* of the whole */
  PLACES = 1 << (ORDERS - 1), /* of ARENA_BLOCK_MIN */
  ORDER_BITS = 5,
  NONE = UINT32_MAX,
  TRIM_ORDER = 5              /* 8 KiB go back to the kernel in a piece: not worth a system call below */
};

/* A set of small integers that knows its least: each level has a bit for every word below that is not 0. */
struct bits {
  uint64_t *words[LEVELS];
  unsigned levels;
};

struct arena {
  struct arena_map map;
  int fd;
  uint32_t blocks, pages;     /* of ARENA_BLOCK_MIN, of PAGE_BYTES */
  struct bits free[ORDERS];   /* by order: bit i is the free block at i << order */
  /* The low end and the high one: the free block that is nearest to it, as a key; of each order, of this or a larger one. */
  struct { uint32_t own[ORDERS], best[ORDERS + 1]; } ends[2];
  uint8_t *orders;            /* of the block that starts here: order + 1; 0: none that is given out */
  uint8_t *dirty;             /* pages that may hold memory */
  uint32_t dirty_pages;       /* how many these are */
  size_t free_least;          /* of them, the least that lay free since arena_unused */
};

/* ---- bits ----------------------------------------------------------------------------------- */

static int bits_init(struct bits *b, size_t bits) {
  size_t total = 0, n = bits;
  do {
    n = (n + 63) / 64;
    total += n;
    b->levels++;
  } while (n > 1);
  uint64_t *words = heap_zalloc(total * sizeof *words);
  if (!words) return FLUO_ENOMEM;
  n = bits;
  for (unsigned i = 0; i < b->levels; i++) {
    b->words[i] = words;
    n = (n + 63) / 64;
    words += n;
  }
  return 0;
}

static void bits_set(struct bits *b, uint32_t i) {
  for (unsigned level = 0; level < b->levels; level++, i /= 64) {
    uint64_t *word = &b->words[level][i / 64], before = *word;
    *word |= 1ull << (i % 64);
    if (before) return;       /* the levels above know already */
  }
}

static void bits_clear(struct bits *b, uint32_t i) {
  for (unsigned level = 0; level < b->levels; level++, i /= 64) {
    uint64_t *word = &b->words[level][i / 64];
    *word &= ~(1ull << (i % 64));
    if (*word) return;
  }
}

static bool bits_test(const struct bits *b, uint32_t i) {
  return b->words[0][i / 64] >> (i % 64) & 1;
}

static bool bits_empty(const struct bits *b) {
  return b->words[b->levels - 1][0] == 0;
}

static uint32_t bits_first(const struct bits *b) {
  uint32_t i = 0;
  for (unsigned level = b->levels; level-- > 0;)
    i = i * 64 + (uint32_t)__builtin_ctzll(b->words[level][i]);
  return i;
}

static uint32_t bits_last(const struct bits *b) {
  uint32_t i = 0;
  for (unsigned level = b->levels; level-- > 0;)
    i = i * 64 + 63 - (uint32_t)__builtin_clzll(b->words[level][i]);
  return i;
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* A free block in one number, that is the smaller, the nearer to an end it lies: the low one, or the high one. */
static uint32_t key_of(unsigned order, uint32_t i, bool high) {
  uint32_t place = high ? PLACES - ((i + 1) << order) : i << order;
  return place << ORDER_BITS | order;
}

static unsigned key_order(uint32_t key) {
  return key & ((1 << ORDER_BITS) - 1);
}

static uint32_t key_index(uint32_t key, bool high) {
  uint32_t i = (high ? PLACES - (key >> ORDER_BITS) : key >> ORDER_BITS) >> key_order(key);
  return i - high;
}

/* The nearest of its order has changed. */
static void own_set(struct arena *a, unsigned order, bool high, uint32_t key) {
  uint32_t *own = a->ends[high].own, *best = a->ends[high].best;
  own[order] = key;
  for (unsigned o = order + 1; o-- > 0;) {
    uint32_t now = own[o] < best[o + 1] ? own[o] : best[o + 1];
    if (best[o] == now) return;           /* the smaller orders know already */
    best[o] = now;
  }
}

static void block_release(struct arena *a, unsigned order, uint32_t i) {
  uint32_t low = key_of(order, i, false), high = key_of(order, i, true);
  bits_set(&a->free[order], i);
  if (low < a->ends[0].own[order]) own_set(a, order, false, low);
  if (high < a->ends[1].own[order]) own_set(a, order, true, high);
}

static void block_claim(struct arena *a, unsigned order, uint32_t i) {
  struct bits *b = &a->free[order];
  bits_clear(b, i);
  bool empty = bits_empty(b);
  if (a->ends[0].own[order] == key_of(order, i, false))
    own_set(a, order, false, empty ? NONE : key_of(order, bits_first(b), false));
  if (a->ends[1].own[order] == key_of(order, i, true))
    own_set(a, order, true, empty ? NONE : key_of(order, bits_last(b), true));
}

static unsigned order_of(size_t bytes) {
  if (bytes <= ARENA_BLOCK_MIN) return 0;
  return 64 - (unsigned)__builtin_clzll((bytes - 1) / ARENA_BLOCK_MIN);
}

static void dirty_mark(struct arena *a, uint32_t off, size_t bytes) {
  uint32_t last = (uint32_t)((off + bytes - 1) / PAGE_BYTES);
  for (uint32_t page = off / PAGE_BYTES; page <= last; page++) {
    a->dirty_pages += !a->dirty[page];
    a->dirty[page] = 1;
  }
}

/* Block 0, which nobody is given, may make it a little less than none. */
static size_t free_touched(const struct arena *a) {
  size_t touched = (size_t)a->dirty_pages * PAGE_BYTES;
  return touched > a->map.used ? touched - a->map.used : 0;
}

static void note_free(struct arena *a) {
  size_t now = free_touched(a);
  if (now < a->free_least) a->free_least = now;
}

static uint32_t get(struct arena *a, size_t bytes, size_t *actual, bool high) {
  if (bytes > a->map.bytes) return 0;
  unsigned order = order_of(bytes);
  /* The nearest that is large enough, not the smallest: what is asked for at one end must never lie among what lives at
   * the other. */
  uint32_t key = order < ORDERS ? a->ends[high].best[order] : NONE;
  if (key == NONE) return 0;
  uint32_t i = key_index(key, high);
  unsigned from = key_order(key);
  block_claim(a, from, i);
  while (from > order) {
    from--;
    i = i * 2 + high;
    block_release(a, from, i ^ 1);
  }
  uint32_t first = i << order, off = first * ARENA_BLOCK_MIN;
  size_t size = (size_t)ARENA_BLOCK_MIN << order;
  assert(first && !a->orders[first]);
  a->orders[first] = (uint8_t)(order + 1);
  a->map.used += size;
  dirty_mark(a, off, size);
  note_free(a);
  if (actual) *actual = size;
  return off;
}

uint32_t arena_get(struct arena *a, size_t bytes, size_t *actual) {
  return get(a, bytes, actual, false);
}

uint32_t arena_get_high(struct arena *a, size_t bytes, size_t *actual) {
  return get(a, bytes, actual, true);
}

size_t arena_put(struct arena *a, uint32_t off) {
  uint32_t first = off / ARENA_BLOCK_MIN;
  assert(off && off % ARENA_BLOCK_MIN == 0 && first < a->blocks && a->orders[first]);
  unsigned order = a->orders[first] - 1u;
  a->orders[first] = 0;
  size_t size = (size_t)ARENA_BLOCK_MIN << order;
  a->map.used -= size;
  uint32_t i = first >> order;
  while (order + 1 < ORDERS && (i ^ 1) < a->blocks >> order && bits_test(&a->free[order], i ^ 1)) {
    block_claim(a, order, i ^ 1);
    order++;
    i /= 2;
  }
  block_release(a, order, i);
  return size;
}

/* Hands all but block 0 to the free sets: at each place the largest block that its alignment and the
 * end allow. Block 0 stays taken for ever, so that no offset is 0. */
static void blocks_init(struct arena *a) {
  for (uint32_t at = 1; at < a->blocks;) {
    unsigned order = (unsigned)__builtin_ctz(at);
    while (order >= ORDERS || at + (1u << order) > a->blocks) order--;
    block_release(a, order, at >> order);
    at += 1u << order;
  }
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int books_init(struct arena *a) {
  for (unsigned order = 0; order < ORDERS && a->blocks >> order; order++)
    if (bits_init(&a->free[order], a->blocks >> order)) return FLUO_ENOMEM;
  a->orders = heap_zalloc(a->blocks);
  a->dirty = heap_zalloc(a->pages);
  return a->orders && a->dirty ? 0 : FLUO_ENOMEM;
}

static int mapping_init(struct arena *a) {
  a->fd = memfd_create("fluo-arena", MFD_CLOEXEC);
  if (a->fd < 0 || ftruncate(a->fd, (off_t)a->map.bytes)) return FLUO_EIO;
  void *base = mmap(NULL, a->map.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
  if (base == MAP_FAILED) return FLUO_ENOMEM;
  a->map.base = base;
  return 0;
}

int arena_new(size_t bytes, struct arena **out) {
  bytes -= bytes % SIZE_STEP;
  if (bytes < 1u << 20 || bytes >> 32) return FLUO_EINVALID;
  struct arena *a = heap_zalloc(sizeof *a);
  if (!a) return FLUO_ENOMEM;
  a->map.bytes = bytes;
  a->blocks = (uint32_t)(bytes / ARENA_BLOCK_MIN);
  a->pages = (uint32_t)(bytes / PAGE_BYTES);
  a->fd = -1;
  int err = books_init(a);
  if (!err) err = mapping_init(a);
  if (err) goto err_after_alloc;
  memset(a->ends, 0xff, sizeof a->ends);      /* NONE */
  blocks_init(a);
  *out = a;
  return 0;

err_after_alloc:
  arena_free(a);
  return err;
}

void arena_free(struct arena *a) {
  if (!a) return;
  if (a->map.base) munmap(a->map.base, a->map.bytes);
  if (a->fd >= 0) close(a->fd);
  for (unsigned order = 0; order < ORDERS; order++) heap_free(a->free[order].words[0]);
  heap_free(a->orders);
  heap_free(a->dirty);
  heap_free(a);
}

int arena_open_readonly(const struct arena *a) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", a->fd);
  return open(path, O_RDONLY | O_CLOEXEC);
}

extern inline void *arena_at(const struct arena *a, uint32_t off);
extern inline const uint8_t *arena_base(const struct arena *a);

extern inline size_t arena_bytes(const struct arena *a);
extern inline size_t arena_bytes_used(const struct arena *a);

size_t arena_bytes_touched(const struct arena *a) {
  return (size_t)a->dirty_pages * PAGE_BYTES;
}

/* ---- giving back ---------------------------------------------------------------------------- */

/* The runs of dirty pages in a free block. */
static size_t block_trim(struct arena *a, unsigned order, uint32_t i, size_t bytes_max) {
  const uint32_t pages_a_block = (uint32_t)(((size_t)ARENA_BLOCK_MIN << order) / PAGE_BYTES);
  uint32_t at = i * pages_a_block, end = at + pages_a_block;
  size_t trimmed = 0;
  while (trimmed < bytes_max) {
    const uint8_t *dirty = memchr(a->dirty + at, 1, end - at);
    if (!dirty) break;
    at = (uint32_t)(dirty - a->dirty);
    const uint8_t *clean = memchr(dirty, 0, end - at);
    uint32_t pages = clean ? (uint32_t)(clean - dirty) : end - at;
    if (pages > (bytes_max - trimmed) / PAGE_BYTES) pages = (uint32_t)((bytes_max - trimmed) / PAGE_BYTES);
    size_t bytes = (size_t)pages * PAGE_BYTES;
    if (!pages || madvise(a->map.base + (size_t)at * PAGE_BYTES, bytes, MADV_REMOVE)) break;
    memset(a->dirty + at, 0, pages);
    a->dirty_pages -= pages;
    trimmed += bytes;
  }
  return trimmed;
}

size_t arena_trim(struct arena *a, size_t bytes_max) {
  size_t trimmed = 0;
  for (unsigned order = ORDERS; order-- > TRIM_ORDER;) {
    if (a->ends[0].own[order] == NONE) continue;
    uint32_t first = key_index(a->ends[0].own[order], false), last = key_index(a->ends[1].own[order], true);
    for (uint32_t word = first / 64; word <= last / 64; word++)
      for (uint64_t left = a->free[order].words[0][word]; left && trimmed < bytes_max; left &= left - 1)
        trimmed += block_trim(a, order, word * 64 + (uint32_t)__builtin_ctzll(left), bytes_max - trimmed);
  }
  note_free(a);
  return trimmed;
}

size_t arena_unused(struct arena *a) {
  size_t unused = a->free_least;
  a->free_least = free_touched(a);
  return unused;
}
