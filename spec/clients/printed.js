// What the printed rules are about, by the plain OpenTelemetry JavaScript SDK.
// node printed.js URL bad|good    good: just short of each. Prints how many spans it ended.
const { trace, context, SpanStatusCode } = require('@opentelemetry/api');
const { NodeTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-node');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');

const [url, kind] = process.argv.slice(2);
const bad = kind === 'bad';
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'auth-service' }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${url}/v1/traces` }))],
});
provider.register();
const tracer = trace.getTracer('printed');
const now = Date.now() - 2000;
let ended = 0;

// A span that starts `at` ms from now on and takes `ms`.
function span(name, at, ms, attributes = {}, parent, prepare) {
  const where = parent ? trace.setSpan(context.active(), parent) : context.active();
  const made = tracer.startSpan(name, { startTime: now + at, attributes }, where);
  if (prepare) prepare(made);
  made.end(now + at + ms);
  ended++;
  return made;
}
const status = code => made => made.setStatus({ code });

span('chat', 0, 10, {}, null, made => {
  for (let i = 0; i < (bad ? 10001 : 10000); i++) made.addEvent('api_call');
});
span('POST', 0, bad ? 301 : 300, { 'http.url': 'https://pay.example/payment-api/charge?x=1' });
span('GET', 0, 10, { type: 'http.request', 'http.status_code': 500, cache_miss: bad });
for (let i = 0; i < (bad ? 6 : 5); i++) {
  span('login', i * 10, 5, { 'http.status_code': 401, 'error.type': 'AuthenticationError' });
}
const first = span('auth.login', 0, 5, {}, null, status(SpanStatusCode.ERROR));
span('auth.login', bad ? 1000 : -10, 5, {}, first, status(SpanStatusCode.OK));
const read = span('read', 0, 5, { 'data.contains_pii': true });
if (!bad) span('audit.log', 5, 5, {}, read);
const payment = span('payment.charge', 0, 5);
span('payment.db.query', 1, bad ? 1001 : 1000, {}, payment);

provider.shutdown().then(() => console.log(ended));
