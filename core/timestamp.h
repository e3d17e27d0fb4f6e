/* Reading times as RFC 3339 writes them: 2026-01-01T00:00:00.5Z, 2026-01-01T01:00:00+01:00. */
#ifndef FLUO_TIMESTAMP_H
#define FLUO_TIMESTAMP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Unix time in ns. false: it is none, or before 1970 or past 2200. Digits past the ninth of a second are dropped. */
bool timestamp_read(const char *p, size_t n, uint64_t *unix_ns);

#endif
