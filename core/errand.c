/* Errands, seen from the post room.
 *
 * Good path: fluo_errand_start puts the input into a memfd and starts the process, whose output is a pipe and whose end a
 * pidfd tells; errands_turn reads and reaps; fluo_errand_next hands out one that ended, and its place is free again.
 *
 * Ways it fails: too many, no descriptor, no process: 0 and why, and nothing was begun. One that takes too long is the
 * caller's to cancel: its whole process group is killed.
 *
 * A place owns its pidfd and pipe until the process was reaped. What a program leaves behind may hold the pipe open: its
 * end is not waited for. Nor is that of a process that was killed: one that waits for a broken disk ends when that says
 * something. It is reaped in some later turn, and where too many do not end, no others are started. */
#include "errand.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "spawn.h"

/* That were killed and have not ended, up to which others are started: a dead disk gets one more an attempt. */
enum { LEAVING_MAX = 2 * ERRANDS_MAX };

struct place {
  uint32_t id;                     /* 0: free */
  int pid, pidfd, pipe;
  bool done;
  int status;                      /* as waitpid gives it */
  uint32_t text_bytes;
  char text[ERRAND_TEXT_BYTES];
};

struct fluo_errands {
  const char *exe;
  uint32_t last_id;
  struct place places[ERRANDS_MAX];
  int leaving[LEAVING_MAX + ERRANDS_MAX];  /* pids of those that were killed, and are not reaped; 0: none */
};

struct fluo_errands *errands_new(const char *exe) {
  struct fluo_errands *e = heap_zalloc(sizeof *e);
  if (e) e->exe = exe;
  return e;
}

static struct place *find(struct fluo_errands *e, uint32_t id) {
  for (int i = 0; i < ERRANDS_MAX; i++)
    if (e->places[i].id == id) return &e->places[i];
  return NULL;
}

/* ---- starting -------------------------------------------------------------------------------------- */

static int memfd_of(const struct fluo_errand *from) {
  int fd = memfd_create("fluo: errand", MFD_CLOEXEC);
  uint64_t at = 0;
  while (fd >= 0 && at < from->input_bytes) {
    ssize_t n = write(fd, from->input + at, from->input_bytes - at);
    if (n > 0) at += (uint64_t)n;
    else if (errno != EINTR) break;
  }
  if (fd >= 0 && at == from->input_bytes && lseek(fd, 0, SEEK_SET) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

/* The words, each behind a NUL: false where there are too many. */
static bool split_words(const struct fluo_errand *from, char *argv[]) {
  unsigned n = 0;
  argv[n++] = (char *)(uintptr_t)"fluo: errand";
  argv[n++] = (char *)(uintptr_t)ERRAND;
  for (const char *word = from->words; word < from->words + from->words_bytes; word += strlen(word) + 1) {
    if (n == ERRAND_WORDS_MAX) return false;
    argv[n++] = (char *)(uintptr_t)word;
  }
  argv[n] = NULL;
  return true;
}

static unsigned count_leaving(const struct fluo_errands *e) {
  unsigned n = 0;
  for (int i = 0; i < LEAVING_MAX + ERRANDS_MAX; i++) n += e->leaving[i] != 0;
  return n;
}

static int start(struct fluo_errands *e, struct place *place, const struct fluo_errand *from, char *const argv[]) {
  int pipes[2], input = memfd_of(from), err = -1;
  if (input < 0) return -1;
  if (pipe2(pipes, O_CLOEXEC)) {
    close(input);
    return -1;
  }
  const int fds[] = {input, pipes[1], pipes[1]};
  *place = (struct place){.pidfd = -1, .pipe = pipes[0]};
  if (!fcntl(pipes[0], F_SETFL, O_NONBLOCK)) err = spawn_process(e->exe, argv, fds, 0, 3, &place->pid);
  if (!err) place->pidfd = (int)syscall(SYS_pidfd_open, place->pid, 0);
  if (!err && place->pidfd < 0) {
    kill(-place->pid, SIGKILL);
    waitpid(place->pid, NULL, 0);
    err = -1;
  }
  close(input);
  close(pipes[1]);
  if (err) close(pipes[0]);
  return err;
}

uint32_t fluo_errand_start(struct fluo_errands *e, const struct fluo_errand *errand, char why[256]) {
  char *argv[ERRAND_WORDS_MAX + 1];
  struct place *place = find(e, 0);
  if (!place) {
    snprintf(why, 256, "%d programs, files and sockets are at work: no more fit", ERRANDS_MAX);
    return 0;
  }
  if (count_leaving(e) >= LEAVING_MAX) {
    snprintf(why, 256, "%d programs, files and sockets took too long, were killed, and do not end", LEAVING_MAX);
    return 0;
  }
  if (!split_words(errand, argv)) {
    snprintf(why, 256, "a program has at most some %d arguments", ERRAND_WORDS_MAX);
    return 0;
  }
  if (start(e, place, errand, argv)) {
    snprintf(why, 256, "no process can be started: %s", strerror(errno));
    place->id = 0;
    return 0;
  }
  place->id = ++e->last_id ? e->last_id : ++e->last_id;
  return place->id;
}

/* ---- ending ---------------------------------------------------------------------------------------- */

static void read_text(struct place *place) {
  char passed_over[4096];
  for (int rounds = 0; rounds < 16; rounds++) {          /* one that never stops has its turn again */
    size_t room = sizeof place->text - place->text_bytes;
    ssize_t n = read(place->pipe, room ? place->text + place->text_bytes : passed_over, room ? room : sizeof passed_over);
    if (n <= 0) {
      if (n == 0) {                                      /* said all; what is left is to end */
        close(place->pipe);
        place->pipe = -1;
      }
      return;
    }
    if (room) place->text_bytes += (uint32_t)n;
  }
}

static void release(struct place *place) {
  if (place->pipe >= 0) close(place->pipe);
  if (place->pidfd >= 0) close(place->pidfd);
  place->pipe = place->pidfd = -1;
}

static void reap_leaving(struct fluo_errands *e, int flags) {
  for (int i = 0; i < LEAVING_MAX + ERRANDS_MAX; i++)
    if (e->leaving[i] && waitpid(e->leaving[i], NULL, flags) != 0) e->leaving[i] = 0;
}

void errands_turn(struct fluo_errands *e) {
  reap_leaving(e, WNOHANG);
  for (int i = 0; i < ERRANDS_MAX; i++) {
    struct place *place = &e->places[i];
    if (!place->id || place->done) continue;
    bool ended = waitpid(place->pid, &place->status, WNOHANG) == place->pid;
    if (place->pipe >= 0) read_text(place);
    if (!ended) continue;
    place->done = true;
    release(place);
  }
}

unsigned errands_fds(const struct fluo_errands *e, struct pollfd *fds) {
  unsigned n = 0;
  for (int i = 0; i < ERRANDS_MAX; i++) {
    const struct place *place = &e->places[i];
    if (!place->id || place->done) continue;
    fds[n++] = (struct pollfd){.fd = place->pidfd, .events = POLLIN};
    if (place->pipe >= 0) fds[n++] = (struct pollfd){.fd = place->pipe, .events = POLLIN};
  }
  return n;
}

int fluo_errand_next(struct fluo_errands *e, struct fluo_errand_end *out) {
  for (int i = 0; i < ERRANDS_MAX; i++) {
    struct place *place = &e->places[i];
    if (!place->id || !place->done) continue;
    *out = (struct fluo_errand_end){.id = place->id, .text_bytes = place->text_bytes, .text = place->text,
                                    .killed = WIFSIGNALED(place->status) ? (uint32_t)WTERMSIG(place->status) : 0,
                                    .status = WIFEXITED(place->status) ? (uint32_t)WEXITSTATUS(place->status) : 0};
    place->id = 0;
    return 1;
  }
  return 0;
}

void fluo_errand_cancel(struct fluo_errands *e, uint32_t id) {
  struct place *place = id ? find(e, id) : NULL;
  if (!place) return;
  if (!place->done) {
    int at = 0;
    while (e->leaving[at]) at++;            /* there is one: those that may leave are as many as are here */
    e->leaving[at] = place->pid;
    kill(-place->pid, SIGKILL);
    release(place);
  }
  place->id = 0;
}

void errands_free(struct fluo_errands *e) {
  if (!e) return;
  for (int i = 0; i < ERRANDS_MAX; i++) fluo_errand_cancel(e, e->places[i].id);
  reap_leaving(e, 0);
  heap_free(e);
}
