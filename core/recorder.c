/* Recording.
 *
 * Good path: a client's first request opens a recording, which is there until its stream ends (stream.h). Every span that
 * arrives is printed straight from its body into the queue of each recording that wants it, so nothing is missing that
 * the buffer would shed later; spans of one resource and scope stand together as they came. The end of the request
 * closes the line and wakes the client.
 *
 * Ways it fails: a line that finds no room in the queue, or no memory, is taken back whole; the next that does is
 * preceded by a line that says how much is missing.
 *
 * Who frees what: a recording is freed when its stream is closed. */
#include "recorder.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "http_query.h"
#include "limits.h"
#include "otlp_print.h"
#include "otlp_schema.h"
#include "stream.h"

struct recording {
  struct stream stream;          /* its queue has whole lines, and the one that is being written */
  size_t line;                   /* where that begins */
  bool writing, spoiled;         /* a line; and it found no room */
  const uint8_t *resource, *scope;    /* of the span before, in this line */
  uint8_t trace_id[16];          /* of the span before */
  uint8_t only[16];              /* the one trace that is wanted, where has_only */
  bool has_only, violated, by_trace;
  char *rules[LIMIT_RECORDING_RULES];  /* owned */
  uint32_t rules_count;
  uint64_t line_spans, lost_lines, lost_spans;    /* lost: since it was last said */
};

struct recorder {
  struct streams recordings;
  struct recorder_stats stats;
};

static struct recording *next_of(const struct recorder *r, const struct recording *c) {
  return (struct recording *)(void *)streams_next(&r->recordings, c ? &c->stream : NULL);
}

/* ---- lines --------------------------------------------------------------------------------------- */

static void lose_line(struct recorder *r, struct recording *c) {
  c->stream.queue.len = c->line;
  c->stream.queue.err = 0;
  c->lost_lines++;
  c->lost_spans += c->line_spans;
  r->stats.lost_lines++;
  r->stats.lost_spans += c->line_spans;
}

/* In the place of what is missing; where there is no room for that either, later. */
static void say_lost(struct recording *c) {
  struct buffer *queue = &c->stream.queue;
  size_t before = queue->len;
  if (!c->lost_lines) return;
  buffer_printf(queue, "{\"fluo\":{\"lost\":{\"lines\":%" PRIu64 ",\"spans\":%" PRIu64 "}}}\n", c->lost_lines,
                c->lost_spans);
  if (stream_kept(queue, before)) c->lost_lines = c->lost_spans = 0;
}

static void line_begin(struct recording *c, uint64_t now_ns) {
  say_lost(c);
  c->line = c->stream.queue.len;
  c->writing = true;
  c->spoiled = false;
  c->line_spans = 0;
  c->resource = c->scope = NULL;
  buffer_printf(&c->stream.queue, "{\"receivedAtUnixNano\":\"%" PRIu64 "\",\"resourceSpans\":[", now_ns);
}

static void line_end(struct recorder *r, struct recording *c) {
  if (!c->writing) return;
  c->writing = false;
  if (!c->spoiled) buffer_text(&c->stream.queue, "]}]}]}\n");
  if (c->spoiled || c->stream.queue.err) lose_line(r, c);
  else r->stats.lines++;
}

static void add_message(struct buffer *b, const char *name, enum otlp_message shape, struct otlp_bytes message) {
  if (!message.n) return;
  buffer_printf(b, "\"%s\":", name);
  otlp_print(b, shape, message.p, message.n);
  buffer_text(b, ",");
}

/* Equal pointers are the same resource, or scope; none is one of its own. */
static void add_span(struct recording *c, const struct otlp_span *span) {
  static const uint8_t none[1];
  struct buffer *b = &c->stream.queue;
  const uint8_t *resource = span->resource.n ? span->resource.p : none, *scope = span->scope.n ? span->scope.p : none;
  bool other = resource != c->resource, first = !c->resource;
  if (other) {
    buffer_text(b, first ? "{" : "]}]},{");
    add_message(b, "resource", OTLP_RESOURCE, span->resource);
    buffer_text(b, "\"scopeSpans\":[");
  }
  if (other || scope != c->scope) {
    buffer_text(b, other ? "{" : "]},{");
    add_message(b, "scope", OTLP_SCOPE, span->scope);
    buffer_text(b, "\"spans\":[");
  } else {
    buffer_text(b, ",");
  }
  otlp_print(b, OTLP_SPAN, span->message.p, span->message.n);
  c->resource = resource;
  c->scope = scope;
}

static void take_span(struct recorder *r, struct recording *c, const struct otlp_span *span, uint64_t now_ns) {
  if (c->has_only && memcmp(c->only, span->trace_id, 16)) return;
  bool other = c->by_trace && memcmp(c->trace_id, span->trace_id, 16);
  if (c->writing && other) line_end(r, c);
  if (!c->writing) line_begin(c, now_ns);
  memcpy(c->trace_id, span->trace_id, 16);
  c->line_spans++;
  if (c->spoiled) return;
  add_span(c, span);
  c->spoiled = c->stream.queue.err != 0;
}

static void take(struct recorder *r, const struct otlp_span *span, uint64_t now_ns) {
  if (span->rejected) return;
  for (struct recording *c = NULL; (c = next_of(r, c));) take_span(r, c, span, now_ns);
}

static void request_end(struct recorder *r) {
  for (struct recording *c = NULL; (c = next_of(r, c));) {
    line_end(r, c);
    if (c->stream.queue.len) stream_wake(&c->stream);
  }
}

void recorder_take(struct recorder *r, const struct otlp_cursor *body, size_t cost_max, uint64_t now_ns) {
  struct otlp_cursor copy = *body; /* what it points to does not change with it */
  enum otlp_step step = OTLP_STEP_ON;
  if (!r->recordings.count) return;
  for (size_t cost = 0; cost < cost_max && (step = otlp_step(&copy, &cost)) != OTLP_STEP_END;)
    if (step == OTLP_STEP_SPAN) take(r, &copy.span, now_ns);
  request_end(r);
}

/* ---- which traces -------------------------------------------------------------------------------- */

static bool wants_rule(const struct recording *c, const struct ruleset *rules, uint32_t rule) {
  struct fluo_text name = ruleset_rule(rules, rule)->name;
  for (uint32_t i = 0; i < c->rules_count; i++)
    if (strlen(c->rules[i]) == name.len && !memcmp(c->rules[i], ruleset_text(rules, name), name.len)) return true;
  return false;
}

/* A decision that finds no room is as good as lost lines, and counts as one. */
static void say_keep(struct recorder *r, struct recording *c, const uint8_t trace_id[16], bool keep,
                     bool over) {
  char id[33];
  hex_text(trace_id, 16, id);
  c->line = c->stream.queue.len;
  c->line_spans = 0;
  buffer_printf(&c->stream.queue, "{\"fluo\":{\"trace\":\"%s\",\"keep\":%s%s}}\n", id, keep ? "true" : "false",
                over ? ",\"over\":true" : "");
  if (c->stream.queue.err) lose_line(r, c);
  stream_wake(&c->stream);
}

void recorder_violation(struct recorder *r, const struct violation *v) {
  bool across = v->rule->scope == FLUO_SCOPE_WINDOW || v->rule->scope == FLUO_SCOPE_SEQUENCE;
  for (struct recording *c = NULL; (c = next_of(r, c));) {
    if (!wants_rule(c, v->rules, v->rule_index)) continue;
    if (!across) say_keep(r, c, v->trace_id, true, false);
    for (uint32_t i = 0; across && i < v->witnesses_count; i++) say_keep(r, c, v->spans[i].trace_id, true, false);
  }
}

static bool was_hit(const struct recording *c, const struct ruleset *rules, const struct trace *t) {
  for (uint32_t i = 0; i < t->tallies_count; i++)
    if (wants_rule(c, rules, ruleset_pattern(rules, t->tallies[i].pattern)->rule)) return true;
  return false;
}

void recorder_trace_end(struct recorder *r, const struct ruleset *rules, const struct trace *t) {
  for (struct recording *c = NULL; (c = next_of(r, c));)
    if (c->by_trace && !(c->has_only && memcmp(c->only, t->id, 16)))
      say_keep(r, c, t->id, !c->rules_count || (!c->violated && was_hit(c, rules, t)), true);
}

/* ---- clients ------------------------------------------------------------------------------------- */

static void recording_free(struct recording *c) {
  for (uint32_t i = 0; i < c->rules_count; i++) heap_free(c->rules[i]);
  heap_free(c);
}

static bool read_id(struct http_text text, uint8_t out[16]) {
  if (text.n != 32) return false;
  for (size_t i = 0; i < 32; i++) {
    int digit = http_hex_digit(text.p[i]);
    if (digit < 0) return false;
    out[i / 2] = (uint8_t)(out[i / 2] << 4 | digit);
  }
  return true;
}

/* One name and value of the query. false: it was refused. */
static bool take_choice(struct recording *c, const struct ruleset *rules, const struct http_query_pair *pair,
                        struct http_response *response) {
  if (http_text_is(pair->name, "trace")) {
    c->has_only = read_id(pair->value, c->only);
    if (!c->has_only) http_say(response, 400, "trace: expected 32 hex digits");
  } else if (http_text_is(pair->name, "violated")) {
    c->violated = http_text_is(pair->value, "1");
  } else if (http_text_is(pair->name, "by")) {
    c->by_trace = http_text_is(pair->value, "trace");
    if (!c->by_trace) http_say(response, 400, "by: expected trace");
  } else if (http_text_is(pair->name, "rule")) {
    c->by_trace = true;
    if (ruleset_find(rules, pair->value.p, pair->value.n) == UINT32_MAX)
      http_say(response, 400, "no rule is called %.*s", (int)(pair->value.n < 200 ? pair->value.n : 200), pair->value.p);
    else if (c->rules_count == LIMIT_RECORDING_RULES)
      http_say(response, 400, "more than %d rules", LIMIT_RECORDING_RULES);
    else if (!(c->rules[c->rules_count] = heap_alloc(pair->value.n + 1)))
      http_say(response, 503, "%s", err_text(FLUO_ENOMEM));
    else {
      memcpy(c->rules[c->rules_count], pair->value.p, pair->value.n);
      c->rules[c->rules_count++][pair->value.n] = '\0';
    }
  } else {
    http_say(response, 400, "unknown parameter %.*s; there are by, rule, trace, violated",
             (int)(pair->name.n < 100 ? pair->name.n : 100), pair->name.p);
  }
  return !response->status;
}

static struct recording *recording_new(const struct ruleset *rules, struct http_text query,
                                       struct http_response *response) {
  struct recording *c = heap_zalloc(sizeof *c);
  struct http_query q;
  struct http_query_pair pair;
  if (!c) {
    http_say(response, 503, "%s", err_text(FLUO_ENOMEM));
    return NULL;
  }
  int got;
  http_query_init(&q, query);
  while ((got = http_query_next(&q, &pair)) > 0)
    if (!take_choice(c, rules, &pair, response)) break;
  if (got < 0) http_say(response, 400, "the query is malformed, or has a parameter over %d bytes", HTTP_QUERY_BYTES_MAX);
  if (!response->status) return c;
  recording_free(c);
  return NULL;
}

static struct recording *recording_open(struct recorder *r, const struct ruleset *rules,
                                        const struct http_request *request, struct http_response *response) {
  bool ended = r->recordings.ended;
  if (ended || r->recordings.count >= LIMIT_RECORDINGS) {
    http_say(response, 503, ended ? "the agent is ending" : "%d are recording already", LIMIT_RECORDINGS);
    return NULL;
  }
  struct recording *c = recording_new(rules, request->query, response);
  if (c) stream_open(&r->recordings, &c->stream, LIMIT_RECORDING_BYTES);
  return c;
}

static void recording_close(struct recorder *r, struct recording *c) {
  stream_close(&r->recordings, &c->stream);
  recording_free(c);
}

void recorder_answer(struct recorder *r, const struct ruleset *rules, const struct http_request *request,
                     struct http_response *response) {
  struct recording *c = *request->work;
  bool first = !c;
  if (first && !(c = recording_open(r, rules, request, response))) return;
  struct buffer *queue = &c->stream.queue;
  response->status = 200;
  response->content_type = "application/x-ndjson";
  if (r->recordings.ended) {
    say_lost(c);
    buffer_text(queue, "{\"fluo\":{\"ended\":true}}\n");
  }
  /* An empty line at first, so that the head goes out. */
  buffer_add(response->body, first ? "\n" : queue->data, first ? 1 : queue->len);
  buffer_clear(queue);
  if (!stream_waits(&r->recordings, &c->stream, request, response)) recording_close(r, c);
}

/* ---- the whole ----------------------------------------------------------------------------------- */

struct recorder *recorder_new(void) {
  struct recorder *r = heap_zalloc(sizeof *r);
  if (r) streams_init(&r->recordings);
  return r;
}

void recorder_free(struct recorder *r) {
  if (!r) return;
  assert(!r->recordings.count);
  heap_free(r);
}

void recorder_tick(struct recorder *r) {
  for (struct recording *c = NULL; (c = next_of(r, c));) {
    say_lost(c);
    if (!c->stream.queue.len) buffer_text(&c->stream.queue, "\n");
    c->stream.queue.err = 0;
    stream_wake(&c->stream);
  }
}

void recorder_end(struct recorder *r) {
  if (r) streams_end(&r->recordings);
}

struct recorder_stats recorder_stats(const struct recorder *r) {
  struct recorder_stats stats = r->stats;
  stats.recordings = r->recordings.count;
  return stats;
}
