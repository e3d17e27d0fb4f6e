/* An errand's own process, which may block: whoever started it kills it when it takes too long.
 *
 * Good path: what is asked is done, and 0. Ways it fails: one line on descriptor 2 that says what could not be done, and
 * ERRAND_AGAIN, for a disk can be emptied, a directory made and a daemon started. A line that was appended in part is cut
 * off again. Nothing is freed: the process ends. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "errand.h"

struct text { const char *p; size_t n; };

static int fail(const char *what, const char *why) {
  dprintf(STDERR_FILENO, "%s: %s\n", what, why);
  return ERRAND_AGAIN;
}

static int fail_errno(const char *what) {
  return fail(what, strerror(errno));
}

static bool read_input(struct text *out) {
  struct stat s;
  if (fstat(STDIN_FILENO, &s)) return false;
  *out = (struct text){"", (size_t)s.st_size};
  if (!s.st_size) return true;
  out->p = mmap(NULL, out->n, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
  return out->p != MAP_FAILED;
}

static bool write_all(int fd, const char *p, size_t n) {
  while (n) {
    ssize_t written = write(fd, p, n);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    p += written;
    n -= (size_t)written;
  }
  return true;
}

/* ---- files ----------------------------------------------------------------------------------------- */

static int append(const char *path, struct text input) {
  struct stat s;
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
  if (fd < 0 || flock(fd, LOCK_EX) || fstat(fd, &s)) return fail_errno(path);
  bool regular = S_ISREG(s.st_mode);
  if (write_all(fd, input.p, input.n) && (!regular || !fsync(fd)) && !close(fd)) return 0;
  int status = fail_errno(path);
  if (regular && ftruncate(fd, s.st_size)) fail_errno(path);
  return status;
}

/* ---- sockets --------------------------------------------------------------------------------------- */

/* The next of "LENGTH MESSAGE"…, off the input. */
static bool next_message(struct text *input, struct text *message) {
  size_t length = 0, at = 0;
  while (at < input->n && at < 8 && input->p[at] >= '0' && input->p[at] <= '9') length = length * 10 + (size_t)(input->p[at++] - '0');
  if (!at || at >= input->n || input->p[at] != ' ' || length > input->n - at - 1) return false;
  *message = (struct text){input->p + at + 1, length};
  *input = (struct text){input->p + at + 1 + length, input->n - at - 1 - length};
  return true;
}

static int send_datagrams(int fd, const char *address, struct text input) {
  struct text message;
  while (next_message(&input, &message))
    if (send(fd, message.p, message.n, MSG_NOSIGNAL) < 0) return fail_errno(address);
  return 0;
}

/* Then the end of ours, and what the other side makes of it: an answer of its own is not read further, a reset is told. */
static int send_stream(int fd, const char *address, struct text input) {
  char answer[512];
  struct timeval patience = {.tv_sec = 1};
  if (!write_all(fd, input.p, input.n) || shutdown(fd, SHUT_WR)) return fail_errno(address);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (recv(fd, answer, sizeof answer, 0) < 0 && errno != EAGAIN) return fail_errno(address);
  return 0;
}

static int send_unix(const char *address, struct text input) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  const char *path = address + strlen("unix:");
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || strlen(path) >= sizeof to.sun_path) return fail(address, "no socket has a name that long");
  memcpy(to.sun_path, path, strlen(path));
  if (connect(fd, (const struct sockaddr *)&to, sizeof to)) return fail_errno(address);
  return send_datagrams(fd, address, input);
}

/* "HOST:PORT" or "[HOST]:PORT", in place. */
static bool split_host(char *text, char **host, char **port) {
  char *colon = strrchr(text, ':');
  if (!colon || !colon[1]) return false;
  *colon = '\0';
  *port = colon + 1;
  *host = text;
  size_t n = strlen(text);
  if (text[0] == '[' && n > 2 && text[n - 1] == ']') {
    text[n - 1] = '\0';
    *host = text + 1;
  }
  return **host != '\0';
}

/* The first of the host's addresses that takes a connection: a socket, or -1. */
static int connect_first(const struct addrinfo *list) {
  int fd = -1;
  for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
    fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0 || !connect(fd, a->ai_addr, a->ai_addrlen)) continue;
    int saved = errno;
    close(fd);
    errno = saved;
    fd = -1;
  }
  return fd;
}

static int send_inet(const char *address, bool stream, struct text input) {
  struct addrinfo hints = {.ai_socktype = stream ? SOCK_STREAM : SOCK_DGRAM}, *list = NULL;
  char place[512], *host, *port;
  snprintf(place, sizeof place, "%s", address + strlen("tcp://"));
  if (!split_host(place, &host, &port)) return fail(address, "an address is as in udp://host:514");
  int err = getaddrinfo(host, port, &hints, &list);
  if (err) return fail(address, gai_strerror(err));
  int fd = connect_first(list);
  err = fd < 0 ? fail_errno(address) : (stream ? send_stream : send_datagrams)(fd, address, input);
  freeaddrinfo(list);
  return err;
}

static int send_messages(const char *address, struct text input) {
  if (!strncmp(address, "unix:", 5)) return send_unix(address, input);
  if (!strncmp(address, "tcp://", 6)) return send_inet(address, true, input);
  if (!strncmp(address, "udp://", 6)) return send_inet(address, false, input);
  return fail(address, "an address begins with udp://, tcp:// or unix:");
}

/* ---- programs -------------------------------------------------------------------------------------- */

static int become(int argc, char **argv) {
  char *environment[ERRAND_WORDS_MAX];
  int n = 0;
  while (n < argc && n < ERRAND_WORDS_MAX - 1 && strcmp(argv[n], "--")) environment[n] = argv[n], n++;
  environment[n] = NULL;
  if (n + 1 >= argc || chdir("/")) return fail("exec", "no program is named");
  execve(argv[n + 1], argv + n + 1, environment);
  return fail_errno(argv[n + 1]);
}

int errand_main(int argc, char **argv) {
  struct text input;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);      /* the delivery goes to the next post room */
  if (argc < 4) return fail("fluo", "an errand without a name");
  if (!strcmp(argv[2], "exec")) return become(argc - 3, argv + 3);
  signal(SIGXFSZ, SIG_IGN);                       /* errors are said, and a half line is cut off */
  signal(SIGPIPE, SIG_IGN);
  if (!read_input(&input)) return fail_errno("fluo: what was to be written");
  if (!strcmp(argv[2], "append")) return append(argv[3], input);
  if (!strcmp(argv[2], "send")) return send_messages(argv[3], input);
  return fail(argv[2], "no such errand");
}
