/* One index over the atoms of every pattern of a rule set. What a span costs follows its own fields
 * and the atoms that hold for it, not the number of rules: each value is looked up among the
 * operands that its key has, and only patterns so reached are tested. */
#ifndef FLUO_INDEX_H
#define FLUO_INDEX_H
#include "atom.h"
#include "bytes.h"
#include "ir.h"
#include "ruleset.h"

enum {
  /* Keys below FLUO_FIELD_EVENT_NAME are the fields themselves; the two that take a key of their
   * own are never looked up, and stand for the presence of events and of links. */
  INDEX_KEY_EVENT = FLUO_FIELD_ATTRIBUTE,
  INDEX_KEY_LINK = FLUO_FIELD_RESOURCE,
  INDEX_KEY_NONE = 0x7fffffff,
  /* Bit set of the fields that are a span's shape (shapes.h). */
  INDEX_SHAPE = 1 << FLUO_FIELD_SERVICE | 1 << FLUO_FIELD_NAME | 1 << FLUO_FIELD_KIND | 1 << FLUO_FIELD_STATUS
};

/* An atom that may hold, and the operand that was found equal (of EQ). */
struct index_ref {
  uint32_t atom, operand;
};

/* Literals at one end of texts, sorted; `up` is the longest other one (of the same key) that this
 * one starts with, so that all that a text starts with hang on one chain. */
struct index_affix {
  const uint8_t *text;
  uint32_t len, up;
  struct fluo_range refs;
};

/* Sorted by lo; an implicit tree whose node is the middle of its range and keeps the range's
 * highest hi. */
struct index_interval {
  double lo, hi, top;
  uint32_t atom;
};

/* The attribute `key` takes this one's value where it is absent itself; lower ranks are tried
 * first. */
struct index_served {
  uint32_t key, rank;
};

struct index_key {
  const char *name; /* of attributes and resource attributes */
  uint32_t len, field;
  struct fluo_range present, prefixes, suffixes, intervals, served;
  uint32_t text_len_max;             /* no operand that is looked up by hash is longer */
  bool probed;                       /* some atom is reached by it; else it is only tested */
  uint32_t gram_step;                /* every so many bytes of a value a gram is looked up */
  bool texts, numbers, bools, grams; /* which kinds of operands are looked up by hash */
};

/* Patterns that no atom leads to, being made of negations: they are tested on every span for which the
 * blocker fails. Where it holds none of them does. UINT32_MAX: there is none. */
struct index_always {
  uint32_t blocker;
  struct fluo_range patterns;
};

/* Keys of attributes, + 1, by a sketch of their names; 0: there is none of such a name. */
struct index_hints {
  uint32_t *keys, shift;
};

struct index_bucket {
  uint64_t hash;
  struct fluo_range refs;
}; /* no refs: empty */

struct index {
  const struct ir *ir;
  const struct atoms *atoms;
  struct index_key *keys;
  uint32_t keys_count, keys_capacity;
  uint32_t *key_table;                       /* key + 1; 0: empty */
  uint32_t key_mask;
  struct index_hints hints;
  uint32_t *atom_keys;                       /* the key of each atom, or NONE */
  uint32_t fields;                           /* bit set: fields that are probed, but for those of the shape */
  bool attributes, resources, events, links; /* whether these are */
  struct index_bucket *buckets;
  uint32_t bucket_mask;
  struct index_ref *refs;
  uint32_t refs_count;
  struct index_affix *affixes;
  uint32_t affixes_count;
  struct index_interval *intervals;
  struct index_served *served;
  uint8_t *gram_filter;               /* INDEX_GRAM_BITS bits; NULL: no grams */
  uint8_t *text;                      /* what affixes point to */
  /* Patterns to test, by atom: first those that a span's shape does not decide. */
  uint32_t *posting_first, *posting_shaped, *postings;
  uint8_t *shaped;                    /* of each pattern: a span's shape decides it */
  /* Atoms without which a pattern cannot hold, by pattern; and whether it says anything else. */
  uint32_t *needs_first, *needs;
  uint8_t *says_more;
  struct index_always *always;
  uint32_t always_count, *always_patterns;
};

enum { INDEX_GRAM_BYTES = 4, INDEX_GRAM_BITS = 1 << 16 };

/* Over the patterns of spans of rules that are not off. 0 or FLUO_ENOMEM. The other two outlive it. */
int index_new(const struct ir *ir, const struct atoms *atoms, bool renamed, struct index **out);
void index_free(struct index *x);
/* A rule set's. */
const struct index *ruleset_index(const struct ruleset *r);
const struct atoms *ruleset_atoms(const struct ruleset *r);
const struct ruleset_options *ruleset_options(const struct ruleset *r);

static inline bool index_is_of_shape(uint32_t key) {
  return key < FLUO_FIELD_EVENT_NAME && INDEX_SHAPE >> key & 1;
}

/* A key of that field (ATTRIBUTE, RESOURCE), or INDEX_KEY_NONE. */
uint32_t index_key_find(const struct index *x, uint32_t field, const void *name, size_t n);

/* The same of an attribute, with x's hints: nearly every name that nobody asks for is told by its ends and its length,
 * without a look at the keys. */
__attribute__((always_inline))
static inline uint32_t index_attribute_find(const struct index *x, struct index_hints hints, const uint8_t *name, size_t n) {
  uint32_t hint = hints.keys[bytes_sketch(name, n) >> hints.shift];
  if (!hint) return INDEX_KEY_NONE;
  const struct index_key *key = &x->keys[hint - 1];
  if (key->len == n && bytes_same((const uint8_t *)key->name, name, n)) return hint - 1;
  return index_key_find(x, FLUO_FIELD_ATTRIBUTE, name, n);
}

/* Calls on_ref for every atom that may hold because `key` has this value: those that do are among
 * them, as far as atoms are reached by this key. `equal`: the operand is equal to (an element of)
 * the value. */
typedef void index_on_ref(void *ctx, uint32_t atom, bool equal);
void index_probe(const struct index *x, uint32_t key, const struct datum *value,
                 index_on_ref *on_ref, void *ctx);

/* What building and probing have in common. */
uint64_t index_hash_name(uint32_t field, const void *name, size_t n);
uint64_t index_hash_text(uint32_t key, const void *p, size_t n);
uint64_t index_hash_number(uint32_t key, const struct fluo_value *number);
uint64_t index_hash_bool(uint32_t key, bool truth);
uint64_t index_hash_gram(uint32_t key, const uint8_t *p);
uint32_t index_gram_bit(const uint8_t *p);

#endif
