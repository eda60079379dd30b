"""gunicorn's hooks: each TERM adds a line to the file $TOLD, process ID and requests
in flight, before the master's or the worker's own handler gets it."""

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
