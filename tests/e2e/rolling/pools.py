"""A row of keep-alive clients straight to the server, with no proxy between."""

import contextlib
import sys
import time
from pathlib import Path

from . import apps, sandbox
from .experiment import Experiment

# Nothing takes this long: it is what ends a run that hangs.
LIMIT = 60


def pool_class():
    """The clients of tests/examples, which need h11. The virtual environment has it, once it is installed."""
    sys.path += [str(sandbox.REPOSITORY / "tests/examples"), *map(str, apps.VENV.glob("lib/python*/site-packages"))]
    from pool import Pool
    return Pool


class Pools:
    """The server is stopped `row.deploys` times, each time with a pool whose clients never retry."""

    def __init__(self, row, workdir, port):
        self._row, self._workdir, self._port = row, workdir, port

    def run(self):
        self._workdir.mkdir()
        experiment = Experiment(self._row, self._workdir, self._port, 0)
        pool_of = pool_class()
        stops, clients, time_lines = [], [], []
        for number in range(1, self._row.deploys + 1):
            pod = experiment.start_pod(self._port)
            pod.wait_ready()
            with contextlib.ExitStack() as cleanups:
                pool = pool_of(cleanups.callback, port=self._port)
                pool.warm(LIMIT)
                since = time.monotonic()
                stop = pod.stop(self._row.grace, since)
                pool.gone(LIMIT)
            stops.append(stop)
            clients += pool.clients
            lost = [client for client in pool.clients if client.end == "lost"]
            if lost:
                time_lines.append(time_line(number, lost, stop, Path(pod.log).read_text()))
        failed = sum(client.end == "lost" for client in clients)
        return {"requests": sum(client.answers for client in clients) + failed, "failed": failed,
                "failures": {"pool: lost": failed} if failed else {}, "time_lines": time_lines,
                "stops": [vars(stop) for stop in stops]}


def time_line(number, lost, stop, log):
    """What happened at a stop, in seconds after TERM."""
    lines = [f"stop {number}, in seconds after TERM:"]
    for client in sorted(lost, key=lambda client: client.ended):
        lines.append(f"  {client.sent - stop.since:6.3f} a client sends its request {client.answers + 1}, "
                     f"and at {client.ended - stop.since:.3f} sees the connection closed without an answer")
    lines.append(f"  {stop.seconds:6.3f} PID 1 has exited with {stop}; its log:")
    lines += [f"         {line}" for line in log.splitlines()]
    return "\n".join(lines)
