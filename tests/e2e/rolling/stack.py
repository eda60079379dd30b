"""The way to the pods: proxies on loopback, and what takes an endpoint out."""

import socket
import subprocess
import time

from .sandbox import Failure

NGINX_ROUTER = """\
# A router in front of one Service address. Everything that bears on proxying
# is nginx's default: HTTP/1.0 and a new connection for each request.
daemon off;
user root;
pid {dir}/nginx.pid;
error_log {dir}/nginx-error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {dir}/nginx-body;
    proxy_temp_path {dir}/nginx-proxy;
    fastcgi_temp_path {dir}/nginx-fastcgi;
    uwsgi_temp_path {dir}/nginx-uwsgi;
    scgi_temp_path {dir}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{service}; }}
    }}
}}
"""

HAPROXY = """\
global
    stats socket {dir}/haproxy.sock mode 600 level admin
    maxconn 4096
defaults
    mode {mode}
    retries 0
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen service
    bind 127.0.0.1:{port}
    balance roundrobin
{servers}
"""


def _start(argv, log, port):
    with open(log, "ab") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)
    raise Failure(f"{argv[0]} did not start; see {log}")


class Haproxy:
    """A balancer without retries.

    In TCP mode it stands in kube-proxy's place: one address, a connection goes
    to one of the endpoints, and fails when that refuses it.
    """

    def __init__(self, workdir, port, pods, mode):
        self.address = f"127.0.0.1:{port}"
        self._socket = str(workdir / "haproxy.sock")
        servers = "\n".join(f"    server pod{p} 127.0.0.1:{p} disabled" for p in pods)
        config = workdir / "haproxy.cfg"
        config.write_text(HAPROXY.format(dir=workdir, mode=mode, port=port, servers=servers))
        self._process = _start(
            ["haproxy", "-db", "-f", config], workdir / "haproxy.log", port)

    def add(self, port):
        self._command(f"set server service/pod{port} state ready")

    def remove(self, port):
        self._command(f"set server service/pod{port} state maint")

    def _command(self, line):
        with socket.socket(socket.AF_UNIX) as runtime_api:
            runtime_api.connect(self._socket)
            runtime_api.sendall(line.encode() + b"\n")
            answer = runtime_api.recv(4096).decode().strip()
        if answer:
            raise Failure(f"HAProxy said to '{line}': {answer}")

    def stop(self):
        self._process.kill()
        self._process.wait()


class RouterAndBalancer:
    """nginx in front of the TCP balancer: the way of a request in Kubernetes."""

    def __init__(self, workdir, port, service, pods):
        self.address = f"127.0.0.1:{port}"
        self._balancer = Haproxy(workdir, service, pods, "tcp")
        self.add = self._balancer.add
        self.remove = self._balancer.remove
        config = workdir / "nginx.conf"
        config.write_text(NGINX_ROUTER.format(dir=workdir, port=port, service=service))
        self._nginx = _start(
            ["nginx", "-e", workdir / "nginx-error.log", "-c", config],
            workdir / "nginx.log", port)

    def stop(self):
        self._nginx.terminate()
        self._nginx.wait()
        self._balancer.stop()
