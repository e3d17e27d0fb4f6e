/* An attacker, and the sink that it is compared with.
 *
 *   attack [--connections=N] [--rate=REQUESTS_A_SECOND] [--hold | --deaf] --seconds=N FILE PORT
 *   attack --sink=BYTES
 *
 * Each connection sends the file's bytes, which are one request, waits for its answer, and sends them again; a
 * closed connection is opened anew. --rate: no more often than that, all connections together. --hold: the bytes
 * are no whole request; they are sent once, and whatever comes is waited for. --deaf: the bytes are sent again and
 * again, and no answer is read. It runs at nice 19: what it burns in making bytes is no harm done to the agent, and would
 * be done on another machine. Span ids written by hostile.lua are stamped, so that each request brings new traces.
 * Prints one JSON object.
 *
 * The sink prints its port, reads, and answers every BYTES bytes of a connection (0: never) until it is killed. It
 * is what the same bytes cost where nobody looks at them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 400, STAMPS_MAX = 1 << 20, WAIT_MS = 10 };

struct peer { int fd; size_t sent, read; bool waits; };

struct attack {
  int port, connections;
  bool hold, deaf;
  double rate, seconds;
  char *bytes;
  size_t n;
  uint32_t *stamps, stamps_count, round;
  struct peer peers[CONNECTIONS_MAX];
  struct pollfd fds[CONNECTIONS_MAX + 1];
  size_t begun, answered, closed, statuses[6];
  double began;
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* ---- the attacker ------------------------------------------------------------------------------------------ */

static void load_file(struct attack *a, const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) die(path);
  a->n = (size_t)ftell(file);
  rewind(file);
  a->bytes = malloc(a->n);
  a->stamps = malloc(STAMPS_MAX * sizeof *a->stamps);
  if (!a->bytes || !a->stamps || fread(a->bytes, 1, a->n, file) != a->n) die(path);
  fclose(file);
  for (size_t i = 0; i + 18 <= a->n && a->stamps_count < STAMPS_MAX; i++) {
    static const char ones[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    if (a->bytes[i] == 10 && a->bytes[i + 1] == 16 && !memcmp(a->bytes + i + 8, ones, 10)) a->stamps[a->stamps_count++] = (uint32_t)i + 14;
  }
}

/* No connection may be amid its bytes, so stamped ones go over one connection. */
static void stamp(struct attack *a) {
  a->round++;
  for (uint32_t i = 0; i < a->stamps_count; i++) memcpy(a->bytes + a->stamps[i], &a->round, sizeof a->round);
}

static void peer_open(struct attack *a, struct peer *p) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)a->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1, small = 4096;
  *p = (struct peer){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), .waits = true};
  if (a->deaf) setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  if (p->fd < 0 || (connect(p->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)) die("connect");
  setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void peer_again(struct attack *a, struct peer *p) {
  close(p->fd);
  a->closed++;
  peer_open(a, p);
}

static bool due(const struct attack *a) {
  return !(a->rate > 0) || (double)a->begun <= (now() - a->began) * a->rate;
}

static void peer_write(struct attack *a, struct peer *p) {
  if (p->waits) {
    if (!due(a)) return;
    p->waits = false;
    p->sent = p->read = 0;
    a->begun++;
    if (a->stamps_count) stamp(a);
  }
  if (p->sent == a->n) return;
  ssize_t sent = send(p->fd, a->bytes + p->sent, a->n - p->sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != ENOTCONN) return; /* why is for the reader to see */
  if (sent > 0) p->sent += (size_t)sent;
  if (a->deaf && p->sent == a->n) p->waits = true;
}

/* Answers are smaller than a block, and one at a time. */
static void peer_read(struct attack *a, struct peer *p) {
  char text[16384];
  ssize_t got = recv(p->fd, text, sizeof text - 1, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    peer_again(a, p);
    return;
  }
  text[got] = '\0';
  int status = got > 12 && !strncmp(text, "HTTP/1.1 ", 9) ? text[9] - '0' : 0;
  if (status < 2 || status > 5) return;
  a->statuses[status]++;
  a->answered++;
  if (strcasestr(text, "connection: close")) peer_again(a, p);
  else p->waits = true;
}

static void attack(struct attack *a) {
  setpriority(PRIO_PROCESS, 0, 19);
  a->began = now();
  for (int i = 0; i < a->connections; i++) peer_open(a, &a->peers[i]);
  while (now() - a->began < a->seconds) {
    bool pace = false;
    for (int i = 0; i < a->connections; i++) {
      struct peer *p = &a->peers[i];
      bool idle = p->waits && !due(a), writes = p->waits ? !idle : p->sent < a->n;
      pace |= idle;
      a->fds[i] = (struct pollfd){.fd = p->fd, .events = (short)((a->deaf ? 0 : POLLIN) | (writes ? POLLOUT : 0))};
    }
    if (poll(a->fds, (nfds_t)a->connections, pace ? 1 : WAIT_MS) <= 0) continue;
    for (int i = 0; i < a->connections; i++) {
      short events = a->fds[i].revents;
      if (events & POLLOUT) peer_write(a, &a->peers[i]);
      if (events & (POLLERR | POLLHUP) && !(events & POLLIN)) peer_again(a, &a->peers[i]);
      else if (events & POLLIN) peer_read(a, &a->peers[i]);
    }
  }
  double seconds = now() - a->began;
  printf("{\"requests_per_second\":%.2f,\"answered\":%zu,\"closed\":%zu,\"status_2xx\":%zu,\"status_4xx\":%zu,\"status_5xx\":%zu}\n",
         (double)a->begun / seconds, a->answered, a->closed, a->statuses[2], a->statuses[4], a->statuses[5]);
}

/* ---- the sink ---------------------------------------------------------------------------------------------- */

static void sink_read(struct peer *p, size_t bytes) {
  static char block[65536];
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  ssize_t got = recv(p->fd, block, sizeof block, 0);
  if (got <= 0) {
    close(p->fd);
    p->fd = -1;
    return;
  }
  p->read += (size_t)got;
  if (!bytes || p->read < bytes) return;
  p->read -= bytes;
  if (send(p->fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0) p->read = 0; /* the next read closes it */
}

static void sink(struct attack *a, size_t bytes) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&at, n) || listen(listener, 511) || getsockname(listener, (struct sockaddr *)&at, &n)) die("listen");
  printf("%d\n", ntohs(at.sin_port));
  fflush(stdout);
  for (int i = 0; i < CONNECTIONS_MAX; i++) a->peers[i].fd = -1;
  for (;;) {
    for (int i = 0; i < CONNECTIONS_MAX; i++) a->fds[i] = (struct pollfd){.fd = a->peers[i].fd, .events = POLLIN};
    a->fds[CONNECTIONS_MAX] = (struct pollfd){.fd = listener, .events = POLLIN};
    poll(a->fds, CONNECTIONS_MAX + 1, -1);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
      if (a->fds[i].revents) sink_read(&a->peers[i], bytes);
    for (int i = 0; i < CONNECTIONS_MAX && a->fds[CONNECTIONS_MAX].revents; i++) {
      if (a->peers[i].fd >= 0) continue;
      a->peers[i] = (struct peer){.fd = accept(listener, NULL, NULL)};
      break;
    }
  }
}

int main(int argc, char **argv) {
  static struct attack a = {.connections = 1};
  static const struct option known[] = {{"connections", 1, 0, 'c'}, {"rate", 1, 0, 'r'}, {"seconds", 1, 0, 's'}, {"hold", 0, 0, 'h'},
                                        {"deaf", 0, 0, 'd'}, {"sink", 1, 0, 'k'}, {0, 0, 0, 0}};
  for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    if (c == 'c') a.connections = atoi(optarg);
    else if (c == 'r') a.rate = strtod(optarg, NULL);
    else if (c == 's') a.seconds = strtod(optarg, NULL);
    else if (c == 'h') a.hold = true;
    else if (c == 'd') a.deaf = true;
    else if (c == 'k') sink(&a, strtoul(optarg, NULL, 10));
    else exit(2);
  }
  if (optind + 2 != argc || a.connections < 1 || a.connections > CONNECTIONS_MAX || a.seconds <= 0) {
    fprintf(stderr, "usage: attack [--connections=N] [--rate=N] [--hold | --deaf] --seconds=N FILE PORT\n");
    exit(2);
  }
  load_file(&a, argv[optind]);
  a.port = atoi(argv[optind + 1]);
  attack(&a);
  return 0;
}
