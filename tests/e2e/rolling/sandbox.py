"""Runs a script in its own PID and mount namespaces.

The script is the namespace's PID 1, so the kernel kills everything that it has
started when it exits.
"""

import contextlib
import os
import platform
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

# No run has more servers.
MOST_PORTS = 100
REPOSITORY = Path(__file__).resolve().parents[3]
APPS = Path(__file__).resolve().parents[1] / "apps"
# Set for the inner run: the directory for configurations, sockets and logs.
WORKDIR_VARIABLE = "ROLLING_WORKDIR"


class Failure(Exception):
    """Ends the run, with one line for the user."""


class Interrupted(Exception):
    """A signal asked the run to end."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


def run(name, main, packages, ports, prepare=lambda: None):
    """Call main(workdir) inside; ends the process with its status.
    
    `packages` are Debian packages, which are installed if missing. Then prepare() is
    called. `ports` must be free on 127.0.0.1; otherwise nothing is started.
    """
    inside = os.environ.get(WORKDIR_VARIABLE)
    try:
        if inside:
            main(Path(inside))
            sys.exit(0)
        sys.exit(_outside(name, packages, ports, prepare))
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:  # before anything was started
        sys.exit(128 + signal.SIGINT)


def _outside(name, packages, ports, prepare):
    if subprocess.run([REPOSITORY / "packaging/need", *packages], check=False).returncode:
        raise Failure("the packages above are needed")
    os.environ["DRAIN_INIT"] = drain_init()
    prepare()
    if os.geteuid() != 0:
        _again_as_root()
    for port in ports:
        require_free(port)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    directory = tempfile.mkdtemp(prefix=f"drain-init-{name}-")
    keep = False
    inner = None
    try:
        # setpriv: if this process is killed, so is the namespace.
        # A new session: Ctrl-C reaches only this process, which then ends the namespace.
        inner = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL",
             "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
             sys.executable, *sys.argv],
            env={**os.environ, WORKDIR_VARIABLE: directory},
            start_new_session=True)
        status = inner.wait()
        keep = status != 0
        return status if status >= 0 else 128 - status
    except Interrupted as interrupted:
        print(f"\n{name}: interrupted by {interrupted}", file=sys.stderr)
        return 128 + interrupted.number
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if inner is not None:
            _end(inner)
        _remove_cgroups(Path(directory).name)
        if keep:
            # The user who called sudo must be able to read and remove them.
            if "SUDO_UID" in os.environ:
                subprocess.run(["chown", "-R", f"{os.environ['SUDO_UID']}:{os.environ['SUDO_GID']}", directory], check=False)
            print(f"{name}: configurations and logs are kept in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _again_as_root():
    os.execv(REPOSITORY / "packaging/as-root", [
        "as-root", "FULL", "ONLY", "DRAIN_INIT", "PORT_BASE", "--", sys.executable, *sys.argv])


def _interrupt(number, _frame):
    raise Interrupted(number)


def _end(inner):
    """Kill unshare, and with it the namespace's PID 1; return when all processes are gone."""
    if inner.poll() is not None:
        return
    child = only_child(inner.pid)
    init = os.pidfd_open(child) if child else None
    inner.kill()
    inner.wait()
    if init is not None:
        # PID 1 ends after every other process of its namespace.
        select.select([init], [], [])
        os.close(init)


def workdir():
    """The run's directory. Its containers' control groups are below one of the same name."""
    return Path(os.environ[WORKDIR_VARIABLE])


def _remove_cgroups(name):
    """Remove the control groups of containers that were killed with the namespace."""
    for top in [*Path("/sys/fs/cgroup").glob(f"*/{name}"), Path("/sys/fs/cgroup", name)]:
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)


def only_child(pid):
    """The process ID of pid's child, or None while it has none."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(children[0]) if children else None


def require_free(port):
    with socket.socket() as probe:
        # Connections of an earlier run in TIME_WAIT do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError as error:
            raise Failure(
                f"port {port} of 127.0.0.1 is taken ({error.strerror}): free it, or set "
                "PORT_BASE to the first of other ports; nothing was started") from None


def port_base():
    """The first of the run's ports, which is below the range of outgoing connections."""
    text = os.environ.get("PORT_BASE", "18080")
    if not text.isdigit() or not 1024 <= int(text) <= 65000:
        sys.exit(f"PORT_BASE is '{text}', but must be a port from 1024 to 65000")
    # A server cannot listen on a port that an outgoing connection has taken. See ip(7).
    first, last = (int(port) for port in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if first - MOST_PORTS < int(text) <= last and first >= 1024 + MOST_PORTS:
        sys.exit(f"PORT_BASE is '{text}', but outgoing connections use the ports from {first} to {last}: "
                 f"choose one from 1024 to {first - MOST_PORTS}")
    return int(text)


def drain_init():
    """The program to run: $DRAIN_INIT, or the one that `make build` made."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    path = Path(os.environ.get("DRAIN_INIT") or REPOSITORY / f"dist/drain-init-{machine}")
    if not os.access(path, os.X_OK):
        raise Failure(f"{path} is missing: run `make build`, or set DRAIN_INIT")
    return str(path.resolve())
