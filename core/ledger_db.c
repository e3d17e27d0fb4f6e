/* SQLite, which only this file knows.
 *
 * Good path: db_open sets the library up (its memory comes from heap, so that a spec can fail it), opens the file and
 * says how it is to be written: a write-ahead log that is synced at each commit, pages of deleted rows given back in
 * steps. Statements that come again and again are kept, found by the address of their text.
 *
 * Ways it fails: whatever the library returns becomes one of a few troubles, in trouble_of; its text is kept for
 * db_why. A statement is reset at once, whatever became of it, so nothing keeps the database locked. */
#include "ledger_db.h"

#include <errno.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "err.h"
#include "heap.h"

enum {
  KEPT_STATEMENTS = 32,         /* the ledger has fewer */
  PROGRESS_STEPS = 4000,        /* of the library's machine between two looks at the clock: some 0.1 ms */
  CACHE_KIB = 2048,             /* pages kept in memory: a batch's, or it is written twice */
  JOURNAL_BYTES = 4 << 20,      /* what the write-ahead log is cut to when it is empty */
  BUSY_MS = 100                 /* for somebody who reads or copies the file; then the ledger tries again */
};

struct db {
  sqlite3 *handle;
  struct kept { const char *sql; sqlite3_stmt *statement; } kept[KEPT_STATEMENTS];
  uint64_t deadline_ns;
  char why[200];
};

/* ---- the library's memory -------------------------------------------------------------------- */

static void *mem_alloc(int n) {
  return heap_alloc((size_t)n);
}

static void *mem_realloc(void *p, int n) {
  return heap_realloc(p, (size_t)n);
}

static int mem_size(void *p) {
  return p ? (int)malloc_usable_size(p) : 0;
}

static int mem_round(int n) {
  return (n + 7) & ~7;
}

static int mem_init(void *ctx) {
  (void)ctx;
  return SQLITE_OK;
}

static void mem_shutdown(void *ctx) {
  (void)ctx;
}

/* The first time in a process; later ones are refused by the library, which is set up by then. */
static void set_up(void) {
  static const sqlite3_mem_methods methods = {mem_alloc, heap_free, mem_realloc, mem_size,
                                              mem_round, mem_init,  mem_shutdown, NULL};
  sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  sqlite3_initialize();
}

/* ---- errors ---------------------------------------------------------------------------------- */

static int trouble_of_io(sqlite3 *handle, int extended) {
  if (extended == SQLITE_IOERR_NOMEM) return LEDGER_NO_MEMORY;
  int number = sqlite3_system_errno(handle);
  if (number == ENOSPC || number == EDQUOT) return LEDGER_DISK_FULL;
  return number == EROFS ? LEDGER_READ_ONLY : LEDGER_IO;
}

static int trouble_of(sqlite3 *handle, int code) {
  switch (code & 0xff) {
  case SQLITE_OK:
  case SQLITE_ROW:
  case SQLITE_DONE: return 0;
  case SQLITE_FULL: return LEDGER_DISK_FULL;
  case SQLITE_READONLY:
  case SQLITE_PERM:
  case SQLITE_AUTH: return LEDGER_READ_ONLY;
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
  case SQLITE_PROTOCOL: return LEDGER_LOCKED;
  case SQLITE_NOMEM: return LEDGER_NO_MEMORY;
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB: return LEDGER_CORRUPT;
  case SQLITE_IOERR:
  case SQLITE_CANTOPEN: return trouble_of_io(handle, code);
  case SQLITE_INTERRUPT: return DB_INTERRUPTED;
  default: return DB_REFUSED;
  }
}

static int failed(struct db *db, int code) {
  int trouble = trouble_of(db->handle, sqlite3_extended_errcode(db->handle));
  if (!trouble) trouble = trouble_of(db->handle, code);
  snprintf(db->why, sizeof db->why, "%s", sqlite3_errmsg(db->handle));
  return trouble;
}

const char *db_why(const struct db *db) {
  return db->why;
}

/* ---- time ------------------------------------------------------------------------------------ */

static int on_progress(void *ctx) {
  const struct db *db = ctx;
  struct timespec now;
  if (!db->deadline_ns) return 0;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec >= db->deadline_ns;
}

void db_deadline(struct db *db, uint64_t deadline_ns) {
  db->deadline_ns = deadline_ns;
  sqlite3_progress_handler(db->handle, deadline_ns ? PROGRESS_STEPS : 0, on_progress, db);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* auto_vacuum has to be said before the first table is made; afterwards it changes nothing. */
static int settle(struct db *db, const char *path, uint32_t pages_max) {
  char sql[320];
  snprintf(sql, sizeof sql,
           "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=%s; PRAGMA synchronous=FULL; PRAGMA cache_size=-%d;"
           "PRAGMA journal_size_limit=%d; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA max_page_count=%u;",
           path ? "WAL" : "MEMORY", CACHE_KIB, JOURNAL_BYTES, path ? 4294967294u : pages_max);
  sqlite3_busy_timeout(db->handle, BUSY_MS);
  sqlite3_extended_result_codes(db->handle, 1);
  sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  return db_exec(db, sql);
}

int db_open(const char *path, uint32_t pages_max, struct db **out) {
  set_up();
  struct db *db = *out = heap_zalloc(sizeof *db);
  if (!db) return LEDGER_NO_MEMORY;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  int code = sqlite3_open_v2(path ? path : ":memory:", &db->handle, flags, NULL);
  if (code != SQLITE_OK) return failed(db, code);
  return settle(db, path, pages_max);
}

void db_close(struct db *db) {
  if (!db) return;
  for (uint32_t i = 0; i < KEPT_STATEMENTS; i++) sqlite3_finalize(db->kept[i].statement);
  sqlite3_close(db->handle);
  heap_free(db);
}

/* ---- statements ------------------------------------------------------------------------------ */

static int prepare(struct db *db, const char *sql, unsigned flags, sqlite3_stmt **out) {
  int code = sqlite3_prepare_v3(db->handle, sql, -1, flags, out, NULL);
  return code == SQLITE_OK ? 0 : failed(db, code);
}

static int prepare_kept(struct db *db, const char *sql, sqlite3_stmt **out) {
  for (uint32_t i = 0; i < KEPT_STATEMENTS; i++) {
    struct kept *k = &db->kept[i];
    if (k->sql == sql) return *out = k->statement, 0;
    if (k->sql) continue;
    int err = prepare(db, sql, SQLITE_PREPARE_PERSISTENT, out);
    if (!err) *k = (struct kept){sql, *out};
    return err;
  }
  snprintf(db->why, sizeof db->why, "too many statements");
  return DB_REFUSED;
}

static int bind_one(sqlite3_stmt *statement, int at, const struct db_value *v) {
  const void *p = v->p ? v->p : "";
  switch (v->type) {
  case DB_INT: return sqlite3_bind_int64(statement, at, v->i);
  case DB_TEXT: return sqlite3_bind_text64(statement, at, p, v->n, SQLITE_STATIC, SQLITE_UTF8);
  case DB_BLOB: return sqlite3_bind_blob64(statement, at, p, v->n, SQLITE_STATIC);
  case DB_NULL: break;
  }
  return sqlite3_bind_null(statement, at);
}

static int bind(struct db *db, sqlite3_stmt *statement, const struct db_value *values, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    int code = bind_one(statement, (int)i + 1, &values[i]);
    if (code != SQLITE_OK) return failed(db, code);
  }
  return 0;
}

/* To its end, over rows that nobody asked for: a pragma gives some. */
static int run(struct db *db, sqlite3_stmt *statement) {
  int code;
  do code = sqlite3_step(statement);
  while (code == SQLITE_ROW);
  return code == SQLITE_DONE ? 0 : failed(db, code);
}

int db_run(struct db *db, const char *sql, const struct db_value *values, uint32_t count) {
  sqlite3_stmt *statement;
  int err = prepare_kept(db, sql, &statement);
  if (err) return err;
  err = bind(db, statement, values, count);
  if (!err) err = run(db, statement);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);      /* they were lent */
  return err;
}

int db_exec(struct db *db, const char *sql) {
  int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
  return code == SQLITE_OK ? 0 : failed(db, code);
}

void db_undo(struct db *db) {
  if (!sqlite3_get_autocommit(db->handle)) sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

int db_number(struct db *db, const char *sql, int64_t *out) {
  struct db_rows *rows;
  *out = 0;
  int err = db_begin(db, sql, NULL, 0, &rows);
  if (err) return err;
  if (db_next(db, rows, &err)) *out = db_int(rows, 0);
  db_end(rows);
  return err;
}

uint64_t db_changes(const struct db *db) {
  return (uint64_t)sqlite3_changes64(db->handle);
}

/* ---- rows ------------------------------------------------------------------------------------ */

int db_begin(struct db *db, const char *sql, const struct db_value *values, uint32_t count, struct db_rows **out) {
  sqlite3_stmt *statement;
  int err = prepare(db, sql, 0, &statement);
  if (err) return err;
  *out = (struct db_rows *)(void *)statement;
  err = bind(db, statement, values, count);
  if (err) sqlite3_finalize(statement);
  return err;
}

bool db_next(struct db *db, struct db_rows *rows, int *err) {
  int code = sqlite3_step((sqlite3_stmt *)(void *)rows);
  *err = code == SQLITE_ROW || code == SQLITE_DONE ? 0 : failed(db, code);
  return code == SQLITE_ROW;
}

const char *db_text(struct db_rows *rows, int column, size_t *n) {
  sqlite3_stmt *statement = (sqlite3_stmt *)(void *)rows;
  bool blob = sqlite3_column_type(statement, column) == SQLITE_BLOB;      /* without a NUL behind it */
  const char *p = blob ? sqlite3_column_blob(statement, column)
                       : (const char *)(const void *)sqlite3_column_text(statement, column);
  size_t bytes = p ? (size_t)sqlite3_column_bytes(statement, column) : 0;
  if (n) *n = bytes;
  return p ? p : "";
}

int64_t db_int(struct db_rows *rows, int column) {
  return sqlite3_column_int64((sqlite3_stmt *)(void *)rows, column);
}

void db_end(struct db_rows *rows) {
  sqlite3_finalize((sqlite3_stmt *)(void *)rows);
}
