/* The table stands in the order in which names are tried. It holds renames whose values kept their
 * meaning and that lead both ways; what was split (http.target), depends on the span's kind
 * (net.peer.name) or changed its values (net.transport) would give answers nobody asked for. */
#include "rename.h"

#include <stddef.h>
#include <string.h>

#include "fluo.h"

static const struct rename {
  const char *old_name, *new_name;
} renames[] = {
    {"http.method", "http.request.method"},
    {"http.status_code", "http.response.status_code"},
    {"http.url", "url.full"},
    {"http.scheme", "url.scheme"},
    {"http.user_agent", "user_agent.original"},
    {"http.client_ip", "client.address"},
    {"http.resend_count", "http.request.resend_count"},
    {"http.request_content_length", "http.request.body.size"},
    {"http.response_content_length", "http.response.body.size"},
    {"net.protocol.name", "network.protocol.name"},
    {"net.protocol.version", "network.protocol.version"},
    {"net.sock.peer.addr", "network.peer.address"},
    {"net.sock.peer.port", "network.peer.port"},
    {"net.sock.host.addr", "network.local.address"},
    {"net.sock.host.port", "network.local.port"},
    {"db.system", "db.system.name"},
    {"db.statement", "db.query.text"},
    {"db.operation", "db.operation.name"},
    {"db.name", "db.namespace"},
    {"db.sql.table", "db.collection.name"},
    {"db.mongodb.collection", "db.collection.name"},
    {"db.cassandra.table", "db.collection.name"},
    {"db.cosmosdb.container", "db.collection.name"},
    {"messaging.destination", "messaging.destination.name"},
    {"messaging.message_id", "messaging.message.id"},
    {"messaging.conversation_id", "messaging.message.conversation_id"},
    {"messaging.client_id", "messaging.client.id"},
    {"messaging.kafka.consumer.group", "messaging.consumer.group.name"},
    {"messaging.rocketmq.client_group", "messaging.consumer.group.name"},
    {"messaging.kafka.destination.partition", "messaging.destination.partition.id"},
    {"messaging.kafka.message.offset", "messaging.kafka.offset"},
    {"code.function", "code.function.name"},
    {"code.filepath", "code.file.path"},
    {"code.lineno", "code.line.number"},
    {"code.column", "code.column.number"},
    {"faas.execution", "faas.invocation_id"},
    {"gen_ai.system", "gen_ai.provider.name"},
    {"gen_ai.usage.prompt_tokens", "gen_ai.usage.input_tokens"},
    {"gen_ai.usage.completion_tokens", "gen_ai.usage.output_tokens"},
};

static int is_name(const char *name, const char *key, uint32_t key_len) {
  return strlen(name) == key_len && memcmp(name, key, key_len) == 0;
}

const char *fluo_renamed(const char *key, uint32_t key_len, uint32_t i) {
  for (size_t at = 0; at < sizeof renames / sizeof *renames; at++) {
    const struct rename *r = &renames[at];
    const char *other = is_name(r->old_name, key, key_len)   ? r->new_name
                        : is_name(r->new_name, key, key_len) ? r->old_name
                                                             : NULL;
    if (other && i-- == 0) return other;
  }
  return NULL;
}
