/* The rule process, its workers, and scripts of our own.
 *
 * Good path: the core starts this binary with the descriptors of enum worker_fd. The arena and the pulse
 * page are mapped and their descriptors closed; the Lua side reads every rule file; then the doors close
 * (seccomp), the files are evaluated, their intermediate form is written to the memfd and FLUO_MESSAGE_LOADED
 * sent. From then on each FLUO_MESSAGE_FORK clones a worker, as the core's child, which takes the second
 * filter and answers one job after the other.
 *
 * Ways it fails: rules that do not load: said on the diagnostics descriptor, LOADED without an intermediate
 * form, exit 1. Out of the heap budget: exit 86, from within the allocator. A core that is gone: the socket
 * ends, or PR_SET_PDEATHSIG kills. An endless loop in a rule: the core kills. No way to go on in Lua (a
 * mistake of ours): its text on the diagnostics descriptor, exit 1.
 *
 * Nothing is freed: everything here lives as long as its process. */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fluo.h"
#include "heap.h"
#include "luastate.h"
#include "seccomp.h"

/* What a worker is nicer than the core, which must keep receiving while rules run. Not more: on a processor that is full, one
 * at 19 gets a seventieth, and its answers come seconds late. Loading goes as the core does: people wait for it. */
enum { WORKER_NICER = 5 };
#define SCRIPT_HEAP_BYTES (64u << 20)

/* ---- what there is to say ------------------------------------------------------------------------ */

/* A line on the diagnostics descriptor: for people, or like those of the core's log. */
struct voice { bool json, lines; char time[32]; };

/* Before the doors close: the C library may have to look for a time zone. */
static void voice_init(struct voice *v) {
  struct timespec now;
  struct tm t;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &t);
  strftime(v->time, sizeof v->time, "%Y-%m-%dT%H:%M:%SZ", &t);
}

static void say(const void *ctx, const char *level, const char *text) {
  const struct voice *v = ctx;
  char quoted[2048];
  size_t n = 0;
  if (!v->json) {
    const char *kind = !strcmp(level, "warn") ? "warning: " : v->lines ? "error: " : "";
    dprintf(WORKER_FD_DIAGNOSTICS, "%s%s%s\n", v->lines ? "" : "fluo: ", kind, text);
    return;
  }
  for (const char *p = text; *p && n < sizeof quoted - 8; p++) {
    bool plain = *p >= ' ' && *p < 0x7f && *p != '"' && *p != '\\';
    n += (size_t)(plain ? snprintf(quoted + n, 8, "%c", *p) : snprintf(quoted + n, 8, "\\u%04x", (unsigned char)*p));
  }
  quoted[n] = '\0';
  dprintf(WORKER_FD_DIAGNOSTICS, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"%s\"}\n", v->time, level, quoted);
}

struct worker {
  struct lua_budget heap;
  size_t heap_full;                /* half-way between the heap at the fork and the budget */
  lua_State *lua;
  long parent;
  int nice;                        /* the core's */
  const char *specs;               /* NULL: none are required */
  const char *explain;             /* NULL: rules are judged */
  const char *actions;             /* NULL: none but those of files */
  bool skip_broken, renamed, explicit_ok, again;
  struct voice voice;
  bool filtered;                   /* the kernel took the first filter, so it will take the second */
  const char *rules_path;
  char *title; size_t title_bytes; /* the arguments' memory, which ps shows */
  const uint8_t *arena; size_t arena_bytes;
  struct fluo_pulse *pulse;
  uint8_t *inbox, *outbox;         /* FLUO_MESSAGE_BYTES_MAX each */
};

/* ---- scripts of our own ------------------------------------------------------------------------- */

int worker_script(const char *module, int argc, char **argv, const char *farewell) {
  struct lua_budget heap = {.max = SCRIPT_HEAP_BYTES,
                            .memory_exit = farewell ? WORKER_EXIT_FAILED : WORKER_EXIT_MEMORY, .farewell = farewell};
  lua_State *lua = luastate_new(&heap);
  int status = WORKER_EXIT_FAILED;
  if (!lua) return status;
  int err = luastate_push(lua, module, "main");
  if (!err) {
    lua_createtable(lua, argc, 0);
    for (int i = 0; i < argc; i++) {
      lua_pushstring(lua, argv[i]);
      lua_rawseti(lua, -2, i + 1);
    }
    err = lua_pcall(lua, 1, 1, 0);
  }
  if (err) fprintf(stderr, "fluo: %s\n", luastate_error(lua));
  else status = (int)lua_tointeger(lua, -1);
  lua_close(lua);
  return status;
}

/* ---- setting up the rule process ---------------------------------------------------------------- */

static bool starts(const char *argument, const char *name, const char **value) {
  size_t n = strlen(name);
  if (strncmp(argument, name, n)) return false;
  *value = argument + n;
  return true;
}

static bool parse(struct worker *w, int argc, char **argv) {
  const char *value;
  for (int i = 2; i < argc; i++) {
    if (starts(argv[i], "--parent=", &value)) w->parent = strtol(value, NULL, 10);
    else if (starts(argv[i], "--heap=", &value)) w->heap.max = strtoull(value, NULL, 10);
    else if (starts(argv[i], "--specs=", &value)) w->specs = value;
    else if (starts(argv[i], "--explain=", &value)) w->explain = value;
    else if (starts(argv[i], "--actions=", &value)) w->actions = value;
    else if (!strcmp(argv[i], "--skip-broken")) w->skip_broken = true;
    else if (!strcmp(argv[i], "--renamed")) w->renamed = true;
    else if (!strcmp(argv[i], "--explicit-ok")) w->explicit_ok = true;
    else if (!strcmp(argv[i], "--json")) w->voice.json = true;
    else if (!strcmp(argv[i], "--lines")) w->voice.lines = true;
    else if (!strcmp(argv[i], "--again")) w->again = true;
    else if (!strcmp(argv[i], "--") && i + 1 < argc) w->rules_path = argv[++i];
    else return false;
  }
  w->title = argv[0];
  w->title_bytes = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]);
  return w->parent > 0 && w->heap.max > 0 && w->rules_path;
}

/* Asked only after the signal is set, so a parent that died in between is seen here. */
static bool die_with(long parent) {
  return !prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) && getppid() == parent;
}

/* Signals for the agent reach its whole group or container; when to end is the core's to say. */
static void ignore_signals(void) {
  static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTTOU, SIGUSR1, SIGUSR2};
  for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++) signal(ignored[i], SIG_IGN);
}

static void *map_shared(int fd, int protection, size_t *bytes) {
  struct stat status;
  if (fstat(fd, &status) || status.st_size <= 0) return NULL;
  void *p = mmap(NULL, (size_t)status.st_size, protection, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return NULL;
  close(fd);
  *bytes = (size_t)status.st_size;
  return p;
}

static bool set_up(struct worker *w) {
  struct rlimit none = {0, 0};
  size_t pulse_bytes = 0;
  if (!die_with(w->parent)) return false;
  ignore_signals();
  setrlimit(RLIMIT_CORE, &none);
  w->nice = getpriority(PRIO_PROCESS, 0);
  syscall(SYS_close_range, WORKER_FDS, ~0u, 0);
  w->arena = map_shared(WORKER_FD_ARENA, PROT_READ, &w->arena_bytes);
  w->pulse = map_shared(WORKER_FD_PULSE, PROT_READ | PROT_WRITE, &pulse_bytes);
  w->inbox = heap_alloc(FLUO_MESSAGE_BYTES_MAX);
  w->outbox = heap_alloc(FLUO_MESSAGE_BYTES_MAX);
  if (!w->arena || !w->pulse || pulse_bytes < sizeof *w->pulse || !w->inbox || !w->outbox) return false;
  voice_init(&w->voice);
  w->heap = (struct lua_budget){.max = w->heap.max, .memory_exit = WORKER_EXIT_MEMORY, .say = say, .ctx = &w->voice};
  w->lua = luastate_new(&w->heap);
  return w->lua != NULL;
}

/* ---- loading ------------------------------------------------------------------------------------ */

static bool call(struct worker *w, int arguments, int results) {
  if (!lua_pcall(w->lua, arguments, results, 0)) return true;
  say(&w->voice, "error", luastate_error(w->lua));
  return false;
}

static bool push(struct worker *w, const char *function) {
  if (!luastate_push(w->lua, "fluo.study", function)) return true;
  say(&w->voice, "error", luastate_error(w->lua));
  return false;
}

static void set_flag(lua_State *lua, const char *name, bool value) {
  lua_pushboolean(lua, value);
  lua_setfield(lua, -2, name);
}

static void set_pointer(lua_State *lua, const char *name, const void *p) {
  lua_pushlightuserdata(lua, (void *)(uintptr_t)p);
  lua_setfield(lua, -2, name);
}

/* Pushes the texts of the rules in force, "" where there are none. Another process may be reading them, and the place
 * within the file is common to all. */
static bool push_last(struct worker *w) {
  luaL_Buffer buffer;
  char *room;
  ssize_t n;
  off_t at = 0;
  luaL_buffinit(w->lua, &buffer);
  do {
    room = luaL_prepbuffer(&buffer);
    n = pread(WORKER_FD_LAST, room, LUAL_BUFFERSIZE, at);
    if (n > 0) luaL_addsize(&buffer, n);
    if (n > 0) at += n;
  } while (n > 0 || (n < 0 && errno == EINTR));
  luaL_pushresult(&buffer);
  close(WORKER_FD_LAST);
  if (n < 0) say(&w->voice, "error", "the rules in force cannot be read");
  return n == 0;
}

/* study.read(path, options, last): every file of the disk that rules need. */
static bool read_rules(struct worker *w) {
  if (!push(w, "read")) return false;
  lua_pushstring(w->lua, w->rules_path);
  lua_createtable(w->lua, 0, 8);
  lua_pushstring(w->lua, w->specs);
  lua_setfield(w->lua, -2, "specs");
  lua_pushstring(w->lua, w->explain);
  lua_setfield(w->lua, -2, "explain");
  lua_pushstring(w->lua, w->actions);
  lua_setfield(w->lua, -2, "receivers");
  set_flag(w->lua, "skip_broken", w->skip_broken);
  set_flag(w->lua, "renamed", w->renamed);
  set_flag(w->lua, "explicit_ok", w->explicit_ok);
  set_flag(w->lua, "json", w->voice.json);
  set_flag(w->lua, "lines", w->voice.lines);
  set_flag(w->lua, "again", w->again);
  lua_pushstring(w->lua, w->voice.time);
  lua_setfield(w->lua, -2, "time");
  set_pointer(w->lua, "pulse", w->pulse);
  return push_last(w) && call(w, 3, 0);
}

static void close_doors(struct worker *w) {
  int err = seccomp_enter(SECCOMP_LOAD);
  w->filtered = err == 0;
  char text[128];
  if (!err) return;
  snprintf(text, sizeof text, "rules run without a system call filter (%s)", strerror(-err));
  say(&w->voice, "warn", text);
}

static bool write_all(int fd, const char *p, size_t n) {
  while (n) {
    ssize_t written = write(fd, p, n);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    p += written;
    n -= (size_t)written;
  }
  return true;
}

static bool send_control(const void *p, size_t n) {
  return send(WORKER_FD_CONTROL, p, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* The pieces of the table on top of the stack, one after the other. */
static bool write_texts(struct worker *w) {
  bool written = true;
  for (int i = 1; written; i++) {
    size_t n;
    lua_rawgeti(w->lua, -1, i);
    const char *piece = lua_tolstring(w->lua, -1, &n);
    if (piece) written = write_all(WORKER_FD_TEXTS, piece, n);
    lua_pop(w->lua, 1);
    if (!piece) break;
  }
  close(WORKER_FD_TEXTS);
  return written;
}

/* study.load() gives the intermediate form (nil: the rules did not load, which was said), how many errors, warnings and
 * rules there are, and the texts that were loaded. */
static bool load_rules(struct worker *w) {
  size_t n = 0;
  if (!push(w, "load") || !call(w, 0, 5)) return false;
  bool written = write_texts(w);
  lua_pop(w->lua, 1);
  const char *ir = lua_tolstring(w->lua, -4, &n);
  struct fluo_loaded loaded = {.message = FLUO_MESSAGE_LOADED,
                               .errors = (uint32_t)lua_tointeger(w->lua, -3),
                               .warnings = (uint32_t)lua_tointeger(w->lua, -2),
                               .rules = (uint32_t)lua_tointeger(w->lua, -1),
                               .ir_bytes = ir ? n : 0};
  bool sent = written && (!ir || write_all(WORKER_FD_IR, ir, n)) && send_control(&loaded, sizeof loaded);
  close(WORKER_FD_IR);
  lua_settop(w->lua, 0);
  return sent && ir;
}

/* study.prepare(places): makes evaluators, forgets sources. What is left is what every worker starts with. */
static bool prepare(struct worker *w) {
  if (!push(w, "prepare")) return false;
  lua_createtable(w->lua, 0, 4);
  set_pointer(w->lua, "arena", w->arena);
  set_pointer(w->lua, "pulse", w->pulse);
  set_pointer(w->lua, "inbox", w->inbox);
  set_pointer(w->lua, "outbox", w->outbox);
  if (!call(w, 1, 0) || !push(w, "job")) return false;
  lua_gc(w->lua, LUA_GCCOLLECT, 0);
  heap_settle();
  return true;
}

/* ---- a worker ----------------------------------------------------------------------------------- */

static void set_title(struct worker *w, const char *title) {
  prctl(PR_SET_NAME, title, 0, 0, 0);
  memset(w->title, 0, w->title_bytes);
  snprintf(w->title, w->title_bytes, "%s", title);
}

/* A worker between jobs that holds on to half of its budget will soon be killed in the middle of one. */
static bool is_full(struct worker *w) {
  if (w->heap.used <= w->heap_full) return false;
  lua_gc(w->lua, LUA_GCCOLLECT, 0);
  return w->heap.used > w->heap_full;
}

static uint64_t cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* study.job(bytes, heap in KiB) stands on top of the stack; it answers what is in the inbox and returns the
 * size of the reply in the outbox. The clock is a system call each time, and what a judgment takes nobody asks. */
static int answer(struct worker *w, int fd) {
  for (;;) {
    ssize_t n = read(fd, w->inbox, FLUO_MESSAGE_BYTES_MAX);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return WORKER_EXIT_OK;
    lua_pushvalue(w->lua, -1);
    lua_pushinteger(w->lua, (lua_Integer)n);
    lua_pushinteger(w->lua, (lua_Integer)(w->heap.used >> 10));
    bool timed = ((const struct fluo_job *)(const void *)w->inbox)->message == FLUO_MESSAGE_ASK;
    uint64_t from_ns = timed ? cpu_ns() : 0;
    if (!call(w, 2, 1)) return WORKER_EXIT_FAILED;
    size_t size = (size_t)lua_tointeger(w->lua, -1);
    lua_settop(w->lua, -2);
    ((struct fluo_reply *)(void *)w->outbox)->cpu_ns = timed ? cpu_ns() - from_ns : 0;
    if (write(fd, w->outbox, size) != (ssize_t)size) return WORKER_EXIT_FAILED;
    if (is_full(w)) return WORKER_EXIT_FULL;
  }
}

static _Noreturn void work(struct worker *w, int fd) {
  if (!die_with(w->parent)) _exit(WORKER_EXIT_OK);
  close(WORKER_FD_CONTROL);
  setpriority(PRIO_PROCESS, 0, w->nice + WORKER_NICER);
  set_title(w, "fluo: worker");
  w->heap_full = w->heap.used + (w->heap.max - w->heap.used) / 2;
  /* /dev/null: what a worker has to say, it says in replies. Without a filter a sanitizer may have to speak. */
  if (w->filtered) dup2(STDIN_FILENO, WORKER_FD_DIAGNOSTICS);
  if (w->filtered && seccomp_enter(SECCOMP_WORK)) _exit(WORKER_EXIT_FAILED);
  _exit(answer(w, fd));
}

/* Takes FLUO_MESSAGE_FORK: the new worker's socket; -1 at the end, or what is no such message. A ping goes back. */
static int receive_fork(void) {
  uint32_t message = 0;
  union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control;
  struct iovec part = {&message, sizeof message};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n;
  do {
    header.msg_controllen = sizeof control;
    n = recvmsg(WORKER_FD_CONTROL, &header, 0);
    if (n == sizeof message && message == FLUO_MESSAGE_PING && !send_control(&message, sizeof message)) return -1;
  } while (n < 0 ? errno == EINTR : n == sizeof message && message == FLUO_MESSAGE_PING);
  struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
  if (n != sizeof message || message != FLUO_MESSAGE_FORK) return -1;
  if (!rights || rights->cmsg_type != SCM_RIGHTS) return -1;
  int fd;
  memcpy(&fd, CMSG_DATA(rights), sizeof fd);
  return fd;
}

/* The bare system call: CLONE_PARENT makes the core the parent, and there are no threads whose locks the
 * C library would have to take. */
static int serve(struct worker *w) {
  int fd;
  while ((fd = receive_fork()) >= 0) {
    struct fluo_forked forked = {.message = FLUO_MESSAGE_FORKED};
    long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) work(w, fd);
    forked.pid = pid < 0 ? -errno : (int32_t)pid;
    close(fd);
    if (!send_control(&forked, sizeof forked)) break;
  }
  return WORKER_EXIT_OK;
}

int worker_main(int argc, char **argv) {
  struct worker w = {0};
  if (!parse(&w, argc, argv) || !set_up(&w)) return WORKER_EXIT_FAILED;
  prctl(PR_SET_NAME, "fluo: rules", 0, 0, 0);
  if (!read_rules(&w)) return WORKER_EXIT_FAILED;
  close_doors(&w);
  if (!load_rules(&w) || !prepare(&w)) return WORKER_EXIT_FAILED;
  return serve(&w);
}
