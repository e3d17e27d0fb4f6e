/* What became of the reloads of the rules: said in the log, on /metrics and on /-/reload. It starts none itself. */
#ifndef FLUO_RELOAD_H
#define FLUO_RELOAD_H
#include "buffer.h"
#include "host.h"
#include "http.h"
#include "log.h"

enum reload_result { RELOAD_CHANGED, RELOAD_UNCHANGED, RELOAD_PARTIAL, RELOAD_FAILED, RELOAD_RESULTS };

struct reload {
  struct log *log;
  uint64_t results[RELOAD_RESULTS];
  bool successful;                /* the last one, or the start: every file loaded */
  uint64_t success_ns;            /* Unix time of the last one that was */
  struct buffer said;             /* how the last one ended, in text */
};

/* The first load is over. r is the caller's storage; the log outlives it. */
void reload_init(struct reload *r, struct log *log, uint32_t load_errors);
void reload_deinit(struct reload *r);
/* A reload ended: says it in the log. */
void reload_note(struct reload *r, const struct host_reload *reload);
/* The answer to GET /-/reload: 200 after a reload without errors, 500 and all errors after another. */
void reload_say(const struct reload *r, bool under_way, struct http_response *response);
void reload_metrics(const struct reload *r, struct buffer *out);

#endif
