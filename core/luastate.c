/* Lua states with a heap budget.
 *
 * Good path: a state is made and its libraries opened, its compiler set to begin late, for most states load rules or answer
 * one command and are gone, and its collector to collect early, for what the budget counts is garbage too. Ways it fails:
 * no memory for the state itself: NULL; past the budget, or out of memory later: the process ends in the allocator; an
 * error outside of any pcall: its text, and the process ends. */
#include "luastate.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"

static void out_of_memory(const struct lua_budget *b) {
  if (b->farewell) dprintf(STDERR_FILENO, "%s\n", b->farewell);
  _exit(b->memory_exit);
}

static void *budget_alloc(void *context, void *p, size_t old, size_t size) {
  struct lua_budget *b = context;
  if (size == 0) {
    heap_free(p);
    b->used -= old;
    return NULL;
  }
  if (size > old && size - old > b->max - b->used) out_of_memory(b);
  void *grown = heap_realloc(p, size);
  if (!grown) out_of_memory(b);
  b->used += size - old;
  return grown;
}

static int on_panic(lua_State *lua) {
  const char *text = lua_tostring(lua, -1);
  struct lua_budget *b;
  lua_getallocf(lua, (void **)&b);
  if (b->say) b->say(b->ctx, "error", text ? text : "Lua panicked");
  else fprintf(stderr, "fluo: %s\n", text ? text : "Lua panicked");
  _exit(1);
}

/* How often a loop turns before it is compiled. With LuaJIT's own 56, loading a hundred rules took twice its time, most
 * of it for the compiler; from a thousand rules on the compiler pays, and nearly as soon with this. */
#define HOT_LATE "hotloop=8000"

static void compile_late(lua_State *lua) {
  lua_getglobal(lua, "jit");
  lua_getfield(lua, -1, "opt");
  lua_getfield(lua, -1, "start");
  lua_pushliteral(lua, HOT_LATE);
  lua_call(lua, 1, 0);
  lua_pop(lua, 2);
}

/* Where Lua would have looked for modules stays known as package.system_path and system_cpath: `fluo test` finds busted
 * there. */
static int open_libraries(lua_State *lua) {
  static const char *const paths[][2] = {{"path", "system_path"}, {"cpath", "system_cpath"}};
  luaL_openlibs(lua);
  compile_late(lua);
  lua_getglobal(lua, "package");
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    lua_getfield(lua, -1, paths[i][0]);
    lua_setfield(lua, -2, paths[i][1]);
    lua_pushliteral(lua, "");
    lua_setfield(lua, -2, paths[i][0]);
  }
  return 0;
}

lua_State *luastate_new(struct lua_budget *budget) {
  budget->used = 0;
  lua_State *lua = lua_newstate(budget_alloc, budget);
  if (!lua) return NULL;
  lua_atpanic(lua, on_panic);
  if (lua_cpcall(lua, open_libraries, NULL)) on_panic(lua);
  lua_gc(lua, LUA_GCSETPAUSE, 150);
  lua_gc(lua, LUA_GCSETSTEPMUL, 400);
  return lua;
}

int luastate_push(lua_State *lua, const char *module, const char *function) {
  lua_getglobal(lua, "require");
  lua_pushstring(lua, module);
  int err = lua_pcall(lua, 1, 1, 0);
  if (err) return err;
  lua_getfield(lua, -1, function);
  lua_remove(lua, -2);
  return 0;
}

const char *luastate_error(lua_State *lua) {
  const char *text = lua_tostring(lua, -1);
  return text ? text : "an error that is no text";
}
