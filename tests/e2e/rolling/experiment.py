"""One row: its stack, its load, and its deploys one after the other."""

import os
import signal
import subprocess
import time
from collections import Counter

from . import apps, measured, sandbox
from .deploy import rolling_deploy
from .load import OpenLoop, longest_gap, slow_request
from .pod import Container, Pod
from .stack import Haproxy, HealthCheckedHaproxy, NginxBalancer, RouterAndBalancer
from .ways import WAYS

REPLICAS = 2
# Ports that one experiment needs: router, service, two sets of pods.
PORTS = 2 + 2 * REPLICAS


def make_stack(path, workdir, base, pods):
    if path == "tcp":
        return RouterAndBalancer(workdir, base, base + 1, pods)
    if path == "tcp keep-alive":
        return RouterAndBalancer(workdir, base, base + 1, pods, keep_alive_upstream=True)
    if path == "http":
        return Haproxy(workdir, base, pods, "http")
    if path == "health":
        return HealthCheckedHaproxy(workdir, base, pods)
    return NginxBalancer(workdir, base)


class Experiment:
    def __init__(self, row, workdir, base, deploys):
        self.row = row
        self._deploys = deploys
        self._workdir = workdir
        self._sets = [[base + 2 + REPLICAS * s + i for i in range(REPLICAS)] for s in (0, 1)]
        self._base = base
        self._started = 0

    def start_pod(self, port, delay=None):
        """A pod of this row, in its own directory."""
        row = self.row
        self._started += 1
        directory = self._workdir / f"pod-{self._started}"
        log = self._workdir / f"pod-{self._started}.log"
        server = apps.prepare(row.server, directory, port)
        argv = WAYS[row.way](server, row.delay if delay is None else delay)
        if row.container:
            pod = Container(argv, port, log, directory, [str(sandbox.REPOSITORY)], server.env)
        else:
            server.env["HOSTNAME"] = directory.name
            pod = Pod(argv, port, log, directory, server.env, row.own_network)
        pod.name = directory.name
        pod.told_file, pod.counting = directory / "told", server.counting
        return pod

    def run(self):
        """Deploy, and return the row's result as it goes into results.json."""
        row = self.row
        self._workdir.mkdir()
        stack = make_stack(row.path, self._workdir, self._base, sum(self._sets, []))
        pods = [self.start_pod(port) for port in self._sets[0]]
        for pod in pods:
            pod.wait_ready()
            stack.add(pod.port)
        load = OpenLoop(stack.address, self._workdir, stack.keep_alive)
        time.sleep(1)
        deploys, last, old_pods = [], [], []

        def last_request(port):
            """The last request that the balancer may send there, in flight when the drain ends."""
            if pods[0].counting:
                last.append(slow_request(port))

        for number in range(1, self._deploys + 1):
            ports = self._sets[number % 2]
            old_pods += pods
            pods, stops = rolling_deploy(
                stack, pods, lambda index, p=ports: self.start_pod(p[index]), row.removal, row.grace,
                row.delay if row.way.startswith("preStop") else 0, last_request)
            deploys.append(stops)
            # A second of plain service, so that one deploy's losses are not the next one's.
            time.sleep(1)
        requests = load.finish() + last
        for pod in pods:
            pod.send(signal.SIGKILL)
            pod.wait(row.grace, time.monotonic())
        stack.stop()
        result = self._result(requests, deploys)
        if "--measure-drain" in row.way:
            result["disagreements"] = measured.disagreements(old_pods, sum(deploys, []), requests)
        return result

    def _result(self, requests, deploys):
        failures = Counter(f"{r.kind}: {r.outcome}" for r in requests if not r.ok)
        stops = sum(deploys, [])
        return {
            "server": self.row.server,
            "way": self.row.way,
            "path": self.row.path,
            "container": self.row.container,
            "removal_s": self.row.removal,
            "delay_s": self.row.delay if self.waits() else None,
            "deploys": len(deploys),
            "requests": len(requests),
            "failed": failures.total(),
            "failures": dict(sorted(failures.items())),
            "longest_gap_ms": round(1000 * longest_gap(requests)),
            "sent_late_ms": round(1000 * max(r.late for r in requests)),
            "stops": [{"seconds": round(s.seconds, 2), "status": s.status, "killed": s.killed,
                       "left": s.left, "told": s.told, "in_flight": s.in_flight} for s in stops],
            "timeline": timeline(requests, deploys),
        }

    def waits(self):
        """Whether this way has a delay."""
        return any(word in self.row.way for word in ("drain-init", "recipe", "preStop"))


def timeline(requests, deploys, width=0.1, before=1.0, after=3.0):
    """Requests and failed ones by schedule, in bins around the first deploy's first signal."""
    zero = deploys[0][0].since
    end = deploys[1][0].since - zero if len(deploys) > 1 else after
    bins = [[0, 0] for _ in range(round((before + after) / width))]
    for request in requests:
        at = request.due - zero
        index = int((at + before) // width)
        if 0 <= index < len(bins) and at < end:
            bins[index][0] += 1
            bins[index][1] += not request.ok
    return {"bin_s": width, "start_s": -before,
            "signals_s": [round(stop.since - zero, 2) for stop in deploys[0]],
            "requests": [b[0] for b in bins], "failed": [b[1] for b in bins]}


def own_status(row, workdir, port):
    """The server's own exit status when it is stopped as in this row, but without a delay.
    
    tini passes it on, and reaps the processes that Passenger's stop command waits for.
    """
    workdir.mkdir()
    log = workdir / "alone.log"
    server = apps.prepare(row.server, workdir / "alone", port)
    group = [] if " -c" in row.way else ["-g"]
    pod = Pod(["/usr/bin/tini", *group, "--", *server.argv], port, log, server.directory, server.env)
    pod.wait_ready()
    if "--stop-cmd" in row.way:
        # The command's status means nothing: it may be killed with the namespace when the server exits.
        with open(log, "ab") as output:
            subprocess.run(
                ["nsenter", "--pid", "--mount", "--wd", "--target", str(pod.init),
                 "sh", "-c", server.stop_command],
                env={**os.environ, **server.env}, check=False, stdout=output, stderr=output)
    else:
        pod.send(signal.SIGQUIT if "TERM:QUIT" in row.way
                 else signal.SIGINT if "TERM:INT" in row.way else signal.SIGTERM)
    stop = pod.wait(60, time.monotonic())
    if stop.killed:
        raise sandbox.Failure(f"{row.server} did not stop; see {log}")
    return stop.status
