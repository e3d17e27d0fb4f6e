/* A glob or an expression may be looked for by any of its literals. One that many others have too
 * ("https://shop.example/") tells little, so the literals of all atoms are counted first. */
#include "index_choose.h"

#include "err.h"
#include "heap.h"

struct literal {
  uint64_t hash; /* a literal that shares it counts for both: an estimate is a little worse */
  uint32_t count;
};

struct choosing {
  const struct index *x;
  struct literal *literals;
  uint32_t mask;
  uint32_t *walkers; /* of each key */
};

static struct literal *literal_of(const struct choosing *c, uint32_t key, const struct access *access) {
  uint64_t hash = index_hash_text(key, access->text, access->len) + access->kind;
  uint32_t at = (uint32_t)(hash >> 32) & c->mask;
  while (c->literals[at].count && c->literals[at].hash != hash) at = (at + 1) & c->mask;
  c->literals[at].hash = hash;
  return &c->literals[at];
}

static void count_atom(struct choosing *c, uint32_t atom) {
  struct access accesses[ACCESSES_MAX];
  uint32_t key = c->x->atom_keys[atom], n = access_list(&c->x->atoms->items[atom], accesses);
  for (uint32_t i = 0; i < n; i++) {
    if (accesses[i].len) literal_of(c, key, &accesses[i])->count++;
    c->walkers[key] += accesses[i].kind == ACCESS_INNER;
  }
}

static double choose(const struct choosing *c, uint32_t atom, uint32_t users, struct access *out) {
  struct access accesses[ACCESSES_MAX];
  const struct atom *a = &c->x->atoms->items[atom];
  uint32_t key = c->x->atom_keys[atom], n = access_list(a, accesses);
  double best = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t others = accesses[i].len ? literal_of(c, key, &accesses[i])->count - 1 : 0;
    double cost = access_cost(a, &accesses[i], users + others, c->walkers[key]);
    if (i && cost >= best) continue;
    best = cost;
    *out = accesses[i];
  }
  return best;
}

/* Atoms without a key are asked by events, links, and rules that are off, alone. */
int index_choose(const struct index *x, const uint32_t *users, struct access *chosen, double *costs) {
  uint32_t atoms = x->atoms->count, size = 16;
  while (size < (uint64_t)atoms * ACCESSES_MAX * 2 && size < UINT32_C(1) << 31) size *= 2;
  struct choosing c = {.x = x,
                       .literals = heap_zalloc(size * sizeof *c.literals),
                       .mask = size - 1,
                       .walkers = heap_zalloc(x->keys_count * sizeof *c.walkers)};
  int err = c.literals && c.walkers ? 0 : FLUO_ENOMEM;
  for (uint32_t i = 0; !err && i < atoms; i++)
    if (x->atom_keys[i] != INDEX_KEY_NONE) count_atom(&c, i);
  for (uint32_t i = 0; !err && i < atoms; i++)
    if (x->atom_keys[i] != INDEX_KEY_NONE) costs[i] = choose(&c, i, users[i], &chosen[i]);
  heap_free(c.literals);
  heap_free(c.walkers);
  return err;
}
