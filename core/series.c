/* The series' story. Exact events lie in a ring, by time; the first `inside` of them are in the
 * window and in its totals, the rest wait for t. A sum of whole numbers is all that most series are;
 * what else there can be, and what the kind needs beside totals (the numbers in order, the hashes),
 * is kept apart (struct series_more), of those inside. Where it is only asked whether a rank lies above a
 * limit, how many numbers do says it, and nothing is kept in order (series_order.c). When the ring is full all of it is
 * poured into buckets (series_bucket.c), and the ring goes until the window holds fewer events again.
 *
 * Ways to fail: no memory, or no room for a bucket: the event is refused before anything is changed. Everything here
 * belongs to the series and is freed with it. */
#include "series_parts.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "err.h"
#include "events_inline.h"
#include "heap.h"

/* ---- exact events -------------------------------------------------------------------------- */

/* A sum of as many of these as a ring holds is a whole number that fits. */
static bool is_plain(const struct series *s, const struct series_event *e) {
  _Static_assert(EVENTS_MAX <= 1 << 12, "sums of plain events are exact");
  if (e->weight != 1 || e->flags & SERIES_ESTIMATED) return false;
  return s->kind == SERIES_LIMIT ||
         (s->kind == SERIES_SUMS && fabs(e->value) <= 0x1p50 && e->value == (double)(int64_t)e->value);
}

int series_need_more(struct series *s) {
  if (s->more) return 0;
  s->more = heap_zalloc(sizeof *s->more);
  if (!s->more) return FLUO_ENOMEM;
  s->more->totals = (struct totals){
      .whole = s->whole, .samples = s->inside, .numerator = s->numerator, .spans = s->spans};
  return 0;
}

/* One more in the window, or one less (sign -1). */
static void count_plain(struct series *s, const struct series_event *e, int sign) {
  if (s->kind == SERIES_SUMS) s->whole += sign * (int64_t)e->value;
  if (e->flags & SERIES_NUMERATOR) s->numerator = (uint16_t)(s->numerator + sign);
  if (e->flags & SERIES_SPAN) s->spans = (uint16_t)(s->spans + sign);
}

static bool has_keys(const struct series *s) {
  return s->kind == SERIES_ORDER || s->kind == SERIES_DISTINCT;
}

static uint64_t key_of(const struct series *s, const struct series_event *e) {
  return s->kind == SERIES_DISTINCT ? e->hash : multiset_of_number(e->value);
}

static int enter(struct series *s, const struct series_event *e) {
  if (!s->more && is_plain(s, e)) {
    count_plain(s, e, 1);
    return 0;
  }
  int err = series_need_more(s);
  if (!err && has_keys(s)) err = multiset_add(&s->more->keys, key_of(s, e));
  if (err) return err;
  totals_count(&s->more->totals, e, 1);
  if (s->more->distinct) distinct_add(s->more->distinct, e->hash);
  return 0;
}

static void leave(struct series *s, const struct series_event *e) {
  if (!s->more) {
    count_plain(s, e, -1);
    return;
  }
  if (has_keys(s)) multiset_remove(&s->more->keys, key_of(s, e));
  totals_count(&s->more->totals, e, -1);
  if (s->more->distinct) s->more->stale = true; /* the sketch of the others is of buckets alone */
}

static int insert(struct series *s, const struct series_event *e) {
  bool inside = e->time_ns <= s->t_ns;
  uint32_t place = events_until(&s->events, e->time_ns);
  int err = events_insert(&s->events, place, e);
  if (err || !inside) return err;
  err = enter(s, e);
  if (err)
    events_remove(&s->events, place);
  else
    s->inside++;
  return err;
}

/* All exact events into buckets, the newest first, each out of the ring as soon as it is in one:
 * where memory ends half-way, nothing is lost or double. */
static int pour(struct series *s) {
  while (s->events.count) {
    struct series_event e = events_get(&s->events, s->events.count - 1u);
    int err = series_bucket_add(s, &e);
    if (err) return err;
    if (s->inside == s->events.count) {
      leave(s, &e);
      s->inside--;
    }
    events_drop_last(&s->events);
  }
  events_deinit(&s->events);
  return 0;
}

/* ---- outside ------------------------------------------------------------------------------- */

void series_init(struct series *s, enum series_kind kind, uint64_t ns) {
  *s = (struct series){.kind = (uint8_t)kind, .ns = ns, .limit = INFINITY, .events.hashes = kind == SERIES_DISTINCT};
}

void series_deinit(struct series *s) {
  struct series_more *m = s->more;
  events_deinit(&s->events);
  if (!m) return;
  series_buckets_deinit(m);
  multiset_deinit(&m->keys);
  heap_free(m);
  s->more = NULL;
}

/* Up to when events have left. */
static uint64_t left_ns(const struct series *s) {
  return s->t_ns > s->ns ? s->t_ns - s->ns : 0;
}

int series_add(struct series *s, const struct series_event *event) {
  assert(!isnan(event->value) && event->weight);
  if (s->t_ns >= s->ns && event->time_ns <= left_ns(s)) return 0;
  int err = 0;
  if (s->events.count == EVENTS_MAX) err = pour(s);
  if (err) return err;
  struct series_event e = *event;
  if (s->kind == SERIES_LIMIT) series_mark(&e, e.value > s->limit);
  return series_has_bucket(s, e.time_ns) ? series_bucket_add(s, &e) : insert(s, &e);
}

/* Those that leave first give back what they added. */
static void leave_plain(struct series *s, uint64_t until_ns) {
  struct events *r = &s->events;
  while (r->count && events_time(r, 0) <= until_ns) {
    struct series_event e = events_get(r, 0);
    count_plain(s, &e, -1);
    events_drop_first(r);
    s->inside--;
  }
}

static void events_leave(struct series *s, uint64_t until_ns) {
  while (s->events.count && events_time(&s->events, 0) <= until_ns) {
    if (s->inside) {
      struct series_event e = events_get(&s->events, 0);
      leave(s, &e);
      s->inside--;
    }
    events_drop_first(&s->events);
  }
}

/* Where it belongs, among the last ones mostly. */
static uint32_t place_of(const struct events *r, uint64_t time_ns) {
  uint32_t place = r->count;
  for (uint32_t few = 8; place && few; few--, place--)
    if (events_time(r, place - 1) <= time_ns) return place;
  return events_until(r, time_ns);
}

bool series_push(struct series *s, const struct series_event *event) {
  struct events *r = &s->events;
  if (s->t_ns >= s->ns && event->time_ns <= left_ns(s)) return false;
  if (s->more && s->more->buckets_count) return !r->count && series_bucket_push(s, event);
  if (s->inside != r->count || r->count == EVENTS_MAX || has_keys(s) || (!s->more && !is_plain(s, event))) return false;
  if (!events_has_room(r, event)) return false;
  struct series_event e = *event;
  if (s->kind == SERIES_LIMIT) series_mark(&e, e.value > s->limit);
  if (s->more)
    totals_count(&s->more->totals, &e, 1);
  else
    count_plain(s, &e, 1);
  s->inside++;
  if (e.time_ns < s->t_ns) return !events_insert(r, place_of(r, e.time_ns), &e);
  events_push(r, &e);
  s->t_ns = e.time_ns;
  if (s->t_ns < s->ns) return true;
  if (s->more)
    events_leave(s, left_ns(s));
  else
    leave_plain(s, left_ns(s));
  return true;
}

/* What is newer than the window was, as far as it is not newer than it is. */
static int events_enter(struct series *s) {
  while (s->inside < s->events.count && events_time(&s->events, s->inside) <= s->t_ns) {
    struct series_event e = events_get(&s->events, s->inside);
    int err = enter(s, &e);
    if (err) return err;
    s->inside++;
  }
  return 0;
}

/* Nothing leaves, nothing enters, and there is nothing but events: what most moves come to. */
static bool stays(const struct series *s) {
  const struct events *r = &s->events;
  return !s->more && s->inside == r->count && (!r->count || events_time(r, 0) > left_ns(s));
}

int series_move(struct series *s, uint64_t t_ns) {
  struct series_more *m = s->more;
  if (t_ns > s->t_ns) s->t_ns = t_ns;
  if (stays(s)) return 0;
  if (s->t_ns >= s->ns) events_leave(s, left_ns(s));
  if (m) {
    if (s->t_ns >= s->ns) series_buckets_leave(s, left_ns(s));
    if (!m->totals.samples) m->totals = (struct totals){0}; /* nothing is left that could be off */
    series_buckets_enter(s);
  }
  return events_enter(s);
}

uint64_t series_time_ns(const struct series *s) {
  return s->t_ns;
}

uint64_t series_samples(const struct series *s) {
  return s->more ? s->more->totals.samples : s->inside;
}

uint64_t series_numerator(const struct series *s) {
  return s->more ? s->more->totals.numerator : s->numerator;
}

uint64_t series_spans(const struct series *s) {
  return s->more ? s->more->totals.spans : s->spans;
}

bool series_estimated(const struct series *s) {
  const struct series_more *m = s->more;
  if (!m) return false;
  if (s->kind == SERIES_DISTINCT) return m->estimates || m->totals.estimated;
  return m->totals.estimated || (m->buckets_count && s->kind != SERIES_SUMS);
}

double series_sum(const struct series *s) {
  if (!s->more) return (double)s->whole;
  const struct totals *t = &s->more->totals;
  if (t->plus_infinite && t->minus_infinite) return NAN;
  if (t->plus_infinite || t->minus_infinite) return t->plus_infinite ? INFINITY : -INFINITY;
  return (double)t->whole + (t->fraction + t->lost);
}

double series_distinct(const struct series *s) {
  const struct series_more *m = s->more;
  if (!m) return 0;
  return m->estimates ? round(distinct_count(m->distinct)) : m->keys.different;
}

uint64_t series_oldest_ns(const struct series *s) {
  const struct series_more *m = s->more;
  uint64_t oldest = s->events.count ? events_time(&s->events, 0) : UINT64_MAX;
  if (m && m->buckets_count && m->buckets[0].newest_ns < oldest) oldest = m->buckets[0].newest_ns;
  return oldest;
}

size_t series_bytes(const struct series *s) {
  const struct series_more *m = s->more;
  size_t bytes = events_bytes(&s->events);
  if (!m) return bytes;
  bytes += heap_block(sizeof *m) + heap_block(m->keys.capacity * sizeof *m->keys.keys) +
           heap_block(m->buckets_capacity * sizeof *m->buckets) + sketch_bytes(&m->sketch) + m->buckets_bytes;
  return m->distinct ? bytes + heap_block(sizeof *m->distinct) : bytes;
}
