/* The /metrics page. Conservation can be read off it at any moment:
 *   received = accepted + refused, and accepted = evaluated + dropped + in flight. */
#include "page.h"

#include <stdio.h>

#include "metrics.h"

static void sample(struct buffer *b, const char *name, const char *label, const char *value,
                   uint64_t x) {
  metrics_uint(b, name, metrics_labels(label, value), x);
}

static void write_spans(struct buffer *b, const struct engine_stats *s) {
  metrics_counter(b, "fluo_receiver_received_spans_total", "Spans of bodies that parsed.",
                  s->received);
  metrics_counter(b, "fluo_receiver_accepted_spans_total", "Spans taken: received less refused.",
                  s->received - s->rejected);
  metrics_family(b, "fluo_receiver_refused_spans_total", METRICS_COUNTER,
                 "Spans refused, by reason.");
  for (int i = OTLP_TAKEN + 1; i < OTLP_REJECTS; i++)
    sample(b, "fluo_receiver_refused_spans_total", "reason", otlp_reject_names[i], s->rejected_for[i]);
  metrics_counter(b, "fluo_evaluated_spans_total", "Spans whose trace was judged to its end.",
                  s->evaluated);
  metrics_family(b, "fluo_dropped_spans_total", METRICS_COUNTER,
                 "Spans taken and not judged, by reason.");
  for (int i = 0; i < DROP_REASONS; i++)
    sample(b, "fluo_dropped_spans_total", "reason", drop_reason_names[i], s->dropped[i]);
  metrics_gauge(b, "fluo_in_flight_spans", "Spans held until their trace is judged.",
                (double)s->in_flight);
  metrics_counter(b, "fluo_lost_notes_total",
                  "Hits or questions for which there was no memory; their trace counts as cut.",
                  s->hits_lost);
  metrics_counter(b, "fluo_skipped_causes_total",
                  "Violations whose cause was not looked for: too many of one trace, or no memory.",
                  s->causes_skipped);
  metrics_counter(b, "fluo_shed_questions_total",
                  "Questions to rule functions that were not asked, because too many waited: unknown.",
                  s->questions_shed);
  metrics_counter(b, "fluo_shed_judgments_total",
                  "Judgments of traces given up because their rule was far behind: unknown.", s->judgments_shed);
}

static void write_traces(struct buffer *b, const struct store_stats *s) {
  metrics_gauge(b, "fluo_open_traces", "Traces being assembled.", (double)s->traces_open);
  metrics_family(b, "fluo_closed_traces_total", METRICS_COUNTER, "Traces closed, by reason.");
  for (int i = 0; i < CLOSE_REASONS; i++)
    sample(b, "fluo_closed_traces_total", "reason", close_reason_text((enum close_reason)i),
           s->traces_closed[i]);
  metrics_counter(b, "fluo_late_spans_total", "Spans that came after their trace was closed.",
                  s->late_spans);
  metrics_gauge(b, "fluo_kept_traces", "Closed traces that a rule with late = true may still need.",
                (double)s->traces_kept);
  metrics_counter(b, "fluo_released_traces_total",
                  "Of these, let go before trace.late: for want of room, or at a cap of the trace.",
                  s->kept_released);
  metrics_counter(b, "fluo_skewed_spans_total",
                  "Spans that end before they start, or never: duration 0.", s->skewed_spans);
  metrics_counter(b, "fluo_malformed_spans_total",
                  "Spans that are their own parent, or were cut from a cycle.", s->malformed_spans);
  metrics_counter(b, "fluo_shed_spare_payloads_total",
                  "Spans whose attributes, which only evidence needs, were given back under memory pressure.", s->spares_shed);
  metrics_counter(b, "fluo_shed_payloads_total",
                  "Spans whose attributes were given back under memory pressure.",
                  s->payloads_shed);
  metrics_counter(b, "fluo_lost_hits_total",
                  "Hits for which there was no memory; their trace counts as cut.", s->hits_lost);
  metrics_counter(b, "fluo_forgotten_ids_total",
                  "Ids of closed traces forgotten before trace.late, for want of room.",
                  s->ids_forgotten);
}

static void write_buffer(struct buffer *b, const struct store_stats *s) {
  metrics_gauge(b, "fluo_buffer_limit_bytes", "buffer.bytes_max.", (double)s->arena_bytes);
  metrics_gauge(b, "fluo_buffer_used_bytes", "Of the buffer in use, books included.",
                (double)(s->arena_bytes_used + s->heap_bytes + s->remembered_bytes));
  metrics_gauge(b, "fluo_buffer_remembered_bytes", "Of it, ids of closed traces.",
                (double)s->remembered_bytes);
  metrics_gauge(b, "fluo_buffer_symbols_bytes", "Names, resources and scopes kept once.",
                (double)s->symbols_bytes);
  metrics_counter(b, "fluo_symbols_refused_total",
                  "Texts kept with their trace because symbols were full.", s->symbols_refused);
  metrics_gauge(b, "fluo_buffer_horizon_seconds", "How long a trace can live at the present rate.",
                s->horizon_s);
}

static void write_state(struct buffer *b, const struct engine *engine) {
  struct engine_across_stats s;
  engine_across_stats_get(engine, &s);
  metrics_gauge(b, "fluo_state_bytes", "Memory of the groups of windows and sequences.", (double)s.bytes);
  metrics_gauge(b, "fluo_state_groups", "Groups that windows and sequences know.", (double)s.groups);
  metrics_counter(b, "fluo_state_evicted_groups_total",
                  "Groups that had to go, the least recently used first, for a bound.", s.groups_evicted);
  metrics_counter(b, "fluo_state_lost_events_total", "Events of windows and sequences that found no memory.",
                  s.lost_events);
  metrics_counter(b, "fluo_sequence_overflowed_spans_total",
                  "Spans that a sequence forgot because its key had 1,024 others, or a cascade for want of room.", s.overflowed_events);
  metrics_counter(b, "fluo_window_late_events_total", "Spans that came too late for a window or a sequence.", s.late_events);
  metrics_counter(b, "fluo_window_future_events_total",
                  "Events of windows that were ahead of the clock and were moved.", s.future_events);
}

static void write_snapshots(struct buffer *b, const struct state_file *file, uint64_t now_ns) {
  struct state_file_stats s;
  state_file_stats_get(file, &s);
  uint64_t age_ns = s.stale && now_ns > s.moment_ns ? now_ns - s.moment_ns : 0;
  metrics_gauge(b, "fluo_snapshot_age_seconds",
                "What a crash would forget: since the newest snapshot, 0 while nothing has changed since.",
                s.moment_ns ? (double)age_ns / 1e9 : 0);
  metrics_gauge(b, "fluo_snapshot_bytes", "Size of the newest snapshot of windows and sequences.",
                (double)s.bytes);
  metrics_counter(b, "fluo_snapshots_total", "Snapshots written.", s.written);
  metrics_counter(b, "fluo_snapshot_failures_total", "Snapshots that could not be written.", s.failed);
  metrics_counter(b, "fluo_snapshot_left_out_groups_total",
                  "Groups that snapshots have no room for.", s.left_out);
  metrics_gauge(b, "fluo_snapshot_restored_groups", "Groups taken from a snapshot at the start.",
                (double)s.restored);
  metrics_gauge(b, "fluo_snapshot_dropped_groups",
                "Groups of it that were not: of rules that have changed or are gone, or malformed.",
                (double)s.dropped);
  metrics_gauge(b, "fluo_snapshot_damaged_blocks", "Blocks of it that were damaged.", s.damaged);
}

/* Of rules that were, so that the page does not grow by two lines for every rule. */
static void write_withheld(struct buffer *b, const char *rule, const struct voice *voice) {
  static const char name[] = "fluo_rule_withheld_lines_total";
  if (voice->lines_withheld)
    metrics_uint(b, name, metrics_labels("rule", rule, "output", "violations"), voice->lines_withheld);
  if (voice->log_withheld) metrics_uint(b, name, metrics_labels("rule", rule, "output", "log"), voice->log_withheld);
}

static void write_rules(struct buffer *b, const struct page *p) {
  const struct ruleset *rules = host_rules(p->host);
  const struct engine *engine = host_engine(p->host);
  uint32_t count = ruleset_ir(rules)->rules;
  metrics_gauge(b, "fluo_rules_loaded", "Rules in force.", count);
  metrics_gauge(b, "fluo_rules_editions", "Editions of the rules alive: in force, being loaded, draining.",
                host_editions(p->host));
  reload_metrics(p->reload, b);
  metrics_family(b, "fluo_rule_violations_total", METRICS_COUNTER, "Violations, by rule.");
  for (uint32_t i = 0; i < count; i++)
    metrics_uint(b, "fluo_rule_violations_total",
                 metrics_labels("rule", host_rule_name(p->host, i), "severity",
                                severity_text(ruleset_rule(rules, i)->severity)),
                 engine_rule_stats(engine, i)->violations);
  metrics_family(b, "fluo_rule_unknown_total", METRICS_COUNTER,
                 "Judgments that stayed unknown, by rule.");
  for (uint32_t i = 0; i < count; i++)
    sample(b, "fluo_rule_unknown_total", "rule", host_rule_name(p->host, i),
           engine_rule_stats(engine, i)->unknown);
  metrics_family(b, "fluo_rule_errors_total", METRICS_COUNTER,
                 "Errors raised by functions, by rule.");
  for (uint32_t i = 0; i < count; i++)
    sample(b, "fluo_rule_errors_total", "rule", host_rule_name(p->host, i),
           engine_rule_stats(engine, i)->errors);
  metrics_family(b, "fluo_rule_withheld_lines_total", METRICS_COUNTER,
                 "Violations that are counted above and were not written, by rule and output.");
  for (uint32_t i = 0; i < count; i++) write_withheld(b, host_rule_name(p->host, i), engine_rule_voice(engine, i));
  metrics_family(b, "fluo_rule_quarantined", METRICS_GAUGE,
                 "1 while a rule is out of use after three faults.");
  for (uint32_t i = 0; i < count; i++)
    sample(b, "fluo_rule_quarantined", "rule", host_rule_name(p->host, i),
           host_quarantined(p->host, i));
}

static void write_study(struct buffer *b, const struct page *p) {
  struct study_stats s;
  host_study_stats(p->host, &s);
  metrics_counter(b, "fluo_study_jobs_total", "Jobs sent to the rule worker.", s.jobs);
  metrics_counter(b, "fluo_study_replies_total", "Replies taken from it.", s.replies);
  metrics_counter(b, "fluo_study_restarts_total", "Workers replaced.", s.restarts);
  metrics_counter(b, "fluo_study_pings_total", "Signs of life of processes that had nothing to do.", s.pings);
  metrics_family(b, "fluo_study_faults_total", METRICS_COUNTER, "Workers lost to a rule, by kind.");
  sample(b, "fluo_study_faults_total", "kind", "cpu", s.kills_cpu);
  sample(b, "fluo_study_faults_total", "kind", "memory", s.kills_memory);
  sample(b, "fluo_study_faults_total", "kind", "crash", s.crashes);
  metrics_counter(b, "fluo_study_shed_total",
                  "Questions answered unknown because too many jobs waited.", s.shed);
  metrics_gauge(b, "fluo_study_heap_bytes", "Lua heap of the worker after its last job.",
                (double)s.heap_bytes);
}

static void write_intake(struct buffer *b, const struct intake_stats *s) {
  metrics_family(b, "fluo_receiver_requests_total", METRICS_COUNTER,
                 "OTLP requests, by signal and encoding.");
  for (int i = 0; i < INTAKE_SIGNALS; i++)
    for (int j = 0; j < INTAKE_FORMATS; j++)
      metrics_uint(
          b, "fluo_receiver_requests_total",
          metrics_labels("signal", intake_signal_names[i], "encoding", intake_format_names[j]),
          s->requests[i][j]);
  metrics_family(b, "fluo_receiver_bytes_total", METRICS_COUNTER,
                 "Bytes of request bodies as sent, by signal.");
  for (int i = 0; i < INTAKE_SIGNALS; i++)
    sample(b, "fluo_receiver_bytes_total", "signal", intake_signal_names[i], s->bytes[i]);
  metrics_family(b, "fluo_receiver_refused_requests_total", METRICS_COUNTER,
                 "Requests refused whole, by reason.");
  sample(b, "fluo_receiver_refused_requests_total", "reason", "head", s->refused);
  sample(b, "fluo_receiver_refused_requests_total", "reason", "malformed", s->malformed);
  sample(b, "fluo_receiver_refused_requests_total", "reason", "too_large", s->too_large);
  sample(b, "fluo_receiver_refused_requests_total", "reason", "memory", s->no_memory);
  metrics_counter(b, "fluo_receiver_invalid_utf8_total", "Strings that were not UTF-8.",
                  s->invalid_utf8);
  metrics_counter(b, "fluo_receiver_strindex_total",
                  "String indices outside profiles, taken as absent.", s->strindex);
  metrics_counter(b, "fluo_receiver_enum_names_total", "JSON enums given by name.", s->enum_names);
}

static void write_server(struct buffer *b, const struct server *server) {
  const struct server_stats *s = server_stats(server);
  metrics_gauge(b, "fluo_http_open_connections", "Connections of the OTLP listener.",
                (double)s->connections_open);
  metrics_counter(b, "fluo_http_connections_total", "Connections accepted.",
                  s->connections_accepted);
  metrics_counter(b, "fluo_http_accept_errors_total", "Failures to accept (EMFILE and the like).",
                  s->accept_errors);
  metrics_counter(b, "fluo_http_accept_paused_total",
                  "Times that somebody waited at http.connections_max.", s->connections_full);
  metrics_counter(b, "fluo_http_overloads_total", "Requests answered 503 for want of memory.",
                  s->overloads);
  metrics_family(b, "fluo_http_responses_total", METRICS_COUNTER,
                 "Responses of the OTLP listener, by status.");
  for (int i = 0; i < SERVER_STATUS_MAX; i++) {
    char status[16];
    if (!s->responses[i]) continue;
    snprintf(status, sizeof status, "%d", i);
    sample(b, "fluo_http_responses_total", "code", status, s->responses[i]);
  }
  metrics_family(b, "fluo_http_timeouts_total", METRICS_COUNTER,
                 "Connections ended for slowness, by phase.");
  for (int i = 0; i < SERVER_TIMEOUTS; i++)
    sample(b, "fluo_http_timeouts_total", "phase", server_timeout_names[i], s->timeouts[i]);
}

static void write_output(struct buffer *b, const struct page *p) {
  metrics_family(b, "fluo_output_dropped_lines_total", METRICS_COUNTER,
                 "Lines dropped because the output was slow.");
  if (p->violations)
    sample(b, "fluo_output_dropped_lines_total", "output", "violations",
           out_dropped(p->violations));
  sample(b, "fluo_output_dropped_lines_total", "output", "log", log_dropped(p->log));
  if (p->violations)
    metrics_counter(b, "fluo_output_failed_lines_total",
                    "Violations that could not be written (closed, full).",
                    out_failed(p->violations));
}

static void write_recorder(struct buffer *b, struct recorder_stats s) {
  metrics_gauge(b, "fluo_recording_clients", "Clients that record what arrives.", (double)s.recordings);
  metrics_counter(b, "fluo_recording_lines_total", "Requests handed to them, one each.", s.lines);
  metrics_counter(b, "fluo_recording_lost_lines_total", "Requests that they did not take in time.", s.lost_lines);
  metrics_counter(b, "fluo_recording_lost_spans_total", "Spans of these.", s.lost_spans);
}

static void write_follow(struct buffer *b, struct follow_stats s) {
  metrics_gauge(b, "fluo_events_clients", "Clients that follow violations and incidents.", (double)s.clients);
  metrics_counter(b, "fluo_events_total", "Events handed to them.", s.events);
  metrics_counter(b, "fluo_events_lost_total", "Events that they did not take in time.", s.lost);
}

static void write_api(struct buffer *b, struct api_stats s) {
  metrics_counter(b, "fluo_api_requests_total", "Requests to the API.", s.requests);
  metrics_gauge(b, "fluo_api_waiting_requests", "Of these, those that wait for the ledger.", (double)s.waiting);
  metrics_counter(b, "fluo_api_refused_requests_total", "Of these, those for which there was no room, or no answer.", s.refused);
  metrics_counter(b, "fluo_api_late_requests_total", "Of these, those that the ledger did not answer in time.", s.late);
}

int page_write(const struct page *p, struct buffer *b) {
  struct engine_stats engine;
  struct store_stats store;
  engine_stats_get(host_engine(p->host), &engine);
  store_stats_get(engine_store(host_engine(p->host)), p->now_ns, &store);
  metrics_family(b, "fluo_build_info", METRICS_GAUGE, "1, with the version.");
  sample(b, "fluo_build_info", "version", FLUO_VERSION, 1);
  metrics_gauge(b, "fluo_ready", "1 once traffic is taken.", p->ready);
  metrics_gauge(b, "fluo_start_time_seconds", "Unix time of the start.",
                (double)p->started_ns / 1e9);
  write_spans(b, &engine);
  write_traces(b, &store);
  write_buffer(b, &store);
  write_state(b, host_engine(p->host));
  if (p->state_file) write_snapshots(b, p->state_file, p->now_ns);
  write_rules(b, p);
  write_study(b, p);
  if (p->intake) write_intake(b, intake_stats(p->intake));
  if (p->otlp_http) write_server(b, p->otlp_http);
  write_output(b, p);
  if (p->desk) desk_write(p->desk, b);
  if (p->recorder) write_recorder(b, recorder_stats(p->recorder));
  if (p->follow) write_follow(b, follow_stats(p->follow));
  if (p->api) write_api(b, api_stats(p->api));
  return b->err;
}
