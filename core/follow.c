/* Following.
 *
 * Good path: a client's first request makes a follower, which is there until its stream ends (stream.h). What comes is
 * written once as an event and copied into the queue of each. One that comes back asks the ledger first: until that
 * answers, what comes waits in the queue, and what it missed goes before it.
 *
 * Ways it fails: an event that finds no room in a queue, or no memory, is left out there, counted, and said by the next
 * one that does. A ledger that does not answer is said as some events that were lost.
 *
 * Who frees what: a follower is freed when its stream is closed. The ledger is told to forget it then. */
#include "follow.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "alert_json.h"
#include "heap.h"
#include "limits.h"
#include "stream.h"

enum { QUIET_TICKS = 5, ID_DIGITS_MAX = 19, SAID_BYTES = 128 };

struct follower {
  struct stream stream;          /* its queue has whole events */
  struct follow *of;
  struct buffer missed;          /* from before it came; goes out first */
  uint64_t lost;                 /* since it was last said */
  uint64_t since_ns;             /* it comes back; 0: it does not */
  bool asks;                     /* the ledger has yet to answer */
  bool gap;                      /* and did not, or had more than it gives */
  uint32_t quiet;                /* ticks without an event */
};

struct follow {
  struct streams followers;
  struct ledger *ledger;
  struct incidents *incidents;
  struct buffer event;           /* that is being told */
  struct follow_stats stats;
};

static struct follower *next_of(const struct follow *f, const struct follower *c) {
  return (struct follower *)(void *)streams_next(&f->followers, c ? &c->stream : NULL);
}

/* ---- events ------------------------------------------------------------------------------------ */

static void event_begin(struct buffer *b, uint64_t at_ns, const char *kind) {
  buffer_printf(b, "id: %" PRIu64 "\nevent: %s\ndata: ", at_ns, kind);
}

/* In the place of what is missing; where there is no room for that either, later. */
static void say_lost(struct follower *c) {
  struct buffer *queue = &c->stream.queue;
  size_t before = queue->len;
  if (!c->lost) return;
  buffer_printf(queue, "event: lost\ndata: {\"events\":%" PRIu64 "}\n\n", c->lost);
  if (stream_kept(queue, before)) c->lost = 0;
}

/* All of it, or nothing; what is missing is said before the next one that has room. */
static void give(struct follow *f, struct follower *c) {
  struct buffer *queue = &c->stream.queue;
  bool room = !f->event.err && queue->len + f->event.len + SAID_BYTES <= queue->max;
  if (room) say_lost(c);
  if (room && !c->lost && !buffer_add(queue, f->event.data, f->event.len)) {
    f->stats.events++;
  } else {
    queue->err = 0;
    c->lost++;
    f->stats.lost++;
  }
  c->quiet = 0;
  stream_wake(&c->stream);
}

static void tell(struct follow *f) {
  buffer_text(&f->event, "\n\n");
  for (struct follower *c = NULL; (c = next_of(f, c));) give(f, c);
  buffer_clear(&f->event);
}

void follow_violation(struct follow *f, struct ledger_text json, const char *incident, uint64_t now_ns) {
  if (!f->followers.count || !json.n) return;
  event_begin(&f->event, now_ns, "violation");
  buffer_add(&f->event, json.p, json.n - 1); /* it ends with a brace */
  buffer_printf(&f->event, ",\"incident\":\"%s\"}", incident);
  tell(f);
}

void follow_incident(struct follow *f, const struct incident *incident, uint64_t now_ns) {
  if (!f->followers.count) return;
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
  buffer_text(&c->missed, "\n\n");
  if (!stream_kept(&c->missed, before)) c->gap = true;
}

static void add_missed_violation(struct follower *c, const char *line, const char *space, const char *stop) {
  static const char kind[] = "\nevent: violation\ndata: ";
  size_t before = c->missed.len;
  buffer_text(&c->missed, "id: ");
  buffer_add(&c->missed, line, (size_t)(space - line));
  buffer_text(&c->missed, kind);
  buffer_add(&c->missed, space + 1, (size_t)(stop - space - 1));
  buffer_text(&c->missed, "\n\n");
  if (!stream_kept(&c->missed, before)) c->gap = true;
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
  stream_wake(&c->stream);
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
  *c = (struct follower){.of = f, .since_ns = since_of(request)};
  stream_open(&f->followers, &c->stream, LIMIT_FOLLOW_BYTES);
  buffer_init(&c->missed, LIMIT_FOLLOW_MISSED_BYTES);
  ask_missed(f, c);
  return c;
}

static void follower_close(struct follow *f, struct follower *c) {
  if (c->asks) ledger_forget(f->ledger, c);
  stream_close(&f->followers, &c->stream);
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
  buffer_add(out, c->stream.queue.data, c->stream.queue.len);
  buffer_clear(&c->stream.queue);
}

void follow_answer(struct follow *f, const struct http_request *request, struct http_response *response) {
  struct follower *c = *request->work;
  bool first = !c;
  if (first && (f->followers.count >= LIMIT_FOLLOWERS || !(c = follower_open(f, request)))) {
    response->status = 503;
    return;
  }
  response->status = 200;
  response->content_type = "text/event-stream";
  fill(c, response->body, first);
  if (!stream_waits(&f->followers, &c->stream, request, response)) follower_close(f, c);
}

/* ---- the whole --------------------------------------------------------------------------------- */

struct follow *follow_new(void) {
  struct follow *f = heap_zalloc(sizeof *f);
  if (!f) return NULL;
  streams_init(&f->followers);
  buffer_init(&f->event, LIMIT_FOLLOW_BYTES);
  return f;
}

void follow_use(struct follow *f, struct ledger *ledger, struct incidents *incidents) {
  f->ledger = ledger;
  f->incidents = incidents;
}

void follow_free(struct follow *f) {
  if (!f) return;
  assert(!f->followers.count);
  buffer_deinit(&f->event);
  heap_free(f);
}

void follow_tick(struct follow *f) {
  for (struct follower *c = NULL; (c = next_of(f, c));) {
    if (++c->quiet < QUIET_TICKS || c->asks) continue;
    c->quiet = 0;
    if (!c->stream.queue.len && buffer_text(&c->stream.queue, ":\n\n")) c->stream.queue.err = 0;
    stream_wake(&c->stream);
  }
}

void follow_end(struct follow *f) {
  if (f) streams_end(&f->followers);
}

struct follow_stats follow_stats(const struct follow *f) {
  struct follow_stats stats = f->stats;
  stats.clients = f->followers.count;
  return stats;
}
