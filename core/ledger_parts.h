/* What the ledger's two sides share: ledger.c, which the loop calls, and ledger_thread.c, which owns the database. Nobody
 * else includes it. */
#ifndef FLUO_LEDGER_PARTS_H
#define FLUO_LEDGER_PARTS_H
#include <pthread.h>

#include "ledger_tables.h"

/* A row that waits: its values' texts lie behind them. */
struct ledger_row {
  struct ledger_row *next;
  uint64_t number;
  enum ledger_kind kind;
  size_t bytes;                         /* what it takes, without the evidence */
  struct buffer evidence;               /* of a violation: as collected, and once `packed` as it is written */
  bool packed;
  uint32_t count;
  struct db_value values[];
};

/* A question: in the list until the loop has handed the answer out. Its texts lie behind it. */
struct ledger_asked {
  struct ledger_asked *next;
  struct ledger_query query;            /* on_result NULL: forgotten */
  bool answered;
  struct buffer answer;
  int err;
};

struct ledger {
  /* Neither changes. */
  char *path;                           /* of the database; NULL: in memory */
  uint64_t age_ns, bytes_max;
  struct ledger_calls calls;
  int event_fd, lock_fd;
  pthread_t thread;

  /* The thread's alone, once it runs. */
  struct db *db;
  uint64_t retry_ns, retain_ns;         /* CLOCK_MONOTONIC; 0: now, never */

  pthread_mutex_t mutex;                /* over all below */
  pthread_cond_t wake;
  struct ledger_row *first, **last;     /* rows that wait; `last` is where the next one goes */
  uint64_t due_ns;                      /* when they have waited long enough; UINT64_MAX: there are none */
  struct ledger_asked *asked, **asked_last;
  uint32_t asked_count;
  bool ends;
  uint64_t ends_by_ns;
  uint64_t next_number, saved, held;
  uint64_t failing_since_ns;            /* 0: it is well */
  size_t evidence_bytes, violation_bytes;      /* of what waits and is not being written */
  uint32_t set_aside;                   /* how often */
  char why[200];
  struct ledger_stats stats;

  /* The loop's: what it was told last. */
  uint64_t told_saved, told_held, told_dropped, told_behind_ns;
  uint32_t told_set_aside;
  enum ledger_trouble told_trouble;
};

uint64_t ledger_now_ns(void);           /* CLOCK_MONOTONIC */
void ledger_row_free(struct ledger_row *row);

/* ledger_thread.c */
void *ledger_thread(void *l);
/* Opens the database, and where it is damaged sets it aside. 0, LEDGER_CORRUPT (set aside: begin anew), another trouble,
 * or DB_REFUSED; l->why. */
int ledger_thread_open(struct ledger *l);
/* Closes the database and renames its files. 0, or LEDGER_IO. */
int ledger_thread_set_aside(struct ledger *l);

#endif
