/* Pages of other sites that may send telemetry from a browser (Fetch Standard, CORS). Where none are named a browser is
 * told nothing, and hands over nothing but requests that need no question, which are refused for their content type. */
#ifndef FLUO_CORS_H
#define FLUO_CORS_H
#include "http.h"

/* origins: as http.cors_origins has them, with a space between each two; NULL or "": none. */

/* Answers the question before a request, where it is one and its page may send. */
bool cors_preflight(const char *origins, const struct http_request *request, struct http_response *response);
/* Lets the page that sent the request read its answer, where it may; what is lent from the request goes into the response. */
void cors_permit(const char *origins, const struct http_request *request, struct http_response *response);

#endif
