#include "barren.h"

#include <string.h>

#include "bytes.h"
#include "heap.h"

enum { ENTRIES_BITS = 8, BYTES_MAX = 54 };

struct entry {              /* one cache line */
  uint32_t key_next;        /* key + 1; 0: empty */
  uint32_t type;
  uint8_t len, bytes[BYTES_MAX];
};

/* A key's patience is what is left of the misses that it may have in a row; below 0 it rests. */
enum { PATIENCE = 32, REST = 64, TRIAL = 2 };

struct barren {
  struct entry entries[1 << ENTRIES_BITS];
  int8_t patience[];
};

struct barren *barren_new(uint32_t keys) {
  struct barren *b = heap_zalloc(sizeof *b + keys);
  if (b) memset(b->patience, PATIENCE, keys);
  return b;
}

void barren_free(struct barren *b) {
  heap_free(b);
}

static bool rests(struct barren *b, uint32_t key) {
  if (b->patience[key] >= 0) return false;
  if (--b->patience[key] == -REST) b->patience[key] = TRIAL;
  return true;
}

/* The bytes that tell a value from others of its type. false: none that fit. */
static inline bool bytes_of(const struct fluo_value *value, const uint8_t **p, size_t *n) {
  switch (value->type) {
  case FLUO_TYPE_STRING: *p = value->text, *n = value->len; break;
  case FLUO_TYPE_INT: case FLUO_TYPE_BOOL: *p = (const uint8_t *)&value->integer, *n = 8; break;
  default: return false;
  }
  return *n <= BYTES_MAX;
}

static inline struct entry *entry_of(struct barren *b, uint32_t key, const uint8_t *p, size_t n) {
  uint64_t sketch = bytes_sketch(p, n) + key * UINT64_C(0x9e3779b97f4a7c15);
  return &b->entries[sketch >> (64 - ENTRIES_BITS)];
}

bool barren_has(struct barren *b, uint32_t key, const struct fluo_value *value) {
  const uint8_t *p;
  size_t n;
  if (rests(b, key) || !bytes_of(value, &p, &n)) return false;
  const struct entry *e = entry_of(b, key, p, n);
  bool has = e->key_next == key + 1 && e->type == value->type && e->len == n && bytes_same(e->bytes, p, n);
  if (has) b->patience[key] = PATIENCE;
  else b->patience[key]--;
  return has;
}

void barren_put(struct barren *b, uint32_t key, const struct fluo_value *value) {
  const uint8_t *p;
  size_t n;
  if (b->patience[key] < 0 || !bytes_of(value, &p, &n)) return;
  struct entry *e = entry_of(b, key, p, n);
  e->key_next = key + 1;
  e->type = value->type;
  e->len = (uint8_t)n;
  memcpy(e->bytes, p, n);
}
