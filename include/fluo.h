/* fluo.h: what the core and the study share.
 *
 * C includes this file; the Lua side feeds it to ffi.cdef with every line that starts with # dropped,
 * so constants are enums and nothing here needs the preprocessor. Three things live here:
 *
 *   1. the arena's records, which the core writes and the study's worker reads (never the reverse),
 *   2. the intermediate form (IR): rules as flat tables of plain data, study to core, once a load,
 *   3. the messages of the protocol, one per SOCK_SEQPACKET datagram.
 *
 * All are in host byte order and layout: both sides are one binary on one machine. */
#ifndef FLUO_H
#define FLUO_H
#include <stdint.h>

/* ---- 1. Arena ------------------------------------------------------------------------------- */

/* Bytes in the arena (or, in the IR, in its text section), by offset. {0, 0} is the empty text. */
struct fluo_text { uint32_t off, len; };

enum fluo_kind   { FLUO_KIND_UNSPECIFIED, FLUO_KIND_INTERNAL, FLUO_KIND_SERVER, FLUO_KIND_CLIENT,
                   FLUO_KIND_PRODUCER, FLUO_KIND_CONSUMER };
enum fluo_status { FLUO_STATUS_UNSET, FLUO_STATUS_OK, FLUO_STATUS_ERROR };

enum fluo_span_flag {
  FLUO_SPAN_ROOT    = 1,   /* has no parent id, or is its own parent */
  FLUO_SPAN_SKEWED  = 2,   /* end before start, or end = 0: its duration is 0 */
  FLUO_SPAN_SHED    = 4,   /* its payload was given back under pressure */
  FLUO_SPAN_SERVICE = 8,   /* the resource has a service.name (which may be empty) */
  FLUO_SPAN_LASTING = 16   /* its texts stay where they are when its trace goes: there never is another in their place */
};

/* A span's skeleton. Written once by the core, then never changed, but for FLUO_SPAN_SHED. */
struct fluo_span {
  uint8_t  span_id[8];
  uint8_t  parent_id[8];        /* all zero: none */
  uint64_t start_ns, end_ns;    /* Unix time, as received */
  struct fluo_text name;
  struct fluo_text service;     /* service.name as text */
  struct fluo_text resource;    /* an opentelemetry.proto.resource.v1.Resource, as on the wire */
  struct fluo_text scope;       /* an InstrumentationScope, as on the wire */
  struct fluo_text payload;     /* a trace.v1.Span that holds only fields 3 and 9 to 16 */
  uint32_t dropped_events;
  uint8_t  kind, status;
  uint16_t flags;
};

/* Spans and hits of a trace are chains of extents: this header, then `capacity` records, all of them
 * used but for those past the count that the reader was given. */
struct fluo_extent { uint32_t next, capacity; };

/* A span of the trace (by index, in order of arrival) that satisfies a pattern, or whose answer is
 * unknown (FLUO_HIT_UNKNOWN is set in `pattern`): then it is no hit, and absence over it is unknown. */
enum { FLUO_HIT_UNKNOWN = 0x40000000 };
struct fluo_hit { uint32_t pattern, span; };

/* A decoded AnyValue. */
enum fluo_type { FLUO_TYPE_NONE, FLUO_TYPE_STRING, FLUO_TYPE_BOOL, FLUO_TYPE_INT, FLUO_TYPE_DOUBLE,
                 FLUO_TYPE_ARRAY, FLUO_TYPE_MAP, FLUO_TYPE_BYTES };
struct fluo_value {
  uint32_t type;                /* enum fluo_type */
  uint32_t len;                 /* of text: string, bytes, or the wire of an ArrayValue, KeyValueList */
  const uint8_t *text;
  int64_t  integer;             /* of an int; of a bool 0 or 1 */
  double   number;
};

/* ---- 2. Intermediate form ------------------------------------------------------------------- */

enum { FLUO_IR_MAGIC = 0x4f554c46, FLUO_IR_VERSION = 2 };

/* The header, and behind it without gaps, in this order: rules, patterns, nodes, atoms, values,
 * gates, functions, parts, pairs, windows, sequences, incidents, then `text_bytes` of text. Every section starts at the
 * next multiple of 8 bytes from the header's start. */
struct fluo_ir {
  uint32_t magic, version;
  uint32_t rules, patterns, nodes, atoms, values, gates, functions, parts, pairs, windows, sequences, incidents;
  uint32_t text_bytes, reserved;
};

enum fluo_scope    { FLUO_SCOPE_SPAN, FLUO_SCOPE_TRACE, FLUO_SCOPE_WINDOW, FLUO_SCOPE_SEQUENCE };
enum fluo_severity { FLUO_SEVERITY_LOW, FLUO_SEVERITY_MEDIUM, FLUO_SEVERITY_HIGH, FLUO_SEVERITY_CRITICAL };
enum fluo_mode     { FLUO_MODE_ACTIVE, FLUO_MODE_SHADOW, FLUO_MODE_OFF };

enum fluo_rule_flag {
  FLUO_RULE_EARLY     = 1,      /* more spans cannot undo it: judged after each request that touches it */
  FLUO_RULE_STRUCTURE = 2,      /* spans that are no hits can make it true: judged on any new span */
  FLUO_RULE_COMPLETE  = 4,      /* complete = true */
  FLUO_RULE_PAYLOADS  = 8,      /* its functions read spans that are no hits: payloads must stay */
  FLUO_RULE_LATE      = 16      /* late = true: judged again when spans come after the close */
};

/* Ranges are (first, count) into the named section. */
struct fluo_range { uint32_t first, count; };

struct fluo_ir_rule {
  struct fluo_text  name;
  struct fluo_range patterns;   /* of kind FLUO_OBJECT_SPAN, all of them this rule's. Of a window: what it looks at,
                                   and what counts in a ratio's numerator; of a sequence: its steps */
  struct fluo_range gate;       /* gates, in postfix; of a trace rule alone */
  struct fluo_range summary;    /* parts; empty: none */
  struct fluo_range actions;    /* pairs: (action, argument), e.g. ("log", "text"), ("alert-team", "") */
  struct fluo_range labels;     /* pairs: (name, value) */
  uint8_t version[16];
  uint8_t scope, severity, mode, flags;
  uint32_t across;              /* of a window or a sequence: which; else 0 */
  uint32_t incident;            /* how its violations become incidents: which, from 1; 0: by the defaults */
  struct fluo_text  file;       /* where it stands, for people; its version does not know it */
};

enum fluo_object { FLUO_OBJECT_SPAN, FLUO_OBJECT_EVENT, FLUO_OBJECT_LINK };

/* A boolean formula over one span, or over one event or link of it: a node EVENT or LINK holds if one of
 * the span's events or links satisfies all of the pattern that it names, which has no such nodes itself.
 * Nodes stand in postorder, the root last; a node's parent comes after it. No nodes: always true. */
struct fluo_ir_pattern {
  struct fluo_range nodes;
  struct fluo_text  label;      /* what a reason calls it: its name operand, or its source text */
  uint32_t rule;
  uint32_t object;              /* enum fluo_object */
};

enum fluo_node { FLUO_NODE_ATOM, FLUO_NODE_FUNCTION, FLUO_NODE_EVENT, FLUO_NODE_LINK,
                 FLUO_NODE_AND, FLUO_NODE_OR, FLUO_NODE_NOT };
struct fluo_ir_node {
  uint32_t op;                  /* enum fluo_node */
  uint32_t arg;                 /* atom, function, or pattern (a lower one than this, of that object) */
  uint32_t parent;              /* node index in the section; of the root itself */
};

/* Where an atom's value comes from. Of an event pattern: EVENT_NAME, ATTRIBUTE; of a link pattern:
 * TRACE_ID, SPAN_ID, TRACE_STATE, ATTRIBUTE. */
enum fluo_field {
  FLUO_FIELD_ATTRIBUTE, FLUO_FIELD_RESOURCE,                    /* these two take `key` */
  FLUO_FIELD_NAME, FLUO_FIELD_SERVICE, FLUO_FIELD_STATUS, FLUO_FIELD_STATUS_MESSAGE, FLUO_FIELD_KIND,
  FLUO_FIELD_DURATION, FLUO_FIELD_START, FLUO_FIELD_END, FLUO_FIELD_SCOPE, FLUO_FIELD_SCOPE_VERSION,
  FLUO_FIELD_TRACE_ID, FLUO_FIELD_SPAN_ID, FLUO_FIELD_PARENT_ID, FLUO_FIELD_TRACE_STATE,
  FLUO_FIELD_ROOT,
  FLUO_FIELD_PARENT_SERVICE,    /* where it is not the span's own: for windows alone, patterns are tested before it is known */
  FLUO_FIELD_EVENT_NAME,
  /* the rest only in templates */
  FLUO_FIELD_LITERAL, FLUO_FIELD_RULE, FLUO_FIELD_SEVERITY, FLUO_FIELD_VALUE, FLUO_FIELD_THRESHOLD,
  FLUO_FIELD_REASON, FLUO_FIELD_SPAN_TOTAL, FLUO_FIELD_BASELINE
};

/* rules/README.md, Patterns. EQ has one value or, as one_of, several; NE (none_of) likewise; BETWEEN two;
 * EXISTS none (missing is NOT EXISTS); STRICT one, equal and of one type (integers and doubles are one), of an
 * ATTRIBUTE or RESOURCE alone. Durations and times compare as integers of nanoseconds.
 * STATUS is compared with EQ/NE and text: "UNSET" "OK" "ERROR" "EXPLICIT_OK" (upper case, stripped);
 * KIND with "INTERNAL" "SERVER" ...; ROOT with a bool; ids with lower-case hex text. */
enum fluo_op { FLUO_OP_EQ, FLUO_OP_NE, FLUO_OP_GT, FLUO_OP_GE, FLUO_OP_LT, FLUO_OP_LE, FLUO_OP_BETWEEN,
               FLUO_OP_CONTAINS, FLUO_OP_PREFIX, FLUO_OP_SUFFIX, FLUO_OP_GLOB, FLUO_OP_MATCHES,
               FLUO_OP_EXISTS, FLUO_OP_STRICT };
struct fluo_ir_atom {
  uint32_t field;               /* enum fluo_field */
  uint32_t op;                  /* enum fluo_op */
  struct fluo_text  key;
  struct fluo_range values;
};
struct fluo_ir_value {
  uint32_t type;                /* STRING, BOOL, INT or DOUBLE */
  uint32_t reserved;
  struct fluo_text text;
  int64_t  integer;             /* of an int; of a bool 0 or 1 */
  double   number;
};

/* Whether the counts can make a condition true: leaves, AND and OR in postfix (n is their arity). */
enum fluo_gate { FLUO_GATE_TRUE, FLUO_GATE_HITS, FLUO_GATE_SPANS, FLUO_GATE_DURATION,
                 FLUO_GATE_AND, FLUO_GATE_OR };
struct fluo_ir_gate {
  uint32_t op;                  /* HITS: hits of `pattern`; SPANS: of the trace; DURATION: of it, in ns */
  uint32_t compare;             /* FLUO_OP_EQ, GT, GE, LT, LE */
  uint32_t pattern;
  uint32_t reserved;
  int64_t  n;
};

/* What a window adds up to, and of what: rules/README.md, Windows and sequences. */
enum fluo_aggregate { FLUO_AGGREGATE_COUNT, FLUO_AGGREGATE_SUM, FLUO_AGGREGATE_AVG, FLUO_AGGREGATE_MIN,
                      FLUO_AGGREGATE_MAX, FLUO_AGGREGATE_QUANTILE, FLUO_AGGREGATE_RATE,
                      FLUO_AGGREGATE_DISTINCT, FLUO_AGGREGATE_RATIO,
                      FLUO_AGGREGATE_NEW };            /* no figure: the first of a group for D. It has `by` */
enum fluo_sample {
  FLUO_SAMPLE_SPAN,             /* each span is one, of 1 */
  FLUO_SAMPLE_FIELD,            /* the value of `field` */
  FLUO_SAMPLE_NAMED             /* of a span the first that is there: attribute `key`, events or itself of that name */
};
/* What the threshold is compared with: the value itself, or by how much it is off what is normal for its group. */
enum fluo_baseline { FLUO_BASELINE_NONE, FLUO_BASELINE_TIMES, FLUO_BASELINE_SIGMAS };
struct fluo_ir_window {
  uint32_t rule;
  uint32_t aggregate, sample;   /* enum fluo_aggregate, fluo_sample */
  uint32_t compare;             /* FLUO_OP_GT, GE, LT, LE */
  uint32_t field;               /* enum fluo_field */
  uint32_t baseline;            /* enum fluo_baseline */
  struct fluo_text key;
  struct fluo_range by;         /* pairs: what the author called it, of one part that is the field */
  uint64_t ns, samples_min;
  double   quantile, threshold; /* 0 to 100; durations in ns, of a baseline how many times, or spreads */
  uint32_t every, reserved;     /* every: 1: each value that is compared is told, whatever comes of it (fluo tune) */
  double   normal_min;          /* of a baseline: where less is normal, nothing is judged; durations in ns */
};
struct fluo_ir_sequence {
  uint32_t rule;
  uint32_t absent;              /* bit i: the i-th of its patterns must not come */
  struct fluo_range by;         /* as of a window, at least one; of a cascade there may be none */
  uint64_t ns;
  /* Of a cascade, whose patterns are its root, if it has one, and what fails: failures of so many distinct values. */
  uint32_t at_least;            /* 0: it is none */
  uint32_t rooted;              /* 1 or 0 */
  struct fluo_range distinct;   /* as `by`: exactly one */
};

/* A rule's keys for incidents; rules/README.md says what each means. */
struct fluo_ir_incident {
  uint32_t rule;
  uint32_t m, n;                /* violations in m of the last n minutes; 0, 0: one will do */
  uint32_t grouped;             /* 0: no `group_by` */
  struct fluo_range group_by;   /* pairs: what the author called it, of one part: a field, or a label's value (LITERAL) */
  struct fluo_range resolve;    /* patterns of kind FLUO_OBJECT_SPAN, one at most: a span that resolves */
  uint64_t pending_ns, keep_firing_ns, cooldown_ns, resolve_ns;       /* resolve_ns 0: the default */
};

/* A function is called with the span, or with a value of what `object` says: of the span, or of one event
 * or link, whose patterns alone have it. */
struct fluo_ir_function { uint32_t rule, object; };

/* A template is the concatenation of its parts. */
struct fluo_ir_part { uint32_t field, reserved; struct fluo_text key; };   /* key: or the literal */
/* An action (name, argument as written, the argument's template) or a label (name, value). */
struct fluo_ir_pair { struct fluo_text name, value; struct fluo_range parts; };

/* ---- 3. Protocol ---------------------------------------------------------------------------- */

enum fluo_message {
  FLUO_MESSAGE_LOADED,          /* rule process to core: struct fluo_loaded */
  FLUO_MESSAGE_FORK,            /* core to rule process, with the new worker's socket as SCM_RIGHTS */
  FLUO_MESSAGE_FORKED,          /* rule process to core: struct fluo_forked */
  FLUO_MESSAGE_ASK,             /* core to worker: struct fluo_job, then count questions */
  FLUO_MESSAGE_JUDGE,           /* core to worker: struct fluo_job, then count rules (uint32_t) */
  FLUO_MESSAGE_PING,            /* core to worker: struct fluo_job; the reply has count 0. Core to rule process: the
                                   bare number, which comes back */
  FLUO_MESSAGE_REPLY            /* worker to core: struct fluo_reply */
};

/* The IR is in the memfd; ir_bytes 0: the rules did not load, and the rule process ends. */
struct fluo_loaded { uint32_t message, errors, warnings, rules; uint64_t ir_bytes; };
struct fluo_forked { uint32_t message; int32_t pid; };                         /* pid < 0: -errno */

enum fluo_job_flag {
  FLUO_JOB_CLOSING = 1,         /* judge absence too */
  FLUO_JOB_CUT     = 2,         /* the trace was cut: an absence not disproved is unknown */
  FLUO_JOB_STARTUP = 4,         /* first seen near the agent's start: cut if it holds an orphan */
  FLUO_JOB_EXPLAIN = 8          /* of a study that explains: the verdict is always true, its reason the explanation,
                                   its value how near the trace came */
};

/* Questions of an ASK; rules of a JUDGE, so few that their verdicts and notes fit a message at full length. */
enum { FLUO_JOB_ITEMS_MAX = 4096, FLUO_JOB_RULES_MAX = 64, FLUO_MESSAGE_BYTES_MAX = 131072,
       FLUO_WITNESSES_MAX = 32, FLUO_REASON_BYTES_MAX = 1024, FLUO_ERROR_BYTES_MAX = 256,
       FLUO_EXPLANATION_BYTES_MAX = 65536 };

struct fluo_job {
  uint32_t message, count;
  uint64_t sequence;
  uint8_t  trace_id[16];
  uint32_t spans_head, spans_count;    /* judge: extents of struct fluo_span */
  uint32_t hits_head, hits_count;      /* judge: extents of struct fluo_hit */
  uint32_t flags, reserved;
};
/* span: arena offset of it. object: which of its events or links, by the function's object, from 0 in the
 * payload's order; 0 for a function of the span. */
struct fluo_question { uint32_t function, span, object; uint8_t trace_id[16]; };

enum fluo_truth { FLUO_FALSE, FLUO_TRUE, FLUO_UNKNOWN };
/* What a function says of a span (object 0) or of one event or link of it; truth: enum fluo_truth. */
struct fluo_answer { uint32_t function, object, truth; };

/* A reply to ASK: fluo_reply, count answers (uint8_t, enum fluo_truth), padding to 8, `notes` notes.
 * A reply to JUDGE: fluo_reply, count verdicts (one a rule, in the job's order, each with its spans
 * and reason behind it, padded to 8), `notes` notes. */
struct fluo_reply {
  uint32_t message, count;
  uint64_t sequence;
  uint32_t notes, heap_kib;
  uint64_t cpu_ns;              /* that an ASK took; else 0 */
};
struct fluo_verdict {
  uint32_t rule;
  uint32_t truth;               /* enum fluo_truth */
  uint32_t witnesses;           /* uint32_t span indices behind this, in start order: the first 32 at most */
  uint32_t witness_total;
  uint64_t time_ns;             /* latest end among all witnesses; without any, the latest end present */
  uint32_t reason_bytes;        /* behind the witnesses */
  uint32_t has_value;           /* value and threshold apply */
  double   value, threshold;
};
/* A rule's functions threw `errors` times in this job; the first message is behind this, padded to 8 (cut
 * where very many rules threw). One note a rule at most. */
struct fluo_note { uint32_t rule, errors, text_bytes, reserved; };

/* One page, shared, written by the worker before each call of rule code and after it, and by the rule process while it
 * loads. */
enum { FLUO_PLACE_BYTES = 512 };
struct fluo_pulse {
  uint64_t call;                /* counts the calls */
  uint32_t rule;                /* whose code runs */
  uint32_t running;             /* 1 within a call of rule code */
  char place[FLUO_PLACE_BYTES]; /* the file, and the rule, that is being loaded, as people are told it */
};

/* ---- what Lua calls in the binary ----------------------------------------------------------- */

/* A reader of repeated messages within a message: field `number` of [p, p + n). */
struct fluo_item { const uint8_t *text; uint32_t len, next; };

/* The next occurrence of length-delimited field `number` at or after item->next; 0 at the end. */
int fluo_item_next(const uint8_t *p, uint32_t n, uint32_t number, struct fluo_item *item);
/* The last occurrence of KeyValue `key` in repeated field `number`: 1 and *out, or 0. */
int fluo_attribute(const uint8_t *p, uint32_t n, uint32_t number, const char *key, uint32_t key_len,
                   struct fluo_value *out);
/* Decodes a KeyValue: its key, and its value into *out. */
int fluo_key_value(const uint8_t *p, uint32_t n, struct fluo_item *key, struct fluo_value *out);
/* Decodes an AnyValue. */
int fluo_any_value(const uint8_t *p, uint32_t n, struct fluo_value *out);
/* A scalar field (varint or fixed64) of a message: its last occurrence, or 0. */
uint64_t fluo_scalar(const uint8_t *p, uint32_t n, uint32_t number);
/* The i-th other name (0, 1, …) of an attribute among the semantic conventions' renames, NUL-terminated,
 * or NULL past the last: "http.status_code" gives "http.response.status_code", and back. */
const char *fluo_renamed(const char *key, uint32_t key_len, uint32_t i);
/* A 128-bit hash with a fixed key (SipHash-2-4, 128-bit output), for rule versions. */
void fluo_hash128(const void *p, uint64_t n, uint8_t out[16]);
/* A pattern that a rule's function made, ready to be tested on spans exactly as the core tests those of rules.
 * ir, n: an intermediate form of one rule with one pattern. NULL: why it is none, NUL-terminated. */
struct fluo_filter;
enum fluo_filter_flag { FLUO_FILTER_RENAMED = 1, FLUO_FILTER_EXPLICIT_OK = 2 };
struct fluo_filter *fluo_filter_new(const void *ir, uint64_t n, uint32_t flags, char why[128]);
void fluo_filter_free(struct fluo_filter *f);
/* Whether the span at an offset of the arena satisfies it. UNKNOWN with *asks > 0: so many functions decide,
 * which fluo_filter_ask names (until the next test); fluo_filter_resolve takes their answers, in that order. */
uint32_t fluo_filter_test(struct fluo_filter *f, const uint8_t *arena, uint32_t span, const uint8_t *trace_id,
                          uint32_t *asks);
void fluo_filter_ask(const struct fluo_filter *f, uint32_t i, uint32_t *function, uint32_t *object);
uint32_t fluo_filter_resolve(struct fluo_filter *f, const uint8_t *arena, uint32_t span, const uint8_t *trace_id,
                             const struct fluo_answer *answers, uint32_t count);
/* A file of recorded traces, span by span. What a span lends is valid until the next call; service.text: NULL without
 * one. next: 1; 0: the end; -1: bad input, and `why` says what and where. */
struct fluo_recorded;
struct fluo_recorded_span {
  uint8_t trace_id[16], span_id[8];
  uint64_t start_ns, end_ns;
  uint32_t kind, status;
  struct fluo_item name, service, message, resource, scope;   /* the last three are messages */
};
struct fluo_recorded *fluo_recorded_open(const char *path, char why[512]);
int fluo_recorded_next(struct fluo_recorded *r, struct fluo_recorded_span *out, char why[512]);
void fluo_recorded_close(struct fluo_recorded *r);
/* Lines of a terminal, edited: whether that can be done here; then the next line, without its end and valid until the
 * next call, NULL at the end. words: what Tab completes with, each with a NUL behind it and one more at the end. */
int fluo_line_open(void);
const char *fluo_line_read(const char *prompt, const char *words);
/* Compiles a regular expression as the core will; 0, or an error text and its offset. */
int fluo_regex_check(const char *p, uint32_t n, char *why, uint32_t why_size, uint32_t *offset);

/* YAML, event by event. `at` is the place in the text, in characters, or, where `in_bytes`, in bytes; from 0. `text` is a scalar's, or an ERROR's reason; both texts are lent until the next
 * call. After END or ERROR only END comes. */
enum fluo_yaml_type { FLUO_YAML_END, FLUO_YAML_ERROR, FLUO_YAML_DOCUMENT, FLUO_YAML_LIST, FLUO_YAML_MAPPING,
                      FLUO_YAML_CLOSE, FLUO_YAML_SCALAR, FLUO_YAML_ALIAS };
struct fluo_yaml_event {
  uint32_t type, at, in_bytes, quoted, len, tag_len;
  const uint8_t *text, *tag;
};
struct fluo_yaml;
/* The text is lent until it is closed. NULL: no memory. */
struct fluo_yaml *fluo_yaml_open(const void *text, uint64_t n);
void fluo_yaml_close(struct fluo_yaml *y);
void fluo_yaml_next(struct fluo_yaml *y, struct fluo_yaml_event *out);

/* ---- what actions call (core/courier.c, core/errand.c), in the post room ---------------------- */

/* Requests under way, by HTTP or mail. libcurl is looked for at the first one. */
struct fluo_courier;
enum fluo_request_flag {
  FLUO_REQUEST_PRIVATE = 1      /* may go to addresses of private networks and of this machine */
};
struct fluo_request {
  const char *method, *url;     /* method NULL: mail, to smtp:// or smtps:// */
  const char *headers;          /* "Name: value\n", each; of mail they are in the body */
  const uint8_t *body; uint64_t body_bytes;     /* kept until the answer */
  const char *from, *to;        /* mail: addresses; `to` may be several, each followed by "\n" */
  const char *user, *password;  /* NULL: none */
  const char *ca_file;          /* instead of the system's certificates; NULL: those */
  uint32_t timeout_ms;          /* for all of it */
  uint32_t flags;               /* enum fluo_request_flag */
};
/* Valid until the next call. error: NULL, or why there is no answer. cut: there is more of the body. */
struct fluo_response {
  uint32_t id, status, retry_after_s, cut, body_bytes, headers_bytes;
  const char *body, *headers, *error;
};
/* The number of the request, which its response will have; 0: it cannot be made, and `why` says why. */
uint32_t fluo_courier_send(struct fluo_courier *c, const struct fluo_request *request, char why[256]);
/* One response that has come: 1; 0: none. */
int fluo_courier_next(struct fluo_courier *c, struct fluo_response *out);
/* Nobody waits for it any more: no response comes. */
void fluo_courier_cancel(struct fluo_courier *c, uint32_t id);
/* The host that a request for this URL would go to, as the library reads it, in lower case: 0, or -1 and `why`. */
int fluo_courier_host(struct fluo_courier *c, const char *url, char host[256], char why[256]);
/* What built-in receivers have done on this machine (core/errand.h). words: each with a NUL behind it. */
struct fluo_errands;
struct fluo_errand {
  const char *words; uint64_t words_bytes;
  const uint8_t *input; uint64_t input_bytes;
};
/* Valid until the next call. status: its exit status; killed: the signal that ended it, or 0. */
struct fluo_errand_end {
  uint32_t id, status, killed, text_bytes;
  const char *text;
};
/* Its number; 0: it cannot be begun, and `why` says why. */
uint32_t fluo_errand_start(struct fluo_errands *e, const struct fluo_errand *errand, char why[256]);
/* One that has ended: 1; 0: none. */
int fluo_errand_next(struct fluo_errands *e, struct fluo_errand_end *out);
/* Kills it, with what it started: no end comes. */
void fluo_errand_cancel(struct fluo_errands *e, uint32_t id);
/* HMAC-SHA-256 (RFC 2104), by libcrypto: 0; -1: there is none. */
int fluo_hmac_sha256(const void *key, uint32_t key_bytes, const void *text, uint64_t n, uint8_t out[32]);

/* ---- fluo notify (core/notify.c) --------------------------------------------------------------- */

/* Has a post room of its own deliver one alert, and waits for what becomes of it. What the action says goes to standard
 * output. setup and texts as the post room reads them. */
struct fluo_notify {
  const char *setup; uint64_t setup_bytes;
  const char *texts; uint64_t texts_bytes;
  const char *receiver;
  const char *alert; uint64_t alert_bytes;
};
struct fluo_notified { uint32_t result, retry_after_s, text_bytes; char text[1024]; };    /* enum postroom_result */
/* 0; -1: it could not even be begun, and text says why. */
int fluo_notify(const struct fluo_notify *n, struct fluo_notified *out);

#endif
