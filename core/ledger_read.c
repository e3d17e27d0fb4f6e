/* Answers.
 *
 * Good path: a list is a table's rows, newest first, after a cursor, and with as many conditions as the question has;
 * each row is printed as it was written, with what the ledger knows of it beside. One row more than asked for tells
 * that there is a next page. An answer that grows large ends early, with a cursor.
 *
 * Ways it fails: the time is over, no memory, a row that fits no answer; what was appended is the caller's to throw
 * away. A damaged page is the caller's to act upon. */
#include "ledger_read.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "err.h"
#include "inflate.h"
#include "limits.h"
#include "violation.h"

enum { PAGE_BYTES = 4 << 20 };

static void add_member(struct buffer *out, const char *name, struct db_rows *rows, int column) {
  size_t n;
  const char *text = db_text(rows, column, &n);
  buffer_printf(out, ",\"%s\":", name);
  buffer_json(out, text, n);
}

static void add_time(struct buffer *out, const char *name, int64_t ns) {
  char text[32];
  if (!ns) return;
  time_text((uint64_t)ns, text);
  buffer_printf(out, ",\"%s\":\"%s\"", name, text);
}

static void add_raw(struct buffer *out, struct db_rows *rows, int column) {
  size_t n;
  const char *text = db_text(rows, column, &n);
  buffer_add(out, text, n);
}

/* ---- rows; column 0 is n --------------------------------------------------------------------- */

static void print_json(struct buffer *out, struct db_rows *rows) {
  add_raw(out, rows, 1);
}

/* The violation as it was printed, which ends with a brace, and three members more. */
static void print_violation(struct buffer *out, struct db_rows *rows) {
  size_t n;
  const char *json = db_text(rows, 1, &n);
  if (!n) return;
  buffer_add(out, json, n - 1);
  add_member(out, "incident", rows, 2);
  add_member(out, "rule_version", rows, 3);
  buffer_printf(out, ",\"evidence\":%s}", db_int(rows, 4) ? "true" : "false");
}

static void print_written(struct buffer *out, struct db_rows *rows) {
  buffer_printf(out, "%" PRId64 " ", db_int(rows, 5));
  print_violation(out, rows);
  buffer_text(out, "\n");
}

static void print_delivery(struct buffer *out, struct db_rows *rows) {
  buffer_text(out, "{\"id\":");
  buffer_json(out, db_text(rows, 1, NULL), strlen(db_text(rows, 1, NULL)));
  add_member(out, "receiver", rows, 2);
  add_member(out, "state", rows, 3);
  buffer_printf(out, ",\"attempts\":%" PRId64, db_int(rows, 4));
  add_time(out, "created_at", db_int(rows, 5));
  add_time(out, "next_at", db_int(rows, 6));
  add_member(out, "outcome", rows, 7);
  buffer_text(out, ",\"alert\":");
  add_raw(out, rows, 8);
  buffer_text(out, "}");
}

static void print_feedback(struct buffer *out, struct db_rows *rows) {
  buffer_text(out, "{\"violation\":");
  buffer_json(out, db_text(rows, 1, NULL), strlen(db_text(rows, 1, NULL)));
  add_member(out, "incident", rows, 2);
  add_member(out, "rule", rows, 3);
  buffer_text(out, ",\"group\":");
  add_raw(out, rows, 4);
  add_member(out, "verdict", rows, 5);
  add_member(out, "who", rows, 6);
  add_time(out, "at", db_int(rows, 7));
  buffer_text(out, "}");
}

/* ---- lists ----------------------------------------------------------------------------------- */

#define DELIVERY_STATE "CASE state WHEN 0 THEN 'pending' WHEN 1 THEN 'done' ELSE 'dead' END"
#define VERDICT "CASE right WHEN 0 THEN 'wrong' WHEN 1 THEN 'right' ELSE 'revoked' END"

/* What each list is read with; conditions NULL: it takes none of that kind. */
static const struct list {
  const char *name, *select, *id, *rule, *severity, *status, *since, *incident;
  void (*print)(struct buffer *out, struct db_rows *rows);
} lists[] = {
    [LEDGER_INCIDENTS] = {"incidents", "n, json FROM incidents", "id", "rule", "severity", "status", "last_seen_at", NULL,
                          print_json},
    [LEDGER_VIOLATIONS] = {"violations",
                           "n, json, incident, rule_version, evidence IS NOT NULL OR evidence_of <> '' FROM violations",
                           "id", "rule", "severity", NULL, "at", "incident", print_violation},
    [LEDGER_DELIVERIES] = {"deliveries",
                           "n, id, receiver, " DELIVERY_STATE ", attempts, created_at, next_at, outcome, alert FROM deliveries",
                           "id", "receiver", NULL, DELIVERY_STATE, "created_at", NULL, print_delivery},
    [LEDGER_SILENCES] = {"silences", "n, json FROM silences", "id", NULL, NULL, "CASE over WHEN 0 THEN 'active' ELSE 'over' END",
                         "created_at", NULL, print_json},
    [LEDGER_FEEDBACK] = {"feedback", "n, violation, incident, rule, grouped, " VERDICT ", who, at FROM feedback",
                         "violation", "rule", NULL, VERDICT, "at", "incident", print_feedback},
};

struct conditions { struct buffer sql; struct db_value values[9]; uint32_t count; };

static void where(struct conditions *c, const char *column, const char *compare, struct db_value value) {
  buffer_printf(&c->sql, " AND %s %s ?", column ? column : "NULL", compare);      /* NULL: true of nothing */
  c->values[c->count++] = value;
}

static void where_text(struct conditions *c, const char *column, const char *compare, const char *text) {
  if (text && *text) where(c, column, compare, (struct db_value){.type = DB_TEXT, .p = text, .n = strlen(text)});
}

/* Behind all hex digits comes a "g". */
static void where_id(struct conditions *c, const struct list *list, const struct ledger_query *q, char past[64]) {
  size_t n = strlen(q->id);
  if (!q->prefix || !n || n > 62) {
    where_text(c, list->id, "=", q->id);
    return;
  }
  memcpy(past, q->id, n);
  memcpy(past + n, "g", 2);
  where_text(c, list->id, ">=", q->id);
  where_text(c, list->id, "<", past);
}

static void where_number(struct conditions *c, const char *column, const char *compare, uint64_t number) {
  if (number) where(c, column, compare, (struct db_value){.type = DB_INT, .i = (int64_t)number});
}

static int compose(struct conditions *c, const struct list *list, const struct ledger_query *q, uint32_t limit,
                   char past[64]) {
  bool active = q->what == LEDGER_INCIDENTS && !strcmp(q->status, "active");
  buffer_init(&c->sql, 4096);
  c->count = 0;
  buffer_printf(&c->sql, "SELECT %s WHERE 1", list->select);
  where_number(c, "n", "<", q->cursor);
  where_number(c, list->since, ">=", q->since_ns);
  where_id(c, list, q, past);
  where_text(c, list->rule, "=", q->rule);
  where_text(c, list->severity, "=", q->severity);
  where_text(c, list->status, active ? "<>" : "=", active ? "resolved" : q->status);
  where_text(c, list->incident, "=", q->incident);
  buffer_printf(&c->sql, " ORDER BY n DESC LIMIT %" PRIu32, limit + 1);
  buffer_add(&c->sql, "", 1);
  return c->sql.err;
}

static void print_rows(struct db *db, struct db_rows *rows, const struct list *list, uint32_t limit, struct buffer *out,
                       int *trouble) {
  int64_t last = 0;
  size_t from = out->len;
  buffer_printf(out, "{\"%s\":[", list->name);
  for (uint32_t i = 0; !out->err && db_next(db, rows, trouble); i++) {
    if (i == limit || out->len - from > PAGE_BYTES) {
      buffer_printf(out, "],\"next\":\"%" PRId64 "\"}", last);
      return;
    }
    if (i) buffer_text(out, ",");
    list->print(out, rows);
    last = db_int(rows, 0);
  }
  buffer_text(out, "]}");
}

static uint32_t limit_of(const struct ledger_query *q) {
  uint32_t limit = q->limit ? q->limit : LEDGER_ROWS_DEFAULT;
  return limit < LIMIT_LEDGER_ROWS ? limit : LIMIT_LEDGER_ROWS;
}

/* 0 or FLUO_EINVALID: there is none. */
static int print_one(struct db *db, struct db_rows *rows, const struct list *list, struct buffer *out, int *trouble) {
  if (!db_next(db, rows, trouble)) return FLUO_EINVALID;
  list->print(out, rows);
  return 0;
}

static int read_list(struct db *db, const struct list *list, const struct ledger_query *q, struct buffer *out,
                     int *trouble) {
  struct conditions c;
  struct db_rows *rows;
  char past[64];
  int err = 0;
  if (compose(&c, list, q, limit_of(q), past)) *trouble = LEDGER_NO_MEMORY;
  else *trouble = db_begin(db, c.sql.data, c.values, c.count, &rows);
  if (!*trouble) {
    if (q->one) err = print_one(db, rows, list, out, trouble);
    else print_rows(db, rows, list, limit_of(q), out, trouble);
    db_end(rows);
  }
  buffer_deinit(&c.sql);
  return err;
}

/* Looks back from the newest one as far as need be: times of coming are those of a clock, in the order of n. */
static void read_written(struct db *db, const struct ledger_query *q, struct buffer *out, int *trouble) {
  static const char sql[] =
      "SELECT * FROM (SELECT n, json, incident, rule_version, evidence IS NOT NULL OR evidence_of <> '', written_at FROM"
      " violations WHERE n > coalesce((SELECT n FROM violations WHERE written_at < ?1 ORDER BY n DESC LIMIT 1), 0)"
      " ORDER BY n DESC LIMIT ?2) ORDER BY n";
  struct db_value values[] = {{.type = DB_INT, .i = (int64_t)q->since_ns}, {.type = DB_INT, .i = limit_of(q)}};
  struct db_rows *rows;
  *trouble = db_begin(db, sql, values, 2, &rows);
  if (*trouble) return;
  while (!out->err && db_next(db, rows, trouble)) print_written(out, rows);
  db_end(rows);
}

/* ---- evidence -------------------------------------------------------------------------------- */

static int read_evidence(struct db *db, const struct ledger_query *q, struct buffer *out, int *trouble) {
  static const char sql[] = "SELECT coalesce(v.evidence, (SELECT o.evidence FROM violations o WHERE o.id = v.evidence_of))"
                            " FROM violations v WHERE v.id = ?";
  struct db_rows *rows;
  struct db_value id = {.type = DB_TEXT, .p = q->id, .n = strlen(q->id)};
  int err = FLUO_EINVALID;
  *trouble = db_begin(db, sql, &id, 1, &rows);
  if (*trouble) return 0;
  if (db_next(db, rows, trouble)) {
    size_t n;
    const char *packed = db_text(rows, 0, &n);
    if (n) err = inflate_gzip(packed, n, out);
  }
  db_end(rows);
  return err;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int error_of(int trouble) {
  if (trouble == DB_INTERRUPTED) return FLUO_ETIMEOUT;
  return trouble == LEDGER_NO_MEMORY ? FLUO_ENOMEM : FLUO_EIO;
}

int ledger_read(struct db *db, const struct ledger_query *q, struct buffer *out, int *trouble) {
  struct timespec now;
  int err = 0;
  clock_gettime(CLOCK_MONOTONIC, &now);
  db_deadline(db, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + LIMIT_LEDGER_QUERY_NS);
  if (q->what == LEDGER_EVIDENCE) err = read_evidence(db, q, out, trouble);
  else if (q->what == LEDGER_WRITTEN) read_written(db, q, out, trouble);
  else err = read_list(db, &lists[q->what], q, out, trouble);
  db_deadline(db, 0);
  if (*trouble) return error_of(*trouble);
  return err ? err : out->err;
}
