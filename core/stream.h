/* Clients of the admin listener that are told of what happens for as long as they stay (HTTP_STREAM): what all rooms that
 * tell them share. What is told waits in a queue of the client's own, and it is given the whole queue as soon as it has
 * taken what it was given before; between two answers it waits for one wake at most. Whoever tells never waits. */
#ifndef FLUO_STREAM_H
#define FLUO_STREAM_H
#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"
#include "http.h"
#include "link.h"

/* The first member of what a room keeps of a client. It belongs to the client's request (request->work), and is closed by
 * the call that ends its answer, which the server makes also where the connection is gone. */
struct stream {
  struct link link;
  struct buffer queue;
  void (*wake)(void *waiter);    /* NULL: it is not waited for */
  void *waiter;
};

struct streams {
  struct link all;
  uint32_t count;
  bool ended;
};

void streams_init(struct streams *s);
/* The next one, from NULL to NULL. */
struct stream *streams_next(const struct streams *s, const struct stream *c);
/* Every stream ends when its client has taken what there is. */
void streams_end(struct streams *s);

/* c is the caller's; its queue is freed by stream_close. */
void stream_open(struct streams *s, struct stream *c, size_t queue_bytes_max);
void stream_close(struct streams *s, struct stream *c);
/* There is something to take. */
void stream_wake(struct stream *c);
/* After appending to a queue, or to another buffer of the client's, that had so many bytes before: true: all of it found
 * room; else what did is taken back. */
bool stream_kept(struct buffer *queue, size_t before);
/* Ends an answer whose body is written. true: the client waits for more. false: that was the last of it, and the caller
 * closes the stream. */
bool stream_waits(const struct streams *s, struct stream *c, const struct http_request *request,
                  struct http_response *response);

#endif
