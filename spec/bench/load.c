/* A load generator: realistic OTLP protobuf over one keep-alive HTTP connection.
 *
 *   load PORT REQUESTS [SPANS_PER_REQUEST [SEED [REQUESTS_PER_SECOND]]]
 *
 * Traces of 8 to 20 spans in trees over 5 services, about 450 bytes and 10 attributes a span, 1 %
 * errors. Ids are new in every request, times are now. Without a rate it sends as fast as answers
 * come. Prints one JSON object: spans, bytes, seconds, and the latency from the first byte sent to
 * the answer (median, p99), in microseconds. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t state = 88172645463325252ull;

static uint64_t random64(void) { /* xorshift64 (Marsaglia 2003) */
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static uint64_t now_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- protobuf, written from the back: lengths are known when they are due ------------------ */

static uint8_t block[4 << 20];
static uint8_t *at;

static void put(const void *p, size_t n) {
  at -= n;
  memcpy(at, p, n);
}
static void put_varint(uint64_t x) {
  uint8_t bytes[10];
  size_t n = 0;
  do {
    bytes[n++] = (uint8_t)(x & 127) | (x > 127 ? 128 : 0);
  } while (x >>= 7);
  put(bytes, n);
}
static void put_tag(uint32_t number, uint32_t type) {
  put_varint(number << 3 | type);
}
static void put_len(uint32_t number, const void *p, size_t n) {
  put(p, n);
  put_varint(n);
  put_tag(number, 2);
}
static void put_text(uint32_t number, const char *s) {
  put_len(number, s, strlen(s));
}
static void put_fixed64(uint32_t number, uint64_t x) {
  put(&x, 8);
  put_tag(number, 1);
}
static void end_message(uint32_t number, const uint8_t *end) {
  put_varint((uint64_t)(end - at));
  put_tag(number, 2);
}

static void put_attribute(uint32_t number, const char *key, const char *text, int64_t integer) {
  const uint8_t *whole = at, *value = at;
  if (text)
    put_text(1, text);
  else {
    put_varint((uint64_t)integer);
    put_tag(3, 0);
  }
  end_message(2, value);
  put_text(1, key);
  end_message(number, whole);
}

/* ---- spans --------------------------------------------------------------------------------- */

static const char *const services[] = {"frontend", "cart", "checkout", "payment", "catalogue"};
static const char *const names[] = {
    "GET /api/products/{id}",   "POST /api/cart", "checkout.place_order", "payment.charge_card",
    "db.query SELECT products", "cache.get",      "http.request",         "publish order.placed"};

static void put_span(const uint8_t trace[16], const uint8_t id[8], const uint8_t *parent,
                     uint64_t start, uint64_t end) {
  const uint8_t *whole = at;
  char url[64], user[40];
  int error = random64() % 100 == 0;
  snprintf(url, sizeof url, "https://shop.example/api/v1/items/%u",
           (unsigned)(random64() % 100000));
  snprintf(user, sizeof user, "user-%08x", (unsigned)random64());
  if (error) {
    const uint8_t *status = at;
    put_varint(2);
    put_tag(3, 0);
    end_message(15, status);
  }
  put_attribute(9, "thread.name", "http-nio-8080-exec-7", 0);
  put_attribute(9, "net.peer.port", NULL, (int64_t)(1024 + random64() % 60000));
  put_attribute(9, "net.peer.name", "10.0.12.7", 0);
  put_attribute(9, "db.system", "postgresql", 0);
  put_attribute(9, "enduser.id", user, 0);
  put_attribute(9, "http.user_agent", "Mozilla/5.0 (X11; Linux x86_64)", 0);
  put_attribute(9, "http.response_content_length", NULL, (int64_t)(random64() % 100000));
  put_attribute(9, "http.status_code", NULL, error ? 500 : 200);
  put_attribute(9, "http.url", url, 0);
  put_attribute(9, "http.method", "GET", 0);
  put_fixed64(8, end);
  put_fixed64(7, start);
  put_varint(2 + random64() % 2);
  put_tag(6, 0);
  put_text(5, names[random64() % 8]);
  if (parent) put_len(4, parent, 8);
  put_len(2, id, 8);
  put_len(1, trace, 16);
  end_message(2, whole);
}

/* The spans of one request, service by service, as a collector groups them. */
struct planned {
  uint8_t trace[16], id[8], parent[8];
  int has_parent, service;
};

static size_t plan(struct planned *spans, size_t n) {
  for (size_t i = 0; i < n;) {
    size_t first = i, length = 8 + random64() % 13;
    uint64_t trace[2] = {random64(), random64()};
    for (; i < n && i < first + length; i++) {
      uint64_t id = random64();
      memcpy(spans[i].trace, trace, 16);
      memcpy(spans[i].id, &id, 8);
      spans[i].has_parent = i > first;
      if (i > first) memcpy(spans[i].parent, spans[first + random64() % (i - first)].id, 8);
      spans[i].service = (int)(random64() % 5);
    }
  }
  return n;
}

static size_t build(size_t n) {
  static struct planned spans[65536];
  uint64_t now = now_ns(CLOCK_REALTIME);
  plan(spans, n);
  at = block + sizeof block;
  const uint8_t *body = at;
  for (int service = 0; service < 5; service++) {
    const uint8_t *resource_spans = at, *scope_spans = at;
    for (size_t i = 0; i < n; i++)
      if (spans[i].service == service)
        put_span(spans[i].trace, spans[i].id, spans[i].has_parent ? spans[i].parent : NULL,
                 now - random64() % 50000000, now);
    const uint8_t *scope = at;
    put_text(2, "1.2.3");
    put_text(1, "io.opentelemetry.http");
    end_message(1, scope);
    end_message(2, scope_spans);
    const uint8_t *resource = at;
    put_attribute(1, "host.name", "node-17.eu-west-1.example", 0);
    put_attribute(1, "telemetry.sdk.language", "java", 0);
    put_attribute(1, "service.name", services[service], 0);
    end_message(1, resource);
    end_message(1, resource_spans);
  }
  return (size_t)(body - at);
}

/* ---- HTTP ---------------------------------------------------------------------------------- */

static void send_all(int fd, const void *p, size_t n) {
  const char *bytes = p;
  while (n) {
    ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
    if (sent <= 0) {
      perror("send");
      exit(1);
    }
    bytes += sent;
    n -= (size_t)sent;
  }
}

static void expect_200(int fd) {
  char answer[4096];
  size_t n = 0;
  while (n < sizeof answer - 1) {
    ssize_t got = recv(fd, answer + n, sizeof answer - 1 - n, 0);
    if (got <= 0) {
      perror("recv");
      exit(1);
    }
    n += (size_t)got;
    answer[n] = '\0';
    char *head = strstr(answer, "\r\n\r\n");
    if (!head) continue;
    char *length = strcasestr(answer, "content-length:");
    size_t body = length ? strtoul(length + 15, NULL, 10) : 0;
    if (n >= (size_t)(head + 4 - answer) + body) break;
  }
  if (strncmp(answer, "HTTP/1.1 200", 12) != 0) {
    fprintf(stderr, "load: %.200s\n", answer);
    exit(1);
  }
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
  if (argc < 3) return fprintf(stderr, "usage: load PORT REQUESTS [SPANS [SEED [RATE]]]\n"), 2;
  size_t requests = strtoul(argv[2], NULL, 10), spans = argc > 3 ? strtoul(argv[3], NULL, 10) : 512;
  if (argc > 4) state ^= strtoull(argv[4], NULL, 10) * 0x9e3779b97f4a7c15ull;
  double rate = argc > 5 ? strtod(argv[5], NULL) : 0;
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons((uint16_t)atoi(argv[1])),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) return perror("connect"), 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  uint64_t *latency = calloc(requests + 1, sizeof *latency), began = now_ns(CLOCK_MONOTONIC);
  size_t bytes = 0;
  for (size_t i = 0; i < requests; i++) {
    char head[160];
    size_t n = build(spans);
    int head_bytes = snprintf(head, sizeof head,
                              "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                              "application/x-protobuf\r\nContent-Length: %zu\r\n\r\n",
                              n);
    if (rate > 0) {
      uint64_t due = began + (uint64_t)((double)i / rate * 1e9);
      struct timespec until = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    send_all(fd, head, (size_t)head_bytes);
    send_all(fd, at, n);
    expect_200(fd);
    latency[i] = now_ns(CLOCK_MONOTONIC) - start;
    bytes += n;
  }
  double seconds = (double)(now_ns(CLOCK_MONOTONIC) - began) / 1e9;
  qsort(latency, requests, sizeof *latency, compare);
  printf("{\"spans\":%zu,\"bytes\":%zu,\"seconds\":%.6f,\"latency_us_p50\":%.1f,\"latency_us_p99\":"
         "%.1f}\n",
         requests * spans, bytes, seconds, requests ? (double)latency[requests / 2] / 1e3 : 0.0,
         requests ? (double)latency[requests * 99 / 100] / 1e3 : 0.0);
  return 0;
}
