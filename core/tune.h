/* One pass of `fluo tune` (lua/fluo/cli/tune.lua): a replay whose rule has another threshold. */
#ifndef FLUO_TUNE_H
#define FLUO_TUNE_H
#include "config.h"

/* config->args: what to change ("tune:INDEX:VALUE:RULE", lua/fluo/tune.lua), then files. A line a violation, on stdout: its
 * time, its value (nothing: it has none), and its group or trace; then "end", the first and the last arrival. 0; 1 for
 * bad input or rules, which was said. */
int tune_pass(const struct config *config);

#endif
