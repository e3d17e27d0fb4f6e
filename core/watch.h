/* Watches the rule files and says when they have changed and come to rest. */
#ifndef FLUO_WATCH_H
#define FLUO_WATCH_H
#include <stdint.h>

struct watch;
struct uv_loop_s;

struct watch_options {
  const char *path;              /* the rules: a directory, or one file; copied */
  uint64_t settle_ns;            /* quiet for so long before it is looked: a file may be half written */
  uint64_t settle_max_ns;        /* but no longer than this after the first change */
  uint64_t rescan_ns;            /* looked at so often in any case: some file systems announce nothing */
};

/* Looks at the files now, in the caller's thread; what differs from that later on is a change. on_change comes from the
 * loop. 0 or a negative fluo_err. */
int watch_open(struct uv_loop_s *loop, const struct watch_options *options, void (*on_change)(void *ctx), void *ctx,
               struct watch **out);
/* Its handles close with the loop's others: they are closing, or are closed here. */
void watch_close(struct watch *w);
/* Once its loop has run to its end. */
void watch_free(struct watch *w);

#endif
