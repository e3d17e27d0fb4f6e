/* The post room: the process that runs alert actions and sends what they send. The core starts it at the first alert, as
 * {"fluo: post", POSTROOM, option…} with an empty environment and the descriptors below; all others are closed. It holds
 * nothing that must outlive it: a delivery without an outcome is delivered again.
 *
 * Frames go both ways over one stream socket, each a head and so many bytes behind it. */
#ifndef FLUO_POSTROOM_H
#define FLUO_POSTROOM_H
#include <stdint.h>

#define POSTROOM "--internal-post"

enum postroom_fd {
  POSTROOM_FD_DIAGNOSTICS = 2,     /* what cannot be said in a frame */
  POSTROOM_FD_CONTROL     = 3,     /* SOCK_STREAM to the core */
  POSTROOM_FD_SETUP       = 4,     /* JSON: receivers, their settings, what actions may see and reach (lua/fluo/post.lua) */
  POSTROOM_FD_TEXTS       = 5,     /* the rule files in force, as lua/fluo/texts.lua writes them; or nothing */
  POSTROOM_FD_PULSE       = 6,     /* a memfd of one page: struct fluo_pulse; `rule` is the delivery whose action runs */
  POSTROOM_FDS            = 7
};

/* 16 bytes. delivery: the core's number for it, below 2^53; 0 where the frame is about none. */
struct postroom_head { uint32_t kind, bytes; uint64_t delivery; };
enum postroom_kind {
  POSTROOM_READY   = 1,            /* to the core: it takes deliveries */
  POSTROOM_DELIVER = 2,            /* to it: the receiver's name, a NUL, and the alert as JSON */
  POSTROOM_OUTCOME = 3,            /* to the core: struct postroom_outcome and a text for people behind it */
  POSTROOM_LOG     = 4             /* to the core: a line that an action writes; a full frame goes on in the next one */
};
enum postroom_result { POSTROOM_OK, POSTROOM_RETRY, POSTROOM_FAILED };   /* FAILED: trying again is of no use */
struct postroom_outcome { uint32_t result, retry_after_s; };             /* retry_after_s 0: the receiver named no time */

/* Of one frame: larger ones are not sent. */
enum { POSTROOM_FRAME_BYTES = 1 << 20, POSTROOM_TEXT_BYTES = 1024 };

/* main calls this before anything else where argv[1] is POSTROOM. Options: --parent=PID, the core: when it is gone, so are
 * we; --heap=BYTES. Returns the exit status, enum worker_exit. */
int postroom_main(int argc, char **argv);

#endif
