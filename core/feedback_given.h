/* Widened limits as `fluo feedback list --json` prints them, for who judges what was recorded. */
#ifndef FLUO_FEEDBACK_GIVEN_H
#define FLUO_FEEDBACK_GIVEN_H
#include "feedback.h"

/* Takes {"widened":[{"rule":…,"group":{…},"widened":1.125,…},…]}; other members are skipped. 0; FLUO_ENOMEM; any other
 * error: that is not what it is, from *line on, the first being 1. Some may have been taken by then. */
int feedback_given_read(struct feedback *f, struct text json, uint32_t *line);
/* The same of a file, LIMIT_FEEDBACK_FILE_BYTES at most; what goes wrong is a line for people in `why`. 0 or a negative
 * fluo_err. */
int feedback_given_load(struct feedback *f, const char *path, char why[512]);

#endif
