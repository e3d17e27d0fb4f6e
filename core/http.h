/* What a request and its answer are, whatever brought them (HTTP/1.1 now). The hall fills requests, the
 * rooms behind it (intake, admin) fill responses; neither knows sockets. */
#ifndef FLUO_HTTP_H
#define FLUO_HTTP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

struct http_text { const char *p; size_t n; };        /* lent, not NUL-terminated; n = 0: absent or empty */

enum http_verb { HTTP_VERB_OTHER, HTTP_VERB_GET, HTTP_VERB_HEAD, HTTP_VERB_POST, HTTP_VERB_OPTIONS, HTTP_VERB_DELETE };

struct http_header { struct http_text name, value; };  /* name in lower case, value without outer spaces */

/* Everything in it is lent and valid within the call that hands it out. */
struct http_request {
  enum http_verb verb;
  struct http_text path, query;             /* path as sent, without "?"; query without "?" */
  struct http_text host, content_type, content_encoding;
  const struct http_header *headers;        /* all of them, in order: see http_header */
  uint32_t headers_count;
  uint64_t content_length;                  /* where has_length */
  bool has_length, chunked;                 /* neither: there is no body */
  bool http10, keep_alive, expects_continue;
  const uint8_t *body;                      /* in on_request only: decoded from chunks, not from gzip */
  size_t body_bytes;
  void **work;                              /* in on_request: NULL at first, the room's own until it answers */
  bool gone;                                /* in on_request: nobody waits for the answer any more */
  void (*wake)(void *waiter);               /* ends HTTP_WAIT or HTTP_STREAM, once, from the loop; never within on_request */
  void *waiter;
  struct http_budget *budget;               /* what memory for it is charged to; NULL: nothing */
};

/* When a request is answered: now, or when on_request is called again with the same request: once the others have
 * had their turn, or after `wake`. HTTP_STREAM: what is in the body is a piece of an answer whose end is its
 * connection's; status and headers are those of the first piece. on_request is called again after `wake`, once the peer
 * has taken the piece, and the answer ends with HTTP_NOW, which is due at once where the request is `gone`. */
enum http_later { HTTP_NOW, HTTP_NEXT_TURN, HTTP_WAIT, HTTP_STREAM };
enum { HTTP_LENGTH_UNKNOWN = -1 };

/* Starts zeroed but for an empty body. */
struct http_response {
  int status;                               /* 0: not answered */
  const char *content_type;                 /* static text, NULL: none */
  const char *allow;                        /* static text of Allow, NULL: none */
  uint32_t retry_after_s;                   /* 0: none */
  struct http_text allow_origin;            /* the page that may read it, lent like the request; n = 0: none */
  const char *allow_methods;                /* of the answer to its question, static text; NULL: it is none */
  struct http_text allow_headers;           /* in that */
  bool close;                               /* close the connection after it */
  enum http_later later;                    /* HTTP_NEXT_TURN, HTTP_WAIT: no answer yet, all else is ignored */
  struct buffer *body;                      /* empty, the server's; fill it, never keep it */
};

/* What the room behind a listener does. */
struct http_calls {
  /* The head is read, its body is not. Setting response->status refuses the request now, so that a client
   * that waits for 100 Continue sends no body; on_request is then not called. */
  void (*on_head)(void *ctx, const struct http_request *request, struct http_response *response);
  /* The request is whole. Must set a status, or `later`; then it is called again until it has, even where the
   * connection is gone by then: a request that was begun is ended. */
  void (*on_request)(void *ctx, const struct http_request *request, struct http_response *response);
  /* The hall refuses a request whose head it has (408, 413, 503 …, status and retry_after_s are set): say
   * it in the right encoding. An untouched body is sent as text/plain. May be NULL. */
  void (*on_refuse)(void *ctx, const struct http_request *request, const char *why,
                    struct http_response *response);
  void *ctx;
};

/* The value of the header (name in lower case), of the first where there are several; n = 0: none. */
struct http_text http_header(const struct http_request *request, const char *name);
uint32_t http_header_count(const struct http_request *request, const char *name);
/* Equal, letters of either case. */
bool http_text_is(struct http_text text, const char *word);
/* The media type or coding before ";", without spaces around it. */
struct http_text http_text_bare(struct http_text text);
/* Path and query of a request's target, which may be a whole URL (RFC 9112 3.2.2); lent from it. */
void http_target(struct http_text target, struct http_text *path, struct http_text *query);
/* What a parser lets pass of a head and we do not: the status, with *why; 0: nothing. Sets expects_continue. */
int http_judge(struct http_request *request, const char **why);
/* Whether it comes from a program of this machine's user, where the listener is on loopback: it says an address or localhost
 * as its host, and is not sent by a page of another site. A browser asks this machine for anything that a page wants, and under
 * a name of the page's own that leads here it would also hand it the answer. */
bool http_is_local(const struct http_request *request);
/* Fills a response with status and a line of text/plain ("\n" is added). */
void http_say(struct http_response *response, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The time of day as in RFC 9110 5.6.7, made anew when the second has changed. Starts zeroed. */
struct http_date { int64_t s; char text[32]; };
const char *http_date(struct http_date *d);

/* Appends the HTTP/1.1 status line and headers of an answer, up to and with the empty line; body_bytes
 * is its length, (size_t)HTTP_LENGTH_UNKNOWN where its end is the connection's. date: NULL: none. 0 or b->err. */
int http_head(struct buffer *b, const struct http_response *response, size_t body_bytes,
              bool keep_alive, const char *date);

/* Body bytes in memory, over all connections that share it. make_room (may be NULL) is asked where they do not
 * suffice, and asked again as long as it says that it has given some back. */
struct http_budget {
  size_t bytes, bytes_max;
  size_t short_bytes, reserve_bytes;        /* bodies up to the one may go past bytes_max by the other; 0: none may */
  bool (*make_room)(struct http_budget *b);
  size_t spare_bytes_max;     /* the memory of one body up to this is kept for the next; 0: none is */
  void *spare;                /* that memory, which is charged to nobody; NULL: none */
  size_t spare_bytes;
};
/* Whether n more bytes fit now, for a body that has so many then, room having been made if need be. Charges nothing. */
bool http_budget_affords(struct http_budget *b, size_t n, size_t body_bytes);
/* Frees the spare memory. */
void http_budget_trim(struct http_budget *b);

#endif
