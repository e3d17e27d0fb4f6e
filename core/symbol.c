/* The symbols' story. A text is looked up in a private table (SipHash with a random key: names come from the network; what
 * was asked for lately is found without it) and compared in the arena, where its bytes lie packed in blocks that are never
 * given back before the end. A new text is copied behind the last one. Where the bound, the arena or the heap has no room,
 * symbol_put refuses and nothing has changed. The bound covers blocks and table. */
#include "symbol.h"

#include <string.h>

#include "bytes.h"
#include "err.h"
#include "hash.h"
#include "heap.h"
#include "table.h"

enum { TEXT_BYTES_MAX = 65536, BLOCK_BYTES = 16384, RECENT_BITS = 7 };

struct symbols {
  struct arena *arena;
  struct hash_key key;
  struct table table;         /* of places: place_of */
  uint32_t *blocks, blocks_count, blocks_capacity;
  uint32_t tail, tail_left;   /* where the next text goes, and how much fits */
  size_t bytes, bytes_max;
  uint64_t refused;
  struct fluo_text recent[1 << RECENT_BITS];   /* by a sketch of the text: most are found here */
};

int symbols_new(struct arena *arena, size_t bytes_max, struct symbols **out) {
  struct symbols *s = heap_zalloc(sizeof *s);
  if (!s) return FLUO_ENOMEM;
  s->arena = arena;
  s->key = hash_key_random();
  s->bytes_max = bytes_max;
  *out = s;
  return 0;
}

void symbols_free(struct symbols *s) {
  if (!s) return;
  for (uint32_t i = 0; i < s->blocks_count; i++) arena_put(s->arena, s->blocks[i]);
  heap_free(s->blocks);
  table_deinit(&s->table);
  heap_free(s);
}

/* As the table has it, a text's place is its length, which is not 0, and its offset. */
static uint64_t place_of(struct fluo_text text) {
  return (uint64_t)text.len << 32 | text.off;
}

static struct fluo_text text_at(uint64_t place) {
  return (struct fluo_text){(uint32_t)place, (uint32_t)(place >> 32)};
}

struct wanted { const struct arena *arena; const void *p; size_t n; };

static bool is_wanted(uint64_t place, const void *key) {
  const struct wanted *w = key;
  struct fluo_text text = text_at(place);
  return text.len == w->n && !memcmp(arena_at(w->arena, text.off), w->p, w->n);
}

static bool slot_reserve(struct symbols *s, uint64_t hash) {
  for (size_t growth; (growth = table_growth(&s->table, hash)); s->bytes += growth)
    if (growth > s->bytes_max - s->bytes || table_grow(&s->table, hash)) return false;
  return true;
}

/* A block that holds n bytes more: the usual size, or where the bound or the arena is nearly full the
 * least that does. What is left of the block before is lost; it is less than a text. */
static bool block_get(struct symbols *s, size_t n) {
  if (n <= s->tail_left) return true;
  if (heap_grow((void **)&s->blocks, &s->blocks_capacity, s->blocks_count, sizeof *s->blocks))
    return false;
  uint32_t off = 0;
  size_t actual = 0, left = s->bytes_max - s->bytes;
  if (n <= BLOCK_BYTES && BLOCK_BYTES <= left) off = arena_get(s->arena, BLOCK_BYTES, &actual);
  if (!off && n <= left) off = arena_get(s->arena, n, &actual);
  if (!off) return false;
  if (actual > left) {
    arena_put(s->arena, off);
    return false;
  }
  s->blocks[s->blocks_count++] = off;
  s->bytes += actual;
  s->tail = off;
  s->tail_left = (uint32_t)actual;
  return true;
}

/* Its place; 0: there is no room for one more. */
static uint64_t symbol_new(struct symbols *s, uint64_t hash, const void *p, size_t n) {
  if (!slot_reserve(s, hash) || !block_get(s, n)) return 0;
  uint64_t place = place_of((struct fluo_text){s->tail, (uint32_t)n});
  memcpy(arena_at(s->arena, s->tail), p, n);
  s->tail += (uint32_t)n;
  s->tail_left -= (uint32_t)n;
  table_put(&s->table, hash, place);
  return place;
}

bool symbol_put(struct symbols *s, const void *p, size_t n, struct fluo_text *out) {
  if (!n) {
    *out = (struct fluo_text){0, 0};
    return true;
  }
  if (n > TEXT_BYTES_MAX) {
    s->refused++;
    return false;
  }
  struct fluo_text *recent = &s->recent[bytes_sketch(p, n) >> (64 - RECENT_BITS)];
  if (recent->len == n && !memcmp(arena_at(s->arena, recent->off), p, n)) {
    *out = *recent;
    return true;
  }
  uint64_t hash = hash64(&s->key, p, n);
  uint64_t place = table_find(&s->table, hash, is_wanted, &(struct wanted){s->arena, p, n});
  if (!place && !(place = symbol_new(s, hash, p, n))) {
    s->refused++;
    return false;
  }
  *out = *recent = text_at(place);
  return true;
}

size_t symbols_bytes(const struct symbols *s) {
  return s->bytes;
}

uint64_t symbols_refused(const struct symbols *s) {
  return s->refused;
}
