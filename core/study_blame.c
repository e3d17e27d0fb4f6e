/* The record of faults: times of the last three of each rule, in a ring. */
#include "study_blame.h"

#include "heap.h"

void study_blame_deinit(struct study_blame *b) {
  heap_free(b->records);
  *b = (struct study_blame){0};
}

static struct study_record *find(const struct study_blame *b, uint32_t rule) {
  for (uint32_t i = 0; i < b->count; i++)
    if (b->records[i].rule == rule) return &b->records[i];
  return NULL;
}

bool study_blame_note(struct study_blame *b, uint32_t rule, uint64_t now_ns) {
  struct study_record *r = find(b, rule);
  if (!r) {
    if (heap_grow((void **)&b->records, &b->capacity, b->count, sizeof *b->records)) return false;
    r = &b->records[b->count++];
    *r = (struct study_record){.rule = rule};
  }
  if (r->quarantined) return false;
  uint64_t *slot = &r->at_ns[r->faults % STUDY_FAULTS_MAX];
  uint64_t oldest = r->at_ns[(r->faults + 1) % STUDY_FAULTS_MAX];      /* once this one is in its slot */
  *slot = now_ns;
  r->faults++;
  if (r->faults < STUDY_FAULTS_MAX || now_ns - oldest >= STUDY_FAULTS_NS) return false;
  r->quarantined = true;
  b->quarantined++;
  return true;
}

void study_blame_take(struct study_blame *b, uint32_t rule, const struct study_record *record) {
  if (heap_grow((void **)&b->records, &b->capacity, b->count, sizeof *b->records)) return;
  b->records[b->count] = *record;
  b->records[b->count++].rule = rule;
  b->quarantined += record->quarantined;
}

bool study_blame_quarantined(const struct study_blame *b, uint32_t rule) {
  const struct study_record *r = b->quarantined ? find(b, rule) : NULL;
  return r && r->quarantined;
}
