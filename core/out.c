/* The good path: out_add copies lines into a ring of bytes, out_wake wakes the writer thread, which
 * takes all whole lines that lie together, writes them with as few calls as the descriptor allows,
 * and gives their room back. The loop's thread only ever holds the mutex for the copy. A wake costs
 * more than a line, so the thread is woken once for many, and by itself only when a whole write's
 * worth waits.
 *
 * How it fails, and who frees what:
 *  - The ring is full, because the reader is slow: the line is dropped and counted; nothing was
 * taken.
 *  - The descriptor refuses (EPIPE, ENOSPC …): the line at fault is counted as failed and skipped,
 * the next one is tried. Where half a line had gone out already, a line end goes before the next
 * one.
 *  - The descriptor blocks for good: out_close waits as long as it is told, then cancels the
 * thread, which can only happen in write or poll, where it holds nothing. A thread that does not
 * even notice that (a dead network file system) is left behind with its memory: the process is
 * about to end. The ring and this struct are one owner's: out_new makes them, out_close frees them.
 * The thread allocates nothing. Lines are never split at the end of the ring: one that does not fit
 * there starts again at 0. */
#include "out.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "heap.h"

enum {
  BATCH_BYTES = 64 << 10,  /* one write: a pipe takes this much at once */
  STACK_BYTES = 128 << 10, /* the thread's frames are small; a sanitizer's are not */
  CANCEL_MS = 200          /* how long a cancelled thread may take to notice */
};

struct out {
  pthread_mutex_t lock;
  pthread_cond_t filled, emptied;
  pthread_t thread;
  /* Under the lock. Bytes lie in [head, tail), or, when wrapped, in [head, wrap) and [0, tail). */
  size_t head, tail, wrap;
  bool wrapped, closing, done;
  /* Fixed. */
  char *ring;
  size_t size;
  int fd;
  /* One writer each: the loop's thread, and ours. */
  uint64_t dropped;
  size_t added; /* bytes since the last wake */
  _Atomic uint64_t failed;
  _Atomic int failed_errno;
  bool torn; /* the last line went out in part */
};

static bool empty(const struct out *o) {
  return !o->wrapped && o->head == o->tail;
}

/* Where n bytes can go, in one piece; NULL: nowhere. */
static char *place(struct out *o, size_t n) {
  /* An empty ring starts again at 0, so that a quiet one touches only its first pages. But not
   * while the writer still holds a batch: it gives that back only once written, so the ring is not
   * empty then. */
  if (empty(o)) o->head = o->tail = 0;
  if (!o->wrapped && o->size - o->tail < n && o->head >= n) {
    o->wrap = o->tail;
    o->tail = 0;
    o->wrapped = true;
  }
  size_t end = o->wrapped ? o->head : o->size;
  return end - o->tail >= n ? o->ring + o->tail : NULL;
}

bool out_waits(const struct out *o) {
  return o->added > 0;
}

void out_wake(struct out *o) {
  if (!o->added) return;
  o->added = 0;
  pthread_cond_signal(&o->filled); /* without the lock, or it would wake up to wait for that */
}

bool out_add(struct out *o, const void *p, size_t n) {
  assert(n == 0 || ((const char *)p)[n - 1] == '\n');
  pthread_mutex_lock(&o->lock);
  char *to = place(o, n);
  if (to && n) {
    memcpy(to, p, n);
    o->tail += n;
  }
  pthread_mutex_unlock(&o->lock);
  if (to) o->added += n;
  else o->dropped++;
  if (o->added >= BATCH_BYTES || !to) out_wake(o);
  return to != NULL;
}

bool out_write(struct out *o, const void *p, size_t n) {
  bool taken = out_add(o, p, n);
  out_wake(o);
  return taken;
}

/* One write, with cancellation open for just that long. Waits where a non-blocking descriptor is
 * full. */
static ssize_t write_some(struct out *o, const char *p, size_t n) {
  for (;;) {
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    ssize_t wrote = write(o->fd, p, n);
    int failure = wrote < 0 ? errno : 0;
    if (failure == EAGAIN) poll(&(struct pollfd){.fd = o->fd, .events = POLLOUT}, 1, -1);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    if (failure == EAGAIN || failure == EINTR) continue;
    errno = failure;
    return wrote;
  }
}

/* Writes a run of whole lines, passing over each that is refused. */
static void write_lines(struct out *o, const char *p, size_t n) {
  const char *end = p + n, *line = p; /* line: the start of the one that p is in */
  while (p < end) {
    if (o->torn && p == line) {
      if (write_some(o, "\n", 1) == 1) o->torn = false;
    }
    ssize_t wrote = o->torn && p == line ? -1 : write_some(o, p, (size_t)(end - p));
    if (wrote > 0) {
      const char *last = memrchr(p, '\n', (size_t)wrote);
      if (last) line = last + 1;
      p += wrote;
      continue;
    }
    atomic_store(&o->failed_errno, wrote < 0 ? errno : EIO);
    atomic_fetch_add(&o->failed, 1);
    if (p > line) o->torn = true;
    p = line = (const char *)memchr(p, '\n', (size_t)(end - p)) + 1;
  }
}

/* The whole lines at the head, as many as go into one write, at least one. Under the lock. */
static size_t batch(const struct out *o) {
  size_t n = (o->wrapped ? o->wrap : o->tail) - o->head;
  if (n <= BATCH_BYTES) return n;
  const char *p = &o->ring[o->head];
  assert(p); /* gcc with sanitizers on thinks that it might be NULL */
  const char *last = memrchr(p, '\n', BATCH_BYTES);
  if (!last) last = memchr(p, '\n', n);
  return (size_t)(last - p) + 1;
}

static void give_back(struct out *o, size_t n) {
  o->head += n;
  if (o->wrapped && o->head == o->wrap) {
    o->head = 0;
    o->wrapped = false;
  }
}

static void *run(void *arg) {
  struct out *o = arg;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  pthread_mutex_lock(&o->lock);
  for (;;) {
    while (empty(o) && !o->closing) pthread_cond_wait(&o->filled, &o->lock);
    if (empty(o)) break;
    size_t n = batch(o);
    const char *p = o->ring + o->head;
    pthread_mutex_unlock(&o->lock);
    write_lines(o, p, n);
    pthread_mutex_lock(&o->lock);
    give_back(o, n);
  }
  o->done = true;
  pthread_cond_signal(&o->emptied);
  pthread_mutex_unlock(&o->lock);
  return NULL;
}

static struct timespec in(uint64_t ns) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  ns += (uint64_t)t.tv_nsec;
  t.tv_sec += (time_t)(ns / 1000000000u);
  t.tv_nsec = (long)(ns % 1000000000u);
  return t;
}

/* No signal is the thread's business: they all go to the loop, and SIGPIPE to nobody. */
static int start(struct out *o) {
  sigset_t all, before;
  pthread_attr_t attr;
  if (pthread_attr_init(&attr)) return FLUO_ENOMEM;
  pthread_attr_setstacksize(&attr, STACK_BYTES);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&o->thread, &attr, run, o);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
  return failed ? FLUO_ENOMEM : 0;
}

static void locks_init(struct out *o) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_mutex_init(&o->lock, NULL);
  pthread_cond_init(&o->filled, NULL);
  pthread_cond_init(&o->emptied, &attr);
  pthread_condattr_destroy(&attr);
}

static void locks_deinit(struct out *o) {
  pthread_cond_destroy(&o->emptied);
  pthread_cond_destroy(&o->filled);
  pthread_mutex_destroy(&o->lock);
}

int out_new(int fd, size_t bytes_max, struct out **out) {
  assert(fd >= 0 && bytes_max > 0);
  int err = FLUO_ENOMEM;
  struct out *o = heap_zalloc(sizeof *o);
  if (!o) return err;
  o->ring = heap_alloc(bytes_max);
  if (!o->ring) goto err_after_alloc;
  o->size = bytes_max;
  o->fd = fd;
  locks_init(o);
  err = start(o);
  if (err) goto err_after_locks;
  *out = o;
  return 0;

err_after_locks:
  locks_deinit(o);
  heap_free(o->ring);
err_after_alloc:
  heap_free(o);
  return err;
}

bool out_close(struct out *o, uint64_t timeout_ns) {
  struct timespec until = in(timeout_ns);
  pthread_mutex_lock(&o->lock);
  o->closing = true;
  pthread_cond_signal(&o->filled);
  int late = 0;
  while (!o->done && !late) late = pthread_cond_timedwait(&o->emptied, &o->lock, &until);
  bool all = o->done;
  pthread_mutex_unlock(&o->lock);

  if (!all) pthread_cancel(o->thread);
  struct timespec noticed = in(CANCEL_MS * 1000000ull);
  if (pthread_clockjoin_np(o->thread, NULL, CLOCK_MONOTONIC, &noticed)) {
    pthread_detach(o->thread);
    return false;
  }
  if (o->fd > STDERR_FILENO) close(o->fd);
  locks_deinit(o);
  heap_free(o->ring);
  heap_free(o);
  return all;
}

uint64_t out_dropped(const struct out *o) {
  return o->dropped;
}

uint64_t out_failed(const struct out *o) {
  return atomic_load(&o->failed);
}

int out_errno(const struct out *o) {
  return atomic_load(&o->failed_errno);
}
