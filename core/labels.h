/* Named texts (a rule's labels, an incident's group) in one run of bytes: name, value, name, value …, each behind its
 * length as group_add writes them. An empty value and an absent name are the same thing, as Prometheus has it. */
#ifndef FLUO_LABELS_H
#define FLUO_LABELS_H
#include <stdbool.h>

#include "buffer.h"

/* A text that is lent; not NUL-terminated. */
struct text {
  const char *p;
  uint32_t n;
};

/* Lent. */
struct labels {
  const void *p;
  uint32_t n;
};

bool text_same(struct text a, struct text b);
struct text text_of(const char *s);   /* of NUL-terminated text, lent */

/* Appends one: 0, or b->err. An empty value is left out. */
int labels_add(struct buffer *b, struct text name, struct text value);
/* The next one; *at begins at 0. false: there is no more. */
bool labels_next(struct labels l, uint32_t *at, struct text *name, struct text *value);
/* The value of this name, or an empty text. */
struct text labels_get(struct labels l, struct text name);
/* Appends a JSON object. */
int labels_json(struct labels l, struct buffer *out);
/* Whether the bytes are such a run, for those that come from a disk. */
bool labels_sound(struct labels l);

#endif
