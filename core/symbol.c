/* The symbols' story. A text is looked up in a private open-addressing table (SipHash with a random key:
 * names come from the network; what was asked for lately is found without it) and compared in the arena, where its bytes lie packed in blocks that are
 * never given back before the end. A new text is copied behind the last one. Where the bound, the arena or
 * the heap has no room, symbol_put refuses and nothing has changed. The bound covers blocks and table. */
#include "symbol.h"

#include <assert.h>
#include <string.h>

#include "bytes.h"
#include "err.h"
#include "hash.h"
#include "heap.h"

enum { TEXT_BYTES_MAX = 65536, BLOCK_BYTES = 16384, SLOTS_FIRST = 64, RECENT_BITS = 7 };

struct symbol {
  uint32_t hash, off, len;    /* len 0: an empty slot */
};

struct symbols {
  struct arena *arena;
  struct hash_key key;
  struct symbol *slots;
  uint32_t capacity, count;
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
  heap_free(s->slots);
  heap_free(s);
}

/* The slot of the text, or the empty one where it belongs. There always is an empty one. */
static struct symbol *slot_find(const struct symbols *s, uint32_t hash, const void *p, size_t n) {
  uint32_t mask = s->capacity - 1;
  for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
    struct symbol *slot = &s->slots[i];
    if (!slot->len) return slot;
    if (slot->hash == hash && slot->len == n && !memcmp(arena_at(s->arena, slot->off), p, n))
      return slot;
  }
}

static bool slots_grow(struct symbols *s) {
  if (s->count + 1 <= s->capacity / 4 * 3) return true;
  uint32_t capacity = s->capacity ? s->capacity * 2 : SLOTS_FIRST;
  size_t more = (capacity - s->capacity) * sizeof(struct symbol);
  if (s->bytes + more > s->bytes_max) return false;
  struct symbol *slots = heap_zalloc(capacity * sizeof *slots);
  if (!slots) return false;
  for (uint32_t i = 0; i < s->capacity; i++) {
    if (!s->slots[i].len) continue;
    uint32_t at = s->slots[i].hash & (capacity - 1);
    while (slots[at].len) at = (at + 1) & (capacity - 1);
    slots[at] = s->slots[i];
  }
  heap_free(s->slots);
  s->slots = slots;
  s->capacity = capacity;
  s->bytes += more;
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
  uint32_t hash = (uint32_t)hash64(&s->key, p, n);
  struct symbol *slot = s->slots ? slot_find(s, hash, p, n) : NULL;
  if (!slot || !slot->len) {
    if (!slots_grow(s) || !block_get(s, n)) {
      s->refused++;
      return false;
    }
    slot = slot_find(s, hash, p, n);          /* the table may have moved */
    assert(!slot->len);
    *slot = (struct symbol){hash, s->tail, (uint32_t)n};
    memcpy(arena_at(s->arena, s->tail), p, n);
    s->tail += (uint32_t)n;
    s->tail_left -= (uint32_t)n;
    s->count++;
  }
  *out = *recent = (struct fluo_text){slot->off, slot->len};
  return true;
}

size_t symbols_bytes(const struct symbols *s) {
  return s->bytes;
}

uint64_t symbols_refused(const struct symbols *s) {
  return s->refused;
}
