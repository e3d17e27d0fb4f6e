/* Explain.
 *
 * The good path: the study is told which rule to explain. It loads that one alone, as a rule that is
 * judged on every trace when it closes, and answers each time: true, with the explanation as the
 * reason, and as the value how near the trace came (lua/fluo/explain.lua). So the engine knows
 * nothing of explaining, and what is explained is what it would have judged: the same traces, cut
 * as they were, the same hits. Here the nearest few explanations are kept and printed.
 *
 * Ways it fails: those of a playback; no memory for an explanation (said, exit 1); no trace to
 * explain (said, exit 1). Texts that are kept are freed in every case. */
#include "explain.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "limits.h"
#include "playback.h"

struct explanation {
  double near;
  char *text; /* owned */
  size_t n;
};

struct explain {
  struct playback playback;
  struct explanation shown[LIMIT_EXPLAINED + 1]; /* the nearest first, and room for one more */
  uint32_t count;
  uint64_t traces;
};

/* Of equally near ones those that closed first. The study leaves out the text of a trace that is further away than
 * those it has explained, and so than these. */
static void on_explained(void *ctx, const struct violation *v) {
  struct explain *e = ctx;
  struct explanation one = {.near = v->value, .n = v->reason_bytes};
  e->traces++;
  if (e->count == LIMIT_EXPLAINED && one.near <= e->shown[e->count - 1].near) return;
  one.text = heap_alloc(one.n + 1);
  if (!one.text) {
    fprintf(stderr, "fluo: an explanation is lost: no memory\n");
    e->playback.failed = true;
    return;
  }
  memcpy(one.text, v->reason, one.n);
  uint32_t at = e->count;
  for (; at > 0 && one.near > e->shown[at - 1].near; at--) e->shown[at] = e->shown[at - 1];
  e->shown[at] = one;
  if (e->count < LIMIT_EXPLAINED)
    e->count++;
  else
    heap_free(e->shown[LIMIT_EXPLAINED].text);
}

static void print_all(struct explain *e, const struct config *config) {
  for (uint32_t i = 0; i < e->count; i++) {
    if (i && !config->json) fputc('\n', stdout);
    fwrite(e->shown[i].text, 1, e->shown[i].n, stdout);
    heap_free(e->shown[i].text);
  }
  if (fflush(stdout) || ferror(stdout)) {
    fprintf(stderr, "fluo: standard output: %s\n", strerror(errno));
    e->playback.failed = true;
  }
  if (!e->traces && !e->playback.failed) {
    fprintf(stderr, "fluo: no trace %s%s\n", config->trace_id ? "has an id that begins with " : "was found",
            config->trace_id ? config->trace_id : "");
    e->playback.failed = true;
  } else if (e->traces > e->count) {
    fprintf(stderr, "fluo: %llu more traces, which are further away; --trace=ID shows one\n",
            (unsigned long long)(e->traces - e->count));
  }
}

/* How the study is to write: json, plain or colour. NULL: --color has a bad value, which was said. */
static const char *form_of(const struct config *config) {
  const char *when = config->color ? config->color : "auto", *term = getenv("TERM");
  bool bare = getenv("NO_COLOR") || !term || !strcmp(term, "dumb") || !isatty(STDOUT_FILENO);
  if (strcmp(when, "auto") && strcmp(when, "always") && strcmp(when, "never")) {
    fprintf(stderr, "fluo: --color: expected auto, always or never, got \"%s\"\n", when);
    return NULL;
  }
  if (config->json) return "json";
  if (!strcmp(when, "auto")) return bare ? "plain" : "colour";
  return !strcmp(when, "always") ? "colour" : "plain";
}

/* "FORM:TRACE:RULE". false: one of them is no such thing, which was said. */
static bool write_wish(const struct config *config, char out[STUDY_EXPLAIN_BYTES]) {
  const char *form = form_of(config), *rule = config->args[0];
  char trace[33] = "";
  size_t n = config->trace_id ? strlen(config->trace_id) : 0;
  if (!form) return false;
  if (n > 32 || (n && strspn(config->trace_id, "0123456789abcdefABCDEF") != n)) {
    fprintf(stderr, "fluo: --trace: expected at most 32 hexadecimal digits, got \"%s\"\n", config->trace_id);
    return false;
  }
  for (size_t i = 0; i < n; i++) trace[i] = (char)tolower((unsigned char)config->trace_id[i]);
  if (strlen(rule) > LIMIT_RULE_NAME_BYTES) {
    fprintf(stderr, "fluo: the name of a rule has at most %d bytes\n", LIMIT_RULE_NAME_BYTES);
    return false;
  }
  snprintf(out, STUDY_EXPLAIN_BYTES, "%s:%s:%s", form, trace, rule);
  return true;
}

int explain_run(const struct config *config) {
  struct explain e = {.playback = {.on_violation = on_explained, .ctx = &e}};
  char wish[STUDY_EXPLAIN_BYTES];
  if (!write_wish(config, wish)) return CONFIG_EXIT_USAGE;
  if (playback_open(&e.playback, config, wish)) return 1;
  bool found = ruleset_ir(host_rules(e.playback.host))->rules > 0; /* else the study has said it */
  if (!found) goto end;
  playback_run(&e.playback, config, config->args + 1, config->args_count - 1);
  print_all(&e, config);
end:
  playback_close(&e.playback);
  return found && !e.playback.failed ? 0 : 1;
}
