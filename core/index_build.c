/* Building the index, once a load. Keys are numbered; each atom chooses how it would be looked for, and
 * every pattern its access set by what that costs; each atom so chosen becomes entries (index_entry.h).
 *
 * What was built when memory ran out goes in index_free, which takes a half-built index; what only
 * building needs lives in `struct building` and goes in building_free either way. */
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "index_choose.h"
#include "index_entry.h"
#include "index_keys.h"
#include "index_shapes.h"

struct posting {
  uint32_t atom, pattern;
};

struct building {
  struct index *x;
  struct access_scratch *access;
  struct access *chosen; /* of each atom */
  double *costs;
  uint32_t *users, *set;
  struct posting *always; /* patterns without an access set, by their blockers */
  uint32_t always_count;
  struct posting *postings;
  uint32_t postings_count, postings_capacity;
  struct index_entry *entries;
  uint32_t entries_count, entries_capacity;
  uint16_t *grams;    /* how often each gram (its filter bit) occurs */
  uint8_t *text_next; /* where the next affix's text goes */
};

/* An attribute that is asked of fewer inner texts than this has them all tried. */
enum { INNER_MIN = 8 };

/* ---- access sets --------------------------------------------------------------------------- */

static uint32_t nodes_max(const struct ir *ir) {
  uint32_t most = 1;
  for (uint32_t i = 0; i < ir->header->patterns; i++)
    if (ir->patterns[i].nodes.count > most) most = ir->patterns[i].nodes.count;
  return most;
}

static int add_posting(struct building *b, uint32_t atom, uint32_t pattern) {
  if (heap_grow((void **)&b->postings, &b->postings_capacity, b->postings_count,
                sizeof *b->postings))
    return FLUO_ENOMEM;
  b->postings[b->postings_count++] = (struct posting){atom, pattern};
  return 0;
}

static void add_always(struct building *b, uint32_t pattern) {
  const struct index *x = b->x;
  struct fluo_range nodes = x->ir->patterns[pattern].nodes;
  uint32_t blocker = access_blocker(b->access, x->ir, x->atoms, b->users, nodes);
  b->always[b->always_count++] = (struct posting){blocker, pattern};
}

static int choose_all(struct building *b) {
  struct index *x = b->x;
  for (uint32_t i = 0; i < x->ir->header->patterns; i++) {
    if (!index_is_live(x->ir, i)) continue;
    uint32_t n =
        access_choose(b->access, x->ir, x->atoms, b->costs, x->ir->patterns[i].nodes, b->set);
    if (n == 0) add_always(b, i);
    for (uint32_t k = 0; k < n; k++)
      if (add_posting(b, b->set[k], i)) return FLUO_ENOMEM;
  }
  return 0;
}

/* By atom, those that a shape decides behind the others, patterns ascending: a counting sort, since they came ascending. */
static int write_postings(struct building *b) {
  struct index *x = b->x;
  uint32_t atoms = x->atoms->count;
  x->posting_first = heap_zalloc((atoms + 2) * sizeof *x->posting_first);
  x->posting_shaped = heap_alloc((atoms + 1) * sizeof *x->posting_shaped);
  x->postings = heap_alloc(b->postings_count * sizeof *x->postings);
  if (!x->posting_first || !x->posting_shaped || !x->postings) return FLUO_ENOMEM;
  uint32_t *next = x->posting_first + 1; /* shifted by one: filling moves it into place */
  for (uint32_t i = 0; i < b->postings_count; i++) next[b->postings[i].atom + 1]++;
  for (uint32_t i = 0; i < atoms; i++) next[i + 1] += next[i];
  for (uint8_t shaped = 0; shaped < 2; shaped++) {
    for (uint32_t i = 0; i < b->postings_count; i++)
      if (x->shaped[b->postings[i].pattern] == shaped) x->postings[next[b->postings[i].atom]++] = b->postings[i].pattern;
    if (!shaped) memcpy(x->posting_shaped, next, atoms * sizeof *next);
  }
  return 0;
}

static int compare_postings(const void *left, const void *right) {
  const struct posting *a = left, *b = right;
  if (a->atom != b->atom) return a->atom < b->atom ? -1 : 1;
  return (a->pattern > b->pattern) - (a->pattern < b->pattern);
}

static int write_always(struct building *b) {
  struct index *x = b->x;
  x->always = heap_alloc(b->always_count * sizeof *x->always);
  x->always_patterns = heap_alloc(b->always_count * sizeof *x->always_patterns);
  if (!x->always || !x->always_patterns) return FLUO_ENOMEM;
  if (b->always_count) qsort(b->always, b->always_count, sizeof *b->always, compare_postings);
  for (uint32_t i = 0; i < b->always_count; i++) {
    if (i == 0 || b->always[i].atom != b->always[i - 1].atom)
      x->always[x->always_count++] = (struct index_always){b->always[i].atom, {i, 0}};
    x->always[x->always_count - 1].patterns.count++;
    x->always_patterns[i] = b->always[i].pattern;
  }
  return 0;
}

/* What most patterns are, a table of entries, is the atoms below its root. */
static bool is_needed(const struct fluo_ir_node *nodes, uint32_t node, uint32_t root) {
  if (nodes[node].op != FLUO_NODE_ATOM) return false;
  return node == root || (nodes[root].op == FLUO_NODE_AND && nodes[node].parent == root);
}

static int write_needs(struct index *x) {
  const struct fluo_ir_node *nodes = x->ir->nodes;
  uint32_t patterns = x->ir->header->patterns, count = 0;
  x->needs_first = heap_alloc((patterns + 1) * sizeof *x->needs_first);
  x->needs = heap_alloc(x->ir->header->nodes * sizeof *x->needs);
  x->says_more = heap_zalloc(patterns);
  if (!x->needs_first || !x->needs || !x->says_more) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < patterns; i++) {
    struct fluo_range range = x->ir->patterns[i].nodes;
    uint32_t end = range.first + range.count;
    x->needs_first[i] = count;
    for (uint32_t at = range.first; at < end; at++)
      if (is_needed(nodes, at, end - 1)) x->needs[count++] = x->atoms->of_ir[nodes[at].arg];
      else if (at != end - 1 || nodes[at].op != FLUO_NODE_AND) x->says_more[i] = true;
  }
  x->needs_first[patterns] = count;
  return 0;
}

/* ---- entries ------------------------------------------------------------------------------- */

static int add_entry(struct building *b, const struct index_entry *entry) {
  if (heap_grow((void **)&b->entries, &b->entries_capacity, b->entries_count, sizeof *b->entries))
    return FLUO_ENOMEM;
  b->entries[b->entries_count++] = *entry;
  return 0;
}

static int add_hashed(struct building *b, const struct index_entry *from, uint64_t hash) {
  struct index_entry entry = *from;
  entry.place = PLACE_HASH;
  entry.hash = hash;
  return add_entry(b, &entry);
}

/* One operand under each guise in which a value can be equal to it. */
static int add_operand(struct building *b, const struct index_entry *entry, const struct datum *operand) {
  struct index_key *key = &b->x->keys[entry->key];
  const struct fluo_value *v = &operand->value;
  bool is_true = v->type == FLUO_TYPE_STRING && v->len == 4 && !memcmp(v->text, "true", 4);
  bool is_false = v->type == FLUO_TYPE_STRING && v->len == 5 && !memcmp(v->text, "false", 5);
  int err = 0;
  if (v->type == FLUO_TYPE_STRING) {
    key->texts = true;
    if (v->len > key->text_len_max) key->text_len_max = v->len;
    err = add_hashed(b, entry, index_hash_text(entry->key, v->text, v->len));
  }
  if (!err && operand->number.type != FLUO_TYPE_NONE) {
    key->numbers = true;
    err = add_hashed(b, entry, index_hash_number(entry->key, &operand->number));
  }
  if (!err && (v->type == FLUO_TYPE_BOOL || is_true || is_false)) {
    key->bools = true;
    err = add_hashed(
        b, entry,
        index_hash_bool(entry->key, is_true || (v->type == FLUO_TYPE_BOOL && v->integer)));
  }
  return err;
}

/* Text that outlives the scratch; of a suffix back to front, so that it sorts and compares as a
 * prefix. */
static const uint8_t *keep_text(struct building *b, const struct access *access) {
  uint8_t *text = b->text_next;
  b->text_next += access->len;
  for (uint32_t i = 0; i < access->len; i++)
    text[i] = access->text[access->kind == ACCESS_SUFFIX ? access->len - 1 - i : i];
  return text;
}

static int add_equal(struct building *b, const struct atom *atom, struct index_entry *entry) {
  int err = 0;
  for (entry->operand = 0; !err && entry->operand < atom->count; entry->operand++)
    err = add_operand(b, entry, &atom->operands[entry->operand]);
  return err;
}

static int add_atom(struct building *b, uint32_t index) {
  static const enum place places[] = {
      [ACCESS_PREFIX] = PLACE_PREFIX,   [ACCESS_SUFFIX] = PLACE_SUFFIX,
      [ACCESS_INNER] = PLACE_INNER,     [ACCESS_RANGE] = PLACE_RANGE,
      [ACCESS_PRESENT] = PLACE_PRESENT,
  };
  const struct atom *atom = &b->x->atoms->items[index];
  const struct access *access = &b->chosen[index];
  struct index_entry entry = {
      .key = b->x->atom_keys[index], .atom = index, .lo = access->lo, .hi = access->hi};
  if (access->kind == ACCESS_EQUAL) return add_equal(b, atom, &entry);
  entry.place = places[access->kind];
  if (entry.place == PLACE_INNER && access->len < INDEX_GRAM_BYTES) entry.place = PLACE_PRESENT;
  if (access->len) {
    entry.text = keep_text(b, access);
    entry.len = access->len;
  }
  return add_entry(b, &entry);
}

/* An atom whose patterns all chose others needs none. */
static bool is_posted(const struct index *x, uint32_t atom) {
  return x->posting_first[atom] < x->posting_first[atom + 1];
}

static int add_entries(struct building *b) {
  struct index *x = b->x;
  size_t text_bytes = 0;
  for (uint32_t i = 0; i < x->atoms->count; i++)
    if (is_posted(x, i)) text_bytes += b->chosen[i].len;
  x->text = b->text_next = heap_alloc(text_bytes);
  int err = x->text ? 0 : FLUO_ENOMEM;
  for (uint32_t i = 0; !err && i < x->atoms->count; i++)
    if (is_posted(x, i)) err = add_atom(b, i);
  return err;
}

/* ---- inner texts --------------------------------------------------------------------------- */

/* Of the runs of `step` grams within an inner text the one that the fewest others have; ties by
 * place. */
static const uint8_t *rarest_grams(const struct building *b, const struct index_entry *e, uint32_t step) {
  const uint8_t *best = e->text;
  uint32_t least = UINT32_MAX;
  for (uint32_t i = 0; i + step - 1 + INDEX_GRAM_BYTES <= e->len; i++) {
    uint32_t sum = 0;
    for (uint32_t k = 0; k < step; k++) sum += b->grams[index_gram_bit(e->text + i + k)];
    if (sum >= least) continue;
    least = sum;
    best = e->text + i;
  }
  return best;
}

static void count_grams(struct building *b, const struct index_entry *e) {
  for (uint32_t i = 0; i + INDEX_GRAM_BYTES <= e->len; i++) {
    uint16_t *n = &b->grams[index_gram_bit(e->text + i)];
    *n = (uint16_t)(*n + (*n < UINT16_MAX));
  }
}

static int add_gram(struct building *b, const struct index_entry *from, const uint8_t *gram) {
  struct index *x = b->x;
  uint32_t bit = index_gram_bit(gram);
  x->gram_filter[bit / 8] = (uint8_t)(x->gram_filter[bit / 8] | 1 << bit % 8);
  return add_hashed(b, from, index_hash_gram(from->key, gram));
}

/* Only every gram_step-th gram of a value is looked up, so an inner text is entered with as many in
 * a row, one of which will be; the shortest inner text says how many it can be. */
static int add_grams(struct building *b, const struct index_entry *e) {
  uint32_t step = b->x->keys[e->key].gram_step;
  const uint8_t *grams = rarest_grams(b, e, step);
  int err = 0;
  for (uint32_t k = 0; !err && k < step; k++) err = add_gram(b, e, grams + k);
  return err;
}

static void count_inner(struct building *b, const struct index_entry *e, uint32_t *inner) {
  struct index_key *key = &b->x->keys[e->key];
  uint32_t step = e->len - INDEX_GRAM_BYTES + 1;
  if (step > INDEX_GRAM_BYTES) step = INDEX_GRAM_BYTES;
  if (inner[e->key]++ == 0 || step < key->gram_step) key->gram_step = step;
  count_grams(b, e);
}

/* Looks an inner text up by its grams where its key has many, else tries it: then walking the value
 * once for all of them costs more than looking for each. */
static int place_inner(struct building *b) {
  struct index *x = b->x;
  uint32_t *inner = heap_zalloc(x->keys_count * sizeof *inner);
  b->grams = heap_zalloc(INDEX_GRAM_BITS * sizeof *b->grams);
  x->gram_filter = heap_zalloc(INDEX_GRAM_BITS / 8);
  int err = inner && b->grams && x->gram_filter ? 0 : FLUO_ENOMEM;
  uint32_t n = b->entries_count; /* entries of grams are added behind */
  for (uint32_t i = 0; !err && i < n; i++)
    if (b->entries[i].place == PLACE_INNER) count_inner(b, &b->entries[i], inner);
  for (uint32_t i = 0; !err && i < n; i++) {
    struct index_entry e = b->entries[i];
    if (e.place != PLACE_INNER) continue;
    b->entries[i].place = inner[e.key] < INNER_MIN ? PLACE_PRESENT : PLACE_NOWHERE;
    if (b->entries[i].place == PLACE_PRESENT) continue;
    x->keys[e.key].grams = true;
    err = add_grams(b, &e);
  }
  heap_free(inner);
  return err;
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static int build(struct building *b, bool renamed) {
  struct index *x = b->x;
  uint32_t atoms = x->atoms->count, nodes = nodes_max(x->ir);
  x->atom_keys = heap_alloc(atoms * sizeof *x->atom_keys);
  b->chosen = heap_alloc(atoms * sizeof *b->chosen);
  b->always = heap_alloc(x->ir->header->patterns * sizeof *b->always);
  b->users = heap_zalloc(atoms * sizeof *b->users);
  b->costs = heap_alloc(atoms * sizeof *b->costs);
  b->set = heap_alloc(nodes * sizeof *b->set);
  if (!x->atom_keys || !b->chosen || !b->always || !b->users || !b->costs || !b->set)
    return FLUO_ENOMEM;
  int err = access_scratch_new(nodes, &b->access);
  if (!err) err = index_keys_add(x, b->users);
  if (!err) err = index_shapes_add(x);
  if (!err && renamed) err = index_renames_add(x);
  if (!err) err = index_hints_add(x);
  if (!err) err = index_choose(x, b->users, b->chosen, b->costs);
  if (!err) err = choose_all(b);
  if (!err) err = write_postings(b);
  if (!err) err = write_always(b);
  if (!err) err = write_needs(x);
  if (!err) err = add_entries(b);
  if (!err) err = place_inner(b);
  return err ? err : index_entries_write(x, b->entries, b->entries_count);
}

static void building_free(struct building *b) {
  access_scratch_free(b->access);
  heap_free(b->chosen);
  heap_free(b->costs);
  heap_free(b->users);
  heap_free(b->set);
  heap_free(b->always);
  heap_free(b->postings);
  heap_free(b->entries);
  heap_free(b->grams);
}

int index_new(const struct ir *ir, const struct atoms *atoms, bool renamed, struct index **out) {
  struct building b = {.x = heap_zalloc(sizeof *b.x)};
  if (!b.x) return FLUO_ENOMEM;
  b.x->ir = ir;
  b.x->atoms = atoms;
  int err = build(&b, renamed);
  building_free(&b);
  if (err)
    index_free(b.x);
  else
    *out = b.x;
  return err;
}

void index_free(struct index *x) {
  if (!x) return;
  heap_free(x->keys);
  heap_free(x->key_table);
  heap_free(x->hints.keys);
  heap_free(x->atom_keys);
  heap_free(x->buckets);
  heap_free(x->refs);
  heap_free(x->affixes);
  heap_free(x->intervals);
  heap_free(x->served);
  heap_free(x->gram_filter);
  heap_free(x->text);
  heap_free(x->posting_first);
  heap_free(x->posting_shaped);
  heap_free(x->shaped);
  heap_free(x->needs_first);
  heap_free(x->needs);
  heap_free(x->says_more);
  heap_free(x->postings);
  heap_free(x->always);
  heap_free(x->always_patterns);
  heap_free(x);
}
