/* Recording live traffic: each request that arrives, and each part of a large one, becomes a line of OTLP/JSON with its
 * receivedAtUnixNano, which `fluo replay` judges as the agent did. Clients of the admin listener stream these lines
 * (GET /api/v1/record). A client has a bounded queue; what it does not take in time is lost to it, counted, and said in
 * its place by a line {"fluo":{"lost":{"lines":…,"spans":…}}}, which holds no span for a reader of OTLP.
 *
 * The query chooses: trace=ID, 32 hex digits, only that trace. rule=NAME, also several: a line never has spans of two
 * traces then, and lines {"fluo":{"trace":"ID","keep":true}} say which traces violated one of these rules and, with
 * "over":true as a trace ends, which had a hit of one of its patterns; keep false: no hit. violated=1: hits are not
 * enough. by=trace: the same lines without a rule; every trace is to be kept as it ends. */
#ifndef FLUO_RECORDER_H
#define FLUO_RECORDER_H
#include "http.h"
#include "otlp.h"
#include "ruleset.h"
#include "store.h"
#include "violation.h"

struct recorder;

/* NULL: no memory. */
struct recorder *recorder_new(void);
/* After recorder_end, and after the server is closed. */
void recorder_free(struct recorder *r);

/* What lies before the cursor, up to that cost (otlp_step), arrives; it does not move. To be told before the engine is,
 * so that spans come before what is said of their trace. */
void recorder_take(struct recorder *r, const struct otlp_cursor *body, size_t cost_max, uint64_t now_ns);
/* A rule was violated: in its trace, or by the spans that a window or a sequence names. */
void recorder_violation(struct recorder *r, const struct violation *v);
/* All of its rules have judged the trace, whose hits are still there. */
void recorder_trace_end(struct recorder *r, const struct ruleset *rules, const struct trace *t);
/* About once a second: a sign of life to clients that have nothing to read, so that one that is gone is noticed. */
void recorder_tick(struct recorder *r);
/* No more is recorded (NULL is fine): clients get what they have not taken, and their streams end. */
void recorder_end(struct recorder *r);

/* Answers GET /api/v1/record, again and again (HTTP_STREAM). rules: in force, for names that are none. */
void recorder_answer(struct recorder *r, const struct ruleset *rules, const struct http_request *request,
                     struct http_response *response);

struct recorder_stats { uint64_t recordings, lines, lost_lines, lost_spans; };
struct recorder_stats recorder_stats(const struct recorder *r);

#endif
