/* Looking at rule files from outside. Entries come in any order, so their hashes are added up. */
#include "fingerprint.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "limits.h"

/* Deeper folders of lib/ hold no modules (lua/fluo/sources.lua). */
enum { DEPTH_MAX = 8 };

struct look {
  const struct hash_key *key;
  struct fingerprint sum;
  uint32_t entries;
};

/* What tells one state of a file from another; zeroed first, for it is hashed with its gaps. */
struct trait { uint64_t device, inode, size, time_ns; uint32_t mode; int err; uint64_t name; };

static void add(struct look *l, const char *path, const struct stat *status, int err) {
  struct trait t;
  struct fingerprint of;
  memset(&t, 0, sizeof t);
  t.name = hash64(l->key, path, strlen(path));
  t.err = err;
  if (!err) {
    t.device = status->st_dev;
    t.inode = status->st_ino;
    t.mode = status->st_mode;
    t.size = S_ISDIR(status->st_mode) ? 0 : (uint64_t)status->st_size;
    if (!S_ISDIR(status->st_mode))
      t.time_ns = (uint64_t)status->st_mtim.tv_sec * 1000000000u + (uint64_t)status->st_mtim.tv_nsec;
  }
  hash128(l->key, &t, sizeof t, (uint8_t *)&of);
  l->sum.a += of.a;
  l->sum.b += of.b;
}

static void look_folder(struct look *l, const char *path, int depth);

/* Whether a name's end says that it may hold rules or a module: what else lies about may change all the time, such as
 * the agent's own output. */
static bool may_hold_rules(const char *name) {
  static const char *const extensions[] = {".lua", ".yml", ".yaml", ".rule", ".js"};
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && i < sizeof extensions / sizeof *extensions; i++)
    if (strcmp(dot, extensions[i]) == 0) return true;
  return false;
}

static void look_at(struct look *l, const char *folder, const char *name, int depth) {
  char path[PATH_MAX];
  struct stat status;
  int n = snprintf(path, sizeof path, "%s/%s", folder, name);
  if (n < 0 || (size_t)n >= sizeof path) return;      /* nobody can open it either */
  int err = stat(path, &status) ? errno : 0;
  bool is_folder = !err && S_ISDIR(status.st_mode);
  bool modules = is_folder && (depth ? depth < DEPTH_MAX : strcmp(name, "lib") == 0);
  if (is_folder ? modules : may_hold_rules(name)) add(l, path, &status, err);
  if (modules) look_folder(l, path, depth + 1);
}

/* depth 0: the rules themselves; else the modules below lib/. */
static void look_folder(struct look *l, const char *path, int depth) {
  struct dirent *entry;
  DIR *folder = opendir(path);
  if (!folder) {
    add(l, path, NULL, errno);
    return;
  }
  while ((entry = readdir(folder)) && l->entries < LIMIT_WATCHED_ENTRIES) {
    if (entry->d_name[0] == '.' || entry->d_name[0] == '_') continue;
    l->entries++;
    look_at(l, path, entry->d_name, depth);
  }
  closedir(folder);
}

static void look_file(struct look *l, const char *path, const struct stat *status, int err) {
  char lib[PATH_MAX];
  struct stat found;
  const char *slash = strrchr(path, '/');
  int n = snprintf(lib, sizeof lib, "%.*slib", slash ? (int)(slash - path + 1) : 0, path);
  add(l, path, status, err);
  if (n > 0 && (size_t)n < sizeof lib && stat(lib, &found) == 0 && S_ISDIR(found.st_mode)) look_folder(l, lib, 1);
}

struct fingerprint fingerprint_of(const struct hash_key *key, const char *path) {
  struct look l = {.key = key};
  struct stat status;
  int err = stat(path, &status) ? errno : 0;
  if (!err && S_ISDIR(status.st_mode)) look_folder(&l, path, 0);
  else look_file(&l, path, &status, err);
  return l.sum;
}
