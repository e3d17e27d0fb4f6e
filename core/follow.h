/* Following: violations and incidents as they come, as server-sent events (GET /api/v1/events, WHATWG HTML 9.2).
 *
 *   id: 1767225600000000000            when it came, Unix time in ns
 *   event: violation | incident        data: the object, as its list has it
 *   event: lost                        data: {"events":3}; so many found no room, or {"events":null}: some, at the beginning
 *
 * A client has a bounded queue; what it does not take in time is lost to it, counted, and said in its place. One that comes
 * back with Last-Event-ID gets what came since then and at that very moment: violations from the ledger, the newest
 * LIMIT_LEDGER_ROWS of them, and incidents as they are now. So nothing is missed, and some may come twice. Now and then
 * there is a comment, which keeps the connection. */
#ifndef FLUO_FOLLOW_H
#define FLUO_FOLLOW_H
#include "http.h"
#include "incident.h"
#include "ledger.h"

struct follow;

/* NULL: no memory. */
struct follow *follow_new(void);
/* What a client that comes back asks; both outlive it, or NULL. */
void follow_use(struct follow *f, struct ledger *ledger, struct incidents *incidents);
/* After follow_end, and after the server is closed. NULL is fine for both. */
void follow_free(struct follow *f);

/* Nothing is done where nobody follows. json: an object, as violation_json writes it; incident: its id, or "". */
void follow_violation(struct follow *f, struct ledger_text json, const char *incident, uint64_t now_ns);
void follow_incident(struct follow *f, const struct incident *incident, uint64_t now_ns);

/* Answers a request, as http_calls' on_request; with 503 and no text where there is no room for one more. */
void follow_answer(struct follow *f, const struct http_request *request, struct http_response *response);
/* About once a second. */
void follow_tick(struct follow *f);
/* Every stream ends when its client has taken what there is. */
void follow_end(struct follow *f);

struct follow_stats { uint64_t clients, events, lost; };
struct follow_stats follow_stats(const struct follow *f);

#endif
