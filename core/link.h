/* Circular lists whose links lie in their members. */
#ifndef FLUO_LINK_H
#define FLUO_LINK_H
#include "state.h"

static inline void link_init(struct state_link *list) {
  list->next = list->prev = list;
}

static inline bool link_empty(const struct state_link *list) {
  return list->next == list;
}

/* Out of its list, and a list of its own: to be removed again does no harm. */
static inline void link_remove(struct state_link *at) {
  at->prev->next = at->next;
  at->next->prev = at->prev;
  link_init(at);
}

/* As the last. */
static inline void link_append(struct state_link *list, struct state_link *at) {
  at->prev = list->prev;
  at->next = list;
  list->prev->next = at;
  list->prev = at;
}

#endif
