/* The post room's way out: HTTP and mail, by libcurl, which is looked for (dlopen) at the first request and by no other
 * process, for it takes 9 MB and 42 files. What actions call of it is in fluo.h; here is what the loop calls. Redirects
 * are not followed. A request goes to an address of a private network, or of this machine, only where it may. */
#ifndef FLUO_COURIER_H
#define FLUO_COURIER_H
#include <stdbool.h>

#include "fluo.h"

struct pollfd;
struct sockaddr;

/* Of an answer: what is beyond is not read. */
enum { COURIER_BODY_BYTES = 65536, COURIER_HEADERS_BYTES = 16384, COURIER_REQUESTS_MAX = 256, COURIER_FDS_MAX = 128 };

/* NULL: no memory. It ends with its process. */
struct fluo_courier *courier_new(void);
/* Waits until one of the descriptors (COURIER_FDS_MAX at most) is ready, a request goes on, or the time is over (-1: no
 * end); revents are set. */
void courier_wait(struct fluo_courier *c, struct pollfd *fds, unsigned count, int timeout_ms);
/* Lets all requests go on as far as they can without waiting. */
void courier_turn(struct fluo_courier *c);
/* Whether it belongs to no public network. */
bool courier_is_private(const struct sockaddr *address);

#endif
