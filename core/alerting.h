/* What the configuration says of alerts: who receives them, how they are grouped, what holds them back, and what the post
 * room is set up with. Comes from the configuration's child, line by line (lua/fluo/config/alerting.lua). */
#ifndef FLUO_ALERTING_H
#define FLUO_ALERTING_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "incident.h"

/* Beside what incident.h has of it. */
struct alerting_receiver {
  struct notice_options notice;
  char *name, *fallback;                /* fallback "": none */
  uint64_t max_age_ns;                  /* a delivery that is older is given up */
};

/* All owned. */
struct alerting {
  char *setup;                          /* JSON, with secrets in it: for the post room, and nobody else */
  char *names;                          /* of all receivers, spaces between them */
  struct notice_options notice;         /* of receivers that are not named */
  struct alerting_receiver *receivers; uint32_t receivers_count;
  struct inhibition *inhibitions; uint32_t inhibitions_count;
  struct mute_time *mutes; uint32_t mutes_count;
};

#define ALERTING_MAX_AGE_NS 86400000000000ull

/* Takes a line "alerting.KEY" with its fields, which stand between tabs and are escaped as the configuration's texts are;
 * changes them in place. *a starts zeroed. 0, FLUO_EMALFORMED or FLUO_ENOMEM. */
int alerting_take(struct alerting *a, const char *key, char *fields);
/* The post room has its own: no secret is left in memory, and the setup is an empty text. */
void alerting_forget_setup(const struct alerting *a);
/* Frees all, and leaves nothing of the setup in memory. */
void alerting_deinit(struct alerting *a);
/* NULL: it is not configured. */
const struct alerting_receiver *alerting_find(const struct alerting *a, const char *name);

#endif
