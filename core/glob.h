/* Globs: `*` is any run of bytes, also an empty one and across `/`; everything else is itself.
 * Anchored at both ends, case-sensitive. */
#ifndef FLUO_GLOB_H
#define FLUO_GLOB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Time is bounded by glob_n * text_n, and without a `*` between two literals by text_n. */
bool glob_match(const uint8_t *glob, size_t glob_n, const uint8_t *text, size_t text_n);

#endif
