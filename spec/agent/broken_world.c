/* A world that fails around one process, for specs of the real agent: preloaded, it stands before the C library's
 * memory, its resolver and its clock of the day.
 *   BROKEN_EVERY=n   once the event loop turns, every n-th allocation fails
 *   BROKEN_AT=n      before that, the n-th one does
 *   BROKEN_NAMES=n   a name is looked up for n seconds, and not found
 *   BROKEN_CLOCK=f   the clock of the day is off by as many seconds as the file f says, which may change */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

static long every, at, count, is_set;
static int turning;

static int fails(void) {
  if (!is_set) return 0;
  long n = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
  if (turning ? !every || n % every : n != at) return 0;
  errno = ENOMEM;
  return 1;
}

void *malloc(size_t n) { return fails() ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return fails() ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return fails() ? NULL : __libc_realloc(p, n); }

/* Only the process that main() of the agent runs in: those that it starts have no such environment, or end soon. */
__attribute__((constructor)) static void start(void) {
  const char *text = getenv("BROKEN_EVERY"), *once = getenv("BROKEN_AT");
  every = text ? atol(text) : 0;
  at = once ? atol(once) : 0;
  unsetenv("LD_PRELOAD");
  is_set = 1;
}

int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **out) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  const char *seconds = getenv("BROKEN_NAMES");
  *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (!seconds || (hints && hints->ai_flags & AI_NUMERICHOST)) return real(name, port, hints, out);
  sleep((unsigned)atoi(seconds));
  return EAI_NONAME;
}

int uv_run(void *loop, int mode) {
  int (*real)(void *, int);
  *(void **)&real = dlsym(RTLD_NEXT, "uv_run");
  turning = 1;
  return real(loop, mode);
}

static long seconds_off(void) {
  const char *path = getenv("BROKEN_CLOCK");
  char text[32] = "";
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  return n > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
  int err = real(clock, t);
  if (!err && clock == CLOCK_REALTIME) t->tv_sec += seconds_off();
  return err;
}
