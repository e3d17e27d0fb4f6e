/* A rule set owns its copy of the intermediate form and everything made from it: atoms with their
 * regular expressions, the index, the lists of rules by when they are looked at. Once ruleset_new
 * has returned nothing in it changes. The bytes are copied before the first look, since whoever
 * sent them may hold the memory they came in.
 *
 * It goes wrong when the bytes are no rule set (FLUO_EINVALID, `why` says where) or memory runs
 * out; ruleset_free takes a half-made one, so every failure goes there. */
#include "ruleset.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "gate.h"
#include "heap.h"
#include "index.h"

struct ruleset {
  struct ruleset_options options;
  void *bytes;
  size_t bytes_count;
  struct ir ir;
  struct atoms atoms;
  struct index *index;
  uint32_t *always, always_count;
  uint32_t *any_span, any_span_count;
  uint32_t *late, late_count;
  uint32_t *by_name;
  bool *asks;                 /* by rule: some pattern of it has a function */
};

static int compare_names(const struct ruleset *r, uint32_t rule, const char *name, size_t n) {
  struct fluo_text own = r->ir.rules[rule].name;
  int order = memcmp(r->ir.text + own.off, name, own.len < n ? own.len : n);
  return order ? order : own.len < n ? -1 : own.len > n;
}

static int by_name(const void *a, const void *b, void *ctx) {
  const struct ruleset *r = ctx;
  struct fluo_text name = r->ir.rules[*(const uint32_t *)b].name;
  return compare_names(r, *(const uint32_t *)a, r->ir.text + name.off, name.len);
}

static int sort_names(struct ruleset *r) {
  uint32_t rules = r->ir.header->rules;
  r->by_name = heap_alloc(rules * sizeof *r->by_name);
  if (!r->by_name) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < rules; i++) r->by_name[i] = i;
  qsort_r(r->by_name, rules, sizeof *r->by_name, by_name, r);
  return 0;
}

static int list_rules(struct ruleset *r) {
  uint32_t rules = r->ir.header->rules;
  r->always = heap_alloc(rules * sizeof *r->always);
  r->any_span = heap_alloc(rules * sizeof *r->any_span);
  r->late = heap_alloc(rules * sizeof *r->late);
  r->asks = heap_zalloc(rules * sizeof *r->asks);
  if (!r->always || !r->any_span || !r->late || !r->asks) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < r->ir.header->functions; i++) r->asks[r->ir.functions[i].rule] = true;
  for (uint32_t i = 0; i < rules; i++) {
    const struct fluo_ir_rule *rule = &r->ir.rules[i];
    if (rule->scope != FLUO_SCOPE_TRACE || rule->mode == FLUO_MODE_OFF) continue;
    if (gate_open(&r->ir, i, NULL)) r->always[r->always_count++] = i;
    if (rule->flags & FLUO_RULE_EARLY && gate_asks_spans(&r->ir, i))
      r->any_span[r->any_span_count++] = i;
    if (rule->flags & FLUO_RULE_LATE) r->late[r->late_count++] = i;
  }
  return 0;
}

int ruleset_new(const void *ir, size_t n, const struct ruleset_options *options,
                struct ruleset **out, char why[128]) {
  snprintf(why, IR_WHY_BYTES, "%s", err_text(FLUO_ENOMEM));
  struct ruleset *r = heap_zalloc(sizeof *r);
  if (!r) return FLUO_ENOMEM;
  r->options = *options;
  r->bytes = heap_alloc(n);
  r->bytes_count = n;
  int err = r->bytes ? 0 : FLUO_ENOMEM;
  if (!err) {
    if (n) memcpy(r->bytes, ir, n);
    err = ir_check(r->bytes, n, &r->ir, why);
  }
  if (!err) err = atoms_init(&r->atoms, &r->ir, options, why);
  if (!err) err = index_new(&r->ir, &r->atoms, options->renamed, &r->index);
  if (!err) err = list_rules(r);
  if (!err) err = sort_names(r);
  if (err == FLUO_ENOMEM) snprintf(why, IR_WHY_BYTES, "%s", err_text(err));
  if (err)
    ruleset_free(r);
  else
    *out = r;
  return err;
}

void ruleset_free(struct ruleset *r) {
  if (!r) return;
  index_free(r->index);
  atoms_deinit(&r->atoms);
  heap_free(r->always);
  heap_free(r->any_span);
  heap_free(r->late);
  heap_free(r->by_name);
  heap_free(r->asks);
  heap_free(r->bytes);
  heap_free(r);
}

const struct fluo_ir *ruleset_ir(const struct ruleset *r) {
  return r->ir.header;
}

const struct fluo_ir_rule *ruleset_rule(const struct ruleset *r, uint32_t rule) {
  assert(rule < r->ir.header->rules);
  return &r->ir.rules[rule];
}

const struct fluo_ir_pattern *ruleset_pattern(const struct ruleset *r, uint32_t pattern) {
  assert(pattern < r->ir.header->patterns);
  return &r->ir.patterns[pattern];
}

uint32_t ruleset_function_rule(const struct ruleset *r, uint32_t function) {
  assert(function < r->ir.header->functions);
  return r->ir.functions[function].rule;
}

const struct fluo_ir_part *ruleset_part(const struct ruleset *r, uint32_t part) {
  assert(part < r->ir.header->parts);
  return &r->ir.parts[part];
}

const struct fluo_ir_pair *ruleset_pair(const struct ruleset *r, uint32_t pair) {
  assert(pair < r->ir.header->pairs);
  return &r->ir.pairs[pair];
}

const struct fluo_ir_window *ruleset_window(const struct ruleset *r, uint32_t window) {
  assert(window < r->ir.header->windows);
  return &r->ir.windows[window];
}

const struct fluo_ir_sequence *ruleset_sequence(const struct ruleset *r, uint32_t sequence) {
  assert(sequence < r->ir.header->sequences);
  return &r->ir.sequences[sequence];
}

const struct fluo_ir_incident *ruleset_incident(const struct ruleset *r, const struct fluo_ir_rule *rule) {
  return rule->incident ? &r->ir.incidents[rule->incident - 1] : NULL;
}

bool ruleset_asks(const struct ruleset *r, uint32_t rule) {
  assert(rule < r->ir.header->rules);
  return r->asks[rule];
}

uint32_t ruleset_find(const struct ruleset *r, const char *name, size_t n) {
  uint32_t low = 0, high = r->ir.header->rules;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    int order = compare_names(r, r->by_name[middle], name, n);
    if (order == 0) return r->by_name[middle];
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return UINT32_MAX;
}

uint32_t ruleset_unchanged(const struct ruleset *r, const struct ruleset *other, uint32_t of) {
  const struct fluo_ir_rule *rule = ruleset_rule(other, of);
  uint32_t found = ruleset_find(r, ruleset_text(other, rule->name), rule->name.len);
  if (found == UINT32_MAX) return found;
  return memcmp(r->ir.rules[found].version, rule->version, sizeof rule->version) ? UINT32_MAX : found;
}

bool ruleset_same(const struct ruleset *a, const struct ruleset *b) {
  return a->bytes_count == b->bytes_count && memcmp(a->bytes, b->bytes, a->bytes_count) == 0;
}

const char *ruleset_text(const struct ruleset *r, struct fluo_text t) {
  assert((uint64_t)t.off + t.len <= r->ir.header->text_bytes);
  return r->ir.text + t.off;
}

const uint32_t *ruleset_always(const struct ruleset *r, uint32_t *count) {
  *count = r->always_count;
  return r->always;
}

const uint32_t *ruleset_any_span(const struct ruleset *r, uint32_t *count) {
  *count = r->any_span_count;
  return r->any_span;
}

const uint32_t *ruleset_late(const struct ruleset *r, uint32_t *count) {
  *count = r->late_count;
  return r->late;
}

bool ruleset_gate(const struct ruleset *r, uint32_t rule, const struct gate_counts *counts) {
  assert(rule < r->ir.header->rules);
  return r->ir.rules[rule].mode != FLUO_MODE_OFF && gate_open(&r->ir, rule, counts);
}

const struct index *ruleset_index(const struct ruleset *r) {
  return r->index;
}

const struct atoms *ruleset_atoms(const struct ruleset *r) {
  return &r->atoms;
}

const struct ruleset_options *ruleset_options(const struct ruleset *r) {
  return &r->options;
}
