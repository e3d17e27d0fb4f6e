/* The study's jobs: those in front are at the worker, the rest wait. They go in the order in which they came, but for
 * those of a rule that has STUDY_RULE_MAX at the worker, which others pass. Jobs whose items were all taken out (their rule is to blame, or quarantined) keep their place and are answered
 * "unknown" when they are in front. It sends nothing and knows no process. */
#ifndef FLUO_STUDY_QUEUE_H
#define FLUO_STUDY_QUEUE_H
#include <stdbool.h>
#include <stddef.h>

#include "study.h"

struct study_queue {
  struct study_job *head, *tail;
  struct study_job *unsent;           /* the first that was not sent; NULL: all were */
  uint32_t sent, waiting;             /* unanswered at the worker; behind them */
};

/* Takes the job to the end. */
void study_queue_push(struct study_queue *q, struct study_job *job);
/* The next job to send, NULL: none that may be sent now. Jobs with nothing left to ask are passed over, and so are those
 * of a rule that has STUDY_RULE_MAX at the worker: the job comes before them then. */
struct study_job *study_queue_next(struct study_queue *q);
/* Takes all items out of the rule's jobs that wait: how many. */
uint32_t study_queue_give_up(struct study_queue *q, uint32_t rule);
/* The job that study_queue_next gave is at the worker now. */
void study_queue_mark(struct study_queue *q);
/* The oldest job, taken out, the caller's. NULL: there is none. */
struct study_job *study_queue_pop(struct study_queue *q);
/* The oldest job that is at the worker: the one whose items it is busy with. NULL: none. */
struct study_job *study_queue_running(const struct study_queue *q);
/* What was sent is lost: all of it waits again, in order. */
void study_queue_rewind(struct study_queue *q);

/* Takes a rule's items out of a job. Without memory to note which, all of its items. */
void study_job_blame(struct study_job *job, const struct ruleset *rules, uint32_t rule);
bool study_job_asks(const struct study_job *job, const struct ruleset *rules, uint32_t rule);
void study_job_free(struct study_job *job);
/* The job as a message, of its items that are left: writes at most FLUO_MESSAGE_BYTES_MAX, returns the size. */
size_t study_job_message(const struct study_job *job, uint8_t *out);

#endif
