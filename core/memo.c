/* One table, directly mapped, of one cache line a value. The newer of two values that meet stays. */
#include "memo.h"

#include <string.h>

#include "bytes.h"
#include "heap.h"

enum { ENTRIES_BITS = 8 };

struct entry {
  uint32_t key_next; /* key + 1; 0: empty */
  uint8_t type, len, count;
  uint8_t bytes[MEMO_BYTES + 1];
  uint32_t atoms[MEMO_ATOMS];
};
_Static_assert(sizeof(struct entry) == 64, "one cache line");

/* A key's patience is what is left of the misses that it may have in a row; below 0 it rests. */
enum { PATIENCE = 32, REST = 64, TRIAL = 2 };

struct memo {
  struct entry entries[1 << ENTRIES_BITS];
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

/* The bytes that tell a value from others of its type. false: none that fit. */
static inline bool bytes_of(const struct fluo_value *value, const uint8_t **p, size_t *n) {
  if (value->type == FLUO_TYPE_STRING) {
    *p = value->text;
    *n = value->len;
    return *n <= MEMO_BYTES;
  }
  *p = (const uint8_t *)&value->integer;
  *n = sizeof value->integer;
  return value->type == FLUO_TYPE_INT || value->type == FLUO_TYPE_BOOL;
}

static inline struct entry *entry_of(struct memo *m, uint32_t key, const uint8_t *p, size_t n) {
  uint64_t sketch = bytes_sketch(p, n) + key * UINT64_C(0x9e3779b97f4a7c15);
  return &m->entries[sketch >> (64 - ENTRIES_BITS)];
}

const uint32_t *memo_get(struct memo *m, uint32_t key, const struct fluo_value *value,
                         uint32_t *count) {
  const uint8_t *p;
  size_t n;
  if (rests(m, key) || !bytes_of(value, &p, &n)) return NULL;
  const struct entry *e = entry_of(m, key, p, n);
  if (e->key_next != key + 1 || e->type != value->type || e->len != n ||
      !bytes_same(e->bytes, p, n)) {
    m->patience[key]--;
    return NULL;
  }
  m->patience[key] = PATIENCE;
  *count = e->count;
  return e->atoms;
}

void memo_put(struct memo *m, uint32_t key, const struct fluo_value *value, const uint32_t *atoms,
              uint32_t count) {
  const uint8_t *p;
  size_t n;
  if (m->patience[key] < 0 || count > MEMO_ATOMS || !bytes_of(value, &p, &n)) return;
  struct entry *e = entry_of(m, key, p, n);
  e->key_next = key + 1;
  e->type = (uint8_t)value->type;
  e->len = (uint8_t)n;
  e->count = (uint8_t)count;
  memcpy(e->bytes, p, n);
  if (count) memcpy(e->atoms, atoms, count * sizeof *atoms);
}
