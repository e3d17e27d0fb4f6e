/* Streams. Good path: the client's first request opens one; each answer takes its queue, and leaves whom to wake. Nothing
 * here fails; what finds no room in a queue its room counts and says. */
#include "stream.h"

void streams_init(struct streams *s) {
  *s = (struct streams){.count = 0};
  link_init(&s->all);
}

struct stream *streams_next(const struct streams *s, const struct stream *c) {
  struct link *next = c ? c->link.next : s->all.next;
  return next == &s->all ? NULL : (struct stream *)(void *)next;
}

void streams_end(struct streams *s) {
  s->ended = true;
  for (struct stream *c = NULL; (c = streams_next(s, c));) stream_wake(c);
}

void stream_open(struct streams *s, struct stream *c, size_t queue_bytes_max) {
  link_append(&s->all, &c->link);
  buffer_init(&c->queue, queue_bytes_max);
  s->count++;
}

void stream_close(struct streams *s, struct stream *c) {
  link_remove(&c->link);
  buffer_deinit(&c->queue);
  s->count--;
}

void stream_wake(struct stream *c) {
  void (*call)(void *waiter) = c->wake;
  c->wake = NULL;
  if (call) call(c->waiter);
}

bool stream_kept(struct buffer *queue, size_t before) {
  if (!queue->err) return true;
  queue->len = before;
  queue->err = 0;
  return false;
}

bool stream_waits(const struct streams *s, struct stream *c, const struct http_request *request,
                  struct http_response *response) {
  bool more = !request->gone && !response->body->err && !s->ended;
  *request->work = more ? c : NULL;
  if (!more) return false;
  response->later = HTTP_STREAM;
  c->wake = request->wake;
  c->waiter = request->waiter;
  return true;
}
