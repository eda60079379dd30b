"""A replica: an init as PID 1 of a PID namespace, and the server that it runs."""

import contextlib
import http.client
import os
import select
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import sandbox
from .sandbox import Failure, only_child
from .stack import PublishedPort


@dataclass
class Stop:
    """How a replica ended: seconds since the stop signal was due, and how."""

    since: float
    seconds: float
    status: int
    killed: bool
    # Processes that remained in its namespace after its PID 1 had exited.
    left: int
    # If the server counts: how often each of its processes received TERM, and the
    # requests in flight at the first one.
    told: list | None = None
    in_flight: int = 0

    def __str__(self):
        return "killed" if self.killed else str(self.status)


class _Replica:
    """Common to a pod and a container: a PID 1 and its namespace."""

    # The file in which the server counts, and how many of its processes do.
    told_file = None
    counting = 0

    def _watch(self, init):
        self.init = init
        self._namespace = None
        self._ended_at = None
        self._pidfd = os.pidfd_open(init)
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        self._waiter.start()

    def _wait(self):
        select.select([self._pidfd], [], [])
        self._ended_at = time.monotonic()
        os.close(self._pidfd)

    def wait_ready(self, timeout=60):
        """Ask as a kubelet's readiness probe does, until the answer is 200."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._waiter.is_alive():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/")
                if connection.getresponse().status == 200:
                    # Held open, because namespace numbers are reused.
                    self._namespace = os.open(f"/proc/{self.init}/ns/pid", os.O_RDONLY)
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        raise Failure(f"the server on port {self.port} did not become ready; see {self.log}")

    def outer(self, inner):
        """The process ID, outside the pod, of the process that is `inner` in the pod."""
        for process in self._processes():
            ids = next(line.split() for line in (process / "status").read_text().splitlines()
                       if line.startswith("NSpid:"))
            if ids[-1] == str(inner):
                return int(process.name)
        raise Failure(f"no process {inner} in the pod on port {self.port}; see {self.log}")

    def send(self, number):
        """Send a signal to the init, as a container runtime does."""
        if self._waiter.is_alive():
            with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                os.kill(self.init, number)

    def stop(self, grace, since):
        """Send TERM now, KILL after `grace`; the seconds count from `since`."""
        self.send(signal.SIGTERM)
        return self.wait(grace, since)

    def wait(self, grace, since):
        """Wait for the end; KILL after `grace` seconds."""
        self._waiter.join(grace)
        killed = self._waiter.is_alive()
        if killed:
            self.send(signal.SIGKILL)
            self._waiter.join()
        return Stop(since, self._ended_at - since, self._status(), killed, self._left(), *self._told())

    def _told(self):
        """The counts that the server's handlers wrote: one line per TERM, `PID REQUESTS`."""
        if not self.counting:
            return None, 0
        lines = self.told_file.read_text().split("\n")[:-1] if self.told_file.exists() else []
        times, in_flight = Counter(), 0
        for pid, waiting in map(str.split, lines):
            in_flight += 0 if times[pid] else int(waiting)
            times[pid] += 1
        never = [0] * (self.counting - len(times))
        return sorted(never + list(times.values())), in_flight

    def _left(self):
        left = len(list(self._processes()))
        if self._namespace is not None:
            os.close(self._namespace)
            self._namespace = None
        return left

    def _processes(self):
        """The /proc directories of the pod's processes."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # ended meanwhile
                if self._namespace is not None and os.path.samestat(
                        os.stat(process / "ns/pid"), os.fstat(self._namespace)):
                    yield process


class Pod(_Replica):
    """`argv` started as PID 1, listening on `port` of 127.0.0.1.

    With `own_network` it also has a network namespace, and `port` is published, as for a
    container. The kernel then counts this pod's connections separately from all others.
    """

    def __init__(self, argv, port, log, cwd=None, env=None, own_network=False):
        self.port = port
        self.log = log
        network = ["--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if own_network else []
        with open(log, "ab") as output:
            self._unshare = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *network, *argv],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=cwd, env={**os.environ, **(env or {})}, start_new_session=True)
        init = None
        while init is None and self._unshare.poll() is None:
            init = only_child(self._unshare.pid)
        if init is None:
            raise Failure(f"unshare did not start {argv[0]}; see {log}")
        self._published = PublishedPort(cwd, port, init) if own_network else None
        self._watch(init)

    def _status(self):
        status = self._unshare.wait()
        if self._published:
            self._published.stop()
        return status if status >= 0 else 128 - status


class Container(_Replica):
    """`argv` as PID 1 of a podman container, run by runc, in the host's network.

    Its root is a bare tree with the host's /usr mounted read-only, because not
    every machine can pull an image. `directory` is mounted at the same path.
    """

    CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
cgroupns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
"""

    def __init__(self, argv, port, log, directory, mounts, env=None):
        self.port = port
        self.log = log
        root = directory / "root"
        for name in ("etc", "proc", "sys", "dev", "tmp", "run", "usr"):
            (root / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        store = sandbox.workdir() / "podman"  # podman needs a short path
        store.mkdir(exist_ok=True)
        conf = store / "containers.conf"
        conf.write_text(self.CONF)
        self._podman = [
            "podman", "--root", str(store / "storage"), "--runroot", str(store / "run"),
            "--tmpdir", str(store / "tmp"), "--storage-driver", "vfs"]
        self._environment = {**os.environ, "CONTAINERS_CONF": str(conf)}
        volumes = [f"--volume={path}:{path}:ro" for path in ("/usr", *mounts)]
        variables = [f"--env={name}={value}" for name, value in (env or {}).items()]
        self._id = self._call(
            "run", "--detach", "--network", "host", "--log-driver", "k8s-file",
            "--cgroup-parent", f"/{sandbox.workdir().name}",
            f"--log-opt=path={log}", f"--volume={directory}:{directory}", *volumes, *variables,
            f"--workdir={directory}", "--rootfs", str(root), *argv)
        self._watch(int(self._call("inspect", "--format", "{{.State.Pid}}", self._id)))

    def _call(self, *arguments):
        with open(self.log, "ab") as output:
            done = subprocess.run([*self._podman, *arguments], env=self._environment, check=False,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output)
        if done.returncode:
            raise Failure(f"podman {arguments[0]} failed; see {self.log}")
        return done.stdout.decode().strip()

    def _status(self):
        status = int(self._call("wait", self._id))
        self._call("rm", "--force", self._id)
        return status
