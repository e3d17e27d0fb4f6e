/* The keeper: the agent's hand on its ledger. It opens it, polls it, puts violations with their evidence into it, and
 * says in the log what goes wrong there. Who owns incidents and deliveries writes their rows by keeper_ledger, and
 * is told what is saved. */
#ifndef FLUO_KEEPER_H
#define FLUO_KEEPER_H
#include "config.h"
#include "ledger.h"
#include "store.h"
#include "violation.h"

struct keeper;
struct uv_loop_s;

struct keeper_options {
  struct uv_loop_s *loop;
  const struct config *config;        /* outlives it */
  struct log *log;
  bool writable;                      /* config->data; else all is kept in memory */
  struct ledger_calls calls;          /* passed on; members may be NULL */
  struct ledger_restored restored;    /* likewise */
};

/* 0, or a negative fluo_err and a line for people: another agent has the directory, or a later version wrote the
 * ledger. A directory that cannot be written after all is said in the log, and memory takes its place. */
int keeper_open(const struct keeper_options *options, struct keeper **out, char why[256]);
/* The ledger is committed and closed, LIMIT_DRAIN_NS at most, and k is of no use any more; after the loop has closed its
 * handles keeper_free. NULL is fine for both. */
void keeper_close(struct keeper *k);
void keeper_free(struct keeper *k);
/* Where traces are; before the first violation. */
void keeper_use(struct keeper *k, struct store *store);
struct ledger *keeper_ledger(const struct keeper *k);

/* json: as violation_json writes it; incident: its id, or "". Evidence goes with it as far as its rate allows: past half of
 * the bound only of rules that have had none in the last second. Of one with `more` it is taken at keeper_settle. */
void keeper_violation(struct keeper *k, const struct violation *v, const char *incident, struct ledger_text json);
/* What there is of a request is in its traces: takes the evidence that waited for that. */
void keeper_settle(struct keeper *k);
/* Appends its part of /metrics. */
void keeper_write(const struct keeper *k, struct buffer *out);

#endif
