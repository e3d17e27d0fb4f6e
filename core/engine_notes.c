/* What the engine keeps with a trace: hits per pattern, and what it did about each rule. Both are
 * small sorted arrays of the trace's, freed by the store with it; a failed allocation leaves them
 * as they were. */
#include <string.h>

#include "engine_parts.h"
#include "heap.h"

struct tally *tally_put(struct trace *t, uint32_t pattern) {
  uint32_t at = tally_at(t->tallies, t->tallies_count, pattern);
  if (at < t->tallies_count && t->tallies[at].pattern == pattern) return &t->tallies[at];
  if (heap_grow((void **)&t->tallies, &t->tallies_capacity, t->tallies_count, sizeof *t->tallies))
    return NULL;
  memmove(t->tallies + at + 1, t->tallies + at, (t->tallies_count - at) * sizeof *t->tallies);
  t->tallies_count++;
  t->tallies[at] = (struct tally){.pattern = pattern};
  return &t->tallies[at];
}

struct trace_rule *trace_rule_find(const struct trace *t, uint32_t rule, uint32_t *at) {
  uint32_t low = 0, high = t->rules_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (t->rules[middle].rule < rule)
      low = middle + 1;
    else
      high = middle;
  }
  *at = low;
  return low < t->rules_count && t->rules[low].rule == rule ? &t->rules[low] : NULL;
}

struct trace_rule *trace_rule_put(struct trace *t, uint32_t rule) {
  uint32_t at;
  struct trace_rule *found = trace_rule_find(t, rule, &at);
  if (found) return found;
  if (heap_grow((void **)&t->rules, &t->rules_capacity, t->rules_count, sizeof *t->rules))
    return NULL;
  memmove(t->rules + at + 1, t->rules + at, (t->rules_count - at) * sizeof *t->rules);
  t->rules_count++;
  t->rules[at] = (struct trace_rule){.rule = rule};
  return &t->rules[at];
}

void engine_note_lost(struct engine *e, struct trace *t) {
  t->cut = true;
  e->stats.hits_lost++;
}
