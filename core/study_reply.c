/* Reading replies: a cursor over the message that only moves forward and never past the end. Nothing is
 * copied but the fixed parts; nothing is allocated. */
#include "study_reply.h"

#include <math.h>
#include <string.h>

struct cursor { const uint8_t *p, *end; };

/* The next `size` bytes, or NULL where the message is shorter. */
static const uint8_t *take(struct cursor *c, size_t size) {
  const uint8_t *p = c->p;
  if ((size_t)(c->end - p) < size) return NULL;
  c->p += size;
  return p;
}

/* Padding up to a multiple of 8 from the message's start. */
static bool take_padding(struct cursor *c, size_t size) {
  return take(c, (8 - size % 8) % 8) != NULL;
}

static bool is_asked(const struct study_job *job, uint32_t item) {
  return job->left && !(job->blamed && job->blamed[item]);
}

static bool read_answers(struct cursor *c, const struct study_job *job, struct study_reply *out) {
  const uint8_t *answers = take(c, job->left);
  if (!answers) return false;
  for (uint32_t i = 0; i < job->head.count; i++) {
    out->answers[i] = is_asked(job, i) ? *answers++ : FLUO_UNKNOWN;
    if (out->answers[i] > FLUO_UNKNOWN) return false;
  }
  return take_padding(c, job->left);
}

/* What goes with a verdict: witnesses that are spans of the trace, a reason, two finite numbers. Only a
 * true one has any of it. */
static bool is_plausible(const struct fluo_verdict *v, const struct study_job *job) {
  if (v->truth > FLUO_UNKNOWN || v->has_value > 1) return false;
  if (v->truth != FLUO_TRUE) return !v->witnesses && !v->witness_total && !v->reason_bytes && !v->has_value;
  if (v->witnesses > FLUO_WITNESSES_MAX || v->witness_total > job->head.spans_count) return false;
  uint32_t shown = v->witness_total < FLUO_WITNESSES_MAX ? v->witness_total : FLUO_WITNESSES_MAX;
  uint32_t reason_max = job->head.flags & FLUO_JOB_EXPLAIN ? FLUO_EXPLANATION_BYTES_MAX : FLUO_REASON_BYTES_MAX;
  if (v->witnesses != shown || v->reason_bytes > reason_max) return false;
  return !v->has_value || (isfinite(v->value) && isfinite(v->threshold));
}

static bool read_verdict(struct cursor *c, const struct study_job *job, uint32_t rule, struct study_verdict *out) {
  struct fluo_verdict v;
  const uint8_t *head = take(c, sizeof v);
  if (!head) return false;
  memcpy(&v, head, sizeof v);
  if (v.rule != rule || !is_plausible(&v, job)) return false;
  const uint32_t *witnesses = (const uint32_t *)(const void *)take(c, v.witnesses * sizeof(uint32_t));
  const uint8_t *reason = take(c, v.reason_bytes);
  if (!witnesses || !reason || !take_padding(c, v.witnesses * sizeof(uint32_t) + v.reason_bytes)) return false;
  for (uint32_t i = 0; i < v.witnesses; i++)
    if (witnesses[i] >= job->head.spans_count) return false;
  *out = (struct study_verdict){.rule = rule, .truth = v.truth, .witnesses = witnesses, .witnesses_count = v.witnesses,
                                .witness_total = v.witness_total, .time_ns = v.time_ns, .reason = (const char *)reason,
                                .reason_bytes = v.reason_bytes, .has_value = v.has_value == 1, .value = v.value,
                                .threshold = v.threshold};
  return true;
}

static bool read_verdicts(struct cursor *c, const struct study_job *job, struct study_reply *out) {
  for (uint32_t i = 0; i < job->head.count; i++) {
    out->verdicts[i] = (struct study_verdict){.rule = job->rules[i], .truth = FLUO_UNKNOWN};
    if (is_asked(job, i) && !read_verdict(c, job, job->rules[i], &out->verdicts[i])) return false;
  }
  return true;
}

static bool read_notes(struct cursor *c, const struct study_job *job, uint32_t rules, struct study_reply *out) {
  out->notes = c->p;
  for (uint32_t i = 0; i < out->notes_count; i++) {
    struct fluo_note note;
    const uint8_t *head = take(c, sizeof note);
    if (!head) return false;
    memcpy(&note, head, sizeof note);
    if (note.rule >= rules || note.errors == 0 || note.errors > job->left) return false;
    if (note.text_bytes > FLUO_ERROR_BYTES_MAX || !take(c, note.text_bytes)) return false;
    if (!take_padding(c, note.text_bytes)) return false;
  }
  return c->p == c->end;
}

bool study_reply_read(const uint8_t *p, size_t n, const struct study_job *job, uint32_t rules,
                      struct study_reply *out) {
  struct cursor c = {p, p + n};
  struct fluo_reply head;
  const uint8_t *start = take(&c, sizeof head);
  if (!start) return false;
  memcpy(&head, start, sizeof head);
  if (head.message != FLUO_MESSAGE_REPLY || head.sequence != job->head.sequence) return false;
  if (head.count != job->left || head.notes > job->left) return false;
  out->heap_kib = head.heap_kib;
  out->cpu_ns = head.cpu_ns;
  out->notes_count = head.notes;
  bool judge = job->head.message == FLUO_MESSAGE_JUDGE;
  if (!(judge ? read_verdicts(&c, job, out) : read_answers(&c, job, out))) return false;
  return read_notes(&c, job, rules, out);
}

void study_reply_unknown(const struct study_job *job, struct study_reply *out) {
  bool judge = job->head.message == FLUO_MESSAGE_JUDGE;
  for (uint32_t i = 0; judge && i < job->head.count; i++)
    out->verdicts[i] = (struct study_verdict){.rule = job->rules[i], .truth = FLUO_UNKNOWN};
  if (!judge) memset(out->answers, FLUO_UNKNOWN, job->head.count);
}

struct study_note study_reply_note(const uint8_t **cursor) {
  struct fluo_note head;
  memcpy(&head, *cursor, sizeof head);
  struct study_note note = {head.rule, head.errors, (const char *)*cursor + sizeof head, head.text_bytes};
  *cursor += sizeof head + (head.text_bytes + 7u) / 8u * 8u;
  return note;
}
