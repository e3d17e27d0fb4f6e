/* OTLP trace bodies: FLUO's own bounded scanner over the protobuf wire form of
 * ExportTraceServiceRequest. Two passes, no copy between: otlp_check looks at every byte that matters
 * and refuses the body whole; otlp_each then hands out spans and cannot fail. The body stays the
 * caller's; what a span lends is valid as long as the body is. */
#ifndef FLUO_OTLP_H
#define FLUO_OTLP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fluo.h"

/* Why a span of a body that was accepted is not taken. */
enum otlp_reject {
  OTLP_TAKEN,
  OTLP_INVALID_ID,            /* an id of wrong length or all zero (a parent id: of wrong length) */
  OTLP_TOO_LARGE,             /* LIMIT_SPAN_ELEMENTS, LIMIT_SPAN_TEXT_BYTES */
  OTLP_REJECTS
};
extern const char *const otlp_reject_names[OTLP_REJECTS];   /* "invalid_id" … */
extern const char *const otlp_reject_texts[OTLP_REJECTS];   /* for people */

struct otlp_limits {
  uint32_t depth_max;         /* nesting of messages below the request; AnyValues count */
  uint32_t spans_max;         /* spans in one body */
  uint32_t elements_max;      /* all repeated elements (attributes, events, links, values, scopes …), unknown fields, and
                                 what may come once from the second time on */
  size_t   decoded_bytes_max; /* what the spans would take in the arena: skeletons and payloads */
};

/* Spans of one body that the first pass can say more of; what exporters send at once are 512, collectors 8,192. */
enum { OTLP_NOTED_SPANS = 8192 };

struct otlp_summary {
  uint32_t spans;             /* in the body, bad ones included */
  uint32_t rejected, large;   /* spans with a bad id or too many elements; those with too many */
  uint32_t invalid_utf8;      /* strings that are not UTF-8: kept as they are, U+FFFD where they are printed */
  uint32_t elements;          /* as elements_max counts them */
  uint32_t strindex;          /* string indices outside profiles: taken as absent */
  uint32_t around_bytes;      /* what no resource and no scope has more of */
  bool     pieces;            /* one of these came in several */
  uint64_t plain[OTLP_NOTED_SPANS / 64];   /* a bit a span: behind its head (otlp_head.h) is its payload alone, without a
                                              status code or dropped events */
};

/* Why a body was refused, for the 400's message. */
struct otlp_fault {
  int      err;               /* enum fluo_err */
  size_t   offset;            /* byte in the decoded body; for JSON in the JSON text */
  uint32_t line, column;      /* JSON only: 1-based */
  char     what[96];          /* e.g. "Span.attributes[].value: nested deeper than 64" */
};

struct otlp_bytes { const uint8_t *p; size_t n; };

struct otlp_span {
  uint8_t  trace_id[16], span_id[8], parent_id[8];   /* parent: all zero where absent */
  uint64_t start_ns, end_ns;
  uint32_t kind, status;                             /* out-of-range kinds become 0, statuses 0 */
  uint32_t dropped_events;
  enum otlp_reject rejected;                         /* but for OTLP_TAKEN nothing else of it means anything */
  struct otlp_bytes name;
  struct otlp_bytes message;                         /* the Span, whole */
  size_t   payload_bytes;                            /* what otlp_payload will write */
  struct otlp_bytes payload;                         /* where it is: alone if it lies in one piece, else the message */
  struct otlp_bytes resource, scope;                 /* merged message bytes; n = 0: none. Equal pointers
                                                        from one call to the next mean the same resource */
};

/* First pass. 0 and *summary, or *fault and FLUO_ETRUNCATED (the body ends within a field), FLUO_EMALFORMED,
 * FLUO_EDEPTH, FLUO_ETOOMANY (spans, elements) or FLUO_ETOOLARGE (decoded bytes). */
int otlp_check(const uint8_t *body, size_t n, const struct otlp_limits *limits,
               struct otlp_summary *summary, struct otlp_fault *fault);

/* Second pass over a body that otlp_check accepted: a cursor, moved step by step. 0, or FLUO_ENOMEM where a
 * resource or scope came in several pieces and there was no memory to join them; then it is closed. The body stays
 * where it is until otlp_close, as does checked: what otlp_check said of it, so that only what is there is looked for;
 * NULL: not known. */
enum otlp_look { OTLP_LOOK_RESOURCE, OTLP_LOOK_SCOPE };
struct otlp_cursor {
  struct otlp_bytes request, resource, scope;          /* what is left of each */
  struct otlp_bytes look;                              /* what is left to look through for the resource, or the scope */
  enum otlp_look look_for;
  const struct otlp_summary *checked;
  uint32_t index;                                      /* of the next span in the body */
  struct otlp_joined *first, **last, *due;             /* made by otlp_open, in the order of the body */
  struct otlp_span span;                               /* after OTLP_STEP_SPAN, until the next step */
};
int otlp_open(struct otlp_cursor *c, const uint8_t *body, size_t n, const struct otlp_summary *checked);
void otlp_close(struct otlp_cursor *c);

enum otlp_step { OTLP_STEP_END, OTLP_STEP_ON, OTLP_STEP_SPAN };
/* What a step costs, about as many bytes as could be copied meanwhile: a span takes a microsecond, its bytes, and a
 * quarter of those of its resource and scope. */
enum { OTLP_STEP_COST = 8, OTLP_SPAN_COST = 512 };
/* Moves by a field, valid spans or not, and adds what this costs. */
enum otlp_step otlp_step(struct otlp_cursor *c, size_t *cost);

/* All of it at once: on_span for every span in order, until one call returns non-zero, which it returns.
 * FLUO_ENOMEM as otlp_open: then no span was handed out. */
int otlp_each(const uint8_t *body, size_t n, const struct otlp_summary *checked,
              int (*on_span)(void *ctx, const struct otlp_span *span), void *ctx);

/* Whether a Span of a body that otlp_check accepted has more elements than that. */
bool otlp_span_exceeds(struct otlp_bytes span, uint32_t elements_max);
#define OTLP_AROUND_COST(bytes) ((bytes) / 4)

/* Writes the span's payload (fields 3 and 9 to 16, as they were on the wire): payload_bytes bytes. */
void otlp_payload(const struct otlp_span *span, uint8_t *out);

/* The string value of service.name in a Resource: a slice of it. false: the resource has none.
 * A value that is an int, a double or a bool is rendered into scratch (32 bytes) and lent from there; any
 * other is no service name. */
bool otlp_service(struct otlp_bytes resource, char scratch[32], struct otlp_bytes *out);

#endif
