/* The queue of jobs: a list with two marks, `unsent` and the head. The queue owns what is in it; a
 * job that is popped is the caller's, who ends with study_job_free. */
#include "study_queue.h"

#include <assert.h>
#include <string.h>

#include "heap.h"

void study_queue_push(struct study_queue *q, struct study_job *job) {
  job->next = NULL;
  if (q->tail)
    q->tail->next = job;
  else
    q->head = job;
  q->tail = job;
  if (!q->unsent) q->unsent = job;
  q->waiting++;
}

static bool may_go(const struct study_queue *q, const struct study_job *job) {
  uint32_t at_worker = 0;
  if (!job->left) return false;
  if (job->rule == UINT32_MAX) return true;
  for (const struct study_job *sent = q->head; sent != q->unsent; sent = sent->next)
    at_worker += sent->left && sent->rule == job->rule;
  return at_worker < STUDY_RULE_MAX;
}

/* Moves the job behind `before` to where the next one is taken from. */
static void bring_forward(struct study_queue *q, struct study_job *before) {
  struct study_job *job = before->next, **at = &q->head;
  while (*at != q->unsent) at = &(*at)->next;
  before->next = job->next;
  if (q->tail == job) q->tail = before;
  job->next = q->unsent;
  *at = q->unsent = job;
}

struct study_job *study_queue_next(struct study_queue *q) {
  while (q->unsent && !q->unsent->left) {
    q->unsent = q->unsent->next;
    q->waiting--;
  }
  if (!q->unsent || may_go(q, q->unsent)) return q->unsent;
  for (struct study_job *before = q->unsent; before->next; before = before->next) {
    if (!may_go(q, before->next)) continue;
    bring_forward(q, before);
    return q->unsent;
  }
  return NULL;
}

uint32_t study_queue_give_up(struct study_queue *q, uint32_t rule) {
  uint32_t n = 0;
  for (struct study_job *job = q->unsent; job; job = job->next) {
    if (job->rule != rule) continue;
    n += job->left;
    job->left = 0;
  }
  return n;
}

void study_queue_mark(struct study_queue *q) {
  assert(q->unsent);
  q->unsent = q->unsent->next;
  q->waiting--;
  q->sent++;
}

struct study_job *study_queue_pop(struct study_queue *q) {
  struct study_job *job = q->head;
  if (!job) return NULL;
  if (job == q->unsent) {
    q->unsent = job->next;
    q->waiting--;
  } else if (job->left) {
    q->sent--;
  }
  q->head = job->next;
  if (!q->head) q->tail = NULL;
  job->next = NULL;
  return job;
}

struct study_job *study_queue_running(const struct study_queue *q) {
  struct study_job *job = q->head;
  while (job != q->unsent && !job->left) job = job->next;
  return job == q->unsent ? NULL : job;
}

void study_queue_rewind(struct study_queue *q) {
  for (struct study_job *job = q->head; job != q->unsent; job = job->next) q->waiting++;
  q->unsent = q->head;
  q->sent = 0;
}

static size_t item_bytes(const struct study_job *job) {
  return job->head.message == FLUO_MESSAGE_ASK ? sizeof *job->questions : sizeof *job->rules;
}

static uint32_t item_rule(const struct study_job *job, const struct ruleset *rules, uint32_t item) {
  if (job->head.message == FLUO_MESSAGE_JUDGE) return job->rules[item];
  return ruleset_function_rule(rules, job->questions[item].function);
}

bool study_job_asks(const struct study_job *job, const struct ruleset *rules, uint32_t rule) {
  for (uint32_t i = 0; job->left && i < job->head.count; i++)
    if (!(job->blamed && job->blamed[i]) && item_rule(job, rules, i) == rule) return true;
  return false;
}

void study_job_blame(struct study_job *job, const struct ruleset *rules, uint32_t rule) {
  if (!study_job_asks(job, rules, rule)) return;
  if (!job->blamed) job->blamed = heap_zalloc(job->head.count);
  if (!job->blamed) {
    job->left = 0;
    return;
  }
  for (uint32_t i = 0; i < job->head.count; i++) {
    if (job->blamed[i] || item_rule(job, rules, i) != rule) continue;
    job->blamed[i] = 1;
    job->left--;
  }
}

void study_job_free(struct study_job *job) {
  if (!job) return;
  if (job->head.message == FLUO_MESSAGE_ASK)
    heap_free(job->questions);
  else
    heap_free(job->rules);
  heap_free(job->blamed);
  heap_free(job);
}

size_t study_job_message(const struct study_job *job, uint8_t *out) {
  size_t size = item_bytes(job), at = sizeof job->head;
  const uint8_t *items =
      (const uint8_t *)(job->head.message == FLUO_MESSAGE_ASK ? (const void *)job->questions
                                                              : (const void *)job->rules);
  struct fluo_job head = job->head;
  head.count = job->left;
  memcpy(out, &head, sizeof head);
  for (uint32_t i = 0; job->blamed && i < job->head.count; i++) {
    if (job->blamed[i]) continue;
    memcpy(out + at, items + i * size, size);
    at += size;
  }
  if (job->blamed) return at;
  memcpy(out + at, items, job->head.count * size);
  return at + job->head.count * size;
}
