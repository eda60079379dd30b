"""Debian 13's Docker, its builders and Compose, in their own Debian 13.

dockerd runs in mount and PID namespaces, without iptables, a bridge or a downloaded image:
its containers have busybox and drain-init. It has its own socket, state and cgroups, so a
Docker on the same machine is not touched.
"""

import fcntl
import hashlib
import json
import os
import pty
import re
import select
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import DIST, EXAMPLES, FULL, NATIVE, TOP, VERSION, Container, fails, needs_root, run, wait_until

pytestmark = [needs_root, pytest.mark.skipif(not FULL, reason="Docker needs a Debian 13 with docker.io in it: FULL=1")]

PACKAGES = "docker.io docker-cli docker-buildx docker-compose busybox-static".split()
IMAGE = f"ghcr.io/drain-init/drain-init:{VERSION}"
DELAY = 2
# A server in busybox's shell. It prints which signal it receives and exits with its own status. It prints on
# stderr, like drain-init, so that the lines of the log are in order. It kills its background job, which ignores
# INT and QUIT, because drain-init waits for the whole group after a drain.
TRAPS = "exec >&2; for i in TERM INT QUIT; do trap \"echo got $i; kill \\$!; exit 7\" $i; done; echo serving; "
SERVER = ("sh", "-c", TRAPS + "while :; do sleep 1000 & wait $!; done")
# On a terminal, Ctrl-C and Ctrl-Z reach the whole group. INT does not end it, so a second one would be seen.
IN_FOREGROUND = ("sh", "-c", "trap 'echo got INT' INT; trap 'echo continued' CONT; trap 'exit 7' USR1; "
                 "echo serving; while :; do sleep 1; done")

# The namespaces end with their first process, and the mounts with them. A chroot is not enough: a process that
# enters a container's mount namespace, as with docker exec, starts at the topmost mount, which would be the
# machine's.
START = """
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/run"
cd "$1"
shift
mkdir -p run/machine
pivot_root . run/machine
umount -l /run/machine
exec /usr/bin/drain-init -- "$@"
"""


@pytest.fixture(scope="session")
def debian_with_docker(work, debian):
    """Debian 13 with docker.io, the builder's client and Compose. target/ keeps it for the next run."""
    if not re.search(r" cgroup2? ", Path("/proc/self/mounts").read_text()):
        pytest.skip("no cgroups are mounted here, and dockerd does not start without them")
    cache = TOP / "target" / "packages-test"
    archive = cache / f"docker-13-{NATIVE}.tar"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f".{archive.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if archive.exists():
            root = work / "docker"
            root.mkdir()
            run("tar", "-C", root, "-xpf", archive)
        else:
            root = debian("13", NATIVE)
            inside = ["chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
            run(*inside, "apt-get", "-q", "update")
            run(*inside, "apt-get", "-q", "-y", "install", "--no-install-recommends", *PACKAGES)
            run(*inside, "apt-get", "clean")
            run("tar", "-C", root, "-cf", f"{archive}.new", ".")
            os.rename(f"{archive}.new", archive)
    shutil.copy(DIST / f"drain-init-{NATIVE}", root / "usr/bin/drain-init")
    shutil.copytree(EXAMPLES, root / "examples")
    return root


class Docker:
    """A dockerd, and its clients in the same root."""

    def __init__(self, root, name, *options):
        self.root, self.name = root, name
        self.socket = root / f"var/{name}.sock"
        self.log = root / f"var/{name}.log"
        self.cgroup = f"drain-init-test-{os.getpid()}-{name}-{time.time_ns()}"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", START, "start", root,
                 "dockerd", f"--host=unix:///var/{name}.sock", f"--data-root=/var/lib/{name}", f"--exec-root=/run/{name}",
                 f"--pidfile=/run/{name}.pid", "--iptables=false", "--ip6tables=false", "--bridge=none",
                 "--storage-driver=vfs", "--exec-opt=native.cgroupdriver=cgroupfs", f"--cgroup-parent=/{self.cgroup}", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers():
            assert self.process.poll() is None, f"dockerd ended: {self.log.read_text()}"
            return "API listen on" in self.log.read_text()

        wait_until("dockerd answers", answers, seconds=120)

    def command(self, *arguments):
        return ["chroot", str(self.root), "docker", f"--host=unix:///var/{self.name}.sock", *map(str, arguments)]

    def __call__(self, *arguments, **options):
        return run(*self.command(*arguments), **options).strip()

    def import_image(self, tag, directory, *changes):
        archive = self.root / f"var/{self.name}.tar"
        run("tar", "-C", directory, "-cf", archive, ".")
        self("import", *(word for change in changes for word in ("--change", change)), f"/var/{archive.name}", tag)
        archive.unlink()

    def end(self):
        """dockerd stops its containers when it is stopped. Then only empty cgroups remain."""
        child = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if child:
            os.kill(int(child[0]), 15)
        try:
            self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self.process.wait()
            for top in Path("/sys/fs/cgroup").glob(f"**/{self.cgroup}"):
                for directory, _, _ in os.walk(top, topdown=False):
                    os.rmdir(directory)


@contextmanager
def dockerd(root, work, name, *options):
    docker = Docker(root, name, *options)
    try:
        files = work / f"{name}-image"
        (files / "bin").mkdir(parents=True)
        shutil.copy(root / "bin/busybox", files / "bin/busybox")
        for applet in ("sh", "sleep"):
            (files / "bin" / applet).symlink_to("busybox")
        docker.import_image("local/busybox", files, 'CMD ["sh"]')
        shutil.copy(DIST / f"drain-init-{NATIVE}", files / "drain-init")
        docker.import_image("local/app", files, 'ENTRYPOINT ["/drain-init", "--"]', f"CMD {json.dumps(SERVER)}")
        yield docker
    finally:
        docker.end()


@pytest.fixture(scope="session")
def docker(debian_with_docker, work):
    """dockerd as Debian ships it, with tini as its init."""
    with dockerd(debian_with_docker, work, "docker") as docker:
        yield docker


@pytest.fixture(scope="session")
def docker_with_init(debian_with_docker, work):
    """dockerd with drain-init as its init."""
    with dockerd(debian_with_docker, work, "docker-with-init", "--init-path=/usr/bin/drain-init") as docker:
        yield docker


def assert_drained(logs, signal="TERM"):
    """One drain, for DELAY. Then the command received the signal once, if it prints what it receives."""
    begin = f"{signal}: draining for {DELAY}s, then sending {signal} "
    [seconds] = re.findall(rf"] drained for ([\d.]+)s: sending {signal} to process group \d+", logs)
    assert DELAY <= float(seconds) < DELAY + 1, logs
    assert logs.count("draining") == logs.count(begin) == 1, logs
    got = logs.count("got ")
    assert got == logs.count(f"got {signal}") <= 1, logs
    assert logs.index(begin) < logs.index("drained for") < (logs.index("got ") if got else len(logs)), logs


class DockerContainer(Container):
    """A container that was started in the background."""

    def assert_pid_1_is_drain_init(self, path):
        """Started by PATH, and the same file as in dist/."""
        inside = ("exec", self.identifier, "/bin/busybox")
        assert self.engine(*inside, "cat", "/proc/1/cmdline").split("\0")[0] == path
        digest = hashlib.sha256((DIST / f"drain-init-{NATIVE}").read_bytes()).hexdigest()
        assert self.engine(*inside, "sha256sum", "/proc/1/exe").split()[0] == digest

    def assert_stop(self, status, *options, compose=None):
        """docker stop, or COMPOSE's: returns how long it took, and the log."""
        begun = time.monotonic()
        if compose:
            compose("stop", *options)
        else:
            self.engine("stop", *options, self.identifier)
        took = time.monotonic() - begun
        assert self.state()["ExitCode"] == status, self.logs()
        return took, self.logs()

    def assert_drains(self, status, *options, compose=None, signal="TERM"):
        took, logs = self.assert_stop(status, *options, compose=compose)
        assert took >= DELAY, logs
        assert_drained(logs, signal)
        return logs


@contextmanager
def started(docker, *arguments):
    identifier = docker("run", "-d", "--network=none", *arguments).splitlines()[-1]
    try:
        yield DockerContainer(docker, identifier)
    finally:
        docker("rm", "--force", identifier)


WITH_DELAY = ("-e", f"DRAIN_INIT_DELAY_TERM={DELAY}")


@pytest.mark.parametrize("command, status", [
    (("sh", "-c", "exec >&2; trap 'echo got TERM; exit 0' TERM; echo serving; while :; do sleep 1000 & wait $!; done"), 0),
    (("sh", "-c", "echo serving; exec sleep 1000"), 143),
    (SERVER, 7),
], ids=["0", "143", "7"])
def test_docker_stop_drains_and_passes_on_the_command_s_status(docker, command, status):
    with started(docker, *WITH_DELAY, "local/app", *command) as container:
        container.wait_for("serving")
        container.assert_pid_1_is_drain_init("/drain-init")
        logs = container.assert_drains(status, "-t", "60")
        assert logs.count("got TERM") == (status != 143)


def test_docker_stop_below_the_delay_ends_in_a_kill(docker):
    """As the documentation warns. The log has only the beginning of the drain."""
    with started(docker, "-e", "DRAIN_INIT_DELAY_TERM=600", "local/app") as container:
        container.wait_for("serving")
        _, logs = container.assert_stop(137, "-t", "1")
        assert "received TERM: draining for 600s, then sending TERM (the grace period must be longer)" in logs
        assert "drained for" not in logs and "got TERM" not in logs


def test_docker_s_default_of_ten_seconds_is_too_short_for_a_longer_delay(docker):
    with started(docker, "-e", "DRAIN_INIT_DELAY_TERM=600", "local/app") as container:
        container.wait_for("serving")
        took, logs = container.assert_stop(137)
        assert 10 <= took < 60 and "got TERM" not in logs


def test_without_a_delay_docker_stop_reaches_the_command_at_once(docker):
    with started(docker, "local/app") as container:
        container.wait_for("serving")
        _, logs = container.assert_stop(7, "-t", "600")
        assert "got TERM" in logs and "drain" not in logs.replace("[drain-init]", "")


def test_docker_stop_drains_on_a_terminal_too(docker):
    with started(docker, "-it", *WITH_DELAY, "local/app") as container:
        container.wait_for("serving")
        assert "got TERM" in container.assert_drains(7, "-t", "60")


def test_dockerd_takes_it_as_its_own_init(docker_with_init):
    """dockerd asks the init for its version. It also uses one that does not answer like tini."""
    docker = docker_with_init
    assert docker("info", "-f", "{{.InitBinary}}") == "/usr/bin/drain-init"
    said = [line for line in docker.log.read_text().splitlines() if "drain-init version" in line]
    # docs/migrating.md has these words.
    assert said and all("failed to parse /usr/bin/drain-init version" in line and
                        f"unknown output format: drain-init {VERSION}" in line for line in said), said
    with started(docker, "--init", *WITH_DELAY, "local/busybox", *SERVER) as container:
        container.wait_for("serving")
        container.assert_pid_1_is_drain_init("/sbin/docker-init")
        logs = container.assert_drains(7, "-t", "60")
        assert "[docker-init] received TERM: draining for" in logs


def test_as_dockerd_s_init_before_itself_it_drains_once(docker_with_init):
    """The outer one removes the variables, so the inner one delivers at once."""
    with started(docker_with_init, "--init", *WITH_DELAY, "local/app") as container:
        container.wait_for("serving")
        logs = container.assert_drains(7, "-t", "60")
        assert "[docker-init] received TERM: draining for" in logs
        assert logs.count("got TERM") == 1


def test_under_docker_s_own_init_it_drains(docker):
    """docker run --init with tini, and drain-init as the ENTRYPOINT: TERM arrives once."""
    with started(docker, "--init", *WITH_DELAY, "local/app") as container:
        container.wait_for("serving")
        logs = container.assert_drains(7, "-t", "60")
        assert "[drain-init] received TERM: draining for" in logs
        assert logs.count("got TERM") == 1


@pytest.fixture(scope="session")
def published(docker, registry):
    """The image in the registry. docker load accepts no OCI archive before Docker 27's image store."""
    source = f"oci-archive:{DIST}/drain-init-{VERSION}.oci.tar"
    name = f"{registry}/ghcr.io/drain-init/drain-init:{VERSION}"
    run("skopeo", "copy", "-q", "--all", "--preserve-digests", "--dest-tls-verify=false", source, f"docker://{name}")
    return name


@pytest.fixture
def loaded(docker):
    archive = docker.root / "var/loaded.tar"
    run("skopeo", "copy", "-q", f"oci-archive:{DIST}/drain-init-{VERSION}.oci.tar", f"docker-archive:{archive}:{IMAGE}")
    assert f"Loaded image: {IMAGE}" in docker("load", "-i", "/var/loaded.tar")
    archive.unlink()
    yield
    docker("rmi", IMAGE)


def assert_copied(docker, tag):
    with started(docker, *WITH_DELAY, tag) as container:
        container.assert_pid_1_is_drain_init("/usr/bin/drain-init")
        # The example has --remap-exit 143, because TERM kills busybox's httpd.
        container.assert_drains(0, "-t", "60")


def test_buildkit_copies_from_the_loaded_image(docker, loaded):
    """examples/Dockerfile.copy-from unchanged, except for the image of the user's build stage."""
    docker("buildx", "build", "--no-cache", "--build-context", "build=docker-image://local/busybox",
           "-t", "local/loaded", "-f", "/examples/Dockerfile.copy-from", "/examples")
    assert_copied(docker, "local/loaded")


def test_buildkit_copies_from_the_image_in_a_registry_by_digest(docker, published):
    """The form that the documentation recommends."""
    digest = (DIST / f"drain-init-{VERSION}.oci.digest").read_text().strip()
    name = f"{published.removesuffix(f':{VERSION}')}@"
    text = (EXAMPLES / "Dockerfile.copy-from").read_text()
    pinned = text.replace(f"--from={IMAGE} ", f"--from={name}{digest} ")
    assert pinned != text
    (docker.root / "var/pinned").write_text(pinned)
    build = ("buildx", "build", "--no-cache", "--build-context", "build=docker-image://local/busybox",
             "-t", "local/pinned", "-f", "/var/pinned", "/examples")
    docker(*build)
    assert_copied(docker, "local/pinned")
    # A digest that the registry does not have is refused.
    (docker.root / "var/pinned").write_text(pinned.replace(digest, "sha256:" + "0" * 64))
    fails(*docker.command(*build))


def test_the_classic_builder_copies_from_the_loaded_image(docker, loaded):
    text = (EXAMPLES / "Dockerfile.copy-from").read_text()
    # This builder has no --build-context.
    replaced = re.sub(r"FROM debian:12-slim AS build\n(.*\n)*?\n", "FROM local/busybox AS build\n\n", text)
    assert replaced != text
    (docker.root / "var/classic").write_text(replaced)
    docker("build", "--no-cache", "-t", "local/classic", "-f", "/var/classic", "/examples",
           env=os.environ | {"DOCKER_BUILDKIT": "0"})
    assert_copied(docker, "local/classic")


@contextmanager
def composed(docker, *lines):
    """A running service of the image local/app with LINES; yields the container and docker compose."""
    directory = docker.root / "var/compose"
    directory.mkdir(exist_ok=True)
    (directory / "compose.yaml").write_text(
        "services:\n  web:\n" + "".join(f"    {line}\n" for line in ("image: local/app", "network_mode: none", *lines)))

    def compose(*arguments):
        return docker("compose", "--ansi=never", "-f", "/var/compose/compose.yaml", *arguments)

    try:
        compose("up", "-d")
        yield DockerContainer(docker, compose("ps", "-a", "-q", "web").splitlines()[-1]), compose
    finally:
        compose("down", "-t", "0")


ENVIRONMENT = f'environment: {{DRAIN_INIT_DELAY_TERM: "{DELAY}"}}'


def test_compose_s_stop_grace_period_above_the_delay_lets_the_command_finish(docker):
    with composed(docker, ENVIRONMENT, "stop_grace_period: 60s") as (container, compose):
        container.wait_for("serving")
        assert "got TERM" in container.assert_drains(7, compose=compose)


def test_compose_s_stop_grace_period_below_the_delay_ends_in_a_kill(docker):
    with composed(docker, 'environment: {DRAIN_INIT_DELAY_TERM: "600"}', "stop_grace_period: 1s") as (container, compose):
        container.wait_for("serving")
        _, logs = container.assert_stop(137, compose=compose)
        assert "draining for 600s" in logs and "got TERM" not in logs


def test_compose_s_stop_signal_is_delivered_at_once_unless_it_is_named(docker):
    lines = (ENVIRONMENT, "stop_grace_period: 60s", "stop_signal: SIGQUIT")
    with composed(docker, *lines) as (container, compose):
        container.wait_for("serving")
        _, logs = container.assert_stop(7, compose=compose)
        assert "got QUIT" in logs and "drained for" not in logs
        assert "the stop signal is TERM (see --stop-signal)" in logs


def test_compose_s_stop_signal_drains_if_it_is_named(docker):
    lines = ('entrypoint: ["/drain-init", "--stop-signal", "QUIT", "--"]', f"command: {json.dumps(SERVER).replace('$', '$$')}",
             ENVIRONMENT, "stop_grace_period: 60s", "stop_signal: SIGQUIT")
    with composed(docker, *lines) as (container, compose):
        container.wait_for("serving")
        assert "got QUIT" in container.assert_drains(7, compose=compose, signal="QUIT")


def test_compose_s_init_true_is_dockerd_s_init(docker_with_init):
    lines = ("init: true", "entrypoint: []", f"command: {json.dumps(SERVER).replace('$', '$$')}", ENVIRONMENT, "stop_grace_period: 60s")
    with composed(docker_with_init, *lines) as (container, compose):
        container.wait_for("serving")
        container.assert_pid_1_is_drain_init("/sbin/docker-init")
        logs = container.assert_drains(7, compose=compose)
        assert "[docker-init] received TERM: draining" in logs and "got TERM" in logs


def test_compose_s_init_true_before_the_image_s_drain_init_drains_once(docker):
    with composed(docker, "init: true", ENVIRONMENT, "stop_grace_period: 60s") as (container, compose):
        container.wait_for("serving")
        logs = container.assert_drains(7, compose=compose)
        assert "[drain-init] received TERM: draining" in logs and "got TERM" in logs


def test_compose_s_entrypoint_drops_the_image_s_cmd(docker):
    """As docs/migrating.md warns: without command: in the file, drain-init starts nothing."""
    entrypoint = 'entrypoint: ["/drain-init", "-v", "--"]'
    with composed(docker, entrypoint) as (container, _):
        wait_until("the container has ended", lambda: container.state()["Status"] == "exited")
        assert container.state()["ExitCode"] == 1
        assert "[drain-init] no COMMAND (usage: " in container.logs()
    with composed(docker, entrypoint, f"command: {json.dumps(SERVER).replace('$', '$$')}") as (container, _):
        container.wait_for("serving")


class Terminal:
    """docker run -it on its own terminal."""

    def __init__(self, docker, *arguments):
        self.master, slave = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(docker.command("run", "--rm", "-it", "--network=none", *arguments),
                                        stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)

    def read(self, deadline):
        if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"no more output after: {self.seen!r}")
        try:
            data = os.read(self.master, 4096)
        except OSError:
            data = b""
        self.seen += data.decode(errors="replace")
        return data

    def wait_for(self, words):
        """Reads until WORDS, and forgets everything up to them."""
        deadline = time.monotonic() + 60
        while words not in self.seen:
            assert self.read(deadline), f"the terminal closed without {words!r}: {self.seen!r}"
        self.seen = self.seen.split(words, 1)[1]

    def type(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        """The remaining output, and the status."""
        deadline = time.monotonic() + 60
        while self.read(deadline):
            pass
        return self.seen, self.process.wait(timeout=60)


@contextmanager
def on_terminal(docker, *arguments):
    terminal = Terminal(docker, "--name", "on-terminal", *arguments)
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            subprocess.run(docker.command("rm", "--force", "on-terminal"), check=False, stdout=subprocess.DEVNULL)
            terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


def assert_ctrl_c_arrives_once(docker, terminal):
    """USR1, which drain-init delivers after everything before it, ends the command."""
    terminal.type("\x03")
    terminal.wait_for("got INT")
    docker("kill", "--signal", "USR1", "on-terminal")
    seen, status = terminal.end()
    assert status == 7 and "got INT" not in seen, seen


# The delay must not matter, because Ctrl-C is not a stop by the platform.
@pytest.mark.parametrize("options", [(), ("-e", "DRAIN_INIT_DELAY_TERM=600"), ("-e", "DRAIN_INIT_SINGLE_CHILD=1")], ids=["plain", "delay", "c"])
def test_ctrl_c_reaches_the_command_once_and_at_once(docker, options):
    with on_terminal(docker, *options, "local/app", *IN_FOREGROUND) as terminal:
        terminal.wait_for("serving")
        assert_ctrl_c_arrives_once(docker, terminal)


def test_ctrl_c_ends_a_command_that_has_no_handler(docker):
    with on_terminal(docker, "local/app", "sh", "-c", "echo serving; exec sleep 1000") as terminal:
        terminal.wait_for("serving")
        terminal.type("\x03")
        assert terminal.end()[1] == 130


@pytest.mark.parametrize("options", [(), ("-e", "DRAIN_INIT_SINGLE_CHILD=1")], ids=["plain", "c"])
def test_ctrl_z_does_not_hang_the_container(docker, options):
    with on_terminal(docker, *options, "local/app", *IN_FOREGROUND) as terminal:
        terminal.wait_for("serving")
        for _ in range(2):
            terminal.type("\x1a")
            terminal.wait_for("continued")
        assert_ctrl_c_arrives_once(docker, terminal)


def test_ctrl_z_and_fg_work_in_a_shell(docker):
    with on_terminal(docker, "local/app", "sh", "-i") as terminal:
        terminal.wait_for("# ")
        # The sum is in the answer only, not in the echo of what was typed.
        terminal.type("sh -c 'echo up $((40 + 2)); exec sleep 1000'\n")
        terminal.wait_for("up 42")
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.wait_for("# ")
        terminal.type("echo in $((40 + 3)); fg\n")
        terminal.wait_for("in 43")
        terminal.wait_for("exec sleep 1000")
        terminal.type("\x03")
        terminal.wait_for("# ")
        terminal.type("echo status $?.\n")
        terminal.wait_for("status 130.")
        terminal.type("exit 5\n")
        assert terminal.end()[1] == 5
