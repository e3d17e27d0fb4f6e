// Auto-instrumentation: an HTTP server whose /broken answers 500, called by its own client.
// node --require @opentelemetry/auto-instrumentations-node/register auto.js
const http = require('http');

const server = http.createServer((request, response) => {
  response.statusCode = request.url === '/broken' ? 500 : 200;
  response.end('done');
});

function get(path) {
  return new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port: server.address().port, path, agent: false }, response => {
      response.resume();
      response.on('end', resolve);
    }).on('error', reject);
  });
}

server.listen(0, '127.0.0.1', async () => {
  await get('/fine');
  await get('/broken');
  server.close();
});
