/* Tables.
 *
 * Every table has a whole number `n` in the order of coming, which is also the cursor of lists; times are whole
 * numbers of ns. What the API prints is kept as the text that it prints; columns beside it are what is asked for.
 *
 * Migrations are a list: the version of a database is how many of them it has had. Each runs in one transaction with
 * the note of its number, so one that was cut short runs again. A version that this program does not know is refused
 * and left as it is; a file that is no ledger at all is treated as damaged.
 *
 * Retention takes the oldest first and a few rows at a time, so that a commit never waits long for it: what is over
 * its age, and while the pages in use are more than their bound the oldest violations with their evidence, then
 * incidents and deliveries that are over, then silences and feedback. What is open or undelivered stays. */
#include "ledger_tables.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "limits.h"

enum { APPLICATION = 0x464c554f };      /* "FLUO", in the file's header */

static const char *const migrations[] = {
    "CREATE TABLE incidents(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, severity TEXT NOT NULL,"
    " status TEXT NOT NULL, rule TEXT NOT NULL, grouped TEXT NOT NULL, count INTEGER NOT NULL,"
    " started_at INTEGER NOT NULL, last_seen_at INTEGER NOT NULL, resolved_at INTEGER NOT NULL,"
    " json TEXT NOT NULL, state BLOB NOT NULL);"
    "CREATE INDEX incidents_open ON incidents(n) WHERE status <> 'resolved';"
    "CREATE INDEX incidents_rule ON incidents(rule, n);"
    "CREATE TABLE violations(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, incident TEXT NOT NULL,"
    " severity TEXT NOT NULL, trace_id TEXT NOT NULL, rule TEXT NOT NULL, rule_version TEXT NOT NULL,"
    " at INTEGER NOT NULL, written_at INTEGER NOT NULL, evidence_of TEXT NOT NULL, json TEXT NOT NULL, evidence BLOB);"
    "CREATE INDEX violations_rule ON violations(rule, n);"
    "CREATE INDEX violations_incident ON violations(incident, n);"
    "CREATE TABLE deliveries(n INTEGER PRIMARY KEY, id TEXT NOT NULL, receiver TEXT NOT NULL,"
    " state INTEGER NOT NULL, attempts INTEGER NOT NULL, created_at INTEGER NOT NULL, next_at INTEGER NOT NULL,"
    " alert TEXT NOT NULL, outcome TEXT NOT NULL, UNIQUE(id, receiver));"
    "CREATE INDEX deliveries_pending ON deliveries(n) WHERE state = 0;"
    "CREATE INDEX deliveries_receiver ON deliveries(receiver, n);"
    "CREATE TABLE silences(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, over INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL, ends_at INTEGER NOT NULL, json TEXT NOT NULL);"
    "CREATE TABLE feedback(n INTEGER PRIMARY KEY, violation TEXT NOT NULL, incident TEXT NOT NULL,"
    " rule TEXT NOT NULL, grouped TEXT NOT NULL, who TEXT NOT NULL, right INTEGER NOT NULL, at INTEGER NOT NULL);"
    "CREATE INDEX feedback_rule ON feedback(rule, n);",
};
enum { VERSION = sizeof migrations / sizeof *migrations };

/* ---- versions -------------------------------------------------------------------------------- */

static int migrate(struct db *db, int64_t from) {
  int err = 0;
  for (int64_t i = from; !err && i < VERSION; i++) {
    char note[96];
    snprintf(note, sizeof note, "PRAGMA user_version=%d; PRAGMA application_id=%d; COMMIT;", (int)i + 1, APPLICATION);
    err = db_exec(db, "BEGIN IMMEDIATE");
    if (!err) err = db_exec(db, migrations[i]);
    if (!err) err = db_exec(db, note);
  }
  return err;
}

/* Whether its pages fit together; where the time does not suffice, damage shows when it is read. */
static int look_through(struct db *db, uint64_t check_ns) {
  struct timespec now;
  struct db_rows *rows;
  bool well = true;
  clock_gettime(CLOCK_MONOTONIC, &now);
  db_deadline(db, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + check_ns);
  int err = db_begin(db, "PRAGMA quick_check(1)", NULL, 0, &rows);
  if (!err) {
    if (db_next(db, rows, &err)) well = !strcmp(db_text(rows, 0, NULL), "ok");
    db_end(rows);
  }
  db_deadline(db, 0);
  if (err == DB_INTERRUPTED) return 0;
  return !err && !well ? LEDGER_CORRUPT : err;
}

int tables_open(struct db *db, uint64_t check_ns) {
  int64_t version = 0, application = 0, pages = 0;
  int err = db_number(db, "PRAGMA user_version", &version);
  if (!err) err = db_number(db, "PRAGMA application_id", &application);
  if (!err) err = db_number(db, "SELECT count(*) FROM sqlite_schema", &pages);
  if (err) return err;
  if (pages && application != APPLICATION) return LEDGER_CORRUPT;
  if (version > VERSION) return DB_REFUSED;
  if (pages) err = look_through(db, check_ns);
  return err ? err : migrate(db, version);
}

/* ---- writing --------------------------------------------------------------------------------- */

static const char *const statements[LEDGER_ROW_KINDS] = {
    [LEDGER_ROW_INCIDENT] =
        "INSERT INTO incidents(id, severity, status, rule, grouped, count, started_at, last_seen_at, resolved_at, json,"
        " state) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT(id) DO UPDATE SET severity = ?2,"
        " status = ?3, count = ?6, started_at = ?7, last_seen_at = ?8, resolved_at = ?9, json = ?10, state = ?11",
    [LEDGER_ROW_VIOLATION] =
        "INSERT INTO violations(id, incident, severity, trace_id, rule, rule_version, at, written_at, evidence_of, json,"
        " evidence) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT(id) DO UPDATE SET evidence ="
        " excluded.evidence WHERE evidence IS NULL",
    [LEDGER_ROW_DELIVERY] =
        "INSERT INTO deliveries(id, receiver, state, attempts, created_at, next_at, alert, outcome)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ifnull(?7, 'null'), ?8) ON CONFLICT(id, receiver) DO UPDATE SET state = ?3,"
        " attempts = ?4, created_at = ?5, next_at = ?6, alert = ifnull(?7, alert), outcome = ?8",
    [LEDGER_ROW_SILENCE] =
        "INSERT INTO silences(id, over, created_at, ends_at, json) VALUES(?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT(id) DO UPDATE SET over = ?2, created_at = ?3, ends_at = ?4, json = ?5",
    [LEDGER_ROW_FEEDBACK] = "INSERT INTO feedback(violation, incident, rule, grouped, who, right, at)"
                            " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
};

int tables_write(struct db *db, enum ledger_kind kind, const struct db_value *values, uint32_t count) {
  return db_run(db, statements[kind], values, count);
}

/* ---- retention ------------------------------------------------------------------------------- */

#define STEP " LIMIT ?2) AND " /* looks no further than at the oldest that may go */
enum { STEP_ROWS = 200, STEP_ROWS_MAX = 2000 };      /* a few milliseconds */

/* Feedback counts for long after the violation that it was on (feedback.h): 90 days, in ns. */
#define FEEDBACK_MORE "7776000000000000"

/* ?1: what is older goes; ?2 of them at most. */
static const char *const old_rows[] = {
    "DELETE FROM violations WHERE n IN (SELECT n FROM violations ORDER BY n" STEP "written_at < ?1",
    "DELETE FROM incidents WHERE n IN (SELECT n FROM incidents WHERE status = 'resolved' ORDER BY n" STEP
    "last_seen_at < ?1",
    "DELETE FROM deliveries WHERE n IN (SELECT n FROM deliveries WHERE state <> 0 ORDER BY n" STEP "created_at < ?1",
    "DELETE FROM silences WHERE n IN (SELECT n FROM silences WHERE over ORDER BY n" STEP "created_at < ?1",
    "DELETE FROM feedback WHERE n IN (SELECT n FROM feedback ORDER BY n" STEP "at < ?1 - " FEEDBACK_MORE,
};
enum { OLD_ROWS = sizeof old_rows / sizeof *old_rows };

static int delete_before(struct db *db, uint64_t before_ns, int64_t rows, bool all_kinds, uint64_t *deleted) {
  struct db_value values[] = {{.type = DB_INT, .i = (int64_t)before_ns}, {.type = DB_INT, .i = rows}};
  int err = 0;
  for (uint32_t i = 0; !err && i < OLD_ROWS; i++) {
    err = db_run(db, old_rows[i], values, 2);
    if (!err) *deleted += db_changes(db);
    if (*deleted && !all_kinds) break;
  }
  return err;
}

/* As many rows as are too many, going by what a violation takes. */
static int delete_oldest(struct db *db, uint64_t bytes, uint64_t bytes_max, uint64_t *deleted) {
  int64_t violations = 0;
  int err = db_number(db, "SELECT (SELECT max(n) FROM violations) - (SELECT min(n) FROM violations) + 1", &violations);
  double rows = 1 + (double)violations * (double)(bytes - bytes_max) / (double)bytes;
  if (!violations) rows = STEP_ROWS;
  if (rows > STEP_ROWS_MAX) rows = STEP_ROWS_MAX;
  return err ? err : delete_before(db, INT64_MAX, (int64_t)rows, false, deleted);
}

int tables_bytes(struct db *db, uint64_t *bytes) {
  int64_t pages = 0, free = 0, size = 0;
  int err = db_number(db, "PRAGMA page_count", &pages);
  if (!err) err = db_number(db, "PRAGMA freelist_count", &free);
  if (!err) err = db_number(db, "PRAGMA page_size", &size);
  *bytes = (uint64_t)(pages - free) * (uint64_t)size;
  return err;
}

static int retain(struct db *db, const struct tables_bounds *bounds, uint64_t *deleted) {
  uint64_t bytes = 0, before = bounds->now_ns > bounds->age_ns ? bounds->now_ns - bounds->age_ns : 0;
  int err = delete_before(db, before, STEP_ROWS, true, deleted);
  if (!err) err = tables_bytes(db, &bytes);
  if (!err && !*deleted && bytes > bounds->bytes_max) err = delete_oldest(db, bytes, bounds->bytes_max, deleted);
  return err ? err : db_exec(db, "PRAGMA incremental_vacuum(256)");
}

int tables_retain(struct db *db, const struct tables_bounds *bounds, uint64_t *deleted) {
  *deleted = 0;
  int err = db_exec(db, "BEGIN IMMEDIATE");
  if (err) return err;
  err = retain(db, bounds, deleted);
  if (!err) err = db_exec(db, "COMMIT");
  if (err) db_undo(db);
  return err;
}

/* ---- a restart ------------------------------------------------------------------------------- */

static struct ledger_text text_of(struct db_rows *rows, int column) {
  struct ledger_text text;
  text.p = db_text(rows, column, &text.n);
  return text;
}

static void give_incident(struct db_rows *r, const struct ledger_restored *c) {
  struct ledger_incident i = {.id = db_text(r, 0, NULL), .severity = db_text(r, 1, NULL),
                              .status = db_text(r, 2, NULL), .rule = text_of(r, 3), .group = text_of(r, 4),
                              .count = (uint64_t)db_int(r, 5), .started_ns = (uint64_t)db_int(r, 6),
                              .last_seen_ns = (uint64_t)db_int(r, 7), .resolved_ns = (uint64_t)db_int(r, 8),
                              .json = text_of(r, 9), .state = text_of(r, 10)};
  if (c->on_incident) c->on_incident(c->ctx, &i);
}

static void give_delivery(struct db_rows *r, const struct ledger_restored *c) {
  struct ledger_delivery d = {.id = db_text(r, 0, NULL), .receiver = db_text(r, 1, NULL), .state = LEDGER_PENDING,
                              .attempts = (uint32_t)db_int(r, 2), .created_ns = (uint64_t)db_int(r, 3),
                              .next_ns = (uint64_t)db_int(r, 4), .alert = text_of(r, 5), .outcome = text_of(r, 6)};
  if (c->on_delivery) c->on_delivery(c->ctx, &d);
}

static void give_silence(struct db_rows *r, const struct ledger_restored *c) {
  struct ledger_silence s = {.id = db_text(r, 0, NULL), .created_ns = (uint64_t)db_int(r, 1),
                             .ends_ns = (uint64_t)db_int(r, 2), .json = text_of(r, 3)};
  if (c->on_silence) c->on_silence(c->ctx, &s);
}

static void give_feedback(struct db_rows *r, const struct ledger_restored *c) {
  struct ledger_feedback f = {.violation = db_text(r, 0, NULL), .incident = db_text(r, 1, NULL), .rule = text_of(r, 2),
                              .group = text_of(r, 3), .who = text_of(r, 4), .verdict = (enum ledger_verdict)db_int(r, 5),
                              .at_ns = (uint64_t)db_int(r, 6)};
  if (c->on_feedback) c->on_feedback(c->ctx, &f);
}

/* The newest ?1, in the order of coming; of incidents also those that were resolved since ?2, if there is room. */
#define RESTORED(columns, table, which, first) \
  "SELECT " columns " FROM (SELECT * FROM " table " WHERE " which " ORDER BY " first "n DESC LIMIT ?1) AS r ORDER BY ?2, n"
/* An incident's row is written once a second at most, its violations as they come: a crash lies between. */
#define COUNT "max(count, (SELECT count(*) FROM violations AS v WHERE v.incident = r.id))"

int tables_restore(struct db *db, uint64_t resolved_since_ns, const struct ledger_restored *calls) {
  static const struct {
    const char *sql;
    void (*give)(struct db_rows *rows, const struct ledger_restored *calls);
  } kinds[] = {
      {RESTORED("id, severity, status, rule, grouped, " COUNT ", started_at, last_seen_at, resolved_at, json, state", "incidents",
                "status <> 'resolved' OR resolved_at > ?2", "status = 'resolved', "), give_incident},
      {RESTORED("id, receiver, attempts, created_at, next_at, alert, outcome", "deliveries", "state = 0", ""), give_delivery},
      {RESTORED("id, created_at, ends_at, json", "silences", "NOT over", ""), give_silence},
      {RESTORED("violation, incident, rule, grouped, who, right, at", "feedback", "1", ""), give_feedback},
  };
  struct db_value values[] = {{.type = DB_INT, .i = LIMIT_LEDGER_RESTORED}, {.type = DB_INT, .i = (int64_t)resolved_since_ns}};
  int err = 0;
  for (size_t i = 0; !err && i < sizeof kinds / sizeof *kinds; i++) {
    struct db_rows *rows;
    err = db_begin(db, kinds[i].sql, values, 2, &rows);
    if (err) break;
    while (db_next(db, rows, &err)) kinds[i].give(rows, calls);
    db_end(rows);
  }
  return err;
}
