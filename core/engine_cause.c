/* What a violation says of its cause.
 *
 * Good path: a trace without a failing span costs nothing. Else the cause is found among the spans
 * that the violation goes by (cause.c), and kept until another question is asked, for the rules of
 * one look all ask the same. The status message is read where the cause's payload is still there:
 * payloads of failing spans are stored, hit or not, and are the first to go under pressure.
 *
 * Ways it fails: the trace has had its share of looking (a rule that fires on every span of a long
 * trace), or no memory: the violation says no cause, and that is counted. */
#include <string.h>

#include "engine_parts.h"
#include "limits.h"

struct place {
  const struct store *store;
  const struct trace *trace;
};

static const struct fluo_span *span_at(const void *ctx, uint32_t index) {
  const struct place *at = ctx;
  return store_span(at->store, at->trace, index);
}

/* The close is looked at in any case: once. */
static bool may_look(const struct trace *t, uint32_t n) {
  if (t->state == TRACE_CLOSED && !t->settled) return true;
  return t->cause_visits + n <= (uint64_t)LIMIT_CAUSE_VISITS * t->spans.count;
}

/* Sets e->cause. false: none is known. */
static bool look(struct engine *e, struct trace *t, uint32_t n) {
  if (e->cause_of == t && e->cause_spans == n) return e->cause.total;
  struct place at = {e->store, t};
  struct cause_trace spans = {span_at, &at, n, e->cause_key};
  int found = may_look(t, n) ? cause_find(&spans, &e->cause) : -1;
  if (found < 0) {
    e->stats.causes_skipped++;
    return false;
  }
  t->cause_visits += n;
  e->cause_of = t;
  e->cause_spans = n;
  return found;
}

void engine_cause(struct engine *e, struct trace *t, uint32_t n, struct violation *v) {
  struct violation_cause *out = &e->cause_said;
  if (!t->errors || !look(e, t, n)) return;
  *out = (struct violation_cause){.total = e->cause.total};
  v->cause = out;
  struct span_view view = engine_view(e, t, e->cause.span);
  struct fluo_value message;
  char scratch[32];
  out->span = violation_span_of(&view);
  if (field_get(&view, FLUO_FIELD_STATUS_MESSAGE, "", 0, scratch, &message)) {
    out->message = message.text;
    out->message_bytes = message.len;
  }
  out->impact_count = e->cause.impact_count;
  out->impact_total = e->cause.impact_total;
  for (uint32_t i = 0; i < out->impact_count; i++) {
    view = engine_view(e, t, e->cause.impact[i]);
    out->impact[i] = violation_span_of(&view);
  }
}

void engine_cause_across(struct engine *e, struct violation *v) {
  if (!v->witnesses_count) return;
  struct trace *t = store_find(e->store, v->spans[v->witnesses_count - 1].trace_id);
  if (t && t->state != TRACE_LATE) engine_cause(e, t, t->spans.count, v);
}

void engine_cause_forget(struct engine *e, const struct trace *t) {
  if (e->cause_of == t) e->cause_of = NULL;
}
