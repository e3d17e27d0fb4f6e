/* What llhttp does not mind and we do: a line that starts with white space, which continues the one
 * before it (once allowed, now an attack), and a line that ends in a bare LF. Moves no data.
 * Looking first keeps llhttp from going past them, so the answer does not depend on how the bytes
 * were cut. */
#include "http_lines.h"

#include <stdbool.h>

size_t http_lines_scan(struct http_lines *lines, const char *bytes, size_t n, const char **why) {
  *why = NULL;
  for (size_t i = 0; i < n; i++) {
    char c = bytes[i];
    if (lines->last == '\n' && (c == ' ' || c == '\t')) *why = "a folded header line";
    if (c == '\n' && lines->last != '\r') *why = "a line that ends without CR";
    if (*why) return i;
    lines->last = c;
    lines->line_bytes++;
    if (c != '\n') continue;
    bool empty = lines->line_bytes == 2;
    lines->line_bytes = 0;
    if (empty) return i + 1;
  }
  return n;
}
