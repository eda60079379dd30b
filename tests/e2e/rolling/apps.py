"""The servers of `make e2e`: how each is started, and its graceful stop."""

import json
import os
import platform
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field

from . import sandbox

VENV = sandbox.REPOSITORY / "target/venv-e2e"
# Pinned, because the figures were made with these versions. honcho runs the Procfile.
PYPI = ["gunicorn==27.0.1", "honcho==2.0.0", "matplotlib==3.11.2"]
# For rows without published figures. The pool's clients use it.
CHECKS = ["h11==0.16.0"]
PACKAGES = ["busybox=busybox", "catatonit", "dumb-init", "haproxy", "nginx-light", "passenger", "podman", "puma",
            "python3-venv", "ruby-bundler", "runc", "tini"]


def packages(full):
    """Debian's packages. Its Node and runc are installed only if the machine has none. Its
    npm, some 400 packages that take minutes, is installed only for the full form.
    Passenger calls ps, but its package does not depend on it."""
    wanted = [*(name for name in PACKAGES if name != "runc"), "ip=iproute2", "node=nodejs", "ps=procps", "runc=runc"]
    return wanted + (["npm=npm"] if full else [])


def install():
    """Installs the PyPI packages into their own virtual environment."""
    stamp = VENV / "installed"
    pins = PYPI + CHECKS
    if stamp.is_file() and stamp.read_text() == "\n".join(pins):
        return
    print(f"e2e: installing {', '.join(pins)} into {VENV.relative_to(sandbox.REPOSITORY)}", flush=True)
    for argv in (["/usr/bin/python3", "-m", "venv", "--clear", VENV],
                 [VENV / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *pins]):
        if subprocess.run(argv, check=False).returncode:
            raise sandbox.Failure(f"could not install {', '.join(pins)}")
    stamp.write_text("\n".join(pins))


def versions():
    """The versions that the figures are made with."""
    names = [name for name in PACKAGES if name != "python3-venv"]
    # dpkg also lists packages that are not installed, such as one that another conflicts with.
    lines = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n", *names],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
    installed = dict(line.split()[1:] for line in lines if line.startswith("installed "))

    def version_of(program):
        return subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE,
                              text=True).stdout.splitlines()[0].split()[-1].lstrip("v")

    return {
        "Linux": platform.release(), "processors": os.cpu_count(),
        **installed, **({} if "runc" in installed else {"runc": version_of("runc")}),
        **dict(pin.split("==") for pin in PYPI), "node": version_of("node"),
        **({"npm": version_of("npm")} if shutil.which("npm") else {}),
        "Python": platform.python_version(),
        "drain-init": version_of(sandbox.drain_init()),
    }


@dataclass
class Server:
    """A server in its own directory, which listens on `port`."""

    argv: list
    directory: object
    port: int
    env: dict = field(default_factory=dict)
    # The command that its users write into the trap recipe and --stop-cmd.
    stop_command: str = ""
    # The number of its processes that write each TERM to the file $TOLD.
    counting: int = 0
    # While it exists, the app answers `Connection: close`.
    close_file: str = ""


def puma(directory, port, *options):
    pidfile = directory / "puma.pid"
    return Server(
        # As many threads as the load needs. A saturated server loses the connections
        # that wait to be accepted when it closes its socket, however long after the
        # removal.
        ["puma", "--config", "-", "--environment", "production", "--threads", "0:16",
         "--pidfile", str(pidfile),
         "--bind", f"tcp://127.0.0.1:{port}", *options, str(sandbox.APPS / "config.ru")],
        directory, port, stop_command=f"pumactl --pidfile {pidfile} stop", counting=1)


def puma_cluster(directory, port):
    server = puma(directory, port, "--workers", "2")
    # Its workers load the app first, and then replace the app's handler with theirs.
    server.counting = 0
    return server


def puma_under_sh(directory, port):
    """The Procfile line of an app with a Gemfile."""
    (directory / "Gemfile").write_text('source "https://rubygems.org"\ngem "puma"\n')
    server = puma(directory, port)
    server.argv = ["sh", "-c", f"bundle exec {shlex.join(server.argv)}; true"]
    return server


def passenger(directory, port):
    (directory / "public").mkdir(exist_ok=True)
    (directory / "tmp").mkdir(exist_ok=True)
    (directory / "config.ru").write_text((sandbox.APPS / "config.ru").read_text())
    return Server(
        ["passenger", "start", "--address", "127.0.0.1", "--port", str(port),
         "--engine", "builtin", "--environment", "production",
         "--disable-security-update-check", "--disable-anonymous-telemetry",
         # A process answers one request at a time; more are spawned under load.
         "--max-pool-size", "6", "--log-file", "passenger.log"],
        directory, port, env={"TMPDIR": str(directory / "tmp")},
        stop_command=f"passenger stop --port {port}")


def gunicorn(directory, port):
    return Server(
        [str(VENV / "bin/gunicorn"), "--chdir", str(sandbox.APPS), "--bind", f"127.0.0.1:{port}",
         "--config", str(sandbox.APPS / "gunicorn.conf.py"),
         "--workers", "2", "--worker-class", "gthread", "--threads", "8",
         "--no-control-socket", "app:app"],
        # The master and its two workers.
        directory, port, env={"PYTHONDONTWRITEBYTECODE": "1"}, counting=3)


def prefork(directory, port):
    return Server(["python3", str(sandbox.APPS / "prefork.py"), str(port)], directory, port, counting=2)


def node(directory, port):
    return Server(["node", str(sandbox.APPS / "app.js"), str(port)], directory, port,
                  env={"DRAINING": str(directory / "draining"), "CLOSE_FILE": str(directory / "close")}, counting=1,
                  close_file=str(directory / "close"))


def node_under(*shell):
    """Node under a shell that has a command to run after it, and so stays its parent."""
    def make(directory, port):
        server = node(directory, port)
        server.argv = [*shell, "-c", f"{shlex.join(server.argv)}; exit $?"]
        return server
    return make


def node_under_npm(directory, port, script="{}"):
    """The app as its package.json starts it."""
    server = node(directory, port)
    script = script.format(shlex.join(server.argv))
    (directory / "package.json").write_text(
        json.dumps({"name": "e2e", "version": "1.0.0", "scripts": {"start": script}}))
    server.argv = ["npm", "start"]
    server.env |= {"npm_config_cache": str(directory / "npm"), "npm_config_update_notifier": "false",
                   # dash runs the script in a child. busybox, bash and exec replace the shell.
                   "npm_config_script_shell": "/bin/dash"}
    return server


def node_under_npm_exec(directory, port):
    return node_under_npm(directory, port, "exec {}")


def nginx(directory, port):
    (directory / "slow").write_bytes(b"." * 1999 + b"\n")
    config = directory / "nginx.conf"
    config.write_text(
        (sandbox.APPS / "nginx.conf").read_text().replace("@PORT@", str(port)))
    return Server(["nginx", "-e", "stderr", "-p", f"{directory}/", "-c", str(config)],
                  directory, port)


SERVERS = {
    "puma": puma,
    "puma cluster": puma_cluster,
    "puma under sh and bundle exec": puma_under_sh,
    "Passenger": passenger,
    "gunicorn": gunicorn,
    "pre-fork server": prefork,
    "nginx": nginx,
    "Node": node,
    "Node under npm start": node_under_npm,
    "Node under npm start with exec": node_under_npm_exec,
    "Node under sh": node_under("sh"),
    "Node under busybox sh": node_under("busybox", "sh"),
}


def prepare(kind, directory, port):
    """A server of that kind in an empty directory."""
    os.makedirs(directory)
    server = SERVERS[kind](directory, port)
    if server.counting:
        server.env["TOLD"] = str(directory / "told")
    return server
