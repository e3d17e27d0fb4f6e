/* The core's side of the post room.
 *
 * Good path: post_send puts a delivery into a free place; a process is started if there is none; once it has said READY
 * the frames of all places that were not sent are written to it, and each OUTCOME frees its place.
 *
 * Ways it fails: the process dies, or is killed for its time: the delivery whose action ran then (the pulse page says
 * which) ends with RETRY and the reason; the others are sent again to the next process. Where none is to blame, those that have
 * seen DEATHS_MAX of them end with RETRY as well, so that none is passed from process to process for ever. A process
 * that never says READY leads to the same end: the next one is started later and later. An OUTCOME for a delivery that
 * is not out is passed over: it belongs to the process before.
 *
 * Frames are owned by their place until the outcome; what is partly written when a process dies is written anew. */
#include "post.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffer.h"
#include "err.h"
#include "errand.h"
#include "fluo.h"
#include "heap.h"
#include "spawn.h"
#include "study_process.h"

enum { DEATHS_MAX = 3 };
_Static_assert(ERRANDS_MAX >= POST_IN_FLIGHT_MAX, "a receiver that hangs leaves the others their programs");

struct place {
  uint64_t delivery;               /* 0: free */
  uint64_t order;                  /* the lowest goes first */
  char *frame;                     /* owned */
  size_t bytes, written;
  uint32_t deaths;
  bool begun;                      /* handed to the process, in part at least */
};

struct post {
  struct post_calls calls;
  const char *exe;
  uint64_t heap_bytes;
  int diagnostics_fd, setup_fd, texts_fd, pulse_fd, poll_fd;
  struct fluo_pulse *pulse;
  struct study_process process;
  bool ready, outdated;
  bool writing;                    /* poll_fd tells when there is room, too */
  struct place places[POST_IN_FLIGHT_MAX];
  uint32_t in_flight;
  uint64_t order, last_call, call_cpu_ns, alive_ns, start_ns, restart_ns, idle_ns, outdated_ns;
  struct buffer in;
  struct post_stats stats;
};

/* ---- places ---------------------------------------------------------------------------------------- */

static struct place *find(struct post *p, uint64_t delivery) {
  for (int i = 0; i < POST_IN_FLIGHT_MAX; i++)
    if (p->places[i].delivery == delivery) return &p->places[i];
  return NULL;
}

static void end_place(struct post *p, struct place *place, enum postroom_result result, uint32_t retry_after_s,
                      const char *text, size_t bytes) {
  uint64_t delivery = place->delivery;
  heap_free(place->frame);
  *place = (struct place){0};
  p->in_flight--;
  p->stats.outcomes++;
  p->calls.on_outcome(p->calls.ctx, delivery, result, retry_after_s, text, bytes);
}

static struct place *next_unsent(struct post *p) {
  struct place *first = NULL;
  for (int i = 0; i < POST_IN_FLIGHT_MAX; i++) {
    struct place *place = &p->places[i];
    if (!place->delivery || place->written == place->bytes) continue;
    if (place->begun) return place;         /* half a frame is out: the rest of it comes next */
    if (!first || place->order < first->order) first = place;
  }
  return first;
}

/* ---- the process ------------------------------------------------------------------------------------ */

static int memfd_with(const char *name, const char *bytes, size_t n) {
  int fd = memfd_create(name, MFD_CLOEXEC);
  for (size_t at = 0; fd >= 0 && at < n;) {
    ssize_t written = write(fd, bytes + at, n - at);
    if (written < 0 && errno != EINTR) {
      close(fd);
      return -1;
    }
    if (written > 0) at += (size_t)written;
  }
  return fd;
}

static int start(struct post *p) {
  int pair[2];
  char parent[32], heap[48];
  snprintf(parent, sizeof parent, "--parent=%ld", (long)getpid());
  snprintf(heap, sizeof heap, "--heap=%llu", (unsigned long long)p->heap_bytes);
  char *const argv[] = {(char *)(uintptr_t)"fluo: post", (char *)(uintptr_t)POSTROOM, parent, heap, NULL};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return FLUO_EIO;
  const int fds[POSTROOM_FDS] = {[POSTROOM_FD_DIAGNOSTICS] = p->diagnostics_fd, [POSTROOM_FD_CONTROL] = pair[1],
                                 [POSTROOM_FD_SETUP] = p->setup_fd, [POSTROOM_FD_TEXTS] = p->texts_fd,
                                 [POSTROOM_FD_PULSE] = p->pulse_fd};
  int err = spawn_process(p->exe, argv, fds, POSTROOM_FD_DIAGNOSTICS, POSTROOM_FDS, &p->process.pid);
  close(pair[1]);
  struct epoll_event event = {.events = EPOLLIN};
  if (!err && (fcntl(pair[0], F_SETFL, O_NONBLOCK) || epoll_ctl(p->poll_fd, EPOLL_CTL_ADD, pair[0], &event))) err = FLUO_EIO;
  p->process.fd = pair[0];
  if (err) study_end(&p->process);
  return err;
}

static void clear_process(struct post *p) {
  p->ready = p->writing = p->outdated = false;
  p->outdated_ns = 0;
  p->pulse->running = 0;
  buffer_clear(&p->in);
  for (int i = 0; i < POST_IN_FLIGHT_MAX; i++) {
    p->places[i].written = 0;
    p->places[i].begun = false;
  }
}

/* Later each time, until one gets to work. */
static void put_off(struct post *p, uint64_t mono_ns) {
  p->restart_ns = p->restart_ns ? p->restart_ns * 2 : POST_RESTART_NS;
  if (p->restart_ns > POST_RESTART_MAX_NS) p->restart_ns = POST_RESTART_MAX_NS;
  p->start_ns = mono_ns + p->restart_ns;
}

static void start_if_due(struct post *p, uint64_t mono_ns) {
  if (p->process.pid || !p->in_flight || mono_ns < p->start_ns) return;
  int err = start(p);
  if (!err) {
    p->stats.starts++;
    p->alive_ns = mono_ns;
    p->last_call = p->pulse->call;
    return;
  }
  put_off(p, mono_ns);
  p->calls.on_trouble(p->calls.ctx, "the post room cannot be started");
}

/* It is dead, or is to be: all that it had is sent again, but for what it died of. */
static void bury(struct post *p, const char *why, uint64_t mono_ns) {
  bool blames = p->pulse->running && p->ready, was_ready = p->ready;
  uint32_t to_blame = p->pulse->rule;
  study_end(&p->process);
  p->stats.deaths++;
  for (int i = 0; i < POST_IN_FLIGHT_MAX; i++)
    p->places[i].deaths += !blames && p->places[i].delivery && (p->places[i].begun || !was_ready);
  clear_process(p);
  if (was_ready) p->restart_ns = 0;
  put_off(p, mono_ns);
  p->calls.on_trouble(p->calls.ctx, why);
  for (int i = 0; i < POST_IN_FLIGHT_MAX; i++) {
    struct place *place = &p->places[i];
    if (!place->delivery) continue;
    bool blamed = blames && (uint32_t)place->delivery == to_blame;
    if (blamed || place->deaths >= DEATHS_MAX) end_place(p, place, POSTROOM_RETRY, 0, why, strlen(why));
  }
}

static const char *why_dead(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 86) return "the post room took too much memory";
  return WIFSIGNALED(status) ? "the post room crashed" : "the post room ended";
}

/* ---- frames ----------------------------------------------------------------------------------------- */

static void want_room(struct post *p, bool wanted) {
  if (wanted == p->writing) return;
  struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0u)};
  if (epoll_ctl(p->poll_fd, EPOLL_CTL_MOD, p->process.fd, &event) == 0) p->writing = wanted;
}

static void write_frames(struct post *p) {
  struct place *place;
  if (!p->ready || !p->process.pid) return;
  while ((place = next_unsent(p))) {
    if (p->outdated && !place->begun) break;
    ssize_t n = send(p->process.fd, place->frame + place->written, place->bytes - place->written, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;                       /* no room, or dead: then reading says so */
    place->begun = true;
    place->written += (size_t)n;
  }
  want_room(p, place && !p->outdated);
}

static void take_outcome(struct post *p, const struct postroom_head *head, const char *bytes) {
  struct postroom_outcome outcome;
  struct place *place = head->delivery ? find(p, head->delivery) : NULL;
  if (!place || !place->begun || head->bytes < sizeof outcome) return;
  memcpy(&outcome, bytes, sizeof outcome);
  enum postroom_result result = outcome.result > POSTROOM_FAILED ? POSTROOM_FAILED : (enum postroom_result)outcome.result;
  end_place(p, place, result, outcome.retry_after_s, bytes + sizeof outcome, head->bytes - sizeof outcome);
}

static void take_frame(struct post *p, const struct postroom_head *head, const char *bytes) {
  if (head->kind == POSTROOM_READY) {
    p->ready = true;
    p->restart_ns = 0;
  } else if (head->kind == POSTROOM_OUTCOME) {
    take_outcome(p, head, bytes);
  } else if (head->kind == POSTROOM_LOG) {
    p->calls.on_log(p->calls.ctx, bytes, head->bytes);
  }
}

/* false: it speaks nonsense. */
static bool take_frames(struct post *p) {
  struct postroom_head head;
  size_t at = 0;
  while (p->in.len - at >= sizeof head) {
    memcpy(&head, p->in.data + at, sizeof head);
    if (head.bytes > sizeof(struct postroom_outcome) + POSTROOM_TEXT_BYTES) return false;
    if (p->in.len - at - sizeof head < head.bytes) break;
    take_frame(p, &head, p->in.data + at + sizeof head);
    at += sizeof head + head.bytes;
  }
  memmove(p->in.data, p->in.data + at, p->in.len - at);
  p->in.len -= at;
  return true;
}

/* NULL, or why the process is of no use any more. */
static const char *read_frames(struct post *p) {
  for (;;) {
    char *to = buffer_reserve(&p->in, p->in.max - p->in.len);
    if (!to) return NULL;                   /* no memory now: what there is to read waits */
    ssize_t n = recv(p->process.fd, to, p->in.max - p->in.len, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return NULL;
    if (n <= 0) return why_dead(study_reap(&p->process));
    p->in.len += (size_t)n;
    if (!take_frames(p)) return "the post room spoke nonsense";
  }
}

/* ---- what the owner calls ---------------------------------------------------------------------------- */

int post_new(const struct post_options *options, const struct post_calls *calls, struct post **out) {
  struct post *p = heap_zalloc(sizeof *p);
  if (!p) return FLUO_ENOMEM;
  p->calls = *calls;
  p->exe = options->exe;
  p->heap_bytes = options->heap_bytes;
  p->diagnostics_fd = options->diagnostics_fd;
  p->process.fd = -1;
  buffer_init(&p->in, 64u << 10);
  p->setup_fd = memfd_with("fluo: post setup", options->setup, options->setup_bytes);
  p->texts_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  p->poll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (study_map_pulse(&p->pulse_fd, &p->pulse)) p->pulse_fd = -1;
  if (p->setup_fd < 0 || p->texts_fd < 0 || p->poll_fd < 0 || p->pulse_fd < 0) {
    post_free(p);
    return FLUO_EIO;
  }
  *out = p;
  return 0;
}

void post_free(struct post *p) {
  if (!p) return;
  const int fds[] = {p->setup_fd, p->texts_fd, p->poll_fd, p->pulse_fd};
  study_end(&p->process);
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
    if (fds[i] >= 0) close(fds[i]);
  if (p->pulse) munmap(p->pulse, sizeof *p->pulse);
  for (int i = 0; i < POST_IN_FLIGHT_MAX; i++) heap_free(p->places[i].frame);
  buffer_deinit(&p->in);
  heap_free(p);
}

int post_texts(struct post *p, int texts_fd) {
  int fd = texts_fd >= 0 ? fcntl(texts_fd, F_DUPFD_CLOEXEC, 0) : open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FLUO_EIO;
  close(p->texts_fd);
  p->texts_fd = fd;
  p->outdated = p->process.pid != 0;
  return 0;
}

bool post_ready(const struct post *p) {
  return p->in_flight < POST_IN_FLIGHT_MAX;
}

int post_send(struct post *p, uint64_t delivery, const char *receiver, const char *alert, size_t bytes) {
  size_t name = strlen(receiver) + 1;
  struct postroom_head head = {.kind = POSTROOM_DELIVER, .bytes = (uint32_t)(name + bytes), .delivery = delivery};
  assert(post_ready(p) && delivery && !find(p, delivery));
  if (name + bytes > POSTROOM_FRAME_BYTES) return FLUO_ETOOLARGE;
  struct place *place = find(p, 0);
  char *frame = heap_alloc(sizeof head + name + bytes);
  if (!frame) return FLUO_ENOMEM;
  memcpy(frame, &head, sizeof head);
  memcpy(frame + sizeof head, receiver, name);
  memcpy(frame + sizeof head + name, alert, bytes);
  *place = (struct place){.delivery = delivery, .order = ++p->order, .frame = frame, .bytes = sizeof head + name + bytes};
  p->in_flight++;
  p->stats.sent++;
  write_frames(p);
  return 0;
}

int post_fd(const struct post *p) {
  return p->poll_fd;
}

bool post_busy(const struct post *p) {
  return p->in_flight || p->process.pid;
}

/* The one whose rule files are not in force any more ends with what it has. What hangs there goes again to the next one, for
 * which all the others wait. */
static void retire(struct post *p, uint64_t mono_ns) {
  bool busy = false;
  if (!p->outdated) return;
  if (!p->outdated_ns) p->outdated_ns = mono_ns;
  for (int i = 0; i < POST_IN_FLIGHT_MAX; i++) busy |= p->places[i].begun;
  if (busy && mono_ns - p->outdated_ns < POST_RETIRE_NS) return;
  study_end(&p->process);
  clear_process(p);
}

void post_turn(struct post *p, uint64_t mono_ns) {
  const char *why = p->process.fd >= 0 ? read_frames(p) : NULL;
  p->alive_ns = mono_ns;
  if (why) bury(p, why, mono_ns);
  retire(p, mono_ns);
  start_if_due(p, mono_ns);
  write_frames(p);
}

/* One call of an action that goes on, by the CPU it has had since it was first seen. */
static const char *overstays(struct post *p, uint64_t mono_ns) {
  uint64_t cpu_ns = study_cpu_ns(p->process.pid);
  if (p->pulse->call != p->last_call || !p->pulse->running) {
    p->last_call = p->pulse->call;
    p->call_cpu_ns = cpu_ns;
    if (!p->pulse->running) return mono_ns - p->alive_ns > POST_STALL_NS ? "the post room gave no sign of life" : NULL;
  }
  return cpu_ns - p->call_cpu_ns >= POST_CPU_NS ? "an action ran for too long" : NULL;
}

void post_tick(struct post *p, uint64_t mono_ns) {
  if (p->in_flight) p->idle_ns = mono_ns;
  const char *why = p->process.pid && p->in_flight ? overstays(p, mono_ns) : NULL;
  if (why) bury(p, why, mono_ns);
  if (p->process.pid && !p->in_flight && mono_ns - p->idle_ns >= POST_IDLE_NS) {
    study_end(&p->process);
    clear_process(p);
  }
  retire(p, mono_ns);
  start_if_due(p, mono_ns);
}

void post_stats_get(const struct post *p, struct post_stats *out) {
  *out = p->stats;
  out->in_flight = p->in_flight;
  out->pid = p->process.pid;
}
