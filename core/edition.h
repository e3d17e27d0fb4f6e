/* An edition of the rules: what one load of the rule files gave, and the two processes that run it. The one in force,
 * the one being loaded, and those from before that traces are still judged by are all alive side by side. */
#ifndef FLUO_EDITION_H
#define FLUO_EDITION_H
#include <stdbool.h>

#include "config.h"
#include "ruleset.h"
#include "study.h"

struct host;

struct edition {
  struct host *host;                  /* of the callbacks, whose ctx the edition is */
  struct study *study;
  struct ruleset *rules;              /* NULL: it is being loaded */
  char **names;                       /* of the rules, NUL-terminated */
  int diagnostics_fd;                 /* what its load prints; -1: that goes where people read it at once */
  struct edition *older;
};

struct edition_options {
  const struct config *config;
  const char *exe;                    /* the binary that runs rules; NULL: this one */
  const char *explain;                /* a rule to explain, as for the study; NULL: none */
  bool live;                          /* wall-clock limits */
  int arena_fd;                       /* read-only; the edition closes it */
  const struct edition *last;         /* in force; NULL: none */
  int diagnostics_fd;                 /* where load errors and warnings go; -1: see edition_diagnostics */
  bool json;                          /* with a diagnostics_fd: as lines of a log in JSON; else for people */
};

/* Starts to load. 0 and *out; or an error, and `why` where it is worth more than its text. */
int edition_start(const struct edition_options *options, const struct study_calls *calls, struct host *host,
                  struct edition **out, char why[256]);
/* Asked after study_readable and study_tick: 1, it is being loaded. 0, once: its rules are there, and its study may
 * be asked. FLUO_EINVALID: they did not load; else a text in `why`. */
int edition_loaded(struct edition *e, const struct config *config, char why[256]);
/* Waits for that. */
int edition_wait(struct edition *e, const struct config *config, char why[256]);
/* Ends its processes. The rules stay until edition_free. */
void edition_stop(struct edition *e);
void edition_free(struct edition *e);

/* What its load has printed, as far as the bound allows: whole lines, NUL-terminated, the caller's (heap). NULL: no
 * memory. */
char *edition_diagnostics(const struct edition *e);

#endif
