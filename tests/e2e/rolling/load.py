"""The requests and their outcomes."""

import http.client
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .sandbox import Failure


class Wrk:
    """wrk with a few connections, until finish() is called."""

    CONNECTIONS = 8

    def __init__(self, address, log):
        self._log = log
        script = Path(__file__).with_name("wrk.lua")
        with open(log, "wb") as output:
            # The duration is only a limit; finish() ends it.
            self._process = subprocess.Popen(
                ["wrk", "--threads", "1", "--connections", str(self.CONNECTIONS),
                 "--duration", "90s", "--timeout", "10s", "--script", script,
                 f"http://{address}/"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE)

    def finish(self):
        """Stop, and return the number of requests and of failed ones."""
        if self._process.poll() is not None:
            raise Failure(f"wrk ended before the deploy did; see {self._log}")
        self._process.send_signal(signal.SIGINT)
        _, counts = self._process.communicate(timeout=30)
        if self._process.returncode != 0:
            raise Failure(f"wrk failed; see {self._log}")
        count = json.loads(counts)
        # wrk counts an answer that is not 2xx or 3xx as a request, but a broken
        # connection only as an error.
        broken = count["connect"] + count["read"] + count["write"] + count["timeout"]
        return count["requests"] + broken, count["non2xx"] + broken


@dataclass
class Request:
    """One request of the open loop; times in seconds, `due` on CLOCK_MONOTONIC."""

    kind: str
    due: float
    late: float
    taken: float
    outcome: str
    # The pod that answered, if the server names it.
    pod: str = ""

    @property
    def ok(self):
        return self.outcome == "ok"


class OpenLoop:
    """The load of generator.py, in its own process, until finish() is called."""

    def __init__(self, address, directory, keep_alive=True):
        self._records = directory / "requests.jsonl"
        self._log = directory / "generator.log"
        with open(self._log, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("generator.py"),
                 address, self._records, "keep-alive" if keep_alive else "close"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def finish(self):
        """Stop; return every request, in the order of their schedule."""
        self._process.terminate()
        if self._process.wait() != 0:
            raise Failure(f"the load generator failed; see {self._log}")
        with open(self._records, encoding="utf-8") as file:
            return [Request(*json.loads(line)) for line in file]


def slow_request(port):
    """Sends one slow request directly to a pod; returns it when it has ended."""
    due = time.monotonic()
    pod = ""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("GET", "/slow", headers={"Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        outcome = "ok" if answer.status == 200 else str(answer.status)
        pod = answer.getheader("X-Pod", "")
    except ConnectionRefusedError:
        outcome = "refused"
    except TimeoutError:
        outcome = "timeout"
    except (OSError, http.client.HTTPException):
        outcome = "connection closed"
    finally:
        connection.close()
    return Request("GET /slow", due, 0, time.monotonic() - due, outcome, pod)


def longest_gap(requests):
    """The longest time without a good answer to a quick request, in seconds."""
    answers = sorted(r.due + r.taken for r in requests if r.ok and r.kind != "GET /slow")
    return max((b - a for a, b in zip(answers, answers[1:])), default=0.0)
