// Deno's built-in OpenTelemetry (the Rust SDK): a server whose /broken answers 500, called by fetch.
const server = Deno.serve({ port: 0, hostname: '127.0.0.1', onListen: () => {} }, request =>
  new Response('done', { status: new URL(request.url).pathname === '/broken' ? 500 : 200 }));
const { port } = server.addr as Deno.NetAddr;
await (await fetch(`http://127.0.0.1:${port}/fine`)).text();
await (await fetch(`http://127.0.0.1:${port}/broken`)).text();
await server.shutdown();
