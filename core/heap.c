/* The allocator's seam. The counters are the one mutable global of the core: they exist for
 * specs, which fail the n-th allocation and look for leaks; the agent never reads them. They are
 * atomic because a large body is decoded in a thread. */
#include "heap.h"

#include <link.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"

static atomic_uint_fast64_t fail_from, fail_to, allocations, failed;
static atomic_int_fast64_t live;

static int fails(void) {
  uint64_t from = atomic_load_explicit(&fail_from, memory_order_relaxed);
  if (!from) return 0;
  uint64_t n = atomic_fetch_add(&allocations, 1) + 1;
  if (n < from || n > fail_to) return 0;
  failed++;
  return 1;
}

static void count(int by) {
  if (by) atomic_fetch_add_explicit(&live, by, memory_order_relaxed);
}

/* Left to itself the library keeps what large blocks left behind, and a heap for each thread: up to twice what is
 * in use. */
void heap_lean(void) {
  mallopt(M_MMAP_THRESHOLD, HEAP_MAPPED_BYTES);
  mallopt(M_TRIM_THRESHOLD, 2 * HEAP_MAPPED_BYTES);
  mallopt(M_ARENA_MAX, 1);
}

/* The pages of code that a start has read, for the most part Lua's bytecode, the linker's tables and what lay beside them,
 * are not looked at again: the kernel brings back what is. Writable segments are ours. */
static int drop_pages(struct dl_phdr_info *info, size_t size, void *ctx) {
  (void)size, (void)ctx;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
    uintptr_t from = info->dlpi_addr + segment->p_vaddr, to = from + segment->p_memsz;
    from &= ~(uintptr_t)(getpagesize() - 1);
    madvise((void *)from, to - from, MADV_DONTNEED);
  }
  return 0;
}

void heap_settle(void) {
  malloc_trim(0);
  dl_iterate_phdr(drop_pages, NULL);
}

void *heap_alloc(size_t size) {
  void *p = fails() ? NULL : malloc(size ? size : 1);
  count(p != NULL);
  return p;
}

/* The library's calloc passes by its cache of small blocks that were freed lately; its malloc does not. */
enum { CACHED_BYTES = 1024 };

void *heap_zalloc(size_t size) {
  if (size <= CACHED_BYTES) {
    void *small = heap_alloc(size);
    return small ? memset(small, 0, size) : NULL;
  }
  void *p = fails() ? NULL : calloc(1, size);
  count(p != NULL);
  return p;
}

void *heap_items(void *unused, unsigned items, unsigned size) {
  (void)unused;
  return heap_alloc((size_t)items * size);
}

void heap_items_free(void *unused, void *p) {
  (void)unused;
  heap_free(p);
}

void *heap_realloc(void *p, size_t size) {
  void *q = fails() ? NULL : realloc(p, size ? size : 1);
  count(p == NULL && q != NULL);
  return q;
}

void heap_free(void *p) {
  count(-(p != NULL));
  free(p);
}

char *heap_strdup(const char *s) {
  size_t n = strlen(s) + 1;
  char *p = heap_alloc(n);
  return p ? memcpy(p, s, n) : NULL;
}

extern inline int heap_grow(void **items, uint32_t *capacity, uint32_t count, size_t size);

int heap_double(void **items, uint32_t *capacity, size_t size) {
  uint32_t wanted = *capacity ? *capacity * 2 : 8;
  if (wanted <= *capacity) return FLUO_ENOMEM;
  void *grown = heap_realloc(*items, wanted * size);
  if (!grown) return FLUO_ENOMEM;
  *items = grown;
  *capacity = wanted;
  return 0;
}

size_t heap_block(size_t size) {
  return size ? (size + sizeof(size_t) + 15) & ~(size_t)15 : 0;
}

void heap_fail_from(uint64_t n) {
  fail_from = n;
  fail_to = UINT64_MAX;
  allocations = failed = 0;
}

void heap_fail_only(uint64_t n) {
  heap_fail_from(n);
  fail_to = n;
}

uint64_t heap_failed(void) {
  return failed;
}

int64_t heap_live(void) {
  return live;
}
