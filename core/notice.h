/* Notices: who is told what, and when, as Alertmanager groups. Open incidents that a receiver is to be told of fall into
 * groups by the values of `group_by`. A group is looked at group_wait after its first incident, and then every
 * group_interval while there is anything in it. A look says something if an incident is in it that the receiver does not
 * know to be open, or one that it knows to be open and that has resolved; or if nothing changed and repeat_interval has
 * passed since it was last told. What is silenced, inhibited or muted at that moment is left out of the look; it is said
 * when that is over, a resolve as well. */
#ifndef FLUO_NOTICE_H
#define FLUO_NOTICE_H
#include "incident.h"

#define NOTICE_GROUP_WAIT_NS 1000000000ull
#define NOTICE_GROUP_INTERVAL_NS 60000000000ull
#define NOTICE_REPEAT_INTERVAL_NS 14400000000000ull
enum { NOTICE_ID_BYTES = 80 };

enum notice_event { NOTICE_OPENED, NOTICE_UPDATED, NOTICE_REPEATED, NOTICE_RESOLVED, NOTICE_REOPENED,
                    NOTICE_SILENCE_ENDED, NOTICE_EVENTS };
extern const char *const notice_event_names[NOTICE_EVENTS];

/* What a receiver knows. */
enum notice_told { NOTICE_TOLD_NOTHING, NOTICE_TOLD_FIRING };

struct notice_group;
/* An incident in a receiver's group. */
struct notice_member {
  struct incident *incident;
  struct notice_group *group;   /* NULL: it is in none: nothing is to be said */
  struct link link;       /* of the group */
  uint16_t receiver;            /* index */
  uint8_t  told;                /* enum notice_told */
  uint8_t  look;                /* what the look that is under way makes of it */
  bool     silenced;            /* it was left out of a look because of a silence */
  bool     reopened;            /* since the receiver was told that it is over */
};

/* One delivery to one receiver. */
struct notice {
  char id[NOTICE_ID_BYTES];     /* unique with the receiver, and the same again after a crash: the id of the newest
                                   violation where this notice is the first to carry it, else with `.event` (and a
                                   number, of repeats) behind it */
  struct text receiver;
  enum notice_event event;
  bool resolved;                /* every incident in it is */
  uint64_t at_ns;
  struct labels group;          /* the values of group_by; `group` as the keys of the incidents' group */
  const struct incident *const *incidents;      /* firing ones first, then the resolved, each the newest first */
  uint32_t incidents_count, incidents_total;    /* LIMIT_NOTICE_INCIDENTS of them at most */
};

#endif
