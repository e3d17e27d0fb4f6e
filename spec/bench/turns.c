/* How long an agent's loop turns, in CPU time of its thread, which no other load on the machine can lengthen much:
 * preloaded into the agent, it stands around epoll_pwait and epoll_wait. A turn is what delays everybody whose bytes
 * come meanwhile. It counts for $TURNS_SECONDS, because an agent that ends closes all its traces in one turn; then,
 * at the end, it writes one JSON object to the file that $TURNS names: the longest turn, and the length past which
 * lie 1 % of the time spent in turns. */
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { STEP_US = 20, BUCKETS = 20000, LOOP_EVENTS = 1000 };

static uint64_t counts[BUCKETS], began_us;
static double until_s;
static pid_t owner;
static char path[512];

static double wall_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t cpu_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void turn_ends(void) {
  if (!began_us || wall_s() > until_s) return;
  uint64_t bucket = (cpu_us() - began_us) / STEP_US;
  counts[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static int turn_begins(int n) {
  began_us = cpu_us();
  return n;
}

int epoll_pwait(int fd, struct epoll_event *events, int max, int timeout, const sigset_t *mask) {
  static int (*next)(int, struct epoll_event *, int, int, const sigset_t *);
  if (!next) next = (int (*)(int, struct epoll_event *, int, int, const sigset_t *))dlsym(RTLD_NEXT, "epoll_pwait");
  turn_ends();
  return turn_begins(next(fd, events, max, timeout, mask));
}

/* The loop asks for a thousand events at once; who asks for a few does so within a turn. */
int epoll_wait(int fd, struct epoll_event *events, int max, int timeout) {
  static int (*next)(int, struct epoll_event *, int, int);
  if (max >= LOOP_EVENTS) return epoll_pwait(fd, events, max, timeout, NULL);
  if (!next) next = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
  return next(fd, events, max, timeout);
}

__attribute__((constructor)) static void start(void) {
  const char *name = getenv("TURNS"), *seconds = getenv("TURNS_SECONDS");
  until_s = wall_s() + (seconds ? atoi(seconds) : 0);
  owner = getpid();
  if (name) snprintf(path, sizeof path, "%s", name);
}

__attribute__((destructor)) static void finish(void) {
  uint64_t all = 0, beyond = 0;
  size_t longest = 0, p99 = BUCKETS;
  FILE *file = getpid() == owner && began_us && *path ? fopen(path, "w") : NULL;
  if (!file) return;
  for (size_t i = 0; i < BUCKETS; i++) {
    all += counts[i] * (i + 1);
    if (counts[i]) longest = i + 1;
  }
  while (p99 && beyond * 100 <= all) p99--, beyond += counts[p99] * (p99 + 1);
  fprintf(file, "{\"turn_ms_max\":%.2f,\"turn_ms_p99\":%.2f}\n", (double)longest * STEP_US / 1e3, (double)(p99 + 1) * STEP_US / 1e3);
  fclose(file);
}
