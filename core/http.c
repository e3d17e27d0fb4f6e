/* What requests and responses have in common, whatever brought them. Moves no data. */
#include "http.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct http_text http_header(const struct http_request *request, const char *name) {
  size_t n = strlen(name);
  for (uint32_t i = 0; i < request->headers_count; i++) {
    const struct http_header *h = &request->headers[i];
    if (h->name.n == n && memcmp(h->name.p, name, n) == 0) return h->value;
  }
  return (struct http_text){"", 0};
}

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool http_text_is(struct http_text text, const char *word) {
  if (text.n != strlen(word)) return false;
  for (size_t i = 0; i < text.n; i++)
    if (lower(text.p[i]) != lower(word[i])) return false;
  return true;
}

static bool is_space(char c) {
  return c == ' ' || c == '\t';
}

struct http_text http_text_bare(struct http_text text) {
  const char *semicolon = text.n ? memchr(text.p, ';', text.n) : NULL;
  if (semicolon) text.n = (size_t)(semicolon - text.p);
  while (text.n && is_space(text.p[text.n - 1])) text.n--;
  while (text.n && is_space(*text.p)) text.p++, text.n--;
  return text;
}

const char *http_status_text(int status) {
  switch (status) {
  case 100: return "Continue";
  case 200: return "OK";
  case 204: return "No Content";
  case 304: return "Not Modified";
  case 400: return "Bad Request";
  case 401: return "Unauthorized";
  case 403: return "Forbidden";
  case 404: return "Not Found";
  case 405: return "Method Not Allowed";
  case 408: return "Request Timeout";
  case 413: return "Content Too Large";
  case 414: return "URI Too Long";
  case 415: return "Unsupported Media Type";
  case 417: return "Expectation Failed";
  case 429: return "Too Many Requests";
  case 431: return "Request Header Fields Too Large";
  case 500: return "Internal Server Error";
  case 501: return "Not Implemented";
  case 503: return "Service Unavailable";
  case 505: return "HTTP Version Not Supported";
  default: return "Unknown";
  }
}

void http_say(struct http_response *response, int status, const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  response->status = status;
  response->content_type = "text/plain; charset=utf-8";
  /* Where there is no memory for the words, the status alone is the answer. */
  if (n >= 0 && buffer_printf(response->body, "%s\n", line) != 0) response->body->err = 0;
}
