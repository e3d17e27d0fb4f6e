/* The study's two processes, as the core handles them: starting the rule process, asking it for a worker,
 * looking at their CPU clocks, ending them. Knows nothing of jobs. */
#ifndef FLUO_STUDY_PROCESS_H
#define FLUO_STUDY_PROCESS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fluo.h"

/* pid 0: there is none; descriptors are then -1. */
struct study_process { int pid, fd; };

struct study_spawn {
  const char *exe;                 /* NULL: /proc/self/exe */
  const char *rules_path;
  const char *specs;               /* less than STUDY_SPECS_BYTES; NULL: none are required */
  const char *actions;             /* less than STUDY_ACTIONS_BYTES; NULL: none but those that files declare */
  const char *explain;             /* less than STUDY_EXPLAIN_BYTES; NULL: rules are judged, none is explained */
  bool skip_broken, renamed, explicit_ok, json, lines;
  bool again;                      /* loads what last_fd has and leaves no texts: *texts_fd is -1 then */
  int last_fd;                     /* lent; the texts of the rules in force; -1: none */
  uint64_t heap_bytes;
  int arena_fd, pulse_fd, diagnostics_fd;     /* lent; the process gets copies */
};

/* Starts the rule process in a process group of its own, with an empty environment. 0: *out (its control
 * socket), *ir_fd and *texts_fd (memfds that it will write), all the caller's; FLUO_EIO (errno says why), FLUO_ENOMEM
 * otherwise. */
int study_spawn_rules(const struct study_spawn *how, struct study_process *out, int *ir_fd, int *texts_fd);
/* Asks the rule process for a worker: *fd is our end of the worker's socket. 0; FLUO_EDIED: there
 * is no rule process any more; FLUO_EFULL: no descriptor or memory for a socket now. */
int study_ask_fork(const struct study_process *rules, int *fd);
/* One page that both sides map: 0, *fd (the caller's) and *page; FLUO_EIO. It cannot be shrunk. */
int study_map_pulse(int *fd, struct fluo_pulse **page);

/* CPU time that a process has used; 0 where it is gone. */
uint64_t study_cpu_ns(int pid);
/* Whether the pid is a child of ours that is not the one given. */
bool study_is_child(int pid, int other);
/* Kills the process and waits for it: its wait status, which is that of its own end if it had come to one
 * before. Its descriptor stays open, for what it had still sent can be read. */
int study_reap(struct study_process *p);
/* The same, and closes the descriptor. */
void study_end(struct study_process *p);
/* Kills and waits for whatever is left of a process group: a worker whose pid never reached us. */
void study_end_group(int pgid);

#endif
