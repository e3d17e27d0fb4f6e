/* What the API changes: incidents and silences at once, in memory, and by these in the ledger; feedback once the ledger has
 * said what was violated. A body that is not understood changes nothing. */
#include "api_parts.h"

#include <string.h>

#include "api_body.h"
#include "err.h"
#include "timestamp.h"

enum { PERSON_BYTES = 201, COMMENT_BYTES = 2001, MATCHERS_BYTES = 4001, TIME_BYTES = 64 };

static bool read_body(const struct api_call *call, struct api_member *members, uint32_t count) {
  char why[API_BODY_WHY_BYTES];
  bool sound = api_body_read(call->request->body, call->request->body_bytes, members, count, why);
  if (!sound) api_refuse(call->response, 400, "%s", why);
  return sound;
}

/* ---- incidents --------------------------------------------------------------------------------- */

static void change(struct api *a, const struct api_call *call, bool (*how)(struct incidents *i, const char *id, uint64_t now_ns)) {
  struct incidents *incidents = incidents_of(a);
  if (!read_body(call, NULL, 0)) return;
  const struct incident *found = incidents_find(incidents, call->id);
  if (!found) {
    api_refuse(call->response, 404, "there is no incident of this id that is open, or was so in the last day");
    return;
  }
  if (!how(incidents, call->id, a->o.now_ns(a->o.ctx))) {
    api_refuse(call->response, 409, "the incident is %s", incident_status_names[found->status]);
    return;
  }
  a->o.changed(a->o.ctx);
  incident_json(incidents_find(incidents, call->id), true, call->response->body);
  api_done(call->response);
}

void api_post_ack(struct api *a, const struct api_call *call) {
  change(a, call, incidents_acknowledge);
}

void api_post_resolve(struct api *a, const struct api_call *call) {
  change(a, call, incidents_resolve);
}

/* ---- silences ---------------------------------------------------------------------------------- */

static const struct silence *silence_of(struct incidents *i, const char *id) {
  const struct silence *s;
  for (uint32_t at = 0; (s = incidents_silence_at(i, at)); at++)
    if (!strcmp(s->id, id)) return s;
  return NULL;
}

struct silence_body {
  char matchers[MATCHERS_BYTES], person[PERSON_BYTES], comment[COMMENT_BYTES], ends_at[TIME_BYTES];
  bool until_resolved;
};

/* When it ends; 0: that is not said as it must be, which was refused. */
static uint64_t end_of(const struct api_call *call, const struct silence_body *body) {
  uint64_t ends_ns = 0;
  if (body->until_resolved == (body->ends_at[0] != '\0'))
    api_refuse(call->response, 400, "it needs ends_at, or until_resolved");
  else if (body->until_resolved)
    ends_ns = UINT64_MAX;
  else if (!timestamp_read(body->ends_at, strlen(body->ends_at), &ends_ns))
    api_refuse(call->response, 400, "ends_at: expected a time, as 2026-01-01T00:00:00Z");
  return call->response->status ? 0 : ends_ns;
}

static void create(struct api *a, const struct api_call *call, const struct silence_request *request) {
  struct incidents *incidents = incidents_of(a);
  char id[33], why[MATCHERS_WHY_BYTES];
  int err = incidents_silence(incidents, request, a->o.now_ns(a->o.ctx), id, why);
  if (err) {
    api_refuse(call->response, err == FLUO_EINVALID ? 400 : 503, "%s", err == FLUO_EFULL ? "there are too many silences" : why);
    return;
  }
  a->o.changed(a->o.ctx);
  call->response->status = 201;
  const struct silence *s = silence_of(incidents, id);
  if (s) silence_json(s, call->response->body);
  else buffer_printf(call->response->body, "{\"id\":\"%s\"}", id); /* over within the moment */
  api_done(call->response);
}

void api_post_silence(struct api *a, const struct api_call *call) {
  struct silence_body body;
  struct api_member members[] = {{"matchers", body.matchers, sizeof body.matchers, false},
                                 {"created_by", body.person, sizeof body.person, false},
                                 {"comment", body.comment, sizeof body.comment, false},
                                 {"ends_at", body.ends_at, sizeof body.ends_at, false},
                                 {"until_resolved", NULL, 0, false}};
  if (!read_body(call, members, sizeof members / sizeof *members)) return;
  body.until_resolved = members[4].there;
  uint64_t ends_ns = end_of(call, &body);
  if (!ends_ns) return;
  struct silence_request request = {.matchers = body.matchers, .created_by = body.person, .comment = body.comment, .ends_ns = ends_ns};
  create(a, call, &request);
}

void api_delete_silence(struct api *a, const struct api_call *call) {
  if (!read_body(call, NULL, 0)) return;
  if (!incidents_unsilence(incidents_of(a), call->id, a->o.now_ns(a->o.ctx))) {
    api_refuse(call->response, 404, "there is no silence of this id in force");
    return;
  }
  a->o.changed(a->o.ctx);
  buffer_printf(call->response->body, "{\"id\":\"%s\"}", call->id);
  api_done(call->response);
}

/* ---- feedback ---------------------------------------------------------------------------------- */

struct feedback_body { char verdict[16], person[PERSON_BYTES]; enum feedback_verdict said; };

static bool read_feedback(const struct api_call *call, struct feedback_body *body) {
  struct api_member members[] = {{"verdict", body->verdict, sizeof body->verdict, false},
                                 {"by", body->person, sizeof body->person, false}};
  if (!read_body(call, members, 2)) return false;
  int said = 0;
  while (said < FEEDBACK_VERDICTS && strcmp(body->verdict, feedback_verdict_names[said])) said++;
  body->said = (enum feedback_verdict)said;
  if (said == FEEDBACK_VERDICTS) api_refuse(call->response, 400, "verdict: expected wrong, right or revoked");
  return said < FEEDBACK_VERDICTS;
}

void api_post_feedback(struct api *a, const struct api_call *call) {
  struct ledger_query query = {.what = LEDGER_VIOLATIONS, .id = call->id, .one = true};
  struct feedback_body body;
  if (!read_feedback(call, &body)) return;
  if (call->id[0]) api_ask(a, call, &query);
  else api_refuse(call->response, 404, "there is none of this id");
}

static void say(struct api *a, const struct api_call *call, struct text violation) {
  struct feedback_body body;
  if (!read_feedback(call, &body)) return;
  struct text who = {body.person, (uint32_t)strlen(body.person)};
  int err = desk_say(a->o.desk, violation, body.said, who, a->o.now_ns(a->o.ctx), call->response->body);
  if (err) {
    api_refuse(call->response, err == FLUO_EMALFORMED ? 500 : 503, "it was not taken: %s", err_text(err));
    return;
  }
  a->o.changed(a->o.ctx);
  call->response->status = 201;
  api_done(call->response);
}

void api_feedback_later(struct api *a, const struct api_call *call) {
  struct api_question *q = api_answered(a, call);
  if (!q) return;
  if (a->ended) api_refuse(call->response, 503, "the agent is ending");
  else say(a, call, (struct text){q->json.data, (uint32_t)q->json.len});
  api_question_free(q);
}
