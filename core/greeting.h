/* What the agent says when it is ready: where it listens, and to a newcomer what to do next. */
#ifndef FLUO_GREETING_H
#define FLUO_GREETING_H
#include "config.h"
#include "host.h"
#include "log.h"

/* Ports that are in use; 0: there is no such listener. */
void greet(struct log *log, const struct config *config, const struct host *host, uint16_t otlp_port,
           uint16_t admin_port);

#endif
