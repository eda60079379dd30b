"""A pre-fork server: python3 prefork.py PORT

The master forks two workers. TERM kills it at once, and it does not signal them. A
worker that receives TERM accepts no new connection, and exits when its last request is
answered. A request takes 5 ms, and one second under /slow. Each TERM at a worker adds a
line to the file $TOLD: process ID, requests in flight.
"""

import http.server
import os
import signal
import socket
import socketserver
import sys
import threading
import time

WORKERS = 2


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(1 if self.path == "/slow" else 0.005)
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Worker(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """server_close() waits for its threads."""

    def __init__(self, listener):
        super().__init__(listener.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.waiting = 0
        self._counting = threading.Lock()
        signal.signal(signal.SIGTERM, self.told)

    def told(self, *_):
        with open(os.environ["TOLD"], "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {self.waiting}\n")
        # shutdown() waits for the loop that this handler has interrupted.
        threading.Thread(target=self.shutdown).start()

    def count(self, more):
        with self._counting:
            self.waiting += more

    def process_request(self, request, client_address):
        self.count(1)
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        super().process_request_thread(request, client_address)
        self.count(-1)


def main(port):
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    # Both workers wake up for one connection. The second must not wait in accept().
    listener.setblocking(False)
    for _ in range(WORKERS):
        if os.fork() == 0:
            worker = Worker(listener)
            worker.serve_forever(poll_interval=0.05)
            worker.server_close()
            return
    while True:
        signal.pause()


main(int(sys.argv[1]))
