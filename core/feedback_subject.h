/* What a violation that is printed says about where feedback on it belongs. */
#ifndef FLUO_FEEDBACK_SUBJECT_H
#define FLUO_FEEDBACK_SUBJECT_H
#include "buffer.h"
#include "labels.h"

struct feedback_subject {
  char violation[33], incident[33];    /* ids; incident: "": it has none */
  struct buffer rule;                  /* its name */
  struct text group;                   /* lent from the JSON: the group of a window that compares a number, "{}" of one without
                                          `by`; "null": it is of none, so nothing can be widened */
};

/* json: one violation, as violation_json and the ledger print it; *out is valid as long as it is. 0, and then
 * feedback_subject_deinit; FLUO_EMALFORMED: it is none; FLUO_ENOMEM. */
int feedback_subject_read(struct text json, struct feedback_subject *out);
void feedback_subject_deinit(struct feedback_subject *s);

#endif
