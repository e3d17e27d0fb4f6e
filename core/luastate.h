/* Lua states with a heap budget: the allocator counts bytes and ends the process where they would pass it. It never
 * returns NULL, so no half-failed state exists. Modules are those that are part of the binary; in each state they are
 * found by `require`, and no others are. */
#ifndef FLUO_LUASTATE_H
#define FLUO_LUASTATE_H
#include <stddef.h>

struct lua_State;

struct lua_budget {
  size_t used, max;
  int memory_exit;                 /* the exit status where the budget is reached */
  const char *farewell;            /* NULL; else goes to stderr then */
  /* A line for whoever reads what the process has to say, "error" being the only level used here. NULL: stderr. */
  void (*say)(const void *ctx, const char *level, const char *text);
  const void *ctx;
};

/* budget->max and what follows are set; it outlives the state. NULL: no memory. Lua that panics ends the process with 1. */
struct lua_State *luastate_new(struct lua_budget *budget);
/* Pushes a function of an embedded module: 0; else what require says is pushed in its place. */
int luastate_push(struct lua_State *lua, const char *module, const char *function);
/* What is on top of the stack, as the text of an error. */
const char *luastate_error(struct lua_State *lua);

#endif
