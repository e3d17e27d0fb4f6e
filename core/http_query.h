/* The query of a request's target, name by name, as forms encode it: a=1&b=x%20y. */
#ifndef FLUO_HTTP_QUERY_H
#define FLUO_HTTP_QUERY_H
#include "http.h"

enum { HTTP_QUERY_BYTES_MAX = 1024 };    /* of one name and its value together, encoded */

struct http_query { struct http_text left; char scratch[HTTP_QUERY_BYTES_MAX]; };
struct http_query_pair { struct http_text name, value; };

void http_query_init(struct http_query *q, struct http_text query);
/* The next pair, decoded, valid until the next call: 1; 0: there is none; -1: malformed, or too long. */
int http_query_next(struct http_query *q, struct http_query_pair *pair);
/* 0 to 15, -1: no such digit. */
int http_hex_digit(char c);

#endif
