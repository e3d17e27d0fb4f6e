/* The cascades' story. Each group holds its hits by time. A hit is looked at once, when D and a
 * lateness have gone by since: then all that its chain can have is there, in whatever order it
 * came; also of one long request, each hit of which is taken as if it had come a lateness after its
 * start. If it can begin a chain, the first failure of each value in the D after it are the links;
 * enough of them are told. Then the hit is dropped, which is also how the group gets empty.
 *
 * With a root, roots alone begin chains; one that another follows before anything failed gives way
 * to it. What comes up to the last link is part of what was told and begins nothing. Without a root
 * any failure begins one, and what was told takes the whole D, else an outage that goes on would be
 * a new chain every moment.
 *
 * A group has so many hits at most. Past that, of each value only the first in a while is kept,
 * after each root anew: for roots that are known by then nothing changes; of one that comes later
 * than the failures after it, a link may be late by that while.
 *
 * Ways it fails: no memory, no room: lost, counted. A group read from a snapshot that makes no sense
 * is none. */
#include "cascade.h"

#include <assert.h>
#include <string.h>

#include "err.h"
#include "heap.h"

enum { NO_VALUE = UINT32_MAX };

struct failure {
  struct sequence_hit hit;
  uint64_t time_ns;
  uint32_t value; /* which; NO_VALUE: a root */
};

struct value {
  void *text; /* NULL: free for another */
  uint32_t bytes, uses;
  uint64_t seen; /* scratch of one pass */
};

struct group {
  struct state_group head;
  struct failure *hits; /* in order of time */
  uint32_t count, capacity;
  struct value *values;
  uint32_t values_count, values_capacity;
  size_t text_bytes;
  uint64_t past_ns; /* the next chain begins after this */
  bool matched;     /* past_ns says something */
};

struct cascade {
  struct state_owner groups; /* the first member: a group's owner is its cascade */
  struct cascade_terms terms;
  struct cascade_calls calls;
  void *owner;
};

static struct cascade *cascade_of(const struct group *g) {
  return (struct cascade *)(void *)g->head.owner;
}

static uint64_t plus(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t due_of(const struct group *g, uint64_t time_ns) {
  return plus(plus(time_ns, cascade_of(g)->terms.ns), SEQUENCE_LATENESS_NS);
}

static bool is_root(const struct failure *f) {
  return f->value == NO_VALUE;
}

/* ---- a group ------------------------------------------------------------------------------- */

static int group_init(struct state_group *head) {
  (void)head;
  return 0;
}

static void group_deinit(struct state_group *head) {
  struct group *g = (struct group *)(void *)head;
  for (uint32_t i = 0; i < g->values_count; i++) heap_free(g->values[i].text);
  heap_free(g->values);
  heap_free(g->hits);
}

static size_t group_bytes(const struct state_group *head) {
  const struct group *g = (const struct group *)(const void *)head;
  return g->capacity * sizeof *g->hits + g->values_capacity * sizeof *g->values + g->text_bytes;
}

static void value_drop(struct group *g, uint32_t index) {
  if (index == NO_VALUE || --g->values[index].uses) return;
  g->text_bytes -= g->values[index].bytes;
  heap_free(g->values[index].text);
  g->values[index].text = NULL;
}

/* Where this value stands; a free place where it does not, and values_count where there is none. */
static uint32_t value_find(const struct group *g, const void *text, uint32_t bytes) {
  uint32_t free = g->values_count;
  for (uint32_t i = 0; i < g->values_count; i++) {
    const struct value *v = &g->values[i];
    if (!v->text) free = i;
    else if (v->bytes == bytes && !memcmp(v->text, text, bytes)) return i;
  }
  return free;
}

/* One more use of it. 0; FLUO_EFULL: there are too many; or FLUO_ENOMEM. */
static int value_take(struct group *g, const void *text, uint32_t bytes, uint32_t *out) {
  uint32_t at = value_find(g, text, bytes);
  bool more = at == g->values_count;
  if (at == CASCADE_VALUES_MAX) return FLUO_EFULL;
  if (more && heap_grow((void **)&g->values, &g->values_capacity, at, sizeof *g->values)) return FLUO_ENOMEM;
  struct value *v = &g->values[at];
  if (more || !v->text) {
    void *copy = heap_alloc(bytes);
    if (!copy) return FLUO_ENOMEM;
    memcpy(copy, text, bytes);
    *v = (struct value){.text = copy, .bytes = bytes};
    g->values_count += more;
    g->text_bytes += bytes;
  }
  v->uses++;
  *out = at;
  return 0;
}

static void forget(struct group *g, uint32_t n) {
  if (!n) return;
  for (uint32_t i = 0; i < n; i++) value_drop(g, g->hits[i].value);
  g->count -= n;
  memmove(g->hits, g->hits + n, g->count * sizeof *g->hits);
}

/* By time. A root comes after what failed at its very start; what is called before what called it,
 * where both end at once. */
static bool comes_before(const struct failure *a, const struct failure *b) {
  if (a->time_ns != b->time_ns) return a->time_ns < b->time_ns;
  if (is_root(a) != is_root(b)) return is_root(b);
  if (a->hit.start_ns != b->hit.start_ns) return a->hit.start_ns > b->hit.start_ns;
  int by_span = memcmp(a->hit.span_id, b->hit.span_id, 8);
  return by_span ? by_span < 0 : memcmp(a->hit.trace_id, b->hit.trace_id, 16) < 0;
}

/* ---- too many ------------------------------------------------------------------------------ */

/* Of each value the first in each grain is kept, anew after each root; of roots with nothing
 * between, the last. */
static void thin(struct group *g, uint64_t grain_ns) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < g->values_count; i++) g->values[i].seen = UINT64_MAX;
  for (uint32_t i = 0; i < g->count; i++) {
    struct failure *f = &g->hits[i];
    bool root = is_root(f);
    uint64_t grain = f->time_ns / grain_ns;
    if (!root && g->values[f->value].seen == grain) {
      value_drop(g, f->value);
      continue;
    }
    for (uint32_t v = 0; root && v < g->values_count; v++) g->values[v].seen = UINT64_MAX;
    if (!root) g->values[f->value].seen = grain;
    if (root && kept && is_root(&g->hits[kept - 1])) kept--;
    g->hits[kept++] = *f;
  }
  g->count = kept;
}

static bool make_room(struct group *g) {
  static const uint64_t parts[] = {60, 15, 4, 1};
  uint64_t ns = cascade_of(g)->terms.ns;
  for (size_t i = 0; i < 4 && g->count > CASCADE_HITS_MAX / 4 * 3; i++)
    thin(g, ns / parts[i] ? ns / parts[i] : 1);
  return g->count < CASCADE_HITS_MAX;
}

static int keep(struct group *g, const struct failure *given) {
  if (g->count == CASCADE_HITS_MAX && !make_room(g)) return FLUO_EFULL;
  int err = heap_grow((void **)&g->hits, &g->capacity, g->count, sizeof *g->hits);
  if (err) return err;
  uint32_t at = g->count++;
  for (; at && comes_before(given, &g->hits[at - 1]); at--) g->hits[at] = g->hits[at - 1];
  g->hits[at] = *given;
  return 0;
}

/* ---- telling ------------------------------------------------------------------------------- */

static void add_link(const struct group *g, const struct failure *f, struct cascade_match *out) {
  if (out->chain_count == CASCADE_CHAIN_MAX) return;
  const struct value *value = is_root(f) ? NULL : &g->values[f->value];
  out->chain[out->chain_count++] = (struct cascade_link){.hit = &f->hit,
                                                         .time_ns = f->time_ns,
                                                         .value = value ? value->text : NULL,
                                                         .value_bytes = value ? value->bytes : 0};
}

/* The chain that begins with the first hit. When its last link failed. */
static uint64_t collect(struct group *g, struct cascade_match *out) {
  const struct cascade *c = cascade_of(g);
  uint64_t begin = g->hits[0].time_ns, until = plus(begin, c->terms.ns), last = begin;
  for (uint32_t i = 0; i < g->values_count; i++) g->values[i].seen = 0;
  if (c->terms.rooted) add_link(g, &g->hits[0], out);
  for (uint32_t i = 0; i < g->count && g->hits[i].time_ns < until; i++) {
    const struct failure *f = &g->hits[i];
    if (is_root(f) || g->values[f->value].seen) continue;
    g->values[f->value].seen = 1;
    add_link(g, f, out);
    last = f->time_ns;
    if (++out->values == c->terms.at_least) out->time_ns = last;
  }
  return last;
}

static bool begins(const struct group *g) {
  if (!cascade_of(g)->terms.rooted) return true;
  return is_root(&g->hits[0]) && !(g->count > 1 && is_root(&g->hits[1]));
}

/* Judges the first hit, whose time is over, and lets it go. */
static void judge_first(struct group *g) {
  const struct cascade *c = cascade_of(g);
  struct cascade_match match = {.owner = c->owner, .group = state_group_key(&g->head), .group_bytes = g->head.key_bytes};
  uint32_t gone = 1;
  uint64_t last = begins(g) ? collect(g, &match) : 0;
  if (match.values >= c->terms.at_least) {
    c->calls.on_match(c->calls.ctx, &match);
    g->past_ns = c->terms.rooted ? last : plus(g->hits[0].time_ns, c->terms.ns - 1);
    g->matched = true;
    while (gone < g->count && g->hits[gone].time_ns <= g->past_ns) gone++;
  }
  forget(g, gone);
}

/* ---- taking -------------------------------------------------------------------------------- */

/* What is to be said now is said, and the timer set for the next; a group that knows nothing any
 * more goes. */
static int settle(struct group *g, uint64_t now_ns) {
  while (g->count && due_of(g, g->hits[0].time_ns) <= now_ns) judge_first(g);
  if (g->matched && due_of(g, g->past_ns) <= now_ns) g->matched = false;
  if (!g->count && !g->matched) {
    state_drop(&g->head);
    return 0;
  }
  int err = state_timer(&g->head, due_of(g, g->count ? g->hits[0].time_ns : g->past_ns));
  state_account(&g->head);
  return err;
}

static int add(struct group *g, const struct sequence_hit *hit, const void *value, uint32_t value_bytes) {
  bool rooted = cascade_of(g)->terms.rooted;
  bool root = rooted && hit->patterns & 1;
  struct failure f = {.hit = *hit, .time_ns = root ? hit->start_ns : hit->end_ns, .value = NO_VALUE};
  if (g->matched && f.time_ns <= g->past_ns) return 0;
  int err = root ? 0 : value_take(g, value, value_bytes, &f.value);
  if (err) return err;
  err = keep(g, &f);
  if (err) value_drop(g, f.value);
  return err;
}

int cascade_take(struct cascade *c, const struct state_key *group, const struct sequence_hit *hit, const void *value,
                 uint32_t value_bytes, uint64_t now_ns) {
  struct state_group *head;
  int err = state_get(&c->groups, group, &head);
  if (!err) {
    struct group *g = (struct group *)(void *)head;
    uint64_t in_time_ns = plus(hit->start_ns, SEQUENCE_LATENESS_NS);
    err = add(g, hit, value, value_bytes);
    int later = settle(g, in_time_ns < now_ns ? in_time_ns : now_ns);
    if (!err) err = later;
  }
  state_stats(c->groups.state)->lost += err == FLUO_ENOMEM;
  state_stats(c->groups.state)->overflowed += err == FLUO_EFULL;
  return err;
}

static void on_due(struct state_group *head, uint64_t now_ns) {
  if (settle((struct group *)(void *)head, now_ns)) state_stats(head->owner->state)->lost++;
}

/* ---- as bytes ------------------------------------------------------------------------------ */

struct state_owner *cascade_groups(struct cascade *c) {
  return &c->groups;
}

static void write_failure(const struct group *g, const struct failure *f, uint64_t before_ns, struct pack *p) {
  const struct sequence_hit *hit = &f->hit;
  const struct value *value = is_root(f) ? NULL : &g->values[f->value];
  pack_uint(p, value ? value->bytes : 0);
  if (value) pack_bytes(p, value->text, value->bytes);
  pack_uint(p, f->time_ns - before_ns);
  pack_uint(p, hit->start_ns);
  pack_bytes(p, hit->trace_id, sizeof hit->trace_id);
  pack_bytes(p, hit->span_id, sizeof hit->span_id);
  pack_text(p, hit->name);
  pack_uint(p, hit->has_service);
  if (hit->has_service) pack_text(p, hit->service);
}

static void group_write(const struct state_group *head, struct pack *p) {
  const struct group *g = (const struct group *)(const void *)head;
  pack_uint(p, g->matched);
  pack_uint(p, g->past_ns);
  pack_uint(p, g->count);
  for (uint32_t i = 0; i < g->count; i++)
    write_failure(g, &g->hits[i], i ? g->hits[i - 1].time_ns : 0, p);
}

/* A value is one text behind its length, which who prints it takes for granted. NO_VALUE is a root's. */
static int read_value(struct group *g, struct unpack *u, uint32_t *out) {
  uint32_t bytes = unpack_count(u, UINT32_MAX), length;
  const uint8_t *text = unpack_bytes(u, bytes);
  *out = NO_VALUE;
  if (!bytes && cascade_of(g)->terms.rooted) return 0;
  if (!text || bytes < sizeof length) return FLUO_EMALFORMED;
  memcpy(&length, text, sizeof length);
  if (length != bytes - sizeof length) return FLUO_EMALFORMED;
  int err = value_take(g, text, bytes, out);
  return err == FLUO_EFULL ? FLUO_EMALFORMED : err;
}

static void read_hit(struct failure *f, uint64_t before_ns, struct unpack *u) {
  struct sequence_hit *hit = &f->hit;
  f->time_ns = before_ns + unpack_upto(u, UINT64_MAX - before_ns);
  hit->start_ns = unpack_uint(u);
  unpack_copy(u, hit->trace_id, sizeof hit->trace_id);
  unpack_copy(u, hit->span_id, sizeof hit->span_id);
  hit->name = unpack_text(u);
  hit->has_service = unpack_upto(u, 1);
  if (hit->has_service) hit->service = unpack_text(u);
}

static int read_failure(struct group *g, struct unpack *u) {
  struct failure f = {.value = NO_VALUE};
  const struct failure *before = g->count ? &g->hits[g->count - 1] : NULL;
  int err = read_value(g, u, &f.value);
  if (err) return err;
  read_hit(&f, before ? before->time_ns : 0, u);
  if (u->bad || (before && comes_before(&f, before))) err = FLUO_EMALFORMED;
  else err = keep(g, &f);
  if (err) value_drop(g, f.value);
  return err;
}

static int group_read(struct state_group *head, struct unpack *u) {
  struct group *g = (struct group *)(void *)head;
  g->matched = unpack_upto(u, 1);
  g->past_ns = unpack_uint(u);
  uint32_t count = unpack_count(u, CASCADE_HITS_MAX);
  int err = 0;
  while (!err && !u->bad && g->count < count) err = read_failure(g, u);
  if (!err && (u->bad || u->at != u->end)) err = FLUO_EMALFORMED;
  return err ? err : state_timer(head, due_of(g, g->count ? g->hits[0].time_ns : g->past_ns));
}

/* ---- life ---------------------------------------------------------------------------------- */

int cascade_new(struct state *state, const struct cascade_terms *terms, const struct cascade_calls *calls,
                void *owner, struct cascade **out) {
  static const struct state_ops ops = {sizeof(struct group), group_init, group_deinit, group_bytes,
                                       on_due, group_write, group_read};
  assert(terms->ns && terms->at_least);
  struct cascade *c = heap_zalloc(sizeof *c);
  if (!c) return FLUO_ENOMEM;
  state_owner_init(&c->groups, state, &ops, CASCADE_KEYS_MAX);
  c->terms = *terms;
  c->calls = *calls;
  c->owner = owner;
  *out = c;
  return 0;
}

void cascade_free(struct cascade *c) {
  if (!c) return;
  state_owner_deinit(&c->groups);
  heap_free(c);
}
