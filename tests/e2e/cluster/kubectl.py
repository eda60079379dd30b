"""The cluster, through kubectl: the context, the run's own namespace, the images."""

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rolling.sandbox import REPOSITORY, Failure

from . import specs

HERE = Path(__file__).resolve().parent
STORE = REPOSITORY / "target/e2e-kubernetes"
IMAGE = "localhost/drain-init-e2e"
INSTALL = "kubectl is missing: install it as https://kubernetes.io/docs/tasks/tools/install-kubectl-linux/ describes"


def contexts():
    """The names in the kubeconfig."""
    if not shutil.which("kubectl"):
        raise Failure(INSTALL)
    done = subprocess.run(["kubectl", "config", "get-contexts", "-o", "name"], check=False,
                          capture_output=True, text=True)
    return done.stdout.split()


def named_context():
    """The context that the user named. The current context is never used unasked."""
    known = contexts()
    name = os.environ.get("CONTEXT", "")
    where = os.environ.get("KUBECONFIG", "~/.kube/config")
    listed = f"{where} has: {', '.join(known)}" if known else f"{where} has none"
    if not name:
        raise Failure(f"name the cluster: CONTEXT=... ({listed}); the current context is never used unasked")
    if name not in known:
        raise Failure(f"context '{name}' is missing: {listed}")
    return name


class Cluster:
    """The cluster of this context. It ends and removes what it started there."""

    def __init__(self, context):
        self.context = context
        self.namespace = f"drain-init-e2e-{secrets.token_hex(4)}"
        self._made = False
        self._children = []
        version = json.loads(self.kubectl("version", "-o", "json", namespaced=False))
        self.version = version["serverVersion"]["gitVersion"]
        nodes = json.loads(self.kubectl("get", "nodes", "-o", "json", namespaced=False))["items"]
        ready = [node for node in nodes if any(
            c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])]
        if not ready:
            raise Failure(f"no node of {context} is Ready")
        self.nodes = ready
        self.image = self.quit_image = self.volume_image = self.pull_policy = None

    def command(self, *words, namespaced=True):
        place = ["--namespace", self.namespace] if namespaced else []
        return ["kubectl", "--context", self.context, *place, *words]

    def kubectl(self, *words, namespaced=True, given=None, timeout=60, fails=False):
        """kubectl's output. A failure ends the run, or gives None if `fails` is set."""
        try:
            done = subprocess.run(
                self.command(*words, namespaced=namespaced), check=False, timeout=timeout, text=True, capture_output=True,
                # In its own session, so Ctrl-C reaches only the run, which then removes the namespace.
                start_new_session=True, **({"input": given} if given else {"stdin": subprocess.DEVNULL}))
        except subprocess.TimeoutExpired:
            if fails:
                return None
            raise Failure(f"kubectl {words[0]} did not end within {timeout} s") from None
        if done.returncode:
            if fails:
                return None
            said = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
            raise Failure(f"kubectl {' '.join(words[:3])}: {said}")
        return done.stdout

    def child(self, *words, **pipes):
        """A kubectl that keeps running until end() or the end of the run."""
        process = subprocess.Popen(self.command(*words), text=True, start_new_session=True,
                                   **{"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **pipes})
        self._children.append(process)
        return process

    def end(self, process):
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
        self._children.remove(process)

    def apply(self, *objects):
        self.kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def keeps(self, manifest, *path):
        """Whether the API server keeps a field. It drops fields of features that are switched off."""
        said = self.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", given=json.dumps(manifest), fails=True)
        found = json.loads(said) if said else None
        for word in path:
            try:
                found = found[word]
            except (KeyError, TypeError, IndexError):
                return False
        return True

    def make_namespace(self):
        self._made = True
        self.kubectl("create", "namespace", self.namespace, namespaced=False)
        # No pod is admitted before its service account exists.
        deadline = time.monotonic() + 60
        while self.kubectl("get", "serviceaccount", "default", fails=True) is None:
            if time.monotonic() > deadline:
                raise Failure(f"namespace {self.namespace} got no service account: no pod could start in it")
            time.sleep(0.2)

    def remove(self):
        """Ends the children and removes the namespace. False if it still exists."""
        for process in list(self._children):
            self.end(process)
        if not self._made:
            return True
        self.kubectl("delete", "deployments,pods", "--all", "--grace-period=1", "--wait=false", fails=True)
        self.kubectl("delete", "namespace", self.namespace, "--wait=false", namespaced=False, fails=True)
        gone = self.kubectl("wait", "--for=delete", f"namespace/{self.namespace}", "--timeout=120s",
                            namespaced=False, timeout=150, fails=True)
        return gone is not None

    def bring_images(self):
        """Builds the images if they are missing, and loads them into the cluster."""
        tag = _run([HERE / "image/build"], "the images could not be built")
        archive = STORE / f"images-{tag}.tar"
        prefix = os.environ.get("IMAGE", "")
        if prefix:
            _push(archive, tag, prefix)
        else:
            self._import(archive)
        self.pull_policy = "IfNotPresent" if prefix else "Never"
        self.image, self.quit_image, self.volume_image = (
            f"{prefix or IMAGE}:{kind}-{tag}" for kind in ("app", "quit", "drain-init"))

    def _import(self, archive):
        given = os.environ.get("IMAGE_IMPORT", "")
        tool, _, cluster = self.context.partition("-")
        if given:
            command = [*shlex.split(given), archive]
        elif tool == "kind" and shutil.which("kind"):
            command = ["kind", "load", "image-archive", archive, "--name", cluster]
        elif tool == "k3d" and shutil.which("k3d"):
            command = ["k3d", "image", "import", archive, "--cluster", cluster]
        else:
            raise Failure(
                f"no way is known to bring the images into the cluster of {self.context}: set IMAGE=REGISTRY/NAME, to which they "
                "are pushed, or IMAGE_IMPORT='COMMAND', which gets the archive's path, such as 'sudo ctr -n k8s.io images import' "
                "on the node (a context kind-NAME or k3d-NAME needs kind or k3d in PATH)")
        _run(command, "the images could not be imported")

    def facts(self):
        """What the figures were measured on."""
        info = self.nodes[0]["status"]["nodeInfo"]
        return {"Kubernetes": self.version.lstrip("v"), "container runtime": info["containerRuntimeVersion"],
                "nodes": len(self.nodes), "Linux": info["kernelVersion"],
                "processors": int(self.nodes[0]["status"]["capacity"]["cpu"]), "proxy": self._proxy()}

    def _proxy(self):
        """kube-proxy's mode, which it reports on its own node, or "unknown"."""
        ask = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:10249/proxyMode', timeout=5).read().decode())"
        asker = specs.pod("proxy-mode", "proxy-mode", specs.pod_spec(
            specs.container(self, ["python3", "-c", ask]), hostNetwork=True, restartPolicy="Never"))
        if self.kubectl("apply", "-f", "-", given=json.dumps(asker), fails=True) is None:
            return "unknown"
        self.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/proxy-mode", "--timeout=30s", fails=True)
        words = (self.kubectl("logs", "proxy-mode", fails=True) or "").split()
        return words[0] if len(words) == 1 else "unknown"


def _push(archive, tag, prefix):
    for kind in ("app", "quit", "drain-init"):
        target = f"docker://{prefix}:{kind}-{tag}"
        there = subprocess.run(["skopeo", "inspect", "--raw", target], check=False, capture_output=True).returncode == 0
        if not there:
            _run(["skopeo", "copy", "-q", f"docker-archive:{archive}:{IMAGE}:{kind}-{tag}", target],
                 f"IMAGE={prefix}: {kind}-{tag} is not there and could not be pushed (skopeo login?)")


def _run(command, otherwise):
    """The command's stdout. Its stderr is shown."""
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.stdout.write(done.stdout)
        raise Failure(otherwise)
    return done.stdout.strip()
