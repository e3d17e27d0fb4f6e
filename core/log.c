/* The good path: log_line builds one line in a buffer that log_new has made as large as a line can
 * be, and gives it to the `out` in front of stderr. Nothing is allocated per line, so a log still
 * speaks when memory is short.
 *
 * How it fails: a line that would pass LINE_BYTES ends before the field that did not fit, and says
 * so; a line that `out` refuses is dropped and counted there. log_free frees the buffer, the `out`
 * and the log.
 *
 * What is logged was often written by strangers (a span's name, a peer's header), so a text must
 * not be able to start a line of its own, close its quotes, or move a terminal's cursor:
 * escape_next decides what is printable, for both forms. */
#include "log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "err.h"
#include "heap.h"
#include "limits.h"
#include "utf8.h"

enum {
  LINE_BYTES = 32 << 10, /* with every byte of two values escaped */
  VALUE_BYTES = 4 << 10, /* of one text; the rest is cut, marked by an ellipsis */
  TAIL_BYTES = 64        /* kept for what closes a line */
};

struct log {
  struct out *out;
  struct buffer line;
  enum log_level level;
  bool json, color;
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* ---- texts ----------------------------------------------------------------------------------- */

/* The code point of a well-formed character of n bytes. */
static uint32_t code_of(const uint8_t *p, size_t n) {
  uint32_t code = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
  for (size_t i = 1; i < n; i++) code = code << 6 | (p[i] & 0x3fu);
  return code;
}

/* C0, DEL, C1; the line separators; what reorders the text around it (bidi controls). */
static bool unprintable(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/* Appends the next character, fit to stand between double quotes where that is asked for; gives its
 * length in the source. */
static size_t escape_next(struct log *l, const uint8_t *p, size_t n, bool in_quotes) {
  bool valid;
  size_t len = utf8_step(p, n, &valid);
  uint32_t c = valid ? code_of(p, len) : 0xfffd;
  if (in_quotes && (c == '"' || c == '\\'))
    buffer_printf(&l->line, "\\%c", (int)c);
  else if (c == '\n')
    buffer_text(&l->line, "\\n");
  else if (c == '\t')
    buffer_text(&l->line, "\\t");
  else if (unprintable(c))
    buffer_printf(&l->line, l->json || c > 0xff ? "\\u%04x" : "\\x%02x", c);
  else if (valid)
    buffer_add(&l->line, p, len);
  else
    buffer_text(&l->line, "\xef\xbf\xbd");
  return len;
}

static void escape(struct log *l, const char *s, size_t n, bool in_quotes) {
  const uint8_t *p = (const uint8_t *)s;
  bool cut = n > VALUE_BYTES;
  if (cut) {
    n = VALUE_BYTES;
    while (n > VALUE_BYTES - 4 && (p[n] & 0xc0) == 0x80) n--; /* not within a character */
  }
  for (size_t i = 0; i < n;) i += escape_next(l, p + i, n - i, in_quotes);
  if (cut) buffer_text(&l->line, "…");
}

static void quoted(struct log *l, const char *s, size_t n) {
  buffer_text(&l->line, "\"");
  escape(l, s, n, true);
  buffer_text(&l->line, "\"");
}

/* Whether a value of the text form can do without quotes. */
static bool plain(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 0x7f || strchr("\"\\=", s[i]))
      return false;
  return n > 0 && n <= VALUE_BYTES;
}

static void text(struct log *l, const char *s, size_t n) {
  if (!l->json && plain(s, n))
    buffer_add(&l->line, s, n);
  else
    quoted(l, s, n);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void value(struct log *l, const struct log_field *f) {
  switch (f->type) {
  case LOG_STRING: text(l, f->string ? f->string : "", f->string ? strlen(f->string) : 0); break;
  case LOG_BYTES: text(l, f->string, f->len); break;
  case LOG_UINT: buffer_printf(&l->line, "%llu", (unsigned long long)f->u); break;
  case LOG_INT: buffer_printf(&l->line, "%lld", (long long)f->i); break;
  case LOG_SECONDS:
    if (l->json)
      buffer_number(&l->line, f->seconds);
    else
      buffer_printf(&l->line, "%.6gs", f->seconds);
    break;
  case LOG_END: break;
  }
}

/* The field, or where it does not fit nothing of it: false. */
static bool field(struct log *l, const struct log_field *f) {
  struct buffer *b = &l->line;
  size_t before = b->len;
  if (l->json)
    buffer_printf(b, ",\"%s\":", f->key);
  else
    buffer_printf(b, l->color ? " \x1b[2m%s=\x1b[0m" : " %s=", f->key);
  value(l, f);
  if (!b->err && b->len <= LINE_BYTES - TAIL_BYTES) return true;
  b->err = 0;
  b->len = before;
  return false;
}

static void head_json(struct log *l, enum log_level level, const char *message, const struct tm *t,
                      long ms) {
  buffer_printf(&l->line,
                "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\",\"level\":\"%s\",\"message\":",
                t->tm_year + 1900, t->tm_mon + 1, t->tm_mday, t->tm_hour, t->tm_min, t->tm_sec, ms,
                level_names[level]);
  quoted(l, message, strlen(message));
}

static void head_text(struct log *l, enum log_level level, const char *message, const struct tm *t,
                      long ms) {
  static const char *const words[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
  static const char *const colors[] = {"\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[1;31m"};
  buffer_printf(&l->line, "%02d:%02d:%02d.%03ld %s%s%s ", t->tm_hour, t->tm_min, t->tm_sec, ms,
                l->color ? colors[level] : "", words[level], l->color ? "\x1b[0m" : "");
  escape(l, message, strlen(message), false);
}

void log_line(struct log *l, enum log_level level, const char *message,
              const struct log_field *fields) {
  if (!log_enabled(l, level)) return;
  struct timespec now;
  struct tm t;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &t);
  buffer_clear(&l->line);
  (l->json ? head_json : head_text)(l, level, message, &t, now.tv_nsec / 1000000);
  for (const struct log_field *f = fields; f->type != LOG_END; f++) {
    if (field(l, f)) continue;
    buffer_text(&l->line, l->json ? ",\"truncated\":true" : " truncated=true");
    break;
  }
  buffer_text(&l->line, l->json ? "}\n" : "\n");
  assert(!l->line.err);
  out_write(l->out, l->line.data, l->line.len);
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool wants_color(int fd) {
  const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
  return isatty(fd) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

int log_new(int fd, enum log_level level, enum log_format format, struct log **out) {
  int err = FLUO_ENOMEM;
  struct log *l = heap_zalloc(sizeof *l);
  if (!l) return err;
  l->level = level;
  l->json = format == LOG_JSON || (format == LOG_AUTO && !isatty(fd));
  l->color = !l->json && wants_color(fd);
  buffer_init(&l->line, LINE_BYTES);
  if (!buffer_reserve(&l->line, LINE_BYTES)) goto err_after_alloc;
  err = out_new(fd, LIMIT_LOG_BYTES, &l->out);
  if (err) goto err_after_buffer;
  *out = l;
  return 0;

err_after_buffer:
  buffer_deinit(&l->line);
err_after_alloc:
  heap_free(l);
  return err;
}

void log_free(struct log *l) {
  if (!l) return;
  out_close(l->out, LIMIT_DRAIN_NS);
  buffer_deinit(&l->line);
  heap_free(l);
}

bool log_enabled(const struct log *l, enum log_level level) {
  return level >= l->level;
}

bool log_is_json(const struct log *l) {
  return l->json;
}

uint64_t log_dropped(const struct log *l) {
  return out_dropped(l->out);
}
