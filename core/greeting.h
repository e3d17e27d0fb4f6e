/* What a newcomer does next. */
#ifndef FLUO_GREETING_H
#define FLUO_GREETING_H
#include "host.h"

/* A command that makes a shipped rule fire, with a new trace id each time; otlp is the listener's address. "" where
 * that rule is not loaded. */
void greeting(const struct host *host, const char *otlp, char out[1024]);

#endif
