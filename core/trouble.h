/* Troubles: what goes wrong with alerts themselves is an incident, too, of a rule of ours, which every receiver that is
 * configured is told of but the one that it is about. `fluo:delivery`, a group a receiver: an alert was given up.
 * `fluo:ledger`, a group a trouble: the ledger was damaged, falls behind, or cannot be written. */
#ifndef FLUO_TROUBLE_H
#define FLUO_TROUBLE_H
#include "alerting.h"
#include "ledger.h"
#include "outbox.h"

/* Where they go; all outlive it. */
struct troubles {
  struct incidents *incidents;
  struct ledger *ledger;
  const struct alerting *alerting;
};

/* A delivery that was given up, and why. One that told of such a trouble itself is none: it would come back for ever. Not
 * from within the incidents' callbacks. */
void trouble_dead(const struct troubles *t, const struct outbox_delivery *d, const char *why, uint64_t now_ns);
/* What the ledger says of itself. What lasts is over when it says LEDGER_WELL. */
void trouble_ledger(const struct troubles *t, enum ledger_trouble trouble, const char *why, uint64_t now_ns);

#endif
