/* Every allocation of the core goes through here, so that a spec can fail the n-th one. */
#ifndef FLUO_HEAP_H
#define FLUO_HEAP_H
#include <stddef.h>
#include <stdint.h>

/* Once, at the start of the agent: a block of HEAP_MAPPED_BYTES or more goes back to the kernel when it is freed. */
enum { HEAP_MAPPED_BYTES = 256 << 10 };
void heap_lean(void);
/* Once what a process starts with is made: gives back the memory, and the pages of code, that only making it took. */
void heap_settle(void);

/* NULL when out of memory (or told to fail). size 0 is taken as 1. The caller frees with heap_free. */
void *heap_alloc(size_t size);
void *heap_zalloc(size_t size);                    /* zeroed */
/* These two as zlib wants them. */
void *heap_items(void *unused, unsigned items, unsigned size);
void heap_items_free(void *unused, void *p);
void *heap_realloc(void *p, size_t size);          /* on NULL, p is as it was */
void heap_free(void *p);                           /* NULL is fine */
char *heap_strdup(const char *s);

/* What a block of so many bytes takes: with the allocator's own word, in sixteens. 0 of none. */
size_t heap_block(size_t size);

/* Doubles an array of elements of `size` bytes (*items, *capacity), from 8: 0 or FLUO_ENOMEM, then both are as they were. */
int heap_double(void **items, uint32_t *capacity, size_t size);
/* The same, but only where there is no room for one more. */
#ifdef FLUO_SPEC
int heap_grow(void **items, uint32_t *capacity, uint32_t count, size_t size);
#else
/* Nearly always there is room, and some ask for each span. */
inline int heap_grow(void **items, uint32_t *capacity, uint32_t count, size_t size) {
  return count < *capacity ? 0 : heap_double(items, capacity, size);
}
#endif

/* For specs: the n-th allocation from now (1 is the next) and every one after it fails; 0: none fails. */
void heap_fail_from(uint64_t n);
/* For specs: only the n-th allocation from now fails; 0: none. */
void heap_fail_only(uint64_t n);
/* For specs: how many allocations failed since one of these two was called. */
uint64_t heap_failed(void);
/* For specs: allocations not yet freed. */
int64_t heap_live(void);

#endif
