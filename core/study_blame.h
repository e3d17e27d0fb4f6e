/* Which rule had how many faults, and when: three within ten minutes, and it is quarantined for good. */
#ifndef FLUO_STUDY_BLAME_H
#define FLUO_STUDY_BLAME_H
#include <stdbool.h>
#include <stdint.h>

#include "study.h"

struct study_record { uint32_t rule; bool quarantined; uint64_t at_ns[STUDY_FAULTS_MAX]; uint32_t faults; };

/* Only rules that had a fault have a record: few, so a plain array is searched. */
struct study_blame { struct study_record *records; uint32_t count, capacity, quarantined; };

void study_blame_deinit(struct study_blame *b);
/* Notes a fault: true if the rule is quarantined by it. Without memory for its record the fault is not
 * counted: the next one will be. */
bool study_blame_note(struct study_blame *b, uint32_t rule, uint64_t now_ns);
/* The record of a rule that has none yet. */
void study_blame_take(struct study_blame *b, uint32_t rule, const struct study_record *record);
bool study_blame_quarantined(const struct study_blame *b, uint32_t rule);

#endif
