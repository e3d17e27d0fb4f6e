/* Regular expressions (PCRE2): anchored at both ends, in bounded time and memory. */
#ifndef FLUO_REGEX_H
#define FLUO_REGEX_H
#include <stddef.h>
#include <stdint.h>

#include "fluo.h"

/* A compiled expression: constant, so any number of matchers may use it. */
struct regex;
/* What matching needs: one a matcher. */
struct regex_scratch;

enum {
  REGEX_BYTES_MAX = 1 << 15, /* of an expression */
  REGEX_SUBJECT_BYTES_MAX =
      1 << 16,              /* a longer text is unknown: one step of the limit may scan it all */
  REGEX_HEAP_KIB_MAX = 2048 /* what one match may take for backtracking */
};

/* 0 and *out; or FLUO_EINVALID, the reason in `why` and the byte it lies at in *offset; or
 * FLUO_ENOMEM. */
int regex_new(const char *p, uint32_t n, struct regex **out, char *why, size_t why_size,
              uint32_t *offset);
void regex_free(struct regex *r);
/* Its number among those that a scratch keeps time for; 0 unless set. */
void regex_number(struct regex *r, uint32_t number);

/* matches_limit: PCRE2's match limit. 0 or FLUO_ENOMEM. */
int regex_scratch_new(uint32_t matches_limit, struct regex_scratch **out);
/* Room to keep time for so many numbered expressions. 0 or FLUO_ENOMEM. Once. */
int regex_scratch_quotas(struct regex_scratch *s, uint32_t count);
/* With quotas: the time of the matches that follow. From then on an expression whose matches took more than LIMIT_REGEX_LIGHT_MATCHES
 * too often (LIMIT_REGEX_HEAVY) is FLUO_UNKNOWN until time has gone by; without it, as in replay, none is. */
void regex_scratch_now(struct regex_scratch *s, uint64_t now_ns);
void regex_scratch_free(struct regex_scratch *s);

/* Whether the whole text matches; FLUO_UNKNOWN beyond a limit (or out of memory). Without one of the
 * literals it does not, whatever the limit: so those who look for these first decide nothing else. */
enum fluo_truth regex_match(const struct regex *r, struct regex_scratch *s, const uint8_t *text,
                            size_t n);

/* Texts that every match starts with, and that it holds somewhere; of length 0 where none was found.
 * Lent from the expression. */
struct regex_literals {
  const uint8_t *prefix, *inner;
  uint32_t prefix_len, inner_len;
};
struct regex_literals regex_literals(const struct regex *r);

/* How they are found: written to out (room for n bytes), the length is given. May be shorter than
 * they could be. */
uint32_t regex_prefix(const char *p, uint32_t n, uint8_t *out);
uint32_t regex_inner(const char *p, uint32_t n, uint8_t *out);

#endif
