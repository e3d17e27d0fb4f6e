/* The processes in which Lua runs. What it runs are modules that
 * are part of the binary, and they in turn run what users wrote. Nothing here is called by the core's
 * own process but worker_script, and that only by a child, or a command that serves nothing. Past the heap budget of
 * its state (luastate.h) such a process ends with WORKER_EXIT_MEMORY. */
#ifndef FLUO_WORKER_H
#define FLUO_WORKER_H
#include <stddef.h>

/* argv[1] of the rule process. The core starts it as {"fluo: rules", WORKER_RULES, option…} with an
 * empty environment and the descriptors of enum worker_fd; all others are closed. */
#define WORKER_RULES "--internal-rules"

enum worker_fd {
  WORKER_FD_DIAGNOSTICS = 2,   /* load errors and warnings */
  WORKER_FD_CONTROL     = 3,   /* SOCK_SEQPACKET to the core */
  WORKER_FD_IR          = 4,   /* an empty memfd; gets the intermediate form */
  WORKER_FD_ARENA       = 5,   /* read-only; mapped and closed before any rule file is evaluated */
  WORKER_FD_PULSE       = 6,   /* a memfd of one page: struct fluo_pulse */
  WORKER_FD_LAST        = 7,   /* the texts of the rules in force, as such a process left them; or nothing */
  WORKER_FD_TEXTS       = 8,   /* gets the texts that were loaded: an empty memfd, or what forgets them */
  WORKER_FDS            = 9
};

enum worker_exit {
  WORKER_EXIT_OK     = 0,
  WORKER_EXIT_FAILED = 1,      /* said on the diagnostics descriptor, or the core is gone */
  WORKER_EXIT_MEMORY = 86,     /* the heap budget was reached */
  WORKER_EXIT_FULL   = 87      /* between jobs, and nobody's fault: half of the heap that was free at the fork
                                  is in use and cannot be collected, so another worker should go on */
};

/* The rule process: loads the rules, hands over their intermediate form, then serves FLUO_MESSAGE_FORK
 * until the control socket ends. Returns the exit status; the workers that it forks never return. main calls
 * this before anything else when argv[1] is WORKER_RULES. Options, then the path of the rules:
 *   --parent=PID   the core: when it is gone, so are we
 *   --heap=BYTES   heap budget of this process and of each worker
 *   --specs=FLAGS  take only rules whose specs pass; another process of this program runs them, judging with FLAGS
 *   --explain=FORM:TRACE:RULE   explain that rule, of traces whose id begins so, as json, plain or colour
 *   --actions=NAMES   what rules may name besides the actions that files declare, spaces between them
 *   --skip-broken  leave out files that do not load
 *   --renamed      functions see attributes under their renamed conventions too
 *   --explicit-ok  "OK" does not match UNSET in their patterns
 *   --json         diagnostics as JSON lines
 *   --again        loads what WORKER_FD_LAST has, and reads no file
 *   --lines        diagnostics as one line of text each */
int worker_main(int argc, char **argv);

/* Runs main(argv) of an embedded Lua module in a new Lua state of this process: module is a name such as
 * "fluo.config", argv becomes a Lua array (argv[0] at index 1). The module is ours, so it has Lua's whole
 * library and the ffi. Returns what main returned (its exit code; nil is 0); 1 after an error, which is then
 * on stderr. Out of its heap budget the process ends: with 1 after `farewell`, which goes to stderr then;
 * with WORKER_EXIT_MEMORY without one (NULL), for a parent to explain. */
int worker_script(const char *module, int argc, char **argv, const char *farewell);

#endif
