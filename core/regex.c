/* The one file that knows PCRE2.
 *
 * Matching is PCRE2's interpreter, not its JIT. Under the JIT the match limit counts other things,
 * heap and depth limits do not exist, and it silently falls back where the kernel grants no
 * executable memory: the same span would be a hit on one machine and unknown on another. The
 * interpreter gives the same answer everywhere, and within a limit of 10,000 it takes 0.1 to 1.2 ms
 * at the worst.
 *
 * A limit bounds one match, and spans are many: 0.2 ms each would be the whole processor at 5,000
 * spans a second. So each is tried within a tenth of the limit first, which nearly all need not
 * leave; what does costs a piece of the expression's quota, and without one left it is unknown
 * without being tried, however it would have ended.
 *
 * An expression that is valid UTF-8 is matched on characters, with invalid sequences in a text
 * matching nothing; any other is matched on bytes. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "regex.h"

#include <assert.h>
#include <pcre2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "limits.h"
#include "quota.h"

struct regex {
  pcre2_code *code;
  uint32_t number;
  uint32_t prefix_len, inner_len;
  uint8_t literals[]; /* the prefix, then the inner one */
};

struct regex_scratch {
  pcre2_match_context *context;
  pcre2_match_data *data;
  uint32_t limit;
  uint64_t now_ns; /* 0: nobody keeps time */
  struct quota *heavy; /* by number */
};

static void *on_alloc(size_t size, void *ctx) {
  (void)ctx;
  return heap_alloc(size);
}

static void on_free(void *p, void *ctx) {
  (void)ctx;
  heap_free(p);
}

/* \C could cut a character in two and is refused. */
static pcre2_code *compile(const char *p, uint32_t n, pcre2_compile_context *context, int *err,
                           PCRE2_SIZE *offset) {
  const uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C;
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)p, n, options | PCRE2_UTF | PCRE2_MATCH_INVALID_UTF,
                                   err, offset, context);
  /* Negative codes say that the expression is not UTF-8. */
  if (!code && *err < 0) code = pcre2_compile((PCRE2_SPTR)p, n, options, err, offset, context);
  return code;
}

static int explain(int err, PCRE2_SIZE at, char *why, size_t why_size, uint32_t *offset) {
  if (err == PCRE2_ERROR_HEAP_FAILED) return FLUO_ENOMEM;
  if (why_size && pcre2_get_error_message(err, (PCRE2_UCHAR *)why, why_size) == PCRE2_ERROR_BADDATA)
    snprintf(why, why_size, "error %d", err);
  *offset = (uint32_t)at;
  return FLUO_EINVALID;
}

int regex_new(const char *p, uint32_t n, struct regex **out, char *why, size_t why_size,
              uint32_t *offset) {
  if (n > REGEX_BYTES_MAX) {
    snprintf(why, why_size, "longer than %d bytes", REGEX_BYTES_MAX);
    *offset = REGEX_BYTES_MAX;
    return FLUO_EINVALID;
  }
  int err = FLUO_ENOMEM;
  pcre2_general_context *general = pcre2_general_context_create(on_alloc, on_free, NULL);
  if (!general) return err;
  pcre2_compile_context *context = pcre2_compile_context_create(general);
  if (!context) goto err_after_general;
  struct regex *r = heap_alloc(sizeof *r + 2 * (size_t)n);
  if (!r) goto err_after_context;
  r->number = 0;
  r->prefix_len = regex_prefix(p, n, r->literals);
  r->inner_len = regex_inner(p, n, r->literals + r->prefix_len);
  PCRE2_SIZE at = 0;
  int code = 0;
  /* The code keeps its own copy of the allocator, so the contexts can go. */
  r->code = compile(p, n, context, &code, &at);
  err = r->code ? 0 : explain(code, at, why, why_size, offset);
  if (err == 0)
    *out = r;
  else
    heap_free(r);
err_after_context:
  pcre2_compile_context_free(context);
err_after_general:
  pcre2_general_context_free(general);
  return err;
}

void regex_number(struct regex *r, uint32_t number) {
  r->number = number;
}

void regex_free(struct regex *r) {
  if (!r) return;
  pcre2_code_free(r->code);
  heap_free(r);
}

int regex_scratch_quotas(struct regex_scratch *s, uint32_t count) {
  s->heavy = heap_zalloc(count * sizeof *s->heavy);
  return s->heavy ? 0 : FLUO_ENOMEM;
}

int regex_scratch_new(uint32_t matches_limit, struct regex_scratch **out) {
  struct regex_scratch *s = heap_zalloc(sizeof *s);
  if (!s) return FLUO_ENOMEM;
  pcre2_general_context *general = pcre2_general_context_create(on_alloc, on_free, NULL);
  if (!general) goto err_after_scratch;
  s->context = pcre2_match_context_create(general);
  s->data = pcre2_match_data_create(1, general); /* one pair: nobody asks for groups */
  pcre2_general_context_free(general);
  if (!s->context || !s->data) goto err_after_scratch;
  s->limit = matches_limit;
  pcre2_set_heap_limit(s->context, REGEX_HEAP_KIB_MAX);
  *out = s;
  return 0;
err_after_scratch:
  regex_scratch_free(s);
  return FLUO_ENOMEM;
}

void regex_scratch_free(struct regex_scratch *s) {
  if (!s) return;
  pcre2_match_data_free(s->data);
  pcre2_match_context_free(s->context);
  heap_free(s->heavy);
  heap_free(s);
}

void regex_scratch_now(struct regex_scratch *s, uint64_t now_ns) {
  assert(s->heavy);
  s->now_ns = now_ns;
}

static int match_within(const struct regex *r, struct regex_scratch *s, const void *text, size_t n, uint32_t limit) {
  pcre2_set_match_limit(s->context, limit);
  return pcre2_match(r->code, text, n, 0, 0, s->data, s->context);
}

/* What PCRE2 says, or its PCRE2_ERROR_MATCHLIMIT for one that has no quota left. */
static int match(const struct regex *r, struct regex_scratch *s, const void *text, size_t n) {
  const struct quota_terms terms = {LIMIT_REGEX_HEAVY, LIMIT_REGEX_HEAVY_NS};
  struct quota *heavy = s->now_ns ? &s->heavy[r->number] : NULL;
  if (heavy && !quota_left(heavy, terms, s->now_ns)) return PCRE2_ERROR_MATCHLIMIT;
  uint32_t light = s->limit < LIMIT_REGEX_LIGHT_MATCHES ? s->limit : LIMIT_REGEX_LIGHT_MATCHES;
  int got = match_within(r, s, text, n, light);
  if (got != PCRE2_ERROR_MATCHLIMIT) return got;
  if (heavy) quota_spend(heavy, terms, s->now_ns);
  return light < s->limit ? match_within(r, s, text, n, s->limit) : got;
}

enum fluo_truth regex_match(const struct regex *r, struct regex_scratch *s, const uint8_t *text,
                            size_t n) {
  struct regex_literals must = regex_literals(r);
  if (n < must.prefix_len || (must.prefix_len && memcmp(text, must.prefix, must.prefix_len) != 0))
    return FLUO_FALSE;
  if (must.inner_len && !memmem(text, n, must.inner, must.inner_len)) return FLUO_FALSE;
  if (n > REGEX_SUBJECT_BYTES_MAX) return FLUO_UNKNOWN;
  const void *subject = n ? (const void *)text : "";
  int got = match(r, s, subject, n);
  if (got == PCRE2_ERROR_NOMATCH) return FLUO_FALSE;
  return got >= 0 ? FLUO_TRUE : FLUO_UNKNOWN;
}

/* ---- what every match starts with, and holds ------------------------------------------------ */

static bool is_one_of(char c, const char *set) {
  return c != '\0' && strchr(set, c);
}

/* Bytes that stand for themselves wherever they stand; all others end the search. */
static bool is_literal(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         is_one_of(c, " _-/:;,=@!%&~<>\"'`");
}

static bool is_escapable(char c) {
  return c > ' ' && c < 0x7f &&
         !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'));
}

uint32_t regex_prefix(const char *p, uint32_t n, uint8_t *out) {
  /* An alternative might start otherwise. Looking for the byte alone errs on the safe side. */
  if (n == 0 || memchr(p, '|', n)) return 0;
  uint32_t at = p[0] == '^', found = 0;
  while (at < n) {
    uint32_t step = p[at] == '\\' ? 2 : 1;
    if (at + step > n) break;
    if (step == 2 ? !is_escapable(p[at + 1]) : !is_literal(p[at])) break;
    at += step;
    out[found++] = (uint8_t)p[at - 1];
  }
  /* A quantifier may ask for none of the last one. */
  if (at < n && found && is_one_of(p[at], "*?{+")) found--;
  return found;
}

/* The reader of an expression that looks for runs of literals outside of groups. */
struct runs {
  const char *p;
  uint32_t at, n, depth;
  uint8_t *run; /* the longest one so far stands before it */
  uint32_t run_len, best_len;
};

static void end_run(struct runs *r) {
  if (r->run_len > r->best_len) {
    memmove(r->run - r->best_len, r->run, r->run_len);
    r->run += r->run_len - r->best_len;
    r->best_len = r->run_len;
  }
  r->run_len = 0;
}

/* Past a class. false: of a form that is left alone. */
static bool skip_class(struct runs *r) {
  r->at++;
  if (r->at < r->n && r->p[r->at] == '^') r->at++;
  for (bool first = true; r->at < r->n; first = false) {
    char c = r->p[r->at++];
    if (c == ']' && !first) return true;
    if (c == '[' || (c == '\\' && r->at == r->n)) return false;
    if (c == '\\' && !is_one_of(r->p[r->at], "dDwWsS") && !is_escapable(r->p[r->at])) return false;
    if (c == '\\') r->at++;
  }
  return false;
}

/* A quantifier may ask for none of what is before it. false: braces that are no quantifier. */
static bool skip_quantifier(struct runs *r) {
  if (r->run_len) r->run_len--;
  end_run(r);
  if (r->p[r->at++] != '{') return true;
  while (r->at < r->n && is_one_of(r->p[r->at], "0123456789,")) r->at++;
  return r->at < r->n && r->p[r->at++] == '}';
}

/* "(?:" is a plain group; others may change what letters mean. */
static bool enter_group(struct runs *r) {
  end_run(r);
  r->depth++;
  r->at++;
  if (r->at == r->n || (r->p[r->at] != '?' && r->p[r->at] != '*')) return true;
  bool plain = r->p[r->at] == '?' && r->at + 1 < r->n && r->p[r->at + 1] == ':';
  r->at += 2;
  return plain;
}

static bool skip_escape(struct runs *r) {
  if (r->at + 2 > r->n) return false;
  char c = r->p[r->at + 1];
  r->at += 2;
  if (is_escapable(c)) {
    if (!r->depth) r->run[r->run_len++] = (uint8_t)c;
    return true;
  }
  end_run(r);
  return is_one_of(c, "dDwWsSbB");
}

static bool step(struct runs *r) {
  char c = r->p[r->at];
  switch (c) {
  case '\\': return skip_escape(r);
  case '[': end_run(r); return skip_class(r);
  case '(': return enter_group(r);
  case '*': case '+': case '?': case '{': return skip_quantifier(r);
  case '|': r->at++; return r->depth > 0;
  case ')': end_run(r); r->at++; return r->depth-- > 0;
  default: break;
  }
  r->at++;
  if (!is_literal(c)) end_run(r);
  else if (!r->depth) r->run[r->run_len++] = (uint8_t)c;
  return true;
}

uint32_t regex_inner(const char *p, uint32_t n, uint8_t *out) {
  struct runs r = {.p = p, .n = n, .run = out};
  while (r.at < n)
    if (!step(&r)) return 0;
  end_run(&r);
  return r.best_len;
}

struct regex_literals regex_literals(const struct regex *r) {
  return (struct regex_literals){r->literals, r->literals + r->prefix_len, r->prefix_len,
                                 r->inner_len};
}

int fluo_regex_check(const char *p, uint32_t n, char *why, uint32_t why_size, uint32_t *offset) {
  struct regex *r;
  *offset = 0;
  int err = regex_new(p, n, &r, why, why_size, offset);
  if (err == FLUO_ENOMEM) snprintf(why, why_size, "%s", err_text(err));
  if (err == 0) regex_free(r);
  return err;
}
