"""The requests, and what became of them."""

import json
import signal
import subprocess
from pathlib import Path

from .sandbox import Failure


class Wrk:
    """wrk with a few connections, until finish() is called."""

    CONNECTIONS = 8

    def __init__(self, address, log):
        self._log = log
        script = Path(__file__).with_name("wrk.lua")
        with open(log, "wb") as output:
            # The duration is a bound, not the plan: finish() ends it.
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
        # wrk counts an answer that is not 2xx or 3xx as a request as well, a broken
        # connection only as an error.
        broken = count["connect"] + count["read"] + count["write"] + count["timeout"]
        return count["requests"] + broken, count["non2xx"] + broken
