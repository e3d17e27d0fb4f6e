/* Reading widened limits. The file is read whole, and each group goes to feedback as it is read.
 *
 * Ways it fails: a file that cannot be read or is too large, JSON that is none, a group that lacks something or is widened by
 * what nothing is widened by: it is said where, and the caller gives up. The file's bytes and the texts are freed here. */
#include "feedback_given.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "json_number.h"
#include "json_text.h"
#include "limits.h"

enum { DEPTH = 8 };

struct given { struct buffer rule; struct text group; double widened; };

static bool is(struct json_slice s, const char *word) {
  return s.n == strlen(word) && memcmp(s.p, word, s.n) == 0;
}

static bool read_number(struct json *j, double *out) {
  struct json_slice number;
  return json_number(j, &number) && (json_number_double(number.p, number.n, out) || json_unexpected(j, "a number"));
}

static bool read_member(struct json *j, struct given *g) {
  struct json_slice name;
  if (!json_short(j, &name)) return false;
  bool rule = is(name, "rule"), group = is(name, "group"), widened = is(name, "widened");
  if (!json_expect(j, ':', "a colon")) return false;
  if (rule) return json_string(j, &g->rule);
  if (widened) return read_number(j, &g->widened);
  json_space(j);
  const char *start = (const char *)j->p;
  if (!json_skip(j, DEPTH)) return false;
  if (group) g->group = (struct text){start, (uint32_t)((const char *)j->p - start)};
  return true;
}

static bool give(struct feedback *f, struct json *j, const struct given *g) {
  struct text rule = {g->rule.data, (uint32_t)g->rule.len};
  bool sound = rule.n && g->group.n && g->widened >= 1 && g->widened <= 2;
  int err = sound ? feedback_give(f, rule, g->group, (uint32_t)lround((g->widened - 1) * 1000)) : FLUO_EMALFORMED;
  return !err || json_fail(j, j->p, err, "a group that is widened");
}

static bool read_given(struct feedback *f, struct json *j) {
  struct given g = {.widened = 0};
  buffer_init(&g.rule, LIMIT_INCIDENT_KEY_BYTES);
  bool sound = json_expect(j, '{', "a group");
  while (sound && read_member(j, &g) && json_take(j, ',')) {}
  sound = sound && json_expect(j, '}', "the end of a group") && give(f, j, &g);
  buffer_deinit(&g.rule);
  return sound;
}

static bool read_list(struct feedback *f, struct json *j) {
  struct json_slice name;
  if (!json_expect(j, '{', "an object") || !json_short(j, &name)) return false;
  if (!is(name, "widened")) return json_unexpected(j, "\"widened\"");
  if (!json_expect(j, ':', "a colon") || !json_expect(j, '[', "a list")) return false;
  bool sound = json_take(j, ']');
  if (!sound) {
    do sound = read_given(f, j);
    while (sound && json_take(j, ','));
    sound = sound && json_expect(j, ']', "the end of the list");
  }
  return sound && json_expect(j, '}', "the end of the object") && (json_peek(j) < 0 || json_unexpected(j, "the end"));
}

int feedback_given_read(struct feedback *f, struct text json, uint32_t *line) {
  struct json j;
  uint32_t column;
  json_init(&j, json.p, json.n);
  int err = read_list(f, &j) ? 0 : j.err ? j.err : FLUO_EMALFORMED;
  if (err) json_place(&j, j.at ? j.at : j.text, line, &column);
  json_deinit(&j);
  return err;
}

static int read_file(const char *path, struct buffer *out, char why[512]) {
  FILE *file = fopen(path, "rb");
  char block[4096];
  size_t n;
  int err = file ? 0 : FLUO_EIO;
  while (!err && (n = fread(block, 1, sizeof block, file)) > 0) err = buffer_add(out, block, n);
  if (!err && ferror(file)) err = FLUO_EIO;
  if (err) snprintf(why, 512, "%s: %s", path, err == FLUO_EIO ? strerror(errno) : err_text(err));
  if (file) fclose(file);
  return err;
}

int feedback_given_load(struct feedback *f, const char *path, char why[512]) {
  struct buffer text;
  uint32_t line = 1;
  buffer_init(&text, LIMIT_FEEDBACK_FILE_BYTES);
  int err = read_file(path, &text, why);
  if (!err) {
    err = feedback_given_read(f, (struct text){text.data, (uint32_t)text.len}, &line);
    if (err == FLUO_ENOMEM) snprintf(why, 512, "%s", err_text(err));
    else if (err) snprintf(why, 512, "%s:%u: expected what `fluo feedback list --json` prints", path, line);
  }
  buffer_deinit(&text);
  return err;
}
