/* The good path: a child evaluates the file, the variables and the flags, and writes one line
 * `key=value<tab>source` a key, then "end" (config_child.c). Each line becomes a member of struct
 * config.
 *
 * How it fails, and who frees what:
 *  - The configuration is wrong: the child says so on stderr, all of it, and ends with 78 or 2.
 *  - The child runs on: the kernel stops it at its CPU limit; past the wall-clock bound it is
 * killed here.
 *  - The child dies, or what it writes is cut short or no configuration: an error text, never a
 * guess. What was parsed hangs in struct config, and is freed by config_deinit where an error comes
 * later. */
#include "config.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "config_child.h"
#include "err.h"
#include "heap.h"
#include "worker.h"

/* 25 keys with their paths, and CONFIG_ARGS_MAX arguments as numbers. */
enum { REPLY_BYTES = 4 << 20 };

/* ---- what the child said -------------------------------------------------------------------- */

enum type { STRING, ADDRESS, UINT64, UINT32, BOOL, LEVEL, FORMAT, SIGNALS, EVIDENCE };

struct key {
  const char *name;
  size_t offset;
  enum type type;
};

static const struct key keys[] = {
#define X(name, member, type) {name, offsetof(struct config, member), type},
    CONFIG_KEYS(X)
#undef X
};
_Static_assert(sizeof keys / sizeof *keys == CONFIG_KEYS_COUNT,
               "CONFIG_KEYS_COUNT counts CONFIG_KEYS");

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool config_unescape(char *s) {
  char *to = s;
  for (; *s; s++, to++) {
    *to = *s;
    if (*s != '%') continue;
    int high = hex(s[1]), low = high < 0 ? -1 : hex(s[2]);
    if (low < 0 || high + low == 0) return false;
    *to = (char)(high << 4 | low);
    s += 2;
  }
  *to = '\0';
  return true;
}

static int take_string(char *value, char **out) {
  if (!config_unescape(value)) return FLUO_EMALFORMED;
  *out = heap_strdup(value);
  return *out ? 0 : FLUO_ENOMEM;
}

static int take_uint(const char *value, uint64_t max, uint64_t *out) {
  size_t digits = strspn(value, "0123456789");
  if (digits == 0 || digits > 19 || value[digits]) return FLUO_EMALFORMED;
  *out = strtoull(value, NULL, 10);
  return *out <= max ? 0 : FLUO_EMALFORMED;
}

static int take_choice(const char *value, const char *const *choices, int *out) {
  for (int i = 0; choices[i]; i++) {
    if (strcmp(value, choices[i])) continue;
    *out = i;
    return 0;
  }
  return FLUO_EMALFORMED;
}

/* "none", or "host port" with a numeric host. */
static int take_address(char *value, struct config_address *out) {
  if (!strcmp(value, "none")) {
    *out = (struct config_address){.off = true};
    return 0;
  }
  uint64_t port = 0;
  unsigned char binary[sizeof(struct in6_addr)];
  char *space = strchr(value, ' ');
  if (!space || (size_t)(space - value) >= sizeof out->host) return FLUO_EMALFORMED;
  *space = '\0';
  bool numeric = inet_pton(AF_INET, value, binary) == 1 || inet_pton(AF_INET6, value, binary) == 1;
  if (!numeric || take_uint(space + 1, UINT16_MAX, &port)) return FLUO_EMALFORMED;
  memset(out, 0, sizeof *out);
  memcpy(out->host, value, strlen(value));
  out->port = (uint16_t)port;
  return 0;
}

static int take_value(enum type type, char *value, void *member) {
  static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
  static const char *const formats[] = {"auto", "text", "json", NULL};
  static const char *const signals[] = {"discard", "reject", NULL};
  static const char *const evidence[] = {"trace", "witnesses", "none", NULL};
  uint64_t number = 0;
  int choice = 0, err = 0;
  switch (type) {
  case STRING: return take_string(value, member);
  case ADDRESS: return take_address(value, member);
  case UINT64: return take_uint(value, UINT64_MAX, member);
  case UINT32:
    err = take_uint(value, UINT32_MAX, &number);
    if (!err) *(uint32_t *)member = (uint32_t)number;
    return err;
  case BOOL:
    err = take_uint(value, 1, &number);
    if (!err) *(bool *)member = number == 1;
    return err;
  case LEVEL:
    err = take_choice(value, levels, &choice);
    if (!err) *(enum log_level *)member = (enum log_level)choice;
    return err;
  case FORMAT:
    err = take_choice(value, formats, &choice);
    if (!err) *(enum log_format *)member = (enum log_format)choice;
    return err;
  case SIGNALS:
    err = take_choice(value, signals, &choice);
    if (!err) *(enum config_signals *)member = (enum config_signals)choice;
    return err;
  case EVIDENCE:
    err = take_choice(value, evidence, &choice);
    if (!err) *(enum evidence_mode *)member = (enum evidence_mode)choice;
    return err;
  }
  return FLUO_EMALFORMED;
}

/* A line of the schema: its value into its member. Each key once. */
static int take_key(struct config *c, size_t key, char *value) {
  if (c->given[key]) return FLUO_EMALFORMED;
  c->given[key] = true;
  return take_value(keys[key].type, value, (char *)c + keys[key].offset);
}

/* An argument that is no flag: its place among the call's. */
static int take_arg(struct config *c, const struct config_call *call, const char *value) {
  uint64_t place = 0;
  if (take_uint(value, (uint64_t)call->argc, &place) || place == 0) return FLUO_EMALFORMED;
  if (c->args_count == CONFIG_ARGS_MAX) return FLUO_ETOOMANY;
  if (!c->args) c->args = heap_zalloc((size_t)call->argc * sizeof *c->args);
  if (!c->args || c->args_count == (uint32_t)call->argc)
    return c->args ? FLUO_EMALFORMED : FLUO_ENOMEM;
  c->args[c->args_count] = heap_strdup(call->argv[place - 1]);
  return c->args[c->args_count] ? (c->args_count++, 0) : FLUO_ENOMEM;
}

static int take_line(struct config *c, const struct config_call *call, char *line) {
  char *value = strchr(line, '=');
  if (!value) return FLUO_EMALFORMED;
  *value++ = '\0';
  if (!strcmp(line, "arg")) return take_arg(c, call, value);
  if (!strcmp(line, "file") && !c->file) return take_string(value, &c->file);
  if (!strncmp(line, "alerting.", 9)) return alerting_take(&c->alerting, line, value);
  if (!strcmp(line, "flag.json")) return take_value(BOOL, value, &c->json);
  if (!strcmp(line, "flag.trace") && !c->trace_id) return take_string(value, &c->trace_id);
  if (!strcmp(line, "flag.widened") && !c->widened) return take_string(value, &c->widened);
  if (!strcmp(line, "flag.color") && !c->color) return take_string(value, &c->color);
  if (!strcmp(line, "flag.fail_on_violation"))
    return take_value(BOOL, value, &c->fail_on_violation);
  for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++)
    if (!strcmp(line, keys[i].name)) return take_key(c, i, value);
  return FLUO_EMALFORMED;
}

/* All lines, "end" as the last one, and no key missing. */
static int take_reply(struct config *c, const struct config_call *call, struct buffer *reply) {
  if (buffer_add(reply, "", 1)) return reply->err;
  if (strlen(reply->data) != reply->len - 1) return FLUO_EMALFORMED;
  char *line = reply->data;
  for (char *end; (end = strchr(line, '\n')) && strncmp(line, "end\n", 4); line = end + 1) {
    *end = '\0';
    int err = take_line(c, call, line);
    if (err) return err;
  }
  if (strcmp(line, "end\n")) return FLUO_ETRUNCATED;
  for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++)
    if (!c->given[i]) return FLUO_ETRUNCATED;
  return c->alerting.setup ? 0 : FLUO_ETRUNCATED;
}

/* ---- what the program calls ------------------------------------------------------------------ */

/* The child, and what its exit status means: 0, FLUO_EINVALID where it has said what is wrong with
 * the configuration, FLUO_ETIMEOUT or FLUO_ETOOLARGE where that took too much, or what broke. */
static int run_child(const struct config_call *call, const char *mode, struct buffer *reply,
                     int *exit_status, char why[256]) {
  int status = 0, err = config_child_run(call, mode, reply, &status);
  why[0] = '\0';
  *exit_status = CONFIG_EXIT_CONFIG;
  if (err == FLUO_ETIMEOUT && status == SIGXCPU)
    snprintf(why, 256, "the configuration used more than %llu s of CPU, and was stopped",
             (unsigned long long)config_cpu_s(call));
  else if (err == FLUO_ETIMEOUT)
    snprintf(why, 256, "the configuration took longer than %.1f s, and was stopped",
             (double)config_wall_ns(call) / 1e9);
  if (err == FLUO_ETIMEOUT || (!err && status == 0)) return err;

  if (!err && status == WORKER_EXIT_MEMORY) {
    snprintf(why, 256, "the configuration used more memory than it may, and was stopped");
    return FLUO_ETOOLARGE;
  }
  if (!err && (status == CONFIG_EXIT_CONFIG || status == CONFIG_EXIT_USAGE)) {
    *exit_status = status;
    return FLUO_EINVALID;
  }
  return err ? err : FLUO_EDIED;
}

/* For what is not the user's fault. */
static void broken(int err, int *exit_status, char why[256]) {
  snprintf(why, 256, "the configuration could not be evaluated: %s", err_text(err));
  *exit_status = CONFIG_EXIT_SOFTWARE;
}

int config_load(const struct config_call *call, struct config *out, int *exit_status,
                char why[256]) {
  struct buffer reply;
  buffer_init(&reply, REPLY_BYTES);
  memset(out, 0, sizeof *out);
  (void)buffer_reserve(&reply, REPLY_BYTES / 2);         /* it does not move then, and leaves no secrets where it was */
  int err = run_child(call, "load", &reply, exit_status, why);
  bool said = err == FLUO_EINVALID || why[0];
  if (!err) err = take_reply(out, call, &reply);
  if (reply.data) explicit_bzero(reply.data, reply.len);        /* there were secrets in it */
  buffer_deinit(&reply);
  if (!err) return 0;
  if (!said) broken(err, exit_status, why);
  config_deinit(out);
  return err;
}

int config_show(const struct config_call *call) {
  struct buffer nothing;
  int status = 0;
  char why[256];
  buffer_init(&nothing, REPLY_BYTES);
  int err = run_child(call, "show", &nothing, &status, why);
  buffer_deinit(&nothing);
  if (!err) return 0;
  if (err != FLUO_EINVALID && !why[0]) broken(err, &status, why);
  if (why[0]) fprintf(stderr, "fluo: %s\n", why);
  return status;
}

void config_deinit(struct config *c) {
  for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++)
    if (keys[i].type == STRING) heap_free(*(char **)(void *)((char *)c + keys[i].offset));
  for (uint32_t i = 0; i < c->args_count; i++) heap_free(c->args[i]);
  alerting_deinit(&c->alerting);
  heap_free(c->args);
  heap_free(c->file);
  heap_free(c->trace_id);
  heap_free(c->widened);
  heap_free(c->color);
  memset(c, 0, sizeof *c);
}

bool config_is_loopback(const struct config_address *address) {
  return strncmp(address->host, "127.", 4) == 0 || strcmp(address->host, "::1") == 0;
}
