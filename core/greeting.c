/* The command is one that works pasted into any shell with curl and date. */
#include "greeting.h"

#include <stdio.h>
#include <string.h>

#include "ruleset.h"

void greeting(const struct host *host, const char *otlp, char out[1024]) {
  const uint32_t count = ruleset_ir(host_rules(host))->rules;
  out[0] = '\0';
  for (uint32_t i = 0; i < count; i++) {
    if (strcmp(host_rule_name(host, i), "cache-miss-500") != 0) continue;
    snprintf(out, 1024,
             "curl -s http://%s/v1/traces -H 'Content-Type: application/json' -d "
             "'{\"resourceSpans\":[{\"resource\":"
             "{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}]},"
             "\"scopeSpans\":[{\"spans\":"
             "[{\"traceId\":\"'$(printf %%032x $(date "
             "+%%s%%N))'\",\"spanId\":\"00f067aa0ba902b7\",\"name\":\"http.request\",\"kind\":2,"
             "\"startTimeUnixNano\":\"'$(date +%%s%%N)'\",\"endTimeUnixNano\":\"'$(date "
             "+%%s%%N)'\",\"attributes\":"
             "[{\"key\":\"http.status_code\",\"value\":{\"intValue\":500}},{\"key\":\"cache_miss\","
             "\"value\":{\"boolValue\":true}}]}]}]}]}'",
             otlp);
  }
}
