/* A list of widened limits is taken or refused. A violation's JSON says where feedback on it belongs, or it is refused; what
 * it says is marked, once and again, and taken back. */
#include <stdint.h>
#include <stdlib.h>

#include "feedback.h"
#include "feedback_given.h"
#include "feedback_subject.h"

static void on_change(void *ctx, const char *rule, uint32_t rule_bytes, const void *key, uint32_t n, uint32_t widening) {
  (void)rule, (void)rule_bytes, (void)key, (void)n;
  if (widening > FEEDBACK_STEP * FEEDBACK_STEPS_MAX) abort();
  *(uint32_t *)ctx = widening;
}

static void read_list(struct text json) {
  const struct feedback_calls calls = {NULL, NULL};
  struct feedback *f;
  uint32_t line = 0;
  if (feedback_new(&calls, &f)) abort();
  if (feedback_given_read(f, json, &line) && !line) abort();
  feedback_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  uint32_t said = 0, widening = 0;
  struct feedback_calls calls = {on_change, &said};
  struct feedback_subject s;
  struct feedback *f;
  struct buffer list;
  read_list((struct text){(const char *)data, (uint32_t)n});
  if (feedback_subject_read((struct text){(const char *)data, (uint32_t)n}, &s)) return 0;
  if (feedback_new(&calls, &f)) abort();
  for (int i = 0; i < 3; i++) {
    struct feedback_mark mark = {s.violation, {s.rule.data, (uint32_t)s.rule.len}, s.group, (enum feedback_verdict)i, 1000};
    if (!feedback_take(f, &mark, &widening) && said != widening) abort();
  }
  buffer_init(&list, 1 << 20);
  if (feedback_json(f, text_of(""), &list) || list.len != 2 || said) abort();
  buffer_deinit(&list);
  feedback_free(f);
  feedback_subject_deinit(&s);
  return 0;
}
