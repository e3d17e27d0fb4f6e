/* Reading what the configuration says of alerts.
 *
 * Good path: each line has its fields cut at the tabs, unescaped in place, and copied into an entry of its list. Ways it
 * fails: not the fields that the key has, a number that is none: FLUO_EMALFORMED; no memory. What was read until then
 * hangs in the struct, and alerting_deinit frees it. */
#include "alerting.h"

#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "err.h"
#include "heap.h"

enum { FIELDS_MAX = 80 };

struct fields {
  char *list[FIELDS_MAX];
  uint32_t count, at;
};

/* ---- fields ---------------------------------------------------------------------------------------- */

static int cut(char *text, struct fields *f) {
  f->count = f->at = 0;
  for (char *next = text; next;) {
    char *tab = strchr(next, '\t');
    if (f->count == FIELDS_MAX) return FLUO_EMALFORMED;
    if (tab) *tab = '\0';
    f->list[f->count++] = next;
    if (!config_unescape(next)) return FLUO_EMALFORMED;
    next = tab ? tab + 1 : NULL;
  }
  return 0;
}

static int take_text(struct fields *f, char **out) {
  if (f->at == f->count) return FLUO_EMALFORMED;
  *out = heap_strdup(f->list[f->at++]);
  return *out ? 0 : FLUO_ENOMEM;
}

static int take_number(struct fields *f, uint64_t max, uint64_t *out) {
  char *end;
  if (f->at == f->count || f->list[f->at][0] < '0' || f->list[f->at][0] > '9') return FLUO_EMALFORMED;
  *out = strtoull(f->list[f->at++], &end, 10);
  return *end || *out > max ? FLUO_EMALFORMED : 0;
}

/* All that is left. */
static int take_texts(struct fields *f, const char *const **out, uint32_t *count) {
  char **list = heap_zalloc((f->count - f->at + 1) * sizeof *list);
  int err = list ? 0 : FLUO_ENOMEM;
  *count = 0;
  while (!err && f->at < f->count) {
    err = take_text(f, &list[*count]);
    if (!err) ++*count;
  }
  *out = (const char *const *)list;
  return err;
}

static void free_texts(const char *const *list, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) heap_free((void *)(uintptr_t)list[i]);
  heap_free((void *)(uintptr_t)list);
}

/* ---- lines ----------------------------------------------------------------------------------------- */

static int take_notice(struct fields *f, struct notice_options *n) {
  int err = take_number(f, UINT64_MAX, &n->group_wait_ns);
  if (!err) err = take_number(f, UINT64_MAX, &n->group_interval_ns);
  if (!err) err = take_number(f, UINT64_MAX, &n->repeat_interval_ns);
  return err ? err : take_texts(f, &n->group_by, &n->group_by_count);
}

/* A zeroed entry at the end of a list. NULL: no memory. */
static void *append(void **list, uint32_t *count, size_t size) {
  void *grown = heap_realloc(*list, (*count + 1) * size);
  if (!grown) return NULL;
  *list = grown;
  return memset((char *)grown + (*count)++ * size, 0, size);
}

static int take_receiver(struct alerting *a, struct fields *f) {
  uint64_t resolved = 0;
  struct alerting_receiver *r = append((void **)&a->receivers, &a->receivers_count, sizeof *r);
  if (!r) return FLUO_ENOMEM;
  int err = take_text(f, &r->name);
  if (!err) err = take_text(f, &r->fallback);
  if (!err) err = take_number(f, UINT64_MAX, &r->max_age_ns);
  if (!err) err = take_number(f, 1, &resolved);
  r->notice.resolved_unsaid = !resolved;
  return err ? err : take_notice(f, &r->notice);
}

static int take_inhibition(struct alerting *a, struct fields *f) {
  char *source = NULL, *target = NULL;
  struct inhibition *i = append((void **)&a->inhibitions, &a->inhibitions_count, sizeof *i);
  if (!i) return FLUO_ENOMEM;
  int err = take_text(f, &source);
  i->source = source;
  if (!err) err = take_text(f, &target);
  i->target = target;
  return err ? err : take_texts(f, &i->equal, &i->equal_count);
}

static int take_mute(struct alerting *a, struct fields *f) {
  uint64_t days = 0, from = 0, to = 0, offset = 0;
  char *matchers = NULL;
  struct mute_time *m = append((void **)&a->mutes, &a->mutes_count, sizeof *m);
  if (!m) return FLUO_ENOMEM;
  int err = take_number(f, 127, &days);
  if (!err) err = take_number(f, 1440, &from);
  if (!err) err = take_number(f, 1440, &to);
  if (!err) err = take_number(f, 2880, &offset);
  if (!err) err = take_text(f, &matchers);
  if (!err && !*matchers) {
    heap_free(matchers);
    matchers = NULL;
  }
  *m = (struct mute_time){matchers, (uint8_t)days, (uint16_t)from, (uint16_t)to, (int16_t)((int)offset - 1440)};
  return err;
}

int alerting_take(struct alerting *a, const char *key, char *text) {
  struct fields f;
  int err = cut(text, &f);
  if (err) return err;
  if (!strcmp(key, "alerting.setup") && !a->setup) return take_text(&f, &a->setup);
  if (!strcmp(key, "alerting.names") && !a->names) return take_text(&f, &a->names);
  if (!strcmp(key, "alerting.notify") && !a->notice.group_by) return take_notice(&f, &a->notice);
  if (!strcmp(key, "alerting.receiver")) return take_receiver(a, &f);
  if (!strcmp(key, "alerting.inhibit")) return take_inhibition(a, &f);
  if (!strcmp(key, "alerting.mute")) return take_mute(a, &f);
  return FLUO_EMALFORMED;
}

void alerting_forget_setup(const struct alerting *a) {
  if (a->setup) explicit_bzero(a->setup, strlen(a->setup));
}

void alerting_deinit(struct alerting *a) {
  alerting_forget_setup(a);
  heap_free(a->setup);
  heap_free(a->names);
  free_texts(a->notice.group_by, a->notice.group_by_count);
  for (uint32_t i = 0; i < a->receivers_count; i++) {
    heap_free(a->receivers[i].name);
    heap_free(a->receivers[i].fallback);
    free_texts(a->receivers[i].notice.group_by, a->receivers[i].notice.group_by_count);
  }
  for (uint32_t i = 0; i < a->inhibitions_count; i++) {
    heap_free((void *)(uintptr_t)a->inhibitions[i].source);
    heap_free((void *)(uintptr_t)a->inhibitions[i].target);
    free_texts(a->inhibitions[i].equal, a->inhibitions[i].equal_count);
  }
  for (uint32_t i = 0; i < a->mutes_count; i++) heap_free((void *)(uintptr_t)a->mutes[i].matchers);
  heap_free(a->receivers);
  heap_free(a->inhibitions);
  heap_free(a->mutes);
  *a = (struct alerting){0};
}

const struct alerting_receiver *alerting_find(const struct alerting *a, const char *name) {
  for (uint32_t i = 0; i < a->receivers_count; i++)
    if (strcmp(a->receivers[i].name, name) == 0) return &a->receivers[i];
  return NULL;
}
