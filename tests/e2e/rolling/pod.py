"""A replica: an init as PID 1 of a PID namespace, and the server that it runs."""

import http.client
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

from .sandbox import Failure, only_child


@dataclass
class Stop:
    """How a replica ended: seconds since the stop signal was due, and how."""

    seconds: float
    status: int
    killed: bool

    def __str__(self):
        return "killed" if self.killed else str(self.status)


class Pod:
    """`argv` started as PID 1, listening on `port` of 127.0.0.1."""

    def __init__(self, argv, port, log, env=None):
        self.port = port
        self.log = log
        with open(log, "ab") as output:
            self._unshare = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *argv],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **(env or {})}, start_new_session=True)
        self._ended_at = None
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        self._waiter.start()

    def _wait(self):
        self._unshare.wait()
        self._ended_at = time.monotonic()

    def wait_ready(self, path="/", timeout=30):
        """Ask as a kubelet's readiness probe does, until the answer is 200."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._unshare.poll() is not None:
                break
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        raise Failure(f"the server on port {self.port} did not become ready; see {self.log}")

    def send(self, number):
        """Send to the init, as a container runtime does."""
        init = only_child(self._unshare.pid)
        if init:
            os.kill(init, number)

    def stop(self, grace, since, number=signal.SIGTERM):
        """Send the stop signal now, SIGKILL after `grace`; wait for the end.

        The seconds are counted from `since`.
        """
        self.send(number)
        self._waiter.join(grace)
        killed = self._waiter.is_alive()
        if killed:
            self.send(signal.SIGKILL)
            self._waiter.join()
        status = self._unshare.returncode
        return Stop(self._ended_at - since, status if status >= 0 else 128 - status, killed)
