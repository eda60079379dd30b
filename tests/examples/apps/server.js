// The same for Node; see config.ru. The handler is the one that the page
// shows; NO_HANDLER leaves it out.
const http = require('node:http');
const fs = require('node:fs');

const server = http.createServer((request, response) => {
  if (request.url !== '/slow') return response.end('fast\n');
  response.write('begun\n');
  const poll = setInterval(() => {
    if (!fs.existsSync('release')) return;
    clearInterval(poll);
    response.end('done\n');
  }, 20);
});
server.listen(8080, '127.0.0.1');

if (!process.env.NO_HANDLER) {
  process.on('SIGTERM', () => server.close());
}
