/* Matchers of silences, inhibition and mute times, written as Alertmanager writes them:
 *
 *   rule="checkout-slow", severity=~"high|critical", service!~"test-.*"
 *
 * All must hold. The names are `rule`, `severity`, a key of the incident's group, or a label of its rule, looked up in
 * this order; what is absent is the empty text. Regular expressions are anchored at both ends, in bounded time: one that
 * takes too long does not match, and neither does its negation. */
#ifndef FLUO_MATCHERS_H
#define FLUO_MATCHERS_H
#include "labels.h"
#include "regex.h"

enum { MATCHERS_MAX = 16, MATCHERS_TEXT_MAX = 4096, MATCHERS_WHY_BYTES = 160 };

struct matchers;

/* Where an incident's values are found. */
struct matchable {
  struct text rule, severity;
  struct labels group, labels;
};

/* The value of a name, or an empty text. */
struct text matchable_get(const struct matchable *m, struct text name);

/* Reads a list, in braces or without. Values may be quoted ("…", with \" \\ \n); without quotes they end at a comma, a
 * brace or white space. 0 and *out; FLUO_EINVALID and why; or FLUO_ENOMEM. An empty list is invalid. */
int matchers_new(const char *p, size_t n, struct matchers **out, char why[MATCHERS_WHY_BYTES]);
void matchers_free(struct matchers *m);
bool matchers_hold(const struct matchers *m, const struct matchable *of, struct regex_scratch *scratch);

#endif
