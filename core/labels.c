/* Runs of named texts. Nothing here keeps anything; the one way to fail is the buffer's. */
#include "labels.h"

#include <string.h>

#include "group.h"

bool text_same(struct text a, struct text b) {
  return a.n == b.n && (!a.n || memcmp(a.p, b.p, a.n) == 0);
}

struct text text_of(const char *s) {
  return (struct text){s, (uint32_t)strlen(s)};
}

static void add_one(struct buffer *b, struct text t) {
  buffer_add(b, &t.n, sizeof t.n);
  if (t.n) buffer_add(b, t.p, t.n);
}

int labels_add(struct buffer *b, struct text name, struct text value) {
  size_t start = b->len;
  if (!value.n) return b->err;
  add_one(b, name);
  add_one(b, value);
  if (b->err) b->len = start;
  return b->err;
}

static bool next_text(struct labels l, uint32_t *at, struct text *out) {
  struct fluo_value value;
  if (!group_next(l.p, l.n, at, &value)) return false;
  *out = (struct text){(const char *)value.text, value.len};
  return true;
}

bool labels_next(struct labels l, uint32_t *at, struct text *name, struct text *value) {
  return next_text(l, at, name) && next_text(l, at, value);
}

struct text labels_get(struct labels l, struct text name) {
  struct text own, value;
  for (uint32_t at = 0; labels_next(l, &at, &own, &value);)
    if (text_same(own, name)) return value;
  return (struct text){"", 0};
}

int labels_json(struct labels l, struct buffer *out) {
  struct text name, value;
  uint32_t at = 0;
  buffer_text(out, "{");
  for (bool first = true; labels_next(l, &at, &name, &value); first = false) {
    if (!first) buffer_text(out, ",");
    buffer_json(out, name.p, name.n);
    buffer_text(out, ":");
    buffer_json(out, value.p, value.n);
  }
  return buffer_text(out, "}");
}

bool labels_sound(struct labels l) {
  uint32_t texts = 0;
  for (uint64_t at = 0; at < l.n; texts++) {
    uint32_t len;
    if (l.n - at < sizeof len) return false;
    memcpy(&len, (const char *)l.p + at, sizeof len);
    at += sizeof len + (uint64_t)len;
    if (at > l.n) return false;
  }
  return texts % 2 == 0;
}
