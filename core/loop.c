/* libuv takes want of memory as an error that it returns, but for one place: where the table of descriptors that the
 * loop watches cannot grow, it aborts. Nothing can be done about that from outside, so a line is written before; the
 * log's writer may never get to it any more. */
#include "loop.h"

#include <stdlib.h>
#include <unistd.h>

static void *grow(void *p, size_t size) {
  static const char text[] = "fluo: out of memory: the event loop cannot grow\n";
  void *grown = realloc(p, size);
  if (!grown && size && write(STDERR_FILENO, text, sizeof text - 1) < 0) abort();
  return grown;
}

int loop_open(uv_loop_t *loop) {
  int err = uv_replace_allocator(malloc, grow, calloc, free);
  return err ? err : uv_loop_init(loop);
}
