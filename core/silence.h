/* Silences: who is not told of which incidents, and until when. Time is an argument. A silence ends at its end; or, one
 * that is "until resolved", when all incidents that it held have resolved, or when it has held none for
 * LIMIT_SILENCE_UNUSED_NS. Its text is kept as it was given, for people and for the ledger. */
#ifndef FLUO_SILENCE_H
#define FLUO_SILENCE_H
#include "matchers.h"

struct silence {
  char id[33];                  /* 32 hex digits */
  char *matchers_text;          /* owned, as are the next three */
  char *created_by, *comment;
  struct matchers *matchers;
  uint64_t created_ns;
  uint64_t ends_ns;             /* UINT64_MAX: until resolved */
  uint64_t ended_ns;            /* 0: it is in force */
  uint32_t burning;             /* incidents that are not resolved and that it matches */
  bool matched;                 /* there was one */
};

/* What is asked for; texts are NUL-terminated and copied. */
struct silence_request {
  const char *id;               /* NULL: made from the rest and the time; else one that is restored */
  const char *matchers, *created_by, *comment;
  uint64_t created_ns;          /* 0: now */
  uint64_t ends_ns;             /* UINT64_MAX: until resolved */
  bool matched;                 /* restored: it had matched */
};

#endif
