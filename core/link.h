/* Circular lists whose links lie in their members. A link that is in no list points to itself, and so does the head of
 * an empty one. */
#ifndef FLUO_LINK_H
#define FLUO_LINK_H
#include <stdbool.h>

struct link { struct link *next, *prev; };

#ifndef FLUO_SPEC
static inline void link_init(struct link *l) {
  l->next = l->prev = l;
}

static inline bool link_alone(const struct link *l) {
  return l->next == l;
}

/* Out of its list; to be removed again does no harm. */
static inline void link_remove(struct link *l) {
  l->prev->next = l->next;
  l->next->prev = l->prev;
  link_init(l);
}

/* As the last. */
static inline void link_append(struct link *list, struct link *l) {
  l->prev = list->prev;
  l->next = list;
  list->prev->next = l;
  list->prev = l;
}
#endif

#endif
