/* Reading a body. Texts are decoded into a buffer of ours, within the bound of their member, and copied from there; it
 * lives as long as the call. The first thing that is wrong ends it. */
#include "api_body.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "json_text.h"

static bool refuse(char why[API_BODY_WHY_BYTES], const char *what, const char *name) {
  snprintf(why, API_BODY_WHY_BYTES, "%s%s%s", what, *name ? ": " : "", name);
  return false;
}

static struct api_member *find(struct api_member *members, uint32_t count, struct json_slice name) {
  for (uint32_t i = 0; i < count; i++)
    if (strlen(members[i].name) == name.n && !memcmp(members[i].name, name.p, name.n)) return &members[i];
  return NULL;
}

static bool read_text(struct json *j, struct api_member *m, char why[API_BODY_WHY_BYTES]) {
  struct buffer text;
  bool whole;
  buffer_init(&text, m->size - 1);
  if (!json_string(j, &text)) {
    if (text.err == FLUO_ETOOLARGE) refuse(why, "too long", m->name);
    buffer_deinit(&text);
    return false;
  }
  whole = !text.len || !memchr(text.data, '\0', text.len);
  if (text.len) memcpy(m->text, text.data, text.len);
  m->text[text.len] = '\0';
  buffer_deinit(&text);
  m->there = true;
  return whole || refuse(why, "a NUL in a text", m->name);
}

static bool read_value(struct json *j, struct api_member *m, bool *seen, char why[API_BODY_WHY_BYTES]) {
  if (*seen) return refuse(why, "it stands there twice", m->name);
  *seen = true;
  if (m->text) return json_peek(j) == '"' ? read_text(j, m, why) : refuse(why, "expected a text", m->name);
  m->there = json_word(j, "true");
  return m->there || json_word(j, "false") || refuse(why, "expected true or false", m->name);
}

enum { MEMBERS_MAX = 8 };

static bool read_members(struct json *j, struct api_member *members, uint32_t count, char why[API_BODY_WHY_BYTES]) {
  bool seen[MEMBERS_MAX] = {false};
  if (!json_expect(j, '{', "expected an object")) return false;
  if (json_take(j, '}')) return true;
  do {
    struct json_slice name;
    if (!json_short(j, &name)) return false;
    struct api_member *m = find(members, count, name);
    if (!m) {
      snprintf(why, API_BODY_WHY_BYTES, "there is no such member: %.*s", (int)(name.n < 60 ? name.n : 60), name.p);
      return false;
    }
    if (!json_expect(j, ':', "expected a colon") || !read_value(j, m, &seen[m - members], why)) return false;
  } while (json_take(j, ','));
  return json_expect(j, '}', "expected , or }");
}

bool api_body_read(const uint8_t *body, size_t n, struct api_member *members, uint32_t count,
                   char why[API_BODY_WHY_BYTES]) {
  struct json j;
  why[0] = '\0';
  for (uint32_t i = 0; i < count; i++)
    if (members[i].text) members[i].text[0] = '\0';
  if (n == 0) return true;
  json_init(&j, (const char *)body, n);
  bool sound = read_members(&j, members, count, why) &&
               (json_peek(&j) < 0 || json_unexpected(&j, "expected nothing more"));
  if (j.invalid_utf8) sound = refuse(why, "it is not UTF-8", "");
  if (!sound && !why[0]) {
    uint32_t line, column;
    json_place(&j, j.at ? j.at : j.p, &line, &column);
    snprintf(why, API_BODY_WHY_BYTES, "the body is no JSON as it is expected: %s at %u:%u", j.what ? j.what : "", line, column);
  }
  json_deinit(&j);
  return sound;
}
