// A Node server. A request takes 5 ms, and one second under /slow. On TERM it accepts no
// new connection, and exits when the last request is answered. After USR2, or while the
// file $CLOSE_FILE exists, it asks clients to close their kept-alive connections. /health
// fails while the file $DRAINING exists. Each TERM adds a line to the file $TOLD: process
// ID, requests in flight.
"use strict";
const fs = require("fs");
const http = require("http");

let closing = false;
let waiting = 0;
function answer(response, status, text) {
  // Otherwise a busy connection would be kept alive, and the server could not exit.
  if (closing || fs.existsSync(process.env.CLOSE_FILE || "")) response.setHeader("Connection", "close");
  // In a pod, the host name is the pod's name.
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
