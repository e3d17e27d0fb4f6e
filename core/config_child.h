/* The short-lived child that evaluates the configuration: the core runs no Lua, a user's least of
 * all. */
#ifndef FLUO_CONFIG_CHILD_H
#define FLUO_CONFIG_CHILD_H
#include "buffer.h"
#include "config.h"

/* A loop is stopped by the first. The second is for a disk that hangs: a machine that boots, or that others have, may take
 * seconds for what is milliseconds else, and the agent is to start all the same. */
#define CONFIG_CPU_S   2u
#define CONFIG_WALL_NS 60000000000ull

/* The call's bounds, or where it names none those above. */
uint64_t config_cpu_s(const struct config_call *call);
uint64_t config_wall_ns(const struct config_call *call);

/* One child, from fork to wait; mode is "load" or "show". 0: its exit status in *exit_status, and what
 * it wrote in *reply (the caller's, whose bound is also the bound of what is read). FLUO_ENOMEM,
 * FLUO_EIO, FLUO_ETOOLARGE, FLUO_EDIED; FLUO_ETIMEOUT of either clock, and then *exit_status is the
 * signal that ended it: SIGXCPU or SIGKILL. */
int config_child_run(const struct config_call *call, const char *mode, struct buffer *reply,
                     int *exit_status);

#endif
