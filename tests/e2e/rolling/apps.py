"""The servers of `make e2e`: how each is started, and what stops it gently."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, field

from . import sandbox

VENV = sandbox.REPOSITORY / "target/venv-e2e"
# Pinned: what the figures were made with. honcho runs the Procfile.
PYPI = ["gunicorn==27.0.1", "honcho==2.0.0", "matplotlib==3.11.2"]
PACKAGES = ["catatonit", "dumb-init", "haproxy", "nginx-light", "passenger", "podman", "puma",
            "python3-venv", "runc", "tini"]


def packages():
    """Debian's packages; its Node only where the machine has none."""
    return PACKAGES + ([] if shutil.which("node") else ["nodejs"])


def install():
    """The PyPI packages, in a virtual environment of the run's own."""
    stamp = VENV / "installed"
    if stamp.is_file() and stamp.read_text() == "\n".join(PYPI):
        return
    print(f"e2e: installing {', '.join(PYPI)} into {VENV.relative_to(sandbox.REPOSITORY)}", flush=True)
    for argv in (["/usr/bin/python3", "-m", "venv", "--clear", VENV],
                 [VENV / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *PYPI]):
        if subprocess.run(argv, check=False).returncode:
            raise sandbox.Failure(f"could not install {', '.join(PYPI)}")
    stamp.write_text("\n".join(PYPI))


def versions():
    """What the figures are made with."""
    names = [name for name in PACKAGES if name != "python3-venv"]
    lines = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *names],
        check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()

    def version_of(program):
        return subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE,
                              text=True).stdout.split()[-1].lstrip("v")

    return {
        "Linux": platform.release(), "processors": os.cpu_count(),
        **dict(line.split() for line in lines),
        **dict(pin.split("==") for pin in PYPI), "node": version_of("node"),
        "drain-init": version_of(sandbox.drain_init()),
    }


@dataclass
class Server:
    """One server in a directory of its own, to listen on `port`."""

    argv: list
    directory: object
    port: int
    env: dict = field(default_factory=dict)
    # For the trap recipe and for --stop-cmd: what its users call there.
    stop_command: str = ""


def puma(directory, port, *options):
    pidfile = directory / "puma.pid"
    return Server(
        # As many threads as the load needs: of a saturated server, what waits to be
        # accepted is lost when it closes its socket, however long after the removal.
        ["puma", "--config", "-", "--environment", "production", "--threads", "0:16",
         "--pidfile", str(pidfile),
         "--bind", f"tcp://127.0.0.1:{port}", *options, str(sandbox.APPS / "config.ru")],
        directory, port, stop_command=f"pumactl --pidfile {pidfile} stop")


def puma_cluster(directory, port):
    return puma(directory, port, "--workers", "2")


def passenger(directory, port):
    (directory / "public").mkdir(exist_ok=True)
    (directory / "tmp").mkdir(exist_ok=True)
    (directory / "config.ru").write_text((sandbox.APPS / "config.ru").read_text())
    return Server(
        ["passenger", "start", "--address", "127.0.0.1", "--port", str(port),
         "--engine", "builtin", "--environment", "production",
         "--disable-security-update-check", "--disable-anonymous-telemetry",
         # A process answers one request at a time; more are spawned as load comes.
         "--max-pool-size", "6", "--log-file", "passenger.log"],
        directory, port, env={"TMPDIR": str(directory / "tmp")},
        stop_command=f"passenger stop --port {port}")


def gunicorn(directory, port):
    return Server(
        [str(VENV / "bin/gunicorn"), "--chdir", str(sandbox.APPS), "--bind", f"127.0.0.1:{port}",
         "--workers", "2", "--worker-class", "gthread", "--threads", "8",
         "--no-control-socket", "app:app"],
        directory, port, env={"PYTHONDONTWRITEBYTECODE": "1"})


def node(directory, port):
    return Server(["node", str(sandbox.APPS / "app.js"), str(port)], directory, port,
                  env={"DRAINING": str(directory / "draining")})


def nginx(directory, port):
    (directory / "slow").write_bytes(b"." * 1999 + b"\n")
    config = directory / "nginx.conf"
    config.write_text(
        (sandbox.APPS / "nginx.conf").read_text().replace("@PORT@", str(port)))
    return Server(["nginx", "-e", "stderr", "-p", f"{directory}/", "-c", str(config)],
                  directory, port)


SERVERS = {"puma": puma, "puma cluster": puma_cluster, "Passenger": passenger,
           "gunicorn": gunicorn, "Node": node, "nginx": nginx}


def prepare(kind, directory, port):
    """A server of that kind in an empty directory."""
    os.makedirs(directory)
    return SERVERS[kind](directory, port)
