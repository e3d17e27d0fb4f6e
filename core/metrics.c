/* Writes straight into the caller's buffer and frees nothing; failures stay in b->err. */
#include "metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "utf8.h"

/* In HELP, a backslash and a line end are escaped, and nothing else. */
static void escaped(struct buffer *b, const char *s) {
  for (size_t n; *s; s += n) {
    n = strcspn(s, "\\\n");
    buffer_add(b, s, n);
    if (!s[n]) return;
    buffer_text(b, s[n] == '\n' ? "\\n" : "\\\\");
    n++;
  }
}

/* Not buffer_json: the format knows three escapes, and is UTF-8 otherwise. */
static void label_value(struct buffer *b, const char *s) {
  for (size_t left = strlen(s), n; left > 0; s += n, left -= n) {
    bool valid;
    n = utf8_step((const uint8_t *)s, left, &valid);
    if (*s == '"' || *s == '\\') buffer_text(b, "\\");
    if (*s == '\n')
      buffer_text(b, "\\n");
    else if (valid)
      buffer_add(b, s, n);
    else
      buffer_text(b, "\xef\xbf\xbd");
  }
}

static void name_and_labels(struct buffer *b, const char *name, const char *const *labels) {
  buffer_text(b, name);
  for (size_t i = 0; labels && labels[i]; i += 2) {
    assert(labels[i + 1]);
    buffer_text(b, i ? "," : "{");
    buffer_text(b, labels[i]);
    buffer_text(b, "=\"");
    label_value(b, labels[i + 1]);
    buffer_text(b, "\"");
  }
  buffer_text(b, labels && labels[0] ? "} " : " ");
}

void metrics_family(struct buffer *b, const char *name, enum metrics_type type, const char *help) {
  buffer_printf(b, "# HELP %s ", name);
  escaped(b, help);
  buffer_printf(b, "\n# TYPE %s %s\n", name, type == METRICS_COUNTER ? "counter" : "gauge");
}

void metrics_uint(struct buffer *b, const char *name, const char *const *labels, uint64_t value) {
  name_and_labels(b, name, labels);
  buffer_printf(b, "%" PRIu64 "\n", value);
}

void metrics_number(struct buffer *b, const char *name, const char *const *labels, double value) {
  name_and_labels(b, name, labels);
  if (isnan(value))
    buffer_text(b, "NaN");
  else if (isinf(value))
    buffer_text(b, value > 0 ? "+Inf" : "-Inf");
  else
    buffer_number(b, value);
  buffer_text(b, "\n");
}

void metrics_counter(struct buffer *b, const char *name, const char *help, uint64_t value) {
  metrics_family(b, name, METRICS_COUNTER, help);
  metrics_uint(b, name, NULL, value);
}

void metrics_gauge(struct buffer *b, const char *name, const char *help, double value) {
  metrics_family(b, name, METRICS_GAUGE, help);
  metrics_number(b, name, NULL, value);
}
