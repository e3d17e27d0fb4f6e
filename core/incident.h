/* Incidents: violations of one rule and group are one incident, from the first to some time after the last, and people
 * are told of it as Alertmanager would tell them (notice.h). Pure: time is an argument, nothing is read or written, what
 * happens is said through function pointers.
 *
 * All durations run on the clock of arrival (when a violation was found, live), not on event time: a trace that was
 * recorded yesterday and arrives now is news now. Every one is half-open: exactly D later is outside, and timers due at or
 * before a violation run first. */
#ifndef FLUO_INCIDENT_H
#define FLUO_INCIDENT_H
#include "labels.h"
#include "mute.h"
#include "silence.h"
#include "state.h"

enum { INCIDENT_EXEMPLARS_MAX = 8 };

enum incident_status { INCIDENT_PENDING, INCIDENT_OPEN, INCIDENT_ACKNOWLEDGED, INCIDENT_RESOLVED, INCIDENT_STATUSES };
extern const char *const incident_status_names[INCIDENT_STATUSES];

/* A rule's keys; rules/README.md, section "Incidents", says what each means. 0: the rule has none. */
struct incident_policy {
  uint64_t pending_ns, keep_firing_ns, cooldown_ns;
  uint64_t resolve_ns;          /* 0: INCIDENT_RESOLVE_NS */
  uint32_t m, n;                /* violations in m of the last n minutes; 0, 0: one will do */
};
#define INCIDENT_RESOLVE_NS 300000000000ull

/* A violation, in plain texts. Lent for the call. */
struct incident_violation {
  char id[33];
  struct text rule;
  struct labels group, labels;  /* of the incident; of the rule */
  uint32_t severity;            /* enum fluo_severity */
  bool shadow;                  /* nobody is told */
  uint64_t time_ns;             /* event time */
  struct text summary, json;    /* json: as violation_json writes it */
  const struct text *receivers;
  uint32_t receivers_count;
  struct incident_policy policy;
};

/* One of the newest violations. */
struct incident_exemplar {
  char id[33];
  uint32_t json_bytes;          /* 0: given up for its size, or for want of room */
  char *json;                   /* owned */
};

struct notice_member;           /* what a receiver knows of an incident: notice.h */
struct incident_rule;           /* below */

/* What stands in it is for all to read; its own files alone write it. Texts are owned and NUL-terminated. */
struct incident {
  struct state_group head;      /* its key is rule, NUL, group */
  struct link link;       /* among the pending ones, or the resolved that may go for others */
  struct link source_link;        /* among those that inhibit others */
  struct incident_rule *of_rule;
  char id[33];                  /* 32 hex digits: the same after a restart; "" before the first violation */
  uint8_t status;               /* enum incident_status */
  uint8_t severity;
  bool shadow, dirty;
  struct text rule;
  struct labels group;          /* both lie in the key */
  void *labels; uint32_t labels_bytes;
  char *summary;                /* of the newest violation */
  uint64_t count;               /* violations */
  uint32_t reopened;            /* times; damps flapping */
  struct incident_policy policy;
  uint64_t started_ns;          /* the first violation's arrival, or of a reopened one's latest spell the first */
  uint64_t opened_ns, last_seen_ns, acknowledged_ns, resolved_ns;     /* 0: not yet, or not any more */
  uint64_t quiet_ns;            /* since when resolve_after runs: the last violation, or renewal */
  uint64_t cleared_ns;          /* since when keep_firing_for runs; 0: it has not cleared */
  uint64_t pending_ns;          /* the first violation that waits for pending_for or m_of_n; 0: none does */
  uint64_t said_ns;             /* when on_incident was last called */
  uint32_t *minutes;            /* of m_of_n: Unix minutes with a violation, the newest first, policy.m at most */
  uint32_t minutes_count, minutes_capacity;
  struct incident_exemplar exemplars[INCIDENT_EXEMPLARS_MAX];         /* the newest first */
  uint32_t exemplars_count;
  struct notice_member *members;        /* one a receiver; see notice.h */
  uint32_t members_count, members_joined;       /* joined: those that are in a group */
  uint64_t sources;             /* bit i: open, and a source of the i-th inhibition */
};

enum incident_change {
  INCIDENT_OPENED, INCIDENT_UPDATED, INCIDENT_CHANGED_ACKNOWLEDGED, INCIDENT_CHANGED_RESOLVED, INCIDENT_REOPENED,
  INCIDENT_NOTIFIED,            /* what receivers know of it has changed */
  INCIDENT_CHANGES
};

struct notice;
/* None of them may call back into the incidents. */
struct incidents_calls {
  /* Every change but of those that are pending; UPDATED is said at most once a second of one incident. The incident is
   * lent for the call. */
  void (*on_incident)(void *ctx, const struct incident *incident, enum incident_change change);
  /* Someone is to be told; on_incident with NOTIFIED follows for those in it. Lent for the call. false: no memory to keep
   * it: tried again an interval later. */
  bool (*on_notice)(void *ctx, const struct notice *notice);
  /* A silence was added, or has ended (ended_ns). Lent for the call. */
  void (*on_silence)(void *ctx, const struct silence *silence);
  void *ctx;
};

/* How a receiver is told. group_interval_ns 0: the defaults of notice.h, all of them. */
struct notice_options {
  /* Of `rule`, `group` (all of an incident's), `severity`, keys of groups, labels. */
  const char *const *group_by; uint32_t group_by_count;
  uint64_t group_wait_ns, group_interval_ns, repeat_interval_ns;
  bool resolved_unsaid;         /* nobody wants to know that it is over */
};
struct receiver_options { const char *name; struct notice_options notice; };

/* While an incident matches `source` and is open, others that match `target` and have equal values of `equal` are not
 * told of. One that matches both sides is not held by another that does. */
struct inhibition { const char *source, *target; const char *const *equal; uint32_t equal_count; };

/* All is copied. */
struct incidents_options {
  struct notice_options notice;         /* of receivers that are not listed */
  const struct receiver_options *receivers; uint32_t receivers_count;
  const struct inhibition *inhibitions; uint32_t inhibitions_count;
  const struct mute_time *mute_times; uint32_t mute_times_count;
  uint32_t incidents_max, groups_max;   /* in all, and open of one rule; 0: limits.h */
  size_t exemplar_bytes_max;            /* 0: limits.h */
};

struct incidents;

/* 0; FLUO_EINVALID (matchers, too many of something) and why; or FLUO_ENOMEM. */
int incidents_new(const struct incidents_options *options, const struct incidents_calls *calls, struct incidents **out,
                  char why[MATCHERS_WHY_BYTES]);
void incidents_free(struct incidents *i);

/* Takes a violation that arrives now. Its incident (which may be pending), lent until the next call; NULL: there is no
 * room or no memory for it, counted: the violation is a violation all the same. Time never runs backwards: an earlier
 * now_ns is taken as the latest one seen. */
const struct incident *incidents_take(struct incidents *i, const struct incident_violation *v, uint64_t now_ns);
/* A violation that incidents_take had no room for; and whether somebody is to be told of it now, which is so once in
 * LIMIT_TOLD_NS of a rule that has its own share, and of all others together. rule: lent by the caller. */
struct incidents_refusal {
  struct text rule;
  bool of_rule, shadow;         /* of_rule: the rule has as many as it may have, not all together */
  uint32_t burning;             /* of the rule, or remembered */
};
bool incidents_refusal(struct incidents *i, const struct incident_violation *v, struct incidents_refusal *out);
/* An incident as it was found. Zero: none was. */
struct incident_known { struct incident *it; uint64_t gone; };
/* One more violation of an incident that burns, of which nothing but the number is kept: what is cheap where violations
 * come as spans do. *out: which it was, also one that does not burn. NULL: there is none that burns, and incidents_take is
 * to be called. */
const struct incident *incidents_count(struct incidents *i, struct text rule, struct labels group, uint64_t now_ns,
                                       struct incident_known *out);
/* Likewise, of the one found then, whatever came meanwhile. NULL: incidents_count is to be called, for that is no more, or not
 * of this rule, or does not burn. */
const struct incident *incidents_count_known(struct incidents *i, const struct incident_known *known, struct text rule,
                                             uint64_t now_ns);
/* What brought the incident of this rule and group goes on without a new violation: a window that stays crossed. */
void incidents_renew(struct incidents *i, struct text rule, struct labels group, uint64_t now_ns);
/* It is over (resolve_when). Nothing happens where there is no such incident. */
void incidents_clear(struct incidents *i, struct text rule, struct labels group, uint64_t now_ns);
/* By hand, by id: false: there is none, or it is in no state for that. Acknowledged ones are not repeated. */
bool incidents_acknowledge(struct incidents *i, const char *id, uint64_t now_ns);
bool incidents_resolve(struct incidents *i, const char *id, uint64_t now_ns);
/* NULL: it is not remembered. */
const struct incident *incidents_find(const struct incidents *i, const char *id);

/* When the first timer is due; UINT64_MAX: none. */
uint64_t incidents_next_due(const struct incidents *i);
/* Runs all timers due at or before now, in order; incidents' before receivers' at one time. */
void incidents_step(struct incidents *i, uint64_t now_ns);

/* Adds a silence, or takes one back from the ledger. 0, its id in `id`; FLUO_EINVALID and why; FLUO_EFULL; FLUO_ENOMEM. */
int incidents_silence(struct incidents *i, const struct silence_request *request, uint64_t now_ns, char id[33],
                      char why[MATCHERS_WHY_BYTES]);
/* Ends one by hand: false: there is none of this id in force. */
bool incidents_unsilence(struct incidents *i, const char *id, uint64_t now_ns);
/* The at-th silence in force; NULL past the last. */
const struct silence *incidents_silence_at(const struct incidents *i, uint32_t at);
/* What keeps people from being told of it now, static: "silenced", "inhibited", "muted"; NULL: nothing. */
const char *incidents_muted(struct incidents *i, const struct incident *incident, uint64_t now_ns);

/* ---- what the ledger keeps ---- */

/* Appends all that incidents_restore needs: bytes of a version of their own, for the row of the incident. */
int incident_save(const struct incident *incident, struct buffer *out);
/* Until when a row is worth giving back: UINT64_MAX while it is open or someone is to be told of it. */
uint64_t incident_restore_until(const struct incident *incident);
/* Takes back what incident_save wrote, before anything else is taken (and before silences); nothing is said again that was
 * said. resolve_after begins anew, for nobody looked while there was no agent. count: so many violations of it
 * are known, where that is more than the bytes say. 0;
 * FLUO_EMALFORMED: not such bytes; FLUO_EFULL: no room, or there is a later one of its rule and group; FLUO_ENOMEM. */
int incidents_restore(struct incidents *i, const void *bytes, size_t n, uint64_t count, uint64_t now_ns);
/* ---- for /metrics and lists ---- */

struct incidents_stats {
  uint64_t incidents, pending, open, acknowledged;      /* that there are */
  uint64_t opened, reopened, resolved;
  uint64_t lapsed;              /* pending ones that came to nothing */
  uint64_t cooled;              /* violations that a cooldown kept quiet */
  uint64_t refused;             /* violations for whose incident there was no room or no memory */
  uint64_t forgotten;           /* resolved or pending ones that made room */
  uint64_t exemplars_lost;      /* that had no room */
  uint64_t exemplar_bytes;
  uint64_t notices, notices_lost;       /* said; tried again an interval later, for want of memory */
  uint64_t silenced, inhibited, muted;  /* times that an incident was kept out of a notice */
  uint64_t silences;            /* in force */
};
const struct incidents_stats *incidents_stats(const struct incidents *i);

/* A rule that has incidents: how many are open (acknowledged ones too) by severity, those in shadow left out. */
struct incident_rule {
  struct state_group head;      /* its key is the name */
  uint32_t incidents, burning;  /* that are remembered; that are not resolved */
  uint32_t open[4];
  uint64_t refused_ns;          /* when it was last told that it has no room; 0: never */
};
void incidents_each_rule(const struct incidents *i, void (*each)(void *ctx, const struct incident_rule *rule), void *ctx);
/* Calls for each incident that is remembered, the oldest use first. */
void incidents_each(const struct incidents *i, void (*each)(void *ctx, const struct incident *incident), void *ctx);

#endif
