/* What conn.c and conn_late.c share. Nobody else includes it. */
#ifndef FLUO_CONN_PARTS_H
#define FLUO_CONN_PARTS_H
#include <assert.h>
#include <uv.h>

#include "conn.h"
#include "http1.h"

/* Each has its time limit. */
enum phase {
  PHASE_IDLE,
  PHASE_HEAD,
  PHASE_BODY,
  PHASE_WRITE,
  PHASE_TURN, /* the room behind has the request, or its next pipelined one has to wait for its turn */
  PHASE_LINGER,
  PHASE_CLOSED
};

enum { CONN_MAGIC = 0x636f6e6e };

struct conn {
  uint32_t magic;
  enum phase phase;
  uv_tcp_t tcp;
  uv_timer_t timer;
  uv_write_t write;
  int holds; /* handles not yet closed; the turn it waits for */
  struct porch *porch;
  struct conn *next, **back;
  struct http1 *http;
  bool last;            /* the connection ends with the answer being written */
  bool working;         /* the room behind has the request */
  void *work;           /* its own, for it */
  bool streaming;       /* a piece of the answer went out, and there is more to come */
  bool woken;           /* there is, and the piece before is still being taken: held until it is */
  struct link turn;     /* among those whose turn is to come; alone: it is not */
  bool answered;        /* the request was refused by its head; its body is read past */
  uint64_t deadline_ms; /* of the phase; the timer may come earlier, and then looks again */
  uint64_t late_ms;     /* the deadline that was found to be past; the sockets are looked at before anybody is late */
  uint64_t end_ms;      /* of body and linger: not past this, whatever progress there is */
  uint64_t since_ms;    /* when the phase began */
  uint64_t read_ms;     /* the turn that it was last read in, by the loop's clock */
  size_t read_bytes;    /* so many in it */
  char *out;            /* what the peer did not take yet */
  size_t out_left;      /* of it at the last look */
  char *rest;           /* bytes to parse after that */
  size_t rest_bytes;
};

static inline struct conn *conn_of(void *data) {
  struct conn *c = data;
  assert(c && c->magic == CONN_MAGIC);
  return c;
}

static inline uint64_t conn_now_ms(const struct conn *c) {
  return uv_now(c->porch->loop);
}

void conn_close(struct conn *c);
/* Gives back the bytes that wait to be parsed. */
void conn_drop_rest(struct conn *c);
/* The hall's own refusals end the connection: where a next request would begin is unknown. */
void conn_refuse(struct conn *c, int status, const char *why, bool has_head);

/* conn_late.c: enters a phase, whose deadline it sets; sets the deadline anew. */
void conn_enter(struct conn *c, enum phase phase);
void conn_extend(struct conn *c);

/* conn_line.c: joins those whose turn is to come, and is held until then; the first of a line, or NULL. */
void conn_join(struct conn *c);
struct conn *conn_leave(struct link *line);
/* Whether what those that send much may be read of in a turn is used up, and it is one of them. */
bool conn_must_wait(const struct conn *c);
/* n bytes of it were read: whether it has had its share of this turn. */
bool conn_has_share(struct conn *c, size_t n);

#endif
