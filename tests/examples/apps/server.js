// The same for Node; see config.ru. The test writes the pages' handlers next to it.
const http = require('node:http');
const fs = require('node:fs');

const released = (then) => {
  const poll = setInterval(() => {
    if (!fs.existsSync('release')) return;
    clearInterval(poll);
    then();
  }, 20);
};
const server = http.createServer((request, response) => {
  if (request.url === '/late') {
    fs.writeFileSync('begun-late', '');
    return released(() => response.end('fast\n'));
  }
  if (request.url !== '/slow') return response.end('fast\n');
  response.write('begun\n');
  released(() => response.end('done\n'));
});
server.listen(8080, '127.0.0.1');

for (const name of ['stop.js', 'draining.js']) {
  if (fs.existsSync(name)) eval(fs.readFileSync(name, 'utf8'));
}
if (fs.existsSync('stop.js')) process.on('SIGTERM', () => console.log('server got TERM'));
