/* Alerts as JSON, straight into the caller's buffer. Violations stand in it as they were printed; where the buffer's bound
 * would be passed by one it is left out, and the rest is whole. */
#include "alert_json.h"

#include <inttypes.h>
#include <string.h>

#include "limits.h"
#include "violation.h"

enum { TAIL_BYTES = 64 }; /* what closes an alert behind its last violation */

static void add_string(struct buffer *out, const char *name, const char *value) {
  buffer_printf(out, "\"%s\":", name);
  buffer_json(out, value, strlen(value));
}

static void add_time(struct buffer *out, const char *name, uint64_t ns) {
  char text[32];
  if (!ns) return;
  time_text(ns, text);
  buffer_printf(out, ",\"%s\":\"%s\"", name, text);
}

static void add_violations(struct buffer *out, const struct incident *inc) {
  bool first = true;
  buffer_text(out, ",\"violations\":[");
  for (uint32_t k = 0; k < inc->exemplars_count; k++) {
    const struct incident_exemplar *e = &inc->exemplars[k];
    if (!e->json_bytes || out->len + e->json_bytes + TAIL_BYTES > out->max) continue;
    if (!first) buffer_text(out, ",");
    buffer_add(out, e->json, e->json_bytes);
    first = false;
  }
  buffer_text(out, "]");
}

int incident_json(const struct incident *incident, bool with_violations, struct buffer *out) {
  buffer_printf(out, "{\"id\":\"%s\",\"rule\":", incident->id);
  buffer_json(out, incident->rule.p, incident->rule.n);
  buffer_printf(out, ",\"severity\":\"%s\",\"status\":\"%s\",\"group\":", severity_text(incident->severity),
                incident_status_names[incident->status]);
  labels_json(incident->group, out);
  buffer_printf(out, ",\"count\":%" PRIu64, incident->count);
  if (incident->reopened) buffer_printf(out, ",\"reopened\":%" PRIu32, incident->reopened);
  add_time(out, "started_at", incident->started_ns);
  add_time(out, "last_seen_at", incident->last_seen_ns);
  add_time(out, "acknowledged_at", incident->acknowledged_ns);
  add_time(out, "resolved_at", incident->resolved_ns);
  buffer_text(out, ",");
  add_string(out, "summary", incident->summary ? incident->summary : "");
  buffer_text(out, ",\"labels\":");
  labels_json((struct labels){incident->labels, incident->labels_bytes}, out);
  if (incident->shadow) buffer_text(out, ",\"shadow\":true");
  if (with_violations) add_violations(out, incident);
  return buffer_text(out, "}");
}

int alert_json(const struct notice *notice, struct buffer *out) {
  buffer_printf(out, "{\"version\":1,\"id\":\"%s\",\"receiver\":", notice->id);
  buffer_json(out, notice->receiver.p, notice->receiver.n);
  buffer_printf(out, ",\"status\":\"%s\",\"event\":\"%s\"", notice->resolved ? "resolved" : "firing",
                notice_event_names[notice->event]);
  add_time(out, "at", notice->at_ns);
  buffer_text(out, ",\"group\":");
  labels_json(notice->group, out);
  buffer_text(out, ",\"incidents\":[");
  for (uint32_t k = 0; k < notice->incidents_count; k++) {
    if (k) buffer_text(out, ",");
    incident_json(notice->incidents[k], true, out);
  }
  return buffer_printf(out, "],\"incidents_total\":%" PRIu32 "}", notice->incidents_total);
}

int silence_json(const struct silence *silence, struct buffer *out) {
  buffer_printf(out, "{\"id\":\"%s\",", silence->id);
  add_string(out, "matchers", silence->matchers_text);
  buffer_text(out, ",");
  add_string(out, "created_by", silence->created_by);
  buffer_text(out, ",");
  add_string(out, "comment", silence->comment);
  add_time(out, "created_at", silence->created_ns);
  if (silence->ends_ns == UINT64_MAX)
    buffer_text(out, ",\"until_resolved\":true");
  else
    add_time(out, "ends_at", silence->ends_ns);
  add_time(out, "ended_at", silence->ended_ns);
  return buffer_printf(out, ",\"incidents\":%" PRIu32 "}", silence->burning);
}
