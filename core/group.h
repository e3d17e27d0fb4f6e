/* Keys of groups: the values of a rule's `by` fields as text. Values that a pattern would call equal give one key:
 * 500, 500.0 and "500" do, "true" and true do; two different strings never do, so "500.0" is a group of its own. */
#ifndef FLUO_GROUP_H
#define FLUO_GROUP_H
#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "field.h"

enum { GROUP_TEXT_BYTES_MAX = 256 };    /* of one value; of a longer one the beginning and a hash of all of it */

/* Appends the text of a value, behind its length (uint32_t). 1, or a negative fluo_err. */
int group_add(const struct fluo_value *value, struct buffer *out);
/* The text of a value, as a key has it: 1, or a negative fluo_err. */
int group_text(const struct fluo_value *value, struct buffer *out);
/* The next text of a key that group_add wrote; *at begins at 0. false: there is no more. */
bool group_next(const void *group, uint32_t n, uint32_t *at, struct fluo_value *out);

#endif
