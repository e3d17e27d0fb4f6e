/* Troubles: what goes wrong with alerts themselves is an incident, too, of a rule of ours, which every receiver that is
 * configured is told of but the one that it is about. `fluo:delivery`, a group a receiver: an alert was given up, or is
 * not delivered for long. `fluo:incidents`, a group a rule: its violations open no more incidents. `fluo:ledger`, a group a
 * trouble: the ledger was damaged, falls behind, or cannot be written. */
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

/* A delivery that was given up, or is still tried, and why. One that told of such a trouble itself is none: it would come
 * back for ever. Not from within the incidents' callbacks. */
void trouble_delivery(const struct troubles *t, const struct outbox_delivery *d, bool given_up, const char *why, uint64_t now_ns);
/* Violations of a rule find no room among the incidents; not from within their callbacks. */
void trouble_refused(const struct troubles *t, const struct incidents_refusal *r, uint64_t now_ns);
/* What the ledger says of itself. What lasts is over when it says LEDGER_WELL. */
void trouble_ledger(const struct troubles *t, enum ledger_trouble trouble, const char *why, uint64_t now_ns);

#endif
