/* What the files of the API share. Nobody else includes it. */
#ifndef FLUO_API_PARTS_H
#define FLUO_API_PARTS_H
#include "api.h"

/* A question to the ledger: a request's work until it is answered. */
struct api_question {
  struct api *api;
  struct api_question *next, **back;
  struct buffer json;                 /* the answer */
  int err;
  bool answered;
  uint64_t asked_ns;
  void (*wake)(void *waiter);         /* NULL: called */
  void *waiter;
};

struct api {
  struct api_options o;
  struct api_question *questions;
  size_t answer_bytes;                /* of answers that were not fetched yet */
  bool ended;
  struct api_stats stats;
};

/* A parameter of a list's query. */
enum api_target { API_ID, API_RULE, API_SEVERITY, API_STATUS, API_INCIDENT, API_TEXTS, API_SINCE = API_TEXTS, API_LIMIT,
                  API_CURSOR };
struct api_param {
  const char *name;                   /* NULL: the last one */
  enum api_target target;
  const char *values;                 /* those that there are, with "|" around each; NULL: any */
};

struct api_call;
typedef void api_handler(struct api *a, const struct api_call *call);
struct api_endpoint {
  const char *path;                   /* behind API_PREFIX; "{id}" is any one segment */
  api_handler *get, *post, *delete;   /* NULL: not taken */
  api_handler *later;                 /* when called again */
  enum ledger_what what;              /* of one that asks the ledger */
  const struct api_param *params;     /* NULL: it takes none */
};
enum { API_ID_BYTES_MAX = 128 };
struct api_call {
  const struct api_endpoint *endpoint;
  char id[API_ID_BYTES_MAX];          /* what stands for {id}; "": nothing, or what is too long to be one */
  const struct http_request *request;
  struct http_response *response;
};

static inline struct incidents *incidents_of(struct api *a) {
  return alerts_incidents(desk_alerts(a->o.desk));
}
static inline struct ledger *ledger_of(struct api *a) {
  return keeper_ledger(desk_keeper(a->o.desk));
}

/* ---- api.c ---- */
/* {"error":{"code":…,"message":…}}, the code going with the status. */
void api_refuse(struct http_response *response, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* 200 with what is in the body by now; or, where that failed, 500. */
void api_done(struct http_response *response);
/* Asks the ledger; `later` is called with the answer. */
void api_ask(struct api *a, const struct api_call *call, struct ledger_query *query);
/* The question's answer is at hand: it, or NULL, and then the request was refused. To be given to api_question_free. */
struct api_question *api_answered(struct api *a, const struct api_call *call);
void api_question_free(struct api_question *q);
/* `later` of those that give the answer as it is. */
api_handler api_pass_on;

/* ---- api_lists.c ---- */
extern const struct api_param api_incidents_params[], api_violations_params[], api_deliveries_params[],
    api_silences_params[], api_feedback_params[], api_rules_params[];
/* Of a list that the ledger does not have: how many are asked for, behind how many. false: the request was refused. */
bool api_take_page(const struct api_call *call, uint32_t *limit, uint64_t *cursor);
api_handler api_get_list, api_get_one, api_get_evidence;

/* ---- api_state.c ---- */
api_handler api_get_status, api_get_rules, api_get_receivers, api_get_widened;

/* ---- api_write.c ---- */
api_handler api_post_ack, api_post_resolve, api_post_silence, api_delete_silence, api_post_feedback, api_feedback_later;

#endif
