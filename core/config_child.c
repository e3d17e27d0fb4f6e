/* The good path: a fork, and an exec of this program as `--internal-config`; what it writes into
 * its descriptor 3 is read up to the end, then it is waited for.
 *
 * How it fails: the kernel stops it at its CPU limit, SIGKILL at the wall-clock bound; it may also
 * die by itself, or write without an end. However it goes, the child and both ends of the pipe are
 * gone when config_child_run returns; the argument and variable lists live from before the fork to
 * after it. */
#include "config_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "heap.h"

extern char **environ;

enum { DATA_FD = 3 }; /* where the child writes */

/* {"fluo: config", "--internal-config", mode, command, argument…, NULL}: the array is the caller's.
 */
static char **child_argv(const struct config_call *call, const char *mode) {
  const char *head[] = {"fluo: config", "--internal-config", mode, call->command};
  size_t n = sizeof head / sizeof *head;
  char **argv = heap_alloc((n + (size_t)call->argc + 1) * sizeof *argv);
  if (!argv) return NULL;
  memcpy(argv, head, sizeof head);
  if (call->argc) memcpy(argv + n, call->argv, (size_t)call->argc * sizeof *argv);
  argv[n + (size_t)call->argc] = NULL;
  return argv;
}

/* All variables, for the file may name those that hold its secrets, but for what would change the child itself. */
static char **child_environment(void) {
  size_t n = 0, kept = 0;
  while (environ[n]) n++;
  char **list = heap_alloc((n + 1) * sizeof *list);
  if (!list) return NULL;
  for (size_t i = 0; i < n; i++)
    if (strncmp(environ[i], "LD_", 3) && strncmp(environ[i], "GLIBC_", 6)) list[kept++] = environ[i];
  list[kept] = NULL;
  return list;
}

/* Between fork and exec: nothing but system calls. */
static _Noreturn void become(const char *exe, char **argv, char **envp, int fd, uint64_t cpu_s,
                             pid_t parent) {
  struct rlimit cpu = {cpu_s, cpu_s + 1}, core = {0, 0};
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(CONFIG_EXIT_SOFTWARE);
  setrlimit(RLIMIT_CPU, &cpu);
  setrlimit(RLIMIT_CORE, &core);
  if (fd == DATA_FD)
    fcntl(fd, F_SETFD, 0);
  else
    dup2(fd, DATA_FD);
  close_range(DATA_FD + 1, ~0u, 0);
  execve(exe, argv, envp);
  _exit(127);
}

/* Starts it: 0, the reading end in *fd and its *pid. */
static int spawn(const struct config_call *call, const char *mode, int *fd, pid_t *pid) {
  int err = FLUO_ENOMEM, ends[2];
  const char *exe = call->exe ? call->exe : "/proc/self/exe";
  char **argv = child_argv(call, mode);
  if (!argv) return err;
  char **envp = child_environment();
  if (!envp) goto err_after_argv;
  err = FLUO_EIO;
  if (pipe2(ends, O_CLOEXEC)) goto err_after_environment;
  pid_t parent = getpid();
  *pid = fork();
  if (*pid == 0) become(exe, argv, envp, ends[1], config_cpu_s(call), parent);
  close(ends[1]);
  if (*pid < 0) {
    close(ends[0]);
    goto err_after_environment;
  }
  *fd = ends[0];
  err = 0;

err_after_environment:
  heap_free(envp);
err_after_argv:
  heap_free(argv);
  return err;
}

uint64_t config_cpu_s(const struct config_call *call) {
  return call->cpu_s ? call->cpu_s : CONFIG_CPU_S;
}

uint64_t config_wall_ns(const struct config_call *call) {
  return call->wall_ns ? call->wall_ns : CONFIG_WALL_NS;
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Reads up to the end of the pipe, which is also the child's: it keeps its end open while it lives.
 */
static int read_reply(int fd, uint64_t until, struct buffer *reply) {
  for (;;) {
    uint64_t now = now_ns();
    if (now >= until) return FLUO_ETIMEOUT;
    int ready =
        poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, (int)((until - now) / 1000000u) + 1);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    char *to = buffer_reserve(reply, 4096);
    if (!to) return reply->err;
    ssize_t n = read(fd, to, 4096);
    if (n == 0) return 0;
    if (n < 0 && errno != EINTR) return FLUO_EIO;
    if (n > 0) reply->len += (size_t)n;
  }
}

/* Waits for it, and ends it where it does not end by itself. */
static int reap(pid_t pid, uint64_t until, bool kill_now) {
  int status = 0;
  if (kill_now) kill(pid, SIGKILL);
  for (;;) {
    pid_t got = waitpid(pid, &status, kill_now ? 0 : WNOHANG);
    if (got == pid) return status;
    if (got < 0 && errno != EINTR) return -1;
    if (now_ns() >= until && !kill_now) {
      kill_now = true;
      kill(pid, SIGKILL);
    }
    if (!kill_now) poll(NULL, 0, 1);
  }
}

int config_child_run(const struct config_call *call, const char *mode, struct buffer *reply,
                     int *exit_status) {
  int fd;
  pid_t pid;
  uint64_t until = now_ns() + config_wall_ns(call);
  int err = spawn(call, mode, &fd, &pid);
  if (err) return err;
  err = read_reply(fd, until, reply);
  close(fd);
  int status = reap(pid, until, err != 0);
  *exit_status = SIGKILL;
  if (err) return err;
  if (status == -1) return FLUO_EDIED;
  bool exited = WIFEXITED(status);
  *exit_status = exited ? WEXITSTATUS(status) : WTERMSIG(status);
  if (exited) return 0;
  return *exit_status == SIGXCPU || now_ns() >= until ? FLUO_ETIMEOUT : FLUO_EDIED;
}
