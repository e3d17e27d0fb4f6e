/* What is asked of the ledger, answered as JSON. Of the thread that owns the database. */
#ifndef FLUO_LEDGER_READ_H
#define FLUO_LEDGER_READ_H
#include "buffer.h"
#include "ledger_db.h"

/* Appends the answer that ledger.h promises. 0, FLUO_EINVALID (no such id), FLUO_ETOOLARGE, FLUO_ETIMEOUT, FLUO_ENOMEM,
 * FLUO_EIO; *trouble: what the database said, LEDGER_CORRUPT among it. */
int ledger_read(struct db *db, const struct ledger_query *q, struct buffer *out, int *trouble);

#endif
