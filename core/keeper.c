/* The keeper.
 *
 * Good path: a violation's row is made of what it lends, its evidence is copied out of the store, and both go into the
 * ledger's queue. The ledger's descriptor is polled by the loop; what it tells goes to the log and to whom it concerns.
 *
 * What evidence costs the loop is bounded by a token bucket of bytes, of whose lower half no rule gets more than one a
 * second, so that one that fires all the time leaves some to the others. Violations of the same spans of the same trace
 * share the first one's. Where a request is still being taken apart its rest may belong to the trace: the row that evidence
 * goes with is held until keeper_settle, so that it is taken once, of all that the request has, for all that share it.
 *
 * Ways it fails: no memory for evidence, or none is taken: the violation goes without, counted. A row that is held is this
 * file's until it is put. */
#include "keeper.h"

#include <assert.h>
#include <string.h>
#include <uv.h>

#include "err.h"
#include "evidence.h"
#include "hash.h"
#include "heap.h"
#include "limits.h"
#include "metrics.h"

enum {
  RULE_SLOTS = 64,                    /* of rules by the hash of their name: two may share one */
  TAKEN_SLOTS = 256                   /* likewise of traces, by their ids */
};
#define RULE_EVERY_NS 1000000000ull

/* Evidence that was taken of a trace when it had so many spans, 0: none; and the violation that has it. */
struct taken { uint32_t spans; uint8_t trace[16]; char id[33]; };

/* A violation that waits for its trace's evidence, with the witnesses of all that share it. */
struct held {
  struct ledger_row *row;
  const struct trace *trace;
  char id[33];
  uint32_t witnesses_count;
  const struct fluo_span *witnesses[FLUO_WITNESSES_MAX];
};

struct keeper {
  struct ledger *ledger;
  struct log *log;
  struct store *store;
  struct ledger_calls calls;
  uv_poll_t poll;
  enum evidence_mode mode;
  int64_t bytes;                      /* of evidence that may still be taken */
  uint64_t bytes_ns;                  /* as of then */
  uint64_t rule_ns[RULE_SLOTS];       /* when rules last had some */
  struct taken taken[TAKEN_SLOTS];
  struct held held[LIMIT_EVIDENCE_HELD];
  uint32_t held_count;
  uint64_t withheld, failed;
};

/* ---- what the ledger says -------------------------------------------------------------------- */

static void on_saved(void *ctx, uint64_t number, bool held) {
  const struct keeper *k = ctx;
  if (k->calls.on_saved) k->calls.on_saved(k->calls.ctx, number, held);
}

static void on_trouble(void *ctx, enum ledger_trouble trouble, const char *why) {
  const struct keeper *k = ctx;
  if (trouble == LEDGER_WELL)
    log_to(k->log, LOG_INFO, "the ledger is written again");
  else if (trouble == LEDGER_CORRUPT)
    log_to(k->log, LOG_ERROR, "the ledger was damaged: it is set aside, and a new one begun", log_s("why", why));
  else if (trouble == LEDGER_BEHIND)
    log_to(k->log, LOG_WARN, "the ledger does not keep up with what is to be written", log_s("why", why));
  else
    log_to(k->log, LOG_ERROR, "the ledger cannot be written; it is tried again each second", log_s("why", why),
           log_s("trouble", ledger_trouble_text(trouble)));
  if (k->calls.on_trouble) k->calls.on_trouble(k->calls.ctx, trouble, why);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  const struct keeper *k = poll->data;
  (void)status, (void)events;
  ledger_readable(k->ledger);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int open_ledger(struct keeper *k, const struct keeper_options *o, char why[256]) {
  const struct config *c = o->config;
  struct ledger_options options = {o->writable ? c->data : NULL, c->ledger.age_ns, c->ledger.bytes_max};
  struct ledger_calls calls = {on_saved, on_trouble, k};
  int err = ledger_open(&options, &calls, &o->restored, &k->ledger, why);
  if (err != FLUO_EIO || !o->writable) return err;
  log_to(k->log, LOG_ERROR,
         "the ledger cannot be opened and is kept in memory: at a restart incidents, alerts that were not delivered, "
         "silences and feedback are gone",
         log_s("why", why));
  options.data = NULL;
  return ledger_open(&options, &calls, &o->restored, &k->ledger, why);
}

int keeper_open(const struct keeper_options *o, struct keeper **out, char why[256]) {
  struct keeper *k = *out = heap_zalloc(sizeof *k);
  memcpy(why, "out of memory", sizeof "out of memory");
  if (!k) return FLUO_ENOMEM;
  k->log = o->log;
  k->calls = o->calls;
  k->mode = o->config->ledger.evidence;
  k->bytes = LIMIT_EVIDENCE_BURST_BYTES;
  int err = open_ledger(k, o, why);
  if (err) goto err_after_alloc;
  k->poll.data = k;
  err = FLUO_EIO;
  if (uv_poll_init(o->loop, &k->poll, ledger_fd(k->ledger))) goto err_after_ledger;
  uv_poll_start(&k->poll, UV_READABLE, on_readable);
  return 0;

err_after_ledger:
  ledger_close(k->ledger, 0);
err_after_alloc:
  heap_free(k);
  *out = NULL;
  return err;
}

void keeper_close(struct keeper *k) {
  if (!k) return;
  assert(!k->held_count);             /* no request is being taken apart */
  uv_poll_stop(&k->poll);
  uv_close((uv_handle_t *)&k->poll, NULL);
  if (!ledger_close(k->ledger, LIMIT_DRAIN_NS))
    log_to(k->log, LOG_ERROR, "rows of the ledger were lost: the disk did not take them in time");
  k->ledger = NULL;
}

void keeper_free(struct keeper *k) {
  heap_free(k);
}

void keeper_use(struct keeper *k, struct store *store) {
  k->store = store;
}

struct ledger *keeper_ledger(const struct keeper *k) {
  return k->ledger;
}

/* ---- evidence -------------------------------------------------------------------------------- */

static const struct hash_key slots_key = {0};

static bool may_take(struct keeper *k, const struct violation *v) {
  const char *name = ruleset_text(v->rules, v->rule->name);
  uint64_t *rule_ns = &k->rule_ns[hash64(&slots_key, name, v->rule->name.len) % RULE_SLOTS];
  uint64_t passed = v->now_ns > k->bytes_ns ? v->now_ns - k->bytes_ns : 0;
  if (passed > 60000000000u) passed = 60000000000u;
  k->bytes_ns = v->now_ns;
  k->bytes += (int64_t)(passed * LIMIT_EVIDENCE_BYTES_A_SECOND / 1000000000u);
  if (k->bytes > LIMIT_EVIDENCE_BURST_BYTES) k->bytes = LIMIT_EVIDENCE_BURST_BYTES;
  bool quiet = v->now_ns - *rule_ns >= RULE_EVERY_NS;
  if (k->bytes <= 0 || (k->bytes < LIMIT_EVIDENCE_BURST_BYTES / 2 && !quiet)) return false;
  *rule_ns = v->now_ns;
  return ledger_takes_evidence(k->ledger);
}

static struct taken *taken_slot(struct keeper *k, const struct trace *t) {
  return &k->taken[hash64(&slots_key, t->id, sizeof t->id) % TAKEN_SLOTS];
}

static void note_taken(struct keeper *k, const struct trace *t, const char id[33]) {
  struct taken *slot = taken_slot(k, t);
  slot->spans = t->spans.count;
  memcpy(slot->trace, t->id, sizeof slot->trace);
  memcpy(slot->id, id, sizeof slot->id);
}

/* false: none was, which is counted. */
static bool collect(struct keeper *k, const struct violation *v, struct buffer *out) {
  if (evidence_collect(out, k->store, v, k->mode)) {
    buffer_deinit(out);
    k->failed++;
    return false;
  }
  k->bytes -= (int64_t)out->len;
  return out->len > 0;
}

static bool is_among(const struct held *h, const struct fluo_span *span) {
  for (uint32_t i = 0; i < h->witnesses_count; i++)
    if (h->witnesses[i] == span) return true;
  return false;
}

/* false: no room. */
static bool add_witnesses(struct held *h, const struct violation *v) {
  if (h->witnesses_count + v->witnesses_count > FLUO_WITNESSES_MAX) return false;
  for (uint32_t i = 0; i < v->witnesses_count; i++)
    if (!is_among(h, v->witnesses[i].span)) h->witnesses[h->witnesses_count++] = v->witnesses[i].span;
  return true;
}

/* The violation whose evidence is this one's, too. NULL: it needs its own. */
static const char *shared_with(struct keeper *k, const struct violation *v) {
  if (!v->trace || k->mode != EVIDENCE_TRACE) return NULL;
  for (uint32_t i = 0; i < k->held_count; i++)
    if (k->held[i].trace == v->trace && add_witnesses(&k->held[i], v)) return k->held[i].id;
  const struct taken *slot = taken_slot(k, v->trace);
  bool same = slot->spans == v->trace->spans.count && !memcmp(slot->trace, v->trace->id, sizeof slot->trace);
  return same ? slot->id : NULL;
}

static void hold(struct keeper *k, const struct violation *v, const struct ledger_violation *row) {
  struct ledger_row *made = ledger_violation_row(row);
  if (!made) {
    ledger_violation_put(k->ledger, NULL, NULL);
    return;
  }
  if (k->held_count == LIMIT_EVIDENCE_HELD) keeper_settle(k);
  struct held *h = &k->held[k->held_count++];
  h->row = made;
  h->trace = v->trace;
  h->witnesses_count = 0;
  memcpy(h->id, row->id, sizeof h->id);
  add_witnesses(h, v);
}

/* Those that come later share it where nothing is left out: their witnesses are not asked for. */
static void settle(struct keeper *k, const struct held *h) {
  struct span_view views[FLUO_WITNESSES_MAX];
  struct violation v = {.trace = h->trace, .witnesses = views, .witnesses_count = h->witnesses_count};
  struct buffer evidence;
  for (uint32_t i = 0; i < h->witnesses_count; i++) views[i] = (struct span_view){.span = h->witnesses[i]};
  buffer_init(&evidence, 4 * LIMIT_EVIDENCE_BYTES);
  if (collect(k, &v, &evidence) && evidence_is_whole(&evidence)) note_taken(k, h->trace, h->id);
  ledger_violation_put(k->ledger, h->row, &evidence);
}

void keeper_settle(struct keeper *k) {
  for (uint32_t i = 0; i < k->held_count; i++) settle(k, &k->held[i]);
  k->held_count = 0;
}

static void put(struct keeper *k, const struct violation *v, struct ledger_violation *row) {
  struct buffer evidence;
  row->evidence_of = shared_with(k, v);
  bool takes = k->mode != EVIDENCE_NONE && !row->evidence_of && may_take(k, v);
  k->withheld += k->mode != EVIDENCE_NONE && !row->evidence_of && !takes;
  if (takes && v->more && k->mode == EVIDENCE_TRACE) {
    hold(k, v, row);
    return;
  }
  buffer_init(&evidence, 4 * LIMIT_EVIDENCE_BYTES);
  if (takes && collect(k, v, &evidence) && v->trace) note_taken(k, v->trace, row->id);
  ledger_violation(k->ledger, row, &evidence);
}

void keeper_violation(struct keeper *k, const struct violation *v, const char *incident, struct ledger_text json) {
  char id[33], trace_id[33] = "", version[33];
  violation_id(v, id);
  if (v->trace) hex_text(v->trace_id, 16, trace_id);
  hex_text(v->rule->version, sizeof v->rule->version, version);
  struct ledger_violation row = {.id = id,
                                 .incident = incident,
                                 .severity = severity_text(v->rule->severity),
                                 .trace_id = trace_id,
                                 .rule = {ruleset_text(v->rules, v->rule->name), v->rule->name.len},
                                 .rule_version = {version, 32},
                                 .at_ns = v->time_ns,
                                 .written_ns = v->now_ns,
                                 .json = json};
  put(k, v, &row);
}

/* ---- /metrics -------------------------------------------------------------------------------- */

static void write_kinds(struct buffer *b, const char *name, const char *help, const uint64_t *counts) {
  metrics_family(b, name, METRICS_COUNTER, help);
  for (int i = 0; i < LEDGER_ROW_KINDS; i++)
    metrics_uint(b, name, metrics_labels("kind", ledger_kind_text((enum ledger_kind)i)), counts[i]);
}

void keeper_write(const struct keeper *k, struct buffer *b) {
  struct ledger_stats s;
  ledger_stats_get(k->ledger, &s);
  write_kinds(b, "fluo_ledger_written_rows_total", "Rows that are on disk, by kind.", s.written);
  write_kinds(b, "fluo_ledger_dropped_rows_total", "Rows for which there was no room or no memory, by kind.", s.dropped);
  metrics_counter(b, "fluo_ledger_withheld_evidence_total", "Violations without evidence because there were many.",
                  k->withheld);
  metrics_counter(b, "fluo_ledger_failed_evidence_total", "Violations without evidence for want of memory.", k->failed);
  metrics_gauge(b, "fluo_ledger_queue_bytes", "What waits to be written.", (double)s.queue_bytes);
  metrics_counter(b, "fluo_ledger_commits_total", "Batches written and synced.", s.commits);
  metrics_family(b, "fluo_ledger_commit_seconds_total", METRICS_COUNTER, "Time that these took.");
  metrics_number(b, "fluo_ledger_commit_seconds_total", NULL, (double)s.commit_ns / 1e9);
  metrics_counter(b, "fluo_ledger_failures_total", "Batches that the disk refused; each is tried again.", s.failures);
  metrics_counter(b, "fluo_ledger_corruptions_total", "Times that the ledger was damaged and set aside.", s.corruptions);
  metrics_counter(b, "fluo_ledger_deleted_rows_total", "Rows that were too old, or too many.", s.deleted);
  metrics_gauge(b, "fluo_ledger_bytes", "What the ledger takes; 0 before its first row.", (double)s.file_bytes);
  metrics_gauge(b, "fluo_ledger_in_memory", "1 where it has no file and is gone with the process.", s.in_memory);
  metrics_family(b, "fluo_ledger_trouble", METRICS_GAUGE, "1 for what keeps it from being written, if anything.");
  for (int i = LEDGER_DISK_FULL; i < LEDGER_CORRUPT; i++)
    metrics_uint(b, "fluo_ledger_trouble", metrics_labels("trouble", ledger_trouble_text((enum ledger_trouble)i)),
                 (int)s.trouble == i);
}
