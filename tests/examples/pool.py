"""Keep-alive clients 20 ms away from a server, each way. They never retry.

On loopback the race between a server's close and a client's next request lasts
microseconds. With this latency it lasts 40 ms, as between two machines of a region.
Not every kernel has netem, so the clients themselves delay what they send and receive.
"""
import asyncio
import collections
import dataclasses
import threading

import h11

ONE_WAY = 0.02
INTERVAL = 0.1


@dataclasses.dataclass
class Client:
    """What happened on one connection."""
    # For each answer: when its request was sent, the seconds it took, and the pod that the answer names.
    answered: list = dataclasses.field(default_factory=list, repr=False)
    # How it ended: "close" (announced in an answer), "idle" (closed between two
    # requests, nothing lost), "lost" (a request without an answer), "refused",
    # "finished" (with the pool, nothing lost), or None (still open).
    end: str | None = None
    # When the last request was sent and when the connection ended, on the monotonic clock.
    sent: float = 0
    ended: float = 0

    @property
    def answers(self):
        return len(self.answered)


class Line(asyncio.Protocol):
    """A connection whose bytes and end take ONE_WAY in both directions."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.received = asyncio.Queue()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.loop.call_later(ONE_WAY, self.received.put_nowait, data)

    def connection_lost(self, _):
        self.loop.call_later(ONE_WAY, self.received.put_nowait, b"")

    def send(self, data):
        self.loop.call_later(ONE_WAY, self.transport.write, data)


class Pool:
    """SIZE connections that send a request every INTERVAL until the server ends them.
    
    With `first`, each connection's first request is for that path; the test decides when
    it is answered. With `again`, a new connection replaces each one that has ended, until
    finish().
    """

    def __init__(self, add_cleanup, size=28, interval=INTERVAL, first="/", host="127.0.0.1", port=8080, again=False):
        self.clients = [Client() for _ in range(size)]
        self.errors = []
        self.news = threading.Condition()
        self.interval = interval
        self.first = first
        self.host, self.port = host, port
        self.again = again
        self.finished = False
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.run(),), daemon=True)
        add_cleanup(self.stop)
        self.thread.start()

    def stop(self):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(lambda: [talk.cancel() for talk in self.talks])
        self.thread.join()
        self.loop.close()

    def finish(self, limit):
        """Ends the pool when the requests in flight are answered, or after `limit` with the others open."""
        self.finished = True
        self.thread.join(limit)
        self.stop()

    async def run(self):
        self.talks = [asyncio.create_task(self.talk(client, number * self.interval / len(self.clients)))
                      for number, client in enumerate(self.clients)]
        results = await asyncio.gather(*self.talks, return_exceptions=True)
        # A cancelled connection was still open when the test ended.
        self.errors = [result for result in results if isinstance(result, Exception)]

    async def talk(self, client, pause):
        await asyncio.sleep(pause)
        while True:
            client.sent = self.loop.time()
            try:
                transport, line = await self.loop.create_connection(Line, self.host, self.port)
            except ConnectionRefusedError:
                end = "refused"
                await asyncio.sleep(self.interval)
            else:
                try:
                    end = await self.requests(client, line)
                finally:
                    transport.abort()
            with self.news:
                client.end, client.ended = end, self.loop.time()
                self.news.notify_all()
                if not self.again or self.finished:
                    return
                client = Client()
                self.clients.append(client)

    async def requests(self, client, line):
        http = h11.Connection(h11.CLIENT)
        path = self.first
        following = self.loop.time()
        while True:
            # A delayed client keeps its place in the interval, so that a busy machine
            # does not make all of them send at the same moment.
            while following <= self.loop.time():
                following += self.interval
            client.sent = self.loop.time()
            line.send(http.send(h11.Request(method="GET", target=path, headers=[("Host", "localhost")])))
            http.send(h11.EndOfMessage())
            pod = await self.answered(http, line)
            if pod is None:
                return "lost"
            with self.news:
                client.answered.append((client.sent, self.loop.time() - client.sent, pod))
                self.news.notify_all()
            if http.their_state is not h11.DONE:
                return "close"
            if self.finished:
                return "finished"
            http.start_next_cycle()
            path = "/"
            try:
                await asyncio.wait_for(line.received.get(), following - self.loop.time())
                return "idle"
            except asyncio.TimeoutError:
                pass

    async def answered(self, http, line):
        """The pod that the answer names, or "". None if the connection ended without an answer."""
        pod = ""
        try:
            while not isinstance(event := http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    http.receive_data(await line.received.get())
                elif isinstance(event, h11.Response):
                    pod = dict(event.headers).get(b"x-pod", b"").decode()
        except h11.RemoteProtocolError:
            return None
        return pod

    def ends(self):
        """How many connections ended in each way."""
        with self.news:
            return collections.Counter(client.end for client in self.clients)

    def wait(self, what, condition, limit):
        with self.news:
            if not self.news.wait_for(lambda: not self.thread.is_alive() or condition(), limit) or not condition():
                raise AssertionError(f"not within {limit}s: {what}: {self.clients} {self.errors}")

    def warm(self, limit):
        """Wait until each connection has had a second answer, and so is kept alive."""
        self.wait("a second answer on each connection", lambda: all(client.answers > 1 for client in self.clients), limit)

    def gone(self, limit):
        self.wait("each connection closed", lambda: all(client.end for client in self.clients), limit)
