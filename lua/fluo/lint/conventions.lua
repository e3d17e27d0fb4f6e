--- Names of attributes by OpenTelemetry's semantic conventions, old ones too, as far as spans, their events and their
-- resources carry them: what a name in a rule is compared with when it is nearly one of these. Facts of the
-- specification's registry, 1.44 (https://opentelemetry.io/docs/specs/semconv/registry/attributes/).
-- A namespace a line, then what follows its dot. No table of all that exists: a name that is not here is no mistake.
return [[
aws: bedrock bedrock.guardrail.id bedrock.knowledge_base.id dynamodb dynamodb.attribute_definitions
  dynamodb.attributes_to_get dynamodb.consistent_read dynamodb.consumed_capacity dynamodb.count
  dynamodb.exclusive_start_table dynamodb.global_secondary_index_updates dynamodb.global_secondary_indexes
  dynamodb.index_name dynamodb.item_collection_metrics dynamodb.limit dynamodb.local_secondary_indexes
  dynamodb.projection dynamodb.provisioned_read_capacity dynamodb.provisioned_write_capacity
  dynamodb.scan_forward dynamodb.scanned_count dynamodb.segment dynamodb.select dynamodb.table_count
  dynamodb.table_names dynamodb.total_segments ecs.cluster.arn ecs.container.arn ecs.launchtype ecs.task.arn
  ecs.task.family ecs.task.id ecs.task.revision eks.cluster.arn extended_request_id kinesis.stream_name
  lambda.invoked_arn lambda.resource_mapping.id log.group.arns log.group.names log.stream.arns
  log.stream.names redshift request_id s3.bucket s3.copy_source s3.delete s3.key s3.part_number s3.upload_id
  secretsmanager.secret.arn sns sns.topic.arn sqs.queue.url step_functions.activity.arn
  step_functions.state_machine.arn
az: ai.inference ai.openai namespace service_request_id
azure: ai.inference ai.openai aks app_service client.id container_apps container_instances cosmosdb
  cosmosdb.connection.mode cosmosdb.consistency.level cosmosdb.operation.contacted_regions
  cosmosdb.operation.request_charge cosmosdb.request.body.size cosmosdb.response.sub_status_code functions
  openshift resource_group.name resource_provider.namespace service.request.id vm
browser: brands document.url.full language mobile platform web_vital.delta web_vital.id web_vital.name
  web_vital.navigation_type web_vital.rating web_vital.value
client: address port
cloud: account.id availability_zone platform provider region resource_id
cloudevents: event_id event_source event_spec_version event_subject event_type
code: column column.number file.path filepath function function.name line.number lineno namespace stacktrace
container: command command_args command_line cpu.state csi.plugin.name csi.volume.id id image.id image.name
  image.repo_digests image.tags label labels name runtime runtime.description runtime.name runtime.version
db: cassandra.consistency_level cassandra.coordinator.dc cassandra.coordinator.id cassandra.idempotence
  cassandra.page_size cassandra.speculative_execution_count cassandra.table client.connection.pool.name
  client.connection.state client.connections.pool.name client.connections.state collection.name
  connection_string cosmosdb.client_id cosmosdb.connection_mode cosmosdb.consistency_level
  cosmosdb.container cosmosdb.operation_type cosmosdb.regions_contacted cosmosdb.request_charge
  cosmosdb.request_content_length cosmosdb.status_code cosmosdb.sub_status_code elasticsearch.cluster.name
  elasticsearch.node.name elasticsearch.path_parts instance.id jdbc.driver_classname mongodb.collection
  mssql.instance_name name namespace operation operation.batch.size operation.name operation.parameter
  query.parameter query.summary query.text redis.database_index response.returned_rows response.status_code
  sql.table statement stored_procedure.name system system.name user
deployment: environment environment.name id name status
destination: address port
device: id manufacturer model.identifier model.name
dns: answers question.name
enduser: id pseudo.id role scope
error: message type
exception: escaped message stacktrace type
faas: coldstart cron document.collection document.name document.operation document.time instance
  invocation_id invoked_name invoked_provider invoked_region max_memory name time trigger version
feature_flag: context.id error.message evaluation.error.message evaluation.reason key provider.name
  provider_name result.reason result.value result.variant set.id variant version
gen_ai: agent.description agent.id agent.name agent.version common.event.attributes completion
  conversation.id data_source.id embeddings.dimension.count evaluation.explanation evaluation.name
  evaluation.score.label evaluation.score.value input.messages openai.request.response_format
  openai.request.seed openai.request.service_tier openai.response.service_tier
  openai.response.system_fingerprint operation.name output.messages output.type prompt prompt.name
  provider.name request.choice.count request.encoding_formats request.frequency_penalty request.max_tokens
  request.model request.presence_penalty request.seed request.stop_sequences request.stream
  request.temperature request.top_k request.top_p response.finish_reasons response.id response.model
  response.time_to_first_chunk retrieval.documents retrieval.query.text system system_instructions
  token.type tool.call.arguments tool.call.id tool.call.result tool.definitions tool.description tool.name
  tool.type usage.cache_creation.input_tokens usage.cache_read.input_tokens usage.completion_tokens
  usage.input_tokens usage.output_tokens usage.prompt_tokens usage.reasoning.output_tokens workflow.name
graphql: document operation.name operation.type
host: arch cpu.cache.l2.size cpu.family cpu.model.id cpu.model.name cpu.stepping cpu.vendor.id id image.id
  image.name image.version ip mac name type
http: client_ip connection.state flavor host method request.body.content request.body.size request.header
  request.method request.method_original request.resend_count request.size request_content_length
  request_content_length_uncompressed response.body.content response.body.size response.header response.size
  response.status_code response_content_length response_content_length_uncompressed route scheme server_name
  status_code target url user_agent
jsonrpc: protocol.version request.id
k8s: cluster.name cluster.uid container.name cronjob.name cronjob.uid daemonset.name daemonset.uid
  deployment.name deployment.uid hpa.name hpa.scaletargetref.name hpa.uid job.name job.uid namespace.name
  node.name node.system_container.name node.uid persistentvolume.name persistentvolume.uid
  persistentvolumeclaim.name persistentvolumeclaim.uid pod.name pod.uid replicaset.name replicaset.uid
  replicationcontroller.name replicationcontroller.uid resourcequota.name resourcequota.uid service.name
  service.uid statefulset.name statefulset.uid storageclass.name volume.name
mcp: method.name protocol.version resource.uri session.id
message: compressed_size id type uncompressed_size
messaging: batch.message_count client.id client_id consumer.group.name destination.anonymous
  destination.name destination.partition.id destination.subscription.name destination.template
  destination.temporary destination_publish.anonymous destination_publish.name eventhubs.consumer.group
  eventhubs.message.enqueued_time gcp_pubsub.message.ack_deadline gcp_pubsub.message.ack_id
  gcp_pubsub.message.delivery_attempt gcp_pubsub.message.ordering_key kafka.cluster.id kafka.consumer.group
  kafka.destination.partition kafka.message.key kafka.message.offset kafka.message.tombstone kafka.offset
  message.body.size message.conversation_id message.envelope.size message.id operation operation.name
  operation.type rabbitmq.destination.routing_key rabbitmq.message.delivery_tag rocketmq.client_group
  rocketmq.consumption_model rocketmq.message.delay_time_level rocketmq.message.delivery_timestamp
  rocketmq.message.group rocketmq.message.keys rocketmq.message.tag rocketmq.message.type rocketmq.namespace
  servicebus.destination.subscription_name servicebus.disposition_status servicebus.message.delivery_count
  servicebus.message.enqueued_time system
net: host.ip host.name host.port peer.ip peer.name peer.port protocol.name protocol.version sock.family
  sock.host.addr sock.host.port sock.peer.addr sock.peer.name sock.peer.port transport
network: carrier.icc carrier.mcc carrier.mnc carrier.name connection.state connection.subtype
  connection.type interface.name io.direction local.address local.port peer.address peer.port protocol.name
  protocol.version transport type
openai: api.type request.service_tier response.service_tier response.system_fingerprint
os: build_id description name type version
otel: component.name component.type event.name library.name library.version scope.name scope.schema_url
  scope.version span.parent.origin span.sampling_result status_code status_description
peer: service
process: args_count command command_args command_line context_switch.type context_switch_type cpu.state
  creation.time environment_variable executable.name executable.path exit.code exit.time group_leader.pid
  interactive owner paging.fault_type parent_pid pid real_user.id real_user.name runtime.description
  runtime.name runtime.version saved_user.id saved_user.name session_leader.pid state title user.id
  user.name vpid working_directory
rpc: connect_rpc.error_code connect_rpc.request.metadata connect_rpc.response.metadata grpc.request.metadata
  grpc.response.metadata grpc.status_code jsonrpc.error_code jsonrpc.error_message jsonrpc.request_id
  jsonrpc.version message.compressed_size message.id message.type message.uncompressed_size method
  method_original request.metadata response.metadata response.status_code service status_code system
  system.name
server: address port
service: criticality instance.id name namespace peer.name peer.namespace version
session: id previous_id
source: address port
telemetry: distro.name distro.version sdk.language sdk.name sdk.version
thread: id name
tls: cipher client.certificate client.certificate_chain client.hash.md5 client.hash.sha1 client.hash.sha256
  client.issuer client.ja3 client.not_after client.not_before client.server_name client.subject
  client.supported_ciphers curve established next_protocol protocol.name protocol.version resumed
  server.certificate server.certificate_chain server.hash.md5 server.hash.sha1 server.hash.sha256
  server.issuer server.ja3s server.not_after server.not_before server.subject
url: domain extension fragment full original path port query registered_domain scheme subdomain template
  top_level_domain
user: email full_name hash id name roles
user_agent: name original os.name os.version synthetic.type version
webengine: description name version
]]
