/* Reading what the worker says. The worker runs code that is not ours, so nothing it says is believed: a
 * reply is complete and consistent to the last byte, or it is nonsense. */
#ifndef FLUO_STUDY_REPLY_H
#define FLUO_STUDY_REPLY_H
#include <stdbool.h>
#include <stddef.h>

#include "study.h"

struct study_note { uint32_t rule, errors; const char *text; uint32_t bytes; };

/* A reply that was believed: one entry an item of the job, those that were not asked being unknown.
 * Witnesses, reasons and the texts of notes are lent from the message. */
struct study_reply {
  uint32_t heap_kib;
  uint64_t cpu_ns;
  uint8_t answers[FLUO_JOB_ITEMS_MAX];                     /* of an ASK */
  struct study_verdict verdicts[FLUO_JOB_RULES_MAX];       /* of a JUDGE */
  const uint8_t *notes;
  uint32_t notes_count;
};

/* Whether the n bytes (8-aligned) are the reply to this job, in a rule set of `rules` rules. */
bool study_reply_read(const uint8_t *p, size_t n, const struct study_job *job, uint32_t rules,
                      struct study_reply *out);
/* The reply to a job that nobody was asked: all unknown. */
void study_reply_unknown(const struct study_job *job, struct study_reply *out);
/* The note at *cursor, which is moved on to the next; *cursor is reply->notes for the first. */
struct study_note study_reply_note(const uint8_t **cursor);

#endif
