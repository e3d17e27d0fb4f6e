/* What keeps people from being told: silences, inhibition, mute times.
 *
 * Good path: incidents_silence compiles the matchers and adds the silence to a short array; it counts what burns and
 * matches it as incidents come and go, so that "until resolved" is a count that falls to nothing. One that has ended is
 * said and freed. Ways it fails: matchers that are none, too many silences, no memory: nothing is added, the caller is
 * told. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "hash.h"
#include "heap.h"
#include "incident_parts.h"
#include "limits.h"
#include "violation.h"

/* ---- silences ------------------------------------------------------------------------------------ */

static bool until_resolved(const struct silence *s) {
  return s->ends_ns == UINT64_MAX;
}

static uint64_t due_of(const struct silence *s) {
  if (!until_resolved(s)) return s->ends_ns;
  return s->burning ? UINT64_MAX : s->created_ns + LIMIT_SILENCE_UNUSED_NS;
}

static void arm(struct incidents *i) {
  i->silences_due_ns = UINT64_MAX;
  for (uint32_t k = 0; k < i->silences_count; k++)
    if (due_of(i->silences[k]) < i->silences_due_ns) i->silences_due_ns = due_of(i->silences[k]);
}

static void silence_free(struct silence *s) {
  if (!s) return;
  matchers_free(s->matchers);
  heap_free(s->matchers_text);
  heap_free(s->created_by);
  heap_free(s->comment);
  heap_free(s);
}

static void say(struct incidents *i, const struct silence *s) {
  if (i->calls.on_silence) i->calls.on_silence(i->calls.ctx, s);
}

static void end(struct incidents *i, uint32_t at, uint64_t now_ns) {
  struct silence *s = i->silences[at];
  s->ended_ns = now_ns;
  i->silences[at] = i->silences[--i->silences_count];
  i->stats.silences = i->silences_count;
  arm(i);
  say(i, s);
  silence_free(s);
}

void silence_step(struct incidents *i, uint64_t now_ns) {
  for (uint32_t k = i->silences_count; k-- > 0;)
    if (due_of(i->silences[k]) <= now_ns) end(i, k, now_ns);
}

static bool matches(struct incidents *i, const struct silence *s, const struct incident *inc) {
  struct matchable m = incident_matchable(inc);
  return matchers_hold(s->matchers, &m, i->scratch);
}

static void note_match(struct silence *s) {
  s->burning++;
  s->matched = true;
}

/* The same request at the same time is the same silence. */
static void derive_id(struct silence *s) {
  char text[MATCHERS_TEXT_MAX + 64];
  uint8_t digest[16];
  int n = snprintf(text, sizeof text, "%llu %llu %s", (unsigned long long)s->created_ns,
                   (unsigned long long)s->ends_ns, s->matchers_text);
  fluo_hash128(text, (uint64_t)n, digest);
  hex_text(digest, 16, s->id);
}

static int silence_new(const struct silence_request *r, uint64_t now_ns, struct silence **out,
                       char why[MATCHERS_WHY_BYTES]) {
  struct silence *s = heap_zalloc(sizeof *s);
  if (!s) return FLUO_ENOMEM;
  s->created_ns = r->created_ns ? r->created_ns : now_ns;
  s->ends_ns = r->ends_ns;
  s->matched = r->matched;
  s->matchers_text = heap_strdup(r->matchers);
  s->created_by = heap_strdup(r->created_by ? r->created_by : "");
  s->comment = heap_strdup(r->comment ? r->comment : "");
  bool kept = s->matchers_text && s->created_by && s->comment;
  int err = kept ? matchers_new(r->matchers, strlen(r->matchers), &s->matchers, why) : FLUO_ENOMEM;
  if (err) {
    silence_free(s);
    return err;
  }
  if (r->id)
    snprintf(s->id, sizeof s->id, "%s", r->id);
  else
    derive_id(s);
  *out = s;
  return 0;
}

static struct incident *of_owner(struct link *at) {
  return (struct incident *)(void *)((char *)at - offsetof(struct state_group, of_owner));
}

static uint32_t find(const struct incidents *i, const char *id) {
  uint32_t k = 0;
  while (k < i->silences_count && strcmp(i->silences[k]->id, id) != 0) k++;
  return k;
}

static int check(const struct incidents *i, const struct silence_request *r, char why[MATCHERS_WHY_BYTES]) {
  const char *wrong = NULL;
  if (r->ends_ns <= i->now_ns)
    wrong = "it ends before it begins";
  else if (r->id && strlen(r->id) != 32)
    wrong = "an id has 32 digits";
  snprintf(why, MATCHERS_WHY_BYTES, "%s", wrong ? wrong : err_text(FLUO_EFULL));
  if (wrong) return FLUO_EINVALID;
  return i->silences_count < LIMIT_SILENCES ? 0 : FLUO_EFULL;
}

int incidents_silence(struct incidents *i, const struct silence_request *request, uint64_t now_ns, char id[33],
                      char why[MATCHERS_WHY_BYTES]) {
  struct silence *s;
  incidents_step(i, now_ns);
  int err = check(i, request, why);
  if (err) return err;
  snprintf(why, MATCHERS_WHY_BYTES, "%s", err_text(FLUO_ENOMEM));
  err = heap_grow((void **)&i->silences, &i->silences_capacity, i->silences_count, sizeof *i->silences);
  if (!err) err = silence_new(request, i->now_ns, &s, why);
  if (err) return err;
  memcpy(id, s->id, sizeof s->id);
  if (find(i, s->id) < i->silences_count) { /* asked for twice in a moment */
    silence_free(s);
    return 0;
  }
  for (struct link *at = i->incidents.groups.next; at != &i->incidents.groups; at = at->next)
    if (incident_burns(of_owner(at)) && matches(i, s, of_owner(at))) note_match(s);
  i->silences[i->silences_count++] = s;
  i->stats.silences = i->silences_count;
  arm(i);
  say(i, s);
  return 0;
}

bool incidents_unsilence(struct incidents *i, const char *id, uint64_t now_ns) {
  incidents_step(i, now_ns);
  uint32_t at = find(i, id);
  if (at == i->silences_count) return false;
  end(i, at, i->now_ns);
  return true;
}

const struct silence *incidents_silence_at(const struct incidents *i, uint32_t at) {
  return at < i->silences_count ? i->silences[at] : NULL;
}

static void count_for(struct incidents *i, const struct incident *inc, bool burns) {
  for (uint32_t k = i->silences_count; k-- > 0;) {
    struct silence *s = i->silences[k];
    if (!matches(i, s, inc)) continue;
    if (burns)
      note_match(s);
    else
      s->burning--;
  }
  arm(i);
}

void silence_settle(struct incidents *i, uint64_t now_ns) {
  for (uint32_t k = i->silences_count; k-- > 0;) {
    const struct silence *s = i->silences[k];
    if (until_resolved(s) && s->matched && !s->burning) end(i, k, now_ns);
  }
}

void silences_free(struct incidents *i) {
  for (uint32_t k = 0; k < i->silences_count; k++) silence_free(i->silences[k]);
  heap_free(i->silences);
}

/* ---- inhibition ---------------------------------------------------------------------------------- */

static uint64_t sources_of(struct incidents *i, const struct incident *inc) {
  struct matchable m = incident_matchable(inc);
  uint64_t sources = 0;
  for (uint32_t k = 0; k < i->inhibitions_count; k++)
    if (matchers_hold(i->inhibitions[k].source, &m, i->scratch)) sources |= UINT64_C(1) << k;
  return sources;
}

void silence_burns(struct incident *inc, bool burns) {
  struct incidents *i = incident_owner(inc);
  count_for(i, inc, burns);
  link_remove(&inc->source_link);
  inc->sources = burns ? sources_of(i, inc) : 0;
  if (inc->sources) link_append(&i->sources, &inc->source_link);
}

static bool are_equal(const struct inhibiting *rule, const struct matchable *a, const struct matchable *b) {
  for (uint32_t k = 0; k < rule->equal_count; k++) {
    struct text name = text_of(rule->equal[k]);
    if (!text_same(matchable_get(a, name), matchable_get(b, name))) return false;
  }
  return true;
}

static bool inhibited_by(struct incidents *i, uint32_t k, const struct incident *inc) {
  const struct inhibiting *rule = &i->inhibitions[k];
  struct matchable own = incident_matchable(inc);
  if (!matchers_hold(rule->target, &own, i->scratch)) return false;
  bool both = matchers_hold(rule->source, &own, i->scratch);
  for (struct link *at = i->sources.next; at != &i->sources; at = at->next) {
    const struct incident *source =
        (const struct incident *)(const void *)((char *)at - offsetof(struct incident, source_link));
    struct matchable its = incident_matchable(source);
    if (source == inc || !(source->sources >> k & 1) || !are_equal(rule, &its, &own)) continue;
    if (!both || !matchers_hold(rule->target, &its, i->scratch)) return true;
  }
  return false;
}

const char *incidents_muted(struct incidents *i, const struct incident *incident, uint64_t now_ns) {
  struct matchable m = incident_matchable(incident);
  for (uint32_t k = 0; k < i->silences_count; k++)
    if (matchers_hold(i->silences[k]->matchers, &m, i->scratch)) return "silenced";
  for (uint32_t k = 0; k < i->inhibitions_count; k++)
    if (inhibited_by(i, k, incident)) return "inhibited";
  for (uint32_t k = 0; k < i->mutings_count; k++) {
    const struct muting *muting = &i->mutings[k];
    bool matched = !muting->matchers || matchers_hold(muting->matchers, &m, i->scratch);
    if (matched && mute_time_is(&muting->time, now_ns)) return "muted";
  }
  return NULL;
}

/* ---- what the configuration says ----------------------------------------------------------------- */

/* What is wrong with one is said with its place in the configuration, which counts from 1. */
static int matchers_at(const char *list, uint32_t at, const char *key, const char *text, struct matchers **out,
                       char why[MATCHERS_WHY_BYTES]) {
  char reason[MATCHERS_WHY_BYTES] = "";
  int err = matchers_new(text, strlen(text), out, reason);
  if (err == FLUO_EINVALID) snprintf(why, MATCHERS_WHY_BYTES, "%s[%u].%s: %.100s", list, at + 1, key, reason);
  return err;
}

static int inhibiting_new(const struct inhibition *from, uint32_t at, struct inhibiting *out, char why[MATCHERS_WHY_BYTES]) {
  int err = matchers_at("inhibit", at, "source", from->source, &out->source, why);
  if (!err) err = matchers_at("inhibit", at, "target", from->target, &out->target, why);
  if (err) return err;
  out->equal = heap_zalloc(from->equal_count * sizeof *out->equal);
  if (!out->equal) return FLUO_ENOMEM;
  for (; out->equal_count < from->equal_count; out->equal_count++)
    if (!(out->equal[out->equal_count] = heap_strdup(from->equal[out->equal_count]))) return FLUO_ENOMEM;
  return 0;
}

static int muting_new(const struct mute_time *from, uint32_t at, struct muting *out, char why[MATCHERS_WHY_BYTES]) {
  out->time = *from;
  out->time.matchers = NULL;
  return from->matchers ? matchers_at("mute", at, "matchers", from->matchers, &out->matchers, why) : 0;
}

int inhibitions_new(struct incidents *i, const struct incidents_options *options, char why[MATCHERS_WHY_BYTES]) {
  int err = 0;
  if (options->inhibitions_count > LIMIT_INHIBITIONS || options->mute_times_count > LIMIT_MUTE_TIMES) {
    snprintf(why, MATCHERS_WHY_BYTES, "too many inhibitions or mute times");
    return FLUO_EINVALID;
  }
  i->inhibitions = heap_zalloc(options->inhibitions_count * sizeof *i->inhibitions);
  i->mutings = heap_zalloc(options->mute_times_count * sizeof *i->mutings);
  if (!i->inhibitions || !i->mutings) return FLUO_ENOMEM;
  while (!err && i->inhibitions_count < options->inhibitions_count) {
    uint32_t at = i->inhibitions_count++;
    err = inhibiting_new(&options->inhibitions[at], at, &i->inhibitions[at], why);
  }
  while (!err && i->mutings_count < options->mute_times_count) {
    uint32_t at = i->mutings_count++;
    err = muting_new(&options->mute_times[at], at, &i->mutings[at], why);
  }
  return err;
}

void inhibitions_free(struct incidents *i) {
  for (uint32_t k = 0; k < i->inhibitions_count; k++) {
    struct inhibiting *rule = &i->inhibitions[k];
    matchers_free(rule->source);
    matchers_free(rule->target);
    for (uint32_t e = 0; e < rule->equal_count; e++) heap_free((void *)(uintptr_t)rule->equal[e]);
    heap_free(rule->equal);
  }
  for (uint32_t k = 0; k < i->mutings_count; k++) matchers_free(i->mutings[k].matchers);
  heap_free(i->inhibitions);
  heap_free(i->mutings);
}
