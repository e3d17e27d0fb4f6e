/* The console: what is behind the admin listener. It owns the pages, the API, and what clients of it follow and record. */
#ifndef FLUO_CONSOLE_H
#define FLUO_CONSOLE_H
#include "config.h"
#include "desk.h"
#include "page.h"

struct console;

struct console_options {
  const struct config *config;        /* all outlive the console */
  struct host *host;
  struct desk *desk;
  uint64_t started_ns;
  const char *(*ready)(void *ctx);    /* as admin_calls' */
  uint64_t (*now_ns)(void *ctx);
  void (*page)(void *ctx, struct page *out);  /* what /metrics is made of now; the recorder and the API are the console's */
  void (*reload)(void *ctx);          /* somebody wants the rules reloaded */
  void (*changed)(void *ctx);         /* incidents or silences have changed: timers, too */
  void *ctx;
};

/* NULL: no memory. */
struct console *console_new(const struct console_options *options);
/* What to open the server with; valid as long as the console. */
struct http_calls console_http(struct console *c);
struct recorder *console_recorder(const struct console *c);
struct follow *console_follow(const struct console *c);
/* About once a second. */
void console_tick(struct console *c);
/* What streams or waits ends; before the ledger is closed. console_free once the server is. NULL is fine for both. */
void console_end(struct console *c);
void console_free(struct console *c);

#endif
