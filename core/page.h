/* The /metrics page: what every room counts, under names after the OpenTelemetry collector's vocabulary. */
#ifndef FLUO_PAGE_H
#define FLUO_PAGE_H
#include "api.h"
#include "buffer.h"
#include "desk.h"
#include "follow.h"
#include "host.h"
#include "intake.h"
#include "log.h"
#include "out.h"
#include "recorder.h"
#include "reload.h"
#include "server.h"
#include "state_file.h"

/* Rooms that are not open are NULL and left out. Nothing is owned. */
struct page {
  const struct host *host;
  const struct intake *intake;
  const struct server *otlp_http;
  const struct out *violations;
  const struct log *log;
  const struct reload *reload;
  const struct recorder *recorder;
  const struct desk *desk;
  const struct follow *follow;
  const struct api *api;
  const struct state_file *state_file;
  uint64_t now_ns, started_ns;        /* Unix time */
  bool ready;
};

/* Appends the page. 0 or a negative fluo_err. */
int page_write(const struct page *p, struct buffer *out);

#endif
