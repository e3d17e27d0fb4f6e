/* Reading a violation's JSON. It is what this agent, or one before it, wrote; a disk may still have bent it, so it is read as
 * if anybody had. Members that are not asked for are skipped. */
#include "feedback_subject.h"

#include <string.h>

#include "err.h"
#include "http_query.h"
#include "json_text.h"
#include "limits.h"

enum { DEPTH = 8 }; /* a link of a chain has an object in an object in an array */

struct found { bool window, compares; };

static bool is(struct json_slice s, const char *word) {
  return s.n == strlen(word) && memcmp(s.p, word, s.n) == 0;
}

static bool read_id(struct json *j, char out[33]) {
  struct json_slice id;
  if (!json_short(j, &id)) return false;
  for (size_t i = 0; i < id.n; i++)
    if (i >= 32 || http_hex_digit(id.p[i]) < 0) return json_fail(j, j->p, FLUO_EMALFORMED, "an id");
  memcpy(out, id.p, id.n);
  out[id.n] = '\0';
  return true;
}

static bool read_group(struct json *j, struct text *out) {
  json_space(j);
  const uint8_t *start = j->p;
  if (!json_skip(j, DEPTH)) return false;
  *out = (struct text){(const char *)start, (uint32_t)(j->p - start)};
  return true;
}

static bool read_member(struct json *j, struct json_slice name, struct feedback_subject *s, struct found *found) {
  struct json_slice scope;
  if (is(name, "id")) return read_id(j, s->violation);
  if (is(name, "incident")) return read_id(j, s->incident);
  if (is(name, "rule")) return json_string(j, &s->rule);
  if (is(name, "group")) return read_group(j, &s->group);
  if (is(name, "threshold")) found->compares = true;
  if (!is(name, "scope")) return json_skip(j, DEPTH);
  if (!json_short(j, &scope)) return false;
  found->window = is(scope, "window");
  return true;
}

static bool read_members(struct json *j, struct feedback_subject *s, struct found *found) {
  if (!json_expect(j, '{', "an object")) return false;
  do {
    struct json_slice name;
    if (!json_short(j, &name)) return false;
    bool known = name.n < 16; /* it may lie in scratch, which the value takes */
    char copy[16];
    memcpy(copy, name.p, known ? name.n : 0);
    struct json_slice kept = {copy, known ? name.n : 0};
    if (!json_expect(j, ':', "a colon") || !read_member(j, kept, s, found)) return false;
  } while (json_take(j, ','));
  return json_expect(j, '}', "the end of the object");
}

int feedback_subject_read(struct text json, struct feedback_subject *out) {
  struct found found = {false, false};
  struct json j;
  *out = (struct feedback_subject){.group = text_of("{}")};
  buffer_init(&out->rule, LIMIT_INCIDENT_KEY_BYTES);
  json_init(&j, json.p, json.n);
  bool sound = read_members(&j, out, &found) && out->violation[0] && out->rule.len;
  json_deinit(&j);
  if (!found.window || !found.compares) out->group = text_of("null");
  if (sound) return 0;
  int err = out->rule.err ? out->rule.err : FLUO_EMALFORMED;
  feedback_subject_deinit(out);
  return err;
}

void feedback_subject_deinit(struct feedback_subject *s) {
  buffer_deinit(&s->rule);
}
