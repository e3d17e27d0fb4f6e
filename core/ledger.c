/* The loop's side of the ledger: rows in (ledger_queue.c), two numbers and answers out.
 *
 * Good path: ledger_open takes the directory's lock, has what is there restored, and starts the thread, which sleeps.
 * The thread takes the whole queue, commits it, and makes event_fd readable; ledger_readable then says what is saved
 * and hands out answers.
 *
 * Ways it fails: the start, each with a line for people. What is wrong with the disk is the thread's to find out and to
 * try again; here it is only passed on.
 *
 * A row belongs to the queue, and to the thread while it is being written; a question to the one list or the other. */
#include "ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "heap.h"
#include "ledger_parts.h"
#include "limits.h"

enum { STACK_BYTES = 512 << 10 };
#define BEHIND_SAID_NS 60000000000ull
#define RESOLVED_RESTORED_NS (24 * 3600 * 1000000000ull)

static const char *const trouble_texts[LEDGER_TROUBLES] = {"well", "disk_full", "read_only", "locked", "io", "no_memory",
                                                           "corrupt", "behind"};
static const char *const kind_texts[LEDGER_ROW_KINDS] = {"incident", "violation", "delivery", "silence", "feedback",
                                                         "evidence"};

const char *ledger_trouble_text(enum ledger_trouble t) {
  return t < LEDGER_TROUBLES ? trouble_texts[t] : "?";
}

const char *ledger_kind_text(enum ledger_kind k) {
  return k < LEDGER_ROW_KINDS ? kind_texts[k] : "?";
}

uint64_t ledger_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- questions ------------------------------------------------------------------------------- */

static void asked_free(struct ledger_asked *asked) {
  buffer_deinit(&asked->answer);
  heap_free(asked);
}

static struct ledger_asked *asked_of(const struct ledger_query *q) {
  const char *texts[] = {q->id, q->rule, q->severity, q->status, q->incident};
  size_t size = sizeof(struct ledger_asked);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) size += texts[i] ? strlen(texts[i]) + 1 : 1;
  struct ledger_asked *a = heap_zalloc(size);
  if (!a) return NULL;
  a->query = *q;
  const char **copies[] = {&a->query.id, &a->query.rule, &a->query.severity, &a->query.status, &a->query.incident};
  char *to = (char *)(a + 1);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    const char *from = texts[i] ? texts[i] : "";
    *copies[i] = strcpy(to, from);
    to += strlen(from) + 1;
  }
  buffer_init(&a->answer, LIMIT_LEDGER_ANSWER_BYTES);
  return a;
}

int ledger_ask(struct ledger *l, const struct ledger_query *q) {
  struct ledger_asked *a = l->asked_count < LIMIT_LEDGER_QUERIES ? asked_of(q) : NULL;
  if (!a) return l->asked_count < LIMIT_LEDGER_QUERIES ? FLUO_ENOMEM : FLUO_EFULL;
  pthread_mutex_lock(&l->mutex);
  l->asked_count++;
  *l->asked_last = a;
  l->asked_last = &a->next;
  pthread_cond_signal(&l->wake);
  pthread_mutex_unlock(&l->mutex);
  return 0;
}

void ledger_forget(struct ledger *l, const void *ctx) {
  pthread_mutex_lock(&l->mutex);
  for (struct ledger_asked *a = l->asked; a; a = a->next)
    if (a->query.ctx == ctx) a->query.on_result = NULL;
  pthread_mutex_unlock(&l->mutex);
}

/* The first one, if it is answered: the thread takes them in order. NULL: nothing to hand out. */
static struct ledger_asked *take_answered(struct ledger *l) {
  pthread_mutex_lock(&l->mutex);
  struct ledger_asked *a = l->asked && l->asked->answered ? l->asked : NULL;
  if (a) {
    l->asked = a->next;
    if (!l->asked) l->asked_last = &l->asked;
    l->asked_count--;
  }
  pthread_mutex_unlock(&l->mutex);
  return a;
}

static void hand_out(struct ledger *l) {
  for (struct ledger_asked *a; (a = take_answered(l));) {
    const struct ledger_query *q = &a->query;
    if (q->on_result) q->on_result(q->ctx, a->err, a->err ? "" : a->answer.data, a->err ? 0 : a->answer.len);
    asked_free(a);
  }
}

/* ---- what the loop is told ------------------------------------------------------------------- */

/* What the thread has come to, copied so that no callback runs under the mutex. */
struct news { uint64_t saved, held, dropped[LEDGER_ROW_KINDS], dropped_all; uint32_t set_aside; enum ledger_trouble trouble; char why[200]; };

static void hear(struct ledger *l, struct news *n) {
  pthread_mutex_lock(&l->mutex);
  *n = (struct news){.saved = l->saved, .held = l->held, .set_aside = l->set_aside, .trouble = l->stats.trouble};
  memcpy(n->dropped, l->stats.dropped, sizeof n->dropped);
  for (int i = 0; i < LEDGER_ROW_KINDS; i++) n->dropped_all += n->dropped[i];
  snprintf(n->why, sizeof n->why, "%s", l->why);
  pthread_mutex_unlock(&l->mutex);
}

static void tell_trouble(struct ledger *l, enum ledger_trouble trouble, const char *why) {
  if (l->calls.on_trouble) l->calls.on_trouble(l->calls.ctx, trouble, why);
}

static void tell_behind(struct ledger *l, const struct news *n) {
  uint64_t now = ledger_now_ns();
  char why[200];
  if (n->dropped_all == l->told_dropped) return;
  if (l->told_behind_ns && now - l->told_behind_ns < BEHIND_SAID_NS) return;
  snprintf(why, sizeof why, "dropped since the start: the evidence of %llu violations, %llu violations, %llu other rows",
           (unsigned long long)n->dropped[LEDGER_ROW_EVIDENCE], (unsigned long long)n->dropped[LEDGER_ROW_VIOLATION],
           (unsigned long long)(n->dropped_all - n->dropped[LEDGER_ROW_EVIDENCE] - n->dropped[LEDGER_ROW_VIOLATION]));
  l->told_dropped = n->dropped_all;
  l->told_behind_ns = now;
  tell_trouble(l, LEDGER_BEHIND, why);
}

static void tell(struct ledger *l, const struct news *n) {
  if (n->set_aside != l->told_set_aside) {
    l->told_set_aside = n->set_aside;
    tell_trouble(l, LEDGER_CORRUPT, n->why);
  }
  if (n->trouble != l->told_trouble) {
    l->told_trouble = n->trouble;
    tell_trouble(l, n->trouble, n->trouble == LEDGER_WELL ? "" : n->why);
  }
  tell_behind(l, n);
  if (n->held > n->saved && n->held > l->told_held) {
    l->told_held = n->held;
    if (l->calls.on_saved) l->calls.on_saved(l->calls.ctx, n->held, true);
  }
  if (n->saved > l->told_saved) {
    l->told_saved = n->saved;
    if (l->calls.on_saved) l->calls.on_saved(l->calls.ctx, n->saved, false);
  }
}

void ledger_readable(struct ledger *l) {
  struct news n;
  uint64_t count;
  ssize_t got = read(l->event_fd, &count, sizeof count);
  assert(got == sizeof count || errno == EAGAIN); /* an eventfd can be read */
  (void)got;
  hear(l, &n);
  tell(l, &n);
  hand_out(l);
}

int ledger_fd(const struct ledger *l) {
  return l->event_fd;
}

void ledger_stats_get(struct ledger *l, struct ledger_stats *out) {
  pthread_mutex_lock(&l->mutex);
  *out = l->stats;
  pthread_mutex_unlock(&l->mutex);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int refuse(const char *path, char why[256]) {
  snprintf(why, 256, "%.180s: %s", path, strerror(errno));
  return FLUO_EIO;
}

/* One agent a directory. The descriptor is not inherited, and the lock ends with the process whatever becomes of it. */
static int lock(struct ledger *l, const char *data, char why[256]) {
  char path[4200], owner[16] = "";
  snprintf(path, sizeof path, "%s/fluo.lock", data);
  l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (l->lock_fd < 0) return refuse(path, why);
  if (flock(l->lock_fd, LOCK_EX | LOCK_NB) == 0) {
    int n = snprintf(owner, sizeof owner, "%d\n", (int)getpid());
    /* For people only; who has the lock is what counts. */
    if (ftruncate(l->lock_fd, 0) || write(l->lock_fd, owner, (size_t)n) != n) return 0;
    return 0;
  }
  if (errno != EWOULDBLOCK) return refuse(path, why);
  ssize_t n = read(l->lock_fd, owner, sizeof owner - 1);
  owner[n > 0 ? strcspn(owner, "\n") : 0] = '\0';
  snprintf(why, 256, "another agent (process %s) has this data directory: give each its own (--data)", owner);
  return FLUO_EFULL;
}

static int init_sync(struct ledger *l) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&l->wake, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&l->mutex, NULL);
  l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return l->event_fd < 0 ? FLUO_EIO : 0;
}

static struct ledger *ledger_new(const struct ledger_options *options, const struct ledger_calls *calls) {
  struct ledger *l = heap_zalloc(sizeof *l);
  if (!l) return NULL;
  *l = (struct ledger){.age_ns = options->age_ns, .bytes_max = options->bytes_max, .calls = *calls, .event_fd = -1,
                       .lock_fd = -1, .next_number = 1};
  l->last = &l->first;
  l->due_ns = UINT64_MAX;
  l->asked_last = &l->asked;
  l->stats.in_memory = !options->data;
  if (!options->data && l->bytes_max > LIMIT_LEDGER_MEMORY_KEPT_BYTES) l->bytes_max = LIMIT_LEDGER_MEMORY_KEPT_BYTES;
  return l;
}

static void ledger_free(struct ledger *l) {
  for (struct ledger_row *row = l->first, *next; row; row = next) {
    next = row->next;
    ledger_row_free(row);
  }
  for (struct ledger_asked *a = l->asked, *next; a; a = next) {
    next = a->next;
    asked_free(a);
  }
  db_close(l->db);
  if (l->event_fd >= 0) {
    close(l->event_fd);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->mutex);
  }
  if (l->lock_fd >= 0) close(l->lock_fd);
  heap_free(l->path);
  heap_free(l);
}

static char *path_of(const char *data) {
  size_t n = strlen(data) + sizeof "/fluo.db";
  char *path = heap_alloc(n);
  if (path) snprintf(path, n, "%s/fluo.db", data);
  return path;
}

/* Damage that shows only now is as good as that which shows at once: what came before it was given. */
static int restore(struct ledger *l, const struct ledger_restored *restored, char why[256]) {
  if (access(l->path, F_OK)) return 0;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t since = (uint64_t)now.tv_sec * 1000000000u - RESOLVED_RESTORED_NS;
  int err = ledger_thread_open(l);
  if (!err) err = tables_restore(l->db, since, restored);
  if (err == LEDGER_CORRUPT && l->db) err = ledger_thread_set_aside(l) ? LEDGER_IO : 0;
  if (err && err != LEDGER_CORRUPT) {
    snprintf(why, 256, "%s", l->why[0] || !l->db ? l->why : db_why(l->db));
    return err == LEDGER_NO_MEMORY ? FLUO_ENOMEM : err == DB_REFUSED ? FLUO_EUNSUPPORTED : FLUO_EIO;
  }
  if (l->db) l->retain_ns = ledger_now_ns();
  uint64_t one = 1;      /* something to tell: what was set aside */
  if (l->set_aside && write(l->event_fd, &one, sizeof one) < 0) return FLUO_EIO;
  return 0;
}

static int start(struct ledger *l) {
  pthread_attr_t attributes;
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  pthread_sigmask(SIG_SETMASK, &all, &before);      /* signals are the loop's */
  int failed = pthread_create(&l->thread, &attributes, ledger_thread, l);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return failed ? FLUO_ENOMEM : 0;
}

int ledger_open(const struct ledger_options *options, const struct ledger_calls *calls,
                const struct ledger_restored *restored, struct ledger **out, char why[256]) {
  struct ledger *l = ledger_new(options, calls);
  snprintf(why, 256, "%s", err_text(FLUO_ENOMEM));
  if (!l) return FLUO_ENOMEM;
  int err = init_sync(l);
  if (!err && options->data && !(l->path = path_of(options->data))) err = FLUO_ENOMEM;
  if (!err && l->path) err = lock(l, options->data, why);
  if (!err && l->path) err = restore(l, restored, why);
  if (!err) err = start(l);
  if (err) ledger_free(l);
  else *out = l;
  return err;
}

bool ledger_close(struct ledger *l, uint64_t wait_ns) {
  struct timespec by;
  if (!l) return true;
  pthread_mutex_lock(&l->mutex);
  l->ends = true;
  l->ends_by_ns = ledger_now_ns() + wait_ns;
  pthread_cond_signal(&l->wake);
  pthread_mutex_unlock(&l->mutex);
  /* A disk that does not answer keeps the thread, and with it what it works on, until the process ends. */
  uint64_t until = ledger_now_ns() + wait_ns + 1000000000u;
  by = (struct timespec){(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
  if (pthread_clockjoin_np(l->thread, NULL, CLOCK_MONOTONIC, &by)) return false;
  bool all = !l->first || !l->path;      /* in memory nothing outlives this */
  ledger_free(l);
  return all;
}
