/* What a request of the API says in its body: one JSON object of texts and of `true`. Strict: nothing unknown, nothing
 * twice, nothing behind it, no text that is not UTF-8. */
#ifndef FLUO_API_BODY_H
#define FLUO_API_BODY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api_member {
  const char *name;
  char *text; size_t size;            /* where its text goes, with a NUL; NULL: it is `true` or `false` */
  bool there;                         /* set; of one without text: that it is true */
};

enum { API_BODY_WHY_BYTES = 160 };

/* Fills the members that there are, whose texts start as "". An empty body is an empty object. false: why. */
bool api_body_read(const uint8_t *body, size_t n, struct api_member *members, uint32_t count,
                   char why[API_BODY_WHY_BYTES]);

#endif
