/* The file that the state of windows, baselines and sequences survives a restart in: <data>/state.snapshot. Written
 * whole every LIMIT_SNAPSHOT_NS while something changed, and once more at an orderly end; the old one stays until the new
 * one is on the disk. Why not only what changed: traffic that is watched changes most of it within seconds, and packed it
 * is small (spec/bench/README.md has figures). */
#ifndef FLUO_STATE_FILE_H
#define FLUO_STATE_FILE_H
#include "engine.h"
#include "log.h"

struct state_file;
struct uv_loop_s;

struct state_file_options {
  const char *data;                 /* a directory that can be written */
  struct engine *engine;            /* with rules in force, before its first span */
  struct uv_loop_s *loop;           /* these three outlive the file */
  struct log *log;
  size_t state_bytes_max;
};

/* Takes what the file holds, says in the log what came of it, and sets a damaged file aside as state.snapshot.bad. Never
 * fails for what it finds: 0, or FLUO_ENOMEM, FLUO_EIO (of the loop), FLUO_ETOOLARGE (of the path). */
int state_file_open(const struct state_file_options *options, uint64_t now_ns, struct state_file **out);
/* Not while it is busy. What the loop still has of it is freed in a later turn. NULL is fine. */
void state_file_close(struct state_file *f);
/* About once a second: begins a snapshot where one is due. It is packed a slice a turn of the loop. */
void state_file_tick(struct state_file *f, uint64_t now_ns);
/* Gives up the snapshot under way, and begins none any more. */
void state_file_stop(struct state_file *f);
/* The aside has work; it is over in a later turn of the loop. */
bool state_file_busy(const struct state_file *f);
/* Writes a snapshot here and now: false, it could not be written, which was said. Not while it is busy. */
bool state_file_save(struct state_file *f, uint64_t now_ns);

struct state_file_stats {
  uint64_t moment_ns;               /* of the newest snapshot on the disk; 0: there is none */
  uint64_t bytes;                   /* its size */
  bool     stale;                   /* something has changed since it was begun */
  uint64_t written, failed, left_out;       /* snapshots, snapshots, groups */
  uint64_t restored, dropped;       /* groups, at the start */
  uint32_t damaged;                 /* blocks, at the start */
};
void state_file_stats_get(const struct state_file *f, struct state_file_stats *out);

#endif
