/* Attributes that the OpenTelemetry semantic conventions renamed without changing what they say. */
#ifndef FLUO_RENAME_H
#define FLUO_RENAME_H

/* Declared in fluo.h, since the study looks names up too:
 *   const char *fluo_renamed(const char *key, uint32_t key_len, uint32_t i);
 * Names lie in constant storage. A key has at most RENAME_NAMES_MAX other names. */
enum { RENAME_NAMES_MAX = 8 };

#endif
