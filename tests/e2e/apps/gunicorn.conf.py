"""gunicorn's hooks: each TERM adds a line with the process ID and the requests in flight
to the file $TOLD, before the master's or the worker's own handler runs."""

import os
import signal
import sys


def _count_stops(_):
    theirs = signal.getsignal(signal.SIGTERM)

    def told(number, frame):
        waiting = getattr(sys.modules.get("app"), "waiting", 0)
        with open(os.environ["TOLD"], "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {waiting}\n")
        theirs(number, frame)

    signal.signal(signal.SIGTERM, told)
    signal.siginterrupt(signal.SIGTERM, False)


when_ready = post_worker_init = _count_stops
