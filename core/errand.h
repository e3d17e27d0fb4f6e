/* The post room's errands on this machine: a line for a file, a message for a socket, a program. Each is done by a process
 * of its own, so that nothing that blocks (a disk, a full socket, a name that has to be looked up) stops the loop. Only
 * receivers that are built in have them: what actions call is in fluo.h, and lua/fluo/action/errand.lua hands it to nobody
 * else. */
#ifndef FLUO_ERRAND_H
#define FLUO_ERRAND_H
#include "fluo.h"

struct pollfd;

#define ERRAND "--internal-errand"

enum {
  ERRANDS_MAX = 32,                    /* processes at once, one for each delivery; one more is tried again */
  ERRAND_FDS_MAX = 2 * ERRANDS_MAX,
  ERRAND_TEXT_BYTES = 1024,            /* of what one says; what is beyond is read and passed over */
  ERRAND_WORDS_MAX = 128,
  ERRAND_AGAIN = 75                    /* EX_TEMPFAIL: it is worth trying again */
};

/* exe NULL: /proc/self/exe. NULL: no memory. */
struct fluo_errands *errands_new(const char *exe);
/* Ends those under way. NULL is fine. */
void errands_free(struct fluo_errands *e);
/* Fills in what to wait for, ERRAND_FDS_MAX at most: how many. */
unsigned errands_fds(const struct fluo_errands *e, struct pollfd *fds);
/* Reads what they say, and notes which have ended; never waits. */
void errands_turn(struct fluo_errands *e);

/* The process itself; main calls this where argv[1] is ERRAND. Input is descriptor 0, what there is to say goes to 2.
 *   append PATH             the input, whole or not at all, and on the disk when it ends with 0
 *   send ADDRESS            the input's messages, each "LENGTH MESSAGE" (RFC 6587), to udp://HOST:PORT, tcp://HOST:PORT or
 *                           unix:PATH; only TCP sees the lengths
 *   exec NAME=VALUE… -- PROGRAM ARGUMENT…       becomes that program, with this environment
 * Exit status: 0; ERRAND_AGAIN, and why on descriptor 2; the program's. */
int errand_main(int argc, char **argv);

#endif
