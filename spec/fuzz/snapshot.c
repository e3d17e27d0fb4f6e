/* A snapshot is bytes from outside. First byte 255: the rest is a file, of which every block that is taken has its CRC. Else
 * it says whose group the rest is: what is read of it holds together (it is written and read again the same, and goes on
 * under events and timers), or nothing of it is left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "sequence.h"
#include "snapshot.h"
#include "window.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { STEPS_MAX = 20000, A_FILE = 255 };
#define SECOND 1000000000ull
#define NOW    (1760356800 * SECOND)

static void expect(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "%s\n", what);
  abort();
}

/* ---- a file -------------------------------------------------------------------------------- */

struct memory { const uint8_t *at, *end; };

static size_t read_memory(void *ctx, void *to, size_t n) {
  struct memory *m = ctx;
  if (n > (size_t)(m->end - m->at)) n = (size_t)(m->end - m->at);
  memcpy(to, m->at, n);
  m->at += n;
  return n;
}

static void look_at_file(const uint8_t *bytes, size_t n) {
  struct memory memory = {bytes, bytes + n};
  struct snapshot_reader reader = {.read = read_memory, .ctx = &memory, .bytes_max = n};
  struct buffer block, sealed;
  int kind;
  buffer_init(&block, 1 << 16);
  buffer_init(&sealed, 1 << 17);
  if (snapshot_begin(&reader)) return;
  while ((kind = snapshot_next(&reader, &block)) > 0) {
    snapshot_open(&sealed);
    buffer_add(&sealed, block.data, block.len);
    snapshot_seal(&sealed, (enum snapshot_kind)kind);
    expect(!memcmp(sealed.data, memory.at - sealed.len, sealed.len), "a block was taken that is none");
  }
  expect(reader.bytes <= n, "more was read than there is");
  buffer_deinit(&block);
  buffer_deinit(&sealed);
}

/* ---- a group ------------------------------------------------------------------------------- */

static void on_crossing(void *ctx, const struct window_crossing *crossing) {
  (void)ctx;
  expect(crossing->witnesses_count <= WINDOW_WITNESSES_MAX, "more witnesses than there can be");
}

static void on_match(void *ctx, const struct sequence_match *match) {
  (void)ctx;
  for (uint32_t i = 1; i < match->witnesses_count; i++)
    expect(match->witnesses[i - 1]->start_ns < match->witnesses[i]->start_ns, "steps that are not in order");
}

static struct fluo_text keep(void *ctx, const void *text, size_t n) {
  static volatile uint8_t sink;
  (void)ctx;
  for (size_t i = 0; i < n; i++) sink = ((const uint8_t *)text)[i];
  return (struct fluo_text){0, n > 8 ? 8 : (uint32_t)n};
}

struct world {
  struct state *state;
  struct window *window;
  struct sequence *sequence;
};

static struct state_owner *owner_of(const struct world *w) {
  return w->window ? window_groups(w->window) : sequence_keys(w->sequence);
}

static void open_world(struct world *w, uint8_t which) {
  struct window_calls window_calls = {.on_crossing = on_crossing};
  struct sequence_calls sequence_calls = {.on_match = on_match};
  *w = (struct world){0};
  expect(!state_new(1 << 24, &w->state), "no memory");
  if (which & 64) {
    struct sequence_terms terms = {.ns = 10 * SECOND, .steps = 3, .absent = which & 6};
    expect(!sequence_new(w->state, &terms, &sequence_calls, NULL, &w->sequence), "no memory");
    if (which & 32) sequence_resume(w->sequence, NOW);
    return;
  }
  static const uint32_t compares[] = {FLUO_OP_GT, FLUO_OP_GE, FLUO_OP_LT, FLUO_OP_LE};
  struct window_terms terms = {.ns = 6 * SECOND, .aggregate = which % 9, .compare = compares[which & 3], .quantile = 90,
                               .threshold = 2, .grouped = true,
                               .baseline = which & 16 ? FLUO_BASELINE_TIMES : FLUO_BASELINE_NONE};
  expect(!window_new(w->state, &terms, &window_calls, NULL, &w->window), "no memory");
  if (which & 32) window_resume(w->window, NOW);
}

static void close_world(struct world *w) {
  window_free(w->window);
  sequence_free(w->sequence);
  state_free(w->state);
}

static int read_group(struct world *w, const void *bytes, size_t n) {
  struct unpack u = {.at = bytes, .end = (const uint8_t *)bytes + n, .keep = keep};
  return state_read(owner_of(w), &u);
}

static const struct state_group *written(struct world *w, struct buffer *out) {
  static const uint8_t texts[16];
  struct pack p = {.out = out, .texts = texts};
  buffer_init(out, 1 << 24);
  state_walk(w->state);
  const struct state_group *g = state_walk_next(w->state);
  state_write(g, &p);
  expect(!out->err, "a group that is too large");
  return g;
}

static void go_on(struct world *w, const struct state_group *g) {
  struct state_key key = {.bytes = state_group_key(g), .n = g->key_bytes};
  uint8_t copy[256];
  uint32_t steps = 0;
  struct window_known known = {NULL, 0};
  if (key.n > sizeof copy) return;
  memcpy(copy, key.bytes, key.n);
  key.bytes = copy;
  key.hash = state_hash(w->state, copy, key.n);
  for (uint64_t at = NOW; at < NOW + 20 * SECOND; at += SECOND) {
    struct series_event event = {at, 3, at, 1, SERIES_SPAN};
    struct window_witness witness = {.time_ns = at, .start_ns = at};
    struct sequence_hit hit = {.start_ns = at, .end_ns = at, .patterns = 1u << at / SECOND % 3};
    if (w->window) window_take(w->window, &key, &known, &event, &witness);
    if (w->sequence) sequence_take(w->sequence, &key, &hit, at);
    while (steps++ < STEPS_MAX && state_step(w->state, at)) {}
  }
}

static void look_at_group(uint8_t which, const uint8_t *bytes, size_t n) {
  struct world world, again;
  struct buffer first, second;
  open_world(&world, which);
  if (read_group(&world, bytes, n)) {
    expect(!state_stats(world.state)->groups && !state_stats(world.state)->bytes, "something is left");
    close_world(&world);
    return;
  }
  const struct state_group *g = written(&world, &first);
  open_world(&again, which);
  expect(!read_group(&again, first.data, first.len), "what was written is not read");
  written(&again, &second);
  expect(first.len == second.len && !memcmp(first.data, second.data, first.len), "it is not the same again");
  go_on(&world, g);
  buffer_deinit(&first);
  buffer_deinit(&second);
  close_world(&world);
  close_world(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  if (!n) return 0;
  uint8_t *copy = malloc(n - 1 ? n - 1 : 1);           /* ends where the input does, to the byte */
  if (!copy) return 0;
  memcpy(copy, bytes + 1, n - 1);
  if (bytes[0] == A_FILE) look_at_file(copy, n - 1);
  else look_at_group(bytes[0], copy, n - 1);
  free(copy);
  return 0;
}
