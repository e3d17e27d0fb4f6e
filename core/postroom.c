/* The post room's loop.
 *
 * Good path: set-up and rule files are read, fluo.post makes actions of them, READY is said. Then it turns: frames from
 * the core start actions, requests go on, actions that waited for one run on, and each that has come to an end is an
 * OUTCOME. What actions are and what becomes of their requests is Lua's to know.
 *
 * Ways it fails: the core is gone: the socket ends, or PR_SET_PDEATHSIG kills. An action that loops: the core kills, as
 * the pulse page says whom to blame. Out of the heap budget: the allocator ends the process. A set-up that cannot be
 * read, or a mistake of ours in Lua: its text on the diagnostics descriptor, and the end. Whatever was not done then is
 * delivered again to the next such process.
 *
 * Nothing is freed: everything here lives as long as the process. */
#include "postroom.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "courier.h"
#include "errand.h"
#include "luastate.h"
#include "worker.h"

/* Below the core, as the worker is. */
enum { POSTROOM_NICE = 5 };

struct postroom {
  struct lua_budget heap;
  lua_State *lua;
  struct fluo_courier *courier;
  struct fluo_errands *errands;
  struct fluo_pulse *pulse;
  long parent;
  struct buffer in;                /* what of frames has come */
};

/* ---- setting up ----------------------------------------------------------------------------------- */

static void say(const void *ctx, const char *level, const char *text) {
  (void)ctx, (void)level;
  dprintf(POSTROOM_FD_DIAGNOSTICS, "fluo: post room: %s\n", text);
}

static bool parse(struct postroom *p, int argc, char **argv) {
  for (int i = 2; i < argc; i++) {
    if (!strncmp(argv[i], "--parent=", 9)) p->parent = strtol(argv[i] + 9, NULL, 10);
    else if (!strncmp(argv[i], "--heap=", 7)) p->heap.max = strtoull(argv[i] + 7, NULL, 10);
    else return false;
  }
  return p->parent > 0 && p->heap.max > 0;
}

static bool set_up(struct postroom *p) {
  static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
  struct rlimit none = {0, 0};
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || getppid() != p->parent) return false;
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
  prctl(PR_SET_NAME, "fluo: post", 0, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);          /* it holds secrets */
  setrlimit(RLIMIT_CORE, &none);
  setpriority(PRIO_PROCESS, 0, POSTROOM_NICE);
  syscall(SYS_close_range, POSTROOM_FDS, ~0u, 0);
  fcntl(POSTROOM_FD_CONTROL, F_SETFD, FD_CLOEXEC);
  void *page = mmap(NULL, sizeof *p->pulse, PROT_READ | PROT_WRITE, MAP_SHARED, POSTROOM_FD_PULSE, 0);
  if (page == MAP_FAILED) return false;
  p->pulse = page;
  close(POSTROOM_FD_PULSE);
  buffer_init(&p->in, sizeof(struct postroom_head) + POSTROOM_FRAME_BYTES);
  p->heap.memory_exit = WORKER_EXIT_MEMORY;
  p->heap.say = say;
  p->courier = courier_new();
  p->errands = errands_new(NULL);
  p->lua = luastate_new(&p->heap);
  return p->lua && p->courier && p->errands;
}

static bool call(struct postroom *p, const char *function, int arguments, int results) {
  if (luastate_push(p->lua, "fluo.post", function)) {
    say(NULL, "error", luastate_error(p->lua));
    return false;
  }
  lua_insert(p->lua, -1 - arguments);
  if (!lua_pcall(p->lua, arguments, results, 0)) return true;
  say(NULL, "error", luastate_error(p->lua));
  return false;
}

/* Pushes all of a file, from its beginning: others may be reading it. */
static bool push_file(lua_State *lua, int fd) {
  luaL_Buffer buffer;
  ssize_t n;
  off_t at = 0;
  luaL_buffinit(lua, &buffer);
  do {
    n = pread(fd, luaL_prepbuffer(&buffer), LUAL_BUFFERSIZE, at);
    if (n > 0) luaL_addsize(&buffer, (size_t)n), at += n;
  } while (n > 0 || (n < 0 && errno == EINTR));
  luaL_pushresult(&buffer);
  close(fd);
  return n == 0;
}

static bool write_all(const void *bytes, size_t n) {
  const char *p = bytes;
  while (n) {
    ssize_t written = write(POSTROOM_FD_CONTROL, p, n);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {
      struct pollfd ready = {.fd = POSTROOM_FD_CONTROL, .events = POLLOUT};
      poll(&ready, 1, -1);
      continue;
    }
    if (written <= 0) return false;
    p += written;
    n -= (size_t)written;
  }
  return true;
}

/* post.open(places, setup, texts). */
static bool open_actions(struct postroom *p) {
  const struct postroom_head ready = {.kind = POSTROOM_READY};
  lua_createtable(p->lua, 0, 3);
  lua_pushlightuserdata(p->lua, p->courier);
  lua_setfield(p->lua, -2, "courier");
  lua_pushlightuserdata(p->lua, p->errands);
  lua_setfield(p->lua, -2, "errands");
  lua_pushlightuserdata(p->lua, p->pulse);
  lua_setfield(p->lua, -2, "pulse");
  if (!push_file(p->lua, POSTROOM_FD_SETUP) || !push_file(p->lua, POSTROOM_FD_TEXTS)) {
    say(NULL, "error", "the set-up cannot be read");
    return false;
  }
  return call(p, "open", 3, 0) && write_all(&ready, sizeof ready);
}

/* ---- frames --------------------------------------------------------------------------------------- */

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* post.deliver(number, receiver, alert, now in ms). */
static bool deliver(struct postroom *p, const struct postroom_head *head, const char *bytes) {
  size_t name = strnlen(bytes, head->bytes);
  if (head->kind != POSTROOM_DELIVER || name == head->bytes) {
    say(NULL, "error", "a frame makes no sense");
    return false;
  }
  lua_pushnumber(p->lua, (lua_Number)head->delivery);
  lua_pushlstring(p->lua, bytes, name);
  lua_pushlstring(p->lua, bytes + name + 1, head->bytes - name - 1);
  lua_pushnumber(p->lua, now_ms());
  return call(p, "deliver", 4, 0);
}

static bool take_frames(struct postroom *p) {
  struct postroom_head head;
  size_t at = 0;
  while (p->in.len - at >= sizeof head) {
    memcpy(&head, p->in.data + at, sizeof head);
    if (head.bytes > POSTROOM_FRAME_BYTES) return false;
    if (p->in.len - at - sizeof head < head.bytes) break;
    if (!deliver(p, &head, p->in.data + at + sizeof head)) return false;
    at += sizeof head + head.bytes;
  }
  memmove(p->in.data, p->in.data + at, p->in.len - at);
  p->in.len -= at;
  return true;
}

/* false: the core is gone, or says nonsense. */
static bool receive(struct postroom *p) {
  size_t room = p->in.max - p->in.len < 65536 ? p->in.max - p->in.len : 65536;
  char *to = buffer_reserve(&p->in, room);
  if (!to) return false;
  ssize_t n = recv(POSTROOM_FD_CONTROL, to, room, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  p->in.len += (size_t)n;
  return n > 0 && take_frames(p);
}

static bool send_frame(uint32_t kind, uint64_t delivery, const void *first, size_t first_bytes, const char *text, size_t n) {
  if (n > POSTROOM_TEXT_BYTES) n = POSTROOM_TEXT_BYTES;
  struct postroom_head head = {.kind = kind, .bytes = (uint32_t)(first_bytes + n), .delivery = delivery};
  return write_all(&head, sizeof head) && write_all(first, first_bytes) && write_all(text, n);
}

/* A table { number, result, retry_after_s, text } is an outcome, a text a line for the log. */
static bool send_one(lua_State *lua) {
  size_t n;
  const char *text;
  if (lua_isstring(lua, -1)) {
    text = lua_tolstring(lua, -1, &n);
    return send_frame(POSTROOM_LOG, 0, NULL, 0, text, n);
  }
  for (int i = 1; i <= 4; i++) lua_rawgeti(lua, -i, i);
  text = lua_tolstring(lua, -1, &n);
  struct postroom_outcome outcome = {(uint32_t)lua_tointeger(lua, -3), (uint32_t)lua_tonumber(lua, -2)};
  bool sent = send_frame(POSTROOM_OUTCOME, (uint64_t)lua_tonumber(lua, -4), &outcome, sizeof outcome, text ? text : "", n);
  lua_pop(lua, 4);
  return sent;
}

/* ---- the loop ------------------------------------------------------------------------------------- */

/* post.turn(now in ms): when it has to be called again at the latest (nil: when something has come), and what to send. */
static bool turn(struct postroom *p, int *timeout_ms) {
  courier_turn(p->courier);
  errands_turn(p->errands);
  double now = now_ms();
  lua_pushnumber(p->lua, now);
  if (!call(p, "turn", 1, 2)) return false;
  double due = lua_isnumber(p->lua, -2) ? lua_tonumber(p->lua, -2) - now : -1;
  *timeout_ms = !lua_isnumber(p->lua, -2) ? -1 : due < 0 ? 0 : due > 60000 ? 60000 : (int)due + 1;
  bool sent = true;
  for (int i = 1; sent; i++) {
    lua_rawgeti(p->lua, -1, i);
    if (lua_isnil(p->lua, -1)) break;
    sent = send_one(p->lua);
    lua_pop(p->lua, 1);
  }
  lua_settop(p->lua, 0);
  return sent;
}

static int serve(struct postroom *p) {
  struct pollfd fds[1 + ERRAND_FDS_MAX];
  _Static_assert(1 + ERRAND_FDS_MAX <= COURIER_FDS_MAX, "all of them are waited for");
  int timeout_ms = -1;
  for (;;) {
    fds[0] = (struct pollfd){.fd = POSTROOM_FD_CONTROL, .events = POLLIN};
    courier_wait(p->courier, fds, 1 + errands_fds(p->errands, fds + 1), timeout_ms);
    if (fds[0].revents && !receive(p)) return WORKER_EXIT_OK;
    if (!turn(p, &timeout_ms)) return WORKER_EXIT_FAILED;
  }
}

int postroom_main(int argc, char **argv) {
  struct postroom p = {0};
  if (!parse(&p, argc, argv) || !set_up(&p) || !open_actions(&p)) return WORKER_EXIT_FAILED;
  return serve(&p);
}
