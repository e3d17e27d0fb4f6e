/* A pass of `fluo tune`. Nothing of a violation is kept, so that a rule may fire a million times.
 *
 * Ways it fails: those of a playback, which says them; a value that is too long for a number is none. */
#include "tune.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "group.h"
#include "playback.h"

/* How far off a baseline it is, in what its rule counts. */
static double off_normal(const struct violation *v) {
  const struct fluo_ir_window *w = ruleset_window(v->rules, v->rule->across);
  double normal = v->normal.normal, spread = v->normal.spread;
  bool upper = w->compare == FLUO_OP_GT || w->compare == FLUO_OP_GE;
  if (w->baseline == FLUO_BASELINE_TIMES) return upper ? v->value / normal : normal / v->value;
  return (upper ? v->value - normal : normal - v->value) / spread;
}

static void print_value(const struct violation *v) {
  struct buffer text;
  buffer_init(&text, 64);
  if (v->rule->summary.count && !v->has_value) {
    if (!violation_template(v, v->rule->summary, &text)) printf("%.*s", (int)text.len, text.data);
  } else if (v->has_value) {
    printf("%.17g", v->has_baseline ? off_normal(v) : v->value);
  }
  buffer_deinit(&text);
}

/* Line ends and tabs would be none of theirs. */
static void print_text(const struct fluo_value *text) {
  for (uint32_t i = 0; i < text->len; i++) putchar(text->text[i] < ' ' ? ' ' : text->text[i]);
}

static void print_key(const struct violation *v) {
  struct fluo_value text;
  char id[33];
  if (v->rule->scope == FLUO_SCOPE_SPAN || v->rule->scope == FLUO_SCOPE_TRACE) {
    hex_text(v->trace_id, 16, id);
    fputs(id, stdout);
    return;
  }
  for (uint32_t at = 0; group_next(v->group, v->group_bytes, &at, &text);) {
    print_text(&text);
    if (at < v->group_bytes) fputs(", ", stdout);
  }
}

static void on_violation(void *ctx, const struct violation *v) {
  (void)ctx;
  printf("%" PRIu64 "\t", v->time_ns);
  print_value(v);
  putchar('\t');
  print_key(v);
  putchar('\n');
}

int tune_pass(const struct config *config) {
  struct playback p = {.on_violation = on_violation};
  if (playback_open(&p, config, config->args[0])) return 1;
  playback_run(&p, config, config->args + 1, config->args_count - 1);
  printf("end\t%" PRIu64 "\t%" PRIu64 "\n", p.began_ns, p.arrived_ns);
  if (fflush(stdout) || ferror(stdout)) {
    fprintf(stderr, "fluo: standard output: %s\n", strerror(errno));
    p.failed = true;
  }
  playback_close(&p);
  return p.failed ? 1 : 0;
}
