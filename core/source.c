/* Reading recorded telemetry.
 *
 * Good path: the file is read whole into a buffer, inflated into a second one if it starts like
 * gzip, and then stepped through: JSON documents one by one, each transcoded into a third buffer
 * that the next one reuses, or one protobuf request that is lent as it lies. Every failure names
 * the file, and the line where the input has lines. All three buffers are the source's, freed in
 * source_close. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "buffer.h"
#include "err.h"
#include "heap.h"
#include "inflate.h"
#include "limits.h"
#include "otlp_json.h"

struct source {
  char *path;
  struct otlp_limits limits;
  struct buffer raw, text, body; /* as read, inflated, transcoded */
  const char *at, *end;
  uint32_t line;
  bool json, done;
};

static int read_all(int fd, struct buffer *out) {
  for (;;) {
    char *room = buffer_reserve(out, 65536);
    if (!room) return out->err;
    ssize_t got = read(fd, room, 65536);
    if (got == 0) return 0;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FLUO_EIO;
    out->len += (size_t)got;
  }
}

static int load(struct source *s, char why[512]) {
  bool standard = strcmp(s->path, "-") == 0;
  int fd = standard ? STDIN_FILENO : open(s->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    snprintf(why, 512, "%s: cannot be opened: %s", s->path, strerror(errno));
    return FLUO_EIO;
  }
  errno = 0;
  int err = read_all(fd, &s->raw);
  if (err == FLUO_EIO)
    snprintf(why, 512, "%s: cannot be read: %s", s->path, strerror(errno));
  else if (err)
    snprintf(why, 512, "%s: %s (at most %u MiB a file)", s->path, err_text(err),
             LIMIT_FILE_BYTES >> 20);
  if (!standard) close(fd);
  return err;
}

static bool looks_gzipped(const struct buffer *b) {
  return b->len > 2 && memcmp(b->data, "\x1f\x8b", 2) == 0;
}

/* JSON starts with { behind white space and a BOM. A protobuf request starts with byte 10, a line
 * feed to JSON; but { as the first byte that is not white space would there be a group, which no
 * body may hold. */
static bool looks_like_json(const char *p, const char *end) {
  if (end - p >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3;
  while (p < end && memchr(" \t\r\n", *p, 4)) p++;
  return p < end && *p == '{';
}

int source_open(const char *path, const struct otlp_limits *limits, struct source **out,
                char why[512]) {
  struct source *s = heap_zalloc(sizeof *s);
  int err = FLUO_ENOMEM;
  snprintf(why, 512, "%s: %s", path, err_text(err));
  if (!s) return err;
  buffer_init(&s->raw, LIMIT_FILE_BYTES);
  buffer_init(&s->text, LIMIT_FILE_BYTES);
  buffer_init(&s->body, limits->decoded_bytes_max);
  s->limits = *limits;
  s->line = 1;
  s->path = heap_strdup(path);
  if (!s->path) goto err_after_source;
  err = load(s, why);
  if (err) goto err_after_source;
  if (looks_gzipped(&s->raw)) {
    err = inflate_gzip(s->raw.data, s->raw.len, &s->text);
    snprintf(why, 512, "%s: gzip: %s", path, err_text(err));
    if (err) goto err_after_source;
    buffer_deinit(&s->raw);
  }
  const struct buffer *b = s->raw.data ? &s->raw : &s->text;
  s->at = b->data;
  s->end = b->data ? b->data + b->len : NULL;
  s->json = b->len && looks_like_json(s->at, s->end);
  *out = s;
  return 0;
err_after_source:
  source_close(s);
  return err;
}

/* A document that is cut short fails where the next one starts, so where it began is said too. */
static int refuse_json(const struct source *s, const struct otlp_fault *fault, char why[512]) {
  uint32_t line = s->line + (fault->line ? fault->line - 1 : 0);
  int n = snprintf(why, 512, "%s:%u:%u: %s", s->path, line, fault->column, fault->what);
  if (line != s->line && n > 0 && n < 512)
    snprintf(why + n, 512 - (size_t)n, " (in the document that starts at line %u)", s->line);
  return fault->err;
}

static int next_json(struct source *s, struct source_request *request, char why[512]) {
  struct otlp_json_result result;
  struct otlp_fault fault = {0};
  while (s->at < s->end && memchr(" \t\r\n", *s->at, 4)) s->line += *s->at++ == '\n';
  if (s->at == s->end) return 0;
  buffer_clear(&s->body);
  int err = otlp_json_transcode(s->at, (size_t)(s->end - s->at), false, &s->limits, &s->body,
                                &result, &fault);
  if (err) return refuse_json(s, &fault, why);
  request->body = (const uint8_t *)s->body.data;
  request->n = s->body.len;
  request->received_at_ns = result.received_at_ns;
  request->has_received_at = result.has_received_at;
  err = otlp_check(request->body, request->n, &s->limits, &request->summary, &fault);
  if (err) {
    snprintf(why, 512, "%s:%u: %s", s->path, s->line, fault.what);
    return err;
  }
  s->at += result.consumed;
  s->line += result.lines;
  return 1;
}

static int next_protobuf(struct source *s, struct source_request *request, char why[512]) {
  struct otlp_fault fault = {0};
  if (s->done) return 0;
  s->done = true;
  request->body = (const uint8_t *)s->at;
  request->n = (size_t)(s->end - s->at);
  int err = otlp_check(request->body, request->n, &s->limits, &request->summary, &fault);
  if (err)
    snprintf(why, 512,
             "%s: neither OTLP/JSON (it does not start with {) nor OTLP protobuf: byte %zu: %s",
             s->path, fault.offset, fault.what);
  return err ? err : 1;
}

int source_next(struct source *s, struct source_request *request, char why[512]) {
  *request = (struct source_request){0};
  if (s->at == s->end) return 0;
  return s->json ? next_json(s, request, why) : next_protobuf(s, request, why);
}

void source_close(struct source *s) {
  if (!s) return;
  buffer_deinit(&s->raw);
  buffer_deinit(&s->text);
  buffer_deinit(&s->body);
  heap_free(s->path);
  heap_free(s);
}
