/* One table, directly mapped, of one cache line a value. The newer of two values that meet stays. */
#include "memo.h"

#include <string.h>

#include "bytes.h"
#include "heap.h"

enum { ENTRIES_BITS = 9 };

_Static_assert(sizeof(struct memo_entry) == 64, "one cache line");

/* A key's patience is what is left of the misses that it may have in a row; below 0 it rests. */
enum { PATIENCE = 32, REST = 64, TRIAL = 2 };

struct memo {
  struct memo_entry entries[1 << ENTRIES_BITS];
  int8_t patience[];
};

struct memo *memo_new(uint32_t keys) {
  struct memo *m = heap_zalloc(sizeof *m + keys);
  if (m) memset(m->patience, PATIENCE, keys);
  return m;
}

void memo_free(struct memo *m) {
  heap_free(m);
}

static bool rests(struct memo *m, uint32_t key) {
  if (m->patience[key] >= 0) return false;
  if (--m->patience[key] == -REST) m->patience[key] = TRIAL;
  return true;
}

static inline struct memo_entry *entry_of(struct memo *m, uint32_t key, const uint8_t *p, uint32_t n) {
  uint64_t sketch = bytes_sketch(p, n) + key * UINT64_C(0x9e3779b97f4a7c15);
  return &m->entries[sketch >> (64 - ENTRIES_BITS)];
}

static inline bool is_of(const struct memo_entry *e, uint32_t key, const uint8_t *p, uint32_t n) {
  return e->count_next && e->key == key && e->len == n && bytes_same(e->bytes, p, n);
}

const struct memo_entry *memo_get(struct memo *m, uint32_t key, const uint8_t *p, uint32_t n) {
  if (rests(m, key) || n > MEMO_BYTES) return NULL;
  const struct memo_entry *e = entry_of(m, key, p, n);
  if (!is_of(e, key, p, n)) {
    m->patience[key]--;
    return NULL;
  }
  m->patience[key] = PATIENCE;
  return e;
}

void memo_put(struct memo *m, uint32_t key, const uint8_t *p, uint32_t n, const uint32_t *atoms, uint32_t count) {
  if (m->patience[key] < 0 || count > MEMO_ATOMS || n > MEMO_BYTES) return;
  struct memo_entry *e = entry_of(m, key, p, n);
  e->key = key;
  e->len = (uint8_t)n;
  e->count_next = (uint8_t)(count + 1);
  memcpy(e->bytes, p, n);
  for (uint32_t i = 0; i < count; i++) e->truths[i] = atoms[i] << 1 | 1;
}

void memo_add(struct memo *m, uint32_t key, const uint8_t *p, uint32_t n, uint32_t atom, bool holds) {
  if (m->patience[key] < 0 || n > MEMO_BYTES) return;
  struct memo_entry *e = entry_of(m, key, p, n);
  if (!is_of(e, key, p, n) || e->count_next > MEMO_ATOMS) return;
  for (uint32_t i = 0; i + 1 < e->count_next; i++)
    if (e->truths[i] >> 1 == atom) return;
  e->truths[e->count_next++ - 1] = atom << 1 | holds;
}
