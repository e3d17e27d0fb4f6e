/* Replies come from a process that ran the user's code. Whatever their bytes are, they are nonsense or they are
 * complete: all that was taken is looked at here, and is what the job asked for.
 *
 * The first 8 bytes make the job: its kind, how many items it has, which of them are taken out, how many spans. */
#include <stdlib.h>
#include <string.h>

#include "study_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { HEAD = 8, RULES = 70, SEQUENCE = 7 };

static void expect(bool good) {
  if (!good) abort();
}

static void job_fill(struct study_job *job, const uint8_t *bytes, uint8_t *blamed, uint32_t *rules) {
  bool judge = bytes[0] & 1;
  job->head.message = judge ? FLUO_MESSAGE_JUDGE : FLUO_MESSAGE_ASK;
  if (bytes[0] & 2) job->head.flags = FLUO_JOB_EXPLAIN;
  job->head.count = judge ? 1u + bytes[1] % FLUO_JOB_RULES_MAX : 1u + bytes[1];
  job->head.sequence = SEQUENCE;
  job->head.spans_count = bytes[2];
  job->left = job->head.count;
  for (uint32_t i = 0; i < job->head.count; i++) {
    if (judge) rules[i] = i;
    blamed[i] = bytes[3] && i % (bytes[3] + 1u) == 0 && job->left > 1;
    job->left -= blamed[i];
  }
  if (judge) job->rules = rules;
  job->blamed = bytes[3] ? blamed : NULL;
}

/* Every byte of a lent text, so that a sanitizer sees where it lies. */
static void touch(const char *text, uint32_t bytes) {
  static volatile char sink;
  for (uint32_t i = 0; i < bytes; i++) sink = text[i];
}

static void look(const struct study_job *job, const struct study_reply *reply) {
  for (uint32_t i = 0; i < job->head.count; i++) {
    bool asked = !(job->blamed && job->blamed[i]);
    if (job->head.message == FLUO_MESSAGE_ASK) {
      expect(reply->answers[i] <= FLUO_UNKNOWN && (asked || reply->answers[i] == FLUO_UNKNOWN));
      continue;
    }
    const struct study_verdict *v = &reply->verdicts[i];
    expect(v->rule == job->rules[i] && v->truth <= FLUO_UNKNOWN && (asked || v->truth == FLUO_UNKNOWN));
    bool explains = job->head.flags & FLUO_JOB_EXPLAIN;
    expect(v->witnesses_count <= FLUO_WITNESSES_MAX);
    expect(v->reason_bytes <= (explains ? FLUO_EXPLANATION_BYTES_MAX : FLUO_REASON_BYTES_MAX));
    for (uint32_t k = 0; k < v->witnesses_count; k++) expect(v->witnesses[k] < job->head.spans_count);
    touch(v->reason, v->reason_bytes);
  }
  const uint8_t *cursor = reply->notes;
  for (uint32_t i = 0; i < reply->notes_count; i++) {
    struct study_note note = study_reply_note(&cursor);
    expect(note.rule < RULES && note.errors && note.errors <= job->left && note.bytes <= FLUO_ERROR_BYTES_MAX);
    touch(note.text, note.bytes);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  static struct study_reply reply;
  struct study_job job = {0};
  uint8_t blamed[FLUO_JOB_ITEMS_MAX];
  uint32_t rules[FLUO_JOB_RULES_MAX];
  if (n <= HEAD || n - HEAD > FLUO_MESSAGE_BYTES_MAX) return 0;
  job_fill(&job, bytes, blamed, rules);
  uint8_t *message = malloc(n - HEAD);                 /* ends where the message does, to the byte */
  if (!message) return 0;
  memcpy(message, bytes + HEAD, n - HEAD);
  if (study_reply_read(message, n - HEAD, &job, RULES, &reply)) look(&job, &reply);
  free(message);
  return 0;
}
