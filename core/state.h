/* What rules remember across traces: groups, found by their key, bounded in bytes for all rules together and in number
 * for each owner (a window, a sequence), the least recently used going first; and their timers, one a group. What a
 * group holds is its owner's business. */
#ifndef FLUO_STATE_H
#define FLUO_STATE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"
#include "pack.h"

struct state;
struct state_owner;

/* The head of every group: its first member. What each use looks at comes first. */
struct state_group {
  struct state_group *next;         /* in its slot of the table */
  struct state_owner *owner;
  uint64_t hash;
  uint64_t used;                    /* which use of all was its last one */
  uint32_t key_bytes;
  uint32_t timer;                   /* where in the heap, from 1; 0: none is set */
  size_t   bytes;                   /* as counted */
  uint64_t due_ns;
  struct link of_owner, of_all;     /* by use, the latest last; see state_defer */
  uint32_t walk;                    /* the last one that came by */
};

struct state_ops {
  size_t size;                      /* of a group, its head included */
  int  (*init)(struct state_group *g);          /* all zero but its head; 0 or FLUO_ENOMEM */
  void (*deinit)(struct state_group *g);        /* frees what it holds, not itself; also after a failed init */
  size_t (*bytes)(const struct state_group *g); /* what it holds on the heap, itself not counted */
  void (*on_due)(struct state_group *g, uint64_t now_ns);   /* its timer ran out, and is no longer set */
  void (*write)(const struct state_group *g, struct pack *p);           /* what it holds, and when its timer is due */
  int  (*read)(struct state_group *g, struct unpack *u);    /* into a new one: 0, FLUO_EMALFORMED or FLUO_ENOMEM */
};

/* Embedded in what owns groups. */
struct state_owner {
  struct state *state;
  const struct state_ops *ops;
  struct link groups;
  uint32_t groups_count, groups_max;
  uint32_t id;                      /* what a snapshot calls it; 0: it is in none */
  uint64_t salt;
  uint64_t ordered;                 /* eras (state.c) before it are in order */
  uint64_t gone;                    /* groups of it that there are no more: while it stays, each that was found is good */
};

/* 0 or FLUO_ENOMEM. */
int state_new(size_t bytes_max, struct state **out);
/* From its beginning. Its lists are put in order of use when something has to go, or is walked over, and not at each use,
 * which is cheaper where there are many. Who goes is the same; owners' lists are as they may be. */
void state_defer(struct state *s);
/* After every owner is gone. */
void state_free(struct state *s);
void state_owner_init(struct state_owner *o, struct state *s, const struct state_ops *ops, uint32_t groups_max);
void state_owner_deinit(struct state_owner *o);             /* every group with it */
/* Clears the timers of all its groups. */
void state_owner_stop(struct state_owner *o);

/* A key with its hash, which is the same for all owners. */
struct state_key { const void *bytes; uint32_t n; uint64_t hash; };
uint64_t state_hash(const struct state *s, const void *key, uint32_t n);
/* The group of this key, as the one used last; a new one where there is none. 0 or FLUO_ENOMEM. Others of its owner may
 * have gone to make room. */
int state_get(struct state_owner *o, const struct state_key *key, struct state_group **out);
/* As state_get of its key: it is the one used last. */
void state_use(struct state_group *g);
/* The group of this key, as it stands; NULL: there is none. */
struct state_group *state_find(const struct state_owner *o, const struct state_key *key);
const uint8_t *state_group_key(const struct state_group *g);
/* How much of the bound of all is not taken, 0 to 1. */
double state_left(const struct state *s);
/* Counts what the group takes by now and keeps the bound of all; the group itself is never the one to go. */
void state_account(struct state_group *g);
/* Sets its timer (again). 0; FLUO_ENOMEM, and then the one before still stands. UINT64_MAX: none. */
int state_timer(struct state_group *g, uint64_t due_ns);
void state_drop(struct state_group *g);

/* The group as bytes: its key, and what it holds. */
void state_write(const struct state_group *g, struct pack *p);
/* Such a group, as the one used last, in the place of one of its key. 0; FLUO_EMALFORMED or FLUO_ENOMEM, and then there is
 * none of that key. */
int state_read(struct state_owner *o, struct unpack *u);
/* A walk over all groups there are at its beginning, the least recently used first; groups may change, go and come between
 * two steps, and those that are used meanwhile come later. One at a time: a new one ends the one before. */
void state_walk(struct state *s);
/* The next one; NULL: that was all. */
struct state_group *state_walk_next(struct state *s);

/* When the first timer is due; UINT64_MAX: none. */
uint64_t state_next_due(const struct state *s);
/* Runs the one timer that is due first at or before now: false if there was none. */
bool state_step(struct state *s, uint64_t now_ns);

struct state_stats {
  uint64_t groups, bytes;
  uint64_t groups_evicted;          /* for the bounds */
  uint64_t lost;                    /* events that found no memory: counted by the owners */
  uint64_t changes;                 /* another number once something may have changed */
  uint64_t overflowed;              /* likewise, that a group had to forget for want of places in it */
};
struct state_stats *state_stats(struct state *s);

#endif
