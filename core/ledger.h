/* The ledger: what the agent must not forget. Incidents, violations with their evidence, the outbox of deliveries,
 * silences and feedback, in one SQLite database, `<data>/fluo.db`, that one thread owns.
 *
 * The loop writes by putting rows into a queue, which is bounded in bytes and never waits; the thread commits them in
 * batches, synced, and tells the loop up to which of them all is on disk. So: ledger_delivery() gives a number, and the
 * delivery may go out once on_saved has said that number or a later one. When the thread falls behind, evidence is
 * dropped first, then violations, and rows of any other kind only where these alone fill twice the queue's bound; all
 * counted.
 *
 * Everything here is called on the loop's thread, and every callback comes from within ledger_readable there. Texts are
 * UTF-8, not NULL ("" where there is none) and lent for the call; times are Unix time in ns, 0: none. */
#ifndef FLUO_LEDGER_H
#define FLUO_LEDGER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

struct ledger;

/* ---- rows ------------------------------------------------------------------------------------ */

struct ledger_text { const char *p; size_t n; };        /* need not end with a NUL; p NULL: see its row */

/* Every change of an incident is one of these; a later one of the same id takes its place. */
struct ledger_incident {
  const char *id, *severity, *status;
  struct ledger_text rule, group;                       /* group: JSON object */
  uint64_t count, started_ns, last_seen_ns, resolved_ns;
  struct ledger_text json;                              /* as the API prints it, exemplars included */
  struct ledger_text state;                             /* its owner's bytes: timers, notices; given back at a restart */
};

/* An id that is there already is left as it is: the same violation has the same id after a restart. */
struct ledger_violation {
  const char *id, *incident, *severity;
  const char *trace_id;                                 /* 32 hex; "": across traces */
  struct ledger_text rule, rule_version;                /* rule_version: 32 hex */
  uint64_t at_ns, written_ns;                           /* the violation's time; and now, for its retention */
  struct ledger_text json;                              /* as printed on the output */
  const char *evidence_of;                              /* the violation whose evidence is this one's, too; NULL: none */
};

enum ledger_delivery_state { LEDGER_PENDING, LEDGER_DONE, LEDGER_DEAD };
/* Told apart by id and receiver: one alert may go to several. */
struct ledger_delivery {
  const char *id, *receiver;
  enum ledger_delivery_state state;
  uint32_t attempts;
  uint64_t created_ns, next_ns;
  struct ledger_text alert;                             /* JSON; p NULL: what is there stays (an outcome) */
  struct ledger_text outcome;
};

struct ledger_silence {
  const char *id;
  bool over;                                            /* ended, expired or taken back: not restored */
  uint64_t created_ns, ends_ns;                         /* ends_ns 0: until resolved */
  struct ledger_text json;
};

enum ledger_verdict { LEDGER_WRONG, LEDGER_RIGHT, LEDGER_REVOKED };
struct ledger_feedback {
  const char *violation, *incident;
  struct ledger_text rule, group, who;                  /* group: the JSON object of a window's; "null": it is of no window */
  enum ledger_verdict verdict;
  uint64_t at_ns;
};

/* ---- life ------------------------------------------------------------------------------------ */

enum ledger_trouble {
  LEDGER_WELL,                                          /* what was wrong is over */
  LEDGER_DISK_FULL, LEDGER_READ_ONLY, LEDGER_LOCKED, LEDGER_IO, LEDGER_NO_MEMORY,     /* tried again each second */
  LEDGER_CORRUPT,                                       /* set aside, and a new database begun: what is open may be
                                                           written again */
  LEDGER_BEHIND,                                        /* rows were dropped, see the counts; once a minute at most */
  LEDGER_TROUBLES
};
const char *ledger_trouble_text(enum ledger_trouble t); /* "disk_full" … */

struct ledger_calls {
  /* All rows up to this number are on disk, or dropped. held: they are not, for the disk has refused them for
   * LIMIT_LEDGER_HOLD_NS; what waits for them should wait no longer, and they are still tried. */
  void (*on_saved)(void *ctx, uint64_t number, bool held);
  /* At a change of what is wrong; of LEDGER_CORRUPT and LEDGER_BEHIND, which do not last, each time. `why` is a
   * line for people. */
  void (*on_trouble)(void *ctx, enum ledger_trouble trouble, const char *why);
  void *ctx;
};

/* What was there at the start; called within ledger_open, oldest first, at most LIMIT_LEDGER_RESTORED of each.
 * Any may be NULL. Incidents that are not "resolved" or were so in the last day, deliveries that are pending, silences
 * that are not over. */
struct ledger_restored {
  void (*on_incident)(void *ctx, const struct ledger_incident *i);
  void (*on_delivery)(void *ctx, const struct ledger_delivery *d);
  void (*on_silence)(void *ctx, const struct ledger_silence *s);
  void (*on_feedback)(void *ctx, const struct ledger_feedback *f);
  void *ctx;
};

struct ledger_options {
  const char *data;                                     /* a directory; NULL: in memory, gone with the process */
  uint64_t age_ns, bytes_max;                           /* retention */
};

/* Takes the directory's lock, and where there is a database opens it, looks it through and gives back what it holds;
 * else it is made at the first row. 0; FLUO_EFULL: another agent has this directory; FLUO_EIO where it cannot be
 * written (the caller may go on with data = NULL); FLUO_ENOMEM; then `why` is a line for people. */
int ledger_open(const struct ledger_options *options, const struct ledger_calls *calls,
                const struct ledger_restored *restored, struct ledger **out, char why[256]);
/* Commits what is queued, for wait_ns at most, and ends. false: rows were lost. No callback comes any more. */
bool ledger_close(struct ledger *l, uint64_t wait_ns);
/* The owner polls ledger_fd, the same for life, for reading, and calls ledger_readable. */
int ledger_fd(const struct ledger *l);
void ledger_readable(struct ledger *l);

/* ---- writing --------------------------------------------------------------------------------- */

/* Each gives the row's number, which grow from 1; 0: dropped, and counted. */
uint64_t ledger_incident(struct ledger *l, const struct ledger_incident *i);
/* evidence: an ExportTraceServiceRequest (evidence.h) that is taken (the buffer is empty afterwards); NULL or empty:
 * none. It may be dropped where the violation is not. */
uint64_t ledger_violation(struct ledger *l, const struct ledger_violation *v, struct buffer *evidence);
/* The same in two steps, for evidence that is there later: the row, which is the caller's, or NULL; and taking it. A NULL
 * is counted as dropped. */
struct ledger_row;
struct ledger_row *ledger_violation_row(const struct ledger_violation *v);
uint64_t ledger_violation_put(struct ledger *l, struct ledger_row *row, struct buffer *evidence);
uint64_t ledger_delivery(struct ledger *l, const struct ledger_delivery *d);
uint64_t ledger_silence(struct ledger *l, const struct ledger_silence *s);
uint64_t ledger_feedback(struct ledger *l, const struct ledger_feedback *f);
/* Whether evidence would be taken now: worth collecting. */
bool ledger_takes_evidence(struct ledger *l);

/* ---- reading --------------------------------------------------------------------------------- */

enum ledger_what {
  LEDGER_INCIDENTS,       /* {"incidents":[…],"next":"cursor"}: their json, newest first. Takes rule, severity, status (also
                             "active": not resolved), since, id */
  LEDGER_VIOLATIONS,      /* {"violations":[…],"next":…}: with incident, rule_version, evidence. rule, severity, since,
                             incident, id */
  LEDGER_EVIDENCE,        /* of the violation `id`: one ExportTraceServiceRequest as OTLP/JSON; 404 where there is none */
  LEDGER_DELIVERIES,      /* {"deliveries":[…],"next":…}: rule = receiver, status = pending | done | dead, since, id */
  LEDGER_SILENCES,        /* {"silences":[…],"next":…}: status = active | over, id */
  LEDGER_FEEDBACK,        /* {"feedback":[…],"next":…}: rule, status = wrong | right | revoked, since, incident, id = violation */
  LEDGER_WRITTEN          /* violations that came since (not: happened), the newest `limit` of them in the order of coming,
                             a line each: when it came in ns, a space, and what LEDGER_VIOLATIONS has of it */
};
enum { LEDGER_ROWS_DEFAULT = 100 };
struct ledger_query {
  enum ledger_what what;
  const char *id, *rule, *severity, *status, *incident; /* NULL or "": any. Copied */
  bool prefix;                                          /* id: what ids begin with, hex digits */
  bool one;                                             /* what has this id, without a list around it; FLUO_EINVALID: none */
  uint64_t since_ns, cursor;                            /* cursor: what `next` said; 0: from the start */
  uint32_t limit;                                       /* 0: LEDGER_ROWS_DEFAULT; LIMIT_LEDGER_ROWS at most */
  /* 0 and the JSON, lent for the call; FLUO_EINVALID: no such id, FLUO_ETIMEOUT, FLUO_ETOOLARGE, FLUO_EIO … Once, from
   * within ledger_readable, unless ledger_forget came first. */
  void (*on_result)(void *ctx, int err, const char *json, size_t n);
  void *ctx;
};
/* Rows that were put before are seen, if the disk takes them. 0, or FLUO_EFULL (LIMIT_LEDGER_QUERIES wait), FLUO_ENOMEM: then on_result is not called. */
int ledger_ask(struct ledger *l, const struct ledger_query *q);
/* Nobody waits for the results of this ctx any more. */
void ledger_forget(struct ledger *l, const void *ctx);

/* ---- figures --------------------------------------------------------------------------------- */

enum ledger_kind { LEDGER_ROW_INCIDENT, LEDGER_ROW_VIOLATION, LEDGER_ROW_DELIVERY, LEDGER_ROW_SILENCE,
                   LEDGER_ROW_FEEDBACK, LEDGER_ROW_EVIDENCE, LEDGER_ROW_KINDS };
const char *ledger_kind_text(enum ledger_kind k);
struct ledger_stats {
  uint64_t written[LEDGER_ROW_KINDS], dropped[LEDGER_ROW_KINDS];      /* written: on disk */
  uint64_t queue_bytes, queue_rows;
  uint64_t commits, commit_ns, failures, corruptions;   /* failures: commits that did not succeed */
  uint64_t deleted;                                     /* rows that retention took */
  uint64_t file_bytes;                                  /* of the database, as of the last commit; 0: not open */
  bool     in_memory;
  enum ledger_trouble trouble;
};
void ledger_stats_get(struct ledger *l, struct ledger_stats *out);

#endif
