/* One delivery, from its beginning to its end.
 *
 * Good path: a post room is made, given the rule files and the alert, and turned until it has an outcome. Ways it fails:
 * out of memory or descriptors: -1 and why; the process dies, or hangs: that is the outcome, to be tried again. Frees all
 * that it made in each. */
#include "notify.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "post.h"

enum { HEAP_BYTES = 64 << 20 };

struct wait { struct fluo_notified *out; bool done; };

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void set_text(struct fluo_notified *out, const char *text, size_t n) {
  out->text_bytes = (uint32_t)(n < sizeof out->text ? n : sizeof out->text);
  memcpy(out->text, text, out->text_bytes);
}

static void on_outcome(void *ctx, uint64_t delivery, enum postroom_result result, uint32_t retry_after_s, const char *text,
                       size_t n) {
  struct wait *w = ctx;
  (void)delivery;
  w->done = true;
  w->out->result = (uint32_t)result;
  w->out->retry_after_s = retry_after_s;
  set_text(w->out, text, n);
}

/* A full frame goes on in the next one. */
static void on_log(void *ctx, const char *text, size_t n) {
  (void)ctx;
  fwrite(text, 1, n, stdout);
  if (n < POSTROOM_TEXT_BYTES && (!n || text[n - 1] != '\n')) putchar('\n');
}

static void on_trouble(void *ctx, const char *why) {
  (void)ctx;
  fprintf(stderr, "fluo: %s\n", why);
}

static int give_texts(struct post *post, const char *texts, uint64_t n) {
  int fd = memfd_create("fluo: texts", MFD_CLOEXEC), err = fd < 0 ? FLUO_EIO : 0;
  for (uint64_t at = 0; !err && at < n;) {
    ssize_t written = write(fd, texts + at, n - at);
    if (written > 0) at += (uint64_t)written;
    else if (errno != EINTR) err = FLUO_EIO;
  }
  if (!err) err = post_texts(post, fd);
  if (fd >= 0) close(fd);
  return err;
}

static void wait_for(struct post *post, const bool *done) {
  uint64_t began = now_ns();
  while (!*done && now_ns() - began < NOTIFY_WAIT_NS) {
    struct pollfd ready = {.fd = post_fd(post), .events = POLLIN};
    post_tick(post, now_ns());
    poll(&ready, 1, (int)(POST_TICK_NS / 1000000));
    post_turn(post, now_ns());
  }
}

int fluo_notify(const struct fluo_notify *n, struct fluo_notified *out) {
  static const char none[] = "nothing was heard of it";
  struct wait w = {.out = out};
  struct post *post = NULL;
  const struct post_options options = {NULL, n->setup, n->setup_bytes, HEAP_BYTES, STDERR_FILENO};
  const struct post_calls calls = {on_outcome, on_log, on_trouble, &w};
  *out = (struct fluo_notified){.result = POSTROOM_RETRY};
  set_text(out, none, sizeof none - 1);
  int err = post_new(&options, &calls, &post);
  if (!err) err = give_texts(post, n->texts, n->texts_bytes);
  if (!err) err = post_send(post, 1, n->receiver, n->alert, n->alert_bytes);
  if (!err) wait_for(post, &w.done);
  else set_text(out, err_text(err), strlen(err_text(err)));
  post_free(post);
  fflush(stdout);
  return err ? -1 : 0;
}
