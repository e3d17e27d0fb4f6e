// The plain OpenTelemetry JavaScript SDK: a login that fails and is retried, and personal data read unaudited.
// node sdk.js URL json|protobuf   prints how many spans it ended.
const { trace, SpanStatusCode } = require('@opentelemetry/api');
const { NodeTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-node');
const { resourceFromAttributes } = require('@opentelemetry/resources');

const [url, encoding] = process.argv.slice(2);
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${encoding === 'json' ? 'http' : 'proto'}`);

const exporter = new OTLPTraceExporter({ url: `${url}/v1/traces`, compression: encoding === 'gzip' ? 'gzip' : 'none' });
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'auth-service' }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
});
provider.register();
const tracer = trace.getTracer('spec');
let ended = 0;

function step(name, attributes, body) {
  return tracer.startActiveSpan(name, { attributes }, span => {
    const result = body ? body(span) : undefined;
    span.end();
    ended++;
    return result;
  });
}

step('gateway', {}, () => {
  step('auth.login', { 'user.id': 42 }, span => span.setStatus({ code: SpanStatusCode.ERROR, message: 'token expired' }));
  const until = process.hrtime.bigint() + 3_000_000n;       // the two logins must not start in one millisecond
  while (process.hrtime.bigint() < until);
  step('auth.login', { 'user.id': 42 });
});
step('users.get', { 'data.contains_pii': true, names: ['a', 'žluťoučký 🐎'], ratio: 0.5 });

provider.shutdown().then(() => console.log(ended));
