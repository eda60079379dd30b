"""Manifests, with only what a row needs."""

PUMA = ["puma", "--config", "-", "--environment", "production", "--threads", "0:16", "--bind", "tcp://0.0.0.0:8080", "config.ru"]
NODE = ["node", "app.js", "8080", "0.0.0.0"]
# Each TERM that reaches the server is a line in its log.
TOLD = {"TOLD": "/dev/stdout"}
GRACE = 30


def variables(values):
    return [{"name": name, "value": str(value)} for name, value in values.items()]


def container(cluster, command, env=None, name="app", **more):
    return {"name": name, "image": cluster.image, "imagePullPolicy": cluster.pull_policy, "command": command,
            "env": variables(env or {}), "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}, **more}


def answers(port=8080):
    return {"readinessProbe": {"httpGet": {"path": "/", "port": port}, "periodSeconds": 1}}


def pod_spec(*containers, grace=GRACE, **more):
    return {"terminationGracePeriodSeconds": grace, "automountServiceAccountToken": False,
            "containers": list(containers), **more}


def pod(name, row, spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"row": row}}, "spec": spec}


def deployment(name, replicas, spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"row": name}},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": {"row": name}}, "spec": spec}}}


def service(name):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
        "selector": {"row": name}, "ports": [{"port": 80, "targetPort": 8080}]}}


def proxy(cluster, name, target):
    """nginx in front of the Service."""
    command = ["sh", "-c", 'sed "s/@TARGET@/$TARGET/" /e2e/proxy.conf >/tmp/nginx.conf && exec nginx -c /tmp/nginx.conf']
    return pod(name, "proxy", pod_spec(
        container(cluster, command, {"TARGET": target}, readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1})))


def loader(cluster):
    return pod("loader", "loader", pod_spec(container(cluster, ["python3", "-c", "import signal; signal.pause()"])))
