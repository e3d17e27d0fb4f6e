/* Looking values up. The tables hold only what rule files put in them, so nobody who sends spans
 * can make a chain longer: the hash need not be keyed, and SipHash would be half of what a span
 * costs. A bucket is known by its 64 bits alone, and what it leads to is compared for real. */
#include "index.h"

#include <math.h>
#include <string.h>

/* ---- hashing ------------------------------------------------------------------------------- */

static inline uint64_t mix(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load(const uint8_t *p, size_t n) {
  uint64_t word = 0;
  memcpy(&word, p, n);
  return word;
}

enum kind { KIND_NAME = 1, KIND_TEXT, KIND_INT, KIND_DOUBLE, KIND_BOOL, KIND_GRAM };

/* Odd constants without a pattern: digits of the golden ratio, of e and of pi. */
static inline uint64_t seed(enum kind kind, uint32_t key) {
  return mix((uint64_t)key << 8 | kind, UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t finish(uint64_t h, uint64_t word) {
  return mix(h ^ word, UINT64_C(0xadf85458a2bb4a9b)) | 1;
}

static inline uint64_t hash_bytes(uint64_t h, const uint8_t *p, size_t n) {
  h ^= n;
  for (; n > 8; p += 8, n -= 8) h = mix(h ^ load(p, 8), UINT64_C(0x243f6a8885a308d3));
  uint64_t word = n == 8 ? load(p, 8) : n >= 4 ? load(p, 4) << 32 | load(p + n - 4, 4) : 0;
  if (n < 4)
    for (size_t i = 0; i < n; i++) word = word << 8 | p[i];
  return finish(h, word);
}

uint64_t index_hash_name(uint32_t field, const void *name, size_t n) {
  return hash_bytes(seed(KIND_NAME, field), name, n);
}

uint64_t index_hash_text(uint32_t key, const void *p, size_t n) {
  return hash_bytes(seed(KIND_TEXT, key), p, n);
}

/* Numbers that are equal have one hash, whatever type they came in. */
uint64_t index_hash_number(uint32_t key, const struct fluo_value *number) {
  int64_t whole = number->integer;
  if (number->type == FLUO_TYPE_DOUBLE) {
    double d = number->number;
    if (!(d >= -0x1p63 && d < 0x1p63) || d != (double)(int64_t)d) {
      uint64_t bits;
      memcpy(&bits, &d, sizeof bits);
      return finish(seed(KIND_DOUBLE, key), bits);
    }
    whole = (int64_t)d;
  }
  return finish(seed(KIND_INT, key), (uint64_t)whole);
}

uint64_t index_hash_bool(uint32_t key, bool truth) {
  return finish(seed(KIND_BOOL, key), truth);
}

uint64_t index_hash_gram(uint32_t key, const uint8_t *p) {
  return finish(seed(KIND_GRAM, key), load(p, INDEX_GRAM_BYTES));
}

static inline uint32_t gram_bit(const uint8_t *p) {
  return (uint32_t)load(p, INDEX_GRAM_BYTES) * 0x9e3779b1u >> 16;
}

uint32_t index_gram_bit(const uint8_t *p) {
  return gram_bit(p);
}

/* ---- probing ------------------------------------------------------------------------------- */

struct probe {
  const struct index *x;
  const struct index_key *key;
  uint32_t id;
  index_on_ref *on_ref;
  void *ctx;
};

static void reach(const struct probe *p, struct fluo_range refs) {
  for (uint32_t i = 0; i < refs.count; i++)
    p->on_ref(p->ctx, p->x->refs[refs.first + i].atom, false);
}

static const struct index_bucket *find(const struct index *x, uint64_t hash) {
  uint32_t at = (uint32_t)(hash >> 32) & x->bucket_mask;
  for (; x->buckets[at].refs.count; at = (at + 1) & x->bucket_mask)
    if (x->buckets[at].hash == hash) return &x->buckets[at];
  return NULL;
}

/* Two different values may share a hash, so the operand is looked at. */
static void reach_equal(const struct probe *p, uint64_t hash, const struct datum *value) {
  const struct index_bucket *bucket = find(p->x, hash);
  if (!bucket) return;
  for (uint32_t i = 0; i < bucket->refs.count; i++) {
    struct index_ref ref = p->x->refs[bucket->refs.first + i];
    const struct atom *atom = &p->x->atoms->items[ref.atom];
    if (datum_equal(value, &atom->operands[ref.operand]))
      p->on_ref(p->ctx, ref.atom, atom->op == FLUO_OP_EQ);
  }
}

static void probe_equal(const struct probe *p, const struct datum *d) {
  const struct fluo_value *v = &d->value;
  bool text = v->type == FLUO_TYPE_STRING;
  if (p->key->texts && text && v->len <= p->key->text_len_max)
    reach_equal(p, index_hash_text(p->id, v->text, v->len), d);
  if (p->key->numbers && d->number.type != FLUO_TYPE_NONE)
    reach_equal(p, index_hash_number(p->id, &d->number), d);
  if (!p->key->bools) return;
  if (v->type == FLUO_TYPE_BOOL) reach_equal(p, index_hash_bool(p->id, v->integer != 0), d);
  /* "true" and "false": which of the two is told by the length. */
  if (text && (v->len == 4 || v->len == 5)) reach_equal(p, index_hash_bool(p->id, v->len == 4), d);
}

/* The byte at `i` from the end that is asked for. */
static inline uint8_t byte_at(const struct fluo_value *v, uint32_t i, bool from_end) {
  return v->text[from_end ? v->len - 1 - i : i];
}

/* How many bytes value and affix have in common, `same` of which are known. */
static uint32_t common(const struct fluo_value *v, const struct index_affix *a, uint32_t same,
                       bool from_end) {
  uint32_t n = v->len < a->len ? v->len : a->len, i = same;
  if (!from_end)
    while (i + 8 <= n && load(v->text + i, 8) == load(a->text + i, 8)) i += 8;
  while (i < n && byte_at(v, i, from_end) == a->text[i]) i++;
  return i;
}

/* Whether the affix sorts behind the value, having `same` bytes in common with it. */
static bool is_behind(const struct fluo_value *v, const struct index_affix *a, uint32_t same,
                      bool from_end) {
  if (same == a->len) return false;
  return same == v->len || a->text[same] > byte_at(v, same, from_end);
}

/* The last of `range` that does not sort behind the value, or UINT32_MAX, and what they have in common.
 * All between two affixes have in common with the value what these both have, so nothing is compared
 * twice. */
static uint32_t last_before(const struct index_affix *affixes, struct fluo_range range,
                            const struct fluo_value *v, bool from_end, uint32_t *same) {
  uint32_t low = range.first, high = range.first + range.count - 1;
  uint32_t low_same = common(v, &affixes[low], 0, from_end);
  if (is_behind(v, &affixes[low], low_same, from_end)) return UINT32_MAX;
  uint32_t high_same = common(v, &affixes[high], 0, from_end);
  bool last = !is_behind(v, &affixes[high], high_same, from_end);
  while (!last && high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    uint32_t n = common(v, &affixes[middle], low_same < high_same ? low_same : high_same, from_end);
    bool behind = is_behind(v, &affixes[middle], n, from_end);
    *(behind ? &high : &low) = middle;
    *(behind ? &high_same : &low_same) = n;
  }
  *same = last ? high_same : low_same;
  return last ? high : low;
}

/* Every affix that the value starts with is the last one that sorts before it, or above that
 * one. */
static void probe_affixes(const struct probe *p, struct fluo_range range,
                          const struct fluo_value *v, bool from_end) {
  const struct index_affix *affixes = p->x->affixes;
  uint32_t same, at = last_before(affixes, range, v, from_end, &same);
  for (; at != UINT32_MAX; at = affixes[at].up)
    if (affixes[at].len <= same) reach(p, affixes[at].refs);
}

static void probe_intervals(const struct probe *p, uint32_t low, uint32_t high, double number) {
  const struct index_interval *intervals = p->x->intervals;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    const struct index_interval *at = &intervals[middle];
    if (at->top < number) return;
    probe_intervals(p, low, middle, number); /* half as wide: at most 32 deep */
    if (at->lo > number) return;
    if (at->hi >= number) p->on_ref(p->ctx, at->atom, false);
    low = middle + 1;
  }
}

static void probe_grams(const struct probe *p, const struct fluo_value *v) {
  for (uint32_t i = 0; i + INDEX_GRAM_BYTES <= v->len; i += p->key->gram_step) {
    uint32_t bit = gram_bit(v->text + i);
    if (!(p->x->gram_filter[bit / 8] & 1 << bit % 8)) continue;
    const struct index_bucket *bucket = find(p->x, index_hash_gram(p->id, v->text + i));
    if (bucket) reach(p, bucket->refs);
  }
}

static void probe_value(const struct probe *p, const struct datum *d) {
  const struct index_key *key = p->key;
  probe_equal(p, d);
  if (d->value.type == FLUO_TYPE_STRING) {
    if (key->prefixes.count) probe_affixes(p, key->prefixes, &d->value, false);
    if (key->suffixes.count) probe_affixes(p, key->suffixes, &d->value, true);
    if (key->grams) probe_grams(p, &d->value);
  }
  if (!key->intervals.count || d->number.type == FLUO_TYPE_NONE) return;
  double number = d->number.type == FLUO_TYPE_INT ? (double)d->number.integer : d->number.number;
  uint32_t first = key->intervals.first;
  if (!isnan(number) && p->x->intervals[first].lo <= number)
    probe_intervals(p, first, first + key->intervals.count, number);
}

void index_probe(const struct index *x, uint32_t key, const struct datum *value,
                 index_on_ref *on_ref, void *ctx) {
  struct probe p = {.x = x, .key = &x->keys[key], .id = key, .on_ref = on_ref, .ctx = ctx};
  reach(&p, p.key->present);
  if (value->value.type != FLUO_TYPE_ARRAY) {
    probe_value(&p, value);
    return;
  }
  struct fluo_value element;
  for (uint32_t at = 0; value_element(&value->value, &at, &element);) {
    struct datum d;
    datum_init(&d, &element);
    probe_value(&p, &d);
  }
}

uint32_t index_key_find(const struct index *x, uint32_t field, const void *name, size_t n) {
  uint32_t at = (uint32_t)(index_hash_name(field, name, n) >> 32) & x->key_mask;
  for (; x->key_table[at]; at = (at + 1) & x->key_mask) {
    const struct index_key *key = &x->keys[x->key_table[at] - 1];
    if (key->len == n && key->field == field && memcmp(key->name, name, n) == 0)
      return x->key_table[at] - 1;
  }
  return INDEX_KEY_NONE;
}
