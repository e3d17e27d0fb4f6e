/* Alerts: violations become incidents, incidents become rows of the ledger and notices. Wiring alone: what an incident is
 * stands in incident.h, who is told in notice.h. Time is an argument. */
#ifndef FLUO_ALERTS_H
#define FLUO_ALERTS_H
#include "alert_json.h"
#include "alerting.h"
#include "ledger.h"
#include "violation.h"

struct alerts;

struct alerts_calls {
  /* As incident.h has it. NULL: nobody delivers. */
  bool (*on_notice)(void *ctx, const struct notice *notice);
  /* As incident.h has it, but what receivers know of it; NULL: nobody follows. */
  void (*on_incident)(void *ctx, const struct incident *incident, uint64_t now_ns);
  /* A violation has no incident, for there is no room, and somebody is to be told; NULL: nobody is. */
  void (*on_refused)(void *ctx, const struct incidents_refusal *refusal, uint64_t now_ns);
  void *ctx;
};

/* config is not kept; now_ns: what is restored goes on from here. 0, or a negative fluo_err and a line for people. */
int alerts_new(const struct alerting *config, const struct alerts_calls *calls, uint64_t now_ns, struct alerts **out,
               char why[MATCHERS_WHY_BYTES]);
void alerts_free(struct alerts *a);
/* For ledger_open: what it gives back is taken. */
struct ledger_restored alerts_restored(struct alerts *a);
/* Where rows go, from here on; NULL: nowhere. */
void alerts_keep(struct alerts *a, struct ledger *ledger);

/* Takes a violation, with its text. The id of its incident, lent until the next call; "": it has none. */
const char *alerts_violation(struct alerts *a, const struct violation *v, struct text json);
/* Takes one that is withheld: where its incident burns, that counts it; else it is taken as any other, without its text. */
void alerts_count(struct alerts *a, const struct violation *v);
/* A span that the rule's resolve_when asks for. */
void alerts_resolve(struct alerts *a, const struct ruleset *rules, uint32_t rule, const struct span_view *span,
                    uint64_t now_ns);
/* What a window's violation stood for goes on: rules, rule, group and by of it, and now_ns, are all that is looked at. */
void alerts_renew(struct alerts *a, const struct violation *v);

/* When something is due; UINT64_MAX: nothing is. */
uint64_t alerts_next_due(const struct alerts *a);
/* What is due by now. */
void alerts_step(struct alerts *a, uint64_t now_ns);
/* For the API. */
struct incidents *alerts_incidents(struct alerts *a);
/* Appends its part of /metrics. */
void alerts_write(const struct alerts *a, struct buffer *out);

#endif
