/* The windows' story.
 *
 * Good path: an event finds its group in a hash table (seeded: keys come from the network), goes into the group's series,
 * and the group becomes the most recently used one. A window with an upper comparison is judged at once, at the time of
 * the group's newest event. One with a lower comparison gets a timer: each time an event leaves, a lateness later, it
 * is judged at that time, whatever newer events have come since. `open` remembers that the comparison was true, so
 * that only the step from false to true is a crossing.
 *
 * Ways it fails: no memory for a group or an event: lost, counted. Too many groups, of one window or in bytes of all: the
 * least recently used goes, counted, and with it what it knew.
 *
 * Who frees what: a group belongs to its window and stands in four places (table, two lists, heap of timers);
 * group_free takes it out of all. */
#include "window.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "err.h"
#include "hash.h"
#include "heap.h"

enum { SLOTS_FIRST = 16, NO_TIMER = -1 };

struct link { struct link *next, *prev; };

struct group {
  struct group *next;               /* in its slot of the table */
  struct link of_window, of_all;    /* by use, the latest last */
  struct window *window;
  struct series *series;
  struct window_witness *latest;    /* by event time */
  uint32_t latest_count, latest_capacity;
  uint64_t first_ns, newest_ns;     /* observed since; time of its newest event */
  uint64_t due_ns;
  int64_t timer;                    /* where in the heap */
  size_t bytes;                     /* as counted */
  uint64_t hash;
  bool open, whole;                 /* whole: a whole window has been observed */
  uint32_t key_bytes;
  uint8_t key[];
};

struct window {
  struct windows *all;
  struct window *next, **back;
  struct window_terms terms;
  void *owner;
  struct link groups;
  uint32_t groups_count;
  uint64_t salt;
};

struct windows {
  struct window_calls calls;
  struct hash_key key;
  struct window *first;
  struct group **slots;
  uint32_t slots_count;             /* a power of two, or 0 */
  struct link groups;
  struct group **timers;            /* a heap by due_ns */
  uint32_t timers_count, timers_capacity;
  size_t bytes_max;
  uint64_t salt;
  struct windows_stats stats;
};

/* ---- lists --------------------------------------------------------------------------------- */

static void list_init(struct link *list) {
  list->next = list->prev = list;
}

static void list_remove(struct link *at) {
  at->prev->next = at->next;
  at->next->prev = at->prev;
}

static void list_append(struct link *list, struct link *at) {
  at->prev = list->prev;
  at->next = list;
  list->prev->next = at;
  list->prev = at;
}

static struct group *of_window(struct link *at) {
  return (struct group *)(void *)((char *)at - offsetof(struct group, of_window));
}

static struct group *of_all(struct link *at) {
  return (struct group *)(void *)((char *)at - offsetof(struct group, of_all));
}

/* ---- timers -------------------------------------------------------------------------------- */

static void timer_put(struct windows *ws, uint32_t at, struct group *g) {
  ws->timers[at] = g;
  g->timer = at;
}

static void timer_sift(struct windows *ws, uint32_t at) {
  struct group *g = ws->timers[at];
  for (uint32_t up; at && g->due_ns < ws->timers[up = (at - 1) / 2]->due_ns; at = up)
    timer_put(ws, at, ws->timers[up]);
  for (uint32_t child; (child = 2 * at + 1) < ws->timers_count; at = child) {
    if (child + 1 < ws->timers_count && ws->timers[child + 1]->due_ns < ws->timers[child]->due_ns) child++;
    if (ws->timers[child]->due_ns >= g->due_ns) break;
    timer_put(ws, at, ws->timers[child]);
  }
  timer_put(ws, at, g);
}

static void timer_remove(struct windows *ws, struct group *g) {
  if (g->timer == NO_TIMER) return;
  uint32_t at = (uint32_t)g->timer;
  g->timer = NO_TIMER;
  struct group *last = ws->timers[--ws->timers_count];
  if (last == g) return;
  timer_put(ws, at, last);
  timer_sift(ws, at);
}

static bool by_timer(const struct window *w) {
  return w->terms.compare == FLUO_OP_LT || w->terms.compare == FLUO_OP_LE;
}

/* The window's end that is to be judged next: that of the oldest event, or of the first whole window. */
static uint64_t next_end(const struct group *g) {
  uint64_t oldest = series_oldest_ns(g->series), ns = g->window->terms.ns;
  if (!g->whole && g->first_ns < oldest) oldest = g->first_ns;
  return oldest > UINT64_MAX - ns - WINDOW_LATENESS_NS ? UINT64_MAX : oldest + ns;
}

/* Where there is no memory for a timer the group is judged no more: the caller drops it. */
static int timer_set(struct windows *ws, struct group *g) {
  uint64_t end = next_end(g);
  if (end == UINT64_MAX) {
    timer_remove(ws, g);
    return 0;
  }
  g->due_ns = end + WINDOW_LATENESS_NS;
  if (g->timer == NO_TIMER) {
    int err = heap_grow((void **)&ws->timers, &ws->timers_capacity, ws->timers_count, sizeof *ws->timers);
    if (err) return err;
    timer_put(ws, ws->timers_count++, g);
  }
  timer_sift(ws, (uint32_t)g->timer);
  return 0;
}

/* ---- groups -------------------------------------------------------------------------------- */

static struct group **slot_of(struct windows *ws, uint64_t hash) {
  return &ws->slots[hash & (ws->slots_count - 1)];
}

static void group_free(struct group *g) {
  struct windows *ws = g->window->all;
  struct group **at = slot_of(ws, g->hash);
  while (*at != g) at = &(*at)->next;
  *at = g->next;
  list_remove(&g->of_window);
  list_remove(&g->of_all);
  timer_remove(ws, g);
  g->window->groups_count--;
  ws->stats.groups--;
  ws->stats.bytes -= g->bytes;
  series_free(g->series);
  heap_free(g->latest);
  heap_free(g);
}

static void evict(struct group *g) {
  g->window->all->stats.groups_evicted++;
  group_free(g);
}

static int slots_grow(struct windows *ws) {
  if (ws->stats.groups < ws->slots_count) return 0;
  uint32_t count = ws->slots_count ? ws->slots_count * 2 : SLOTS_FIRST;
  struct group **slots = heap_zalloc(count * sizeof *slots), **before = ws->slots;
  if (!slots) return before ? 0 : FLUO_ENOMEM; /* longer chains will do */
  uint32_t before_count = ws->slots_count;
  ws->slots = slots;
  ws->slots_count = count;
  for (uint32_t i = 0; i < before_count; i++)
    for (struct group *g = before[i], *next; g; g = next) {
      next = g->next;
      struct group **slot = slot_of(ws, g->hash);
      g->next = *slot;
      *slot = g;
    }
  heap_free(before);
  return 0;
}

static enum series_kind kind_of(uint32_t aggregate) {
  switch (aggregate) {
  case FLUO_AGGREGATE_MIN:
  case FLUO_AGGREGATE_MAX:
  case FLUO_AGGREGATE_QUANTILE: return SERIES_ORDER;
  case FLUO_AGGREGATE_DISTINCT: return SERIES_DISTINCT;
  default: return SERIES_SUMS;
  }
}

static int group_new(struct window *w, uint64_t hash, const void *key, uint32_t n, struct group **out) {
  struct windows *ws = w->all;
  if (w->groups_count == WINDOW_GROUPS_MAX) evict(of_window(w->groups.next));
  int err = slots_grow(ws);
  struct group *g = err ? NULL : heap_zalloc(sizeof *g + n);
  if (!g || series_new(kind_of(w->terms.aggregate), w->terms.ns, &g->series)) {
    heap_free(g);
    return FLUO_ENOMEM;
  }
  g->window = w;
  g->hash = hash;
  g->timer = NO_TIMER;
  g->first_ns = UINT64_MAX;
  g->key_bytes = n;
  if (n) memcpy(g->key, key, n);
  struct group **slot = slot_of(ws, hash);
  g->next = *slot;
  *slot = g;
  list_append(&w->groups, &g->of_window);
  list_append(&ws->groups, &g->of_all);
  w->groups_count++;
  ws->stats.groups++;
  *out = g;
  return 0;
}

static uint64_t hash_of(const struct window *w, const void *key, uint32_t n) {
  return hash64(&w->all->key, key, n) ^ w->salt;
}

/* The group of this key, a new one if there is none, as the one used last. */
static int group_get(struct window *w, const void *key, uint32_t n, struct group **out) {
  struct windows *ws = w->all;
  uint64_t hash = hash_of(w, key, n);
  struct group *g = ws->slots_count ? *slot_of(ws, hash) : NULL;
  while (g && (g->hash != hash || g->window != w || g->key_bytes != n || (n && memcmp(g->key, key, n)))) g = g->next;
  if (!g) return group_new(w, hash, key, n, out);
  list_remove(&g->of_window);
  list_remove(&g->of_all);
  list_append(&w->groups, &g->of_window);
  list_append(&ws->groups, &g->of_all);
  *out = g;
  return 0;
}

/* Counts what the group takes by now, and keeps the bound of all: the group itself goes last. */
static void account(struct group *g) {
  struct windows *ws = g->window->all;
  size_t bytes = sizeof *g + g->key_bytes + series_bytes(g->series) + g->latest_capacity * sizeof *g->latest;
  ws->stats.bytes += bytes - g->bytes;
  g->bytes = bytes;
  while (ws->stats.bytes > ws->bytes_max && ws->groups.next != &g->of_all) evict(of_all(ws->groups.next));
}

/* ---- witnesses ----------------------------------------------------------------------------- */

static bool same_span(const struct window_witness *a, const struct window_witness *b) {
  return !memcmp(a->span_id, b->span_id, 8) && !memcmp(a->trace_id, b->trace_id, 16);
}

static void latest_remove(struct group *g, uint32_t at) {
  g->latest_count--;
  memmove(g->latest + at, g->latest + at + 1, (g->latest_count - at) * sizeof *g->latest);
}

/* Room for one more; most groups see few spans. */
static bool latest_grow(struct group *g) {
  if (g->latest_count < g->latest_capacity) return true;
  uint32_t capacity = g->latest_capacity ? g->latest_capacity * 2 : 2;
  if (capacity > WINDOW_WITNESSES_MAX) return false;
  struct window_witness *latest = heap_realloc(g->latest, capacity * sizeof *latest);
  if (!latest) return false;
  g->latest = latest;
  g->latest_capacity = capacity;
  return true;
}

/* Keeps the spans of the latest events, each once. Without memory for one more the oldest makes room. */
static void latest_note(struct group *g, const struct window_witness *witness) {
  for (uint32_t i = g->latest_count; i-- > 0;) {
    if (!same_span(&g->latest[i], witness)) continue;
    if (g->latest[i].time_ns >= witness->time_ns) return;
    latest_remove(g, i);
    break;
  }
  uint32_t at = g->latest_count;
  while (at && g->latest[at - 1].time_ns > witness->time_ns) at--;
  if (!latest_grow(g)) {
    if (!at) return;
    latest_remove(g, 0);
    at--;
  }
  memmove(g->latest + at + 1, g->latest + at, (g->latest_count - at) * sizeof *g->latest);
  g->latest[at] = *witness;
  g->latest_count++;
}

static bool starts_before(const struct window_witness *a, const struct window_witness *b) {
  if (a->start_ns != b->start_ns) return a->start_ns < b->start_ns;
  return memcmp(a->span_id, b->span_id, 8) < 0;
}

/* Those whose event lies in (t - D, t], in start order. */
static uint32_t latest_of(const struct group *g, uint64_t t_ns, struct window_witness *out) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < g->latest_count; i++) {
    const struct window_witness *witness = &g->latest[i];
    if (witness->time_ns > t_ns || t_ns - witness->time_ns >= g->window->terms.ns) continue;
    uint32_t at = n++;
    for (; at && starts_before(witness, &out[at - 1]); at--) out[at] = out[at - 1];
    out[at] = *witness;
  }
  return n;
}

/* ---- judging ------------------------------------------------------------------------------- */

static uint64_t rank_of(double quantile, uint64_t samples) {
  double rank = ceil(quantile / 100 * (double)samples);
  return rank < 1 ? 1 : rank > (double)samples ? samples : (uint64_t)rank;
}

/* NaN: it has no value. */
static double value_of(const struct window_terms *terms, const struct series *s) {
  uint64_t samples = series_samples(s);
  switch (terms->aggregate) {
  case FLUO_AGGREGATE_COUNT: return (double)samples;
  case FLUO_AGGREGATE_RATE: return (double)samples / ((double)terms->ns / 1e9);
  case FLUO_AGGREGATE_SUM: return series_sum(s);
  case FLUO_AGGREGATE_DISTINCT: return series_distinct(s);
  default: break;
  }
  if (!samples) return NAN;
  switch (terms->aggregate) {
  case FLUO_AGGREGATE_AVG: return series_sum(s) / (double)samples;
  case FLUO_AGGREGATE_MIN: return series_least(s);
  case FLUO_AGGREGATE_MAX: return series_greatest(s);
  case FLUO_AGGREGATE_QUANTILE: return series_at_rank(s, rank_of(terms->quantile, samples));
  case FLUO_AGGREGATE_RATIO: return (double)series_numerator(s) / (double)samples;
  default: return NAN;
  }
}

static bool compares(double value, uint32_t compare, double threshold) {
  switch (compare) {
  case FLUO_OP_GT: return value > threshold;
  case FLUO_OP_GE: return value >= threshold;
  case FLUO_OP_LT: return value < threshold;
  case FLUO_OP_LE: return value <= threshold;
  default: return false;
  }
}

static void judge(struct group *g, uint64_t t_ns) {
  const struct window *w = g->window;
  if (series_samples(g->series) < w->terms.samples_min) return;
  double value = value_of(&w->terms, g->series);
  bool was_open = g->open;
  g->open = compares(value, w->terms.compare, w->terms.threshold);
  if (!g->open || was_open) return;
  struct window_witness witnesses[WINDOW_WITNESSES_MAX];
  struct window_crossing crossing = {.owner = w->owner,
                                     .group = g->key,
                                     .group_bytes = g->key_bytes,
                                     .time_ns = t_ns,
                                     .value = value,
                                     .threshold = w->terms.threshold,
                                     .estimated = series_estimated(g->series),
                                     .witnesses = witnesses,
                                     .witnesses_count = latest_of(g, t_ns, witnesses),
                                     .spans = series_spans(g->series)};
  w->all->calls.on_crossing(w->all->calls.ctx, &crossing);
}

/* ---- taking -------------------------------------------------------------------------------- */

/* Judged at its newest event, which may not be this one. */
static int take_now(struct group *g, const struct series_event *event) {
  bool silent = event->time_ns > g->newest_ns && event->time_ns - g->newest_ns >= g->window->terms.ns;
  int err = series_add(g->series, event);
  if (err) return err;
  if (silent) g->open = false;
  if (event->time_ns > g->newest_ns) g->newest_ns = event->time_ns;
  err = series_move(g->series, g->newest_ns);
  if (!err) judge(g, g->newest_ns);
  return err;
}

static int take_later(struct group *g, const struct series_event *event) {
  int err = series_add(g->series, event);
  if (err) return err;
  if (g->window->terms.grouped && event->time_ns < g->first_ns) g->first_ns = event->time_ns;
  return timer_set(g->window->all, g);
}

int window_take(struct window *w, const void *group, uint32_t group_bytes, const struct series_event *event,
                const struct window_witness *witness) {
  struct group *g;
  int err = group_get(w, group, group_bytes, &g);
  if (!err) {
    latest_note(g, witness);
    err = by_timer(w) ? take_later(g, event) : take_now(g, event);
    account(g);
  }
  w->all->stats.events_lost += err != 0;
  return err;
}

int window_observe(struct window *w, uint64_t now_ns) {
  struct group *g;
  if (!by_timer(w) || w->terms.grouped) return 0;
  int err = group_get(w, NULL, 0, &g);
  if (err || g->first_ns != UINT64_MAX) return err;
  g->first_ns = now_ns;
  account(g);
  return timer_set(w->all, g);
}

/* ---- timers run ---------------------------------------------------------------------------- */

uint64_t windows_next_due(const struct windows *ws) {
  return ws->timers_count ? ws->timers[0]->due_ns : UINT64_MAX;
}

bool windows_step(struct windows *ws, uint64_t now_ns) {
  if (windows_next_due(ws) > now_ns) return false;
  struct group *g = ws->timers[0];
  uint64_t end = next_end(g);
  int err = series_move(g->series, end);
  if (err) ws->stats.events_lost++;
  if (end - g->window->terms.ns >= g->first_ns) g->whole = true;
  if (g->whole && !err) judge(g, end);
  /* Its timer is in the heap already, so this cannot fail. */
  timer_set(ws, g);
  account(g);
  return true;
}

/* ---- life ---------------------------------------------------------------------------------- */

int windows_new(size_t bytes_max, const struct window_calls *calls, struct windows **out) {
  struct windows *ws = heap_zalloc(sizeof *ws);
  if (!ws) return FLUO_ENOMEM;
  ws->calls = *calls;
  ws->key = hash_key_random();
  ws->bytes_max = bytes_max;
  list_init(&ws->groups);
  *out = ws;
  return 0;
}

void windows_free(struct windows *ws) {
  if (!ws) return;
  while (ws->first) window_close(ws->first);
  heap_free(ws->slots);
  heap_free(ws->timers);
  heap_free(ws);
}

int window_open(struct windows *ws, const struct window_terms *terms, void *owner, struct window **out) {
  assert(terms->ns);
  struct window *w = heap_zalloc(sizeof *w);
  if (!w) return FLUO_ENOMEM;
  w->all = ws;
  w->terms = *terms;
  w->owner = owner;
  w->salt = ++ws->salt * UINT64_C(0x9e3779b97f4a7c15);
  list_init(&w->groups);
  w->next = ws->first;
  w->back = &ws->first;
  if (w->next) w->next->back = &w->next;
  ws->first = w;
  *out = w;
  return 0;
}

void window_close(struct window *w) {
  while (w->groups.next != &w->groups) group_free(of_window(w->groups.next));
  *w->back = w->next;
  if (w->next) w->next->back = w->back;
  heap_free(w);
}

void window_hand_over(struct window *w, void *owner) {
  w->owner = owner;
}

void windows_stats_get(const struct windows *ws, struct windows_stats *out) {
  *out = ws->stats;
}
