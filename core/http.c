/* What requests and responses have in common, whatever brought them. Moves no data. */
#include "http.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct http_text http_header(const struct http_request *request, const char *name) {
  size_t n = strlen(name);
  for (uint32_t i = 0; i < request->headers_count; i++) {
    const struct http_header *h = &request->headers[i];
    if (h->name.n == n && memcmp(h->name.p, name, n) == 0) return h->value;
  }
  return (struct http_text){"", 0};
}

uint32_t http_header_count(const struct http_request *request, const char *name) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < request->headers_count; i++) {
    const struct http_text *n = &request->headers[i].name;
    if (n->n == strlen(name) && memcmp(n->p, name, n->n) == 0) count++;
  }
  return count;
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

/* Host is an address, or localhost; with a port or not. */
static bool host_is_local(struct http_text host) {
  size_t others = 0;
  const char *colon = host.n && *host.p != '[' ? memchr(host.p, ':', host.n) : NULL;
  if (colon) host.n = (size_t)(colon - host.p);
  for (size_t i = 0; i < host.n; i++) others += !((host.p[i] >= '0' && host.p[i] <= '9') || host.p[i] == '.');
  return (host.n && (*host.p == '[' || others == 0)) || http_text_is(host, "localhost");
}

bool http_is_local(const struct http_request *request) {
  static const char scheme[] = "http://";
  struct http_text origin = http_header(request, "origin"), host = request->host;
  size_t n = sizeof scheme - 1;
  bool ours = !origin.n || (origin.n == n + host.n && !memcmp(origin.p, scheme, n) && !memcmp(origin.p + n, host.p, host.n));
  return ours && host_is_local(host);
}

void http_target(struct http_text target, struct http_text *path, struct http_text *query) {
  const char *end = target.p + target.n, *p = target.p;
  const char *host = target.n && *p != '/' ? memmem(p, target.n, "://", 3) : NULL;
  if (host)
    for (p = host + 3; p < end && *p != '/' && *p != '?';) p++;
  const char *mark = p < end ? memchr(p, '?', (size_t)(end - p)) : NULL;
  *path = (struct http_text){p, (size_t)((mark ? mark : end) - p)};
  *query = (struct http_text){"", 0};
  if (mark) *query = (struct http_text){mark + 1, (size_t)(end - mark - 1)};
  if (path->n == 0) *path = (struct http_text){"/", 1};
}

static int refuse(const char **why, const char *reason, int status) {
  *why = reason;
  return status;
}

/* RFC 9112 6.1: in HTTP/1.0 a Transfer-Encoding is not to be trusted. */
static int judge_framing(const struct http_request *r, const char **why) {
  uint32_t codings = http_header_count(r, "transfer-encoding");
  if (!codings) return 0;
  if (r->http10) return refuse(why, "Transfer-Encoding in HTTP/1.0", 400);
  if (codings > 1 || !http_text_is(http_header(r, "transfer-encoding"), "chunked"))
    return refuse(why, "no Transfer-Encoding but chunked is understood", 501);
  return !r->chunked || r->has_length ? refuse(why, "Transfer-Encoding and Content-Length", 400) : 0;
}

int http_judge(struct http_request *r, const char **why) {
  uint32_t hosts = http_header_count(r, "host");
  if (hosts > 1 || (hosts == 0 && !r->http10)) return refuse(why, "exactly one Host header is needed", 400);
  int status = judge_framing(r, why);
  struct http_text expect = http_header(r, "expect");
  if (status || !expect.n || r->http10) return status;
  if (!http_text_is(expect, "100-continue")) return refuse(why, "no expectation but 100-continue is met", 417);
  r->expects_continue = r->chunked || r->content_length > 0;
  return 0;
}

/* "Not Found" of 404; "Unknown" for what is not in the list. */
static const char *status_text(int status) {
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

const char *http_date(struct http_date *d) {
  int64_t now_s = (int64_t)time(NULL);
  if (now_s != d->s) {
    struct tm tm;
    time_t t = (time_t)now_s;
    gmtime_r(&t, &tm);
    strftime(d->text, sizeof d->text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    d->s = now_s;
  }
  return d->text;
}

/* To a browser, on behalf of a page: how long the answer to a question holds is in seconds. */
static void add_cors(struct buffer *b, const struct http_response *r) {
  if (!r->allow_origin.n) return;
  buffer_printf(b, "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n", (int)r->allow_origin.n, r->allow_origin.p);
  if (r->retry_after_s) buffer_text(b, "Access-Control-Expose-Headers: Retry-After\r\n");
  if (!r->allow_methods) return;
  buffer_printf(b, "Access-Control-Allow-Methods: %s\r\nAccess-Control-Max-Age: 7200\r\n", r->allow_methods);
  if (r->allow_headers.n)
    buffer_printf(b, "Access-Control-Allow-Headers: %.*s\r\n", (int)r->allow_headers.n, r->allow_headers.p);
}

int http_head(struct buffer *b, const struct http_response *response, size_t body_bytes,
              bool keep_alive, const char *date) {
  buffer_printf(b, "HTTP/1.1 %d %s\r\n", response->status, status_text(response->status));
  if (date) buffer_printf(b, "Date: %s\r\n", date);
  if (response->content_type) buffer_printf(b, "Content-Type: %s\r\n", response->content_type);
  bool sized = body_bytes != (size_t)HTTP_LENGTH_UNKNOWN;
  if (sized && response->status >= 200 && response->status != 204 && response->status != 304)
    buffer_printf(b, "Content-Length: %zu\r\n", body_bytes);
  if (response->allow) buffer_printf(b, "Allow: %s\r\n", response->allow);
  if (response->retry_after_s) buffer_printf(b, "Retry-After: %u\r\n", response->retry_after_s);
  add_cors(b, response);
  buffer_printf(b, "Connection: %s\r\n\r\n", keep_alive ? "keep-alive" : "close");
  return b->err;
}
