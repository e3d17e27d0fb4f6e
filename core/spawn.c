/* Starting a process.
 *
 * Good path: the descriptors are first lifted above the numbers that they get there, so that putting one in place never
 * closes another, then posix_spawn does the rest. Ways it fails: out of descriptors, memory or processes; then what was
 * made is closed again and nothing runs. */
#include "spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "err.h"

/* Default signals, an empty mask, and a group of its own. */
static int attributes_fill(posix_spawnattr_t *attributes) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  int err = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  if (!err) err = posix_spawnattr_setsigmask(attributes, &none);
  if (!err) err = posix_spawnattr_setsigdefault(attributes, &all);
  if (!err) err = posix_spawnattr_setpgroup(attributes, 0);
  return err;
}

static int actions_fill(posix_spawn_file_actions_t *actions, const int *fds, int first, int count) {
  int err = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDWR, 0);
  if (!err) err = posix_spawn_file_actions_adddup2(actions, 0, 1);
  for (int i = first; !err && i < count; i++) err = posix_spawn_file_actions_adddup2(actions, fds[i], i);
  if (!err) err = posix_spawn_file_actions_addclosefrom_np(actions, count);
  return err;
}

static int spawn(const char *exe, char *const argv[], const int *fds, int first, int count, int *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  char *environment[] = {NULL};
  if (posix_spawn_file_actions_init(&actions)) return FLUO_ENOMEM;
  if (posix_spawnattr_init(&attributes)) {
    posix_spawn_file_actions_destroy(&actions);
    return FLUO_ENOMEM;
  }
  pid_t child = 0;
  int err = attributes_fill(&attributes);
  if (!err) err = actions_fill(&actions, fds, first, count);
  if (!err) err = posix_spawn(&child, exe ? exe : "/proc/self/exe", &actions, &attributes, argv, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  *pid = (int)child;
  errno = err;
  return err ? FLUO_EIO : 0;
}

int spawn_process(const char *exe, char *const argv[], const int *fds, int first, int count, int *pid) {
  int lifted[SPAWN_FDS_MAX], err = 0, n = first;
  assert(count <= SPAWN_FDS_MAX);
  for (; !err && n < count; n++) {
    lifted[n] = fcntl(fds[n], F_DUPFD_CLOEXEC, SPAWN_FDS_MAX);
    if (lifted[n] < 0) err = FLUO_EIO;
  }
  if (!err) err = spawn(exe, argv, lifted, first, count, pid);
  int saved = errno;
  for (int i = first; i < n; i++)
    if (lifted[i] >= 0) close(lifted[i]);
  errno = saved;
  return err;
}
