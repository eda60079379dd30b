"""The load: the pod that sends it, and the outcome of each request."""

import json
import subprocess
import time
from collections import Counter

from rolling.load import Request
from rolling.sandbox import Failure

# Seconds, longer than any row takes. The load ends earlier if the harness does.
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
            raise Failure("kubectl exec in the loader's pod has ended") from None

    def answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise Failure("the agent in the loader's pod has ended")
        return line.rstrip("\n")

    def close(self):
        self._cluster.end(self._process)


class Clock:
    """The difference between the loader's clock and ours, from the quickest of several answers."""

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
        """The loader's time for one of ours (time.monotonic)."""
        return here + self._offset


class Load:
    """One load against one address, until finish().

    The mode "close" or "keep-alive" is the open loop of rolling/generator.py, "pool" is image/pooled.py.
    """

    def __init__(self, cluster, pod, address, mode):
        self._agent = Agent(cluster, pod)
        self._agent.ask(f"start {address} {mode} {LONGEST}")
        if (answer := self._agent.answer()) != "started":
            raise Failure(f"the load did not start: {answer}")

    def finish(self):
        """Every request, sorted by its due time on the loader's clock."""
        self._agent.ask("stop")
        requests = []
        while (line := self._agent.answer()) != "end":
            if line.startswith("failed"):
                raise Failure(f"the load generator {line}")
            requests.append(Request(*json.loads(line)))
        self._agent.close()
        return sorted(requests, key=lambda request: request.due)


def kinds(requests):
    """How many requests failed, by kind."""
    return dict(Counter(request.outcome for request in requests if not request.ok))
