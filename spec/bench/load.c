/* A load generator for OTLP over HTTP, on keep-alive connections.
 *
 *   load [--json] [--rate=SPANS_A_SECOND] [--seconds=N | --requests=N] [--spans=N] [--connections=N] [--seed=N]
 *        [--violations=FIFO] [--first] PORT
 *
 * Without a rate each connection sends as fast as answers come. With one the load is open: requests are due at
 * fixed times whether or not answers came, and latency counts from the time a request was due, so a server that
 * stalls is charged for all that it delayed. With --violations, lines are read from there meanwhile and until a
 * second after the last request; each names a trace, its id says which request carried it, and the time from when
 * that request was due to the line is the detection latency; rules named bench-absence… are counted, but left out
 * of that, for they are decided when their trace closes. With --first the generator runs before all else on the
 * machine, as SCHED_FIFO, or where that is not permitted as nice as it may be, so that what it waits for is the server
 * and not its own turn. Prints one JSON object; times in microseconds. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "payload.h"

enum { BODIES = 16, CONNECTIONS_MAX = 64, SAMPLES_MAX = 1 << 20, AFTER_NS = 1000000000 };

struct load {
  int port, connections, violations;
  bool json, first;
  double rate;
  size_t requests, spans;
  uint64_t seed, seconds;
  uint64_t began_ns;
  atomic_size_t next, bytes, failed, partial;
  atomic_bool done;
  uint64_t *due_ns, *latency_ns;     /* by request */
  uint64_t *detection_ns;
  size_t detections, violations_seen;
};

static uint64_t now_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* ---- one connection --------------------------------------------------------------------------------------- */

static int connect_to(int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static bool send_all(int fd, const void *p, size_t n) {
  for (const char *bytes = p; n;) {
    ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    n -= (size_t)sent;
  }
  return true;
}

/* Whether an answer came and is a 200; *partial: with something in it. */
static bool answer_is_200(int fd, bool json, bool *partial) {
  char answer[4096];
  size_t n = 0, body = 0;
  for (char *head = NULL; !head || n < (size_t)(head + 4 - answer) + body;) {
    ssize_t got = recv(fd, answer + n, sizeof answer - 1 - n, 0);
    if (got <= 0) return false;
    n += (size_t)got;
    answer[n] = '\0';
    head = strstr(answer, "\r\n\r\n");
    char *length = strcasestr(answer, "content-length:");
    body = length ? strtoul(length + 15, NULL, 10) : 0;
  }
  *partial = body > (json ? 2 : 0);
  return strncmp(answer, "HTTP/1.1 200", 12) == 0;
}

static void wait_until(uint64_t due_ns) {
  struct timespec until = {(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* A request that fails is charged for the time until it did, and not sent again; its connection is another one. */
static void send_request(struct load *l, int *fd, struct payload *body, size_t i) {
  char head[200];
  bool partial = false;
  payload_stamp(body, i, now_ns(CLOCK_REALTIME));
  int n = snprintf(head, sizeof head, "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/%s\r\nContent-Length: %zu\r\n\r\n",
                   l->json ? "json" : "x-protobuf", body->n);
  uint64_t due = now_ns(CLOCK_MONOTONIC);
  if (l->rate > 0) {
    due = l->began_ns + (uint64_t)((double)i * (double)l->spans / l->rate * 1e9);
    wait_until(due);
  }
  l->due_ns[i] = due;
  bool sent = send_all(*fd, head, (size_t)n) && send_all(*fd, body->bytes, body->n);
  if (!answer_is_200(*fd, l->json, &partial) || !sent) {
    l->failed++;
    close(*fd);
    *fd = connect_to(l->port);
  }
  l->partial += partial;
  l->latency_ns[i] = now_ns(CLOCK_MONOTONIC) - due;
  l->bytes += body->n;
}

static void *connection(void *ctx) {
  struct load *l = ctx;
  struct payload bodies[BODIES];
  for (size_t i = 0; i < BODIES; i++) payload_init(&bodies[i], l->seed * BODIES + i, l->spans, l->json);
  int fd = connect_to(l->port);
  for (size_t i; (i = l->next++) < l->requests;) {
    if (l->seconds && !(l->rate > 0) && now_ns(CLOCK_MONOTONIC) - l->began_ns > l->seconds * 1000000000u) break;
    send_request(l, &fd, &bodies[i % BODIES], i);
  }
  close(fd);
  for (size_t i = 0; i < BODIES; i++) payload_deinit(&bodies[i]);
  return NULL;
}

/* ---- violations ------------------------------------------------------------------------------------------- */

static void detected(struct load *l, const char *line, uint64_t now) {
  const char *id = strstr(line, "\"trace_id\":\"");
  l->violations_seen++;
  if (strstr(line, "\"bench-absence")) return;
  if (!id || strlen(id) < 44 || l->detections == SAMPLES_MAX) return;
  uint64_t request = strtoull(id + 28, NULL, 16);
  if (request < l->requests && l->due_ns[request]) l->detection_ns[l->detections++] = now - l->due_ns[request];
}

static void *watch(void *ctx) {
  struct load *l = ctx;
  static char text[1 << 20];
  size_t n = 0;
  for (uint64_t quiet_ns = now_ns(CLOCK_MONOTONIC); !l->done || now_ns(CLOCK_MONOTONIC) - quiet_ns < AFTER_NS;) {
    struct pollfd fd = {.fd = l->violations, .events = POLLIN};
    if (poll(&fd, 1, 50) <= 0) continue;
    ssize_t got = read(l->violations, text + n, sizeof text - 1 - n);
    if (got <= 0) break;
    quiet_ns = now_ns(CLOCK_MONOTONIC);
    text[n += (size_t)got] = '\0';
    char *line = text, *end;
    for (; (end = strchr(line, '\n')); line = end + 1) {
      *end = '\0';
      detected(l, line, quiet_ns);
    }
    n = (size_t)(text + n - line);
    memmove(text, line, n);
  }
  return NULL;
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static void options(struct load *l, int argc, char **argv) {
  static const struct option known[] = {{"json", 0, 0, 'j'}, {"rate", 1, 0, 'r'}, {"seconds", 1, 0, 's'}, {"requests", 1, 0, 'n'},
                                        {"spans", 1, 0, 'k'}, {"connections", 1, 0, 'c'}, {"seed", 1, 0, 'x'}, {"violations", 1, 0, 'v'},
                                        {"first", 0, 0, 'f'}, {0, 0, 0, 0}};
  for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    if (c == 'j') l->json = true;
    else if (c == 'r') l->rate = strtod(optarg, NULL);
    else if (c == 's') l->seconds = strtoull(optarg, NULL, 10);
    else if (c == 'n') l->requests = strtoul(optarg, NULL, 10);
    else if (c == 'k') l->spans = strtoul(optarg, NULL, 10);
    else if (c == 'c') l->connections = atoi(optarg);
    else if (c == 'x') l->seed = strtoull(optarg, NULL, 10);
    else if (c == 'f') l->first = true;
    else if (c == 'v') l->violations = open(optarg, O_RDWR | O_CLOEXEC);
    else exit(2);
  }
  if (optind + 1 != argc || l->connections < 1 || l->connections > CONNECTIONS_MAX) {
    fprintf(stderr, "usage: load [--json] [--rate=N] [--seconds=N | --requests=N] [--spans=N] [--connections=N] [--seed=N] [--violations=FIFO] [--first] PORT\n");
    exit(2);
  }
  l->port = atoi(argv[optind]);
  if (l->rate > 0 && l->seconds) l->requests = (size_t)(l->rate * (double)l->seconds / (double)l->spans);
}

/* How it runs: what was asked for and permitted. */
static const char *go_first(const struct load *l) {
  const struct sched_param lowest = {.sched_priority = 1};
  if (!l->first) return "as others";
  if (!sched_setscheduler(0, SCHED_FIFO, &lowest)) return "fifo";
  for (int nice = -20; nice < 0; nice++)
    if (!setpriority(PRIO_PROCESS, 0, nice)) return "nice";
  return "as others";
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static double share(uint64_t *list, size_t n, double part) {
  if (!n) return 0;
  return (double)list[(size_t)((double)(n - 1) * part)] / 1e3;
}

static void report(struct load *l, size_t sent, double seconds, const char *runs) {
  qsort(l->latency_ns, sent, sizeof *l->latency_ns, compare);
  qsort(l->detection_ns, l->detections, sizeof *l->detection_ns, compare);
  printf("{\"spans\":%zu,\"bytes\":%zu,\"seconds\":%.6f,\"failed\":%zu,\"partial\":%zu,\"ack_us_p50\":%.1f,\"ack_us_p99\":%.1f,\"ack_us_max\":%.1f,"
         "\"violations\":%zu,\"detect_us_p50\":%.1f,\"detect_us_p99\":%.1f,\"runs\":\"%s\"}\n",
         sent * l->spans, l->bytes, seconds, l->failed, l->partial, share(l->latency_ns, sent, .5), share(l->latency_ns, sent, .99),
         share(l->latency_ns, sent, 1), l->violations_seen, share(l->detection_ns, l->detections, .5), share(l->detection_ns, l->detections, .99),
         runs);
}

int main(int argc, char **argv) {
  static struct load l = {.connections = 1, .requests = SAMPLES_MAX, .spans = 512, .violations = -1};
  pthread_t threads[CONNECTIONS_MAX], watcher;
  options(&l, argc, argv);
  const char *runs = go_first(&l);         /* threads that begin later run as this one */
  l.due_ns = calloc(l.requests, sizeof *l.due_ns);
  l.latency_ns = calloc(l.requests, sizeof *l.latency_ns);
  l.detection_ns = calloc(SAMPLES_MAX, sizeof *l.detection_ns);
  if (!l.due_ns || !l.latency_ns || !l.detection_ns) die("calloc");
  if (l.violations >= 0) pthread_create(&watcher, NULL, watch, &l);
  l.began_ns = now_ns(CLOCK_MONOTONIC);
  for (int i = 0; i < l.connections; i++) pthread_create(&threads[i], NULL, connection, &l);
  for (int i = 0; i < l.connections; i++) pthread_join(threads[i], NULL);
  double seconds = (double)(now_ns(CLOCK_MONOTONIC) - l.began_ns) / 1e9;
  l.done = true;
  if (l.violations >= 0) pthread_join(watcher, NULL);
  size_t sent = 0;
  while (sent < l.requests && l.latency_ns[sent]) sent++;
  report(&l, sent, seconds, runs);
  return l.failed > 0;
}
