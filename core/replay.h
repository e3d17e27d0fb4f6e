/* `fluo replay`: the live engine under a virtual clock. */
#ifndef FLUO_REPLAY_H
#define FLUO_REPLAY_H
#include "config.h"

/* Replays the files named in config->args and prints the violations on stdout, one JSON object a line, in
 * order of time (ties by rule, then id); diagnostics go to stderr. The exit status: 0; 1 for bad input or
 * rules, or a rule that had to be stopped; 3 with fail_on_violation when a rule that is not in shadow fired. */
int replay_run(const struct config *config);

#endif
