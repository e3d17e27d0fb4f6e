/* What the files of incidents share: incident.c (their life), incident_table.c (room for them), incident_save.c (the
 * ledger's bytes), notice.c (receivers' groups) and silence.c (silences, inhibition, mute times). Nobody else includes it. */
#ifndef FLUO_INCIDENT_PARTS_H
#define FLUO_INCIDENT_PARTS_H
#include <stddef.h>

#include "link.h"
#include "notice.h"

struct receiver {
  char *name;
  struct notice_options notice; /* group_by is owned, and what it points to */
};

struct inhibiting {
  struct matchers *source, *target;
  const char **equal; /* owned, and what it points to */
  uint32_t equal_count;
};

struct muting {
  struct mute_time time;     /* its text is not kept */
  struct matchers *matchers; /* NULL: all */
};

struct incidents {
  struct incidents_calls calls;
  struct receiver *receivers;
  uint32_t receivers_count, receivers_capacity;
  struct notice_options notice; /* of others; as of a receiver */
  struct inhibiting *inhibitions;
  uint32_t inhibitions_count;
  struct muting *mutings;
  uint32_t mutings_count;
  uint32_t incidents_max, groups_max;
  size_t exemplar_bytes_max;
  struct state *table;          /* incidents and their timers; rules */
  struct state_owner incidents, rules;
  struct state *clocks;         /* receivers' groups */
  struct state_owner groups;
  struct link idle;       /* resolved, and nobody is to be told: the first to go, the oldest first */
  struct link pending;    /* the next to go */
  struct link sources;
  struct silence **silences;
  uint32_t silences_count, silences_capacity;
  uint64_t silences_due_ns;
  uint64_t refused_ns;          /* as of a rule */
  struct regex_scratch *scratch;
  struct buffer key;            /* of the incident that is being looked for */
  uint64_t now_ns;
  struct incidents_stats stats;
};

struct notice_group {
  struct state_group head;      /* its key is the receiver's index, then the values of group_by */
  struct link members;    /* the newest last */
  uint16_t receiver;
  uint64_t told_ns;             /* when the receiver was last told; 0: it was not */
  char carried[33];             /* the newest violation that it was told of */
  uint32_t notices;             /* that it was told */
};

/* A timer that is not due: a place in the heap is kept for the day when it will be, for then there may be no memory. */
#define INCIDENT_NEVER (UINT64_MAX - 1)

/* Times near the end of the clock stay there. */
static inline uint64_t incident_later(uint64_t ns, uint64_t by) {
  return ns < INCIDENT_NEVER && by < INCIDENT_NEVER - ns ? ns + by : INCIDENT_NEVER;
}

static inline bool incident_burns(const struct incident *inc) {
  return inc->status == INCIDENT_OPEN || inc->status == INCIDENT_ACKNOWLEDGED;
}

static inline struct incidents *incident_owner(const struct incident *inc) {
  return (struct incidents *)(void *)((char *)inc->head.owner - offsetof(struct incidents, incidents));
}

static inline struct state_key incident_key(const struct state *s, const void *bytes, size_t n) {
  return (struct state_key){bytes, (uint32_t)n, state_hash(s, bytes, (uint32_t)n)};
}

/* incident.c */
/* Sets the timer anew after whatever happened. */
void incident_arm(struct incident *inc);
void incident_say(struct incident *inc, enum incident_change change, uint64_t now_ns);

/* incident_table.c */
extern const struct state_ops incident_ops;
struct incident *incident_at(struct incidents *i, struct text rule, struct labels group);   /* or NULL */
/* The same, made where there is none; others may go for it. NULL: no room, or no memory. */
struct incident *incident_get(struct incidents *i, struct text rule, struct labels group);
void incident_forget(struct incident *inc);
/* What the violation says of the incident from here on: labels, severity, receivers, policy. 0 or FLUO_ENOMEM, and then it
 * is as it was. */
int incident_describe(struct incident *inc, const struct incident_violation *v);
/* The newest violation; where there is no memory or no room its text is not kept, counted. */
void incident_exemplar(struct incident *inc, const char *id, struct text json);
void incident_set_summary(struct incident *inc, struct text summary);
/* Counts and lists by status: it leaves the one that it has (before), and takes another (after). */
void incident_leave(struct incident *inc);
void incident_enter(struct incident *inc);
struct matchable incident_matchable(const struct incident *inc);
/* Its members, one for each receiver. 0 or FLUO_ENOMEM: as they were. */
int incident_receivers(struct incident *inc, const struct text *names, uint32_t count);

/* notice.c */
extern const struct state_ops notice_group_ops;
int notice_copy_options(const struct notice_options *from, struct notice_options *out);
void notice_options_free(struct notice_options *o);
/* The index of the receiver of this name, added where it is new; UINT32_MAX: no room or memory. */
uint32_t notice_receiver(struct incidents *i, struct text name);
/* An incident that burns goes into its receivers' groups. 0, or FLUO_ENOMEM: some of them will not be told (and it can be
 * tried again). */
int notice_join(struct incident *inc, bool reopened, uint64_t now_ns);
/* One member, as the ledger had it. */
int notice_rejoin(struct notice_member *m, uint64_t told_ns, const char *carried, uint32_t notices, uint64_t now_ns);
void notice_leave(struct notice_member *m);

/* silence.c */
/* The incident begins to burn, or ends to: what silences and inhibition know of it. */
void silence_burns(struct incident *inc, bool burns);
/* Some have resolved: "until resolved" may be now. */
void silence_settle(struct incidents *i, uint64_t now_ns);
void silence_step(struct incidents *i, uint64_t now_ns);
void silences_free(struct incidents *i);
int inhibitions_new(struct incidents *i, const struct incidents_options *options, char why[MATCHERS_WHY_BYTES]);
void inhibitions_free(struct incidents *i);

#endif
