/* What is done about a violation: a line on the output, and the rule's actions. Delivery to people plugs in
 * here: an action that is not `log` is a receiver's name. */
#ifndef FLUO_DELIVER_H
#define FLUO_DELIVER_H
#include "alerts.h"
#include "follow.h"
#include "keeper.h"
#include "log.h"
#include "out.h"
#include "violation.h"

/* Where it goes; all but the log may be NULL. */
struct deliver_to {
  struct out *out;
  struct alerts *alerts;
  struct keeper *keeper;
  struct follow *follow;
  struct log *log;
};

/* Adds the violation as a JSON line to `out`, which out_wake then has written, gives it to `alerts`, and with its incident
 * to the ledger and to those who follow. What is withheld is counted by its incident alone. Runs its actions through `log`, as far
 * as v->voice carries. A rule in shadow is written, its actions do not run. Keeps nothing of it. */
void deliver(const struct violation *v, const struct deliver_to *to);

#endif
