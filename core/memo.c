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
  uint32_t ids; /* given */
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

static inline struct memo_entry *entry_of(struct memo *m, uint32_t key, const uint8_t *p, size_t n) {
  uint64_t sketch = bytes_sketch(p, n) + key * UINT64_C(0x9e3779b97f4a7c15);
  return &m->entries[sketch >> (64 - ENTRIES_BITS)];
}

const struct memo_entry *memo_get(struct memo *m, uint32_t key, const struct fluo_value *value) {
  const uint8_t *p;
  size_t n;
  if (rests(m, key) || !bytes_of(value, &p, &n)) return NULL;
  const struct memo_entry *e = entry_of(m, key, p, n);
  if (e->key != key || e->type != value->type || e->len != n || !e->id || !bytes_same(e->bytes, p, n)) {
    m->patience[key]--;
    return NULL;
  }
  m->patience[key] = PATIENCE;
  return e;
}

/* After 2^32 values the oldest ids would come back to life. */
static bool begin_anew(struct memo *m) {
  memset(m->entries, 0, sizeof m->entries);
  m->ids = 0;
  return true;
}

bool memo_put(struct memo *m, uint32_t key, const struct fluo_value *value, const uint32_t *atoms,
              uint32_t count) {
  const uint8_t *p;
  size_t n;
  if (m->patience[key] < 0 || count > MEMO_ATOMS || !bytes_of(value, &p, &n)) return false;
  bool anew = m->ids == UINT32_MAX && begin_anew(m);
  struct memo_entry *e = entry_of(m, key, p, n);
  e->id = ++m->ids;
  e->key = key;
  e->type = (uint8_t)value->type;
  e->len = (uint8_t)n;
  e->count = (uint8_t)count;
  memcpy(e->bytes, p, n);
  if (count) memcpy(e->atoms, atoms, count * sizeof *atoms);
  return anew;
}
