/* Lists of what the ledger has, and one thing of them by its id. A query's parameters become a question; what is unknown,
 * or no value of its parameter, is refused by name. Moves no data: the answer is the ledger's text. */
#include "api_parts.h"

#include <stdio.h>
#include <string.h>

#include "http_query.h"
#include "limits.h"
#include "timestamp.h"

#define SEVERITIES "|low|medium|high|critical|"
#define PAGES {"since", API_SINCE, NULL}, {"limit", API_LIMIT, NULL}, {"cursor", API_CURSOR, NULL}, {NULL, 0, NULL}

const struct api_param api_incidents_params[] = {{"id", API_ID, NULL},
                                                 {"rule", API_RULE, NULL},
                                                 {"severity", API_SEVERITY, SEVERITIES},
                                                 {"status", API_STATUS, "|active|open|acknowledged|resolved|"},
                                                 PAGES};
const struct api_param api_violations_params[] = {
    {"id", API_ID, NULL}, {"rule", API_RULE, NULL}, {"severity", API_SEVERITY, SEVERITIES}, {"incident", API_INCIDENT, NULL}, PAGES};
const struct api_param api_deliveries_params[] = {
    {"id", API_ID, NULL}, {"receiver", API_RULE, NULL}, {"state", API_STATUS, "|pending|done|dead|"}, PAGES};
const struct api_param api_silences_params[] = {{"id", API_ID, NULL}, {"status", API_STATUS, "|active|over|"}, PAGES};
const struct api_param api_feedback_params[] = {{"violation", API_ID, NULL},
                                                {"rule", API_RULE, NULL},
                                                {"verdict", API_STATUS, "|wrong|right|revoked|"},
                                                {"incident", API_INCIDENT, NULL},
                                                PAGES};

const struct api_param api_rules_params[] = {{"limit", API_LIMIT, NULL}, {"cursor", API_CURSOR, NULL}, {NULL, 0, NULL}};

enum { TEXT_BYTES = LIMIT_RULE_NAME_BYTES + 1 };

struct list_query {
  struct ledger_query query;
  char texts[API_TEXTS][TEXT_BYTES];
};

static const struct api_param *param_of(const struct api_param *params, struct http_text name) {
  for (; params && params->name; params++)
    if (params->name[0] && strlen(params->name) == name.n && !memcmp(params->name, name.p, name.n)) return params;
  return NULL;
}

static bool read_number(struct http_text text, uint64_t max, uint64_t *out) {
  *out = 0;
  for (size_t i = 0; i < text.n; i++) {
    if (text.p[i] < '0' || text.p[i] > '9' || *out > max / 10) return false;
    *out = *out * 10 + (uint64_t)(text.p[i] - '0');
  }
  return text.n > 0 && *out > 0 && *out <= max;
}

static bool is_value(const char *values, const char *text) {
  char word[TEXT_BYTES + 2];
  if (!values) return true;
  snprintf(word, sizeof word, "|%s|", text);
  return !strchr(text, '|') && strstr(values, word);
}

static bool is_hex(struct http_text text) {
  size_t n = 0;
  while (n < text.n && http_hex_digit(text.p[n]) >= 0 && !(text.p[n] >= 'A' && text.p[n] <= 'F')) n++;
  return n == text.n;
}

/* NULL, or what it should be. */
static const char *take_value(struct list_query *q, const struct api_param *param, struct http_text value) {
  uint64_t number = 0;
  switch (param->target) {
  case API_SINCE:
    return timestamp_read(value.p, value.n, &q->query.since_ns) ? NULL : "a time, as 2026-01-01T00:00:00Z";
  case API_LIMIT:
    if (!read_number(value, LIMIT_LEDGER_ROWS, &number)) return "a number from 1 to 1000";
    q->query.limit = (uint32_t)number;
    return NULL;
  case API_CURSOR: return read_number(value, INT64_MAX, &q->query.cursor) ? NULL : "what `next` of the page before says";
  default:
    if (!value.n || value.n >= TEXT_BYTES || memchr(value.p, '\0', value.n)) return "a text, and one that is not as long";
    if (param->target == API_ID && q->query.what != LEDGER_DELIVERIES && !is_hex(value)) return "hex digits, what ids begin with";
    memcpy(q->texts[param->target], value.p, value.n);
    return is_value(param->values, q->texts[param->target]) ? NULL : param->values;
  }
}

static bool take_params(struct list_query *q, const struct api_call *call) {
  struct http_query reader;
  struct http_query_pair pair;
  int got;
  http_query_init(&reader, call->request->query);
  while ((got = http_query_next(&reader, &pair)) > 0) {
    const struct api_param *param = param_of(call->endpoint->params, pair.name);
    const char *expected = param ? take_value(q, param, pair.value) : NULL;
    if (!param)
      api_refuse(call->response, 400, "there is no parameter %.*s", (int)(pair.name.n < 60 ? pair.name.n : 60), pair.name.p);
    else if (expected)
      api_refuse(call->response, 400, "%s: expected %s", param->name, expected);
    if (!param || expected) return false;
  }
  if (got < 0) api_refuse(call->response, 400, "the query is malformed, or has a parameter over %d bytes", HTTP_QUERY_BYTES_MAX);
  return got == 0;
}

bool api_take_page(const struct api_call *call, uint32_t *limit, uint64_t *cursor) {
  struct list_query q = {.query = {.limit = LEDGER_ROWS_DEFAULT}};
  if (!take_params(&q, call)) return false;
  *limit = q.query.limit;
  *cursor = q.query.cursor;
  return true;
}

void api_get_list(struct api *a, const struct api_call *call) {
  struct list_query q = {.query = {.what = call->endpoint->what, .prefix = true}};
  if (!take_params(&q, call)) return;
  q.query.id = q.texts[API_ID];
  q.query.rule = q.texts[API_RULE];
  q.query.severity = q.texts[API_SEVERITY];
  q.query.status = q.texts[API_STATUS];
  q.query.incident = q.texts[API_INCIDENT];
  api_ask(a, call, &q.query);
}

static void ask_one(struct api *a, const struct api_call *call, bool one) {
  struct list_query q = {.query = {.what = call->endpoint->what, .id = call->id, .one = one}};
  if (!call->id[0]) api_refuse(call->response, 404, "there is none of this id");
  else if (take_params(&q, call)) api_ask(a, call, &q.query);
}

void api_get_one(struct api *a, const struct api_call *call) {
  ask_one(a, call, true);
}

void api_get_evidence(struct api *a, const struct api_call *call) {
  ask_one(a, call, false);
}
