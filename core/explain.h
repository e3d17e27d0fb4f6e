/* `fluo explain`: why one rule fired on recorded traces, or did not. */
#ifndef FLUO_EXPLAIN_H
#define FLUO_EXPLAIN_H
#include "config.h"

/* Plays the files config->args[1]… back with the rule config->args[0] and prints its explanation on stdout: of the
 * traces whose id begins with config->trace_id, else of those on which it fired and then of those that came nearest,
 * LIMIT_EXPLAINED at most. The exit status: 0; 1 for bad input or rules, a rule that had to be stopped, or where there
 * is no such rule or trace; 2 for a flag with a bad value. */
int explain_run(const struct config *config);

#endif
