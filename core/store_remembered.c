/* Closed traces, remembered so that a span that comes late is known as late, and one that comes twice as a
 * duplicate. All of it lies in the heap, within a bound of its own and within the store's. Where the first is
 * reached, or traces need the room (remembered_shrink), the ids of spans go first, those of the oldest trace
 * before others (a span sent again then counts as late), and only when no ids are left the oldest traces are
 * forgotten (a span of one then begins a new trace). Each is counted. Two lists in the order of time make both a
 * step each. A ghost frees its own ids; the trace that takes its late spans is told, which may free that. */
#include <assert.h>

#include "heap.h"
#include "store_parts.h"

#define ghost_of(link, list) ((struct ghost *)(void *)((char *)(link) - offsetof(struct ghost, list)))

void remembered_init(struct remembered *r, size_t bytes_max, struct hash_key key) {
  *r = (struct remembered){.bytes_max = bytes_max, .key = key};
  link_init(&r->all);
  link_init(&r->with_ids);
}

static void ids_drop(struct remembered *r, struct ghost *g) {
  r->bytes -= g->capacity * sizeof *g->ids;
  heap_free(g->ids);
  g->ids = NULL;
  g->count = g->capacity = 0;
  link_remove(&g->with_ids);
}

static void ghost_free(struct remembered *r, struct ghost *g) {
  if (g->late) store_let_go(g->late->memory->store, g->late);
  ids_drop(r, g);
  link_remove(&g->all);
  table_remove(&r->table, g->hash, (uintptr_t)g);
  r->bytes -= sizeof *g;
  heap_free(g);
}

/* That of the oldest, and fetches what the next one needs, for nobody has looked at it since it was made. */
static void oldest_free(struct remembered *r) {
  struct ghost *oldest = ghost_of(r->all.next, all);
  if (oldest->all.next != &r->all) {
    const struct ghost *next = ghost_of(oldest->all.next, all), *after = ghost_of(next->all.next, all);
    table_fetch(&r->table, next->hash);
    __builtin_prefetch(after);
    __builtin_prefetch(&after->late);
  }
  ghost_free(r, oldest);
}

void remembered_deinit(struct remembered *r) {
  while (!link_alone(&r->all)) ghost_free(r, ghost_of(r->all.next, all));
  table_deinit(&r->table);
}

static void oldest_ids_forget(struct remembered *r) {
  struct ghost *g = ghost_of(r->with_ids.next, with_ids);
  r->forgotten += g->count;
  ids_drop(r, g);
}

static void oldest_forget(struct remembered *r) {
  struct ghost *g = ghost_of(r->all.next, all);
  r->forgotten++;
  if (g->late) g->late->memory->store->stats.kept_released += g->late->kept;
  oldest_free(r);
}

/* Makes room by forgetting ids, but not those of `except`. */
static bool room_from_ids(struct remembered *r, size_t bytes, const struct ghost *except) {
  while (r->bytes + bytes > r->bytes_max && !link_alone(&r->with_ids)) {
    struct ghost *g = ghost_of(r->with_ids.next, with_ids);
    if (g == except) return false;      /* it is the latest, so the last */
    oldest_ids_forget(r);
  }
  return r->bytes + bytes <= r->bytes_max;
}

static bool room_from_ghosts(struct remembered *r, size_t bytes) {
  if (room_from_ids(r, bytes, NULL)) return true;
  while (r->bytes + bytes > r->bytes_max && !link_alone(&r->all)) oldest_forget(r);
  return r->bytes + bytes <= r->bytes_max;
}

bool remembered_shrink(struct remembered *r) {
  if (r->bytes - r->table_bytes <= r->bytes_max / REMEMBERED_KEPT_SHARE) return false;
  if (link_alone(&r->with_ids)) oldest_forget(r);
  else oldest_ids_forget(r);
  return true;
}

static bool slot_reserve(struct remembered *r, uint64_t hash) {
  for (size_t growth; (growth = table_growth(&r->table, hash)); r->table_bytes += growth, r->bytes += growth)
    if (!room_from_ghosts(r, growth) || table_grow(&r->table, hash)) return false;
  return true;
}

struct ghost *remembered_put(struct remembered *r, const uint8_t id[16], uint64_t hash, uint64_t until_ns) {
  struct ghost *g = NULL;
  if (slot_reserve(r, hash) && room_from_ghosts(r, sizeof *g)) g = heap_zalloc(sizeof *g);
  if (!g) {
    r->forgotten++;
    return NULL;
  }
  memcpy(g->id, id, 16);
  g->hash = hash;
  g->until_ns = until_ns;
  link_init(&g->with_ids);
  link_append(&r->all, &g->all);
  table_put(&r->table, hash, (uintptr_t)g);
  r->bytes += sizeof *g;
  return g;
}

/* Most traces never see a late span, and their ids should take what they need: a few are a list, and one slot is free; of
 * more a quarter is, in no power of two. */
static uint32_t slots_for(uint32_t n) {
  return n <= IDS_LINEAR_MAX ? n + 1 : n + n / 3 + 1;
}

static bool is_list(const struct ghost *g) {
  return g->capacity <= IDS_LINEAR_MAX + 1;
}

size_t remembered_bytes(uint32_t n) {
  return sizeof(struct ghost) + slots_for(n) * sizeof(uint64_t);
}

static uint32_t home_of(const struct remembered *r, const struct ghost *g, uint64_t id) {
  return is_list(g) ? 0 : (uint32_t)((uint64_t)id_hash(&r->key, id) * g->capacity >> 32);
}

static uint64_t *slot_of(const struct remembered *r, const struct ghost *g, uint64_t id) {
  uint32_t i = home_of(r, g, id);
  while (g->ids[i] && g->ids[i] != id) i = i + 1 < g->capacity ? i + 1 : 0;
  return &g->ids[i];
}

bool remembered_reserve(struct remembered *r, struct ghost *g, uint32_t n) {
  struct ghost before = *g;
  uint32_t capacity = slots_for(n);
  if (capacity <= g->capacity) return true;
  size_t more = (capacity - g->capacity) * sizeof *g->ids;
  uint64_t *ids = room_from_ids(r, more, g) ? heap_zalloc(capacity * sizeof *ids) : NULL;
  if (!ids) return false;
  g->ids = ids;
  g->capacity = capacity;
  for (uint32_t i = 0; i < before.capacity; i++)
    if (before.ids[i]) *slot_of(r, g, before.ids[i]) = before.ids[i];
  heap_free(before.ids);
  r->bytes += more;
  if (link_alone(&g->with_ids)) link_append(&r->with_ids, &g->with_ids);
  return true;
}

void remembered_add(struct remembered *r, struct ghost *g, uint64_t id) {
  assert(g->count + 1 < g->capacity);
  *(is_list(g) ? &g->ids[g->count] : slot_of(r, g, id)) = id;
  g->count++;
}

struct ghost *remembered_find(struct remembered *r, const uint8_t id[16], uint64_t hash, uint64_t now_ns) {
  struct ghost *g = id_find(&r->table, hash, id);
  if (!g || now_ns < g->until_ns) return g;
  ghost_free(r, g);
  return NULL;
}

bool remembered_has(const struct remembered *r, const struct ghost *g, uint64_t id) {
  return g->capacity && *slot_of(r, g, id) == id;
}

void remembered_renew(struct remembered *r, struct ghost *g, uint64_t id, uint64_t until_ns) {
  g->until_ns = until_ns;
  link_remove(&g->all);
  link_append(&r->all, &g->all);
  if (!link_alone(&g->with_ids)) {
    link_remove(&g->with_ids);
    link_append(&r->with_ids, &g->with_ids);
  }
  bool fits = slots_for(g->count + 1) <= g->capacity;
  if (fits || remembered_reserve(r, g, g->count + g->count / 2 + 8)) remembered_add(r, g, id);
  else r->forgotten++;
}

void remembered_expire(struct remembered *r, uint64_t now_ns) {
  while (!link_alone(&r->all)) {
    struct ghost *g = ghost_of(r->all.next, all);
    if (g->until_ns > now_ns) return;
    oldest_free(r);
  }
}
