/* The engine without its processes and sockets: what a span costs in each of its stages, and, under callgrind,
 * how many instructions (see `make bench-instructions`).
 *
 *   inside IR [SPANS [REQUESTS [ARENA_MIB [IDLE_MS [SPANS_A_SECOND [STATE_MIB [BODIES [SPARE_MIB]]]]]]]]
 *
 * IR is a file with the intermediate form of the rules. Requests go through otlp_check and engine_receive as they
 * would in the agent, on a clock of their own (500,000 spans/s, traces idle after 0.5 s). Judgments are answered "no"
 * at once: this study_send stands in for that of the library. Bodies are sent over
 * and over with new ids: a window of rules.lua, which meets one span in forty, sees 185 groups in 16 of 512 spans each,
 * 800 in 128. While less than SPARE_MIB are in use, what no rule needs is kept, too (0). Prints one JSON object, ns a span. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "heap.h"
#include "payload.h"
#include "study_queue.h"

enum stage { STAGE_CHECK, STAGE_RECEIVE, STAGE_CLOSE, STAGES };

static struct study_job *waiting;

void study_send(struct study *s, struct study_job *job) {
  (void)s;
  job->next = waiting;
  waiting = job;
}

uint64_t study_waiting_since(const struct study *s) {
  (void)s;
  return UINT64_MAX;
}

uint32_t study_give_up(struct study *s, uint32_t rule) {
  (void)s, (void)rule;
  return 0;
}

static void answer(struct engine *e) {
  static const uint8_t answers[FLUO_JOB_ITEMS_MAX];
  static struct study_verdict verdicts[FLUO_JOB_RULES_MAX];
  for (struct study_job *job; (job = waiting);) {
    waiting = job->next;
    for (uint32_t i = 0; i < job->head.count && job->head.message == FLUO_MESSAGE_JUDGE; i++) verdicts[i].rule = job->rules[i];
    if (job->head.message == FLUO_MESSAGE_JUDGE) engine_verdicts(e, job, verdicts);
    else engine_answers(e, job, answers);
    study_job_free(job);
  }
}

static uint64_t violations;
static void on_violation(void *ctx, const struct violation *v) { (void)ctx, (void)v, violations++; }

static uint64_t cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct ruleset *load_rules(const char *path) {
  static char bytes[64 << 20];
  char why[128] = "cannot be read";
  struct ruleset *rules = NULL;
  FILE *file = fopen(path, "rb");
  size_t n = file ? fread(bytes, 1, sizeof bytes, file) : 0;
  if (file) fclose(file);
  struct ruleset_options options = {.renamed = true, .matches_limit = 10000};
  if (!n || ruleset_new(bytes, n, &options, &rules, why)) {
    fprintf(stderr, "inside: %s: %s\n", path, why);
    exit(1);
  }
  return rules;
}

static void run(struct engine *e, size_t requests, uint64_t step_ns, uint64_t took[STAGES], struct payload *bodies, size_t bodies_count) {
  struct otlp_limits limits = {64, 1u << 20, 1u << 24, 1u << 30};
  struct otlp_summary summary;
  struct otlp_fault fault;
  struct engine_receipt receipt;
  uint64_t now = 1760356800000000000u;
  for (size_t i = 0; i < requests; i++, now += step_ns) {
    struct payload *body = &bodies[i % bodies_count];
    payload_stamp(body, i, now);
    uint64_t a = cpu_ns();
    int err = otlp_check(body->bytes, body->n, &limits, &summary, &fault);
    uint64_t b = cpu_ns();
    if (!err) err = engine_receive(e, body->bytes, body->n, &summary, now, &receipt);
    answer(e);
    uint64_t c = cpu_ns();
    while (engine_next_due(e) <= now && engine_step(e, now)) answer(e);
    uint64_t d = cpu_ns();
    if (err) fprintf(stderr, "inside: %s\n", fault.what), exit(1);
    took[STAGE_CHECK] += b - a;
    took[STAGE_RECEIVE] += c - b;
    took[STAGE_CLOSE] += d - c;
  }
}

int main(int argc, char **argv) {
  if (argc < 2) return fprintf(stderr, "usage: inside IR [SPANS [REQUESTS [ARENA_MIB [IDLE_MS [SPANS_A_SECOND [STATE_MIB [BODIES [SPARE_MIB]]]]]]]]\n"), 2;
  size_t spans = argc > 2 ? strtoul(argv[2], NULL, 10) : 512, requests = argc > 3 ? strtoul(argv[3], NULL, 10) : 2000;
  size_t arena = (argc > 4 ? strtoul(argv[4], NULL, 10) : 64) << 20;
  uint64_t idle_ns = (argc > 5 ? strtoull(argv[5], NULL, 10) : 500) * 1000000;
  size_t state = (argc > 7 ? strtoul(argv[7], NULL, 10) : 32) << 20;
  uint64_t step_ns = spans * 1000000000u / (argc > 6 ? strtoull(argv[6], NULL, 10) : 500000);
  size_t bodies_count = argc > 8 ? strtoul(argv[8], NULL, 10) : 16;
  struct payload *bodies = calloc(bodies_count, sizeof *bodies);
  for (size_t i = 0; i < bodies_count; i++) payload_init(&bodies[i], i, spans, false);
  struct engine_options options = {.store = {arena, idle_ns, 300000000000u, 60000000000u, 10000, 8u << 20, arena / 8, arena / 8,
                                             argc > 9 ? strtoul(argv[9], NULL, 10) << 20 : 0},
                                   .live = true, .renamed = true, .state_bytes_max = state};
  struct engine_calls calls = {.on_violation = on_violation};
  struct engine *e;
  struct ruleset *rules = load_rules(argv[1]);
  if (engine_new(&options, &calls, &e) || engine_use(e, rules, (struct study *)(void *)&options)) return 1;
  uint64_t took[STAGES] = {0};
  run(e, requests, step_ns, took, bodies, bodies_count);
  struct engine_stats stats;
  struct engine_across_stats across;
  struct store_stats held;
  engine_stats_get(e, &stats);
  engine_across_stats_get(e, &across);
  store_stats_get(engine_store(e), 0, &held);
  double n = (double)(spans * requests);
  printf("{\"check_ns\":%.1f,\"receive_ns\":%.1f,\"close_ns\":%.1f,\"bytes_a_span\":%.1f,\"violations\":%llu,\"judgments\":%llu,"
         "\"in_flight\":%llu,\"arena_used\":%llu,\"heap\":%llu,\"shed\":%llu,\"evicted\":%llu,\"dropped\":%llu,"
         "\"groups\":%llu,\"group_bytes\":%llu,\"groups_evicted\":%llu}\n",
         (double)took[STAGE_CHECK] / n, (double)took[STAGE_RECEIVE] / n, (double)took[STAGE_CLOSE] / n, (double)bodies[0].n / (double)spans,
         (unsigned long long)violations, (unsigned long long)stats.judgments, (unsigned long long)stats.in_flight,
         (unsigned long long)held.arena_bytes_used, (unsigned long long)held.heap_bytes, (unsigned long long)held.payloads_shed,
         (unsigned long long)held.traces_closed[CLOSE_EVICTED], (unsigned long long)stats.dropped[DROP_MEMORY],
         (unsigned long long)across.groups, (unsigned long long)across.bytes, (unsigned long long)across.groups_evicted);
  return 0;
}
