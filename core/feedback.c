/* Feedback.
 *
 * Good path: a mark's group is read into the key that windows know it by, and found by that and the rule's name; the mark
 * takes its place behind those before it, and what they all amount to by now is reckoned anew: a fold over sixteen marks
 * at the most, so nothing is carried along that could not be reckoned again. A group that amounts to nothing is let go.
 *
 * Ways it fails: a group's text that makes no sense, or no memory: the mark is not taken, and the caller is told. Groups
 * past the bounds go, the one first that was marked longest ago: it is said to be widened no more, and counted.
 *
 * Who frees what: groups are the state's, with their texts; all go in feedback_free. */
#include "feedback.h"

#include <math.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "json_text.h"
#include "limits.h"
#include "metrics.h"
#include "state.h"
#include "violation.h"

const char *const feedback_verdict_names[FEEDBACK_VERDICTS] = {"wrong", "right", "revoked"};

enum { VIOLATION_DIGITS = 32 };

struct mark {
  char violation[VIOLATION_DIGITS];
  bool right;
  uint64_t at_ns;
};

/* Its key: the length of the rule's name, the name, and the key that windows know. */
struct group {
  struct state_group head;
  uint32_t count, widening, given; /* given: without any mark */
  struct text json; /* owned */
  struct mark marks[FEEDBACK_MARKS_MAX]; /* the oldest first */
};

struct feedback {
  struct state_owner groups; /* the first member: a group's owner is its feedback */
  struct state *state;
  struct feedback_calls calls;
  struct buffer key;         /* of the group at hand */
  uint64_t again_ns, taken[FEEDBACK_VERDICTS], refused, lost;
  bool ends;
};

/* ---- a group ----------------------------------------------------------------------------------- */

static struct feedback *feedback_of(const struct group *g) {
  return (struct feedback *)(void *)g->head.owner;
}

static struct text rule_of(const struct group *g) {
  const uint8_t *key = state_group_key(&g->head);
  struct text rule = {.p = (const char *)key + sizeof rule.n};
  memcpy(&rule.n, key, sizeof rule.n);
  return rule;
}

static void tell(struct group *g, uint32_t widening) {
  struct feedback *f = feedback_of(g);
  struct text rule = rule_of(g);
  uint32_t before = (uint32_t)sizeof rule.n + rule.n;
  if (g->widening == widening || f->ends) return;
  g->widening = widening;
  if (f->calls.on_change) f->calls.on_change(f->calls.ctx, rule.p, rule.n, rule.p + rule.n, g->head.key_bytes - before, widening);
}

static int group_init(struct state_group *head) {
  (void)head;
  return 0;
}

static void group_deinit(struct state_group *head) {
  struct group *g = (struct group *)(void *)head;
  tell(g, 0);
  heap_free((void *)(uintptr_t)g->json.p);
}

static size_t group_bytes(const struct state_group *head) {
  const struct group *g = (const struct group *)(const void *)head;
  return heap_block(g->json.n);
}

/* ---- what marks amount to ---------------------------------------------------------------------- */

static double halved(double steps, uint64_t from_ns, uint64_t to_ns) {
  if (steps <= 0 || to_ns <= from_ns) return steps;
  return steps * exp2(-(double)(to_ns - from_ns) / (double)FEEDBACK_HALF_LIFE_NS);
}

static uint32_t amount(const struct group *g, uint64_t now_ns) {
  double steps = 0;
  if (!g->count) return g->given;
  uint64_t at_ns = 0;
  for (uint32_t i = 0; i < g->count; i++) {
    const struct mark *m = &g->marks[i];
    steps = halved(steps, at_ns, m->at_ns) + (m->right ? -1 : 1);
    steps = fmax(0, fmin(FEEDBACK_STEPS_MAX, steps));
    at_ns = m->at_ns;
  }
  return (uint32_t)lround(FEEDBACK_STEP * halved(steps, at_ns, now_ns));
}

static void forget_mark(struct group *g, uint32_t at) {
  memmove(&g->marks[at], &g->marks[at + 1], (--g->count - at) * sizeof *g->marks);
}

static void put_mark(struct group *g, const struct feedback_mark *mark) {
  for (uint32_t i = g->count; i-- > 0;)
    if (!memcmp(g->marks[i].violation, mark->violation, sizeof g->marks[i].violation)) forget_mark(g, i);
  if (g->count == FEEDBACK_MARKS_MAX) forget_mark(g, 0);
  struct mark *m = &g->marks[g->count++];
  *m = (struct mark){.right = mark->verdict == FEEDBACK_RIGHT, .at_ns = mark->at_ns};
  memcpy(m->violation, mark->violation, sizeof m->violation);
}

/* ---- keys -------------------------------------------------------------------------------------- */

static void begin_key(struct buffer *key, struct text rule) {
  buffer_clear(key);
  buffer_add(key, &rule.n, sizeof rule.n);
  buffer_add(key, rule.p, rule.n);
}

/* A member's text, behind its length. */
static bool add_member(struct json *j, struct buffer *key) {
  struct json_slice name;
  uint32_t n = 0;
  size_t at = key->len;
  if (!json_short(j, &name) || !json_expect(j, ':', "a colon")) return false;
  if (buffer_add(key, &n, sizeof n) || !json_string(j, key)) return false;
  n = (uint32_t)(key->len - at - sizeof n);
  memcpy(key->data + at, &n, sizeof n);
  return true;
}

/* The values stand in the object as `by` has them: violations are printed that way. */
static int read_group(struct buffer *key, struct text group) {
  struct json j;
  json_init(&j, group.p, group.n);
  bool sound = json_expect(&j, '{', "an object");
  if (sound && !json_take(&j, '}')) {
    do sound = add_member(&j, key);
    while (sound && json_take(&j, ','));
    sound = sound && json_expect(&j, '}', "the end of the object");
  }
  sound = sound && json_peek(&j) < 0;
  json_deinit(&j);
  return key->err ? key->err : sound ? 0 : FLUO_EMALFORMED;
}

static struct state_key key_of(const struct feedback *f) {
  return (struct state_key){f->key.data, (uint32_t)f->key.len, state_hash(f->state, f->key.data, (uint32_t)f->key.len)};
}

/* ---- taking ------------------------------------------------------------------------------------ */

static int get_group(struct feedback *f, const struct state_key *key, struct text json, struct group **out) {
  struct state_group *head;
  int err = state_get(&f->groups, key, &head);
  struct group *g = (struct group *)(void *)head;
  if (err) return err;
  *out = g;
  if (g->json.p) return 0;
  char *copy = heap_alloc(json.n + 1);
  if (!copy) {
    state_drop(head);
    return FLUO_ENOMEM;
  }
  memcpy(copy, json.p, json.n);
  g->json = (struct text){copy, json.n};
  return 0;
}

/* Of a group that nothing was said of, being right and being revoked is nothing either. */
static int take(struct feedback *f, const struct feedback_mark *mark, uint32_t *widening) {
  struct state_key key = key_of(f);
  struct state_group *known = state_find(&f->groups, &key);
  struct group *g;
  if (mark->verdict == FEEDBACK_REVOKED && known) state_drop(known);
  if (mark->verdict == FEEDBACK_REVOKED || (!known && mark->verdict == FEEDBACK_RIGHT)) return 0;
  int err = get_group(f, &key, mark->group, &g);
  if (err) return err;
  put_mark(g, mark);
  *widening = amount(g, mark->at_ns);
  tell(g, *widening);
  state_account(&g->head);
  if (!*widening) state_drop(&g->head);
  return 0;
}

int feedback_take(struct feedback *f, const struct feedback_mark *mark, uint32_t *widening) {
  bool sound = strlen(mark->violation) == VIOLATION_DIGITS && mark->verdict < FEEDBACK_VERDICTS;
  int err = sound ? 0 : FLUO_EMALFORMED;
  *widening = 0;
  begin_key(&f->key, mark->rule);
  if (!err) err = read_group(&f->key, mark->group);
  if (!err) err = take(f, mark, widening);
  if (err) f->refused++;
  else f->taken[mark->verdict]++;
  return err;
}

int feedback_give(struct feedback *f, struct text rule, struct text group, uint32_t widening) {
  struct group *g;
  begin_key(&f->key, rule);
  int err = read_group(&f->key, group);
  struct state_key key = key_of(f);
  if (!err) err = get_group(f, &key, group, &g);
  if (err) return err;
  g->count = 0;
  g->given = widening;
  tell(g, widening);
  state_account(&g->head);
  return 0;
}

uint32_t feedback_widening(struct feedback *f, struct text rule, const void *key, uint32_t n) {
  if (!f->groups.groups_count) return 0;
  begin_key(&f->key, rule);
  if (buffer_add(&f->key, key, n)) {
    f->lost++;
    return 0;
  }
  struct state_key at = key_of(f);
  const struct group *g = (const struct group *)(const void *)state_find(&f->groups, &at);
  return g ? g->widening : 0;
}

void feedback_step(struct feedback *f, uint64_t now_ns) {
  if (now_ns - f->again_ns < FEEDBACK_AGAIN_NS) return;
  f->again_ns = now_ns;
  for (struct link *at = f->groups.groups.next, *next; at != &f->groups.groups; at = next) {
    struct group *g = (struct group *)(void *)((char *)at - offsetof(struct state_group, of_owner));
    next = at->next;
    tell(g, amount(g, now_ns));
    if (!g->widening) state_drop(&g->head);
  }
}

/* ---- life -------------------------------------------------------------------------------------- */

int feedback_new(const struct feedback_calls *calls, struct feedback **out) {
  static const struct state_ops ops = {sizeof(struct group), group_init, group_deinit, group_bytes, NULL, NULL, NULL};
  struct feedback *f = heap_zalloc(sizeof *f);
  if (!f) return FLUO_ENOMEM;
  if (state_new(LIMIT_FEEDBACK_BYTES, &f->state)) {
    heap_free(f);
    return FLUO_ENOMEM;
  }
  f->calls = *calls;
  buffer_init(&f->key, LIMIT_INCIDENT_KEY_BYTES);
  state_owner_init(&f->groups, f->state, &ops, LIMIT_FEEDBACK_GROUPS);
  *out = f;
  return 0;
}

void feedback_free(struct feedback *f) {
  if (!f) return;
  f->ends = true;
  state_owner_deinit(&f->groups);
  state_free(f->state);
  buffer_deinit(&f->key);
  heap_free(f);
}

/* ---- what there is ----------------------------------------------------------------------------- */

static double factor(const struct group *g) {
  return (1000 + g->widening) / 1000.0;
}

static void write_group(const struct group *g, struct buffer *out) {
  char at[32];
  struct text rule = rule_of(g);
  uint32_t right = 0;
  for (uint32_t i = 0; i < g->count; i++) right += g->marks[i].right;
  time_text(g->count ? g->marks[g->count - 1].at_ns : 0, at);
  buffer_text(out, "{\"rule\":");
  buffer_json(out, rule.p, rule.n);
  buffer_text(out, ",\"group\":");
  buffer_add(out, g->json.p, g->json.n);
  buffer_text(out, ",\"widened\":");
  buffer_number(out, factor(g));
  buffer_printf(out, ",\"wrong\":%u,\"right\":%u,\"marked_at\":\"%s\"}", g->count - right, right, at);
}

/* The last marked first; NULL: that was all. */
static const struct group *before(const struct feedback *f, const struct group *g) {
  const struct link *at = g ? g->head.of_owner.prev : f->groups.groups.prev;
  if (at == &f->groups.groups) return NULL;
  return (const struct group *)(const void *)((const char *)at - offsetof(struct state_group, of_owner));
}

int feedback_json(const struct feedback *f, struct text rule, struct buffer *out) {
  bool first = true;
  buffer_text(out, "[");
  for (const struct group *g = NULL; (g = before(f, g));) {
    if (rule.n && !text_same(rule, rule_of(g))) continue;
    if (!first) buffer_text(out, ",");
    first = false;
    write_group(g, out);
  }
  return buffer_text(out, "]");
}

void feedback_write(const struct feedback *f, struct buffer *out) {
  static const char marks[] = "fluo_feedback_marks_total";
  double widest = 1;
  for (const struct group *g = NULL; (g = before(f, g));) widest = fmax(widest, factor(g));
  metrics_gauge(out, "fluo_feedback_widened_groups", "Groups of windows whose limit is widened by feedback.",
                f->groups.groups_count);
  metrics_gauge(out, "fluo_feedback_widest_factor", "By how much the distance to a limit is widened where it is most, 1 to 2.",
                widest);
  metrics_family(out, marks, METRICS_COUNTER, "Marks of violations of windows that were taken, those of before the start included.");
  for (int i = 0; i < FEEDBACK_VERDICTS; i++)
    metrics_uint(out, marks, metrics_labels("verdict", feedback_verdict_names[i]), f->taken[i]);
  metrics_counter(out, "fluo_feedback_refused_marks_total", "Marks that made no sense or found no memory.", f->refused);
  metrics_counter(out, "fluo_feedback_evicted_groups_total", "Widened groups that went because others were marked later.",
                  state_stats(f->state)->groups_evicted);
  metrics_counter(out, "fluo_feedback_lost_lookups_total", "Groups that began without their widening for want of memory.",
                  f->lost);
}
