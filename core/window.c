/* The windows' story.
 *
 * Good path: an event goes into its group's series, and the group becomes the most recently used
 * one. A window with an upper comparison is judged at once, at the time of the group's newest
 * event. One with a lower comparison has a timer: each time an event leaves, a lateness later, it
 * is judged at that time, whatever newer events have come since. `open` remembers that the
 * comparison was true, so that only the step from false to true is a crossing.
 *
 * Ways it fails: no memory for a group, an event or a timer: lost, counted. What the bounds of the
 * state take away is counted there.
 *
 * Who frees what: groups are the state's; what they hold is freed in deinit. */
#include "window.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "window_limit.h"

struct window_group {
  struct state_group head;
  struct series series;
  struct latest latest;
  struct baseline *baseline;    /* NULL: it has none, or no whole window has been observed */
  uint64_t first_ns, newest_ns; /* seen since; time of its newest event */
  bool open, whole;             /* whole: a whole window has been observed */
  uint16_t widening;            /* as people had it: thousandths */
};

struct window {
  struct state_owner groups; /* the first member: a group's owner is its window */
  struct window_terms terms;
  struct window_calls calls;
  void *owner;
  bool plain;          /* judged as events come, by what they are alone: nothing to learn */
  bool ranked;         /* window_is_ranked */
  uint64_t resumed_ns; /* before it there was a time that nobody observed; 0: there was none */
};

static struct window *window_of(const struct window_group *g) {
  return (struct window *)(void *)g->head.owner;
}

static bool by_timer(const struct window *w) {
  return w->terms.compare == FLUO_OP_LT || w->terms.compare == FLUO_OP_LE;
}

/* ---- a group ------------------------------------------------------------------------------- */

static enum series_kind kind_of(const struct window *w) {
  if (w->ranked) return SERIES_LIMIT;
  switch (w->terms.aggregate) {
  case FLUO_AGGREGATE_MIN:
  case FLUO_AGGREGATE_MAX:
  case FLUO_AGGREGATE_QUANTILE: return SERIES_ORDER;
  case FLUO_AGGREGATE_DISTINCT: return SERIES_DISTINCT;
  default: return SERIES_SUMS;
  }
}

/* What its numbers are compared with, where they are one by one. */
static void set_limit(struct window_group *g) {
  const struct window_terms *terms = &window_of(g)->terms;
  double limit = terms->threshold;
  if (!window_of(g)->ranked) return;
  if (g->widening) limit = window_widened(terms, &(struct baseline_normal){0}, limit, g->widening);
  series_limit(&g->series, window_rank_limit(terms, limit), terms->aggregate == FLUO_AGGREGATE_QUANTILE);
}

static int group_init(struct state_group *head) {
  struct window_group *g = (struct window_group *)(void *)head;
  const struct window_terms *terms = &window_of(g)->terms;
  const struct window_calls *calls = &window_of(g)->calls;
  g->first_ns = UINT64_MAX;
  if (calls->widening)
    g->widening = (uint16_t)calls->widening(calls->ctx, window_of(g)->owner, state_group_key(head), head->key_bytes);
  series_init(&g->series, kind_of(window_of(g)), terms->ns);
  set_limit(g);
  return 0;
}

static void group_deinit(struct state_group *head) {
  struct window_group *g = (struct window_group *)(void *)head;
  series_deinit(&g->series);
  baseline_free(g->baseline);
  latest_deinit(&g->latest);
}

static size_t group_bytes(const struct state_group *head) {
  const struct window_group *g = (const struct window_group *)(const void *)head;
  size_t bytes = series_bytes(&g->series) + latest_bytes(&g->latest);
  return g->baseline ? bytes + heap_block(baseline_bytes(g->baseline)) : bytes;
}

/* Observed without a break since then. UINT64_MAX: not at all. */
static uint64_t since(const struct window_group *g) {
  uint64_t resumed_ns = window_of(g)->resumed_ns;
  return g->first_ns > resumed_ns ? g->first_ns : resumed_ns;
}

/* The window's end that is to be judged next: that of the oldest event, or of the first whole
 * window. */
static uint64_t next_end(const struct window_group *g) {
  uint64_t oldest = series_oldest_ns(&g->series), ns = window_of(g)->terms.ns;
  if (!g->whole && since(g) < oldest) oldest = since(g);
  return oldest > UINT64_MAX - ns - WINDOW_LATENESS_NS ? UINT64_MAX : oldest + ns;
}

static int set_timer(struct window_group *g) {
  uint64_t end = next_end(g);
  return state_timer(&g->head, end == UINT64_MAX ? end : end + WINDOW_LATENESS_NS);
}

/* ---- witnesses ----------------------------------------------------------------------------- */

/* Witnesses take what is left: from half of the state's bytes on fewer and fewer, so that groups
 * need not go for what only explains a violation. */
static uint32_t witnesses_max(const struct window_group *g) {
  uint32_t room = g->latest.capacity;
  if (g->latest.count < room || room == WINDOW_WITNESSES_MAX) return room;
  double left = 2 * state_left(g->head.owner->state);
  return left >= 1 ? WINDOW_WITNESSES_MAX : 1 + (uint32_t)((WINDOW_WITNESSES_MAX - 1) * left);
}

static bool starts_before(const struct window_witness *a, const struct window_witness *b) {
  if (a->start_ns != b->start_ns) return a->start_ns < b->start_ns;
  return memcmp(a->span_id, b->span_id, 8) < 0;
}

/* Those whose event lies in (t - D, t], in start order. */
static uint32_t latest_of(const struct window_group *g, uint64_t t_ns, struct window_witness *out) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < g->latest.count; i++) {
    struct window_witness witness = latest_get(&g->latest, i);
    if (witness.time_ns > t_ns || t_ns - witness.time_ns >= window_of(g)->terms.ns) continue;
    uint32_t at = n++;
    for (; at && starts_before(&witness, &out[at - 1]); at--) out[at] = out[at - 1];
    out[at] = witness;
  }
  return n;
}

/* ---- judging ------------------------------------------------------------------------------- */

/* A group's baseline is made when there is something to learn: most of many groups are gone by then.
 * What lies before the window as it stands cannot be sampled any more. */
static int need_baseline(struct window_group *g, uint64_t t_ns) {
  uint64_t ns = window_of(g)->terms.ns;
  if (g->baseline || !window_of(g)->terms.baseline) return 0;
  if (since(g) == UINT64_MAX || t_ns <= ns || t_ns - ns <= since(g)) return 0;
  uint64_t stands_ns = series_time_ns(&g->series);
  int err = baseline_new(ns, &g->baseline);
  return err || !stands_ns ? err : baseline_sample(g->baseline, stands_ns - 1, NAN);
}

/* The aggregate on each multiple of D / 60 before t that a whole window lies before. A long silence
 * is as many samples as the baseline can remember. */
static int learn_until(struct window_group *g, uint64_t t_ns) {
  const struct window_terms *terms = &window_of(g)->terms;
  uint64_t step = terms->ns / BASELINE_SLOTS + 1, reach = step * BASELINE_SAMPLES_MAX;
  uint64_t from_ns = since(g);
  int err = need_baseline(g, t_ns);
  for (uint64_t at; g->baseline && !err && (at = baseline_next(g->baseline)) < t_ns;) {
    bool whole = from_ns != UINT64_MAX && at >= terms->ns && at - terms->ns >= from_ns;
    if (!whole || t_ns - at > reach) {
      uint64_t from = whole                   ? t_ns - reach
                      : from_ns == UINT64_MAX ? t_ns
                                              : from_ns + terms->ns - 1;
      err = baseline_sample(g->baseline, from < t_ns ? from : t_ns, NAN);
      continue;
    }
    err = series_move(&g->series, at);
    if (!err) err = series_settle(&g->series);
    int unlearnt = baseline_sample(g->baseline, at, err ? NAN : window_value(terms, &g->series));
    if (!err) err = unlearnt;
  }
  return err;
}

/* A span of many events is counted with its first one: after that has left, as long as it is named. */
static uint64_t spans_of(const struct window_group *g, uint32_t named) {
  uint64_t counted = series_spans(&g->series);
  return counted > named ? counted : named;
}

static void tell(const struct window_group *g, uint64_t t_ns, double value, double limit, const struct baseline_normal *normal) {
  const struct window *w = window_of(g);
  struct window_witness witnesses[WINDOW_WITNESSES_MAX];
  uint32_t named = latest_of(g, t_ns, witnesses);
  struct window_crossing crossing = {.owner = w->owner,
                                     .group = state_group_key(&g->head),
                                     .group_bytes = g->head.key_bytes,
                                     .time_ns = t_ns,
                                     .value = value,
                                     .threshold = limit,
                                     .widening = g->widening,
                                     .estimated = series_estimated(&g->series),
                                     .has_baseline = w->terms.baseline,
                                     .normal = *normal,
                                     .state = g->baseline ? baseline_state(g->baseline) : 0,
                                     .witnesses = witnesses,
                                     .witnesses_count = named,
                                     .spans = spans_of(g, named)};
  w->calls.on_crossing(w->calls.ctx, &crossing);
}

static void judge(struct window_group *g, uint64_t t_ns) {
  const struct window *w = window_of(g);
  struct baseline_normal normal = {0};
  bool was_open = g->open;
  if (series_samples(&g->series) < w->terms.samples_min) return;
  if (w->ranked) {
    g->open = window_rank_compares(&w->terms, &g->series);
    if (!g->open || was_open) return; /* nobody asks for the value */
  }
  if (series_settle(&g->series)) {
    state_stats(g->head.owner->state)->lost++;
    g->open = was_open;
    return;
  }
  double value = window_value(&w->terms, &g->series);
  double limit = w->terms.threshold;
  if (w->terms.baseline) limit = window_limit(&w->terms, &g->series, g->baseline, t_ns, value, &normal);
  if (g->widening) limit = window_widened(&w->terms, &normal, limit, g->widening);
  g->open = window_compares(value, w->terms.compare, limit);
  if (g->open && g->baseline && baseline_spoil(g->baseline, t_ns))
    state_stats(g->head.owner->state)->lost++;
  bool tells = w->terms.every ? !isnan(value) && !isnan(limit) : g->open && !was_open;
  if (tells) tell(g, t_ns, value, limit, &normal);
}

/* ---- taking -------------------------------------------------------------------------------- */

/* The newest event's span has a place, or takes that of the oldest. */
static bool has_place(const struct window_group *g) {
  const struct latest *l = &g->latest;
  return l->count < l->capacity || (l->capacity && l->capacity >= witnesses_max(g));
}

/* Another one, of a group that keeps its size. */
static bool take_next(struct window_group *g, const struct series_event *event, const struct window_witness *witness) {
  uint64_t t_ns = event->time_ns, before_ns = g->newest_ns;
  if (witness->repeats || !has_place(g) || !series_push(&g->series, event)) return false;
  if (t_ns < before_ns)
    latest_note(&g->latest, witness, g->latest.capacity);
  else
    latest_push(&g->latest, witness);
  if (t_ns < g->first_ns) g->first_ns = t_ns;
  if (t_ns > before_ns) g->newest_ns = t_ns;
  if (t_ns > before_ns && t_ns - before_ns >= g->series.ns) g->open = false;
  judge(g, g->newest_ns);
  return true;
}

/* Judged at its newest event, which may not be this one. */
static int take_now(struct window_group *g, const struct series_event *event) {
  uint64_t ns = window_of(g)->terms.ns;
  bool silent = event->time_ns > g->newest_ns && event->time_ns - g->newest_ns >= ns;
  if (event->time_ns < g->first_ns) g->first_ns = event->time_ns;
  int err = window_of(g)->terms.baseline ? learn_until(g, event->time_ns) : 0;
  if (!err) err = series_add(&g->series, event);
  if (err) return err;
  if (silent) g->open = false;
  if (event->time_ns > g->newest_ns) g->newest_ns = event->time_ns;
  err = series_move(&g->series, g->newest_ns);
  if (!err) judge(g, g->newest_ns);
  return err;
}

/* Whether what the group takes may have changed since. */
struct held { bool more; uint32_t events, latest; };

static struct held held_by(const struct window_group *g) {
  return (struct held){g->series.more || g->baseline, g->series.events.capacity, g->latest.capacity};
}

static bool may_have_grown(const struct window_group *g, struct held before) {
  struct held now = held_by(g);
  return before.more || now.more || before.events != now.events || before.latest != now.latest;
}

static int take_later(struct window_group *g, const struct series_event *event) {
  int err = series_add(&g->series, event);
  if (err) return err;
  if (window_of(g)->terms.grouped && event->time_ns < g->first_ns) g->first_ns = event->time_ns;
  return set_timer(g);
}

static int take(struct window_group *g, const struct series_event *event, const struct window_witness *witness) {
  struct held before = held_by(g);
  latest_note(&g->latest, witness, witnesses_max(g));
  int err = by_timer(window_of(g)) ? take_later(g, event) : take_now(g, event);
  if (!g->head.bytes || may_have_grown(g, before)) state_account(&g->head);
  return err;
}

/* The group of a key, which was used now. */
static int group_of(struct window *w, const struct state_key *key, struct window_known *known, struct window_group **out) {
  struct state_group *head;
  if (known->group && known->gone == w->groups.gone) {
    state_use(&known->group->head);
    *out = known->group;
    return 0;
  }
  int err = state_get(&w->groups, key, &head);
  if (err) return err;
  *out = (struct window_group *)(void *)head;
  *known = (struct window_known){*out, w->groups.gone};
  return 0;
}

int window_take(struct window *w, const struct state_key *key, struct window_known *known, const struct series_event *event,
                const struct window_witness *witness) {
  struct window_group *g;
  int err = group_of(w, key, known, &g);
  if (!err && w->plain && g->head.bytes && take_next(g, event, witness)) return 0;
  if (!err) err = take(g, event, witness);
  if (err) state_stats(w->groups.state)->lost++;
  return err;
}

int window_observe(struct window *w, uint64_t now_ns) {
  struct state_group *head;
  if (!by_timer(w) || w->terms.grouped) return 0;
  struct state_key whole = {NULL, 0, state_hash(w->groups.state, NULL, 0)};
  int err = state_get(&w->groups, &whole, &head);
  struct window_group *g = (struct window_group *)(void *)head;
  if (err || g->first_ns != UINT64_MAX) return err;
  g->first_ns = now_ns;
  err = set_timer(g);
  state_account(head);
  return err;
}

static void on_due(struct state_group *head, uint64_t now_ns) {
  struct window_group *g = (struct window_group *)(void *)head;
  uint64_t end = next_end(g);
  (void)now_ns; /* it judges what was, not what is */
  int err = learn_until(g, end);
  if (!err) err = series_move(&g->series, end);
  if (end - window_of(g)->terms.ns >= since(g)) g->whole = true;
  if (!err && g->whole) judge(g, end);
  if (!err) err = set_timer(g);
  if (err) state_stats(head->owner->state)->lost++;
  state_account(head);
}

/* ---- as bytes ------------------------------------------------------------------------------ */

struct state_owner *window_groups(struct window *w) {
  return &w->groups;
}

void window_resume(struct window *w, uint64_t now_ns) {
  w->resumed_ns = now_ns;
}

static void group_write(const struct state_group *head, struct pack *p) {
  const struct window_group *g = (const struct window_group *)(const void *)head;
  pack_uint(p, g->first_ns + 1); /* most have been observed, some never */
  pack_uint(p, g->newest_ns);
  pack_uint(p, (uint64_t)(g->baseline != NULL) << 2 | (uint64_t)g->whole << 1 | g->open);
  latest_write(&g->latest, p);
  series_write(&g->series, p);
  if (g->baseline) baseline_write(g->baseline, p);
}

/* Where a time was not observed, timers begin a whole window anew; what has left meanwhile is not
 * judged on its way out. An open violation stays open until it is judged. */
static int resume(struct window_group *g) {
  const struct window *w = window_of(g);
  if (w->resumed_ns) g->whole = false;
  if (!by_timer(w)) return 0;
  int err = w->resumed_ns ? series_move(&g->series, w->resumed_ns) : 0;
  return err ? err : set_timer(g);
}

static int group_read(struct state_group *head, struct unpack *u) {
  struct window_group *g = (struct window_group *)(void *)head;
  const struct window_terms *terms = &window_of(g)->terms;
  g->first_ns = unpack_upto(u, INT64_MAX) - 1;
  g->newest_ns = unpack_upto(u, INT64_MAX);
  uint64_t marks = unpack_upto(u, terms->baseline ? 7 : 3);
  g->open = marks & 1;
  g->whole = marks >> 1 & 1;
  int err = latest_read(&g->latest, u);
  if (!err) err = series_read(&g->series, u);
  if (!err && marks >> 2) err = baseline_new(terms->ns, &g->baseline);
  if (!err && marks >> 2) err = baseline_read(g->baseline, u);
  if (!err && u->at != u->end) err = FLUO_EMALFORMED;
  return err ? err : resume(g);
}

/* ---- feedback ------------------------------------------------------------------------------ */

void window_widen(struct window *w, const struct state_key *group, uint32_t widening) {
  struct window_group *g = (struct window_group *)(void *)state_find(&w->groups, group);
  if (!g) return;
  g->widening = (uint16_t)widening;
  set_limit(g);
}

/* ---- life ---------------------------------------------------------------------------------- */

int window_new(struct state *state, const struct window_terms *terms,
               const struct window_calls *calls, void *owner, struct window **out) {
  static const struct state_ops ops = {sizeof(struct window_group), group_init,  group_deinit, group_bytes,
                                       on_due,               group_write, group_read};
  assert(terms->ns);
  struct window *w = heap_zalloc(sizeof *w);
  if (!w) return FLUO_ENOMEM;
  state_owner_init(&w->groups, state, &ops, WINDOW_GROUPS_MAX);
  w->terms = *terms;
  w->plain = !by_timer(w) && !terms->baseline;
  w->ranked = window_is_ranked(terms);
  w->calls = *calls;
  w->owner = owner;
  *out = w;
  return 0;
}

void window_free(struct window *w) {
  if (!w) return;
  state_owner_deinit(&w->groups);
  heap_free(w);
}

void window_stop(struct window *w) {
  state_owner_stop(&w->groups);
}

/* ---- who stays crossed --------------------------------------------------------------------- */

void window_each_crossed(const struct window *w, uint64_t now_ns, void (*each)(void *, void *, const void *, uint32_t),
                         void *ctx) {
  for (const struct link *at = w->groups.groups.next; at != &w->groups.groups; at = at->next) {
    const struct window_group *g =
        (const struct window_group *)(const void *)((const char *)at - offsetof(struct state_group, of_owner));
    bool silent = !by_timer(w) && now_ns > g->newest_ns && now_ns - g->newest_ns >= w->terms.ns;
    if (g->open && !silent) each(ctx, w->owner, state_group_key(&g->head), g->head.key_bytes);
  }
}
