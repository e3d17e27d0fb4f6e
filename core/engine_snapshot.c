/* What windows, baselines and sequences know, as the blocks of a snapshot, and back.
 *
 * The head numbers the rules in force: name, version, window or sequence. Groups come with their rule's number and their
 * length, so that one that makes no sense costs itself. State that belongs to rules which are no longer in force is not
 * written: it ends with their last trace.
 *
 * Back: a rule of the same name and version takes its groups; those of others are dropped, counted. From the snapshot's
 * moment until now nobody watched, and windows and sequences are told so before they read.
 *
 * Ways it fails: no memory, which ends it. The caller's buffers and the caller's struct engine_restore hold everything. */
#include <assert.h>
#include <string.h>

#include "engine_across.h"
#include "err.h"
#include "heap.h"
#include "limits.h"

enum { OWNER_BYTES_MIN = 1 + 16 + 1 };

static uint32_t across_count(const struct engine_rules *r) {
  return ruleset_ir(r->set)->windows + ruleset_ir(r->set)->sequences;
}

static struct state_owner *groups_of(const struct across *a) {
  if (a->window) return window_groups(a->window);
  if (a->novel) return novel_keys(a->novel);
  return a->cascade ? cascade_groups(a->cascade) : sequence_keys(a->sequence);
}

static const struct fluo_ir_rule *rule_of(const struct across *a) {
  return ruleset_rule(a->rules->set, a->rule);
}

/* ---- writing ------------------------------------------------------------------------------- */

uint64_t engine_state_changes(const struct engine *e) {
  return state_stats(e->state)->changes;
}

static void write_owner(const struct across *a, struct pack *p) {
  const struct fluo_ir_rule *rule = rule_of(a);
  pack_uint(p, a->terms != NULL);
  pack_bytes(p, rule->version, sizeof rule->version);
  pack_uint(p, rule->name.len);
  pack_bytes(p, ruleset_text(a->rules->set, rule->name), rule->name.len);
}

void engine_snapshot_begin(struct engine *e, uint64_t now_ns, struct buffer *out) {
  struct pack p = {.out = out};
  for (const struct engine_rules *r = e->rules; r; r = r->older)
    for (uint32_t i = 0; i < across_count(r); i++) groups_of(r->across[i])->id = 0;
  uint32_t count = e->rules ? across_count(e->rules) : 0;
  pack_uint(&p, now_ns);
  pack_uint(&p, count);
  for (uint32_t i = 0; i < count; i++) {
    groups_of(e->rules->across[i])->id = i + 1;
    write_owner(e->rules->across[i], &p);
  }
  state_walk(e->state);
}

/* One that does not fit is taken back, and counted. */
static void write_group(const struct state_group *g, struct pack *p, uint64_t *left_out) {
  struct buffer *out = p->out;
  size_t start = out->len;
  uint32_t bytes = 0;
  pack_uint(p, g->owner->id);
  size_t length = out->len;
  pack_bytes(p, &bytes, sizeof bytes);
  state_write(g, p);
  if (out->err == FLUO_ETOOLARGE) {
    out->err = 0;
    out->len = start;
    (*left_out)++;
  }
  if (out->err || out->len == start) return;
  bytes = (uint32_t)(out->len - length - sizeof bytes);
  memcpy(out->data + length, &bytes, sizeof bytes);
}

uint32_t engine_snapshot_groups(struct engine *e, size_t bytes, struct buffer *out,
                                uint64_t *left_out) {
  struct pack p = {.out = out, .texts = arena_base(store_arena(e->store))};
  uint32_t count = 0;
  while (!out->err && out->len < bytes) {
    const struct state_group *g = state_walk_next(e->state);
    if (!g) break;
    size_t before = out->len;
    if (g->owner->id) write_group(g, &p, left_out);
    count += out->len > before;
  }
  return out->err ? 0 : count;
}

uint64_t engine_snapshot_rest(struct engine *e) {
  uint64_t count = 0;
  for (const struct state_group *g; (g = state_walk_next(e->state));) count += g->owner->id != 0;
  return count;
}

/* ---- reading ------------------------------------------------------------------------------- */

static struct across *owner_of(const struct engine *e, bool window, const uint8_t *version,
                               const void *name, size_t n) {
  uint32_t at = ruleset_find(e->rules->set, name, n);
  if (at == UINT32_MAX) return NULL;
  const struct fluo_ir_rule *rule = ruleset_rule(e->rules->set, at);
  uint32_t scope = window ? FLUO_SCOPE_WINDOW : FLUO_SCOPE_SEQUENCE;
  if (rule->scope != scope || memcmp(rule->version, version, sizeof rule->version)) return NULL;
  return across_of(e->rules, rule);
}

static void resume(const struct across *a, uint64_t moment_ns, uint64_t now_ns) {
  if (moment_ns >= now_ns) return;
  if (a->window) window_resume(a->window, now_ns);
  if (a->sequence) sequence_resume(a->sequence, now_ns);
  if (a->novel) novel_resume(a->novel, now_ns - moment_ns);
}

static void read_owner(const struct engine *e, struct engine_restore *r, struct unpack *u,
                       uint64_t now_ns) {
  bool window = unpack_upto(u, 1);
  const uint8_t *version = unpack_bytes(u, sizeof((struct fluo_ir_rule *)0)->version);
  uint32_t n = unpack_count(u, UINT32_MAX);
  const uint8_t *name = unpack_bytes(u, n);
  if (!name) return;
  struct across *a = owner_of(e, window, version, name, n);
  r->owners[r->owners_count++] = a;
  r->rules++;
  r->rules_dropped += !a;
  if (a) resume(a, r->moment_ns, now_ns);
}

int engine_restore_head(struct engine *e, struct engine_restore *r, const void *p, size_t n,
                        uint64_t now_ns) {
  struct unpack u = {.at = p, .end = (const uint8_t *)p + n};
  assert(e->rules && !r->owners);
  r->moment_ns = unpack_uint(&u);
  uint32_t count = unpack_count(&u, (uint32_t)(n / OWNER_BYTES_MIN));
  if (u.bad) return FLUO_EMALFORMED;
  if (r->moment_ns > now_ns && r->moment_ns - now_ns > LIMIT_ACROSS_FUTURE_NS) return FLUO_EINVALID;
  r->owners = heap_zalloc(count * sizeof *r->owners);
  if (!r->owners) return FLUO_ENOMEM;
  for (uint32_t i = 0; i < count && !u.bad; i++) read_owner(e, r, &u, now_ns);
  return u.bad || u.at != u.end ? FLUO_EMALFORMED : 0;
}

/* Whether it has a text for each field of `by`, and nothing else: others take that for granted. The empty key of what is
 * new, which stands for all of them, is never told. */
static bool is_key(const struct across *a, struct unpack key) {
  uint32_t n = unpack_count(&key, UINT32_MAX), texts = 0, len;
  struct unpack text = {.at = key.at, .end = key.at + n};
  if (key.bad) return false;
  for (; text.at < text.end; texts++) {
    unpack_copy(&text, &len, sizeof len);
    if (!unpack_bytes(&text, len)) return false;
  }
  return !text.bad && (texts == across_by(a).count || (a->novel && !texts));
}

static struct fluo_text keep(void *ctx, const void *text, size_t n) {
  return store_symbol(((const struct engine *)ctx)->store, text, n);
}

static int read_group(struct engine *e, struct engine_restore *r, struct unpack *u) {
  uint64_t id = unpack_uint(u);
  uint32_t bytes = 0;
  unpack_copy(u, &bytes, sizeof bytes);
  const uint8_t *at = unpack_bytes(u, bytes);
  if (!at) return FLUO_EMALFORMED;
  struct across *a = id && id <= r->owners_count ? r->owners[id - 1] : NULL;
  struct unpack group = {.at = at, .end = at + bytes, .keep = keep, .ctx = e};
  int err = a && is_key(a, group) ? state_read(groups_of(a), &group) : FLUO_EMALFORMED;
  r->groups += !err;
  r->groups_dropped += err == FLUO_EMALFORMED;
  return err == FLUO_EMALFORMED ? 0 : err;
}

int engine_restore_groups(struct engine *e, struct engine_restore *r, const void *p, size_t n) {
  struct unpack u = {.at = p, .end = (const uint8_t *)p + n};
  int err = 0;
  while (!err && u.at < u.end) err = read_group(e, r, &u);
  if (err != FLUO_EMALFORMED) return err;
  r->groups_dropped++; /* and what came behind it: the block is whole, so who wrote it was wrong */
  return 0;
}

void engine_restore_end(struct engine_restore *r) {
  heap_free(r->owners);
  r->owners = NULL;
}
