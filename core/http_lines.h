/* The lines of a head or of trailers, looked at before llhttp sees them. */
#ifndef FLUO_HTTP_LINES_H
#define FLUO_HTTP_LINES_H
#include <stddef.h>
#include <stdint.h>

struct http_lines { uint32_t line_bytes; char last; };     /* starts zeroed */

/* How many of the n bytes may be parsed: all; or up to and with the empty line; or up to what no line may
 * have, and then *why is set (static), else it is NULL. Goes on where the last call ended. */
size_t http_lines_scan(struct http_lines *lines, const char *bytes, size_t n, const char **why);

#endif
