/* The intermediate form comes from a process that ran the user's code. Whatever its bytes are, it
 * is refused or it is safe: every accessor, gate and pattern of a form that was taken is used here,
 * and what the index finds has to be what each pattern says by itself. */
#include <assert.h>
#include <string.h>

#include "index.h"
#include "ruleset.h"
#include "store.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* A span with attributes k = "aab" and a = 5, an event "e", one without a name, and a link, by hand
 * on the wire. */
static const uint8_t arena[] = "opop"
                               "\x4a\x0a\x0a\x01k\x12\x05\x0a\x03"
                               "aab"
                               "\x4a\x07\x0a\x01"
                               "a\x12\x02\x18\x05"
                               "\x5a\x03\x12\x01"
                               "e"
                               "\x5a\x00"
                               "\x6a\x0b\x22\x09\x0a\x01k\x12\x04\x0a\x02xy";

enum { PAYLOAD = 4, ANSWERS_MAX = 256 };

static void gates(const struct ruleset *r) {
  struct tally tallies[] = {{0, 1, 0}, {1, 2, 1}, {5, 9, 0}};
  for (uint32_t i = 0; i < ruleset_ir(r)->rules; i++) {
    struct gate_counts counts = {tallies, 3, 7, 1000, false};
    bool now = ruleset_gate(r, i, &counts);
    counts.growing = true;
    bool later = ruleset_gate(r, i, &counts);
    assert(later || !now);
    ruleset_text(r, ruleset_rule(r, i)->name);
    struct fluo_range actions = ruleset_rule(r, i)->actions;
    for (uint32_t k = 0; k < actions.count; k++)
      ruleset_text(r, ruleset_pair(r, actions.first + k)->value);
  }
}

static bool contains(const uint32_t *items, uint32_t count, uint32_t item) {
  for (uint32_t i = 0; i < count; i++)
    if (items[i] == item) return true;
  return false;
}

static bool has_regex(const struct ruleset *r) {
  const struct atoms *atoms = ruleset_atoms(r);
  for (uint32_t i = 0; i < atoms->count; i++)
    if (atoms->items[i].op == FLUO_OP_MATCHES) return true;
  return false;
}

/* One pattern's questions, answered somehow: unless an expression is beyond its limit, that decides
 * it. The arena has two events and one link. */
static void answer(const struct ruleset *r, struct matcher *m, const struct span_view *view,
                   const struct match_ask *asks, uint32_t count) {
  struct fluo_answer answers[ANSWERS_MAX];
  for (uint32_t i = 0; i < count; i++) {
    if (asks[i].object > 1) __builtin_trap();
    answers[i] = (struct fluo_answer){asks[i].function, asks[i].object,
                                       (asks[i].function + asks[i].object) & 1};
  }
  enum fluo_truth truth = matcher_resolve(m, view, asks->pattern, answers, count);
  if (truth == FLUO_UNKNOWN && !has_regex(r)) __builtin_trap();
}

static void answer_all(const struct ruleset *r, struct matcher *m, const struct span_view *view,
                       const struct match *found) {
  for (uint32_t i = 0, end; i < found->asks_count; i = end) {
    for (end = i; end < found->asks_count && found->asks[end].pattern == found->asks[i].pattern;)
      end++;
    if (end - i <= ANSWERS_MAX) answer(r, m, view, &found->asks[i], end - i);
  }
}

static void compare(const struct ruleset *r, struct matcher *m, const struct span_view *view) {
  struct match found;
  matcher_span(m, view, &found);
  for (uint32_t i = 0; i < ruleset_ir(r)->patterns && i < 64; i++) {
    const struct fluo_ir_pattern *pattern = ruleset_pattern(r, i);
    if (pattern->object != FLUO_OBJECT_SPAN ||
        ruleset_rule(r, pattern->rule)->mode == FLUO_MODE_OFF)
      continue;
    enum fluo_truth truth = matcher_resolve(m, view, i, NULL, 0);
    if (contains(found.hits, found.hits_count, i) != (truth == FLUO_TRUE)) __builtin_trap();
    bool open = contains(found.unknowns, found.unknowns_count, i);
    for (uint32_t k = 0; k < found.asks_count; k++) open |= found.asks[k].pattern == i;
    if (open != (truth == FLUO_UNKNOWN)) __builtin_trap();
  }
  answer_all(r, m, view, &found);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  const struct ruleset_options options = {.renamed = n & 1, .matches_limit = 500};
  static const uint8_t trace_id[16] = {1};
  struct fluo_span span = {.start_ns = 5,
                           .end_ns = 305,
                           .name = {0, 2},
                           .service = {2, 2},
                           .resource = {PAYLOAD, 0},
                           .kind = FLUO_KIND_CLIENT,
                           .flags = FLUO_SPAN_SERVICE | FLUO_SPAN_LASTING,
                           .payload = {PAYLOAD, sizeof arena - 1 - PAYLOAD}};
  struct fluo_span bare = {.flags = FLUO_SPAN_ROOT};
  struct ruleset *r;
  struct matcher *m;
  char why[128];
  if (ruleset_new(bytes, n, &options, &r, why)) {
    assert(why[0] && memchr(why, '\0', sizeof why));
    return 0;
  }
  gates(r);
  if (matcher_new(r, &m) == 0) {
    struct span_view view = {
        .arena = arena, .span = &span, .trace_id = trace_id, .renamed = options.renamed};
    compare(r, m, &view);
    compare(r, m, &view); /* by what is known of its shape */
    view.span = &bare;
    compare(r, m, &view);
    matcher_free(m);
  }
  ruleset_free(r);
  return 0;
}
