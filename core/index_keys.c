/* The keys of an index: fields have the numbers they have in fluo.h, attributes those behind them.
 * Of attributes only names that rules ask for are known, so a span's other ones cost one look
 * each. */
#include "index_keys.h"

#include <string.h>

#include "bytes.h"
#include "err.h"
#include "heap.h"
#include "rename.h"

bool index_is_live(const struct ir *ir, uint32_t pattern) {
  return ir->patterns[pattern].object == FLUO_OBJECT_SPAN &&
         ir->rules[ir->patterns[pattern].rule].mode != FLUO_MODE_OFF;
}

static int key_table_grow(struct index *x) {
  uint32_t size = x->key_mask ? (x->key_mask + 1) * 2 : 64;
  uint32_t *table = heap_zalloc(size * sizeof *table);
  if (!table) return FLUO_ENOMEM;
  for (uint32_t i = FLUO_FIELD_EVENT_NAME; i < x->keys_count; i++) {
    const struct index_key *key = &x->keys[i];
    uint32_t at = (uint32_t)(index_hash_name(key->field, key->name, key->len) >> 32) & (size - 1);
    while (table[at]) at = (at + 1) & (size - 1);
    table[at] = i + 1;
  }
  heap_free(x->key_table);
  x->key_table = table;
  x->key_mask = size - 1;
  return 0;
}

/* The number of a key, new if need be. The name stays where it is: in the IR, or among the
 * renames. */
static int key_put(struct index *x, uint32_t field, const char *name, uint32_t len, uint32_t *out) {
  *out = index_key_find(x, field, name, len);
  if (*out != INDEX_KEY_NONE) return 0;
  if (heap_grow((void **)&x->keys, &x->keys_capacity, x->keys_count, sizeof *x->keys))
    return FLUO_ENOMEM;
  /* At most half full, and with an empty place for certain. */
  if (x->keys_count * 2 >= x->key_mask && key_table_grow(x)) return FLUO_ENOMEM;
  uint32_t at = (uint32_t)(index_hash_name(field, name, len) >> 32) & x->key_mask;
  while (x->key_table[at]) at = (at + 1) & x->key_mask;
  x->keys[x->keys_count] = (struct index_key){.name = name, .len = len, .field = field};
  *out = x->keys_count++;
  x->key_table[at] = *out + 1;
  return 0;
}

static int keys_start(struct index *x) {
  x->keys = heap_zalloc(FLUO_FIELD_EVENT_NAME * 2 * sizeof *x->keys);
  if (!x->keys) return FLUO_ENOMEM;
  x->keys_capacity = FLUO_FIELD_EVENT_NAME * 2;
  x->keys_count = FLUO_FIELD_EVENT_NAME;
  for (uint32_t i = 0; i < x->keys_count; i++) x->keys[i].field = i;
  return key_table_grow(x);
}

/* The number of a field or attribute that somebody asks for. */
static int field_key_put(struct index *x, uint32_t field, const char *name, uint32_t len, uint32_t *out) {
  *out = field;
  if (field != FLUO_FIELD_ATTRIBUTE && field != FLUO_FIELD_RESOURCE) return 0;
  *(field == FLUO_FIELD_ATTRIBUTE ? &x->attributes : &x->resources) = true;
  return key_put(x, field, name, len, out);
}

static int atom_key_put(struct index *x, uint32_t index) {
  const struct atom *atom = &x->atoms->items[index];
  return field_key_put(x, atom->field, atom->key, atom->key_len, &x->atom_keys[index]);
}

/* What windows and sequences read of their spans is found on the way. */
static int add_by(struct index *x, struct fluo_range by) {
  uint32_t key;
  int err = 0;
  for (uint32_t i = by.first; !err && i < by.first + by.count; i++) {
    const struct fluo_ir_part *part = &x->ir->parts[x->ir->pairs[i].parts.first];
    err = field_key_put(x, part->field, x->ir->text + part->key.off, part->key.len, &key);
  }
  return err;
}

static int add_read(struct index *x) {
  uint32_t key;
  int err = 0;
  for (uint32_t i = 0; !err && i < x->ir->header->windows; i++) {
    const struct fluo_ir_window *w = &x->ir->windows[i];
    uint32_t field = w->sample == FLUO_SAMPLE_FIELD ? w->field : FLUO_FIELD_ATTRIBUTE;
    if (x->ir->rules[w->rule].mode == FLUO_MODE_OFF) continue;
    if (w->sample != FLUO_SAMPLE_SPAN)
      err = field_key_put(x, field, x->ir->text + w->key.off, w->key.len, &key);
    if (!err) err = add_by(x, w->by);
  }
  for (uint32_t i = 0; !err && i < x->ir->header->sequences; i++)
    if (x->ir->rules[x->ir->sequences[i].rule].mode != FLUO_MODE_OFF) err = add_by(x, x->ir->sequences[i].by);
  return err;
}

/* Numbers the keys that live patterns ask for, and counts who asks each atom. */
static int add_node(struct index *x, const struct fluo_ir_node *node, uint32_t *users) {
  uint32_t atom;
  switch (node->op) {
  case FLUO_NODE_ATOM: atom = x->atoms->of_ir[node->arg]; break;
  case FLUO_NODE_EVENT:
    atom = x->atoms->has_event;
    x->events = true;
    break;
  case FLUO_NODE_LINK:
    atom = x->atoms->has_link;
    x->links = true;
    break;
  default: return 0;
  }
  users[atom]++;
  if (node->op != FLUO_NODE_ATOM || x->atom_keys[atom] != INDEX_KEY_NONE) return 0;
  return atom_key_put(x, atom);
}

int index_keys_add(struct index *x, uint32_t *users) {
  if (keys_start(x)) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < x->atoms->count; i++) x->atom_keys[i] = INDEX_KEY_NONE;
  x->atom_keys[x->atoms->has_event] = INDEX_KEY_EVENT;
  x->atom_keys[x->atoms->has_link] = INDEX_KEY_LINK;
  for (uint32_t i = 0; i < x->ir->header->patterns; i++) {
    if (!index_is_live(x->ir, i)) continue;
    struct fluo_range nodes = x->ir->patterns[i].nodes;
    for (uint32_t at = nodes.first; at < nodes.first + nodes.count; at++)
      if (add_node(x, &x->ir->nodes[at], users)) return FLUO_ENOMEM;
  }
  return add_read(x);
}

/* Every name that an asked-for attribute may come under leads back to it. Two passes: as many names
 * as there are have to be known before their lists can stand one behind the other. */
int index_renames_add(struct index *x) {
  uint32_t asked = x->keys_count, total = 0;
  for (uint32_t pass = 0; pass < 2; pass++) {
    for (uint32_t i = FLUO_FIELD_EVENT_NAME; i < asked; i++) {
      if (x->keys[i].field != FLUO_FIELD_ATTRIBUTE) continue;
      const char *name = x->keys[i].name, *other;
      uint32_t len = x->keys[i].len, key;
      for (uint32_t rank = 0; (other = fluo_renamed(name, len, rank)); rank++, total++) {
        if (key_put(x, FLUO_FIELD_ATTRIBUTE, other, (uint32_t)strlen(other), &key))
          return FLUO_ENOMEM;
        struct fluo_range *served = &x->keys[key].served;
        if (pass) x->served[served->first + served->count] = (struct index_served){i, rank + 1};
        served->count++;
      }
    }
    if (pass) return 0;
    x->served = heap_alloc(total * sizeof *x->served);
    if (!x->served) return FLUO_ENOMEM;
    uint32_t first = 0;
    for (uint32_t i = 0; i < x->keys_count; i++) {
      x->keys[i].served.first = first;
      first += x->keys[i].served.count;
      x->keys[i].served.count = 0;
    }
  }
  return 0;
}

/* So many places a key: of sixteen names that nobody asks for one shares its place with a key. Of keys that share one the
 * last is hinted at. */
enum { HINTS_PER_KEY = 16 };

int index_hints_add(struct index *x) {
  uint32_t bits = 1;
  while (bits < 31 && UINT64_C(1) << bits < (uint64_t)x->keys_count * HINTS_PER_KEY) bits++;
  x->hints.shift = 64 - bits;
  x->hints.keys = heap_zalloc((UINT64_C(1) << bits) * sizeof *x->hints.keys);
  if (!x->hints.keys) return FLUO_ENOMEM;
  for (uint32_t i = FLUO_FIELD_EVENT_NAME; i < x->keys_count; i++) {
    const struct index_key *key = &x->keys[i];
    if (key->field != FLUO_FIELD_ATTRIBUTE) continue;
    x->hints.keys[bytes_sketch((const uint8_t *)key->name, key->len) >> x->hints.shift] = i + 1;
  }
  return 0;
}
