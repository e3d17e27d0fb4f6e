/* A database, as the ledger's thread uses it: SQL with values in, rows out, and what went wrong as the ledger says it.
 * One thread at a time. */
#ifndef FLUO_LEDGER_DB_H
#define FLUO_LEDGER_DB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger.h"

struct db;
struct db_rows;                                /* a statement that is under way */

/* What functions here return: 0, an enum ledger_trouble, or one of these. */
enum db_err {
  DB_REFUSED = LEDGER_TROUBLES,                /* this statement cannot be: too large, a constraint, an error in it */
  DB_INTERRUPTED                               /* its time was over */
};

enum db_type { DB_NULL, DB_INT, DB_TEXT, DB_BLOB };
struct db_value { enum db_type type; int64_t i; const void *p; size_t n; };

/* path NULL: in memory, of at most `pages_max` pages. WAL, and synced at each commit. Where it fails *out is there
 * nonetheless, for db_why and db_close, but without memory for it: NULL. */
int db_open(const char *path, uint32_t pages_max, struct db **out);
void db_close(struct db *db);                  /* NULL is fine */
/* The last error as a line for people, until the next call. */
const char *db_why(const struct db *db);
/* From now on a statement that is under way at deadline_ns (CLOCK_MONOTONIC) ends with DB_INTERRUPTED; 0: none is. */
void db_deadline(struct db *db, uint64_t deadline_ns);

/* One or several statements, without values or rows. */
int db_exec(struct db *db, const char *sql);
/* Rolls back what was begun. There may be nothing left to roll back: some errors do that by themselves. */
void db_undo(struct db *db);
/* A statement without rows; prepared once where `sql` is a constant that comes again (told by its address). */
int db_run(struct db *db, const char *sql, const struct db_value *values, uint32_t count);
/* The one whole number that it gives; without a row 0. */
int db_number(struct db *db, const char *sql, int64_t *out);
uint64_t db_changes(const struct db *db);      /* rows that the last db_run changed */

/* Rows of a statement made for this call. Until db_end, which has to come unless this fails, nothing else is asked. */
int db_begin(struct db *db, const char *sql, const struct db_value *values, uint32_t count, struct db_rows **out);
/* true: there is one more. false: the end, or *err. */
bool db_next(struct db *db, struct db_rows *rows, int *err);
/* Valid until db_next; never NULL. Text ends with a NUL, a blob does not. */
const char *db_text(struct db_rows *rows, int column, size_t *n);
int64_t db_int(struct db_rows *rows, int column);
void db_end(struct db_rows *rows);

#endif
