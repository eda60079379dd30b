// The same for Node; see config.ru. The handler is the one that the page
// shows, with one beside it that tells of each signal; NO_HANDLER leaves them out.
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
  process.on('SIGTERM', () => console.log('server got TERM'));
}
