// A Node server: 5 ms of work; one second under /slow. TERM: no new connection,
// end when the last request is answered. USR2 before that: ask clients to close
// their kept-alive connections. So does the file $CLOSE_FILE while it exists. /health fails once the file $DRAINING is there.
// Each TERM adds a line to the file $TOLD: process ID, requests in flight.
"use strict";
const fs = require("fs");
const http = require("http");

let closing = false;
let waiting = 0;
function answer(response, status, text) {
  // Otherwise a connection that is busy now would be kept alive, and the server with it.
  if (closing || fs.existsSync(process.env.CLOSE_FILE || "")) response.setHeader("Connection", "close");
  // In a pod that is its name.
  if (process.env.HOSTNAME) response.setHeader("X-Pod", process.env.HOSTNAME);
  response.writeHead(status).end(text);
}
const server = http.createServer((request, response) => {
  request.resume();
  if (request.url === "/health") {
    answer(response, fs.existsSync(process.env.DRAINING) ? 503 : 200, "health\n");
  } else {
    waiting++;
    setTimeout(() => {
      waiting--;
      answer(response, 200, "ok\n");
    }, request.url === "/slow" ? 1000 : 5);
  }
});
// Longer than any proxy keeps an idle connection, as Node's documentation advises.
server.keepAliveTimeout = 65000;
process.on("SIGUSR2", () => { closing = true; });
process.on("SIGTERM", () => {
  fs.appendFileSync(process.env.TOLD, `${process.pid} ${waiting}\n`);
  closing = true;
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
server.listen(Number(process.argv[2]), process.argv[3] || "127.0.0.1");
