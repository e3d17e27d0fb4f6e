/* Telling people how a reload went. It moves no data but the text that it keeps for /-/reload; where there is no memory
 * for that, the log has it all. Lists of names and of errors are bounded: what is beyond is given as a number. */
#include "reload.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "limits.h"
#include "metrics.h"

enum { NAMES_BYTES_MAX = 1024, SAID_BYTES_MAX = 2 * LIMIT_DIAGNOSTICS_BYTES };

static const char *const result_names[RELOAD_RESULTS] = {"changed", "unchanged", "partial", "failed"};

static uint64_t wall_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void reload_init(struct reload *r, struct log *log, uint32_t load_errors) {
  *r = (struct reload){.log = log, .successful = !load_errors, .success_ns = load_errors ? 0 : wall_ns()};
  buffer_init(&r->said, SAID_BYTES_MAX);
}

void reload_deinit(struct reload *r) {
  buffer_deinit(&r->said);
}

/* ---- what has changed ---------------------------------------------------------------------------- */

/* A list of names, cut at its bound. */
struct names { char text[NAMES_BYTES_MAX + 32]; size_t bytes; uint32_t count, left_out; };

static void add_name(struct names *names, const struct ruleset *set, uint32_t rule) {
  struct fluo_text name = ruleset_rule(set, rule)->name;
  size_t comma = names->count ? 2 : 0;
  names->count++;
  if (names->left_out || names->bytes + comma + name.len > NAMES_BYTES_MAX) {
    names->left_out++;
    return;
  }
  memcpy(names->text + names->bytes, ", ", comma);
  memcpy(names->text + names->bytes + comma, ruleset_text(set, name), name.len);
  names->bytes += comma + name.len;
}

static struct log_field names_field(const char *key, struct names *names) {
  if (names->left_out)
    names->bytes += (size_t)snprintf(names->text + names->bytes, sizeof names->text - names->bytes, " and %u more",
                                     names->left_out);
  return log_b(key, names->text, (uint32_t)names->bytes);
}

static uint32_t find(const struct ruleset *set, const struct ruleset *other, uint32_t of) {
  struct fluo_text name = ruleset_rule(other, of)->name;
  return ruleset_find(set, ruleset_text(other, name), name.len);
}

static bool same_text(const struct ruleset *a, struct fluo_text x, const struct ruleset *b, struct fluo_text y) {
  return x.len == y.len && memcmp(ruleset_text(a, x), ruleset_text(b, y), x.len) == 0;
}

static bool same_parts(const struct ruleset *a, struct fluo_range x, const struct ruleset *b, struct fluo_range y) {
  bool same = x.count == y.count;
  for (uint32_t i = 0; same && i < x.count; i++) {
    const struct fluo_ir_part *p = ruleset_part(a, x.first + i), *q = ruleset_part(b, y.first + i);
    same = p->field == q->field && same_text(a, p->key, b, q->key);
  }
  return same;
}

static bool same_pairs(const struct ruleset *a, struct fluo_range x, const struct ruleset *b, struct fluo_range y) {
  bool same = x.count == y.count;
  for (uint32_t i = 0; same && i < x.count; i++) {
    const struct fluo_ir_pair *p = ruleset_pair(a, x.first + i), *q = ruleset_pair(b, y.first + i);
    same = same_text(a, p->name, b, q->name) && same_text(a, p->value, b, q->value);
  }
  return same;
}

/* The version says whether they match the same; the rest is what is said and done about it. */
static bool same_rule(const struct ruleset *a, uint32_t i, const struct ruleset *b, uint32_t k) {
  const struct fluo_ir_rule *x = ruleset_rule(a, i), *y = ruleset_rule(b, k);
  return ruleset_unchanged(a, b, k) == i && x->severity == y->severity && x->mode == y->mode && x->flags == y->flags &&
         same_parts(a, x->summary, b, y->summary) && same_pairs(a, x->actions, b, y->actions) &&
         same_pairs(a, x->labels, b, y->labels);
}

static void say_changes(struct reload *r, const struct host_reload *reload) {
  const struct ruleset *before = reload->before, *now = reload->now;
  struct names added = {0}, changed = {0}, removed = {0};
  for (uint32_t i = 0; i < ruleset_ir(now)->rules; i++) {
    uint32_t was = find(before, now, i);
    if (was == UINT32_MAX) add_name(&added, now, i);
    else if (!same_rule(before, was, now, i)) add_name(&changed, now, i);
  }
  for (uint32_t i = 0; i < ruleset_ir(before)->rules; i++)
    if (find(now, before, i) == UINT32_MAX) add_name(&removed, before, i);
  buffer_printf(&r->said, "%u rules are in force: %u added, %u changed, %u removed\n", ruleset_ir(now)->rules,
                added.count, changed.count, removed.count);
  log_to(r->log, LOG_INFO, "rules reloaded", log_u("rules", ruleset_ir(now)->rules), names_field("added", &added),
         names_field("changed", &changed), names_field("removed", &removed));
}

/* ---- a reload ------------------------------------------------------------------------------------ */

/* A line each; those of warnings say so at their start. */
static void say_diagnostics(struct reload *r, const char *text) {
  static const char warning[] = "warning: ";
  uint32_t lines = 0;
  for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
    bool warns = strncmp(text, warning, sizeof warning - 1) == 0;
    if (++lines > LIMIT_DIAGNOSTICS_LINES) continue;
    log_to(r->log, warns ? LOG_WARN : LOG_ERROR, warns ? "about a rule file" : "a rule file has an error",
           log_b("diagnostic", text, (uint32_t)(end - text)));
  }
  if (lines > LIMIT_DIAGNOSTICS_LINES)
    log_to(r->log, LOG_WARN, "more was said about the rule files: `fluo check` lists it all",
           log_u("lines", lines - LIMIT_DIAGNOSTICS_LINES));
}

static enum reload_result result_of(const struct host_reload *reload) {
  if (reload->err) return RELOAD_FAILED;
  if (reload->errors) return RELOAD_PARTIAL;
  return reload->before == reload->now ? RELOAD_UNCHANGED : RELOAD_CHANGED;
}

void reload_note(struct reload *r, const struct host_reload *reload) {
  enum reload_result result = result_of(reload);
  uint32_t rules = ruleset_ir(reload->now)->rules;
  r->results[result]++;
  r->successful = result == RELOAD_CHANGED || result == RELOAD_UNCHANGED;
  if (r->successful) r->success_ns = wall_ns();
  buffer_clear(&r->said);
  say_diagnostics(r, reload->diagnostics);
  if (result == RELOAD_FAILED) {
    log_to(r->log, LOG_ERROR, "the rules did not reload: those in force stay", log_u("rules", rules),
           log_s("error", reload->why));
    buffer_printf(&r->said, "the rules did not reload, those in force stay: %s\n", reload->why);
  }
  if (result == RELOAD_PARTIAL) {
    log_to(r->log, LOG_ERROR, "rule files have errors: of these the last good version stays in force",
           log_u("errors", reload->errors));
    buffer_text(&r->said, "of files with errors the last good version stays in force\n");
  }
  if (reload->before != reload->now) say_changes(r, reload);
  if (result == RELOAD_UNCHANGED) {
    log_to(r->log, LOG_INFO, "rules reloaded: nothing has changed", log_u("rules", rules));
    buffer_printf(&r->said, "%u rules are in force: nothing has changed\n", rules);
  }
  buffer_text(&r->said, reload->diagnostics);
}

void reload_say(const struct reload *r, bool under_way, struct http_response *response) {
  if (under_way) {
    http_say(response, 202, "the rules are being reloaded: GET /-/reload says how it ended");
    return;
  }
  if (!r->said.len) {
    http_say(response, r->successful ? 200 : 500, r->successful ? "the rules are those of the start" :
             "the rules are those of the start, where files with errors were left out: see the log");
    return;
  }
  response->status = r->successful ? 200 : 500;
  response->content_type = "text/plain; charset=utf-8";
  buffer_add(response->body, r->said.data, r->said.len);
}

void reload_metrics(const struct reload *r, struct buffer *b) {
  metrics_gauge(b, "fluo_rules_last_reload_successful", "1 if every rule file loaded when rules were last loaded.",
                r->successful);
  metrics_gauge(b, "fluo_rules_last_reload_success_timestamp_seconds",
                "Unix time at which every rule file last loaded.", (double)r->success_ns / 1e9);
  metrics_family(b, "fluo_rules_reloads_total", METRICS_COUNTER,
                 "Reloads of the rules by result; partial: files with errors kept their last good version.");
  for (int i = 0; i < RELOAD_RESULTS; i++)
    metrics_uint(b, "fluo_rules_reloads_total", metrics_labels("result", result_names[i]), r->results[i]);
}
