/* Matchers: a small parser, and a loop.
 *
 * Good path: matchers_new copies the text and reads it from left to right into an array; regular expressions are
 * compiled there and then. Ways to fail: the text is none (what was expected, and where, in `why`), a bound, no memory;
 * matchers_free takes a half-made list, so every failure goes there. Values and names lie in one copy of the text, in
 * which escapes are undone in place. */
#include "matchers.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "heap.h"

enum op { EQUAL, NOT_EQUAL, MATCH, NOT_MATCH };

struct matcher_one {
  struct text name, value;
  enum op op;
  struct regex *regex; /* of MATCH and NOT_MATCH */
};

struct matchers {
  char *text;
  uint32_t count;
  struct matcher_one list[MATCHERS_MAX];
};

struct reading {
  char *text;
  size_t n, at;
  char *why;
};

static int wrong(const struct reading *r, const char *expected) {
  snprintf(r->why, MATCHERS_WHY_BYTES, "expected %s at byte %zu", expected, r->at + 1);
  return FLUO_EINVALID;
}

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct reading *r) {
  while (r->at < r->n && is_space(r->text[r->at])) r->at++;
}

static bool skip_char(struct reading *r, char c) {
  bool there = r->at < r->n && r->text[r->at] == c;
  r->at += there;
  return there;
}

/* Behind the opening quote; what comes out is never longer than what goes in. */
static int read_quoted(struct reading *r, struct text *out) {
  char *to = r->text + r->at;
  out->p = to;
  for (; r->at < r->n && r->text[r->at] != '"'; r->at++) {
    char c = r->text[r->at];
    if (c == '\\') {
      c = ++r->at < r->n ? r->text[r->at] : '\0';
      if (c != '"' && c != '\\' && c != 'n') return wrong(r, "\\\" \\\\ or \\n");
      if (c == 'n') c = '\n';
    }
    *to++ = c;
  }
  out->n = (uint32_t)(to - out->p);
  return skip_char(r, '"') ? 0 : wrong(r, "a closing quote");
}

static int read_word(struct reading *r, const char *ends, const char *what, struct text *out) {
  if (skip_char(r, '"')) return read_quoted(r, out);
  out->p = r->text + r->at;
  size_t start = r->at;
  while (r->at < r->n && !is_space(r->text[r->at]) && !strchr(ends, r->text[r->at])) r->at++;
  out->n = (uint32_t)(r->at - start);
  return out->n ? 0 : wrong(r, what);
}

static int read_op(struct reading *r, enum op *out) {
  if (skip_char(r, '!')) {
    if (skip_char(r, '=')) return *out = NOT_EQUAL, 0;
    return skip_char(r, '~') ? (*out = NOT_MATCH, 0) : wrong(r, "= or ~ behind the !");
  }
  if (!skip_char(r, '=')) return wrong(r, "= != =~ or !~");
  *out = skip_char(r, '~') ? MATCH : EQUAL;
  return 0;
}

static int compile(const struct reading *r, struct matcher_one *m) {
  char why[96];
  uint32_t offset;
  if (m->op == EQUAL || m->op == NOT_EQUAL) return 0;
  int err = regex_new(m->value.p, m->value.n, &m->regex, why, sizeof why, &offset);
  if (err == FLUO_EINVALID) snprintf(r->why, MATCHERS_WHY_BYTES, "regular expression: %s", why);
  return err;
}

static int read_one(struct reading *r, struct matcher_one *m) {
  int err = read_word(r, "=!~,{}\"", "a name", &m->name);
  if (err) return err;
  skip_space(r);
  if ((err = read_op(r, &m->op))) return err;
  skip_space(r);
  err = read_word(r, ",{}\"", "a value", &m->value);
  return err ? err : compile(r, m);
}

static int read_all(struct reading *r, struct matchers *m) {
  int err = 0;
  skip_space(r);
  bool braced = skip_char(r, '{');
  do {
    skip_space(r);
    if (m->count && (r->at == r->n || r->text[r->at] == '}')) break; /* a comma at the end */
    if (m->count == MATCHERS_MAX) return wrong(r, "at most 16 matchers, the end");
    err = read_one(r, &m->list[m->count++]);
    skip_space(r);
  } while (!err && skip_char(r, ','));
  if (err) return err;
  if (braced && !skip_char(r, '}')) return wrong(r, "a comma or a closing brace");
  skip_space(r);
  return r->at == r->n ? 0 : wrong(r, "a comma or the end");
}

int matchers_new(const char *p, size_t n, struct matchers **out, char why[MATCHERS_WHY_BYTES]) {
  snprintf(why, MATCHERS_WHY_BYTES, "%s", err_text(FLUO_ENOMEM));
  if (n > MATCHERS_TEXT_MAX) {
    snprintf(why, MATCHERS_WHY_BYTES, "longer than %d bytes", MATCHERS_TEXT_MAX);
    return FLUO_EINVALID;
  }
  struct matchers *m = heap_zalloc(sizeof *m);
  if (!m) return FLUO_ENOMEM;
  int err = (m->text = heap_alloc(n + 1)) ? 0 : FLUO_ENOMEM;
  if (!err) {
    memcpy(m->text, p, n);
    m->text[n] = '\0';
    struct reading r = {.text = m->text, .n = n, .why = why};
    err = read_all(&r, m);
  }
  if (err)
    matchers_free(m);
  else
    *out = m;
  return err;
}

void matchers_free(struct matchers *m) {
  if (!m) return;
  for (uint32_t i = 0; i < m->count; i++) regex_free(m->list[i].regex);
  heap_free(m->text);
  heap_free(m);
}

struct text matchable_get(const struct matchable *m, struct text name) {
  if (text_same(name, text_of("rule"))) return m->rule;
  if (text_same(name, text_of("severity"))) return m->severity;
  struct text value = labels_get(m->group, name);
  return value.n ? value : labels_get(m->labels, name);
}

static bool holds(const struct matcher_one *m, const struct matchable *of, struct regex_scratch *scratch) {
  struct text value = matchable_get(of, m->name);
  if (m->op == EQUAL) return text_same(value, m->value);
  if (m->op == NOT_EQUAL) return !text_same(value, m->value);
  enum fluo_truth truth = regex_match(m->regex, scratch, (const uint8_t *)value.p, value.n);
  return truth == (m->op == MATCH ? FLUO_TRUE : FLUO_FALSE);
}

bool matchers_hold(const struct matchers *m, const struct matchable *of, struct regex_scratch *scratch) {
  for (uint32_t i = 0; i < m->count; i++)
    if (!holds(&m->list[i], of, scratch)) return false;
  return true;
}
