/* Watching.
 *
 * Good path: the kernel announces a change in the directory, in its lib/, or that the directory itself was moved or
 * removed; and where its path is a link, or nothing yet, a change of that name in the directory above. (Only there: to
 * watch a folder of many files takes the kernel long, a tenth of a second for 9,000 of them, and every file that comes
 * and goes in it would wake the loop.) When that has been quiet for a while, the files are looked at in a thread, for a
 * file system may hang and the loop must not; if they look different from before, on_change is called. That
 * look decides: announcements that come to nothing, or stand for many changes, cost one look, and changes that
 * nobody announces are found by the look that comes round anyway. After a change the watches are set anew, since the
 * directory may be another one by now, and it is looked once more for what came in between.
 *
 * Ways it fails: no watch can be had (no such directory, too many watches): then only the regular look is left. A look
 * that never comes back, from a file system that hangs: there is no other one; at the end it is waited for as long as
 * for anything, and then all of this stays allocated, for the thread still has it.
 *
 * The struct is the owner's until watch_free; the thread reads the path and the key, and writes `seen`, between
 * aside_run and on_looked, when nobody else does. */
#include "watch.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "aside.h"
#include "err.h"
#include "fingerprint.h"
#include "heap.h"
#include "limits.h"

enum { PLACES = 3 };             /* the rules, their lib/, and where their name stands if that may change hands */

struct watch {
  void (*on_change)(void *ctx);
  void *ctx;
  struct watch_options options;
  char *path, *lib, *above;      /* owned */
  const char *name;              /* the last part of path */
  struct hash_key key;
  struct fingerprint known, seen;
  uv_fs_event_t events[PLACES];
  uv_timer_t settle, rescan;
  struct aside *aside;
  uint64_t announced_ns;         /* the first change that was not looked at; 0: none */
  bool looking, again, closing;  /* again: look once more after this one */
};

static void on_settled(uv_timer_t *timer);

static void on_event(uv_fs_event_t *event, const char *name, int events, int status) {
  struct watch *w = event->data;
  (void)events, (void)status;
  if (event == &w->events[PLACES - 1] && name && strcmp(name, w->name) != 0) return;   /* a neighbour */
  uint64_t now = uv_now(event->loop) * 1000000u + 1, wait = w->options.settle_ns;
  if (!w->announced_ns) w->announced_ns = now;
  uint64_t age = now - w->announced_ns, left = w->options.settle_max_ns > age ? w->options.settle_max_ns - age : 0;
  uv_timer_start(&w->settle, on_settled, (wait < left ? wait : left) / 1000000u, 0);
}

/* Whether another may take the place of what the path names without that itself being touched. */
static bool may_be_replaced(const char *path) {
  struct stat status;
  return lstat(path, &status) != 0 || S_ISLNK(status.st_mode);
}

static void set_watches(struct watch *w) {
  const char *const places[PLACES] = {w->path, w->lib, may_be_replaced(w->path) ? w->above : NULL};
  for (int i = 0; i < PLACES; i++) {
    uv_fs_event_stop(&w->events[i]);
    if (places[i]) uv_fs_event_start(&w->events[i], on_event, places[i], 0);   /* where it fails the regular look is left */
  }
}

static void look(void *job) {
  struct watch *w = job;
  w->seen = fingerprint_of(&w->key, w->path);
}

static void begin_look(struct watch *w);

static void on_looked(void *job) {
  struct watch *w = job;
  w->looking = false;
  if (w->closing) return;
  bool same = w->seen.a == w->known.a && w->seen.b == w->known.b;
  w->known = w->seen;
  if (!same) set_watches(w);
  if (!same || w->again) begin_look(w);
  if (!same) w->on_change(w->ctx);
}

static void begin_look(struct watch *w) {
  w->again = w->looking;
  if (w->looking) return;
  w->announced_ns = 0;
  w->looking = true;
  aside_run(w->aside, look, on_looked, w);
}

static void on_settled(uv_timer_t *timer) {
  begin_look(timer->data);
}

/* ---- opening and closing ---------------------------------------------------------------------- */

/* "rules/" is rules; what is above "rules" is ".". */
static int copy_paths(struct watch *w, const char *path) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  w->path = heap_zalloc(n + 1);
  w->lib = heap_zalloc(n + sizeof "/lib");
  w->above = heap_zalloc(n + sizeof ".");
  if (!w->path || !w->lib || !w->above) return FLUO_ENOMEM;
  memcpy(w->path, path, n);
  const char *slash = strrchr(w->path, '/');
  w->name = slash ? slash + 1 : w->path;
  if (!slash) memcpy(w->above, ".", 1);
  else memcpy(w->above, w->path, slash == w->path ? 1 : (size_t)(slash - w->path));
  struct stat status;
  bool file = stat(w->path, &status) == 0 && !S_ISDIR(status.st_mode);
  snprintf(w->lib, n + sizeof "/lib", "%s/lib", file ? w->above : w->path);
  return 0;
}

int watch_open(struct uv_loop_s *loop, const struct watch_options *options, void (*on_change)(void *ctx), void *ctx,
               struct watch **out) {
  struct watch *w = heap_zalloc(sizeof *w);
  int err = w ? copy_paths(w, options->path) : FLUO_ENOMEM;
  if (!err) err = aside_new(loop, &w->aside);
  if (err) {
    watch_free(w);
    return err;
  }
  w->on_change = on_change;
  w->ctx = ctx;
  w->options = *options;
  w->key = hash_key_random();
  for (int i = 0; i < PLACES; i++) {
    uv_fs_event_init(loop, &w->events[i]);
    w->events[i].data = w;
  }
  uv_timer_init(loop, &w->settle);
  uv_timer_init(loop, &w->rescan);
  w->settle.data = w->rescan.data = w;
  set_watches(w);
  w->known = fingerprint_of(&w->key, w->path);
  uint64_t rescan_ms = options->rescan_ns / 1000000u;
  uv_timer_start(&w->rescan, on_settled, rescan_ms, rescan_ms);
  *out = w;
  return 0;
}

static void on_waited(uv_timer_t *timer) {
  (void)timer;                     /* so that a turn of the loop ends */
}

static void close_one(uv_handle_t *handle) {
  if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void watch_close(struct watch *w) {
  if (!w) return;
  uint64_t until_ns = uv_hrtime() + LIMIT_DRAIN_NS;
  w->closing = true;
  uv_timer_start(&w->settle, on_waited, 10, 10);
  while (w->looking && uv_hrtime() < until_ns) uv_run(w->settle.loop, UV_RUN_ONCE);
  if (!w->looking) aside_close(w->aside);
  for (int i = 0; i < PLACES; i++) close_one((uv_handle_t *)&w->events[i]);
  close_one((uv_handle_t *)&w->settle);
  close_one((uv_handle_t *)&w->rescan);
}

void watch_free(struct watch *w) {
  if (!w || w->looking) return;
  heap_free(w->path);
  heap_free(w->lib);
  heap_free(w->above);
  heap_free(w);
}
