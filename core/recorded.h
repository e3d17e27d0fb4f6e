/* Spans of a recorded file, one by one, for commands that look through it in Lua: the functions fluo_recorded_* of
 * fluo.h. */
#ifndef FLUO_RECORDED_H
#define FLUO_RECORDED_H
#include "fluo.h"
#endif
