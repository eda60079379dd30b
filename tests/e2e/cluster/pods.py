"""The rows that need only one pod: what must happen to it."""

import contextlib
import json
import re
import time

from rolling.sandbox import REPOSITORY, Failure

from . import specs
from .watch import Watch

ROWS = []
# Seconds: longer than anything here takes on a busy machine, and much shorter than the waits it rules out.
SOON = 8
VARIABLE = "DRAIN_INIT_DELAY_TERM"


class Skip(Exception):
    """The cluster cannot run the row. The message is one line."""


def row(name):
    """A row is a function that returns what was seen or raises Failure."""
    def register(function):
        ROWS.append((name, function))
        return function
    return register


def need(holds, otherwise):
    if not holds:
        raise Failure(otherwise)


class Stage:
    """One row's pod: started, deleted, watched."""

    def __init__(self, cluster, label):
        self.cluster, self.label = cluster, label
        self.watch = Watch(cluster, f"row={label}")
        self.pod = None

    def container(self, command, env=None, **more):
        return specs.container(self.cluster, command, env, **more)

    def start(self, *containers, **spec):
        self.apply(specs.pod(self.label, self.label, specs.pod_spec(*containers, **spec)))

    def apply(self, manifest):
        self.cluster.apply(manifest)
        self.watch.wait(lambda: any(pod.ready for pod in self.watch.pods.values()), 120, "the pod is ready")
        self.pod = self.watch.pods[self.label]

    def delete(self, *options):
        self.cluster.kubectl("delete", "pod", self.label, "--wait=false", *options)
        return time.monotonic()

    def run(self, *command, container="app"):
        """A command in the container."""
        return self.cluster.kubectl("exec", self.label, "-c", container, "--", *command).strip()

    def wait_said(self, words, container="app"):
        self.watch.wait(lambda: self.pod.said(words, container), 60, f"the log says '{words}'")

    def wait_end(self, container="app", seconds=60):
        """When the container ended, and its exit code. Its whole log has been read then."""
        self.watch.wait(lambda: self.pod.end(container), seconds, f"container {container} has ended")
        self.watch.settle()
        return self.pod.ended[container], self.pod.end(container)[0]

    def said(self, words, container="app"):
        return self.pod.said(words, container)

    def drained(self, container="app"):
        """Seconds from TERM to the end of the delay, by the times in the log."""
        begun, over = self.said("draining for", container), self.said("drained for", container)
        need(begun and over, f"the log of {container} does not have a whole drain: {self.words(container)}")
        return over - begun

    def words(self, container="app"):
        """Its last log lines."""
        return [line.removeprefix("[drain-init] ") for _, line in self.pod.lines.get(container, ())][-6:]

    def close(self):
        self.watch.close()
        self.cluster.kubectl("delete", "pods", "-l", f"row={self.label}", "--grace-period=1", "--wait=false", fails=True)


def init(*options):
    return ["drain-init", *options, "--"]


@row("the app crashes in the drain")
def crash(stage):
    stage.start(stage.container([*init(), *specs.PUMA], {VARIABLE: 20}, **specs.answers()))
    stage.delete()
    stage.wait_said("draining for 20s")
    stage.run("sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")
    since = time.monotonic()
    ended, code = stage.wait_end()
    need(code == 137, f"the exit code is {code}, not the app's 137")
    need(ended - since < SOON, f"it took {ended - since:.1f} s from the app's death to the container's end")
    need(not stage.said("drained"), "the delay continued without the app")
    return f"the container ended {max(0, ended - since):.1f} s after the app's KILL, in a delay of 20 s; exit code {code}, the app's"


@row("a second deletion with a shorter grace")
def second_deletion(stage):
    stage.start(stage.container([*init(), *specs.PUMA], {VARIABLE: 20}, **specs.answers()))
    stage.delete()
    stage.wait_said("draining for 20s")
    since = stage.delete("--grace-period=2")
    ended, code = stage.wait_end()
    took = ended - since
    # The kubelet and its runtime decide whether a second deletion shortens the stop.
    if code == 137:
        need(took < 2 + SOON, f"it took {took:.1f} s to the KILL")
        need(not stage.said("drained for"), "the drain was over before the KILL")
        return f"KILL {took:.1f} s after the second deletion, whose grace was 2 s; exit code {code}"
    need(stage.drained() > 19.5, f"the second deletion cut the drain short: {stage.words()}")
    return (f"the kubelet and the runtime did not shorten the stop: drained the whole {stage.drained():.1f} s, "
            f"{took:.1f} s of them after the second deletion; exit code {code}")


@row("a grace period shorter than the delay")
def short_grace(stage):
    stage.start(stage.container([*init(), *specs.PUMA], {VARIABLE: 10}, **specs.answers()), grace=3)
    since = stage.delete()
    ended, code = stage.wait_end()
    need(code == 137, f"the exit code is {code}, not 137")
    need(not stage.said("drained for"), "the delay ended all the same")
    need(stage.said("the grace period must be longer"), "the log does not name what must be longer")
    need("draining for" in stage.words()[-1], f"more was logged: {stage.words()}")
    return f"exit code {code} {ended - since:.1f} s after the deletion, with a grace of 3 s; the log ends with the start of the drain"


@row("--kill-after, an app that will not stop")
def kill_after(stage):
    stage.start(stage.container([*init(), "sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
                                {VARIABLE: 1, "DRAIN_INIT_KILL_AFTER": 2}))
    since = stage.delete()
    ended, code = stage.wait_end()
    need(code == 137, f"the exit code is {code}, not 137")
    need(ended - since < 3 + SOON, f"it took {ended - since:.1f} s, and the grace is {specs.GRACE} s")
    need(stage.said("sending KILL"), f"the log does not name drain-init as the sender of KILL: {stage.words()}")
    return f"exit code {code} {ended - since:.1f} s after the deletion: delay 1 s, kill-after 2 s, grace {specs.GRACE} s; the log names drain-init"


@row("shareProcessNamespace, with an orphan")
def shared_namespace(stage):
    orphan = "setsid sh -c 'trap \"echo orphan received TERM; exit\" TERM; while :; do sleep 0.2; done' &"
    stage.start(stage.container(
        [*init("--wait-all"), "sh", "-c", f"( {orphan} ); exec \"$@\"", "sh", *specs.PUMA], {VARIABLE: 1}, **specs.answers()),
        shareProcessNamespace=True)
    parent = stage.run("python3", "-c", """
import contextlib, glob
status = []
for path in glob.glob('/proc/[0-9]*/status'):
    with contextlib.suppress(OSError):  # The process has ended.
        status.append(dict(line.split(':\\t', 1) for line in open(path).read().splitlines() if ':\\t' in line))
names = {each['Pid']: each['Name'] for each in status}
# The orphan leads its own session and is not a child of the pod's first process.
for each in status:
    if each['Name'] == 'sh' and each['NSsid'] == each['Pid']:
        print(each['Pid'], names[each['PPid']])""")
    need(parent.split()[1:] == ["drain-init"], f"the orphan's parent is '{parent}'")
    need(parent.split()[0] != "1", "the container has a PID namespace of its own")
    stage.delete()
    _, code = stage.wait_end()
    need(code not in (0, 137), f"the exit code is {code}")
    need(stage.said("orphan received TERM"), f"the orphan did not receive TERM: {stage.words()}")
    return f"drain-init adopted the orphan and sent it TERM (`--wait-all`); drained {stage.drained():.1f} s; exit code {code}"


@row("hardened: not root, read-only root, RuntimeDefault seccomp, no capabilities")
def hardened(stage):
    stage.start(
        stage.container([*init(), *specs.PUMA], {VARIABLE: 2}, **specs.answers(), securityContext={
            "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}),
        securityContext={"runAsNonRoot": True, "runAsUser": 65534, "runAsGroup": 65534, "seccompProfile": {"type": "RuntimeDefault"}})
    status = dict(re.findall(r"^(\w+):\s+(.*)$", stage.run("cat", "/proc/1/status"), re.M))
    seen = {name: status[name].split()[0] for name in ("Name", "Uid", "CapEff", "NoNewPrivs", "Seccomp")}
    need(seen == {"Name": "drain-init", "Uid": "65534", "CapEff": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"},
         f"PID 1 is not hardened: {seen}")
    stage.delete()
    _, code = stage.wait_end()
    need(code != 137, "it had to be killed")
    return f"PID 1 is drain-init with uid 65534, no capability and a seccomp filter; drained {stage.drained():.1f} s; exit code {code}"


def image_volume_of(cluster):
    return {"name": "drain-init", "image": {"reference": cluster.volume_image, "pullPolicy": cluster.pull_policy}}


def has_image_volumes(cluster):
    spec = specs.pod_spec(specs.container(cluster, ["true"]), volumes=[image_volume_of(cluster)])
    return cluster.keeps(specs.pod("a", "a", spec), "spec", "volumes", 0, "image")


def drains_from_the_volume(stage):
    path = stage.run("readlink", "/proc/1/exe")
    need(path == "/opt/drain-init/drain-init", f"PID 1 is {path}")
    stage.delete()
    _, code = stage.wait_end()
    need(code != 137, "it had to be killed")
    return f"PID 1 is {path}; drained {stage.drained():.1f} s; exit code {code}"


@row("an image volume, the image without drain-init")
def image_volume(stage):
    if not has_image_volumes(stage.cluster):
        raise Skip("this Kubernetes has no image volumes switched on")
    stage.start(
        stage.container(["/opt/drain-init/drain-init", "--", *specs.PUMA], {VARIABLE: 2}, **specs.answers(),
                        volumeMounts=[{"name": "drain-init", "mountPath": "/opt/drain-init", "readOnly": True}]),
        volumes=[image_volume_of(stage.cluster)])
    return drains_from_the_volume(stage)


# nginx finishes its requests on QUIT.
NGINX = ["sh", "-c", 'sed "s/@TARGET@/127.0.0.1:9/" /e2e/proxy.conf >/tmp/nginx.conf && exec nginx -c /tmp/nginx.conf']
LISTENS = {"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}


def asked_to_quit(stage, named, image=None, **more):
    """A pod whose platform sends QUIT, with or without DRAIN_INIT_STOP_SIGNAL=QUIT."""
    env = {VARIABLE: 3, **({"DRAIN_INIT_STOP_SIGNAL": "QUIT"} if named else {})}
    container = stage.container([*init(), *NGINX], env, **LISTENS, **more.pop("container", {}))
    stage.start({**container, **({"image": image} if image else {})}, **more)
    if "lifecycle" in container and stage.pod.containers["app"].get("stopSignal") != "SIGQUIT":
        raise Skip("the API server takes lifecycle.stopSignal, but the node's runtime does not report it and sends TERM")
    since = stage.delete()
    ended, code = stage.wait_end()
    need(code == 0, f"nginx's exit code is {code}, not 0")
    if named:
        need(stage.said("received QUIT: draining for 3s"), f"QUIT did not start the drain: {stage.words()}")
        return f"QUIT started the drain of {stage.drained():.1f} s; exit code {code}"
    need(stage.said("sent QUIT without a drain"), f"the log does not report what is wrong: {stage.words()}")
    need(not stage.said("draining"), "there was a drain")
    return f"no drain: ended {ended - since:.1f} s after the deletion, and the log reports it"


@row("STOPSIGNAL QUIT in the image, without --stop-signal")
def stopsignal(stage):
    return asked_to_quit(stage, False, stage.cluster.quit_image)


@row("STOPSIGNAL QUIT in the image, with --stop-signal QUIT")
def stopsignal_named(stage):
    return asked_to_quit(stage, True, stage.cluster.quit_image)


LIFECYCLE = {"container": {"lifecycle": {"stopSignal": "SIGQUIT"}}, "os": {"name": "linux"}}


def stop_signal_in_the_pod(stage, named):
    more = {**LIFECYCLE, "container": dict(LIFECYCLE["container"])}
    spec = specs.pod_spec(stage.container(["true"], **more["container"]), os=more["os"])
    if not stage.cluster.keeps(specs.pod("a", "a", spec), "spec", "containers", 0, "lifecycle", "stopSignal"):
        raise Skip("this Kubernetes has no lifecycle.stopSignal switched on")
    return asked_to_quit(stage, named, **more)


@row("lifecycle.stopSignal SIGQUIT, without --stop-signal")
def lifecycle(stage):
    return stop_signal_in_the_pod(stage, False)


@row("lifecycle.stopSignal SIGQUIT, with --stop-signal QUIT")
def lifecycle_named(stage):
    return stop_signal_in_the_pod(stage, True)


@row("a native sidecar with a delay of its own")
def sidecar(stage):
    beside = stage.container([*init(), "node", "app.js", "8081", "0.0.0.0"], {VARIABLE: 2, **specs.TOLD}, name="sidecar",
                             **specs.answers(8081), restartPolicy="Always")
    spec = specs.pod_spec(stage.container(["true"]), initContainers=[beside])
    if not stage.cluster.keeps(specs.pod("a", "a", spec), "spec", "initContainers", 0, "restartPolicy"):
        raise Skip("this Kubernetes has no native sidecars")
    stage.start(stage.container([*init(), *specs.PUMA], {VARIABLE: 3}, **specs.answers()), initContainers=[beside])
    since = stage.delete()
    stage.wait_end()
    ended, code = stage.wait_end("sidecar")
    need(code == 0, f"the sidecar's exit code is {code}, not 0")
    need(stage.said("draining for", "sidecar") >= stage.said("drained for"), "the sidecar received TERM before the app had stopped")
    after = stage.said("draining for", "sidecar") - stage.said("drained for")
    return (f"the app drained {stage.drained():.1f} s, and {after:.1f} s later the sidecar received TERM and drained "
            f"{stage.drained('sidecar'):.1f} s more; the pod ended {ended - since:.1f} s after the deletion")


@row("the liveness probe fails in the drain")
def liveness(stage):
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/draining"]}, "periodSeconds": 1, "failureThreshold": 1}
    stage.start(stage.container([*init(), *specs.PUMA], {VARIABLE: 6, "DRAIN_INIT_DRAIN_CMD": "touch /tmp/draining"},
                                **specs.answers(), livenessProbe=probe))
    stage.delete()
    _, code = stage.wait_end()
    need(stage.drained() > 5.5, f"the drain of 6 s was cut short: {stage.drained():.1f} s")
    need(stage.pod.restarts("app") == 0, "the container was restarted")
    need(code != 137, "it was killed")
    return f"drained the whole {stage.drained():.1f} s, with a probe that failed from its first second on; exit code {code}"


@row("terminationMessagePolicy: FallbackToLogsOnError")
def termination_message(stage):
    stage.start(stage.container([*init(), *specs.PUMA], {VARIABLE: 1}, **specs.answers(),
                                terminationMessagePolicy="FallbackToLogsOnError"))
    stage.delete()
    _, code = stage.wait_end()
    message = stage.pod.containers["app"]["state"]["terminated"].get("message", "").splitlines()
    ours = [line.removeprefix("[drain-init] ").split()[0] for line in message if line.startswith("[drain-init] ")]
    need(ours == ["received", "drained", "process"], f"exit code {code}; the pod's status has: {message}")
    return f"exit code {code}; the pod's status has the end of the log, down to `{message[-1]}`"


POLICIES = "examples/kubernetes-policy.yaml"


@contextlib.contextmanager
def policy(cluster, kind):
    """The example's policy of this kind and its binding, limited to this run's namespace."""
    resource = f"{kind.lower()}admissionpolicies"
    served = json.loads(cluster.kubectl("get", "--raw", "/apis/admissionregistration.k8s.io/v1", namespaced=False))
    if resource not in {each["name"] for each in served["resources"]}:
        raise Skip(f"this Kubernetes has no {kind}AdmissionPolicy of admissionregistration.k8s.io/v1")
    for each in (resource, f"{kind.lower()}admissionpolicybindings"):
        if cluster.kubectl("auth", "can-i", "create", f"{each}.admissionregistration.k8s.io", namespaced=False, fails=True) is None:
            raise Skip(f"no right to create {each}")
    documents = (REPOSITORY / POLICIES).read_text(encoding="utf-8").split("\n---\n")
    text = "\n---\n".join(document for document in documents if f"\nkind: {kind}" in document)
    # Policies are cluster-wide, so their names must be unique.
    text = re.sub(r"(?m)^(  (?:name|policyName): \S+)$", rf"\1-{cluster.namespace}", text)
    text = text.replace("namespaceSelector: {}",
                        f"namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {cluster.namespace}}}}}")
    text = re.sub(r'reference: "\S+"', f'reference: "{cluster.volume_image}"', text)
    text = text.replace('pullPolicy: "IfNotPresent"', f'pullPolicy: "{cluster.pull_policy}"')
    try:
        cluster.kubectl("apply", "-f", "-", namespaced=False, given=text)
        yield
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "-f", "-", namespaced=False, given=text, fails=True)


def wait_active(condition, otherwise):
    """Waits until the API server applies a policy, which takes a moment."""
    deadline = time.monotonic() + 60
    while not (result := condition()):
        need(time.monotonic() < deadline, f"not within 60 s: {otherwise}")
        time.sleep(0.2)
    return result


def refusal(cluster, manifest):
    """Why the API server refuses a pod, or None if it accepts it."""
    try:
        cluster.kubectl("create", "--dry-run=server", "-f", "-", given=json.dumps(manifest))
    except Failure as failure:
        return str(failure)
    return None


@row(f"{POLICIES}: the delay and the grace period")
def policy_refuses(stage):
    def pod(delay):
        container = stage.container([*init(), *specs.PUMA], {VARIABLE: delay}, **specs.answers())
        return specs.pod(stage.label, stage.label, specs.pod_spec(container))

    with policy(stage.cluster, "Validating"):
        said = wait_active(lambda: refusal(stage.cluster, pod("1m30s")), "a pod with a delay of 1m30s is refused")
        need(f"{VARIABLE} must be less than terminationGracePeriodSeconds, which is {specs.GRACE}" in said, f"refused with: {said}")
        malformed = refusal(stage.cluster, pod("10x")) or "nothing"
        need(f"{VARIABLE} is not a duration" in malformed, f"a delay of 10x is refused with: {malformed}")
        stage.apply(pod("1.5s"))
    stage.delete()
    _, code = stage.wait_end()
    need(code != 137, "it had to be killed")
    return f"a pod with a delay of 1m30s is refused: {said[said.find(VARIABLE):]}; one with 1.5s drained {stage.drained():.1f} s, exit code {code}"


@row(f"{POLICIES}: a pod with the label")
def policy_adds(stage):
    if not has_image_volumes(stage.cluster):
        raise Skip("this Kubernetes has no image volumes switched on")
    manifest = specs.pod(stage.label, stage.label, specs.pod_spec(stage.container(specs.PUMA, **specs.answers())))
    manifest["metadata"]["labels"]["drain-init-delay"] = "2"
    with policy(stage.cluster, "Mutating"):
        wait_active(lambda: stage.cluster.keeps(manifest, "spec", "volumes", 0, "image"), "the pod is given the image volume")
        stage.apply(manifest)
    return drains_from_the_volume(stage)


EXAMPLES = ["pod.yaml", "deployment.yaml", "pod-image-volume.yaml", "deployment-image-volume.yaml", "pod-init-container.yaml"]


def example(name):
    @row(f"examples/{name}, applied")
    def applied(stage):
        cluster = stage.cluster
        text = (REPOSITORY / "examples" / name).read_text(encoding="utf-8")
        if "reference:" in text and not has_image_volumes(cluster):
            raise Skip("this Kubernetes has no image volumes switched on")
        # Only the images are replaced, because the example's cannot be pulled or are not published yet.
        text = re.sub(r"image: (registry\.example\.com/web:1|debian:\S+)", f"image: {cluster.image}", text)
        text = re.sub(r"(reference|image): ghcr\.io/drain-init/drain-init:\S+", rf"\1: {cluster.volume_image}", text)
        text = text.replace("pullPolicy: IfNotPresent", f"pullPolicy: {cluster.pull_policy}")
        watch = Watch(cluster, "app=web")
        try:
            cluster.kubectl("apply", "-f", "-", given=text)
            replicas = int((re.findall(r"replicas: (\d+)", text) or ["1"])[0])
            watch.wait(lambda: sum(pod.ready for pod in watch.pods.values()) == replicas, 120, "its pods are Ready")
            cluster.kubectl("delete", "--wait=false", "-f", "-", given=text)
            watch.wait(lambda: all(pod.gone for pod in watch.pods.values()), 90, "its pods have ended")
            watch.settle()
            pods = list(watch.pods.values())
            need(all(pod.said("drained for", "web") for pod in pods), f"not all of its {len(pods)} pods drained")
            codes = sorted({str(pod.end("web")[0]) for pod in pods if pod.end("web")})
            need("137" not in codes, "a pod had to be killed")
            return f"{replicas} Ready; deleted, each drained; exit code {', '.join(codes)}"
        finally:
            watch.close()
            cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", given=text, fails=True)


for _name in EXAMPLES:
    example(_name)
