/* What a directory of rule files looks like from outside: when that has changed, its files are worth reading. */
#ifndef FLUO_FINGERPRINT_H
#define FLUO_FINGERPRINT_H
#include "hash.h"

struct fingerprint { uint64_t a, b; };

/* Of names, inodes, sizes and times of the rule files of a directory and of its lib/, or of one file and the lib/ beside
 * it, links followed; what is known by its name to be no rule file is passed over. What cannot be read is part of it,
 * with its error. Blocks as the file system does; allocates nothing of ours, so any thread may call it. */
struct fingerprint fingerprint_of(const struct hash_key *key, const char *path);

#endif
