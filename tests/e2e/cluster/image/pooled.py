"""Keep-alive clients of a Service until SIGTERM: python3 pooled.py ADDRESS RECORDS

They never retry. One that has lost its connection opens another. RECORDS gets what
generator.py writes.
"""

import atexit
import json
import signal
import sys
import time

from pool import Pool

# Seconds until a request without an answer has failed, as in generator.py.
TIMEOUT = 15
FAILED = {"lost": "connection closed", "refused": "refused", None: "timeout"}


def requests(pool, now):
    for client in pool.clients:
        for sent, taken, pod in client.answered:
            yield "GET /", sent, 0, round(taken, 4), "ok", pod
        if client.end in FAILED:
            pod = client.answered[-1][2] if client.answered else ""
            yield "GET /", client.sent, 0, round((client.ended or now) - client.sent, 4), FAILED[client.end], pod


def main(address, path, _mode):
    # Before the pool's thread starts, which inherits the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    host, port = address.split(":")
    pool = Pool(atexit.register, host=host, port=int(port), again=True)
    signal.sigwait({signal.SIGTERM})
    pool.finish(TIMEOUT)
    if pool.errors:
        sys.exit(f"pooled: {pool.errors}")
    with open(path, "w", encoding="utf-8") as file:
        for request in sorted(requests(pool, time.monotonic())):
            file.write(json.dumps(request) + "\n")


main(*sys.argv[1:])
