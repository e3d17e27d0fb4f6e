/* A request's Origin is compared with each of the list; `*` in one is any run of bytes, and alone any origin. Moves no
 * data. */
#include "cors.h"

#include <string.h>

#include "glob.h"

enum { ORIGIN_BYTES_MAX = 512 };

static bool allows(const char *origins, struct http_text origin) {
  if (!origins || !origin.n || origin.n > ORIGIN_BYTES_MAX) return false;
  while (*origins) {
    size_t n = strcspn(origins, " ");
    if (n && glob_match((const uint8_t *)origins, n, (const uint8_t *)origin.p, origin.n)) return true;
    origins += n + (origins[n] == ' ');
  }
  return false;
}

void cors_permit(const char *origins, const struct http_request *request, struct http_response *response) {
  struct http_text origin = http_header(request, "origin");
  if (allows(origins, origin)) response->allow_origin = origin;
}

bool cors_preflight(const char *origins, const struct http_request *request, struct http_response *response) {
  if (request->verb != HTTP_VERB_OPTIONS || !http_header(request, "access-control-request-method").n ||
      !allows(origins, http_header(request, "origin")))
    return false;
  response->status = 204;
  response->allow_methods = "POST";
  response->allow_headers = http_header(request, "access-control-request-headers");
  return true;
}
