/* The data directory. */
#ifndef FLUO_DATA_DIR_H
#define FLUO_DATA_DIR_H
#include <stdbool.h>

#include "log.h"

/* Makes it, and what is above it, so that a path that cannot work is said at the start. false: nothing can be written
 * there, and the log says what is lost by that. */
bool data_dir_make(const char *path, struct log *log);

#endif
