/* The configuration: defaults, then the file, then FLUO_* variables, then flags. All of it is
 * evaluated and checked by a short-lived child (lua/fluo/config.lua), for the file is Lua and the
 * core runs none; what arrives here are plain values, checked once more. */
#ifndef FLUO_CONFIG_H
#define FLUO_CONFIG_H
#include <stdbool.h>
#include <stdint.h>

#include "alerting.h"
#include "log.h"

/* The keys that reach the core, in the order of the schema in lua/fluo/config.lua:
 * X(key, member of struct config, type) */
#define CONFIG_KEYS(X) \
  X("rules",                  rules,                  STRING) \
  X("data",                   data,                   STRING) \
  X("listen.otlp_http",       listen.otlp_http,       ADDRESS) \
  X("listen.admin",           listen.admin,           ADDRESS) \
  X("http.body_bytes_max",    http.body_bytes_max,    UINT64) \
  X("http.connections_max",   http.connections_max,   UINT32) \
  X("http.idle_timeout",      http.idle_ns,           UINT64) \
  X("http.header_timeout",    http.header_ns,         UINT64) \
  X("http.body_timeout",      http.body_ns,           UINT64) \
  X("http.traces_path",       http.traces_path,       STRING) \
  X("http.cors_origins",      http.cors_origins,      STRING) \
  X("buffer.bytes_max",       buffer.bytes_max,       UINT64) \
  X("state.bytes_max",        state.bytes_max,        UINT64) \
  X("trace.idle",             trace.idle_ns,          UINT64) \
  X("trace.max_age",          trace.max_age_ns,       UINT64) \
  X("trace.late",             trace.late_ns,          UINT64) \
  X("trace.spans_max",        trace.spans_max,        UINT32) \
  X("trace.bytes_max",        trace.bytes_max,        UINT64) \
  X("ledger.evidence",        ledger.evidence,        EVIDENCE) \
  X("ledger.age",             ledger.age_ns,          UINT64) \
  X("ledger.bytes_max",       ledger.bytes_max,       UINT64) \
  X("output.violations",      output.violations,      STRING) \
  X("log.level",              log.level,              LEVEL) \
  X("log.format",             log.format,             FORMAT) \
  X("semconv.renames",        semconv_renames,        BOOL) \
  X("status_ok_is_explicit",  status_ok_is_explicit,  BOOL) \
  X("skip_broken",            skip_broken,            BOOL) \
  X("watch_rules",            watch_rules,            BOOL) \
  X("require_specs",          require_specs,          BOOL) \
  X("other_signals",          other_signals,          SIGNALS)

enum config_bounds { CONFIG_KEYS_COUNT = 30, CONFIG_ARGS_MAX = 65536 };

/* What is kept of the traces that a violation is about: all their spans, the witnesses, nothing. */
enum evidence_mode { EVIDENCE_TRACE, EVIDENCE_WITNESSES, EVIDENCE_NONE };
enum config_signals { CONFIG_DISCARD, CONFIG_REJECT };

/* Where to listen: a numeric address without brackets. off: "none" was said, the rest is empty. */
struct config_address { char host[64]; uint16_t port; bool off; };

/* All strings are owned and never NULL but where it says so. */
struct config {
  char *file;                        /* the configuration file that was read; NULL: none */
  char *rules;                       /* directory or file; of the configuration file: relative to that */
  char *data;
  struct { struct config_address otlp_http, admin; } listen;
  struct {
    uint64_t body_bytes_max;         /* compressed, and decoded */
    uint32_t connections_max;
    uint64_t idle_ns, header_ns, body_ns;
    char *traces_path;               /* one more path for traces besides /v1/traces; "": none */
    char *cors_origins;              /* of pages that may send, a space between each two; "": none */
  } http;
  struct { uint64_t bytes_max; } buffer;      /* the arena */
  struct { uint64_t bytes_max; } state;       /* windows and sequences */
  struct {
    uint64_t idle_ns, max_age_ns, late_ns;
    uint32_t spans_max;
    uint64_t bytes_max;
  } trace;
  struct {
    enum evidence_mode evidence;
    uint64_t age_ns, bytes_max;      /* how long its rows stay, and what they may take */
  } ledger;
  struct { char *violations; } output;        /* "stdout", "none", or a path */
  struct { enum log_level level; enum log_format format; } log;
  bool semconv_renames, status_ok_is_explicit, skip_broken, watch_rules, require_specs;
  enum config_signals other_signals;

  struct alerting alerting;          /* receivers, and how they are told */

  /* Of the command line only. */
  char **args;                       /* what is no flag: files of replay, PATH of check */
  uint32_t args_count;
  bool fail_on_violation;            /* replay --fail-on-violation */
  bool json;                         /* --json of check and explain */
  char *widened;                     /* replay --widened=FILE; NULL: not given */
  char *trace_id, *color;            /* explain --trace=ID, --color=WHEN; NULL: not given */

  bool given[CONFIG_KEYS_COUNT];     /* while it is read: which keys have come */
};

struct config_call {
  const char *command;               /* "run", "replay", "check", "config": which flags there are */
  int argc;                          /* what follows the command on the command line */
  char **argv;
  const char *exe;                   /* who runs in `--internal-config` mode; NULL: this program */
  uint64_t cpu_s, wall_ns;           /* 0: 2 s of CPU, a minute altogether */
};

enum config_exit { CONFIG_EXIT_USAGE = 2, CONFIG_EXIT_SOFTWARE = 70, CONFIG_EXIT_CONFIG = 78 };

/* 0 and *out, to be given back with config_deinit. On an error *out needs nothing, *exit_status is
 * what this program should end with, and `why` is a line to print, or "" where the child has printed
 * it all on stderr already (FLUO_EINVALID). Never takes longer than the bounds above. */
int config_load(const struct config_call *call, struct config *out, int *exit_status,
                char why[256]);
void config_deinit(struct config *c);

/* `fluo config show`: the child prints the table on stdout, within the same bounds. Gives the exit
 * status; what is to be said has been said on stderr. */
int config_show(const struct config_call *call);

/* %xx becomes its byte, in place. false where it is no such text, or would hold a NUL. */
bool config_unescape(char *s);

/* Whether only this machine reaches it. */
bool config_is_loopback(const struct config_address *address);

#endif
