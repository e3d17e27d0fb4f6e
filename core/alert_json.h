/* The JSON of alerts, as actions, webhooks and the API have it. */
#ifndef FLUO_ALERT_JSON_H
#define FLUO_ALERT_JSON_H
#include "notice.h"

/* Append without a line end: 0, or out->err (FLUO_ETOOLARGE, FLUO_ENOMEM). */
int alert_json(const struct notice *notice, struct buffer *out);
/* with_violations: its newest ones, as violation_json writes them, as many as fit. */
int incident_json(const struct incident *incident, bool with_violations, struct buffer *out);
int silence_json(const struct silence *silence, struct buffer *out);

#endif
