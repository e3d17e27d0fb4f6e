/* Violations as text.
 *
 * Good path: the engine fills a struct violation that lends from the arena and the rule set;
 * violation_json writes it into the caller's buffer, which is bounded. Ways to fail: only the
 * buffer (no memory, or its bound), and then what was appended is the caller's to throw away.
 * Nothing here allocates by itself. */
#include "violation.h"

#include <string.h>
#include <time.h>

#include "err.h"
#include "group.h"
#include "hash.h"
#include "limits.h"
#include "utf8.h"

#define CUT "\xe2\x80\xa6" /* … */

static const char *const scope_names[] = {"span", "trace", "window", "sequence"};

const char *severity_text(uint32_t severity) {
  static const char *const names[] = {"low", "medium", "high", "critical"};
  return severity < 4 ? names[severity] : "?";
}

void hex_text(const uint8_t *p, size_t n, char *out) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < n; i++) {
    *out++ = digits[p[i] >> 4];
    *out++ = digits[p[i] & 15];
  }
  *out = '\0';
}

/* n digits and what follows them. */
static char *put_digits(char *out, uint64_t x, int n, char after) {
  for (int i = n; i--; x /= 10) out[i] = (char)('0' + x % 10);
  out[n] = after;
  return out + n + 1;
}

void time_text(uint64_t unix_ns, char out[32]) {
  time_t seconds = (time_t)(unix_ns / 1000000000u);
  struct tm tm;
  gmtime_r(&seconds, &tm);
  char *p = put_digits(out, (uint64_t)tm.tm_year + 1900, 4, '-');
  p = put_digits(p, (uint64_t)tm.tm_mon + 1, 2, '-');
  p = put_digits(p, (uint64_t)tm.tm_mday, 2, 'T');
  p = put_digits(p, (uint64_t)tm.tm_hour, 2, ':');
  p = put_digits(p, (uint64_t)tm.tm_min, 2, ':');
  p = put_digits(p, (uint64_t)tm.tm_sec, 2, '.');
  *put_digits(p, unix_ns % 1000000000u, 9, 'Z') = '\0';
}

static bool is_across(const struct violation *v) {
  return v->rule->scope == FLUO_SCOPE_WINDOW || v->rule->scope == FLUO_SCOPE_SEQUENCE;
}

/* What tells one violation of a rule from another, into 40 bytes. */
static size_t put_key(const struct violation *v, uint8_t *key) {
  if (is_across(v)) {
    fluo_hash128(v->group, v->group_bytes, key);
    memcpy(key + 16, &v->time_ns, 8);
    if (v->rule->scope != FLUO_SCOPE_SEQUENCE) return 24;
    fluo_hash128(v->spans[0].span_id, 8, key + 24); /* two may start at one time */
    return 40;
  }
  memcpy(key, v->trace_id, 16);
  if (v->rule->scope != FLUO_SCOPE_SPAN || !v->witnesses_count) return 16;
  memcpy(key + 16, v->witnesses[0].span->span_id, 8);
  return 24;
}

void violation_id(const struct violation *v, char out[33]) {
  uint8_t key[16 + 1 + 40 + 256] = {0}, digest[16];
  memcpy(key, v->rule->version, 16);
  key[16] = v->rule->scope;
  size_t n = 17 + put_key(v, key + 17);
  /* Names have no bound of their own: a longer one goes in as its hash. */
  const char *name = ruleset_text(v->rules, v->rule->name);
  if (v->rule->name.len <= 256) {
    memcpy(key + n, name, v->rule->name.len);
    n += v->rule->name.len;
  } else {
    fluo_hash128(name, v->rule->name.len, key + n);
    n += 16;
  }
  fluo_hash128(key, n, digest);
  hex_text(digest, 16, out);
}

static int add_member(struct buffer *out, const char *name) {
  buffer_text(out, ",\"");
  buffer_text(out, name);
  return buffer_text(out, "\":");
}

/* Of a text that needs no escapes. */
static void add_word(struct buffer *out, const char *name, const char *word) {
  add_member(out, name);
  buffer_text(out, "\"");
  buffer_text(out, word);
  buffer_text(out, "\"");
}

static void add_int(struct buffer *out, const char *name, int64_t x) {
  add_member(out, name);
  buffer_int(out, x);
}

/* Appends a text; where the buffer's bound cuts it, "…" says so, and nothing more goes in. */
static void add_cut(struct buffer *out, const void *text, size_t n) {
  size_t room = out->max - out->len, cut = strlen(CUT);
  if (out->err || n <= room) {
    buffer_add(out, text, n);
    return;
  }
  if (room > cut)
    buffer_add(out, text, utf8_fit(text, n, room - cut));
  else
    out->len = utf8_fit((const uint8_t *)out->data, out->len, out->max - cut);
  buffer_text(out, CUT);
  if (!out->err) out->err = FLUO_ETOOLARGE;
}

static void add_text(struct buffer *out, const void *text, size_t n) {
  char cut[LIMIT_TEXT_BYTES];
  if (n > sizeof cut) {
    size_t kept = utf8_fit(text, n, sizeof cut - strlen(CUT));
    memcpy(cut, text, kept);
    memcpy(cut + kept, CUT, strlen(CUT));
    text = cut;
    n = kept + strlen(CUT);
  }
  buffer_json(out, text, n);
}

static void add_span(struct buffer *out, const struct violation_span *span, bool with_trace) {
  char id[33];
  buffer_text(out, "{");
  if (with_trace) {
    hex_text(span->trace_id, 16, id);
    buffer_text(out, "\"trace_id\":\"");
    buffer_add(out, id, 32);
    buffer_text(out, "\",");
  }
  hex_text(span->span_id, 8, id);
  buffer_text(out, "\"span_id\":\"");
  buffer_add(out, id, 16);
  buffer_text(out, "\",\"name\":");
  add_text(out, span->name, span->name_bytes);
  if (span->service) {
    buffer_text(out, ",\"service\":");
    add_text(out, span->service, span->service_bytes);
  }
  buffer_text(out, "}");
}

struct violation_span violation_span_of(const struct span_view *view) {
  const struct fluo_span *span = view->span;
  return (struct violation_span){
      .trace_id = view->trace_id,
      .span_id = span->span_id,
      .name = view->arena + span->name.off,
      .name_bytes = span->name.len,
      .service = span->flags & FLUO_SPAN_SERVICE ? view->arena + span->service.off : NULL,
      .service_bytes = span->service.len};
}

static void add_spans(struct buffer *out, const struct violation *v) {
  buffer_text(out, ",\"spans\":[");
  for (uint32_t i = 0; i < v->witnesses_count; i++) {
    struct violation_span span = is_across(v) ? v->spans[i] : violation_span_of(&v->witnesses[i]);
    if (i) buffer_text(out, ",");
    add_span(out, &span, is_across(v));
  }
  buffer_text(out, "],\"span_total\":");
  buffer_int(out, v->witness_total);
}

/* A span's object goes on. */
static void reopen(struct buffer *out) {
  if (!out->err) out->len--;
}

static void add_cause(struct buffer *out, const struct violation *v) {
  const struct violation_cause *c = v->cause;
  buffer_text(out, ",\"cause\":");
  add_span(out, &c->span, is_across(v));
  if (c->message) {
    reopen(out);
    add_member(out, "message");
    add_text(out, c->message, c->message_bytes);
    buffer_text(out, "}");
  }
  buffer_text(out, ",\"impact\":[");
  for (uint32_t i = 0; i < c->impact_count; i++) {
    if (i) buffer_text(out, ",");
    add_span(out, &c->impact[i], false);
  }
  buffer_text(out, "]");
  if (c->impact_total > c->impact_count)
    add_int(out, "impact_total", c->impact_total);
  if (c->total > 1) add_int(out, "causes_total", c->total);
}

/* The fields of `by`, called as the author called them. */
static void add_key(struct buffer *out, const struct violation *v, struct fluo_range by, const void *key, uint32_t n) {
  struct fluo_value text;
  uint32_t at = 0;
  buffer_text(out, "{");
  for (uint32_t i = 0; i < by.count && group_next(key, n, &at, &text); i++) {
    const struct fluo_ir_pair *pair = ruleset_pair(v->rules, by.first + i);
    if (i) buffer_text(out, ",");
    buffer_json(out, ruleset_text(v->rules, pair->name), pair->name.len);
    buffer_text(out, ":");
    buffer_json(out, text.text, text.len);
  }
  buffer_text(out, "}");
}

static void add_group(struct buffer *out, const struct violation *v) {
  if (!v->by.count) return;
  add_member(out, "group");
  add_key(out, v, v->by, v->group, v->group_bytes);
}

static void add_chain(struct buffer *out, const struct violation *v) {
  char time[32];
  buffer_text(out, ",\"cause\":");
  add_span(out, &v->chain[0].span, true);
  buffer_text(out, ",\"chain\":[");
  for (uint32_t i = 0; i < v->chain_count; i++) {
    const struct violation_link *link = &v->chain[i];
    time_text(link->time_ns, time);
    if (i) buffer_text(out, ",");
    add_span(out, &link->span, true);
    reopen(out);
    buffer_printf(out, ",\"time\":\"%s\"", time);
    if (link->value) {
      add_member(out, "distinct");
      add_key(out, v, v->distinct, link->value, link->value_bytes);
    }
    buffer_text(out, "}");
  }
  buffer_text(out, "]");
}

static void add_labels(struct buffer *out, const struct violation *v) {
  buffer_text(out, "{");
  for (uint32_t i = 0; i < v->rule->labels.count; i++) {
    const struct fluo_ir_pair *label = ruleset_pair(v->rules, v->rule->labels.first + i);
    if (i) buffer_text(out, ",");
    buffer_json(out, ruleset_text(v->rules, label->name), label->name.len);
    buffer_text(out, ":");
    buffer_json(out, ruleset_text(v->rules, label->value), label->value.len);
  }
  buffer_text(out, "}");
}

static void add_summary(struct buffer *out, const struct violation *v) {
  struct buffer text;
  buffer_init(&text, LIMIT_TEXT_BYTES);
  violation_template(v, v->rule->summary, &text);
  add_member(out, "summary");
  buffer_json(out, text.data, text.len);
  buffer_deinit(&text);
}

static void add_baseline(struct buffer *out, const struct violation *v) {
  char since[32];
  time_text(v->normal.since_ns, since);
  add_member(out, "baseline");
  buffer_number(out, v->normal.normal);
  add_member(out, "spread");
  buffer_number(out, v->normal.spread);
  add_word(out, "baseline_since", since);
  add_int(out, "baseline_samples", v->normal.samples);
  add_word(out, "baseline_state", v->drifted ? "drifted" : "ready");
  buffer_text(out, v->normal.seasonal ? ",\"baseline_seasonal\":true" : ",\"baseline_seasonal\":false");
}

int violation_json(const struct violation *v, struct buffer *out) {
  char id[33], time[32], trace_id[33];
  violation_id(v, id);
  time_text(v->time_ns, time);
  buffer_text(out, "{\"id\":\"");
  buffer_text(out, id);
  buffer_text(out, "\",\"rule\":");
  buffer_json(out, ruleset_text(v->rules, v->rule->name), v->rule->name.len);
  add_word(out, "severity", severity_text(v->rule->severity));
  add_word(out, "scope", scope_names[v->rule->scope]);
  add_word(out, "time", time);
  if (!is_across(v)) {
    hex_text(v->trace_id, 16, trace_id);
    add_word(out, "trace_id", trace_id);
  }
  add_spans(out, v);
  add_group(out, v);
  if (v->cause) add_cause(out, v);
  if (v->chain_count) add_chain(out, v);
  if (v->has_value) {
    add_member(out, "value");
    buffer_number(out, v->value);
    add_member(out, "threshold");
    buffer_number(out, v->threshold);
  }
  if (v->widening) {
    add_member(out, "widened");
    buffer_number(out, (1000 + v->widening) / 1000.0);
  }
  if (v->has_baseline) add_baseline(out, v);
  if (v->reason_bytes) {
    add_member(out, "reason");
    buffer_json(out, v->reason, v->reason_bytes);
  }
  if (v->rule->summary.count) add_summary(out, v);
  buffer_text(out, v->estimated ? ",\"estimated\":true" : ",\"estimated\":false");
  buffer_text(out, v->late ? ",\"late\":true" : ",\"late\":false");
  add_member(out, "labels");
  add_labels(out, v);
  if (v->rule->mode == FLUO_MODE_SHADOW) buffer_text(out, ",\"shadow\":true");
  buffer_text(out, "}");
  return out->err;
}

/* ---- templates ----------------------------------------------------------------------------------
 */

static void add_value(struct buffer *out, const struct fluo_value *value) {
  switch (value->type) {
  case FLUO_TYPE_STRING: add_cut(out, value->text, value->len); break;
  case FLUO_TYPE_BOOL: buffer_text(out, value->integer ? "true" : "false"); break;
  case FLUO_TYPE_INT: buffer_int(out, value->integer); break;
  case FLUO_TYPE_DOUBLE: buffer_number(out, value->number); break;
  default: buffer_text(out, "-"); break;
  }
}

/* Durations stand in milliseconds, as rules write them: 301, 300.000001. */
static void add_duration(struct buffer *out, int64_t ns) {
  buffer_int(out, ns / 1000000);
  if (ns % 1000000 == 0) return;
  char fraction[8];
  put_digits(fraction, (uint64_t)(ns % 1000000), 6, '\0');
  size_t n = 6;
  while (n && fraction[n - 1] == '0') n--;
  buffer_text(out, ".");
  buffer_add(out, fraction, n);
}

/* Across traces: the group's, or the first witness's name and service. */
static bool get_across(const struct violation *v, const struct fluo_ir_part *part, struct fluo_value *out) {
  uint32_t at = 0;
  struct fluo_text key = part->key;
  for (uint32_t i = 0; i < v->by.count && group_next(v->group, v->group_bytes, &at, out); i++) {
    const struct fluo_ir_part *by = ruleset_part(v->rules, ruleset_pair(v->rules, v->by.first + i)->parts.first);
    bool same = by->field == part->field && by->key.len == key.len &&
                !memcmp(ruleset_text(v->rules, by->key), ruleset_text(v->rules, key), key.len);
    if (same) return true;
  }
  const struct violation_span *span = v->spans;
  if (!v->witnesses_count || part->field > FLUO_FIELD_SERVICE || part->field < FLUO_FIELD_NAME) return false;
  bool name = part->field == FLUO_FIELD_NAME;
  *out = (struct fluo_value){.type = FLUO_TYPE_STRING,
                             .text = name ? span->name : span->service,
                             .len = name ? span->name_bytes : span->service_bytes};
  return name || span->service;
}

bool violation_field(const struct violation *v, const struct fluo_ir_part *part, char scratch[32],
                     struct fluo_value *out) {
  if (is_across(v)) return get_across(v, part, out);
  const char *key = ruleset_text(v->rules, part->key);
  return v->witnesses_count && field_get(&v->witnesses[0], part->field, key, part->key.len, scratch, out);
}

static void add_field(struct buffer *out, const struct violation *v,
                      const struct fluo_ir_part *part) {
  char scratch[32];
  struct fluo_value value;
  if (!violation_field(v, part, scratch, &value))
    buffer_text(out, "-");
  else if (part->field == FLUO_FIELD_DURATION && value.type == FLUO_TYPE_INT)
    add_duration(out, value.integer);
  else
    add_value(out, &value);
}

static void add_number(struct buffer *out, bool has, double x) {
  if (has)
    buffer_number(out, x);
  else
    buffer_text(out, "-");
}

static void add_part(struct buffer *out, const struct violation *v,
                     const struct fluo_ir_part *part) {
  char trace_id[33];
  switch (part->field) {
  case FLUO_FIELD_LITERAL: add_cut(out, ruleset_text(v->rules, part->key), part->key.len); break;
  case FLUO_FIELD_RULE:
    add_cut(out, ruleset_text(v->rules, v->rule->name), v->rule->name.len);
    break;
  case FLUO_FIELD_SEVERITY: buffer_text(out, severity_text(v->rule->severity)); break;
  case FLUO_FIELD_VALUE: add_number(out, v->has_value, v->value); break;
  case FLUO_FIELD_THRESHOLD: add_number(out, v->has_value, v->threshold); break;
  case FLUO_FIELD_BASELINE: add_number(out, v->has_baseline, v->normal.normal); break;
  case FLUO_FIELD_SPAN_TOTAL: buffer_int(out, v->witness_total); break;
  case FLUO_FIELD_REASON:
    if (v->reason_bytes)
      add_cut(out, v->reason, v->reason_bytes);
    else
      buffer_text(out, "-");
    break;
  case FLUO_FIELD_TRACE_ID: /* known without a witness, too */
    if (is_across(v)) {
      buffer_text(out, "-");
      break;
    }
    hex_text(v->trace_id, 16, trace_id);
    buffer_text(out, trace_id);
    break;
  default: add_field(out, v, part); break;
  }
}

int violation_template(const struct violation *v, struct fluo_range parts, struct buffer *out) {
  for (uint32_t i = 0; i < parts.count; i++)
    add_part(out, v, ruleset_part(v->rules, parts.first + i));
  return out->err;
}
