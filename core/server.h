/* The porch: a listening TCP socket and its connections, on a libuv loop. Everything a peer can hold on
 * to is bounded: connections, body bytes over all of them, and the time for each step. */
#ifndef FLUO_SERVER_H
#define FLUO_SERVER_H
#include "http.h"

struct server;
struct uv_loop_s;

/* 0 takes the default. */
struct server_limits {
  uint32_t connections_max;      /* 1024: over it the listener waits until one closes */
  uint64_t body_bytes_max;       /* 8 MiB: as sent; 413 */
  uint64_t bytes_in_flight_max;  /* 64 MiB: body bytes of all connections; past it the slowest
                                  gets a 503 with Retry-After: 1, or who comes if none is slow */
  uint64_t short_bytes, bytes_reserved;  /* 0: bodies up to the one may go past that by the other */
  uint32_t unsent_bytes;         /* 0: what the kernel holds of answers is the kernel's choice, up to 4 MB a connection */
  uint64_t idle_ns;              /* 75 s: between requests */
  uint64_t header_ns;            /* 10 s: from a head's first byte to its last; 408 */
  uint64_t body_ns;              /* 30 s: without a byte of the body, and ten times that in all; 408 */
  uint64_t write_ns;             /* 10 s: without a byte taken by the peer */
};

/* host: a numeric IPv4 or IPv6 address without brackets. port 0: any free one. calls->ctx outlives the server.
 * 0; or FLUO_EINVALID, FLUO_EIO, FLUO_ENOMEM, and `why` names the address and the reason. */
int server_open(struct uv_loop_s *loop, const char *host, uint16_t port, const struct http_calls *calls,
                const struct server_limits *limits, struct server **out, char why[256]);
uint16_t server_port(const struct server *s);
/* Stops listening, closes idle connections; those amid a request get their answer with Connection: close.
 * After drain_ns what is left is cut. Then on_closed (may be NULL), after which the server is gone.
 * A second call only shortens drain_ns. */
void server_close(struct server *s, uint64_t drain_ns, void (*on_closed)(void *ctx), void *ctx);

enum server_timeout { SERVER_TIMEOUT_IDLE, SERVER_TIMEOUT_HEADER, SERVER_TIMEOUT_BODY, SERVER_TIMEOUT_WRITE,
                      SERVER_TIMEOUTS };
extern const char *const server_timeout_names[SERVER_TIMEOUTS];
enum { SERVER_STATUS_MAX = 600 };

struct server_stats {
  uint64_t connections_open, connections_accepted;
  uint64_t connections_full;                   /* times that accepting paused at connections_max */
  uint64_t accept_errors;                      /* EMFILE and the like: accepting pauses for 100 ms */
  uint64_t requests;                           /* answered, refused ones included */
  uint64_t responses[SERVER_STATUS_MAX];       /* of them, by status */
  uint64_t overloads;                          /* 503 for bytes_in_flight_max or memory */
  uint64_t timeouts[SERVER_TIMEOUTS];
  uint64_t bytes_read, bytes_written;
  uint64_t body_bytes_in_flight;               /* now */
};
const struct server_stats *server_stats(const struct server *s);

#endif
