/* A filter: one pattern by itself, for functions that ask a whole trace for it (`t:count { … }`). It is the rule
 * set and the matcher of that one pattern, so it means what the same text means in a rule, by the same code. What
 * the Lua side calls of it is declared in fluo.h.
 *
 * A filter lives in a worker: Lua's garbage collector frees it, and a function of the pattern may ask the trace
 * again, also for the same pattern. So nothing here is kept from one call to the next but the asks of the last
 * test, which the caller reads before it calls anything.
 *
 * Ways it fails: the bytes are no intermediate form of one pattern, or no memory is left: NULL, and why. */
#include <assert.h>
#include <stdio.h>

#include "err.h"
#include "heap.h"
#include "limits.h"
#include "ruleset.h"

struct fluo_filter {
  struct ruleset *rules;
  struct matcher *matcher;
  uint32_t pattern;
  bool renamed;
  struct match match; /* of the last test */
};

static int fill(struct fluo_filter *f, const void *ir, uint64_t n, uint32_t flags, char why[128]) {
  struct ruleset_options options = {.renamed = flags & FLUO_FILTER_RENAMED,
                                    .status_ok_is_explicit = flags & FLUO_FILTER_EXPLICIT_OK,
                                    .matches_limit = LIMIT_REGEX_MATCHES};
  f->renamed = options.renamed;
  int err = ruleset_new(ir, n, &options, &f->rules, why);
  if (err) return err;
  snprintf(why, 128, "%s", err_text(FLUO_EINVALID));
  const struct fluo_ir *header = ruleset_ir(f->rules);
  if (header->rules != 1 || ruleset_rule(f->rules, 0)->patterns.count != 1) return FLUO_EINVALID;
  f->pattern = ruleset_rule(f->rules, 0)->patterns.first;
  snprintf(why, 128, "%s", err_text(FLUO_ENOMEM));
  return matcher_new(f->rules, &f->matcher);
}

struct fluo_filter *fluo_filter_new(const void *ir, uint64_t n, uint32_t flags, char why[128]) {
  snprintf(why, 128, "%s", err_text(FLUO_ENOMEM));
  struct fluo_filter *f = heap_zalloc(sizeof *f);
  if (f && fill(f, ir, n, flags, why)) {
    fluo_filter_free(f);
    f = NULL;
  }
  return f;
}

void fluo_filter_free(struct fluo_filter *f) {
  if (!f) return;
  matcher_free(f->matcher);
  ruleset_free(f->rules);
  heap_free(f);
}

static struct span_view view_of(const struct fluo_filter *f, const uint8_t *arena, uint32_t span,
                                const uint8_t *trace_id) {
  return (struct span_view){.arena = arena,
                            .span = (const struct fluo_span *)(const void *)(arena + span),
                            .trace_id = trace_id,
                            .renamed = f->renamed};
}

uint32_t fluo_filter_test(struct fluo_filter *f, const uint8_t *arena, uint32_t span,
                          const uint8_t *trace_id, uint32_t *asks) {
  struct span_view view = view_of(f, arena, span, trace_id);
  matcher_span(f->matcher, &view, &f->match);
  *asks = f->match.asks_count;
  if (f->match.hits_count) return FLUO_TRUE;
  return *asks || f->match.unknowns_count ? FLUO_UNKNOWN : FLUO_FALSE;
}

void fluo_filter_ask(const struct fluo_filter *f, uint32_t i, uint32_t *function, uint32_t *object) {
  assert(i < f->match.asks_count);
  *function = f->match.asks[i].function;
  *object = f->match.asks[i].object;
}

uint32_t fluo_filter_resolve(struct fluo_filter *f, const uint8_t *arena, uint32_t span,
                             const uint8_t *trace_id, const struct fluo_answer *answers,
                             uint32_t count) {
  struct span_view view = view_of(f, arena, span, trace_id);
  return matcher_resolve(f->matcher, &view, f->pattern, answers, count);
}
