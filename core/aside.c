/* The good path: aside_run puts the work down and wakes the thread; the thread does it and wakes the
 * loop through the async handle; on_done takes the job back, and then the next may come. One job is
 * enough, for whoever has more keeps them in a line of its own, with its bounds.
 *
 * Signals are the loop's: the thread blocks them all. Where it cannot be started the work is done
 * within aside_run, and its end is told through the loop all the same. */
#include "aside.h"

#include <assert.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "err.h"
#include "heap.h"

enum { NICER = 5, STACK_BYTES = 512 << 10 };

struct aside {
  uv_async_t async;
  uv_thread_t thread;
  uv_sem_t wanted;
  bool started, ends;
  void (*work)(void *job);
  void (*done)(void *job);
  void *job;                /* NULL: none is under way */
};

static void on_done(uv_async_t *async) {
  struct aside *a = async->data;
  void *job = a->job;
  assert(job);
  a->job = NULL;
  a->done(job);
}

static void on_thread(void *ctx) {
  struct aside *a = ctx;
  setpriority(PRIO_PROCESS, (id_t)gettid(), NICER); /* on Linux a thread has its own */
  for (;;) {
    uv_sem_wait(&a->wanted);
    if (a->ends) return;
    a->work(a->job);
    uv_async_send(&a->async);
  }
}

static void start(struct aside *a) {
  uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_BYTES};
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  a->started = uv_thread_create_ex(&a->thread, &options, on_thread, a) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void aside_run(struct aside *a, void (*work)(void *job), void (*done)(void *job), void *job) {
  assert(!a->job && job);
  a->work = work;
  a->done = done;
  a->job = job;
  if (!a->started) start(a);
  if (a->started) {
    uv_sem_post(&a->wanted);
    return;
  }
  work(job);
  uv_async_send(&a->async);
}

int aside_new(struct uv_loop_s *loop, struct aside **out) {
  struct aside *a = heap_zalloc(sizeof *a);
  if (!a) return FLUO_ENOMEM;
  if (uv_sem_init(&a->wanted, 0) != 0) goto err_after_alloc;
  if (uv_async_init(loop, &a->async, on_done) != 0) goto err_after_sem;
  a->async.data = a;
  *out = a;
  return 0;

err_after_sem:
  uv_sem_destroy(&a->wanted);
err_after_alloc:
  heap_free(a);
  return FLUO_EIO;
}

static void on_closed(uv_handle_t *handle) {
  struct aside *a = handle->data;
  uv_sem_destroy(&a->wanted);
  heap_free(a);
}

void aside_close(struct aside *a) {
  if (!a) return;
  assert(!a->job);
  a->ends = true;
  if (a->started) {
    uv_sem_post(&a->wanted);
    uv_thread_join(&a->thread);
  }
  uv_close((uv_handle_t *)&a->async, on_closed);
}
