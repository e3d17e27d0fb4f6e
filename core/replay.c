/* Replay: the violations of a playback (playback.c), kept as text, are sorted and printed. The same
 * input gives the same bytes.
 *
 * Ways it fails: those of a playback (what came before bad input is still printed, the others'
 * violations stand, exit 1), no memory for a violation (said, exit 1). The lines are freed in every
 * case. */
#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "err.h"
#include "feedback_given.h"
#include "heap.h"
#include "limits.h"
#include "playback.h"

struct replay_line {
  uint64_t time_ns;
  uint32_t rule;
  char id[33];
  char *text; /* owned; with its line end */
  size_t n;
};

struct replay {
  struct playback playback;
  struct replay_line *lines;
  uint32_t lines_count, lines_capacity;
  bool fired;
};

static void on_violation(void *ctx, const struct violation *v) {
  struct replay *r = ctx;
  struct buffer json;
  buffer_init(&json, LIMIT_VIOLATION_BYTES);
  int err = violation_json(v, &json);
  if (!err) err = buffer_text(&json, "\n");
  if (!err)
    err = heap_grow((void **)&r->lines, &r->lines_capacity, r->lines_count, sizeof *r->lines);
  if (err) {
    fprintf(stderr, "fluo: a violation of rule %s is lost: %s\n",
            host_rule_name(r->playback.host, v->rule_index), err_text(err));
    r->playback.failed = true;
    buffer_deinit(&json);
    return;
  }
  struct replay_line *line = &r->lines[r->lines_count++];
  *line = (struct replay_line){
      .time_ns = v->time_ns, .rule = v->rule_index, .text = json.data, .n = json.len};
  violation_id(v, line->id);
  r->fired |= v->rule->mode != FLUO_MODE_SHADOW;
}

/* By time, then rule name, then id. */
static int compare_lines(const void *pa, const void *pb, void *ctx) {
  const struct replay_line *a = pa, *b = pb;
  const struct replay *r = ctx;
  if (a->time_ns != b->time_ns) return a->time_ns < b->time_ns ? -1 : 1;
  int by_rule = strcmp(host_rule_name(r->playback.host, a->rule), host_rule_name(r->playback.host, b->rule));
  return by_rule ? by_rule : strcmp(a->id, b->id);
}

static void print_lines(struct replay *r) {
  if (r->lines_count) qsort_r(r->lines, r->lines_count, sizeof *r->lines, compare_lines, r);
  for (uint32_t i = 0; i < r->lines_count; i++) {
    fwrite(r->lines[i].text, 1, r->lines[i].n, stdout);
    heap_free(r->lines[i].text);
  }
  heap_free(r->lines);
  if (fflush(stdout) || ferror(stdout)) {
    fprintf(stderr, "fluo: standard output: %s\n", strerror(errno));
    r->playback.failed = true;
  }
}

/* false: that was said. */
static bool load_widened(struct replay *r, const char *path) {
  const struct feedback_calls calls = {NULL, NULL};
  char why[512] = "out of memory";
  int err = feedback_new(&calls, &r->playback.feedback);
  if (!err) err = feedback_given_load(r->playback.feedback, path, why);
  if (err) fprintf(stderr, "fluo: %s\n", why);
  return !err;
}

static int replay(struct replay *r, const struct config *config) {
  if (config->widened && !load_widened(r, config->widened)) return 1;
  if (playback_open(&r->playback, config, NULL)) return 1;
  playback_run(&r->playback, config, config->args, config->args_count);
  print_lines(r);
  playback_close(&r->playback);
  if (r->playback.failed) return 1;
  return config->fail_on_violation && r->fired ? 3 : 0;
}

int replay_run(const struct config *config) {
  struct replay r = {.playback = {.on_violation = on_violation, .ctx = &r}};
  int status = replay(&r, config);
  feedback_free(r.playback.feedback);
  return status;
}
