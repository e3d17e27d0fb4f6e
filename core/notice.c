/* Notices: receivers' groups and their clocks.
 *
 * Good path: an incident that opens joins one group of each of its receivers, which is made with the first and gets a
 * timer, group_wait away. When it runs out the group is looked at: each member is firing, resolved, left out (something
 * keeps people from being told), or gone (resolved, and the receiver never knew). If that differs from what the receiver
 * knows, or a repeat is due, on_notice is called, and what it was told is noted in the members. The timer then runs for
 * group_interval; a group that is empty when it runs out is dropped.
 *
 * Ways it fails: no memory for a group: the incident tries again in a second (incident.c). on_notice has none: nothing is
 * noted, so the next look says it. A member is its incident's, and leaves its group before it is freed. */
#include "notice.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "incident_parts.h"
#include "limits.h"

const char *const notice_event_names[NOTICE_EVENTS] = {"opened",   "updated",  "repeated",
                                                       "resolved", "reopened", "silence-ended"};

/* ---- receivers ----------------------------------------------------------------------------------- */

static const char *const group_by_default[] = {"rule", "group"};
static const struct notice_options defaults = {.group_by = group_by_default,
                                               .group_by_count = 2,
                                               .group_wait_ns = NOTICE_GROUP_WAIT_NS,
                                               .group_interval_ns = NOTICE_GROUP_INTERVAL_NS,
                                               .repeat_interval_ns = NOTICE_REPEAT_INTERVAL_NS};

void notice_options_free(struct notice_options *o) {
  char **names = (char **)(uintptr_t)o->group_by;
  for (uint32_t k = 0; k < o->group_by_count; k++) heap_free(names[k]);
  heap_free(names);
  *o = (struct notice_options){0};
}

int notice_copy_options(const struct notice_options *from, struct notice_options *out) {
  if (!from->group_interval_ns) from = &defaults;
  char **names = heap_zalloc(from->group_by_count * sizeof *names);
  *out = *from;
  out->group_by = (const char *const *)(void *)names;
  out->group_by_count = 0;
  if (!names) return FLUO_ENOMEM;
  for (uint32_t k = 0; k < from->group_by_count; k++) {
    if (!(names[k] = heap_strdup(from->group_by[k]))) {
      notice_options_free(out);
      return FLUO_ENOMEM;
    }
    out->group_by_count++;
  }
  return 0;
}

uint32_t notice_receiver(struct incidents *i, struct text name) {
  for (uint32_t k = 0; k < i->receivers_count; k++)
    if (text_same(text_of(i->receivers[k].name), name)) return k;
  if (i->receivers_count == LIMIT_RECEIVERS ||
      heap_grow((void **)&i->receivers, &i->receivers_capacity, i->receivers_count, sizeof *i->receivers))
    return UINT32_MAX;
  struct receiver *r = &i->receivers[i->receivers_count];
  if (!(r->name = heap_alloc((size_t)name.n + 1))) return UINT32_MAX;
  memcpy(r->name, name.p, name.n);
  r->name[name.n] = '\0';
  if (notice_copy_options(&i->notice, &r->notice)) {
    heap_free(r->name);
    return UINT32_MAX;
  }
  return i->receivers_count++;
}

/* ---- joining and leaving ------------------------------------------------------------------------- */

static void add_label(struct buffer *key, const struct incident *inc, const char *name) {
  struct matchable m = incident_matchable(inc);
  if (strcmp(name, "group") != 0)
    labels_add(key, text_of(name), matchable_get(&m, text_of(name)));
  else if (inc->group.n)
    buffer_add(key, inc->group.p, inc->group.n);
}

static int group_of(const struct notice_member *m, struct notice_group **out) {
  struct incidents *i = incident_owner(m->incident);
  const struct notice_options *o = &i->receivers[m->receiver].notice;
  uint32_t receiver = m->receiver;
  struct state_group *head = NULL;
  struct buffer key;
  buffer_init(&key, LIMIT_INCIDENT_KEY_BYTES);
  buffer_add(&key, &receiver, sizeof receiver);
  for (uint32_t k = 0; k < o->group_by_count; k++) add_label(&key, m->incident, o->group_by[k]);
  struct state_key it = incident_key(i->clocks, key.data, key.len);
  int err = key.err ? key.err : state_get(&i->groups, &it, &head);
  buffer_deinit(&key);
  *out = (struct notice_group *)(void *)head;
  return err;
}

static int enter(struct notice_member *m, uint64_t first_look_ns) {
  struct notice_group *g;
  int err = group_of(m, &g);
  if (!err && !g->head.timer && (err = state_timer(&g->head, first_look_ns))) state_drop(&g->head);
  if (err) return err;
  g->receiver = m->receiver;
  m->group = g;
  link_append(&g->members, &m->link);
  if (!m->incident->members_joined++) link_remove(&m->incident->link); /* nobody's to take */
  return 0;
}

int notice_join(struct incident *inc, bool reopened, uint64_t now_ns) {
  struct incidents *i = incident_owner(inc);
  int err = 0;
  for (uint32_t k = 0; k < inc->members_count; k++) {
    struct notice_member *m = &inc->members[k];
    if (m->group) continue; /* it resolved a moment ago, and the receiver does not know */
    int failed = enter(m, incident_later(now_ns, i->receivers[m->receiver].notice.group_wait_ns));
    m->reopened = reopened;
    if (failed) err = failed;
  }
  return err;
}

void notice_leave(struct notice_member *m) {
  struct incident *inc = m->incident;
  if (!m->group) return;
  m->group = NULL;
  m->told = NOTICE_TOLD_NOTHING;
  m->silenced = m->reopened = false;
  link_remove(&m->link);
  if (--inc->members_joined || inc->status != INCIDENT_RESOLVED) return;
  link_append(&incident_owner(inc)->idle, &inc->link);
  incident_arm(inc);
}

/* An interval is one across a restart, too; whoever was not told is told as soon as may be. */
int notice_rejoin(struct notice_member *m, uint64_t told_ns, const char *carried, uint32_t notices, uint64_t now_ns) {
  const struct incidents *i = incident_owner(m->incident);
  const struct notice_options *o = &i->receivers[m->receiver].notice;
  uint64_t wait = told_ns ? incident_later(told_ns, o->group_interval_ns)
                          : incident_later(m->incident->opened_ns, o->group_wait_ns);
  int err = enter(m, wait > now_ns ? wait : now_ns);
  if (err || told_ns < m->group->told_ns || !told_ns) return err;
  m->group->told_ns = told_ns;
  m->group->notices = notices;
  snprintf(m->group->carried, sizeof m->group->carried, "%s", carried);
  return state_timer(&m->group->head, wait > now_ns ? wait : now_ns);
}

/* ---- looking ------------------------------------------------------------------------------------- */

enum { LOOK_LEFT_OUT, LOOK_FIRING, LOOK_RESOLVED };

struct look {
  const struct incident *shown[LIMIT_NOTICE_INCIDENTS];
  uint32_t shown_count, firing, resolved, unacknowledged;
  uint32_t fresh, fresh_reopened, fresh_unsilenced; /* firing, and the receiver does not know, or not any more */
  const struct incident *newest, *newest_fresh;
};

static struct notice_member *of_link(struct link *at) {
  return (struct notice_member *)(void *)((char *)at - offsetof(struct notice_member, link));
}

static const struct incident *newer(const struct incident *a, const struct incident *b) {
  return a && a->last_seen_ns >= b->last_seen_ns ? a : b;
}

static void look_at(struct incidents *i, struct notice_member *m, uint64_t now_ns, struct look *l) {
  const struct incident *inc = m->incident;
  const char *why = incidents_muted(i, inc, now_ns);
  bool firing = incident_burns(inc);
  m->look = LOOK_LEFT_OUT;
  if (why) {
    i->stats.silenced += *why == 's';
    i->stats.inhibited += *why == 'i';
    i->stats.muted += *why == 'm';
    m->silenced |= firing && *why == 's';
    return;
  }
  m->look = firing ? LOOK_FIRING : LOOK_RESOLVED;
  l->newest = newer(l->newest, inc);
  l->firing += firing;
  l->resolved += !firing;
  l->unacknowledged += inc->status == INCIDENT_OPEN;
  if (!firing || (m->told == NOTICE_TOLD_FIRING && !m->silenced)) return;
  l->fresh++;
  l->fresh_reopened += m->reopened;
  l->fresh_unsilenced += m->silenced;
  l->newest_fresh = newer(l->newest_fresh, inc);
}

/* Whom there is nothing to tell of: the receiver never knew of it, or wants no resolves. */
static bool is_gone(const struct incidents *i, const struct notice_member *m) {
  bool unsaid = i->receivers[m->receiver].notice.resolved_unsaid;
  return !incident_burns(m->incident) && (m->told == NOTICE_TOLD_NOTHING || unsaid);
}

static void leave_and_say(struct notice_member *m, uint64_t now_ns) {
  struct incident *inc = m->incident;
  notice_leave(m);
  incident_say(inc, INCIDENT_NOTIFIED, now_ns);
}

static void look_at_all(struct incidents *i, struct notice_group *g, uint64_t now_ns, struct look *l) {
  for (struct link *at = g->members.prev, *next; at != &g->members; at = next) {
    next = at->prev;
    if (is_gone(i, of_link(at)))
      leave_and_say(of_link(at), now_ns);
    else
      look_at(i, of_link(at), now_ns, l);
  }
}

static void show(const struct notice_group *g, uint8_t which, struct look *l) {
  for (struct link *at = g->members.prev; at != &g->members; at = at->prev)
    if (of_link(at)->look == which && l->shown_count < LIMIT_NOTICE_INCIDENTS)
      l->shown[l->shown_count++] = of_link(at)->incident;
}

/* Whether there is something to say, and what it is. */
static bool event_of(const struct look *l, bool repeats, enum notice_event *out) {
  if (!l->firing && l->resolved)
    *out = NOTICE_RESOLVED;
  else if (l->fresh && l->fresh_unsilenced == l->fresh)
    *out = NOTICE_SILENCE_ENDED;
  else if (l->resolved || (l->fresh && l->fresh < l->firing))
    *out = NOTICE_UPDATED;
  else if (l->fresh)
    *out = l->fresh_reopened == l->fresh ? NOTICE_REOPENED : NOTICE_OPENED;
  else if (l->unacknowledged && repeats)
    *out = NOTICE_REPEATED;
  else
    return false;
  return true;
}

/* See notice.h. A number where one violation may be carried by several notices. */
static void name_it(struct notice *n, const struct notice_group *g, const struct look *l) {
  const struct incident *from = l->newest_fresh ? l->newest_fresh : l->newest;
  const char *carried = from->exemplars[0].id;
  if (l->newest_fresh && strcmp(carried, g->carried) != 0)
    snprintf(n->id, sizeof n->id, "%s", carried);
  else if (n->event == NOTICE_RESOLVED)
    snprintf(n->id, sizeof n->id, "%s.resolved", carried);
  else
    snprintf(n->id, sizeof n->id, "%s.%s-%u", carried, n->event == NOTICE_REPEATED ? "repeat" : notice_event_names[n->event],
             g->notices);
}

static void note_told(struct notice_group *g, uint64_t now_ns) {
  for (struct link *at = g->members.next, *next; at != &g->members; at = next) {
    struct notice_member *m = of_link(at);
    next = at->next;
    if (m->look == LOOK_RESOLVED) {
      leave_and_say(m, now_ns);
    } else if (m->look == LOOK_FIRING) {
      m->told = NOTICE_TOLD_FIRING;
      m->silenced = m->reopened = false;
      incident_say(m->incident, INCIDENT_NOTIFIED, now_ns);
    }
  }
}

static void tell(struct incidents *i, struct notice_group *g, struct look *l, enum notice_event event, uint64_t now_ns) {
  show(g, LOOK_FIRING, l);
  show(g, LOOK_RESOLVED, l);
  struct notice n = {.receiver = text_of(i->receivers[g->receiver].name),
                     .event = event,
                     .resolved = !l->firing,
                     .at_ns = now_ns,
                     .group = {state_group_key(&g->head) + 4, g->head.key_bytes - 4},
                     .incidents = l->shown,
                     .incidents_count = l->shown_count,
                     .incidents_total = l->firing + l->resolved};
  name_it(&n, g, l);
  if (i->calls.on_notice && !i->calls.on_notice(i->calls.ctx, &n)) {
    i->stats.notices_lost++;
    return;
  }
  i->stats.notices++;
  g->told_ns = now_ns;
  g->notices++;
  snprintf(g->carried, sizeof g->carried, "%.32s", n.id);
  note_told(g, now_ns);
}

static void on_due(struct state_group *head, uint64_t now_ns) {
  struct notice_group *g = (struct notice_group *)(void *)head;
  struct incidents *i = (struct incidents *)(void *)((char *)head->owner - offsetof(struct incidents, groups));
  const struct notice_options *o = &i->receivers[g->receiver].notice;
  struct look l = {.shown_count = 0};
  enum notice_event event;
  if (link_alone(&g->members)) {
    state_drop(head);
    return;
  }
  int err = state_timer(head, incident_later(now_ns, o->group_interval_ns));
  assert(!err); /* its own place has just become free */
  (void)err;
  look_at_all(i, g, now_ns, &l);
  bool repeats = g->told_ns && now_ns - g->told_ns >= o->repeat_interval_ns;
  if (event_of(&l, repeats, &event)) tell(i, g, &l, event, now_ns);
}

static int on_init(struct state_group *head) {
  link_init(&((struct notice_group *)(void *)head)->members);
  return 0;
}

static void on_deinit(struct state_group *head) {
  (void)head; /* its members have left */
}

const struct state_ops notice_group_ops = {sizeof(struct notice_group), on_init, on_deinit, NULL, on_due, NULL, NULL};
