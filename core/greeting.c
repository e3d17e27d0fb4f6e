/* The line "ready", and on a terminal the command to try it. Moves no data. */
#include "greeting.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void bracketed(const struct config_address *address, uint16_t port, char out[80]) {
  snprintf(out, 80, strchr(address->host, ':') ? "[%s]:%u" : "%s:%u", address->host, port);
}

/* What a newcomer does next: one request that makes a shipped rule fire, with a new trace id each
 * time. "" where that rule is not loaded. */
static void write_try(const struct host *host, const char *otlp, char out[1024]) {
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

/* People on a terminal get the command as it can be pasted, a log reader as a field. */
void greet(struct log *log, const struct config *config, const struct host *host, uint16_t otlp_port,
           uint16_t admin_port) {
  char otlp[80] = "none", admin[80] = "none", command[1024] = "";
  bool people = isatty(STDERR_FILENO) && config->log.format != LOG_JSON;
  if (otlp_port) bracketed(&config->listen.otlp_http, otlp_port, otlp);
  if (admin_port) bracketed(&config->listen.admin, admin_port, admin);
  if (otlp_port) write_try(host, otlp, command);
  struct log_field fields[] = {log_s("version", FLUO_VERSION),
                               log_s("otlp_http", otlp),
                               log_s("admin", admin),
                               log_s("rules_path", config->rules),
                               log_u("rules", ruleset_ir(host_rules(host))->rules),
                               log_s("violations", config->output.violations),
                               log_s("data", config->data),
                               log_s("try", command),
                               {.type = LOG_END}};
  if (people || !command[0]) fields[7].type = LOG_END;
  log_line(log, LOG_INFO, "ready", fields);
  if (!fields[4].u) log_to(log, LOG_WARN, "there is no rule yet: nothing is judged", log_s("rules_path", config->rules));
  if (people && command[0])
    fprintf(stderr,
            "\nPoint an OpenTelemetry SDK here with OTEL_EXPORTER_OTLP_ENDPOINT=http://%s\nor make "
            "a shipped rule fire:\n\n%s\n\n",
            otlp, command);
}
