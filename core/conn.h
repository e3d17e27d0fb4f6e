/* One connection of a server, between its socket and the room behind it. */
#ifndef FLUO_CONN_H
#define FLUO_CONN_H
#include "http.h"
#include "link.h"
#include "server.h"

struct conn;
struct uv_loop_s;

enum conn_bounds {
  CONN_BLOCK_BYTES = 65536,           /* read at once */
  CONN_HEAD_BYTES = 16384,            /* of these before a head is known: what came of its body with it is copied */
  CONN_ANSWER_BYTES_MAX = 16 << 20,   /* of one answer's body: a page of metrics stays far below it */
  CONN_ANSWER_KEPT_BYTES = 1 << 20,   /* memory kept from one answer to the next */
  CONN_BODY_KEPT_BYTES = 1 << 20,     /* of one body, for the next */
  CONN_LINGER_MS = 2000,              /* without a byte, and five times that in all, after a last answer */
  CONN_BODY_FACTOR = 10,              /* a whole body may take this many times body_ns */
  CONN_PATIENCE_MS = 25,             /* a body that has been coming for so long makes room for others */
  CONN_LONG_A_TURN = 16              /* of those that send much go on in a turn: some 3 us each, beside what is read */
};

/* What the connections of a server share. */
struct porch {
  struct uv_loop_s *loop;
  struct http_calls calls;
  struct server_limits limits;        /* all set */
  struct http_budget budget;
  struct server_stats stats;
  struct conn *conns;                 /* all that are open */
  struct link line, long_line;        /* whose turn is to come; long_line: of those that send much */
  unsigned pipelined;                 /* requests answered since the last turn that came right behind another */
  size_t long_bytes;                  /* read since then of bodies that are long, or of no use */
  void (*on_turns)(struct porch *p);  /* there is one: see conn_next_turn */
  struct conn *current;               /* whose bytes are being read: makes no room for itself */
  char *block;                        /* CONN_BLOCK_BYTES: bytes lie here within one read only */
  struct buffer head, body;           /* the answer being made */
  struct http_date date;
  bool draining;                      /* every answer closes its connection */
  void (*on_gone)(struct porch *p);   /* a connection was closed and freed */
};

/* The budget's make_room: of those that hold bytes, the connection that has been at it for longest is ended, a body
 * with 503. So a crowd of slow senders takes room from itself and not from who comes after it. */
bool conn_make_room(struct http_budget *budget);
/* Where there is no place for another connection: of those that have their last answer, and are only heard out, the one
 * that has been for longest is closed. */
void conn_make_place(struct porch *porch);
/* Lets the first of those that wait for their turn go on, and some of those that send much. false: there was none. */
bool conn_next_turn(struct porch *porch);
/* Takes the connected socket in every case. 0 or a negative fluo_err, and then it is closed. */
int conn_open(struct porch *porch, int fd);
/* Closes those that are between requests; with cut, all of them. */
void conn_drain(struct porch *porch, bool cut);

#endif
