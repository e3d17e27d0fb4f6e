/* The Prometheus text format (version 0.0.4), written into a buffer. Errors stick to the buffer
 * (b->err), so a page is written straight through and checked once at its end. The caller writes a
 * family first and then all of its samples, each family once. */
#ifndef FLUO_METRICS_H
#define FLUO_METRICS_H
#include <stdint.h>

#include "buffer.h"

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE };

/* HELP and TYPE. `help` is one sentence; line ends and backslashes in it are escaped. */
void metrics_family(struct buffer *b, const char *name, enum metrics_type type, const char *help);

/* One sample. labels: name, value, name, value, …, NULL; or NULL for none. Values of labels are
 * escaped, and what is not UTF-8 in them becomes U+FFFD. A whole number is exact over all 64 bits.
 */
void metrics_uint(struct buffer *b, const char *name, const char *const *labels, uint64_t value);
/* Shortest decimal that reads back the same; not-a-number and infinities as NaN, +Inf, -Inf. */
void metrics_number(struct buffer *b, const char *name, const char *const *labels, double value);

#define metrics_labels(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A family of one sample without labels. */
void metrics_counter(struct buffer *b, const char *name, const char *help, uint64_t value);
void metrics_gauge(struct buffer *b, const char *name, const char *help, double value);

#endif
