/* The structured log on stderr: logfmt-like and coloured for people on a terminal, JSON lines otherwise.
 * Goes through a bounded `out`; times are UTC. */
#ifndef FLUO_LOG_H
#define FLUO_LOG_H
#include <stdbool.h>
#include <stdint.h>

#include "out.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_JSON };

struct log;

enum log_type { LOG_END, LOG_STRING, LOG_UINT, LOG_INT, LOG_SECONDS, LOG_BYTES };
struct log_field {
  const char *key;
  enum log_type type;
  union { const char *string; uint64_t u; int64_t i; double seconds; };
  uint32_t len;                  /* of LOG_BYTES: text that is not NUL-terminated, in `string` */
};
#define log_s(k, v)    ((struct log_field){ .key = (k), .type = LOG_STRING, .string = (v) })
#define log_u(k, v)    ((struct log_field){ .key = (k), .type = LOG_UINT, .u = (v) })
#define log_i(k, v)    ((struct log_field){ .key = (k), .type = LOG_INT, .i = (v) })
#define log_b(k, v, n) ((struct log_field){ .key = (k), .type = LOG_BYTES, .string = (v), .len = (n) })

/* Takes the descriptor, as out_new does. 0 or FLUO_ENOMEM. */
int log_new(int fd, enum log_level level, enum log_format format, struct log **out);
void log_free(struct log *l);                    /* flushes for 5 s at most */
bool log_enabled(const struct log *l, enum log_level level);
bool log_is_json(const struct log *l);
/* One line. fields: up to one of type LOG_END. */
void log_line(struct log *l, enum log_level level, const char *message, const struct log_field *fields);
#define log_to(l, level, message, ...) \
  log_line((l), (level), (message), (struct log_field[]){ __VA_ARGS__ __VA_OPT__(,) { .type = LOG_END } })
uint64_t log_dropped(const struct log *l);       /* lines */

#endif
