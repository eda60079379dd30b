"""An open-loop load generator: python3 generator.py ADDRESS RECORDS [close]

Each request is sent at its scheduled time, whether or not earlier ones were
answered, and no request is retried. SIGTERM ends the load. Then RECORDS receives
one JSON line per request: kind, scheduled time (CLOCK_MONOTONIC), seconds by which
it was sent late, seconds from schedule to answer, outcome, and the answer's X-Pod
header, if it has one. With `close` each request has its own connection; otherwise
connections are kept open.

No tool does this. wrk, hey and autocannon wait for answers (closed loop), so a
stall hides the requests that it would have hit. oha and artillery schedule, but
oha's workers wait, and neither reports the time and outcome of each request.
aiohttp retries a failed GET by itself.
"""

import asyncio
import json
import signal
import sys
import time

# Requests per second, by kind; the apps take 1 s for /slow.
RATES = {"GET /": 100, "POST /": 20, "GET /slow": 6}
TIMEOUT = 15
# An idle connection is not reused after this many seconds: well before the proxies close
# it (nginx after 75), because that close and a request could cross.
IDLE = 20


class Client:
    def __init__(self, address, keep_alive):
        self._host, port = address.split(":")
        self._port = int(port)
        self._keep_alive = keep_alive
        self._idle = []

    async def request(self, kind):
        """Send one request; return its outcome, and the pod that answered."""
        try:
            return await asyncio.wait_for(self._request(kind), TIMEOUT)
        except asyncio.TimeoutError:
            return "timeout", ""
        except ConnectionRefusedError:
            return "refused", ""
        except (ConnectionError, asyncio.IncompleteReadError, OSError):
            return "connection closed", ""

    async def _request(self, kind):
        reader, writer = await self._connection()
        reusable = False
        try:
            method, path = kind.split()
            body = "Content-Length: 2\r\n\r\n{}" if method == "POST" else "\r\n"
            connection = "" if self._keep_alive else "Connection: close\r\n"
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: e2e\r\n{connection}{body}".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status = head.split()[1]
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            await self._skip_body(reader, fields)
            reusable = self._keep_alive and "connection: close" not in head
            return "ok" if status == "200" else status, fields.get("x-pod", "")
        finally:
            if reusable:
                self._idle.append((reader, writer, time.monotonic()))
            else:
                writer.close()

    async def _connection(self):
        while self._idle:
            reader, writer, since = self._idle.pop()
            # A connection that the proxy has closed must not make a request fail.
            if not reader.at_eof() and not writer.is_closing() and time.monotonic() - since < IDLE:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    @staticmethod
    async def _skip_body(reader, fields):
        if "content-length" in fields:
            await reader.readexactly(int(fields["content-length"]))
        elif fields.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        else:
            await reader.read()


async def main(address, path, mode="keep-alive"):
    client = Client(address, mode != "close")
    records = []
    under_way = set()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)

    async def one(kind, due):
        late = time.monotonic() - due
        outcome, pod = await client.request(kind)
        records.append((kind, due, round(late, 4), round(time.monotonic() - due, 4), outcome, pod))

    async def stream(kind, rate):
        start = time.monotonic()
        number = 0
        while not ended.is_set():
            due = start + number / rate
            await asyncio.sleep(max(0, due - time.monotonic()))
            task = asyncio.create_task(one(kind, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1

    await asyncio.gather(*(stream(kind, rate) for kind, rate in RATES.items()))
    while under_way:
        await asyncio.wait(under_way)
    with open(path, "w", encoding="utf-8") as file:
        for record in sorted(records, key=lambda r: r[1]):
            file.write(json.dumps(record) + "\n")


asyncio.run(main(*sys.argv[1:]))
