/* The arena: one memfd of fixed size, mapped shared; a buddy allocator (Knowlton 1965) over it whose
 * books are private to the core, so a reader of the mapping cannot harm them. Offsets are bytes from the
 * start; 0 is no block. Blocks are powers of two from ARENA_BLOCK_MIN; a block never moves. */
#ifndef FLUO_ARENA_H
#define FLUO_ARENA_H
#ifndef FLUO_SPEC
#include <assert.h>
#endif
#include <stddef.h>
#include <stdint.h>

struct arena;

enum { ARENA_BLOCK_MIN = 256 };

/* bytes: rounded down to a multiple of 64 KiB; at least 1 MiB, below 4 GiB. 0 or a negative fluo_err. */
int arena_new(size_t bytes, struct arena **out);
void arena_free(struct arena *a);
/* A descriptor opened read-only, for the study; the caller closes it. -1 and errno where that fails. */
int arena_open_readonly(const struct arena *a);

/* A block of at least `bytes`: its offset, 0 when there is none. *actual: its real size. */
uint32_t arena_get(struct arena *a, size_t bytes, size_t *actual);
/* The same from the other end: what is given back early lies together there, apart from what stays. */
uint32_t arena_get_high(struct arena *a, size_t bytes, size_t *actual);
/* Gives a block back, merging it with its free buddies; returns its size. */
size_t arena_put(struct arena *a, uint32_t off);
/* The address of an offset, and of the start: stable as long as the arena lives. Bytes of the whole; in blocks given out. */
#ifdef FLUO_SPEC
void *arena_at(const struct arena *a, uint32_t off);
const uint8_t *arena_base(const struct arena *a);
size_t arena_bytes(const struct arena *a);
size_t arena_bytes_used(const struct arena *a);
#else
/* Asked for many times a span, so they are compiled into their callers: a struct arena begins with this. */
struct arena_map { uint8_t *base; size_t bytes, used; };

inline void *arena_at(const struct arena *a, uint32_t off) {
  const struct arena_map *map = (const struct arena_map *)(const void *)a;
  assert(off < map->bytes);
  return map->base + off;
}

inline const uint8_t *arena_base(const struct arena *a) {
  return ((const struct arena_map *)(const void *)a)->base;
}

inline size_t arena_bytes(const struct arena *a) {
  return ((const struct arena_map *)(const void *)a)->bytes;
}

inline size_t arena_bytes_used(const struct arena *a) {
  return ((const struct arena_map *)(const void *)a)->used;
}
#endif

/* What the kernel holds for it: blocks given out, and free ones between them that were written to once. */
size_t arena_bytes_touched(const struct arena *a);
/* Returns pages of free blocks of at least 8 KiB to the kernel (MADV_REMOVE), those of the largest first, at
 * most `bytes_max` a call; returns the bytes that went back. */
size_t arena_trim(struct arena *a, size_t bytes_max);
/* Bytes of free pages, as many as there were all the time since the last call: what is used again soon is not to be returned. */
size_t arena_unused(struct arena *a);

#endif
