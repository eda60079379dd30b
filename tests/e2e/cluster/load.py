"""The load: a pod in the cluster that sends it, and what became of each request."""

import json
import subprocess
import time
from collections import Counter

from rolling.load import Request
from rolling.sandbox import Failure

# No row takes as long; should the harness be gone, so is the load's stdin.
LONGEST = 1800


class Agent:
    """image/agent.py in the loader's pod."""

    def __init__(self, cluster, pod):
        self._cluster = cluster
        self._process = cluster.child("exec", "-i", pod, "--", "python3", "-u", "/e2e/agent.py",
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None)

    def ask(self, line):
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failure("the loader's pod cannot be talked to: kubectl exec ended") from None

    def answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise Failure("the loader's pod has ended the conversation")
        return line.rstrip("\n")

    def close(self):
        self._cluster.end(self._process)


class Clock:
    """The loader's clock, seen from here: taken from the quickest of some answers."""

    def __init__(self, agent):
        best = None
        for _ in range(15):
            before = time.monotonic()
            agent.ask("time")
            there = float(agent.answer())
            after = time.monotonic()
            if best is None or after - before < best[0]:
                best = (after - before, there - (before + after) / 2)
        self.error, self._offset = best[0] / 2, best[1]

    def of(self, here):
        """What a time of ours (time.monotonic) is there."""
        return here + self._offset


class Load:
    """One load against one address, until finish().

    The mode "close" or "keep-alive" is the open loop of rolling/generator.py, "pool" is image/pooled.py.
    """

    def __init__(self, cluster, pod, address, mode):
        self._agent = Agent(cluster, pod)
        self._agent.ask(f"start {address} {mode} {LONGEST}")
        if self._agent.answer() != "started":
            raise Failure("the load did not start")

    def finish(self):
        """Every request, by the time at which it was due, by the loader's clock."""
        self._agent.ask("stop")
        requests = []
        while (line := self._agent.answer()) != "end":
            if line.startswith("failed"):
                raise Failure(f"the load generator {line}")
            requests.append(Request(*json.loads(line)))
        self._agent.close()
        return sorted(requests, key=lambda request: request.due)


def kinds(requests):
    """The failed ones by kind."""
    return dict(Counter(request.outcome for request in requests if not request.ok))
