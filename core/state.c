/* The state's story. A key is looked up in one table for all owners (seeded: keys come from the
 * network). Each group stands in four places: the table, its owner's list and everybody's list,
 * both by use, and the heap of timers; state_drop takes it out of all of them.
 *
 * Uses are numbered, and each group knows its last one. They come in eras of so many uses: a group is moved to the end of
 * its lists by its first use in an era, not by each. So the lists are in order of eras, and the groups of an era are put
 * in order when the first of them has to go or is walked over. An era that is put in order is over, and what is used
 * after that leaves it. An era of one use keeps the lists in order always.
 *
 * Ways it fails: no memory for a group or a timer: the caller is told and loses that event. A bound
 * is reached: the least recently used group goes, with what it knew, counted. */
#include "state.h"

#include <assert.h>
#include <string.h>

#include "bytes.h"
#include "err.h"
#include "hash.h"
#include "heap.h"
#include "link.h"

/* Sorting so many groups takes a millisecond at the most. */
enum { ERA_BITS = 14 };

struct state {
  struct hash_key key;
  struct state_group **slots;
  uint32_t slots_count, slots_capacity;
  uint32_t mask; /* the least 2^n - 1 that the last slot's number is within */
  struct link groups;
  struct state_group **timers; /* a heap by due_ns */
  uint32_t timers_count, timers_capacity;
  size_t bytes_max;
  uint64_t owners; /* ever */
  uint64_t uses, ordered; /* ever; eras before `ordered` are in order */
  uint32_t era_bits;
  uint64_t walk_ordered;  /* likewise, of those that the walk has come to */
  uint32_t walk;             /* the one under way, or the last one */
  struct link *walked; /* how far it has come; NULL: none is under way */
  struct state_stats stats;
};

/* ---- lists --------------------------------------------------------------------------------- */

static struct state_group *of_owner(struct link *at) {
  return (struct state_group *)(void *)((char *)at - offsetof(struct state_group, of_owner));
}

static struct state_group *of_all(struct link *at) {
  return (struct state_group *)(void *)((char *)at - offsetof(struct state_group, of_all));
}

typedef struct state_group *group_of(struct link *at);

static struct link *merge(struct link *a, struct link *b, group_of *of) {
  struct link head, *last = &head;
  while (a && b) {
    struct link **next = of(a)->used < of(b)->used ? &a : &b;
    last = last->next = *next;
    *next = (*next)->next;
  }
  last->next = a ? a : b;
  return head.next;
}

/* Up to `end`, in order of use; their `prev` is not set. Of sorted runs there is one or none of each power of two. */
static struct link *sort(struct link *at, const struct link *end, group_of *of) {
  struct link *runs[ERA_BITS + 1] = {NULL}, *all = NULL, *next;
  for (uint32_t i = 0; at != end; at = next, i = 0) {
    next = at->next;
    at->next = NULL;
    for (; runs[i]; runs[i++] = NULL) at = merge(runs[i], at, of);
    runs[i] = at;
  }
  for (uint32_t i = 0; i <= ERA_BITS; i++)
    if (runs[i]) all = merge(runs[i], all, of);
  return all;
}

static uint64_t era_of(const struct state *s, uint64_t use) {
  return use >> s->era_bits;
}

/* The groups of one era, which begins behind `before`, in order of use. The era is over. */
static void put_in_order(struct state *s, struct link *before, struct link *list, group_of *of) {
  struct link *end = before->next;
  uint64_t era = era_of(s, of(end)->used);
  if (!s->era_bits) return;
  if (era_of(s, s->uses) == era) s->uses = ((era + 1) << s->era_bits) - 1;
  while (end != list && era_of(s, of(end)->used) == era) end = end->next;
  struct link *last = before, *at = sort(before->next, end, of);
  for (; at; last = at, at = at->next) {
    last->next = at;
    at->prev = last;
  }
  last->next = end;
  end->prev = last;
}

/* The group of the list that was used least recently; there is one. */
static struct state_group *oldest(struct state *s, struct link *list, uint64_t *ordered, group_of *of) {
  uint64_t era = era_of(s, of(list->next)->used);
  if (*ordered > era) return of(list->next);
  put_in_order(s, list, list, of);
  *ordered = era + 1;
  return of(list->next);
}

/* ---- timers -------------------------------------------------------------------------------- */

static void timer_put(struct state *s, uint32_t at, struct state_group *g) {
  s->timers[at] = g;
  g->timer = at + 1;
}

static void timer_sift(struct state *s, uint32_t at) {
  struct state_group *g = s->timers[at];
  for (uint32_t up; at && g->due_ns < s->timers[up = (at - 1) / 2]->due_ns; at = up)
    timer_put(s, at, s->timers[up]);
  for (uint32_t child; (child = 2 * at + 1) < s->timers_count; at = child) {
    if (child + 1 < s->timers_count && s->timers[child + 1]->due_ns < s->timers[child]->due_ns)
      child++;
    if (s->timers[child]->due_ns >= g->due_ns) break;
    timer_put(s, at, s->timers[child]);
  }
  timer_put(s, at, g);
}

static void timer_remove(struct state *s, struct state_group *g) {
  if (!g->timer) return;
  uint32_t at = g->timer - 1;
  g->timer = 0;
  struct state_group *last = s->timers[--s->timers_count];
  if (last == g) return;
  timer_put(s, at, last);
  timer_sift(s, at);
}

int state_timer(struct state_group *g, uint64_t due_ns) {
  struct state *s = g->owner->state;
  if (due_ns == UINT64_MAX) {
    timer_remove(s, g);
    return 0;
  }
  if (g->timer && g->due_ns == due_ns) return 0;
  if (!g->timer) {
    int err =
        heap_grow((void **)&s->timers, &s->timers_capacity, s->timers_count, sizeof *s->timers);
    if (err) return err;
    timer_put(s, s->timers_count++, g);
  }
  g->due_ns = due_ns;
  timer_sift(s, g->timer - 1);
  return 0;
}

uint64_t state_next_due(const struct state *s) {
  return s->timers_count ? s->timers[0]->due_ns : UINT64_MAX;
}

bool state_step(struct state *s, uint64_t now_ns) {
  if (state_next_due(s) > now_ns) return false;
  struct state_group *g = s->timers[0];
  timer_remove(s, g);
  s->stats.changes++;
  g->owner->ops->on_due(g, now_ns);
  return true;
}

/* ---- groups -------------------------------------------------------------------------------- */

const uint8_t *state_group_key(const struct state_group *g) {
  return (const uint8_t *)g + g->owner->ops->size;
}

/* What belongs into a slot that there is not yet stands in the one that will part with it. */
static struct state_group **slot_of(const struct state *s, uint64_t hash) {
  uint32_t i = (uint32_t)hash & s->mask;
  return &s->slots[i < s->slots_count ? i : i & s->mask >> 1];
}

/* Out of everybody's list; a walk that has come as far goes on where it stood. */
static void leave_all(struct state *s, struct state_group *g) {
  if (s->walked == &g->of_all) s->walked = g->of_all.prev;
  link_remove(&g->of_all);
}

void state_drop(struct state_group *g) {
  struct state *s = g->owner->state;
  s->stats.changes++;
  struct state_group **at = slot_of(s, g->hash);
  while (*at != g) at = &(*at)->next;
  *at = g->next;
  link_remove(&g->of_owner);
  leave_all(s, g);
  timer_remove(s, g);
  g->owner->groups_count--;
  g->owner->gone++;
  s->stats.groups--;
  s->stats.bytes -= g->bytes;
  g->owner->ops->deinit(g);
  heap_free(g);
}

static void evict(struct state_group *g) {
  g->owner->state->stats.groups_evicted++;
  state_drop(g);
}

/* Each group more is a slot more (linear hashing; Litwin, 1980), into which goes what one other slot has for it: so no put
 * moves more than a chain. Where there is no memory for it, longer chains will do. */
static int slots_grow(struct state *s) {
  if (s->stats.groups < s->slots_count) return 0;
  int err = heap_grow((void **)&s->slots, &s->slots_capacity, s->slots_count, sizeof *s->slots);
  if (err) return s->slots ? 0 : err;
  uint32_t more = s->slots_count++;
  s->slots[more] = NULL;
  if (more > s->mask) s->mask = 2 * s->mask + 1;
  if (!more) return 0;
  for (struct state_group *g, **at = &s->slots[more & s->mask >> 1]; (g = *at);) {
    if (slot_of(s, g->hash) != &s->slots[more]) {
      at = &g->next;
      continue;
    }
    *at = g->next;
    g->next = s->slots[more];
    s->slots[more] = g;
  }
  return 0;
}

static int group_new(struct state_owner *o, uint64_t hash, const struct state_key *key,
                     struct state_group **out) {
  struct state *s = o->state;
  if (o->groups_count == o->groups_max) evict(oldest(s, &o->groups, &o->ordered, of_owner));
  int err = slots_grow(s);
  if (err) return err;
  struct state_group *g = heap_zalloc(o->ops->size + key->n);
  if (!g) return FLUO_ENOMEM;
  g->owner = o;
  g->hash = hash;
  g->key_bytes = key->n;
  g->walk = s->walk;
  g->used = ++s->uses;
  if (key->n) memcpy((uint8_t *)g + o->ops->size, key->bytes, key->n);
  err = o->ops->init(g);
  if (err) {
    o->ops->deinit(g);
    heap_free(g);
    return err;
  }
  struct state_group **slot = slot_of(s, hash);
  g->next = *slot;
  *slot = g;
  link_append(&o->groups, &g->of_owner);
  link_append(&s->groups, &g->of_all);
  o->groups_count++;
  s->stats.groups++;
  *out = g;
  return 0;
}

static bool is_key(const struct state_group *g, const struct state_owner *o, uint64_t hash,
                   const struct state_key *key) {
  return g->hash == hash && g->owner == o && g->key_bytes == key->n &&
         bytes_same(state_group_key(g), key->bytes, key->n);
}

uint64_t state_hash(const struct state *s, const void *key, uint32_t n) {
  return hash64(&s->key, key, n);
}

static inline struct state_group *find(const struct state_owner *o, const struct state_key *key) {
  uint64_t hash = key->hash ^ o->salt;
  struct state_group *g = o->state->slots_count ? *slot_of(o->state, hash) : NULL;
  while (g && !is_key(g, o, hash, key)) g = g->next;
  return g;
}

struct state_group *state_find(const struct state_owner *o, const struct state_key *key) {
  return find(o, key);
}

void state_use(struct state_group *g) {
  struct state *s = g->owner->state;
  uint64_t era = era_of(s, g->used);
  s->stats.changes++;
  g->used = ++s->uses;
  if (era == era_of(s, g->used)) return;
  link_remove(&g->of_owner);
  leave_all(s, g);
  link_append(&g->owner->groups, &g->of_owner);
  link_append(&s->groups, &g->of_all);
}

int state_get(struct state_owner *o, const struct state_key *key, struct state_group **out) {
  struct state_group *g = find(o, key);
  if (!g) {
    o->state->stats.changes++;
    return group_new(o, key->hash ^ o->salt, key, out);
  }
  state_use(g);
  *out = g;
  return 0;
}

double state_left(const struct state *s) {
  return s->stats.bytes < s->bytes_max ? 1 - (double)s->stats.bytes / (double)s->bytes_max : 0;
}

void state_account(struct state_group *g) {
  const struct state_ops *ops = g->owner->ops;
  struct state *s = g->owner->state;
  size_t bytes = heap_block(ops->size + g->key_bytes) + ops->bytes(g);
  s->stats.bytes += bytes - g->bytes;
  g->bytes = bytes;
  while (s->stats.bytes > s->bytes_max) {
    struct state_group *first = oldest(s, &s->groups, &s->ordered, of_all);
    if (first == g) return;
    evict(first);
  }
}

/* ---- as bytes ------------------------------------------------------------------------------ */

void state_write(const struct state_group *g, struct pack *p) {
  p->known_count = 0;
  pack_uint(p, g->key_bytes);
  pack_bytes(p, state_group_key(g), g->key_bytes);
  g->owner->ops->write(g, p);
}

int state_read(struct state_owner *o, struct unpack *u) {
  struct state_group *g;
  struct state_key key = {.n = unpack_count(u, UINT32_MAX)};
  key.bytes = unpack_bytes(u, key.n);
  if (!key.bytes) return FLUO_EMALFORMED;
  key.hash = state_hash(o->state, key.bytes, key.n);
  u->known_count = 0;
  int err = state_get(o, &key, &g);
  if (err) return err;
  state_drop(g); /* there may have been one */
  err = state_get(o, &key, &g);
  if (err) return err;
  err = o->ops->read(g, u);
  if (err)
    state_drop(g);
  else
    state_account(g);
  return err;
}

/* A group that is used while the walk goes on moves to the end of the list, and a new one begins
 * there: each knows which walk has come by, so none is seen twice, and it ends. */
void state_walk(struct state *s) {
  s->walk++;
  s->walked = &s->groups;
  s->walk_ordered = 0;
}

struct state_group *state_walk_next(struct state *s) {
  while (s->walked && s->walked->next != &s->groups) {
    uint64_t era = era_of(s, of_all(s->walked->next)->used);
    if (era >= s->walk_ordered) put_in_order(s, s->walked, &s->groups, of_all);
    s->walk_ordered = era + 1;
    s->walked = s->walked->next;
    struct state_group *g = of_all(s->walked);
    if (g->walk == s->walk) continue;
    g->walk = s->walk;
    return g;
  }
  s->walked = NULL;
  return NULL;
}

/* ---- life ---------------------------------------------------------------------------------- */

int state_new(size_t bytes_max, struct state **out) {
  struct state *s = heap_zalloc(sizeof *s);
  if (!s) return FLUO_ENOMEM;
  s->key = hash_key_random();
  s->bytes_max = bytes_max;
  link_init(&s->groups);
  *out = s;
  return 0;
}

void state_defer(struct state *s) {
  assert(!s->uses);
  s->era_bits = ERA_BITS;
}

void state_free(struct state *s) {
  if (!s) return;
  assert(!s->stats.groups);
  heap_free(s->slots);
  heap_free(s->timers);
  heap_free(s);
}

void state_owner_init(struct state_owner *o, struct state *s, const struct state_ops *ops,
                      uint32_t groups_max) {
  *o = (struct state_owner){.state = s, .ops = ops, .groups_max = groups_max};
  o->salt = ++s->owners * UINT64_C(0x9e3779b97f4a7c15);
  link_init(&o->groups);
}

void state_owner_deinit(struct state_owner *o) {
  while (o->groups.next != &o->groups) state_drop(of_owner(o->groups.next));
}

void state_owner_stop(struct state_owner *o) {
  for (struct link *at = o->groups.next; at != &o->groups; at = at->next)
    timer_remove(o->state, of_owner(at));
}

struct state_stats *state_stats(struct state *s) {
  return &s->stats;
}
