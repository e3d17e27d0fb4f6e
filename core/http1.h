/* HTTP/1.1 requests, parsed by llhttp: bytes are lent to it, it records one request at a time, and never
 * calls anybody. Bounds: head, target, number of headers, body, trailers; each has its status. */
#ifndef FLUO_HTTP1_H
#define FLUO_HTTP1_H
#include "http.h"

enum http1_bounds {
  HTTP1_HEAD_BYTES_MAX = 16384,   /* request line, headers and the empty line, as sent: 431 */
  HTTP1_TARGET_BYTES_MAX = 4096,  /* 414 */
  HTTP1_HEADERS_MAX = 100,        /* 431 */
  HTTP1_TRAILER_BYTES_MAX = 4096, /* of all trailers together: 431 */
  HTTP1_EXTENSION_BYTES_MAX = 256,/* of one chunk's extensions: 400 */
  HTTP1_DISCARD_BYTES_MAX = 65536,/* of a body that is read past: 413 */
  HTTP1_STEP_BYTES = 65536        /* the least a growing body asks for, up to its length */
};

enum http1_event {
  HTTP1_MORE,      /* all bytes were taken, nothing to do yet */
  HTTP1_HEAD,      /* the head is whole: http1_request is there, but for its body */
  HTTP1_REQUEST,   /* the request is whole; http1_next before the next byte */
  HTTP1_ERROR      /* http1_error tells the one answer; the connection ends with it */
};

struct http1;

/* budget: may be shared, outlives the parser; NULL: none. 0 or FLUO_ENOMEM. */
int http1_new(uint64_t body_bytes_max, struct http_budget *budget, struct http1 **out);
void http1_free(struct http1 *p);

/* Reads up to the next event. *taken: how many of the n bytes it used; the rest come again. n may be 0:
 * after HTTP1_HEAD that tells whether there is more to wait for. After HTTP1_ERROR it takes nothing and
 * says HTTP1_ERROR for ever. */
enum http1_event http1_feed(struct http1 *p, const void *bytes, size_t n, size_t *taken);
/* Where the next body bytes may be read to, so that feeding exactly those copies nothing: *n bytes, at
 * most what the body still lacks. NULL: no such place (no body of known length is being read). */
char *http1_lend(struct http1 *p, size_t *n);
/* From HTTP1_HEAD on; what it lends is valid until http1_next, its body pointer until the next feed. */
struct http_request *http1_request(struct http1 *p);
/* Whether more than LIMIT_FRAMES_A_TURN_BYTES of chunk framing were parsed since this was last said: others should
 * have their turn. */
bool http1_tires(struct http1 *p);
/* Body bytes still to come of a body of known length; UINT64_MAX: chunked. */
uint64_t http1_left(const struct http1 *p);
/* After HTTP1_HEAD: the body will be read past and not kept, up to HTTP1_DISCARD_BYTES_MAX. */
void http1_discard(struct http1 *p);
/* After HTTP1_REQUEST: forgets the request, gives its body's memory back, is ready for the next. */
void http1_next(struct http1 *p);
/* The body's bytes that are held now; and gives them back: the request goes no further, nothing is fed again. */
size_t http1_held(const struct http1 *p);
void http1_abandon(struct http1 *p);
/* Bytes of a request were read since http1_next; empty lines before it do not count. */
bool http1_begun(const struct http1 *p);

/* After HTTP1_ERROR: the status, and a static text that says why. has_head: http1_request is there. */
struct http1_error { int status; const char *why; bool has_head; };
struct http1_error http1_error(const struct http1 *p);

#endif
