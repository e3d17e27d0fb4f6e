/* Requests by libcurl.
 *
 * Good path: fluo_courier_send makes a handle of libcurl's with all that the request says, and gives it to the multi
 * handle; the loop waits and lets it go on; a transfer that is over moves to the list of those done, from which
 * fluo_courier_next hands out one after the other. The one handed out is freed at the next call.
 *
 * Ways it fails: no libcurl, too many requests, no memory: 0 and why, and nothing was begun. What libcurl itself
 * finds wrong, and an address that is not to be reached, come as a response with an error. A body that has no end, or
 * does not come, is cut: once the head is whole the status is the answer, for the receiver has said it.
 *
 * One loop serves all, so nothing that libcurl does may wait. Of itself it waits for the thread that looks up a name when
 * the request's time is over (CURLOPT_QUICK_EXIT: the thread ends by itself), and for a mail server's answer to QUIT
 * (on_debug: it is not read). A connection ends with its request, and HTTP is 1.1: one that died silently while it was kept would
 * take the next request's time, libcurl sends a request again where a kept connection ends without an answer, and one of HTTP/2 is
 * kept though all on it have timed out.
 *
 * How many go out at once is the sender's to say, receiver by receiver. A bound of libcurl's for each host would let
 * a path that hangs hold back the others of its host, whose time runs while they wait for a connection.
 *
 * Each request owns copies of what it needs; a handle is freed with its request, whatever state it is in. */
#include "courier.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "buffer.h"
#include "heap.h"

#define FUNCTIONS(X)                                                                                    \
  X(global_init) X(easy_init) X(easy_setopt) X(easy_cleanup) X(easy_getinfo) X(easy_strerror)             \
  X(multi_init) X(multi_add_handle) X(multi_remove_handle) X(multi_perform) X(multi_poll)                 \
  X(multi_info_read) X(slist_append) X(slist_free_all) X(getdate)                                       \
  X(url) X(url_cleanup) X(url_get) X(url_set) X(free)

struct library {
#define X(name) __typeof__(curl_##name) *name;
  FUNCTIONS(X)
#undef X
};

/* Of one request at once: libcurl tries an IPv6 and an IPv4 address. */
enum { SOCKETS_MAX = 4 };

struct request {
  struct request *next;
  struct fluo_courier *courier;
  uint32_t id, flags, retry_after_s;
  bool done, refused, cut, answered;      /* answered: the head is whole */
  int sockets[SOCKETS_MAX];               /* that libcurl has open for it; -1: none */
  CURLcode result;
  CURL *easy;
  struct curl_slist *headers, *to;
  uint8_t *body;
  size_t body_bytes, body_sent;
  struct buffer answer, answer_headers;
  char error[CURL_ERROR_SIZE + 64];
};

struct fluo_courier {
  struct library lib;
  CURLM *multi;                      /* NULL: the library was not needed yet */
  struct request *requests, *handed_out;
  uint32_t last_id, count;
};

/* ---- the library --------------------------------------------------------------------------------- */

static bool find_all(struct library *lib, void *handle) {
#define X(name)                                                       \
  void *name = dlsym(handle, "curl_" #name);                          \
  if (!name) return false;                                            \
  memcpy(&lib->name, &name, sizeof name);
  FUNCTIONS(X)
#undef X
  return true;
}

static bool load(struct fluo_courier *c, char why[256]) {
  if (c->multi) return true;
  void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!handle || !find_all(&c->lib, handle)) {
    snprintf(why, 256, "libcurl.so.4 is needed to send alerts, and cannot be used here (Debian: libcurl4)");
    if (handle) dlclose(handle);
    return false;
  }
  if (!c->lib.global_init(CURL_GLOBAL_DEFAULT)) c->multi = c->lib.multi_init();
  if (!c->multi) snprintf(why, 256, "libcurl cannot be set up");
  return c->multi != NULL;
}

/* ---- callbacks of libcurl's ----------------------------------------------------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *ctx) {
  struct request *r = ctx;
  size_t room = COURIER_BODY_BYTES - r->answer.len;
  n *= size;
  if (n > room) r->cut = true;
  if (buffer_add(&r->answer, p, n < room ? n : room)) return 0;
  return r->cut ? 0 : n;
}

static bool is_header(const char *p, size_t n, const char *name) {
  return n > strlen(name) && strncasecmp(p, name, strlen(name)) == 0;
}

/* Seconds, or a date (RFC 9110 10.2.3); anything else is as if it were not there. */
static void note_retry_after(struct request *r, const char *p, size_t n) {
  char text[64], *end = text;
  while (n && (*p == ' ' || *p == '\t')) p++, n--;
  if (n >= sizeof text) return;
  memcpy(text, p, n);
  text[n] = '\0';
  unsigned long s = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
  while (*end == ' ' || *end == '\r' || *end == '\n') end++;
  if (*end) {
    time_t at = r->courier->lib.getdate(text, NULL), now = time(NULL);
    s = at > now ? (unsigned long)(at - now) : 0;
  }
  r->retry_after_s = s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

static long status_of(const struct request *r) {
  long status = 0;
  r->courier->lib.easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx) {
  struct request *r = ctx;
  n *= size;
  if (is_header(p, n, "retry-after:")) note_retry_after(r, p + 12, n - 12);
  if (n <= 2 && (*p == '\r' || *p == '\n') && status_of(r) >= 200) r->answered = true;
  if (r->answer_headers.len + n > COURIER_HEADERS_BYTES) return n;      /* what is beyond is not handed on */
  return buffer_add(&r->answer_headers, p, n) ? 0 : n;
}

static size_t on_read(char *out, size_t size, size_t n, void *ctx) {
  struct request *r = ctx;
  size_t left = r->body_bytes - r->body_sent;
  n *= size;
  if (n > left) n = left;
  memcpy(out, r->body + r->body_sent, n);
  r->body_sent += n;
  return n;
}

/* The address is known here and not before, so a name that leads to another one each time is of no use. */
static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address) {
  struct request *r = ctx;
  if (purpose == CURLSOCKTYPE_IPCXN && !(r->flags & FLUO_REQUEST_PRIVATE) && courier_is_private(&address->addr)) {
    r->refused = true;
    return CURL_SOCKET_BAD;
  }
  int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  for (int i = 0; i < SOCKETS_MAX; i++)
    if (fd >= 0 && r->sockets[i] < 0) {
      r->sockets[i] = fd;
      return fd;
    }
  return fd;
}

static int on_close(void *ctx, curl_socket_t fd) {
  struct request *r = ctx;
  for (int i = 0; i < SOCKETS_MAX; i++)
    if (r->sockets[i] == fd) r->sockets[i] = -1;
  return close(fd);
}

/* Past QUIT a mail server has nothing to say that we wait for. */
static int on_debug(CURL *easy, curl_infotype type, char *text, size_t n, void *ctx) {
  const struct request *r = ctx;
  (void)easy;
  if (type != CURLINFO_HEADER_OUT || n < 4 || memcmp(text, "QUIT", 4)) return 0;
  for (int i = 0; i < SOCKETS_MAX; i++)
    if (r->sockets[i] >= 0) shutdown(r->sockets[i], SHUT_RD);
  return 0;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static void request_free(struct request *r) {
  struct library *lib = &r->courier->lib;
  if (r->easy) {
    lib->multi_remove_handle(r->courier->multi, r->easy);
    lib->easy_cleanup(r->easy);
  }
  lib->slist_free_all(r->headers);
  lib->slist_free_all(r->to);
  heap_free(r->body);
  buffer_deinit(&r->answer);
  buffer_deinit(&r->answer_headers);
  heap_free(r);
}

/* A list of the lines of a text. */
static bool list_lines(const struct library *lib, const char *text, struct curl_slist **out) {
  char line[8192];
  while (text && *text) {
    size_t n = strcspn(text, "\n");
    if (n >= sizeof line) return false;
    memcpy(line, text, n);
    line[n] = '\0';
    struct curl_slist *list = lib->slist_append(*out, line);
    if (!list) return false;
    *out = list;
    text += n + (text[n] == '\n');
  }
  return true;
}

static bool copy_body(struct request *r, const struct fluo_request *from) {
  r->body = heap_alloc(from->body_bytes);
  if (!r->body) return false;
  if (from->body_bytes) memcpy(r->body, from->body, from->body_bytes);
  r->body_bytes = from->body_bytes;
  return true;
}

static void set_http(struct request *r, const struct fluo_request *from) {
  __typeof__(curl_easy_setopt) *set = r->courier->lib.easy_setopt;
  bool bodiless = !from->body_bytes && (!strcmp(from->method, "GET") || !strcmp(from->method, "DELETE"));
  if (!bodiless) {
    set(r->easy, CURLOPT_POSTFIELDS, r->body);
    set(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_bytes);
  }
  set(r->easy, CURLOPT_CUSTOMREQUEST, from->method);
  set(r->easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(r->easy, CURLOPT_HTTPHEADER, r->headers);
  set(r->easy, CURLOPT_FOLLOWLOCATION, 0L);
  set(r->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
}

static void set_mail(struct request *r, const struct fluo_request *from) {
  __typeof__(curl_easy_setopt) *set = r->courier->lib.easy_setopt;
  set(r->easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  set(r->easy, CURLOPT_MAIL_FROM, from->from);
  set(r->easy, CURLOPT_MAIL_RCPT, r->to);
  set(r->easy, CURLOPT_UPLOAD, 1L);
  set(r->easy, CURLOPT_VERBOSE, 1L);        /* for on_debug */
  set(r->easy, CURLOPT_DEBUGFUNCTION, on_debug);
  set(r->easy, CURLOPT_DEBUGDATA, r);
  set(r->easy, CURLOPT_READFUNCTION, on_read);
  set(r->easy, CURLOPT_READDATA, r);
  set(r->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_bytes);
  /* Where a password goes, so does encryption. */
  set(r->easy, CURLOPT_USE_SSL, (long)(from->password ? CURLUSESSL_ALL : CURLUSESSL_TRY));
}

static void set_common(struct request *r, const struct fluo_request *from) {
  __typeof__(curl_easy_setopt) *set = r->courier->lib.easy_setopt;
  set(r->easy, CURLOPT_URL, from->url);
  set(r->easy, CURLOPT_PRIVATE, r);
  set(r->easy, CURLOPT_ERRORBUFFER, r->error);
  set(r->easy, CURLOPT_NOSIGNAL, 1L);
  set(r->easy, CURLOPT_PROXY, "");
  set(r->easy, CURLOPT_TIMEOUT_MS, (long)from->timeout_ms);
  set(r->easy, CURLOPT_WRITEFUNCTION, on_body);
  set(r->easy, CURLOPT_WRITEDATA, r);
  set(r->easy, CURLOPT_HEADERFUNCTION, on_header);
  set(r->easy, CURLOPT_HEADERDATA, r);
  set(r->easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
  set(r->easy, CURLOPT_OPENSOCKETDATA, r);
  set(r->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
  set(r->easy, CURLOPT_CLOSESOCKETDATA, r);
  set(r->easy, CURLOPT_FORBID_REUSE, 1L);
  set(r->easy, CURLOPT_QUICK_EXIT, 1L);
  set(r->easy, CURLOPT_USERAGENT, "fluo/" FLUO_VERSION);
  if (from->user) set(r->easy, CURLOPT_USERNAME, from->user);
  if (from->password) set(r->easy, CURLOPT_PASSWORD, from->password);
  if (from->ca_file) set(r->easy, CURLOPT_CAINFO, from->ca_file);
}

static struct request *request_new(struct fluo_courier *c, const struct fluo_request *from) {
  struct request *r = heap_zalloc(sizeof *r);
  if (!r) return NULL;
  r->courier = c;
  r->flags = from->flags;
  for (int i = 0; i < SOCKETS_MAX; i++) r->sockets[i] = -1;
  buffer_init(&r->answer, COURIER_BODY_BYTES);
  buffer_init(&r->answer_headers, COURIER_HEADERS_BYTES);
  r->easy = c->lib.easy_init();
  if (!r->easy || !copy_body(r, from) || !list_lines(&c->lib, from->headers, &r->headers) ||
      !list_lines(&c->lib, from->to, &r->to)) {
    request_free(r);
    return NULL;
  }
  set_common(r, from);
  if (from->method) set_http(r, from);
  else set_mail(r, from);
  return r;
}

uint32_t fluo_courier_send(struct fluo_courier *c, const struct fluo_request *request, char why[256]) {
  if (!load(c, why)) return 0;
  if (c->count >= COURIER_REQUESTS_MAX) {
    snprintf(why, 256, "%u requests are under way: no more fit", c->count);
    return 0;
  }
  struct request *r = request_new(c, request);
  if (!r || c->lib.multi_add_handle(c->multi, r->easy)) {
    snprintf(why, 256, "a request cannot be made: out of memory, or a line in its headers is too long");
    if (r) request_free(r);
    return 0;
  }
  r->id = ++c->last_id ? c->last_id : ++c->last_id;
  r->next = c->requests;
  c->requests = r;
  c->count++;
  return r->id;
}

static void take_out(struct fluo_courier *c, struct request *r) {
  struct request **at = &c->requests;
  while (*at != r) at = &(*at)->next;
  *at = r->next;
  c->count--;
}

void fluo_courier_cancel(struct fluo_courier *c, uint32_t id) {
  for (struct request *r = c->requests; r; r = r->next) {
    if (r->id != id) continue;
    take_out(c, r);
    request_free(r);
    return;
  }
}

/* ---- responses ------------------------------------------------------------------------------------ */

static const char *error_of(struct request *r) {
  if (r->refused) return "the address is a private one, or this machine's own: it has to be allowed";
  if (r->result == CURLE_OK || r->answered) return NULL;
  return r->error[0] ? r->error : r->courier->lib.easy_strerror(r->result);
}

static void fill(struct request *r, struct fluo_response *out) {
  *out = (struct fluo_response){.id = r->id, .status = (uint32_t)status_of(r), .retry_after_s = r->retry_after_s,
                                .cut = r->cut || r->result != CURLE_OK, .body_bytes = (uint32_t)r->answer.len,
                                .headers_bytes = (uint32_t)r->answer_headers.len,
                                .body = r->answer.data ? r->answer.data : "",
                                .headers = r->answer_headers.data ? r->answer_headers.data : "",
                                .error = error_of(r)};
}

int fluo_courier_next(struct fluo_courier *c, struct fluo_response *out) {
  if (c->handed_out) request_free(c->handed_out);
  c->handed_out = NULL;
  for (struct request *r = c->requests; r; r = r->next) {
    if (!r->done) continue;
    take_out(c, r);
    c->handed_out = r;
    fill(r, out);
    return 1;
  }
  return 0;
}

/* ---- the loop ------------------------------------------------------------------------------------- */

struct fluo_courier *courier_new(void) {
  return heap_zalloc(sizeof(struct fluo_courier));
}

void courier_turn(struct fluo_courier *c) {
  int running, left;
  CURLMsg *message;
  if (!c->multi) return;
  c->lib.multi_perform(c->multi, &running);
  while ((message = c->lib.multi_info_read(c->multi, &left))) {
    struct request *r = NULL;
    if (message->msg != CURLMSG_DONE) continue;
    c->lib.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &r);
    r->done = true;
    r->result = message->data.result;
  }
}

static void wait_plainly(struct pollfd *fds, unsigned count, int timeout_ms) {
  if (poll(fds, count, timeout_ms) < 0)
    for (unsigned i = 0; i < count; i++) fds[i].revents = 0;
}

void courier_wait(struct fluo_courier *c, struct pollfd *fds, unsigned count, int timeout_ms) {
  struct curl_waitfd extra[COURIER_FDS_MAX];
  assert(count <= COURIER_FDS_MAX);
  if (!c->requests) {
    wait_plainly(fds, count, timeout_ms);
    return;
  }
  for (unsigned i = 0; i < count; i++) {
    short events = (short)((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) | (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0));
    extra[i] = (struct curl_waitfd){.fd = fds[i].fd, .events = events};
  }
  c->lib.multi_poll(c->multi, extra, count, timeout_ms < 0 ? 60000 : timeout_ms, NULL);
  wait_plainly(fds, count, 0);       /* libcurl tells of reading and writing only, and not of an end */
}

int fluo_courier_host(struct fluo_courier *c, const char *url, char host[256], char why[256]) {
  if (!load(c, why)) return -1;
  CURLU *parts = c->lib.url();
  char *found = NULL;
  int err = !parts || c->lib.url_set(parts, CURLUPART_URL, url, 0) || c->lib.url_get(parts, CURLUPART_HOST, &found, 0);
  if (!err) err = strlen(found) >= 256;
  for (size_t i = 0; !err && (i == 0 || found[i - 1]); i++)
    host[i] = found[i] >= 'A' && found[i] <= 'Z' ? (char)(found[i] + 32) : found[i];
  if (err) snprintf(why, 256, "this is no URL");
  c->lib.free(found);
  c->lib.url_cleanup(parts);
  return err ? -1 : 0;
}

int fluo_hmac_sha256(const void *key, uint32_t key_bytes, const void *text, uint64_t n, uint8_t out[32]) {
  void *handle = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  const void *(*sha256)(void) = NULL;
  unsigned char *(*hmac)(const void *, const void *, int, const unsigned char *, size_t, unsigned char *, unsigned *) = NULL;
  unsigned size = 0;
  void *a = handle ? dlsym(handle, "EVP_sha256") : NULL, *b = handle ? dlsym(handle, "HMAC") : NULL;
  memcpy(&sha256, &a, sizeof a);
  memcpy(&hmac, &b, sizeof b);
  if (!sha256 || !hmac || key_bytes > INT32_MAX) return -1;
  return hmac(sha256(), key, (int)key_bytes, text, n, out, &size) && size == 32 ? 0 : -1;
}
