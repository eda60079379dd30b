"""A row of keep-alive clients that connect directly to the server, without a proxy."""

import contextlib
import sys
import time
from pathlib import Path

from . import apps, sandbox
from .experiment import Experiment

# Nothing takes this long. The limit ends a run that hangs.
LIMIT = 60


def pool_class():
    """The clients of tests/examples, which need h11 from the virtual environment."""
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
                time_lines.append(time_line(
                    f"stop {number}, in seconds after TERM", [(client.sent, client.ended, client.end) for client in lost], stop.since,
                    [f"{stop.seconds:6.3f} PID 1 has exited with {stop}; its log:",
                     *(f"       {line}" for line in Path(pod.log).read_text().splitlines())]))
        failed = sum(client.end == "lost" for client in clients)
        return {"requests": sum(client.answers for client in clients) + failed, "failed": failed,
                "failures": {"pool: lost": failed} if failed else {}, "time_lines": time_lines,
                "stops": [vars(stop) for stop in stops]}


def time_line(head, lost, since, rest):
    """The events of a stop: when each lost request was sent, when it failed and how, then `rest`."""
    lines = [f"{head}:"]
    for sent, failed, how in sorted(lost):
        lines.append(f"{sent - since:6.3f} a client sends a request that fails at {failed - since:.3f}: {how}")
    return "\n  ".join([*lines, *rest])
