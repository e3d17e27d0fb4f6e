/* Evidence: the trace as it was when a violation fired, or at the end of that request, so that people can look at it, and
 * `fluo replay` judge it again, when the buffer has long forgotten it. Collected on the loop by copying, printed and packed
 * by the ledger's thread. */
#ifndef FLUO_EVIDENCE_H
#define FLUO_EVIDENCE_H
#include "buffer.h"
#include "config.h"
#include "store.h"
#include "violation.h"

/* Appends the spans of the violation's trace, or of the traces of its witnesses as far as they are in memory, within
 * LIMIT_EVIDENCE_SPANS and LIMIT_EVIDENCE_BYTES; where they are too many the witnesses and those that came first. A span
 * whose attributes the store no longer has, or that are too many, says so by an attribute `fluo.evidence`; how many
 * witnesses and traces are gone stands at its beginning, also where that is all of them. For evidence_pack, not for
 * people. 0 or out->err; nothing is appended where there is neither span nor witness. */
int evidence_collect(struct buffer *out, struct store *s, const struct violation *v, enum evidence_mode mode);
/* Whether what was collected is all of its traces, every span with what the store still had of it. */
bool evidence_is_whole(const struct buffer *collected);
/* What was collected, as one ExportTraceServiceRequest in OTLP/JSON, which begins with how much of it there is:
 *   {"fluo":{"evidence":{"spans":3,"spans_total":3,"without_attributes":0,"witnesses_missing":0,"traces_missing":0,"cut":false}},
 *    "resourceSpans":[…]}
 * evidence_pack has it gzipped; json is the room that it is printed in. 0, FLUO_ENOMEM, FLUO_ETOOLARGE, or
 * FLUO_EMALFORMED: it was not collected here. */
int evidence_print(struct buffer *out, const uint8_t *p, size_t n);
int evidence_pack(struct buffer *out, struct buffer *json, const uint8_t *p, size_t n);

#endif
