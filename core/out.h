/* Output that never blocks the loop: a bounded queue of lines in front of one writer thread.
 * Past the bound lines are dropped and counted; nothing is ever cut in the middle of a line. */
#ifndef FLUO_OUT_H
#define FLUO_OUT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct out;

/* Takes the descriptor (closed by out_close unless it is 0, 1 or 2). bytes_max bounds the queue. */
int out_new(int fd, size_t bytes_max, struct out **out);
/* Queues one line, newline included: true, or false: full, dropped and counted. It is written after out_wake, or
 * before that where many lines wait. */
bool out_add(struct out *o, const void *p, size_t n);
/* Has the writer begin, if lines were added since it last did: whether some were. */
void out_wake(struct out *o);
bool out_waits(const struct out *o);
/* Both. */
bool out_write(struct out *o, const void *p, size_t n);
uint64_t out_dropped(const struct out *o);       /* lines */
uint64_t out_failed(const struct out *o);        /* lines that the descriptor did not take (EPIPE, ENOSPC …) */
int out_errno(const struct out *o);              /* of the last failure; 0: none */
/* Waits until all is written, at most timeout_ns; then frees it. false: not all was. */
bool out_close(struct out *o, uint64_t timeout_ns);

#endif
