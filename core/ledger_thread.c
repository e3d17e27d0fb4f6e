/* The thread that owns the database.
 *
 * Good path: it sleeps until there are rows or questions. Rows wait some time for others (LIMIT_LEDGER_BATCH_NS), then the
 * whole queue is one transaction; evidence is printed and packed before it begins. When it is synced, the number of its last
 * row is what is saved, and the loop is told. Questions are answered between two batches. Now and then a step of
 * retention.
 *
 * Ways it fails. The batch as a whole (disk full, read only, locked, no memory): it is rolled back, goes to the front
 * of the queue again, and is tried anew each second; what the loop may do about a queue that grows it does itself.
 * One row that cannot be written, by its own fault: it is dropped and counted, the others go on. The database is
 * damaged: it is set aside under a name with the time, and a new one begun, into which the batch goes. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "evidence.h"
#include "heap.h"
#include "ledger_parts.h"
#include "ledger_read.h"
#include "limits.h"

enum { NICER = 5, PAGE_BYTES = 4096 };
#define RETRY_NS 1000000000ull
#define CHECK_NS 2000000000ull          /* of looking through at the start */
#define RETAIN_NS 600000000000ull       /* between two looks for what is old */
#define RETAIN_STEP_NS 50000000ull      /* and between steps while there is some */

static uint64_t wall_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the database ---------------------------------------------------------------------------- */

static void note_why(struct ledger *l, const char *what, const char *why) {
  pthread_mutex_lock(&l->mutex);
  snprintf(l->why, sizeof l->why, "%.120s: %.70s", what, why);
  pthread_mutex_unlock(&l->mutex);
}

/* What is found first may be made: attributes of spans are nobody else's business. */
static int make_file(struct ledger *l) {
  int fd = l->path ? open(l->path, O_RDWR | O_CREAT | O_CLOEXEC, 0640) : 0;
  if (!l->path) return 0;
  if (fd < 0) {
    note_why(l, l->path, strerror(errno));
    return errno == ENOSPC || errno == EDQUOT ? LEDGER_DISK_FULL : errno == EROFS || errno == EACCES ? LEDGER_READ_ONLY
                                                                                                      : LEDGER_IO;
  }
  close(fd);
  return 0;
}

int ledger_thread_open(struct ledger *l) {
  struct db *db = NULL;
  int err = make_file(l);
  if (err) return err;
  err = db_open(l->path, LIMIT_LEDGER_MEMORY_BYTES / PAGE_BYTES, &db);
  if (!err) err = tables_open(db, CHECK_NS);
  if (!err) {
    l->db = db;
    return 0;
  }
  const char *name = l->path ? l->path : "the ledger in memory";
  note_why(l, name, err == DB_REFUSED ? "made by a later version of fluo" : db ? db_why(db) : err_text(FLUO_ENOMEM));
  db_close(db);
  return err == LEDGER_CORRUPT ? ledger_thread_set_aside(l) ? LEDGER_IO : LEDGER_CORRUPT : err;
}

static int rename_part(const char *path, const char *aside, const char *part) {
  char from[4200], to[4300];
  snprintf(from, sizeof from, "%s%s", path, part);
  snprintf(to, sizeof to, "%s%s", aside, part);
  return rename(from, to) && errno != ENOENT ? -1 : 0;
}

int ledger_thread_set_aside(struct ledger *l) {
  char aside[4200], stamp[32], why[sizeof l->why];
  time_t now = time(NULL);
  struct tm tm;
  db_close(l->db);
  l->db = NULL;
  gmtime_r(&now, &tm);
  strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
  snprintf(aside, sizeof aside, "%s.corrupt-%s", l->path ? l->path : "", stamp);
  if (l->path && (rename_part(l->path, aside, "") || rename_part(l->path, aside, "-wal") ||
                  rename_part(l->path, aside, "-shm"))) {
    note_why(l, aside, strerror(errno));
    return LEDGER_IO;
  }
  pthread_mutex_lock(&l->mutex);
  memcpy(why, l->why, sizeof why);
  snprintf(l->why, sizeof l->why, "%.120s; it is kept as %.60s", why, l->path ? strrchr(aside, '/') + 1 : "nothing");
  l->set_aside++;
  l->stats.corruptions++;
  pthread_mutex_unlock(&l->mutex);
  return 0;
}

/* ---- a batch --------------------------------------------------------------------------------- */

/* What evidence of one batch is packed in, one after the other. */
struct packing { struct buffer json, packed; };

/* Evidence as it is kept, in memory of its own: the row is charged with what it holds, also while the disk refuses it.
 * Without memory for that, none: false. */
static bool pack(struct ledger_row *row, struct packing *p) {
  struct buffer *evidence = &row->evidence;
  buffer_clear(&p->packed);
  int err = evidence_pack(&p->packed, &p->json, (const uint8_t *)evidence->data, evidence->len);
  buffer_deinit(evidence);
  buffer_init(evidence, LIMIT_LEDGER_ANSWER_BYTES);
  if (!err) err = buffer_add(evidence, p->packed.data, p->packed.len);
  if (err) buffer_deinit(evidence);
  row->packed = true;
  return !err;
}

struct batch {
  struct ledger_row *first, **last;
  uint64_t number;                              /* the last one's */
  uint64_t rows, bytes, written[LEDGER_ROW_KINDS], dropped[LEDGER_ROW_KINDS];
};

/* From here on its bytes stay charged to the queue until it is written. */
static void take_batch(struct ledger *l, struct batch *b) {
  *b = (struct batch){.first = l->first, .last = l->last, .number = l->next_number - 1};
  l->first = NULL;
  l->last = &l->first;
  l->due_ns = UINT64_MAX;
  l->evidence_bytes = l->violation_bytes = 0;
}

static void pack_batch(struct ledger *l, struct batch *b) {
  struct packing packing;
  buffer_init(&packing.json, LIMIT_EVIDENCE_JSON_BYTES);
  buffer_init(&packing.packed, LIMIT_LEDGER_ANSWER_BYTES);
  for (struct ledger_row *row = b->first; row; row = row->next) {
    size_t before = row->evidence.len;
    if (!before || row->packed) continue;
    bool lost = !pack(row, &packing);
    pthread_mutex_lock(&l->mutex);
    l->stats.queue_bytes += row->evidence.len - before;
    if (lost) l->stats.dropped[LEDGER_ROW_EVIDENCE]++;
    pthread_mutex_unlock(&l->mutex);
  }
  buffer_deinit(&packing.json);
  buffer_deinit(&packing.packed);
}

/* The last value of a violation. Between two tries it may have been dropped. */
static void lend_evidence(struct ledger_row *row) {
  const struct buffer *e = &row->evidence;
  if (row->kind != LEDGER_ROW_VIOLATION) return;
  row->values[row->count - 1] = (struct db_value){.type = e->len ? DB_BLOB : DB_NULL, .p = e->data, .n = e->len};
}

static int write_row(struct ledger *l, struct batch *b, struct ledger_row *row) {
  b->rows++;
  b->bytes += row->bytes + row->evidence.len;
  lend_evidence(row);
  int err = tables_write(l->db, row->kind, row->values, row->count);
  if (err && err != DB_REFUSED) return err;
  uint64_t *counts = err ? b->dropped : b->written;
  counts[row->kind]++;
  if (row->evidence.len) counts[LEDGER_ROW_EVIDENCE]++;
  if (err) note_why(l, "a row could not be written", db_why(l->db));
  return 0;
}

static int write_batch(struct ledger *l, struct batch *b) {
  int err = db_exec(l->db, "BEGIN IMMEDIATE");
  b->rows = b->bytes = 0;
  memset(b->written, 0, sizeof b->written);
  memset(b->dropped, 0, sizeof b->dropped);
  for (struct ledger_row *row = b->first; row && !err; row = row->next) err = write_row(l, b, row);
  if (!err) err = db_exec(l->db, "COMMIT");
  if (!err) return 0;
  note_why(l, "the ledger cannot be written", db_why(l->db));
  db_undo(l->db);
  return err;
}

/* One new database a batch, where the old one is damaged. */
static int commit(struct ledger *l, struct batch *b) {
  int err = 0;
  for (int i = 0; i < 2; i++) {
    err = l->db ? 0 : ledger_thread_open(l);
    if (!err) {
      err = write_batch(l, b);
      if (err == LEDGER_CORRUPT && ledger_thread_set_aside(l)) return LEDGER_IO;
    }
    if (err != LEDGER_CORRUPT) break;
  }
  return err;
}

static void wake_loop(struct ledger *l) {
  uint64_t one = 1;
  ssize_t n = write(l->event_fd, &one, sizeof one);
  assert(n == sizeof one || errno == EAGAIN);      /* EAGAIN: it was told 2^64 times and has not looked */
  (void)n;
}

/* With the mutex held, as all that follows. */
static void committed(struct ledger *l, struct batch *b) {
  l->saved = b->number;
  l->failing_since_ns = l->retry_ns = 0;
  l->stats.trouble = LEDGER_WELL;
  l->stats.commits++;
  for (int i = 0; i < LEDGER_ROW_KINDS; i++) {
    l->stats.written[i] += b->written[i];
    l->stats.dropped[i] += b->dropped[i];
  }
  l->stats.queue_rows -= b->rows;
  l->stats.queue_bytes -= b->bytes;
}

static void free_batch(struct batch *b) {
  for (struct ledger_row *row = b->first, *next; row; row = next) {
    next = row->next;
    ledger_row_free(row);
  }
}

static void put_back(struct ledger *l, struct batch *b, int err, uint64_t now_ns) {
  *b->last = l->first;
  if (!l->first) l->last = b->last;
  l->first = b->first;
  for (const struct ledger_row *row = b->first; row != *b->last; row = row->next) {
    l->evidence_bytes += row->evidence.len;
    if (row->kind == LEDGER_ROW_VIOLATION) l->violation_bytes += row->bytes;
  }
  l->stats.failures++;
  l->stats.trouble = err < LEDGER_TROUBLES ? (enum ledger_trouble)err : LEDGER_IO;
  if (!l->failing_since_ns) l->failing_since_ns = now_ns;
  if (now_ns - l->failing_since_ns >= LIMIT_LEDGER_HOLD_NS) l->held = l->next_number - 1;
  l->due_ns = l->retry_ns = now_ns + RETRY_NS;
  if (err == LEDGER_DISK_FULL && l->retain_ns) l->retain_ns = now_ns;      /* what may go makes room */
}

static void do_batch(struct ledger *l) {
  struct batch b;
  uint64_t before = ledger_now_ns(), bytes = 0;
  take_batch(l, &b);
  pthread_mutex_unlock(&l->mutex);
  pack_batch(l, &b);
  int err = commit(l, &b);
  if (!err) err = tables_bytes(l->db, &bytes);
  uint64_t now = ledger_now_ns();
  pthread_mutex_lock(&l->mutex);
  if (err) {
    put_back(l, &b, err, now);
  } else {
    committed(l, &b);
    l->stats.commit_ns += now - before;
    l->stats.file_bytes = bytes;
    if (bytes > l->bytes_max || !l->retain_ns) l->retain_ns = now;
  }
  wake_loop(l);
  if (err) return;
  pthread_mutex_unlock(&l->mutex);
  free_batch(&b);
  pthread_mutex_lock(&l->mutex);
}

/* ---- questions, and what is old -------------------------------------------------------------- */

static void damaged(struct ledger *l, const char *what) {
  note_why(l, what, db_why(l->db));
  ledger_thread_set_aside(l);      /* where that fails the next batch meets the same damage, and says so */
}

static void do_question(struct ledger *l, struct ledger_asked *a) {
  int trouble = 0, err = FLUO_EIO;
  pthread_mutex_unlock(&l->mutex);
  if (l->db || !ledger_thread_open(l)) err = ledger_read(l->db, &a->query, &a->answer, &trouble);
  if (trouble == LEDGER_CORRUPT) damaged(l, "the ledger cannot be read");
  pthread_mutex_lock(&l->mutex);
  a->err = err;
  a->answered = true;
  wake_loop(l);
}

/* A step; in memory, where none is synced, all of them: the next batch needs the room. */
static void do_retention(struct ledger *l) {
  struct tables_bounds bounds = {wall_ns(), l->age_ns, l->bytes_max};
  uint64_t deleted = 0, step, bytes = 0;
  int err;
  pthread_mutex_unlock(&l->mutex);
  do {
    err = tables_retain(l->db, &bounds, &step);
    if (!err) err = tables_bytes(l->db, &bytes);
    deleted += step;
  } while (!l->path && !err && step && bytes > l->bytes_max);
  if (err == LEDGER_CORRUPT) damaged(l, "the ledger cannot be read");
  pthread_mutex_lock(&l->mutex);
  l->retain_ns = ledger_now_ns() + (!err && deleted ? RETAIN_STEP_NS : RETAIN_NS);
  if (err) return;
  l->stats.deleted += deleted;
  l->stats.file_bytes = bytes;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static struct ledger_asked *first_asked(const struct ledger *l) {
  struct ledger_asked *a = l->asked;
  while (a && a->answered) a = a->next;
  return a;
}

/* When the queue is to be committed; a question sees what was written before it. UINT64_MAX: it is empty. */
static uint64_t batch_due(const struct ledger *l) {
  if (!l->first) return UINT64_MAX;
  if (l->ends && !l->retry_ns) return 0;
  bool now = l->stats.queue_bytes > LIMIT_LEDGER_QUEUE_BYTES / 4 || first_asked(l);
  uint64_t due = now ? 0 : l->due_ns;
  return due > l->retry_ns ? due : l->retry_ns;
}

static uint64_t retention_due(const struct ledger *l) {
  return l->db && l->retain_ns && !l->ends ? l->retain_ns : UINT64_MAX;
}

static void sleep_until(struct ledger *l, uint64_t due_ns) {
  struct timespec due = {(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)};
  if (due_ns == UINT64_MAX) pthread_cond_wait(&l->wake, &l->mutex);
  else pthread_cond_timedwait(&l->wake, &l->mutex, &due);
}

/* A step of retention, a batch, a question, each if there is one, so that none waits for ever behind another; else a
 * sleep. false: the end. Retention is first: a ledger in memory that is over its bound has room for one batch. */
static bool turn(struct ledger *l) {
  uint64_t now = ledger_now_ns(), batch = batch_due(l), retain = retention_due(l);
  struct ledger_asked *asked = NULL;
  if (retain <= now) do_retention(l);
  if (batch <= now) do_batch(l);
  if ((asked = first_asked(l))) do_question(l, asked);
  if (batch <= now || asked || retain <= now) return true;
  if (l->ends && (!l->first || now >= l->ends_by_ns)) return false;
  sleep_until(l, l->ends && l->ends_by_ns < batch ? l->ends_by_ns : batch < retain ? batch : retain);
  return true;
}

void *ledger_thread(void *ctx) {
  struct ledger *l = ctx;
  setpriority(PRIO_PROCESS, (id_t)gettid(), NICER);      /* on Linux a thread has its own */
  pthread_mutex_lock(&l->mutex);
  while (turn(l)) {}
  pthread_mutex_unlock(&l->mutex);
  db_close(l->db);
  l->db = NULL;
  return NULL;
}
