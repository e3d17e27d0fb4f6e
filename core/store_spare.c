/* Payloads that no rule needs, kept for who looks at evidence later, while there is room to spare.
 *
 * Good path: what a span's skeleton says was shed goes, with the span's index before it, behind that of the trace's
 * span before, in blocks of their own, at the arena's upper end. Skeletons know nothing of it and rules never read it,
 * so what a rule sees does not depend on how busy the agent is. A reader goes through the spans in order, and through
 * these beside them.
 *
 * Ways it fails: none that anybody notices. Nothing is closed or shed for the sake of it: past spare_bytes_max in use,
 * or without a block, a payload is not kept; and it is the first to go under pressure, a trace at a time, the one
 * whose first came first. */
#include <assert.h>

#include "store_parts.h"

struct entry { uint32_t span, bytes; };
struct spare_block { uint32_t next, used; };

enum { ENTRY_ALIGN = 4 };

static size_t padded(size_t n) {
  return (n + ENTRY_ALIGN - 1) & ~(size_t)(ENTRY_ALIGN - 1);
}

/* One more block for an entry of so many bytes. */
static bool grow(struct store *s, struct trace *t, size_t bytes) {
  struct spare *p = &t->memory->spare;
  size_t needed = power_of_two(sizeof(struct spare_block) + bytes), wanted = grow_bytes(p->bytes, needed), actual;
  uint32_t off = needed <= BLOCK_BYTES_MAX ? arena_get_high(s->arena, wanted, &actual) : 0;
  if (!off) return false;
  *(struct spare_block *)arena_at(s->arena, off) = (struct spare_block){0, sizeof(struct spare_block)};
  if (p->tail) ((struct spare_block *)arena_at(s->arena, p->tail))->next = off;
  else p->head = off;
  p->tail = off;
  p->capacity = (uint32_t)actual;
  p->bytes += (uint32_t)actual;
  t->memory->arena_bytes += (uint32_t)actual;
  if (link_alone(&t->memory->spares)) link_append(&s->spares, &t->memory->spares);
  return true;
}

void spare_put(struct store *s, struct trace *t, const struct otlp_span *span) {
  if (arena_bytes_used(s->arena) + books_bytes(s) >= s->limits.spare_bytes_max) return;
  struct spare *p = &t->memory->spare;
  struct entry entry = {t->spans.count, (uint32_t)span->payload_bytes};
  size_t bytes = sizeof entry + padded(span->payload_bytes);
  if (span->payload_bytes > BLOCK_BYTES_MAX / 2) return;
  struct spare_block *block = p->tail ? arena_at(s->arena, p->tail) : NULL;
  if (!block || p->capacity - block->used < bytes) {
    if (!grow(s, t, bytes)) return;
    block = arena_at(s->arena, p->tail);
  }
  uint8_t *place = (uint8_t *)block + block->used;
  memcpy(place, &entry, sizeof entry);
  otlp_payload(span, place + sizeof entry);
  block->used += (uint32_t)bytes;
  p->count++;
}

void spare_free(struct store *s, struct trace *t) {
  struct spare *p = &t->memory->spare;
  for (uint32_t off = p->head, next; off; off = next) {
    next = ((const struct spare_block *)arena_at(s->arena, off))->next;
    t->memory->arena_bytes -= (uint32_t)arena_put(s->arena, off);
  }
  *p = (struct spare){0};
  link_remove(&t->memory->spares);
}

bool spare_shed(struct store *s) {
  if (link_alone(&s->spares)) return false;
  struct trace *t = trace_of(s->spares.next, spares);
  s->stats.spares_shed += t->memory->spare.count;
  spare_free(s, t);
  return true;
}

bool store_spare_next(const struct store *s, const struct trace *t, struct spare_reader *r) {
  const struct spare *p = &t->memory->spare;
  if (!r->block) r->block = p->head;
  while (r->block) {
    const struct spare_block *block = arena_at(s->arena, r->block);
    if (r->at < sizeof *block) r->at = sizeof *block;
    if (r->at < block->used) {
      struct entry entry;
      memcpy(&entry, (const uint8_t *)block + r->at, sizeof entry);
      r->span = entry.span;
      r->p = (const uint8_t *)block + r->at + sizeof entry;
      r->n = entry.bytes;
      r->at += (uint32_t)(sizeof entry + padded(entry.bytes));
      return true;
    }
    if (!block->next) return false;
    r->block = block->next;
    r->at = 0;
  }
  return false;
}
