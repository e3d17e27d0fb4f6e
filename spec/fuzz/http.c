/* libFuzzer: the HTTP/1.1 parser. The first bytes of the input choose the limits and how the rest is cut;
 * whatever comes, each feed takes no more than it was lent, the body stays within its bound, the budget
 * is paid back, an error is said once with a status, and cutting the input otherwise changes nothing.
 *
 *   clang -fsanitize=fuzzer,address,undefined … spec/fuzz/http.c core/http1.c core/http.c …           */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "heap.h"
#include "http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was seen, folded into one number: events, paths, bodies, status. */
struct seen { uint64_t digest; uint32_t events, errors; };

static void note(struct seen *seen, const void *p, size_t n) {
  struct hash_key key = {seen->digest, n};
  seen->digest = hash64(&key, p ? p : "", p ? n : 0);
}

static void note_head(struct seen *seen, const struct http_request *r) {
  assert(r->path.n >= 1 && r->path.n <= HTTP1_TARGET_BYTES_MAX);
  assert(r->headers_count <= HTTP1_HEADERS_MAX);
  note(seen, r->path.p, r->path.n);
  note(seen, r->query.p, r->query.n);
  for (uint32_t i = 0; i < r->headers_count; i++) {
    assert(r->headers[i].name.n > 0);
    note(seen, r->headers[i].name.p, r->headers[i].name.n);
    note(seen, r->headers[i].value.p, r->headers[i].value.n);
  }
}

static void note_error(struct seen *seen, struct http1 *p) {
  struct http1_error e = http1_error(p);
  size_t taken;
  assert(e.status >= 400 && e.status < 600 && e.why && *e.why);
  assert(http1_feed(p, "x", 1, &taken) == HTTP1_ERROR && taken == 0);
  /* Not which status: a name can be one too many and malformed, and a cut decides what is seen first. */
  seen->errors++;
}

/* Lends each piece from a block of just its size, so that reading past it is seen. */
static enum http1_event feed(struct http1 *p, const uint8_t *at, size_t n, size_t *taken) {
  size_t room = 0;
  char *place = n % 3 == 1 ? http1_lend(p, &room) : NULL;
  if (place) {
    if (n > room) n = room;
    memcpy(place, at, n);
    return http1_feed(p, place, n, taken);
  }
  char *copy = malloc(n ? n : 1);
  memcpy(copy, at, n);
  enum http1_event event = http1_feed(p, copy, n, taken);
  free(copy);
  return event;
}

static struct seen parse(const uint8_t *data, size_t size, uint64_t body_max, uint32_t cut, bool discard) {
  struct http_budget budget = {0, 1 << 20};
  struct seen seen = {0};
  struct http1 *p;
  if (http1_new(body_max, &budget, &p) != 0) abort();
  for (size_t at = 0;;) {
    size_t piece = size - at, taken, room;
    if (cut) {
      cut = cut * 1664525 + 1013904223;
      size_t wanted = 1 + (cut >> 24) % 64;
      if (wanted < piece) piece = wanted;
    }
    enum http1_event event = feed(p, data + at, piece, &taken);
    assert(taken <= piece);
    at += taken;
    assert(budget.bytes <= budget.bytes_max);
    if (event == HTTP1_MORE) {
      if (at == size) break;
      continue;
    }
    seen.events++;
    note(&seen, &event, sizeof event);
    if (event == HTTP1_ERROR) {
      note_error(&seen, p);
      break;
    }
    if (event == HTTP1_HEAD) {
      note_head(&seen, http1_request(p));
      if (discard) http1_discard(p);
      continue;
    }
    const struct http_request *r = http1_request(p);
    assert(r->body_bytes <= body_max && (!discard || r->body_bytes == 0));
    assert(r->chunked || discard || r->body_bytes == r->content_length);
    note(&seen, r->body, r->body_bytes);
    assert(!http1_lend(p, &room));
    http1_next(p);
  }
  http1_free(p);
  assert(budget.bytes == 0);
  return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  uint64_t body_max = data[0] & 1 ? 64 : 4096;
  bool discard = data[0] & 2;
  uint32_t cut = (uint32_t)data[1] + 1;
  int64_t live = heap_live();
  struct seen whole = parse(data + 2, size - 2, body_max, 0, discard);
  struct seen pieces = parse(data + 2, size - 2, body_max, cut, discard);
  assert(whole.events == pieces.events && whole.digest == pieces.digest);
  assert(whole.errors <= 1 && pieces.errors == whole.errors);
  assert(heap_live() == live);
  return 0;
}
