/* Which group of which rule a span is in, while a request comes in. A key is made of a span's fields once for all rules
 * that have the same `by`, and is one key whichever spans made it; a rule and a key are a cell. Of spans that agree in
 * service, name, kind and status the cell is known at once where nothing else is asked for: in a table that forgets
 * what another pair needs the place of.
 *
 * All of it is the batch's, and begins anew when it has become much: spans of the next request are mostly in the same
 * groups. Texts of shapes are symbols, which stay; rules may go, so they are told by their number. Ways it fails: no
 * memory, and then nothing has changed but a key that nobody asks for; a span without a field of `by` has no cell. */
#include <string.h>

#include "bytes.h"
#include "engine_across.h"
#include "err.h"
#include "group.h"
#include "heap.h"

enum { PLACES_FIRST = 64, KEPT_KEYS = 8192, KEPT_CELLS = 32768, KEPT_BYTES = 512 << 10, SHAPES_MAX = 1 << 20 };

/* ---- places -------------------------------------------------------------------------------- */

typedef uint64_t hash_of(const struct across_batch *b, uint32_t i);
typedef bool is_wanted(const struct across_batch *b, uint32_t i, const void *wanted);

/* Where the wanted one is, or is to be: ACROSS_NONE stands there then. */
static inline uint32_t *place_of(const struct across_places *p, uint64_t hash, const struct across_batch *b, is_wanted *is,
                                 const void *wanted) {
  uint32_t mask = p->capacity - 1, at = (uint32_t)hash & mask;
  while (p->at[at] != ACROSS_NONE && !is(b, p->at[at], wanted)) at = (at + 1) & mask;
  return &p->at[at];
}

static bool is_none(const struct across_batch *b, uint32_t i, const void *wanted) {
  (void)b, (void)i, (void)wanted;
  return false;
}

/* Room for one more than `count`. */
static int places_grow(struct across_places *p, uint32_t count, const struct across_batch *b, hash_of *of) {
  if (count < p->capacity / 2) return 0;
  struct across_places wider = {.capacity = p->capacity ? 2 * p->capacity : PLACES_FIRST};
  wider.at = heap_alloc(wider.capacity * sizeof *wider.at);
  if (!wider.at) return FLUO_ENOMEM;
  memset(wider.at, 0xff, wider.capacity * sizeof *wider.at);
  for (uint32_t i = 0; i < count; i++) *place_of(&wider, of(b, i), b, is_none, NULL) = i;
  heap_free(p->at);
  *p = wider;
  return 0;
}

/* ---- keys ---------------------------------------------------------------------------------- */

static uint64_t hash_of_key(const struct across_batch *b, uint32_t i) {
  return b->keys[i].hash;
}

static bool is_key(const struct across_batch *b, uint32_t i, const void *wanted) {
  const struct across_key *key = &b->keys[i], *other = wanted;
  return key->hash == other->hash && key->bytes == other->bytes &&
         (!key->bytes || !memcmp(b->bytes.data + key->at, b->bytes.data + other->at, key->bytes));
}

/* The key of which the bytes were put last: one that there is, or it. */
static int key_put(const struct engine *e, struct across_batch *b, uint32_t at, uint32_t *out) {
  struct across_key key = {.at = at, .bytes = (uint32_t)b->bytes.len - at};
  key.hash = state_hash(e->state, key.bytes ? b->bytes.data + at : NULL, key.bytes);
  int err = places_grow(&b->key_places, b->keys_count, b, hash_of_key);
  if (!err) err = heap_grow((void **)&b->keys, &b->keys_capacity, b->keys_count, sizeof *b->keys);
  if (err) return err;
  uint32_t *place = place_of(&b->key_places, key.hash, b, is_key, &key);
  if (*place == ACROSS_NONE) b->keys[*place = b->keys_count++] = key;
  else b->bytes.len = at;
  *out = *place;
  return 0;
}

int across_key(struct engine *e, struct across_batch *b, const struct ruleset *set, struct fluo_range by, const struct trace *t,
               uint32_t span, uint32_t *out) {
  size_t at = b->bytes.len;
  char scratch[32];
  struct fluo_value value;
  int got = 1;
  for (uint32_t i = 0; i < by.count && got == 1; i++) {
    const struct fluo_ir_part *part = ruleset_part(set, ruleset_pair(set, by.first + i)->parts.first);
    const char *name = ruleset_text(set, part->key);
    bool there = across_field(e, b, across_view(e, t, span), part->field, name, part->key.len, scratch, &value);
    got = there ? group_add(&value, &b->bytes) : 0;
  }
  int err = got == 1 ? key_put(e, b, (uint32_t)at, out) : 0;
  if (got == 1 && !err) return 1;
  b->bytes.len = at;
  b->bytes.err = 0;
  return err ? err : got;
}

/* The number of the span's shape: a new one where it is not known any more. 0: it has a text that is no symbol. */
static uint32_t shape_number(struct across_batch *b, const struct fluo_span *span) {
  if (!(span->flags & FLUO_SPAN_LASTING)) return 0;
  struct shape shape = shape_of(span);
  uint32_t at = shape_place(&shape, ACROSS_SHAPES_BITS);
  if (!b->shapes[at].number || !shape_same(&b->shapes[at].shape, &shape)) {
    b->shapes[at].shape = shape;
    b->shapes[at].number = ++b->shapes_count;
  }
  return b->shapes[at].number;
}

void across_cells_begin(struct across_batch *b, const struct fluo_span *span, bool same_resource) {
  uint32_t kept = 0;
  for (uint32_t i = 0; same_resource && i < b->memo_count; i++)
    if (b->memo[i].by_resource) b->memo[kept++] = b->memo[i];
  b->memo_count = kept;
  b->shape = shape_number(b, span);
}

/* Once a span and list of fields. */
static int key_get(struct engine *e, struct across_batch *b, const struct across *to, const struct trace *t, uint32_t span,
                   uint32_t *out) {
  for (uint32_t i = 0; i < b->memo_count; i++) {
    if (!bytes_same(b->memo[i].by, to->by, 16)) continue;
    *out = b->memo[i].key;
    return b->memo[i].there;
  }
  int got = across_key(e, b, to->rules->set, across_by(to), t, span, out);
  if (got < 0 || b->memo_count == ACROSS_MEMO) return got;
  struct across_memo *memo = &b->memo[b->memo_count++];
  *memo = (struct across_memo){.key = *out, .there = got, .by_resource = to->by_resource};
  memcpy(memo->by, to->by, 16);
  return got;
}

/* ---- cells --------------------------------------------------------------------------------- */

static uint64_t cell_hash(const struct across_cell *cell) {
  return ((uint64_t)cell->number << 32 | cell->key) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

static uint64_t hash_of_cell(const struct across_batch *b, uint32_t i) {
  return cell_hash(&b->cells[i]);
}

static bool is_cell(const struct across_batch *b, uint32_t i, const void *wanted) {
  const struct across_cell *cell = wanted;
  return b->cells[i].number == cell->number && b->cells[i].key == cell->key;
}

static int cell_put(struct across_batch *b, struct across *to, uint32_t key, uint32_t *out) {
  struct across_cell cell = {to, {NULL, 0}, to->number, key, ACROSS_NONE, ACROSS_NONE};
  int err = places_grow(&b->cell_places, b->cells_count, b, hash_of_cell);
  if (!err) err = heap_grow((void **)&b->cells, &b->cells_capacity, b->cells_count, sizeof *b->cells);
  if (err) return err;
  uint32_t *place = place_of(&b->cell_places, cell_hash(&cell), b, is_cell, &cell);
  if (*place == ACROSS_NONE) b->cells[*place = b->cells_count++] = cell;
  *out = *place;
  return 0;
}

int across_cell_find(struct engine *e, struct across_batch *b, struct across *to, const struct trace *t, uint32_t span,
                     uint32_t *out) {
  uint32_t key;
  int got = key_get(e, b, to, t, span, &key);
  if (got != 1) return got;
  int err = cell_put(b, to, key, out);
  if (err) return err;
  if (to->by_shape && b->shape) *across_shaped(b, to->number) = (struct across_shaped){to->number, b->shape, *out};
  return 1;
}

void across_cells_forget(struct across_batch *b) {
  heap_free(b->keys);
  heap_free(b->cells);
  heap_free(b->key_places.at);
  heap_free(b->cell_places.at);
  buffer_deinit(&b->bytes);
  b->keys = NULL;
  b->cells = NULL;
  b->key_places = b->cell_places = (struct across_places){NULL, 0};
  b->keys_count = b->keys_capacity = b->cells_count = b->cells_capacity = 0;
  b->memo_count = b->shapes_count = b->shape = 0;
  memset(b->shapes, 0, sizeof b->shapes);
  memset(b->shaped, 0, sizeof b->shaped);
}

void across_cells_end(struct across_batch *b) {
  bool much = b->keys_count > KEPT_KEYS || b->cells_count > KEPT_CELLS || b->bytes.len > KEPT_BYTES || b->shapes_count > SHAPES_MAX;
  if (much) across_cells_forget(b);
}
