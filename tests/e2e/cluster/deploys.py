"""The rows that are deployed under load: straight to a Service and through nginx at once, or from a keep-alive pool."""

import bisect
import json
import re
import time
from dataclasses import dataclass, field

from rolling import measured
from rolling.load import longest_gap
from rolling.pools import time_line

from . import specs
from .load import Load, kinds
from .watch import Watch

PATHS = {"service": "straight to the Service", "nginx": "through nginx", "pool": "keep-alive pool straight to the Service"}
MEASURE = "DRAIN_INIT_MEASURE_DRAIN"
# Seconds under load before the first deploy and after the last.
PLAIN = 2
# The timeline: from and to, in seconds after a deletion, and the width of a column.
FROM, TO, BIN = -1, 9, 0.1


@dataclass
class Row:
    server: str
    way: str
    command: list
    env: dict = field(default_factory=dict)
    lifecycle: dict = None
    replicas: int = 3
    # Loaded by a keep-alive pool only.
    pool: bool = False
    # Promised: no request fails, and the kubelet does not kill a pod.
    lossless: bool = False
    # It must lose requests. Otherwise the run proves nothing.
    loses: bool = False

    @property
    def name(self):
        return f"{self.server}: {self.way}"

    def times(self, asked):
        """How many deploys. Three are enough for rows that may lose requests."""
        return asked if self.lossless or self.lifecycle else min(asked, 3)


def rows():
    """Every row, in the order of the table."""
    sleep = {"preStop": {"sleep": {"seconds": 5}}}
    npm, shell = ["npm", "start"], ["sh", "-c", "node app.js 8080 0.0.0.0; exit $?"]

    def ours(server, command, delay=5, env=None, **more):
        return Row(server, f"drain-init, DRAIN_INIT_DELAY_TERM={delay}", ["drain-init", "--", *command],
                   {"DRAIN_INIT_DELAY_TERM": delay, **(env or {})}, **{"lossless": True, **more})

    def pool(promised, **env):
        """With and without the file that the app checks."""
        row = ours("Node", specs.NODE, env={"CLOSE_FILE": "/tmp/draining", **env}, pool=True, lossless=promised, loses=not promised)
        row.way = ", ".join([row.way, *(f"{name}={value}" for name, value in env.items())])
        return row

    one = "puma, one replica, deleted"
    return [
        Row("puma", "no init", specs.PUMA),
        Row("puma", "dumb-init", ["dumb-init", "--", *specs.PUMA], loses=True),
        Row("puma", "tini", ["tini", "--", *specs.PUMA]),
        Row("puma", "preStop sleep 5, dumb-init", ["dumb-init", "--", *specs.PUMA], lifecycle=sleep),
        ours("puma", specs.PUMA, env={MEASURE: 1}),
        Row("npm start", "dumb-init", ["dumb-init", "--", *npm]),
        Row("npm start", "tini", ["tini", "--", *npm]),
        ours("npm start", npm),
        Row("sh -c", "dumb-init", ["dumb-init", "--", *shell]),
        Row("sh -c", "tini", ["tini", "--", *shell]),
        ours("sh -c", shell),
        Row(one, "no init", specs.PUMA, replicas=1),
        Row(one, "dumb-init", ["dumb-init", "--", *specs.PUMA], replicas=1, loses=True),
        # The deleted pod is the only one until its successor is ready.
        ours(one, specs.PUMA, delay=15, replicas=1),
        pool(False),
        pool(True, DRAIN_INIT_DRAIN_FILE="/tmp/draining"),
    ]


class Deploys:
    """One row: its Deployment, Service and proxy, its loads, and its deploys in sequence."""

    def __init__(self, cluster, clock, row, label):
        self._cluster, self._clock, self._row, self._label = cluster, clock, row, label

    def can_be_run(self):
        """Why the cluster cannot run this row, or None if it can."""
        if self._row.lifecycle and not self._cluster.keeps(
                specs.pod("a", "a", self._spec()), "spec", "containers", 0, "lifecycle", "preStop", "sleep"):
            return "this Kubernetes has no preStop sleep"
        return None

    def _spec(self):
        more = {"lifecycle": self._row.lifecycle} if self._row.lifecycle else {}
        return specs.pod_spec(specs.container(
            self._cluster, self._row.command, {**specs.TOLD, **self._row.env}, **specs.answers(), **more))

    def run(self, deploys):
        cluster, label = self._cluster, self._label
        watch = Watch(cluster, f"row={label}")
        try:
            cluster.apply(specs.deployment(label, self._row.replicas, self._spec()), specs.service(label))
            watch.wait(lambda: len(self._serving(watch)) == self._row.replicas, 180, f"{self._row.name}: its pods are ready")
            address = json.loads(cluster.kubectl("get", "service", label, "-o", "json"))["spec"]["clusterIP"] + ":80"
            if self._row.pool:
                loads = {"pool": Load(cluster, "loader", address, "pool")}
            else:
                proxy = self._proxy(address)
                loads = {"service": Load(cluster, "loader", address, "close"),
                         "nginx": Load(cluster, "loader", proxy, "keep-alive")}
            time.sleep(PLAIN)
            for _ in range(deploys):
                self._deploy(watch)
            time.sleep(PLAIN)
            requests = {path: load.finish() for path, load in loads.items()}
            watch.settle()
            return self._result(watch, requests, deploys)
        finally:
            watch.close()
            cluster.kubectl("delete", "deployment,service", label, "--wait=false", fails=True)
            cluster.kubectl("delete", "pods", f"{label}-proxy", "--grace-period=1", "--wait=false", fails=True)
            cluster.kubectl("delete", "pods", "-l", f"row={label}", "--grace-period=1", "--wait=false", fails=True)

    def _proxy(self, address):
        """The address of an nginx in front of this address."""
        cluster, name = self._cluster, f"{self._label}-proxy"
        cluster.apply(specs.proxy(cluster, name, address))
        cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s", timeout=130)
        return json.loads(cluster.kubectl("get", "pod", name, "-o", "json"))["status"]["podIP"] + ":8080"

    @staticmethod
    def _serving(watch):
        return [pod for pod in watch.pods.values() if pod.ready and pod.deleted is None]

    def _deploy(self, watch):
        before = self._serving(watch)
        if self._row.replicas == 1:
            self._cluster.kubectl("delete", "pod", before[0].name, "--wait=false")
        else:
            self._cluster.kubectl("rollout", "restart", f"deployment/{self._label}")
        watch.wait(lambda: all(pod.gone for pod in before) and len(self._serving(watch)) == self._row.replicas,
                   300, f"{self._row.name}: the old pods are gone and the new ones are ready")

    def _result(self, watch, requests, deploys):
        row = self._row
        # The pods of the last deploy are still running.
        ended = sorted((pod for pod in watch.pods.values() if pod.gone), key=lambda pod: pod.deleted)
        answered = {}
        for path, those in requests.items():
            for request in those:
                if request.ok:
                    answered.setdefault(request.pod, {}).setdefault(path, []).append(request.due)
        deletions = [self._clock.of(pod.deleted) for pod in ended]
        time_lines = self._time_lines(ended, deletions, requests.get("pool", ())) if row.lossless else []
        return {
            "row": row.name, "server": row.server, "way": row.way, "command": row.command, "env": row.env,
            "replicas": row.replicas, "deploys": deploys,
            "paths": {path: path_result(those, deletions) for path, those in requests.items()},
            "pods": [self._end(pod, answered.get(pod.name, {})) for pod in ended],
            "timeline": timeline(requests, deletions, [answered.get(pod.name, {}) for pod in ended]),
            **({"time_lines": time_lines} if time_lines else {}),
        }

    @staticmethod
    def _time_lines(ended, deletions, requests):
        """A text for each pod that may have lost a request of the pool. A refused request names no pod."""
        found = []
        for pod, deleted in zip(ended, deletions):
            lost = [(request.due, request.due + request.taken, request.outcome) for request in requests if not request.ok
                    and (request.pod == pod.name or not request.pod and 0 <= request.due - deleted <= pod.gone - pod.deleted)]
            if lost:
                found.append(time_line(f"{pod.name}, in seconds after its deletion", lost, deleted,
                                       [f"{at - deleted:6.3f} {words}" for at, words in pod.lines.get("app", ())]))
        return found

    def _end(self, pod, answered):
        """How a pod ended, in seconds since its deletion."""
        deleted = self._clock.of(pod.deleted)

        def since(at):
            return None if at is None else round(at - deleted, 2)

        told = next((at for at, line in pod.lines.get("app", ()) if re.fullmatch(r"\d+ \d+", line)), None)
        code, reason = pod.end("app") or (None, "")
        ended = pod.ended.get("app")
        series = next((found[1] for _, line in pod.lines.get("app", ()) if (found := measured.LINE.search(line))), None)
        return {
            "exit_code": code, "reason": reason, "draining": since(pod.said("draining for", "app")),
            "server_told": since(told), "ended": None if ended is None else round(ended - pod.deleted, 2),
            "last_answered": {path: since(max(dues)) for path, dues in answered.items()},
            **({"series": [int(figure) for figure in series.split()]} if series else {}),
        }


def path_result(requests, deletions):
    failed = [request for request in requests if not request.ok]
    after = [seconds for request in failed if (seconds := after_deletion(request, deletions)) is not None]
    return {"requests": len(requests), "failed": len(failed), "failures": kinds(requests),
            "failed_after_deletion": [round(min(after), 2), round(max(after), 2)] if after else None,
            "longest_gap_ms": round(1000 * longest_gap(requests)),
            "sent_late_ms": round(1000 * max((request.late for request in requests), default=0))}


def after_deletion(request, deletions):
    """Seconds from the last deletion to the moment at which a request failed. A request that is
    cut off may have been sent before the deletion."""
    failed = request.due + request.taken
    place = bisect.bisect(deletions, failed)
    return failed - deletions[place - 1] if place else None


def timeline(requests, deletions, answered):
    """Columns around a deletion, with the sums of all deletions: what the deleted pod answered,
    and what failed after the latest deletion."""
    columns = round((TO - FROM) / BIN)
    result = {"from_s": FROM, "bin_s": BIN, "answered": [0] * columns, "failed": [0] * columns}

    def count(what, seconds):
        column = int((seconds - FROM) // BIN)
        if 0 <= column < columns:
            result[what][column] += 1

    for deleted, paths in zip(deletions, answered):
        for dues in paths.values():
            for due in dues:
                count("answered", due - deleted)
    for those in requests.values():
        for request in those:
            if not request.ok and (seconds := after_deletion(request, deletions)) is not None:
                count("failed", seconds)
    return result


def broken(row, result):
    """A line for each broken promise of the row."""
    found = []
    for path, seen in result["paths"].items():
        where = f"{row.name}, {PATHS[path]}"
        if row.lossless and seen["failed"]:
            found.append(f"{where}: {seen['failed']} of {seen['requests']:,} requests failed ({seen['failures']}), "
                         f"{seen['failed_after_deletion']} s after a deletion")
            found += result.get("time_lines", ())
        if row.loses and not seen["failed"]:
            found.append(f"{where}: lost no request, so this run proves nothing")
    wanted = result["deploys"] * row.replicas
    if len(result["pods"]) != wanted:
        found.append(f"{row.name}: {len(result['pods'])} pods ended, not {wanted}")
    if row.lossless:
        if any(pod["exit_code"] in (None, 137) for pod in result["pods"]):
            found.append(f"{row.name}: a pod was killed by the kubelet, or its exit status was not seen")
        if any(pod["draining"] is None for pod in result["pods"]):
            found.append(f"{row.name}: a pod's log does not say that it drained")
        if MEASURE in row.env and not all("series" in pod for pod in result["pods"]):
            found.append(f"{row.name}: a pod's log has no line of --measure-drain")
    return found
