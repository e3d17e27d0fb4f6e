/* Rows into the ledger's queue.
 *
 * Good path: a row's values and what they lend are copied into one block, which goes to the queue's end; the thread is
 * woken for the first one, for one that is wanted sooner, and where the queue grows large.
 *
 * Ways it fails: no memory, or no room: the row is dropped and counted, and its number is 0. Room is made for rows of
 * incidents, deliveries and people by taking evidence and then violations off the queue. */
#include <string.h>

#include "heap.h"
#include "ledger_parts.h"
#include "limits.h"

/* ---- the queue ------------------------------------------------------------------------------- */

void ledger_row_free(struct ledger_row *row) {
  buffer_deinit(&row->evidence);
  heap_free(row);
}

/* Rows that wait no longer: with the mutex held. */
static void row_leaves(struct ledger *l, const struct ledger_row *row) {
  l->stats.queue_rows--;
  l->stats.queue_bytes -= row->bytes + row->evidence.len;
}

static void drop_evidence(struct ledger *l, struct ledger_row *row) {
  if (!row->evidence.len) return;
  l->stats.dropped[LEDGER_ROW_EVIDENCE]++;
  l->stats.queue_bytes -= row->evidence.len;
  l->evidence_bytes -= row->evidence.len;
  buffer_deinit(&row->evidence);
  buffer_init(&row->evidence, 0);
}

static void shed_evidence(struct ledger *l) {
  for (struct ledger_row *row = l->first; row && l->evidence_bytes; row = row->next) drop_evidence(l, row);
}

static void shed_violations(struct ledger *l) {
  struct ledger_row **at = &l->first, *row;
  while ((row = *at) && l->violation_bytes) {
    if (row->kind != LEDGER_ROW_VIOLATION) {
      at = &row->next;
      continue;
    }
    *at = row->next;
    l->stats.dropped[LEDGER_ROW_VIOLATION]++;
    l->violation_bytes -= row->bytes;
    row_leaves(l, row);
    ledger_row_free(row);
  }
  while (*at) at = &(*at)->next;
  l->last = at;
}

/* The order of what goes first. */
static bool has_room(struct ledger *l, const struct ledger_row *row) {
  const struct ledger_stats *s = &l->stats;
  if (s->queue_bytes + row->bytes <= LIMIT_LEDGER_QUEUE_BYTES) return true;
  shed_evidence(l);
  if (s->queue_bytes + row->bytes <= LIMIT_LEDGER_QUEUE_BYTES) return true;
  if (row->kind == LEDGER_ROW_VIOLATION) return false;
  shed_violations(l);
  return s->queue_bytes + row->bytes <= 2 * LIMIT_LEDGER_QUEUE_BYTES;
}

static bool evidence_fits(const struct ledger *l, size_t bytes) {
  return l->stats.queue_bytes + bytes <= LIMIT_LEDGER_QUEUE_BYTES / 2;
}

/* Woken when it has to wake earlier than it meant to, or the queue grows large. */
static void wake_thread(struct ledger *l, const struct ledger_row *row) {
  bool later = row->kind == LEDGER_ROW_VIOLATION || row->kind == LEDGER_ROW_INCIDENT;
  uint64_t due = ledger_now_ns() + (later ? LIMIT_LEDGER_BATCH_NS : LIMIT_LEDGER_BATCH_SOON_NS);
  bool earlier = l->first == row || due < l->due_ns;
  if (earlier) l->due_ns = due;
  if (earlier || l->stats.queue_bytes > LIMIT_LEDGER_QUEUE_BYTES / 4) pthread_cond_signal(&l->wake);
}

static void append(struct ledger *l, struct ledger_row *row) {
  row->number = l->next_number++;
  *l->last = row;
  l->last = &row->next;
  l->stats.queue_rows++;
  l->stats.queue_bytes += row->bytes + row->evidence.len;
  l->evidence_bytes += row->evidence.len;
  if (row->kind == LEDGER_ROW_VIOLATION) l->violation_bytes += row->bytes;
  wake_thread(l, row);
}

static uint64_t put(struct ledger *l, enum ledger_kind kind, struct ledger_row *row, struct buffer *evidence) {
  uint64_t number = 0;
  pthread_mutex_lock(&l->mutex);
  if (row && evidence && evidence->len) {
    if (evidence_fits(l, row->bytes + evidence->len)) {
      row->evidence = *evidence;
      buffer_init(evidence, evidence->max);
    } else {
      l->stats.dropped[LEDGER_ROW_EVIDENCE]++;
    }
  }
  if (row && has_room(l, row)) {
    append(l, row);
    number = row->number;
    row = NULL;
  } else {
    l->stats.dropped[kind]++;
  }
  pthread_mutex_unlock(&l->mutex);
  if (row) ledger_row_free(row);
  if (evidence) buffer_deinit(evidence);
  return number;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static struct db_value whole(uint64_t i) {
  return (struct db_value){.type = DB_INT, .i = (int64_t)i};
}

static struct db_value text(const char *s) {
  return (struct db_value){.type = DB_TEXT, .p = s ? s : "", .n = s ? strlen(s) : 0};
}

static struct db_value piece(struct ledger_text t) {
  return (struct db_value){.type = DB_TEXT, .p = t.p, .n = t.n};
}

static struct db_value bytes(struct ledger_text t) {
  return (struct db_value){.type = DB_BLOB, .p = t.p, .n = t.n};
}

/* Put there as the row is written: until then it may be dropped. */
static struct db_value evidence_later(void) {
  return (struct db_value){.type = DB_NULL};
}

/* The values with copies of what they lend. NULL: no memory. */
static struct ledger_row *row_of(enum ledger_kind kind, const struct db_value *values, uint32_t count) {
  size_t head = sizeof(struct ledger_row) + count * sizeof *values, size = head;
  for (uint32_t i = 0; i < count; i++) size += values[i].n;
  struct ledger_row *row = heap_alloc(size);
  if (!row) return NULL;
  *row = (struct ledger_row){.kind = kind, .count = count, .bytes = size};
  char *to = (char *)row + head;
  for (uint32_t i = 0; i < count; i++) {
    row->values[i] = values[i];
    if (!values[i].n) continue;
    row->values[i].p = memcpy(to, values[i].p, values[i].n);
    to += values[i].n;
  }
  return row;
}

#define ROW(kind, ...) \
  row_of((kind), (const struct db_value[]){__VA_ARGS__}, \
         sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value))
#define PUT(l, kind, ...) put((l), (kind), ROW((kind), __VA_ARGS__), NULL)

uint64_t ledger_incident(struct ledger *l, const struct ledger_incident *i) {
  return PUT(l, LEDGER_ROW_INCIDENT, text(i->id), text(i->severity), text(i->status), piece(i->rule),
             piece(i->group), whole(i->count), whole(i->started_ns), whole(i->last_seen_ns), whole(i->resolved_ns),
             piece(i->json), bytes(i->state));
}

struct ledger_row *ledger_violation_row(const struct ledger_violation *v) {
  return ROW(LEDGER_ROW_VIOLATION, text(v->id), text(v->incident), text(v->severity), text(v->trace_id),
             piece(v->rule), piece(v->rule_version), whole(v->at_ns), whole(v->written_ns), text(v->evidence_of),
             piece(v->json), evidence_later());
}

uint64_t ledger_violation_put(struct ledger *l, struct ledger_row *row, struct buffer *evidence) {
  return put(l, LEDGER_ROW_VIOLATION, row, evidence);
}

uint64_t ledger_violation(struct ledger *l, const struct ledger_violation *v, struct buffer *evidence) {
  return ledger_violation_put(l, ledger_violation_row(v), evidence);
}

uint64_t ledger_delivery(struct ledger *l, const struct ledger_delivery *d) {
  struct db_value alert = piece(d->alert);
  if (!d->alert.p) alert = (struct db_value){.type = DB_NULL};
  return PUT(l, LEDGER_ROW_DELIVERY, text(d->id), text(d->receiver), whole(d->state), whole(d->attempts),
             whole(d->created_ns), whole(d->next_ns), alert, piece(d->outcome));
}

uint64_t ledger_silence(struct ledger *l, const struct ledger_silence *s) {
  return PUT(l, LEDGER_ROW_SILENCE, text(s->id), whole(s->over), whole(s->created_ns), whole(s->ends_ns),
             piece(s->json));
}

uint64_t ledger_feedback(struct ledger *l, const struct ledger_feedback *f) {
  return PUT(l, LEDGER_ROW_FEEDBACK, text(f->violation), text(f->incident), piece(f->rule), piece(f->group),
             piece(f->who), whole(f->verdict), whole(f->at_ns));
}

bool ledger_takes_evidence(struct ledger *l) {
  pthread_mutex_lock(&l->mutex);
  bool takes = evidence_fits(l, 0);
  pthread_mutex_unlock(&l->mutex);
  return takes;
}
