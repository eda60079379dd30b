"""The path to the pods: proxies on loopback, and the removal of endpoints."""

import signal
import socket
import subprocess
import threading
import time

from .sandbox import Failure

NGINX = """\
# Every setting for proxying that is not set here is nginx's default.
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
{upstream}
    server {{
        listen 127.0.0.1:{port};
        location / {{ {proxy} }}
    }}
}}
"""
# HTTP/1.0 and a new connection for each request.
PROXY = "proxy_pass http://{0};"
PROXY_KEEP_ALIVE = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://{0};'

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
    bind {bind}
    balance roundrobin
{options}
{servers}
"""


def _start(argv, log, port, pass_fds=()):
    with open(log, "ab") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=pass_fds)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)
    raise Failure(f"{argv[0]} did not start; see {log}")


class Haproxy:
    """A balancer without retries; its runtime API adds and removes endpoints.

    In TCP mode it replaces kube-proxy: it has one address, and a connection goes
    to one of the endpoints and fails if that refuses it. In HTTP mode it replaces
    a cloud load balancer.
    """

    keep_alive = True

    def __init__(self, workdir, port, pods, mode, options="", check=""):
        self.address = f"127.0.0.1:{port}"
        self._socket = str(workdir / "haproxy.sock")
        servers = "\n".join(f"    server pod{p} 127.0.0.1:{p} {check} disabled" for p in pods)
        config = workdir / "haproxy.cfg"
        config.write_text(HAPROXY.format(
            dir=workdir, mode=mode, bind=self.address, options=options, servers=servers))
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
            raise Failure(f"HAProxy answered '{line}' with: {answer}")

    def stop(self):
        self._process.kill()
        self._process.wait()


class HealthCheckedHaproxy(Haproxy):
    """An HTTP balancer that relies on its health checks alone.
    
    Traefik and HAProxy in front of Compose do the same: two failed checks, 250 ms apart.
    """

    def __init__(self, workdir, port, pods):
        super().__init__(workdir, port, pods, "http", "    option httpchk GET /health",
                         "check inter 250ms fall 2 rise 1")

    def remove(self, port):
        """Does nothing, because this balancer is not notified."""


class PublishedPort:
    """A port of this machine that leads to the same port in a pod's network namespace.

    The socket is made here and passed to an HAProxy that runs there.
    """

    def __init__(self, workdir, port, init):
        config = workdir / "published.cfg"
        with socket.create_server(("127.0.0.1", port)) as listener:
            config.write_text(HAPROXY.format(dir=workdir, mode="tcp", bind=f"fd@{listener.fileno()}", options="",
                                             servers=f"    server pod 127.0.0.1:{port}"))
            self._process = _start(["nsenter", f"--net=/proc/{init}/ns/net", "haproxy", "-db", "-f", config],
                                   workdir / "published.log", port, [listener.fileno()])

    def stop(self):
        self._process.kill()
        self._process.wait()


class _Nginx:
    def __init__(self, workdir, port):
        self._workdir = workdir
        self._port = port
        self._config = workdir / "nginx.conf"
        self._process = None

    def _write(self, upstream, proxy):
        self._config.write_text(NGINX.format(
            dir=self._workdir, port=self._port, upstream=upstream, proxy=proxy))

    def _start(self):
        self._process = _start(
            ["nginx", "-e", self._workdir / "nginx-error.log", "-c", self._config],
            self._workdir / "nginx.log", self._port)

    def stop(self):
        self._process.terminate()
        self._process.wait()


class RouterAndBalancer(_Nginx):
    """nginx in front of the TCP balancer: the path of a request in Kubernetes."""

    keep_alive = True

    def __init__(self, workdir, port, service, pods, keep_alive_upstream=False):
        super().__init__(workdir, port)
        self.address = f"127.0.0.1:{port}"
        self._balancer = Haproxy(workdir, service, pods, "tcp")
        self.add = self._balancer.add
        self.remove = self._balancer.remove
        if keep_alive_upstream:
            self._write(f"    upstream service {{ server 127.0.0.1:{service}; keepalive 8; }}",
                        PROXY_KEEP_ALIVE.format("service"))
        else:
            self._write("", PROXY.format(f"127.0.0.1:{service}"))
        self._start()

    def stop(self):
        super().stop()
        self._balancer.stop()


class NginxBalancer(_Nginx):
    """nginx that balances over the pods itself, and tries the next one by default.

    Endpoints are added and removed by a reload. It also closes the clients' idle
    connections, so each request has its own connection here.
    """

    keep_alive = False

    def __init__(self, workdir, port):
        super().__init__(workdir, port)
        self.address = f"127.0.0.1:{port}"
        self._pods = set()
        self._lock = threading.Lock()

    def add(self, port):
        self._change(self._pods | {port})

    def remove(self, port):
        self._change(self._pods - {port})

    def _change(self, pods):
        with self._lock:
            self._pods = pods
            servers = " ".join(f"server 127.0.0.1:{p};" for p in sorted(pods))
            self._write(f"    upstream pods {{ {servers} }}", PROXY.format("pods"))
            if self._process is None:
                self._start()
            else:
                self._process.send_signal(signal.SIGHUP)
