/* A line from a person at a terminal, with editing, history and completion, where libedit is there: the functions
 * fluo_line_* of fluo.h. */
#ifndef FLUO_LINE_H
#define FLUO_LINE_H
#include "fluo.h"
#endif
