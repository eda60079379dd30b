"""The states of a row's pods, by `kubectl get --watch`, and their logs, by `kubectl logs`.

States have the harness's time (time.monotonic) and log lines have the node's.
load.Clock converts one into the other.
"""

import json
import re
import subprocess
import threading
import time
from datetime import datetime

from rolling.sandbox import Failure

# A container that waits for one of these reasons never starts.
HOPELESS = {"ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError",
            "CreateContainerError", "RunContainerError", "CrashLoopBackOff"}


def seconds(stamp):
    """A log line's time since 1970, or None if the line does not begin with one."""
    parts = re.fullmatch(r"(\d+-\d+-\d+T\d+:\d+:\d+)(\.\d+)?(Z|[+-]\d\d:\d\d)", stamp)
    if not parts:
        return None
    whole, fraction, zone = parts.groups()
    return datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp() + float(fraction or 0)


class Pod:
    def __init__(self, name):
        self.name = name
        self.deleted = None  # when the API first reported its deletion
        self.gone = None
        self.ready = False
        self.containers = {}  # name: its last status
        self.ended = {}  # name: when the API first reported that it has ended
        self.lines = {}  # name: [(time, words)]

    def end(self, container):
        """The container's exit code and reason, or None while it runs."""
        state = self.containers.get(container, {}).get("state", {}).get("terminated")
        return state and (state["exitCode"], state.get("reason", ""))

    def restarts(self, container):
        return self.containers.get(container, {}).get("restartCount", 0)

    def said(self, words, container):
        """When the container first logged these words, by its node's clock, or None."""
        return next((at for at, line in self.lines.get(container, ()) if words in line), None)


class Watch:
    """The pods with this label, from now on."""

    def __init__(self, cluster, label):
        self._cluster = cluster
        self._changed = threading.Condition()
        self._followers = {}
        self._over = False
        self.pods = {}
        self._process = cluster.child("get", "pods", "-l", label, "--watch", "--output-watch-events", "-o", "json",
                                      stdout=subprocess.PIPE, stderr=None)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            # kubectl writes one event per line. Older versions spread it over several lines.
            if line == "}\n" or line.startswith("{") and line.endswith("}\n"):
                self._event(json.loads("".join(lines)))
                lines = []
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _event(self, event):
        now = time.monotonic()
        thing = event["object"]
        if thing.get("kind") != "Pod":
            return
        meta, status = thing["metadata"], thing.get("status", {})
        with self._changed:
            pod = self.pods.setdefault(meta["name"], Pod(meta["name"]))
            if "deletionTimestamp" in meta and pod.deleted is None:
                pod.deleted = now
            if event["type"] == "DELETED":
                pod.gone = now
            pod.ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
            for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
                name, state = container["name"], container["state"]
                pod.containers[name] = container
                if "terminated" in state:
                    pod.ended.setdefault(name, now)
                if ("running" in state or "terminated" in state) and (pod.name, name) not in self._followers:
                    self._follow(pod, name)
            self._changed.notify_all()

    def _follow(self, pod, container):
        process = self._cluster.child("logs", pod.name, "-c", container, "--follow", "--timestamps", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        pod.lines[container] = []
        thread = threading.Thread(target=self._take, args=(process, pod.lines[container]), daemon=True)
        self._followers[pod.name, container] = (process, thread)
        thread.start()

    def _take(self, process, lines):
        for line in process.stdout:
            stamp, _, words = line.rstrip("\n").partition(" ")
            at = seconds(stamp)
            if at is None:
                continue
            with self._changed:
                lines.append((at, words))
                self._changed.notify_all()

    def wait(self, condition, seconds, otherwise):
        """Waits until condition() is true, and returns its value."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (result := condition()):
                if self._over:
                    raise Failure(f"the watch ended before: {otherwise}")
                for pod in self.pods.values():
                    self._no_hope(pod)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Failure(f"not within {seconds} s: {otherwise}{self._state()}")
                self._changed.wait(left)
            return result

    def _no_hope(self, pod):
        for name, status in pod.containers.items():
            waiting = status["state"].get("waiting", {})
            if waiting.get("reason") in HOPELESS and pod.deleted is None:
                raise Failure(f"container {name} of {pod.name} cannot run: {waiting['reason']} {waiting.get('message', '')}".rstrip())

    def _state(self):
        lines = [f"\n  {pod.name}: {'ready' if pod.ready else 'not ready'}, {status['state']}"
                 for pod in self.pods.values() if not pod.gone for status in pod.containers.values()]
        return "".join(lines)

    def settle(self):
        """Waits for the last log lines of containers that have ended."""
        for (pod, container), (_, thread) in list(self._followers.items()):
            if container in self.pods[pod].ended or self.pods[pod].gone:
                thread.join(10)

    def close(self):
        self._end(self._process, self._thread)
        for process, thread in self._followers.values():
            self._end(process, thread)

    def _end(self, process, thread):
        # The thread reads to the end of the pipe, and would fail if that was closed first.
        process.kill()
        thread.join(10)
        self._cluster.end(process)
