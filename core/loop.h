/* The event loop's beginning: a loop of libuv that says why where it ends the process. */
#ifndef FLUO_LOOP_H
#define FLUO_LOOP_H
#include <uv.h>

/* Once a process, before anything else of libuv. 0, or libuv's error. */
int loop_open(uv_loop_t *loop);

#endif
