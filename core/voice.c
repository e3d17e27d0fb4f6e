/* A voice: quotas, and what found none left in them. Nothing here can fail. */
#include "voice.h"

#include "limits.h"

static const struct quota_terms lines_terms = {LIMIT_RULE_LINES, LIMIT_RULE_LINE_NS};
static const struct quota_terms own_terms = {LIMIT_RULE_OWN_LINES, LIMIT_RULE_OWN_LINE_NS};
static const struct quota_terms all_terms = {LIMIT_ALL_LINES, LIMIT_ALL_LINE_NS};

bool voice_left(const struct voice *v, const struct quota *common, uint64_t now_ns) {
  return quota_left(&v->lines, lines_terms, now_ns) &&
         (quota_left(&v->own, own_terms, now_ns) || quota_left(common, all_terms, now_ns));
}

bool voice_line(struct voice *v, struct quota *common, uint64_t now_ns) {
  bool may = voice_left(v, common, now_ns);
  if (may && !quota_take(&v->own, own_terms, now_ns)) quota_spend(common, all_terms, now_ns);
  if (may) quota_spend(&v->lines, lines_terms, now_ns);
  v->lines_withheld += !may;
  return may;
}

bool voice_log(struct voice *v, uint64_t now_ns) {
  const struct quota_terms terms = {LIMIT_RULE_LOG_LINES, LIMIT_RULE_LOG_LINE_NS};
  bool may = quota_take(&v->log, terms, now_ns);
  v->log_withheld += !may;
  return may;
}

bool voice_tell(struct voice *v, uint64_t now_ns, uint64_t *lines, uint64_t *log) {
  *lines = v->lines_withheld - v->lines_told;
  *log = v->log_withheld - v->log_told;
  if (*lines + *log == 0 || (v->told_ns && now_ns - v->told_ns < LIMIT_TOLD_NS)) return false;
  v->lines_told = v->lines_withheld;
  v->log_told = v->log_withheld;
  v->told_ns = now_ns;
  return true;
}
