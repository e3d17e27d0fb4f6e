/* Following.
 *
 * Good path: a client's first request makes a follower, which is in the list until its stream ends. What comes is written
 * once as an event and copied into the queue of each; the client is woken, and is given the whole queue as soon as it has
 * taken what it was given before. One that comes back asks the ledger first: until that answers, what comes waits in the
 * queue, and what it missed goes before it.
 *
 * Ways it fails: an event that finds no room in a queue, or no memory, is left out there, counted, and said by the next
 * one that does. A ledger that does not answer is said as some events that were lost. Whoever tells never waits.
 *
 * Who frees what: a follower belongs to its request (request->work) and is freed by the call that ends its answer, which
 * the server makes also where the connection is gone. The ledger is told to forget it then. */
#include "follow.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "alert_json.h"
#include "heap.h"
#include "limits.h"

enum { QUIET_TICKS = 5, ID_DIGITS_MAX = 19, SAID_BYTES = 128 };

struct follower {
  struct follower *next, **back;
  struct follow *of;
  struct buffer queue;           /* whole events */
  struct buffer missed;          /* from before it came; goes out first */
  uint64_t lost;                 /* since it was last said */
  uint64_t since_ns;             /* it comes back; 0: it does not */
  bool asks;                     /* the ledger has yet to answer */
  bool gap;                      /* and did not, or had more than it gives */
  uint32_t quiet;                /* ticks without an event */
  void (*wake)(void *waiter);    /* NULL: it is not waited for */
  void *waiter;
};

struct follow {
  struct follower *followers;
  struct ledger *ledger;
  struct incidents *incidents;
  struct buffer event;           /* that is being told */
  bool ended;
  struct follow_stats stats;
};

static void wake(struct follower *c) {
  void (*call)(void *waiter) = c->wake;
  c->wake = NULL;
  if (call) call(c->waiter);
}

/* ---- events ------------------------------------------------------------------------------------ */

static void event_begin(struct buffer *b, uint64_t at_ns, const char *kind) {
  buffer_printf(b, "id: %" PRIu64 "\nevent: %s\ndata: ", at_ns, kind);
}

/* In the place of what is missing; where there is no room for that either, later. */
static void say_lost(struct follower *c) {
  size_t before = c->queue.len;
  if (!c->lost) return;
  if (buffer_printf(&c->queue, "event: lost\ndata: {\"events\":%" PRIu64 "}\n\n", c->lost)) {
    c->queue.len = before;
    c->queue.err = 0;
  } else {
    c->lost = 0;
  }
}

/* All of it, or nothing; what is missing is said before the next one that has room. */
static void give(struct follow *f, struct follower *c) {
  bool room = !f->event.err && c->queue.len + f->event.len + SAID_BYTES <= c->queue.max;
  if (room) say_lost(c);
  if (room && !c->lost && !buffer_add(&c->queue, f->event.data, f->event.len)) {
    f->stats.events++;
  } else {
    c->queue.err = 0;
    c->lost++;
    f->stats.lost++;
  }
  c->quiet = 0;
  wake(c);
}

static void tell(struct follow *f) {
  buffer_text(&f->event, "\n\n");
  for (struct follower *c = f->followers; c; c = c->next) give(f, c);
  buffer_clear(&f->event);
}

void follow_violation(struct follow *f, struct ledger_text json, const char *incident, uint64_t now_ns) {
  if (!f->followers || !json.n) return;
  event_begin(&f->event, now_ns, "violation");
  buffer_add(&f->event, json.p, json.n - 1); /* it ends with a brace */
  buffer_printf(&f->event, ",\"incident\":\"%s\"}", incident);
  tell(f);
}

void follow_incident(struct follow *f, const struct incident *incident, uint64_t now_ns) {
  if (!f->followers) return;
  event_begin(&f->event, now_ns, "incident");
  incident_json(incident, false, &f->event);
  tell(f);
}

/* ---- one that comes back ----------------------------------------------------------------------- */

static uint64_t changed_ns(const struct incident *i) {
  uint64_t at = i->said_ns;
  if (i->last_seen_ns > at) at = i->last_seen_ns;
  if (i->acknowledged_ns > at) at = i->acknowledged_ns;
  return i->resolved_ns > at ? i->resolved_ns : at;
}

static void add_missed_incident(void *ctx, const struct incident *i) {
  struct follower *c = ctx;
  size_t before = c->missed.len;
  if (!i->id[0] || i->status == INCIDENT_PENDING || changed_ns(i) < c->since_ns) return;
  event_begin(&c->missed, c->since_ns, "incident"); /* what came since is still to come */
  incident_json(i, false, &c->missed);
  if (!buffer_text(&c->missed, "\n\n")) return;
  c->missed.len = before;
  c->missed.err = 0;
  c->gap = true;
}

static void add_missed_violation(struct follower *c, const char *line, const char *space, const char *stop) {
  static const char kind[] = "\nevent: violation\ndata: ";
  size_t before = c->missed.len;
  buffer_text(&c->missed, "id: ");
  buffer_add(&c->missed, line, (size_t)(space - line));
  buffer_text(&c->missed, kind);
  buffer_add(&c->missed, space + 1, (size_t)(stop - space - 1));
  if (!buffer_text(&c->missed, "\n\n")) return;
  c->missed.len = before;
  c->missed.err = 0;
  c->gap = true;
}

/* Lines of the ledger: when, a space, the violation. */
static void add_missed_violations(struct follower *c, const char *lines, size_t n) {
  const char *end = lines + n;
  uint32_t count = 0;
  for (; lines < end; count++) {
    const char *space = memchr(lines, ' ', (size_t)(end - lines));
    const char *stop = space ? memchr(space, '\n', (size_t)(end - space)) : NULL;
    assert(stop);                       /* the ledger's lines are ours */
    add_missed_violation(c, lines, space, stop);
    lines = stop + 1;
  }
  c->gap = c->gap || count == LIMIT_LEDGER_ROWS;
}

static void on_missed(void *ctx, int err, const char *lines, size_t n) {
  struct follower *c = ctx;
  c->asks = false;
  c->gap = c->gap || err;
  incidents_each(c->of->incidents, add_missed_incident, c);
  add_missed_violations(c, lines, n);
  wake(c);
}

/* What it says as Last-Event-ID, where that is one of ours. */
static uint64_t since_of(const struct http_request *request) {
  struct http_text text = http_header(request, "last-event-id");
  uint64_t since = 0;
  if (text.n > ID_DIGITS_MAX) return 0;
  for (size_t i = 0; i < text.n; i++) {
    if (text.p[i] < '0' || text.p[i] > '9') return 0;
    since = since * 10 + (uint64_t)(text.p[i] - '0');
  }
  return since;
}

static void ask_missed(struct follow *f, struct follower *c) {
  struct ledger_query q = {.what = LEDGER_WRITTEN, .since_ns = c->since_ns, .limit = LIMIT_LEDGER_ROWS,
                           .on_result = on_missed, .ctx = c};
  if (!c->since_ns || !f->ledger) return;
  c->asks = !ledger_ask(f->ledger, &q);
  c->gap = !c->asks;
}

/* ---- clients ----------------------------------------------------------------------------------- */

static struct follower *follower_open(struct follow *f, const struct http_request *request) {
  struct follower *c = heap_zalloc(sizeof *c);
  if (!c) return NULL;
  *c = (struct follower){.next = f->followers, .back = &f->followers, .of = f, .since_ns = since_of(request)};
  buffer_init(&c->queue, LIMIT_FOLLOW_BYTES);
  buffer_init(&c->missed, LIMIT_FOLLOW_MISSED_BYTES);
  if (c->next) c->next->back = &c->next;
  f->followers = c;
  f->stats.clients++;
  ask_missed(f, c);
  return c;
}

static void follower_close(struct follow *f, struct follower *c) {
  if (c->asks) ledger_forget(f->ledger, c);
  *c->back = c->next;
  if (c->next) c->next->back = c->back;
  f->stats.clients--;
  buffer_deinit(&c->queue);
  buffer_deinit(&c->missed);
  heap_free(c);
}

/* The first piece is a comment, so that the head goes out, and how long to wait before coming back. */
static void fill(struct follower *c, struct buffer *out, bool first) {
  if (first) buffer_text(out, ": fluo\nretry: 2000\n\n");
  if (c->asks) return;
  if (c->gap) buffer_text(out, "event: lost\ndata: {\"events\":null}\n\n");
  c->gap = false;
  buffer_add(out, c->missed.data, c->missed.len);
  buffer_deinit(&c->missed);
  say_lost(c);
  buffer_add(out, c->queue.data, c->queue.len);
  buffer_clear(&c->queue);
}

void follow_answer(struct follow *f, const struct http_request *request, struct http_response *response) {
  struct follower *c = *request->work;
  bool first = !c;
  if (first && (f->stats.clients >= LIMIT_FOLLOWERS || !(c = follower_open(f, request)))) {
    response->status = 503;
    return;
  }
  *request->work = c;
  response->status = 200;
  response->content_type = "text/event-stream";
  fill(c, response->body, first);
  if (request->gone || response->body->err || f->ended) {
    *request->work = NULL;
    follower_close(f, c);
    return;
  }
  response->later = HTTP_STREAM;
  c->wake = request->wake;
  c->waiter = request->waiter;
}

/* ---- the whole --------------------------------------------------------------------------------- */

struct follow *follow_new(void) {
  struct follow *f = heap_zalloc(sizeof *f);
  if (f) buffer_init(&f->event, LIMIT_FOLLOW_BYTES);
  return f;
}

void follow_use(struct follow *f, struct ledger *ledger, struct incidents *incidents) {
  f->ledger = ledger;
  f->incidents = incidents;
}

void follow_free(struct follow *f) {
  if (!f) return;
  assert(!f->followers);
  buffer_deinit(&f->event);
  heap_free(f);
}

void follow_tick(struct follow *f) {
  for (struct follower *c = f->followers; c; c = c->next) {
    if (++c->quiet < QUIET_TICKS || c->asks) continue;
    c->quiet = 0;
    if (!c->queue.len && buffer_text(&c->queue, ":\n\n")) c->queue.err = 0;
    wake(c);
  }
}

void follow_end(struct follow *f) {
  if (!f) return;
  f->ended = true;
  for (struct follower *c = f->followers; c; c = c->next) wake(c);
}

struct follow_stats follow_stats(const struct follow *f) {
  return f->stats;
}
