/* Starting and ending the study's processes.
 *
 * Good path: a socket pair and a memfd are made, and spawn_process does the rest. Ways it fails: out of
 * descriptors, memory or processes; then all that was made is closed again and nothing runs.
 * The caller owns what is returned; study_end gives it back.
 *
 * The process group serves for one thing: should the rule process die between cloning a worker and telling
 * its pid, the group still finds that child of ours. */
#include "study_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "fluo.h"
#include "spawn.h"
#include "study.h"
#include "worker.h"

enum { ARGUMENTS_MAX = 20, PULSE_BYTES = 4096 };

struct arguments {
  char parent[32], heap[40], specs[STUDY_SPECS_BYTES + 16], explain[STUDY_EXPLAIN_BYTES + 16], actions[STUDY_ACTIONS_BYTES + 16];
  char *list[ARGUMENTS_MAX];
};

static void arguments_fill(struct arguments *a, const struct study_spawn *how) {
  int n = 0;
  snprintf(a->parent, sizeof a->parent, "--parent=%ld", (long)getpid());
  snprintf(a->heap, sizeof a->heap, "--heap=%llu", (unsigned long long)how->heap_bytes);
  a->list[n++] = (char *)(uintptr_t)"fluo: rules";
  a->list[n++] = (char *)(uintptr_t)WORKER_RULES;
  a->list[n++] = a->parent;
  a->list[n++] = a->heap;
  if (how->specs) {
    snprintf(a->specs, sizeof a->specs, "--specs=%s", how->specs);
    a->list[n++] = a->specs;
  }
  if (how->explain) {
    snprintf(a->explain, sizeof a->explain, "--explain=%s", how->explain);
    a->list[n++] = a->explain;
  }
  if (how->actions) {
    snprintf(a->actions, sizeof a->actions, "--actions=%s", how->actions);
    a->list[n++] = a->actions;
  }
  if (how->skip_broken) a->list[n++] = (char *)(uintptr_t)"--skip-broken";
  if (how->renamed) a->list[n++] = (char *)(uintptr_t)"--renamed";
  if (how->explicit_ok) a->list[n++] = (char *)(uintptr_t)"--explicit-ok";
  if (how->json) a->list[n++] = (char *)(uintptr_t)"--json";
  if (how->lines) a->list[n++] = (char *)(uintptr_t)"--lines";
  if (how->again) a->list[n++] = (char *)(uintptr_t)"--again";
  a->list[n++] = (char *)(uintptr_t)"--";
  a->list[n++] = (char *)(uintptr_t)how->rules_path;
  a->list[n] = NULL;
}

static int spawn(const struct study_spawn *how, const int fds[WORKER_FDS], int *pid) {
  struct arguments arguments;
  arguments_fill(&arguments, how);
  return spawn_process(how->exe, arguments.list, fds, WORKER_FD_DIAGNOSTICS, WORKER_FDS, pid);
}

static void close_all(const int *fds, int count) {
  for (int i = 0; i < count; i++)
    if (fds[i] >= 0) close(fds[i]);
}

int study_spawn_rules(const struct study_spawn *how, struct study_process *out, int *ir_fd, int *texts_fd) {
  int pair[2] = {-1, -1}, pid;
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC), texts = -1;
  int memfd = memfd_create("fluo: rules", MFD_CLOEXEC);
  if (!how->again) texts = memfd_create("fluo: texts", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memfd < 0 || nothing < 0 || (texts < 0 && !how->again)) goto err_after_memfds;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) goto err_after_memfds;
  const int given[WORKER_FDS] = {[WORKER_FD_DIAGNOSTICS] = how->diagnostics_fd, [WORKER_FD_CONTROL] = pair[1],
                                 [WORKER_FD_IR] = memfd, [WORKER_FD_ARENA] = how->arena_fd,
                                 [WORKER_FD_PULSE] = how->pulse_fd,
                                 [WORKER_FD_LAST] = how->last_fd < 0 ? nothing : how->last_fd,
                                 [WORKER_FD_TEXTS] = how->again ? nothing : texts};
  if (spawn(how, given, &pid)) goto err_after_pair;
  close(nothing);
  close(pair[1]);
  *out = (struct study_process){pid, pair[0]};
  *ir_fd = memfd;
  *texts_fd = texts;
  return 0;
err_after_pair:
  close_all(pair, 2);
err_after_memfds:
  close_all((int[]){nothing, memfd, texts}, 3);
  return FLUO_EIO;
}

int study_ask_fork(const struct study_process *rules, int *fd) {
  int pair[2], room = 2 * FLUO_MESSAGE_BYTES_MAX;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) return FLUO_EFULL;
  for (int i = 0; i < 2; i++) setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  uint32_t message = FLUO_MESSAGE_FORK;
  union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control;
  memset(&control, 0, sizeof control);
  struct iovec part = {&message, sizeof message};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(rights), &pair[1], sizeof(int));
  ssize_t sent = sendmsg(rules->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  int err = sent == (ssize_t)sizeof message ? 0 : errno == EPIPE || errno == ECONNRESET ? FLUO_EDIED : FLUO_EFULL;
  close(pair[1]);
  if (err) close(pair[0]);
  else *fd = pair[0];
  return err;
}

int study_map_pulse(int *fd, struct fluo_pulse **page) {
  *fd = memfd_create("fluo: pulse", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd < 0) return FLUO_EIO;
  /* Sealed: a worker that shrank it would make our next look at it a SIGBUS. */
  if (ftruncate(*fd, PULSE_BYTES) || fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) goto err_after_fd;
  void *p = mmap(NULL, PULSE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  if (p == MAP_FAILED) goto err_after_fd;
  *page = p;
  return 0;
err_after_fd:
  close(*fd);
  *fd = -1;
  return FLUO_EIO;
}

uint64_t study_cpu_ns(int pid) {
  clockid_t clock;
  struct timespec t;
  if (pid <= 0 || clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t)) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool study_is_child(int pid, int other) {
  siginfo_t info;
  if (pid <= 0 || pid == other) return false;
  return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

int study_reap(struct study_process *p) {
  int status = 0;
  if (p->pid > 0) {
    kill(p->pid, SIGKILL);
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR) {}
  }
  p->pid = 0;
  return status;
}

void study_end(struct study_process *p) {
  study_reap(p);
  if (p->fd >= 0) close(p->fd);
  p->fd = -1;
}

void study_end_group(int pgid) {
  if (pgid <= 0) return;
  kill(-pgid, SIGKILL);
  while (waitpid(-pgid, NULL, 0) > 0 || errno == EINTR) {}
}
