/* The ledger's tables: how they are made and brought up to date, what a row is written with, what goes when it is old,
 * and what a restart gets back. Of the thread that owns the database. */
#ifndef FLUO_LEDGER_TABLES_H
#define FLUO_LEDGER_TABLES_H
#include "ledger_db.h"

/* Looks the database through, for so long at most, and brings it to this version. 0, a trouble (LEDGER_CORRUPT: it is
 * to be set aside), or DB_REFUSED: of a later version of this program. */
int tables_open(struct db *db, uint64_t check_ns);
/* A row by its values, in the order of its kind's statement; a violation's evidence is one of them. */
int tables_write(struct db *db, enum ledger_kind kind, const struct db_value *values, uint32_t count);
/* One step of retention, *deleted rows: 0 of them, nothing is left to do. */
struct tables_bounds { uint64_t now_ns, age_ns, bytes_max; };
int tables_retain(struct db *db, const struct tables_bounds *bounds, uint64_t *deleted);
int tables_bytes(struct db *db, uint64_t *bytes);         /* of pages in use */
/* Incidents that were resolved later than this come, too: one may be opened again. */
int tables_restore(struct db *db, uint64_t resolved_since_ns, const struct ledger_restored *calls);

#endif
