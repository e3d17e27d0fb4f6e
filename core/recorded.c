/* Looking through a recorded file.
 *
 * Good path: the source hands out requests, a cursor their spans, until both are at their end; spans that the agent
 * would reject are passed over. Ways it fails: what the source refuses, and want of memory, said in `why`. Reader,
 * source and cursor are freed by fluo_recorded_close, in whatever state they are. */
#include "recorded.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "heap.h"
#include "limits.h"
#include "source.h"

struct fluo_recorded {
  struct source *source;
  struct otlp_cursor cursor;
  bool open;               /* the cursor */
  char service[32];        /* one that is a number */
};

struct fluo_recorded *fluo_recorded_open(const char *path, char why[512]) {
  const struct otlp_limits limits = {LIMIT_DEPTH, LIMIT_SPANS, LIMIT_ELEMENTS, LIMIT_FILE_BYTES};
  struct fluo_recorded *r = heap_zalloc(sizeof *r);
  snprintf(why, 512, "%s: %s", path, err_text(FLUO_ENOMEM));
  if (!r) return NULL;
  if (source_open(path, &limits, &r->source, why) == 0) return r;
  heap_free(r);
  return NULL;
}

/* The next request: 1, 0 at the end, -1. */
static int next_request(struct fluo_recorded *r, char why[512]) {
  struct source_request request;
  int got = source_next(r->source, &request, why);
  if (got <= 0) return got < 0 ? -1 : 0;
  if (otlp_open(&r->cursor, request.body, request.n, NULL)) {
    snprintf(why, 512, "%s", err_text(FLUO_ENOMEM));
    return -1;
  }
  r->open = true;
  return 1;
}

static void close_cursor(struct fluo_recorded *r) {
  if (r->open) otlp_close(&r->cursor);
  r->open = false;
}

static struct fluo_item item_of(struct otlp_bytes bytes) {
  return (struct fluo_item){bytes.p, (uint32_t)bytes.n, 0};
}

static void hand_out(struct fluo_recorded *r, struct fluo_recorded_span *out) {
  const struct otlp_span *span = &r->cursor.span;
  struct otlp_bytes service = {0};
  *out = (struct fluo_recorded_span){.start_ns = span->start_ns,
                                     .end_ns = span->end_ns,
                                     .kind = span->kind,
                                     .status = span->status,
                                     .name = item_of(span->name),
                                     .message = item_of(span->message),
                                     .resource = item_of(span->resource),
                                     .scope = item_of(span->scope)};
  memcpy(out->trace_id, span->trace_id, 16);
  memcpy(out->span_id, span->span_id, 8);
  if (otlp_service(span->resource, r->service, &service)) out->service = item_of(service);
}

int fluo_recorded_next(struct fluo_recorded *r, struct fluo_recorded_span *out, char why[512]) {
  for (;;) {
    enum otlp_step step = OTLP_STEP_END;
    size_t cost = 0;
    while (r->open && (step = otlp_step(&r->cursor, &cost)) != OTLP_STEP_END)
      if (step == OTLP_STEP_SPAN && !r->cursor.span.rejected) {
        hand_out(r, out);
        return 1;
      }
    close_cursor(r);
    int got = next_request(r, why);
    if (got <= 0) return got;
  }
}

void fluo_recorded_close(struct fluo_recorded *r) {
  if (!r) return;
  close_cursor(r);
  source_close(r->source);
  heap_free(r);
}
