/* `fluo run`: the live agent. */
#ifndef FLUO_AGENT_H
#define FLUO_AGENT_H
#include "config.h"

/* Serves until SIGTERM or SIGINT, then drains: what was taken is judged and written. The exit status: 0;
 * 1 when it could not start (said on stderr). A second signal ends the process at once. */
int agent_run(const struct config *config);

#endif
