/* Counters are compared with what they were when they were last spoken of; nothing here fails. */
#include "warnings.h"

#include <string.h>

enum { BETWEEN_S = 60 };

static bool is_time(uint64_t said_ns, uint64_t now_ns) {
  return now_ns - said_ns > BETWEEN_S * 1000000000ull;
}

static void warn_of_pressure(struct warnings *w, const struct host *host, struct log *log,
                             uint64_t idle_ns, uint64_t now_ns) {
  struct store_stats s;
  struct engine_stats e;
  store_stats_get(engine_store(host_engine(host)), now_ns, &s);
  engine_stats_get(host_engine(host), &e);
  if (s.horizon_s < (double)idle_ns / 1e9 && is_time(w->horizon_said_ns, now_ns)) {
    w->horizon_said_ns = now_ns;
    log_to(log, LOG_WARN,
           "the buffer holds less than trace.idle of the present traffic: raise buffer.bytes_max",
           log_u("horizon_ms", (uint64_t)(s.horizon_s * 1e3)),
           log_u("buffer_bytes", s.arena_bytes));
  }
  uint64_t losses = e.dropped[DROP_MEMORY] + e.hits_lost + s.hits_lost;
  if (losses != w->losses && is_time(w->loss_said_ns, now_ns)) {
    log_to(log, LOG_WARN, "spans or hits were dropped for want of memory",
           log_u("count", losses - w->losses));
    w->loss_said_ns = now_ns;
    w->losses = losses;
  }
}

/* Such values belong to profiles; a client that sends them elsewhere loses them and should know. */
static void warn_of_strindex(struct warnings *w, const struct intake *intake, struct log *log) {
  if (w->strindex_said || !intake_stats(intake)->strindex) return;
  w->strindex_said = true;
  log_to(log, LOG_WARN,
         "a client sends string indices, which only profiles have: they are taken as absent (said "
         "once)");
}

static void warn_of_output(struct warnings *w, const struct out *violations, struct log *log, uint64_t now_ns) {
  uint64_t dropped = out_dropped(violations), failed = out_failed(violations);
  uint64_t lost = dropped - w->dropped + failed - w->failed;
  if (!lost || !is_time(w->output_said_ns, now_ns)) return;
  log_to(log, LOG_WARN, "violations could not be written to the output", log_u("count", lost),
         log_s("error", failed != w->failed ? strerror(out_errno(violations)) : "its reader is too slow"));
  w->output_said_ns = now_ns;
  w->dropped = dropped;
  w->failed = failed;
}

void warnings_tick(struct warnings *w, const struct host *host, const struct intake *intake, const struct out *violations,
                   struct log *log, uint64_t idle_ns, uint64_t now_ns) {
  warn_of_pressure(w, host, log, idle_ns, now_ns);
  if (violations) warn_of_output(w, violations, log, now_ns);
  warn_of_strindex(w, intake, log);
}
