/* The good path: a tick begins a snapshot. The loop packs a block and hands it to the thread, which seals and writes it;
 * when that is done, in a later turn, the loop packs the next: so the disk sets the pace, nothing more than a block waits,
 * and groups may change in between. Behind the last block the thread syncs the file and renames it over the one before.
 *
 * How it fails: whatever goes wrong while writing (no space, an error of the disk, no memory) ends that snapshot: its file
 * is removed, the one before stays, it is counted, said once a minute, and tried again when the next one is due. Reading,
 * good blocks are taken and the rest is passed over; a file that was not whole is set aside.
 *
 * Who owns what: while the aside has work, block and descriptor are the thread's; else they are the loop's. */
#include "state_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aside.h"
#include "buffer.h"
#include "err.h"
#include "heap.h"
#include "limits.h"
#include "snapshot.h"

enum { PATH_BYTES = 4096 };

struct state_file {
  struct state_file_options options;
  struct aside *aside;              /* nobody else's */
  char data[PATH_BYTES], path[PATH_BYTES + 32], made[PATH_BYTES + 32], bad[PATH_BYTES + 32];
  struct buffer block;
  enum snapshot_kind kind;          /* of the block */
  int fd, error;                    /* of the file being made; -1: there is none. error: an errno, or 0 */
  bool busy, stopped;
  uint64_t begun_ns, said_failed_ns, said_left_out_ns;
  uint64_t changes;                 /* of the state, as of the newest snapshot */
  struct { uint64_t moment_ns, changes, bytes, left_out; } making;      /* left_out: of all, before it */
  struct state_file_stats stats;
};

/* ---- writing: what the thread does --------------------------------------------------------------- */

static int write_all(int fd, const char *p, size_t n) {
  while (n) {
    ssize_t got = write(fd, p, n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    p += got;
    n -= (size_t)got;
  }
  return 0;
}

/* A rename is on the disk when its directory is. */
static int sync_directory(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = fsync(fd) ? errno : 0;
  close(fd);
  return error;
}

static int begin_file(struct state_file *f) {
  f->fd = open(f->made, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
  return f->fd < 0 ? errno : write_all(f->fd, snapshot_magic, sizeof snapshot_magic);
}

static int end_file(struct state_file *f) {
  if (fsync(f->fd)) return errno;
  int fd = f->fd;
  f->fd = -1;
  if (close(fd)) return errno;
  return rename(f->made, f->path) ? errno : sync_directory(f->data);
}

static void write_block(void *job) {
  struct state_file *f = job;
  snapshot_seal(&f->block, f->kind);
  f->error = f->kind == SNAPSHOT_HEAD ? begin_file(f) : 0;
  if (!f->error) f->error = write_all(f->fd, f->block.data, f->block.len);
  if (!f->error && f->kind == SNAPSHOT_END) f->error = end_file(f);
}

/* ---- writing: what the loop does ------------------------------------------------------------- */

static void give_up(struct state_file *f) {
  if (f->fd >= 0) close(f->fd);
  f->fd = -1;
  unlink(f->made);
  buffer_deinit(&f->block);
}

/* Whether it was not said lately; now it is. */
static bool may_say(const struct state_file *f, uint64_t *said_ns) {
  if (*said_ns && f->making.moment_ns - *said_ns < LIMIT_SNAPSHOT_LINE_NS) return false;
  *said_ns = f->making.moment_ns;
  return true;
}

static void fail(struct state_file *f, const char *why) {
  f->stats.failed++;
  give_up(f);
  if (!may_say(f, &f->said_failed_ns)) return;
  log_to(f->options.log, LOG_WARN, "the state of windows and sequences could not be written: after a crash they go on from the snapshot before",
         log_s("path", f->made), log_s("error", why), log_u("failures", f->stats.failed));
}

static void begin(struct state_file *f, uint64_t now_ns) {
  f->begun_ns = f->making.moment_ns = now_ns;
  f->making.changes = engine_state_changes(f->options.engine);
  f->making.bytes = sizeof snapshot_magic;
  f->making.left_out = f->stats.left_out;
  f->kind = SNAPSHOT_HEAD;
  snapshot_open(&f->block);
  engine_snapshot_begin(f->options.engine, now_ns, &f->block);
}

/* The next block, after one that was written. */
static void pack(struct state_file *f) {
  uint32_t groups = 0;
  snapshot_open(&f->block);
  if (f->making.bytes < LIMIT_SNAPSHOT_STATES * f->options.state_bytes_max)
    groups = engine_snapshot_groups(f->options.engine, LIMIT_SNAPSHOT_SLICE_BYTES, &f->block, &f->stats.left_out);
  else
    f->stats.left_out += engine_snapshot_rest(f->options.engine);
  f->kind = groups ? SNAPSHOT_GROUPS : SNAPSHOT_END;
}

static void say_left_out(struct state_file *f) {
  uint64_t groups = f->stats.left_out - f->making.left_out;
  if (!groups || !may_say(f, &f->said_left_out_ns)) return;
  log_to(f->options.log, LOG_WARN, "groups of windows and sequences are too large for the snapshot: after a restart they begin anew",
         log_s("path", f->path), log_u("groups", groups));
}

static void made(struct state_file *f) {
  say_left_out(f);
  f->stats.written++;
  f->stats.moment_ns = f->making.moment_ns;
  f->stats.bytes = f->making.bytes;
  f->changes = f->making.changes;
  buffer_deinit(&f->block);
}

/* Whether another block is to be written. */
static bool go_on(struct state_file *f) {
  if (f->block.err) {
    fail(f, err_text(f->block.err));
    return false;
  }
  return true;
}

/* What came of the block that was written: whether another one is to be, and is packed. */
static bool step(struct state_file *f) {
  f->making.bytes += f->block.len;
  if (f->error) {
    fail(f, strerror(f->error));
    return false;
  }
  if (f->kind == SNAPSHOT_END) {
    made(f);
    return false;
  }
  pack(f);
  return go_on(f);
}

static void on_written(void *job);

static void hand_over(struct state_file *f) {
  f->busy = true;
  aside_run(f->aside, write_block, on_written, f);
}

static void on_written(void *job) {
  struct state_file *f = job;
  f->busy = false;
  if (f->stopped && !(f->kind == SNAPSHOT_END && !f->error))
    give_up(f);
  else if (step(f))
    hand_over(f);
}

void state_file_tick(struct state_file *f, uint64_t now_ns) {
  if (f->busy || f->stopped || now_ns - f->begun_ns < LIMIT_SNAPSHOT_NS) return;
  if (engine_state_changes(f->options.engine) == f->changes) return;
  begin(f, now_ns);
  if (go_on(f)) hand_over(f);
}

void state_file_stop(struct state_file *f) {
  f->stopped = true;
}

bool state_file_busy(const struct state_file *f) {
  return f->busy;
}

bool state_file_save(struct state_file *f, uint64_t now_ns) {
  uint64_t written = f->stats.written;
  assert(!f->busy);
  begin(f, now_ns);
  f->said_failed_ns = f->said_left_out_ns = 0; /* the last word */
  for (bool more = go_on(f); more; more = step(f)) write_block(f);
  return f->stats.written > written;
}

/* ---- reading --------------------------------------------------------------------------------- */

static size_t read_file(void *ctx, void *to, size_t n) {
  const int *fd = ctx;
  size_t all = 0;
  while (all < n) {
    ssize_t got = read(*fd, (char *)to + all, n - all);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    all += (size_t)got;
  }
  return all;
}

/* All blocks that are good. 0: the file is whole; FLUO_ETRUNCATED: it is not; another error ended it. */
static int restore(struct state_file *f, struct snapshot_reader *reader, struct engine_restore *r, uint64_t now_ns) {
  int err = snapshot_begin(reader), kind = 0;
  bool head = false;
  while (!err && (kind = snapshot_next(reader, &f->block)) > 0 && kind != SNAPSHOT_END) {
    if (kind == SNAPSHOT_HEAD && !head)
      err = engine_restore_head(f->options.engine, r, f->block.data, f->block.len, now_ns);
    else if (kind == SNAPSHOT_GROUPS && head)
      err = engine_restore_groups(f->options.engine, r, f->block.data, f->block.len);
    else
      err = FLUO_EMALFORMED; /* without its head, nobody knows whose the groups are */
    head = true;
  }
  if (!err && kind < 0) err = kind;
  return !err && (kind != SNAPSHOT_END || reader->damaged) ? FLUO_ETRUNCATED : err;
}

static void say_restored(struct state_file *f, const struct engine_restore *r, uint64_t now_ns) {
  uint64_t age_ns = now_ns > r->moment_ns ? now_ns - r->moment_ns : 0;
  log_to(f->options.log, LOG_INFO, "windows and sequences go on from the snapshot", log_u("groups", r->groups),
         log_u("groups_dropped", r->groups_dropped), log_u("rules", r->rules), log_u("rules_dropped", r->rules_dropped),
         log_u("age_ms", age_ns / 1000000));
}

static void set_aside(struct state_file *f, uint32_t damaged) {
  int error = rename(f->path, f->bad) ? errno : 0;
  log_to(f->options.log, LOG_ERROR, "the snapshot of windows and sequences is damaged: what was whole of it is taken, and it is set aside",
         log_s("path", f->bad), log_u("damaged_blocks", damaged), log_s("error", error ? strerror(error) : "none"));
}

static void say_refused(struct state_file *f, int err) {
  const char *why = err == FLUO_EUNSUPPORTED ? "it was written in another format"
                    : err == FLUO_EINVALID   ? "it is from the future: has the clock been set back?"
                                             : err_text(err);
  log_to(f->options.log, LOG_WARN, "the snapshot of windows and sequences cannot be taken: they begin anew", log_s("path", f->path),
         log_s("error", why));
}

static void take(struct state_file *f, int fd, uint64_t now_ns) {
  struct engine_restore r = {0};
  struct snapshot_reader reader = {.read = read_file, .ctx = &fd,
                                   .bytes_max = (LIMIT_SNAPSHOT_STATES + 1) * f->options.state_bytes_max + 2 * LIMIT_SNAPSHOT_BLOCK_BYTES};
  int err = restore(f, &reader, &r, now_ns);
  f->stats.restored = r.groups;
  f->stats.dropped = r.groups_dropped;
  f->stats.damaged = reader.damaged + (err == FLUO_ETRUNCATED && !reader.damaged);
  if (err == FLUO_ETRUNCATED || err == FLUO_EMALFORMED)
    set_aside(f, f->stats.damaged);
  else if (err)
    say_refused(f, err);
  if (r.groups || !err) say_restored(f, &r, now_ns);
  if (!err) {
    f->stats.moment_ns = r.moment_ns;
    f->stats.bytes = reader.bytes;
    f->changes = engine_state_changes(f->options.engine);
  }
  engine_restore_end(&r);
}

/* ---- life -------------------------------------------------------------------------------------- */

int state_file_open(const struct state_file_options *options, uint64_t now_ns, struct state_file **out) {
  if (strlen(options->data) >= PATH_BYTES) return FLUO_ETOOLARGE;
  struct state_file *f = heap_zalloc(sizeof *f);
  int err = f ? aside_new(options->loop, &f->aside) : FLUO_ENOMEM;
  if (err) {
    heap_free(f);
    return err;
  }
  f->options = *options;
  f->fd = -1;
  f->begun_ns = now_ns;
  buffer_init(&f->block, LIMIT_SNAPSHOT_BLOCK_BYTES);
  snprintf(f->data, sizeof f->data, "%s", options->data);
  snprintf(f->path, sizeof f->path, "%s/state.snapshot", f->data);
  snprintf(f->made, sizeof f->made, "%s/state.snapshot.new", f->data);
  snprintf(f->bad, sizeof f->bad, "%s/state.snapshot.bad", f->data);
  int fd = open(f->path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0)
    take(f, fd, now_ns);
  else if (errno != ENOENT)
    say_refused(f, FLUO_EIO);
  if (fd >= 0) close(fd);
  buffer_deinit(&f->block);
  *out = f;
  return 0;
}

void state_file_close(struct state_file *f) {
  if (!f) return;
  assert(!f->busy);
  aside_close(f->aside);
  if (f->fd >= 0) give_up(f);
  buffer_deinit(&f->block);
  heap_free(f);
}

void state_file_stats_get(const struct state_file *f, struct state_file_stats *out) {
  *out = f->stats;
  out->stale = engine_state_changes(f->options.engine) != f->changes;
}
