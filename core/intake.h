/* OTLP/HTTP: which request is taken, how it is decoded, and what is answered. Plugs into a server as its
 * http_calls. Scratch memory is reused from one body to the next. */
#ifndef FLUO_INTAKE_H
#define FLUO_INTAKE_H
#include "http.h"
#include "otlp.h"

struct intake;

enum intake_signal { INTAKE_TRACES, INTAKE_METRICS, INTAKE_LOGS, INTAKE_PROFILES, INTAKE_SIGNALS };
enum intake_format { INTAKE_PROTOBUF, INTAKE_JSON, INTAKE_FORMATS };
extern const char *const intake_signal_names[INTAKE_SIGNALS];   /* "traces" … */
extern const char *const intake_format_names[INTAKE_FORMATS];   /* "protobuf", "json" */

struct intake_options {
  struct otlp_limits limits;
  size_t body_bytes_max;             /* as sent, and decoded from gzip: 413 */
  const char *traces_path;           /* one more path for traces; NULL or "": none. Copied */
  const char *cors_origins;          /* pages that may send (cors.h); copied */
  bool reject_other_signals;         /* 404 for metrics, logs and profiles instead of discarding them */
};

struct intake_receipt { uint32_t accepted, rejected, dropped_memory, rejected_for[OTLP_REJECTS]; };

struct intake_calls {
  /* Takes the spans of a body that otlp_check accepted; keeps nothing of it. 0, or FLUO_ENOMEM and then
   * nothing of it was counted (503, Retry-After: 1). *receipt starts zeroed. */
  int (*receive)(void *ctx, const uint8_t *body, size_t n, const struct otlp_summary *summary,
                 struct intake_receipt *receipt);
  void *ctx;
  /* For bodies that would keep others waiting; both or neither (NULL: every body is answered at once). aside runs
   * work(job) apart from the loop and later done(job) on it, one at a time. receive_some takes spans up to a cost
   * (otlp_step): whether there are more. */
  void (*aside)(void *ctx, void (*work)(void *job), void (*done)(void *job), void *job);
  bool (*receive_some)(void *ctx, struct otlp_cursor *body, size_t cost_max, struct intake_receipt *receipt);
};

/* 0 or FLUO_ENOMEM. */
int intake_new(const struct intake_options *options, const struct intake_calls *calls, struct intake **out);
void intake_free(struct intake *in);
/* What to open the server with; the intake outlives it. */
void intake_http(struct intake *in, struct http_calls *out);
/* Once a second: gives back the scratch memory that no body has needed since the last call. */
void intake_rest(struct intake *in);

struct intake_stats {
  uint64_t requests[INTAKE_SIGNALS][INTAKE_FORMATS];   /* whole ones, whatever their answer */
  uint64_t gzip;                                       /* of them, compressed */
  uint64_t bytes[INTAKE_SIGNALS];                      /* of their bodies, as sent */
  uint64_t bytes_decoded;                              /* of traces: after gzip */
  uint64_t malformed, too_large, no_memory;            /* bodies refused with 400, 413, 503 */
  uint64_t refused;                                    /* requests refused by their head: 404 405 415 */
  uint64_t partial;                                    /* answers with partial_success */
  uint64_t invalid_utf8, strindex, enum_names;         /* occurrences in bodies that were taken */
};
const struct intake_stats *intake_stats(const struct intake *in);

#endif
