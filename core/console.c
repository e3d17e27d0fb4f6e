/* The console. Wiring only: each request goes to the pages or to the API, and these to the rooms that know. */
#include "console.h"

#include <string.h>

#include "admin.h"
#include "api.h"
#include "follow.h"
#include "heap.h"
#include "recorder.h"

struct console {
  struct console_options o;
  struct admin_calls pages;
  struct api *api;
  struct follow *follow;
  struct recorder *recorder;
};

static const char *on_ready(void *ctx) {
  const struct console *c = ctx;
  return c->o.ready(c->o.ctx);
}

static int on_metrics(void *ctx, struct buffer *out) {
  const struct console *c = ctx;
  struct page page = {0};
  c->o.page(c->o.ctx, &page);
  page.recorder = c->recorder;
  page.follow = c->follow;
  page.api = c->api;
  return page_write(&page, out);
}

static void on_reload_page(void *ctx, struct http_response *response) {
  const struct console *c = ctx;
  struct page page = {0};
  c->o.page(c->o.ctx, &page);
  reload_say(page.reload, host_reloading(c->o.host), response);
}

static void on_reload(void *ctx) {
  const struct console *c = ctx;
  c->o.reload(c->o.ctx);
}

static void on_record(void *ctx, const struct http_request *request, struct http_response *response) {
  const struct console *c = ctx;
  recorder_answer(c->recorder, host_rules(c->o.host), request, response);
}

static void open_api(struct console *c, bool ours) {
  const struct console_options *o = &c->o;
  struct api_options options = {.local = ours,
                                .started_ns = o->started_ns,
                                .host = o->host,
                                .desk = o->desk,
                                .alerting = &o->config->alerting,
                                .follow = c->follow,
                                .now_ns = o->now_ns,
                                .ready = o->ready,
                                .changed = o->changed,
                                .ctx = o->ctx};
  follow_use(c->follow, keeper_ledger(desk_keeper(o->desk)), alerts_incidents(desk_alerts(o->desk)));
  c->api = api_new(&options);
}

struct console *console_new(const struct console_options *options) {
  struct console *c = heap_zalloc(sizeof *c);
  if (!c) return NULL;
  /* Who reaches the listener may do more than look, where only this machine does. */
  bool ours = config_is_loopback(&options->config->listen.admin);
  c->o = *options;
  c->recorder = recorder_new();
  c->follow = follow_new();
  if (c->follow) open_api(c, ours);
  if (!c->api || !c->recorder) {
    console_free(c);
    return NULL;
  }
  c->pages = (struct admin_calls){.ready = on_ready,
                                  .metrics = on_metrics,
                                  .reload_page = on_reload_page,
                                  .reload = ours ? on_reload : NULL,
                                  .ctx = c,
                                  .record = ours ? on_record : NULL,
                                  .api = api_http(c->api)};
  return c;
}

struct http_calls console_http(struct console *c) {
  struct http_calls calls;
  admin_http(&c->pages, &calls);
  return calls;
}

struct recorder *console_recorder(const struct console *c) {
  return c->recorder;
}

struct follow *console_follow(const struct console *c) {
  return c->follow;
}

void console_tick(struct console *c) {
  recorder_tick(c->recorder);
  follow_tick(c->follow);
  api_tick(c->api);
}

void console_end(struct console *c) {
  if (!c) return;
  recorder_end(c->recorder);
  follow_end(c->follow);
  api_end(c->api);
}

void console_free(struct console *c) {
  if (!c) return;
  api_free(c->api);
  follow_free(c->follow);
  recorder_free(c->recorder);
  heap_free(c);
}
