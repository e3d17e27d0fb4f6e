/* `fluo notify`: one alert, delivered now by a post room of its own. What the command line calls is in fluo.h; nothing of
 * the agent is needed for it. */
#ifndef FLUO_NOTIFY_H
#define FLUO_NOTIFY_H
#include "fluo.h"

/* After that nothing is waited for any more: an action is given up after 60 s, and a process that hangs after 90 s. */
#define NOTIFY_WAIT_NS 120000000000ull

#endif
