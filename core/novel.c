/* The story of what is new. Each key is a group of the state that knows when it was seen last. The
 * empty key stands for all: since when they are watched, and how many were known. While less than D
 * was watched nothing is told; so it is again where a key was forgotten for want of room, for then
 * nobody knows what is new; and where too much is, for then the keys are of a kind that never ends.
 * What comes meanwhile is counted as unknown, but for the first time. Time that nobody watched, between a snapshot and its
 * reading, is not counted: all that is read is as much younger.
 *
 * Ways it fails: no memory for a key: lost, counted; it is new again when it comes next. */
#include "novel.h"

#include <assert.h>

#include "err.h"
#include "heap.h"

struct key {
  struct state_group head;
  uint64_t last_ns; /* seen; of the empty key: watched since */
  /* of the empty key alone */
  uint64_t news_ns; /* when counting the news began */
  uint32_t known, news;
  bool anew; /* learning began once more */
};

struct novel {
  struct state_owner keys; /* the first member */
  uint64_t ns, unwatched_ns; /* unwatched: between when what is read was written, and now */
  struct novel_calls calls;
  void *owner;
};

static int key_init(struct state_group *head) {
  (void)head;
  return 0;
}

static void key_deinit(struct state_group *head) {
  (void)head;
}

static size_t key_bytes(const struct state_group *head) {
  (void)head;
  return 0;
}

static void key_write(const struct state_group *head, struct pack *p) {
  const struct key *k = (const struct key *)(const void *)head;
  pack_uint(p, k->last_ns);
  pack_uint(p, k->news_ns);
  pack_uint(p, k->known);
  pack_uint(p, k->news);
  pack_uint(p, k->anew);
}

static int key_read(struct state_group *head, struct unpack *u) {
  struct key *k = (struct key *)(void *)head;
  uint64_t unwatched_ns = ((const struct novel *)(const void *)head->owner)->unwatched_ns;
  k->last_ns = unpack_uint(u) + unwatched_ns;
  k->news_ns = unpack_uint(u) + unwatched_ns;
  k->known = (uint32_t)unpack_upto(u, NOVEL_KEYS_MAX + 1);
  k->news = (uint32_t)unpack_upto(u, NOVEL_NEWS_MAX + 1);
  k->anew = unpack_upto(u, 1);
  return u->bad || u->at != u->end ? FLUO_EMALFORMED : 0;
}

static bool is_past(uint64_t from_ns, uint64_t now_ns, uint64_t ns) {
  return now_ns > from_ns && now_ns - from_ns >= ns;
}

/* ---- what is known of all ------------------------------------------------------------------- */

/* The empty key. NULL: no memory. */
static struct key *all_of(struct novel *n, uint64_t now_ns) {
  struct state_group *head;
  struct state_key empty = {NULL, 0, state_hash(n->keys.state, NULL, 0)};
  if (state_get(&n->keys, &empty, &head)) return NULL;
  struct key *all = (struct key *)(void *)head;
  if (!all->last_ns) all->last_ns = all->news_ns = now_ns;
  return all;
}

static void begin_anew(struct key *all, uint64_t now_ns) {
  all->last_ns = all->news_ns = now_ns;
  all->news = 0;
  all->anew = true;
}

/* Fewer keys than there were: some were forgotten. */
static void notice_forgotten(struct novel *n, struct key *all, uint64_t now_ns) {
  uint32_t known = n->keys.groups_count - 1;
  if (known < all->known) begin_anew(all, now_ns);
  all->known = known;
}

/* Whether something new is told. */
static bool is_news(struct novel *n, struct key *all, uint64_t now_ns) {
  if (is_past(all->last_ns, now_ns, n->ns)) {
    if (is_past(all->news_ns, now_ns, n->ns)) {
      all->news_ns = now_ns;
      all->news = 0;
    }
    if (++all->news <= NOVEL_NEWS_MAX) return true;
    begin_anew(all, now_ns);
  }
  if (all->anew) n->calls.on_unknown(n->calls.ctx, n->owner);
  return false;
}

/* ---- outside -------------------------------------------------------------------------------- */

static int see(struct novel *n, const struct state_key *key, uint64_t now_ns) {
  struct state_group *head;
  int err = state_get(&n->keys, key, &head);
  if (err) return err;
  struct key *k = (struct key *)(void *)head;
  if (now_ns > k->last_ns) k->last_ns = now_ns;
  state_account(head);
  return 0;
}

static void tell(struct novel *n, const struct state_key *key, const struct window_witness *witness) {
  struct window_crossing crossing = {.owner = n->owner,
                                     .group = key->bytes,
                                     .group_bytes = key->n,
                                     .time_ns = witness->time_ns,
                                     .witnesses = witness,
                                     .witnesses_count = 1,
                                     .spans = 1};
  n->calls.on_novel(n->calls.ctx, &crossing);
}

int novel_take(struct novel *n, const struct state_key *key, const struct window_witness *witness) {
  uint64_t now_ns = witness->time_ns;
  assert(key->n);
  struct key *all = all_of(n, now_ns);
  if (!all) {
    state_stats(n->keys.state)->lost++;
    return FLUO_ENOMEM;
  }
  const struct key *known = (const struct key *)(const void *)state_find(&n->keys, key);
  bool fresh = !known, news = fresh || is_past(known->last_ns, now_ns, n->ns);
  notice_forgotten(n, all, now_ns);
  news = news && is_news(n, all, now_ns);
  all->known += fresh;
  state_account(&all->head);
  int err = see(n, key, now_ns);
  if (err)
    state_stats(n->keys.state)->lost++;
  else if (news)
    tell(n, key, witness);
  return err;
}

int novel_new(struct state *state, uint64_t ns, const struct novel_calls *calls, void *owner, struct novel **out) {
  static const struct state_ops ops = {sizeof(struct key), key_init, key_deinit, key_bytes, NULL, key_write, key_read};
  struct novel *n = heap_zalloc(sizeof *n);
  if (!n) return FLUO_ENOMEM;
  state_owner_init(&n->keys, state, &ops, NOVEL_KEYS_MAX + 1);
  n->ns = ns;
  n->calls = *calls;
  n->owner = owner;
  *out = n;
  return 0;
}

void novel_free(struct novel *n) {
  if (!n) return;
  state_owner_deinit(&n->keys);
  heap_free(n);
}

void novel_resume(struct novel *n, uint64_t unwatched_ns) {
  n->unwatched_ns = unwatched_ns;
}

struct state_owner *novel_keys(struct novel *n) {
  return &n->keys;
}
