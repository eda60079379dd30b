"""drain-init in a root directory with two programs, busybox and itself, as in an Alpine image without its musl."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import DIST, NATIVE, VERSION, needs_root, run, wait_until

DELAY = 1
# One child is orphaned and reads from a pipe. The shell is the server.
SCRIPT = ("(read word </pipe &); trap 'echo got TERM; exit 7' TERM; echo serving; while :; do sleep 1 & wait $!; done")


@pytest.fixture
def root(tmp_path, debian):
    """busybox, links to it, drain-init, a pipe, and the /dev/null that a shell needs. No library, /proc or /etc."""
    # Not from this machine, because the package conflicts with busybox, which other tests need.
    donor = debian("12", NATIVE)
    run("chroot", donor, "apt-get", "-q", "update")
    run("chroot", donor, "apt-get", "-q", "-y", "install", "--no-install-recommends", "busybox-static")
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(donor / "bin/busybox", root / "bin")
    for name in ("sh", "sleep"):
        (root / "bin" / name).symlink_to("busybox")
    shutil.copy(DIST / f"drain-init-{NATIVE}", root / "drain-init")
    os.mkfifo(root / "pipe")
    (root / "dev").mkdir()
    run("cp", "-a", "/dev/null", root / "dev")
    return root


def children(process):
    """{pid: state} of the children of PROCESS, as the host sees them."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent = text.rpartition(")")[2].split()[:2]
        if int(parent) == process:
            found[int(stat.parent.name)] = state
    return found


@needs_root
def test_in_a_root_of_busybox_alone_it_runs_reaps_and_drains(root):
    for path in ("drain-init", "bin/busybox"):
        headers = run("readelf", "--program-headers", "--wide", root / path)
        assert "INTERP" not in headers, f"{path} needs a loader"
    assert run("chroot", root, "/drain-init", "--version") == f"drain-init {VERSION}\n"
    assert run("chroot", root, "/drain-init", "--delay-term", str(DELAY), "--", "/bin/sh", "-c", "echo it runs") == "it runs\n"

    log = root.parent / "log"
    with log.open("w") as said:
        unshare = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "chroot", root, "/drain-init", "--delay-term", str(DELAY), "--", "/bin/sh", "-c", SCRIPT],
            stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        wait_until("the server serves", lambda: "serving\n" in log.read_text())
        [init] = children(unshare.pid)
        assert os.path.samefile(f"/proc/{init}/exe", root / "drain-init")
        # The server, and the orphan, which PID 1 adopted.
        wait_until("PID 1 has the orphan", lambda: len(children(init)) == 2)
        with (root / "pipe").open("w") as pipe:
            pipe.write("end\n")
        wait_until("the orphan is reaped", lambda: len(children(init)) == 1)

        begun = time.monotonic()
        os.kill(init, signal.SIGTERM)
        assert unshare.wait(timeout=60) == 7, log.read_text()
        assert time.monotonic() - begun >= DELAY
        lines = log.read_text()
        assert lines.index(f"draining for {DELAY}s") < lines.index("drained for") < lines.index("got TERM"), lines
    finally:
        unshare.kill()
        unshare.wait()
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        "bin", "bin/busybox", "bin/sh", "bin/sleep", "dev", "dev/null", "drain-init", "pipe"]
