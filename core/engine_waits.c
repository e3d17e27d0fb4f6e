/* Hits that wait for their span's parent: of windows that ask for its service.
 *
 * Good path: where the parent is in the trace the hit counts at once, as any other. Else it is noted with the trace, by
 * the parent's id, and every span that arrives there is compared with what waits. A note whose parent came is due, and
 * is taken when the request ends that brought it: at the span's own time, as late as that is by then. So what counts does
 * not depend on which of the two came first, nor on the request.
 *
 * Rules with functions always wait, until no question about the trace is out: then all patterns that a span is a hit of
 * are known, and counted together.
 *
 * Ways it fails: the parent does not come before the trace is gone: that hit never counts, for its group is not known. No
 * memory, or too many: lost, and counted so. The notes are the trace's, freed with it. What a note will read of a
 * payload keeps it from being shed, by a hit in the trace. */
#include "bytes.h"
#include "engine_across.h"
#include "heap.h"
#include "limits.h"

static bool put(struct engine *e, struct trace *t, const struct across *to, struct trace_wait wait) {
  if (t->waits_count == LIMIT_TRACE_WAITS) return false;
  if (heap_grow((void **)&t->waits, &t->waits_capacity, t->waits_count, sizeof *t->waits)) return false;
  if (to->rereads && !store_hit(e->store, t, wait.pattern, wait.span)) return false;
  t->waits[t->waits_count++] = wait;
  t->waits_due += !wait.parent;
  return true;
}

static void take_or_wait(struct engine *e, struct trace *t, const struct across_target *target, uint32_t pattern,
                         uint32_t span) {
  const struct fluo_span *skeleton = store_span(e->store, t, span), *parent;
  struct trace_wait wait = {.pattern = pattern, .span = span};
  if (skeleton->flags & FLUO_SPAN_ROOT) return; /* nobody called it */
  parent = store_parent(e->store, t, span);
  if (!parent) wait.parent = bytes_load64(skeleton->parent_id);
  if (parent && !target->to->asks)
    across_take(e, t, target, span, parent);
  else if (!put(e, t, target->to, wait))
    state_stats(e->state)->lost++;
}

void engine_across_hit(struct engine *e, struct trace *t, uint32_t pattern, uint32_t span) {
  const struct across_target *target = &t->judged_by->targets[pattern];
  if (target->to->waits)
    take_or_wait(e, t, target, pattern, span);
  else
    across_take(e, t, target, span, NULL);
}

bool engine_across_rereads(const struct engine_rules *r, uint32_t pattern) {
  return r->targets[pattern].to->rereads;
}

void engine_waits_arrival(struct trace *t, const struct fluo_span *span) {
  uint64_t id = bytes_load64(span->span_id);
  for (uint32_t i = 0; i < t->waits_count; i++) {
    if (t->waits[i].parent != id) continue;
    t->waits[i].parent = 0;
    t->waits_due++;
  }
}

/* Hits of one span stand together, as they came. */
static void take(struct engine *e, struct trace *t) {
  uint32_t left = 0, looked_at = UINT32_MAX;
  for (uint32_t i = 0; i < t->waits_count; i++) {
    struct trace_wait wait = t->waits[i];
    if (wait.parent) {
      t->waits[left++] = wait;
      continue;
    }
    if (wait.span != looked_at) e->look++;
    looked_at = wait.span;
    across_take(e, t, &t->judged_by->targets[wait.pattern], wait.span, store_parent(e->store, t, wait.span));
  }
  t->waits_count = left;
  t->waits_due = 0;
}

void engine_waits_take(struct engine *e) {
  for (struct trace *t = e->rules_wait ? e->touched : NULL; t; t = t->next_touched)
    if (t->waits_due && !t->questions) take(e, t);
}
