/* Symbols: texts that recur (span names, resources, scopes), kept once in the arena. Append-only up to a
 * bound of bytes; past it symbol_put says so and the caller keeps the text with its trace, which reads
 * the same. The table is private to the core, its hash keyed at random. */
#ifndef FLUO_SYMBOL_H
#define FLUO_SYMBOL_H
#include <stdbool.h>

#include "arena.h"
#include "fluo.h"

struct symbols;

int symbols_new(struct arena *arena, size_t bytes_max, struct symbols **out);
void symbols_free(struct symbols *s);
/* Where the text lies in the arena, entering it if it is new. false: the bound or the arena is full
 * (counted), *out is untouched. Texts over 64 KiB are never entered. */
bool symbol_put(struct symbols *s, const void *p, size_t n, struct fluo_text *out);
size_t symbols_bytes(const struct symbols *s);
uint64_t symbols_refused(const struct symbols *s);

#endif
