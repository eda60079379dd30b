"""Containers: the examples built by podman from a registry, and run with drain-init as PID 1."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import ARCHITECTURES, DIST, EXAMPLES, FULL, NATIVE, SECOND_TIER, VERSION, Container, fails, needs_root, register_qemu, run, wait_until

pytestmark = needs_root

IMAGE = f"ghcr.io/drain-init/drain-init:{VERSION}"
DELAY = 2
# A server in Perl, which every Debian has. It prints a line when it receives TERM, and exits with 7.
TERM_TO_7 = '$| = 1; $SIG{TERM} = sub { print "got TERM\\n"; exit 7 }; print "serving\\n"; sleep 1 while 1'


class PodmanContainer(Container):
    """A started container, seen from the host."""

    def assert_init_is_drain_init(self, path, arch):
        """PID 1 of the container's own PID namespace is drain-init's file, under the default seccomp profile."""
        process = Path(f"/proc/{self.state()['Pid']}")

        def line(process, name):
            return re.search(rf"^{name}:(.*)$", (process / "status").read_text(), re.M)[1].split()

        here = Path("/proc/self")
        assert line(process, "NSpid")[-1] == "1"
        assert len(line(process, "NSpid")) > len(line(here, "NSpid"))
        # podman's seccomp profile, which is Docker's with a few additions, is active.
        assert line(process, "Seccomp") == ["2"]
        assert int(line(process, "Seccomp_filters")[0]) > int(line(here, "Seccomp_filters")[0])
        inside = process / "root" / path.lstrip("/")
        assert hashlib.sha256(inside.read_bytes()).digest() == hashlib.sha256((DIST / f"drain-init-{arch}").read_bytes()).digest()
        if arch == NATIVE:
            assert os.path.samefile(process / "exe", inside)
        else:
            # The kernel runs qemu, which runs the file named in its arguments.
            assert path.encode() in (process / "cmdline").read_bytes().split(b"\0")

    def answers(self, port):
        """Whether a server in the container's network namespace answers HTTP at all."""
        script = (
            "import http.client, sys\n"
            "server = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=10)\n"
            "server.request('GET', '/')\n"
            "server.getresponse().read()\n")
        return subprocess.run(
            ["nsenter", "-t", str(self.state()["Pid"]), "-n", "python3", "-c", script, str(port)],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def stop(self, seconds=20):
        """Starts podman stop; returns the process and the time."""
        begun = time.monotonic()
        return subprocess.Popen(["podman", "stop", "-t", str(seconds), self.identifier], env=self.engine.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), begun

    def assert_drains(self, delay=DELAY, status=0, port=None, seconds=20):
        """The stop is held back for DELAY while the server serves. The container ends by itself, with STATUS."""
        stop, begun = self.stop(seconds)
        self.wait_for("draining for")
        if port:
            assert self.answers(port), "it does not answer during the drain"
            assert time.monotonic() - begun < delay, "the drain ended before the test looked at it"
        assert stop.wait(timeout=60) == 0
        took = time.monotonic() - begun
        assert delay <= took < seconds, f"stopped within {took:.1f} s"
        state = self.state()
        assert not state["Running"]
        assert state["ExitCode"] == status, self.logs()
        assert "drained for" in self.logs()


@contextmanager
def started(podman, *arguments):
    """podman run -d ARGUMENTS in a separate network namespace, where every port is free."""
    identifier = podman("run", "-d", "--network=none", *arguments).splitlines()[-1]
    try:
        yield PodmanContainer(podman, identifier)
    finally:
        podman("rm", "--force", "-t", "0", identifier)


@pytest.fixture(scope="session", params=ARCHITECTURES)
def arch(request):
    return request.param


@pytest.fixture(scope="session")
def from_apt(podman, arch):
    """examples/Dockerfile.apt, built unchanged."""
    podman.build(EXAMPLES / "Dockerfile.apt", f"localhost/apt-{arch}", arch)
    return f"localhost/apt-{arch}"


@pytest.fixture(scope="session")
def copied(podman, arch):
    """examples/Dockerfile.copy-from, built unchanged."""
    podman.build(EXAMPLES / "Dockerfile.copy-from", f"localhost/copied-{arch}", arch)
    return f"localhost/copied-{arch}"


def test_apt_get_install_in_a_dockerfile_drains(podman, from_apt, arch):
    with started(podman, "-e", f"DRAIN_INIT_DELAY_TERM={DELAY}", from_apt) as container:
        wait_until("nginx answers", lambda: container.answers(80))
        container.assert_init_is_drain_init("/usr/bin/drain-init", arch)
        container.assert_drains(port=80)


def test_copy_from_in_a_dockerfile_drains_without_a_shell(podman, copied, arch):
    podman("create", "--name", f"look-{arch}", copied)
    archive = subprocess.run(["podman", "export", f"look-{arch}"], env=podman.environment, stdout=subprocess.PIPE, check=True)
    files = subprocess.run(["tar", "-t"], input=archive.stdout, stdout=subprocess.PIPE, check=True).stdout.decode().split()
    podman("rm", f"look-{arch}")
    assert {name for name in files if not name.endswith("/") and name.split("/")[0] in ("bin", "usr", "lib")} == {
        "bin/busybox", "usr/bin/drain-init"}
    with started(podman, "-e", f"DRAIN_INIT_DELAY_TERM={DELAY}", copied) as container:
        wait_until("httpd answers", lambda: container.answers(8080))
        container.assert_init_is_drain_init("/usr/bin/drain-init", arch)
        container.assert_drains(port=8080)


def test_copy_from_by_digest_copies_the_same_file(podman, registry, arch, tmp_path):
    """The form that the documentation recommends."""
    digest = (DIST / f"drain-init-{VERSION}.oci.digest").read_text().strip()
    text = (EXAMPLES / "Dockerfile.copy-from").read_text()
    pinned = text.replace(f"--from={IMAGE} ", f"--from=ghcr.io/drain-init/drain-init@{digest} ")
    assert pinned != text
    (tmp_path / "Dockerfile").write_text(pinned)
    podman.build(tmp_path / "Dockerfile", f"localhost/pinned-{arch}", arch)
    with started(podman, "--platform", f"linux/{arch}", f"localhost/pinned-{arch}") as container:
        container.assert_init_is_drain_init("/usr/bin/drain-init", arch)
    # A digest that the registry does not have is refused.
    (tmp_path / "Dockerfile").write_text(pinned.replace(digest, "sha256:" + "0" * 64))
    fails("podman", "build", "--isolation=chroot", "--network=host", "-f", tmp_path / "Dockerfile", EXAMPLES, env=podman.environment)


@pytest.mark.parametrize("arch", SECOND_TIER, ids=lambda arch: arch["name"])
def test_copy_from_finds_the_other_platforms(podman, arch, tmp_path):
    """An otherwise empty image of that platform. With FULL=1 the file also runs."""
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\nCOPY --from={IMAGE} /drain-init /drain-init\nENTRYPOINT [\"/drain-init\"]\n")
    name = f"localhost/scratch-{arch['name']}"
    podman("build", "--isolation=chroot", "--platform", arch["platform"], "--no-cache", "-t", name, tmp_path)
    container = podman("create", "--platform", arch["platform"], name, "--version").splitlines()[-1]
    try:
        podman("cp", f"{container}:/drain-init", tmp_path / "copied")
        assert (tmp_path / "copied").read_bytes() == (DIST / f"drain-init-{arch['name']}").read_bytes()
        if FULL:
            register_qemu(arch["name"])
            assert VERSION in podman("start", "--attach", container)
    finally:
        podman("rm", "--force", container)
        podman("rmi", "--force", name)


def test_the_command_s_status_is_the_container_s(podman, from_apt):
    entry = ("--entrypoint", '["drain-init", "--delay-term", "%d", "--"]' % DELAY)
    with started(podman, *entry, from_apt, "perl", "-e", TERM_TO_7) as container:
        container.wait_for("serving")
        container.assert_drains(status=7)
        logs = container.logs()
        assert logs.index("draining for") < logs.index("got TERM")


def test_a_grace_period_below_the_delay_ends_in_a_kill(podman, from_apt):
    """As the documentation warns. It also proves that the tests above could fail."""
    with started(podman, "--entrypoint", '["drain-init", "--delay-term", "60", "--"]', from_apt, "perl", "-e", TERM_TO_7) as container:
        container.wait_for("serving")
        stop, _ = container.stop(seconds=1)
        assert stop.wait(timeout=60) == 0
        assert container.state()["ExitCode"] == 137
        assert "got TERM" not in container.logs()


def test_podman_takes_it_as_its_own_init(podman, from_apt, arch):
    """podman run --init --init-path, for an image without drain-init."""
    with started(podman, "--init", "--init-path", DIST / f"drain-init-{arch}", "-e", f"DRAIN_INIT_DELAY_TERM={DELAY}",
                 "--entrypoint", "[]", from_apt, "perl", "-e", TERM_TO_7) as container:
        container.wait_for("serving")
        container.assert_init_is_drain_init("/run/podman-init", arch)
        container.assert_drains(status=7)


def test_the_image_can_be_mounted(podman, arch):
    """podman's image mount plays the image volume of examples/pod-image-volume.yaml, with the words of that file."""
    pod = yaml.safe_load((EXAMPLES / "pod-image-volume.yaml").read_text())["spec"]
    web = pod["containers"][0]
    volume = next(item for item in pod["volumes"] if item["name"] == web["volumeMounts"][0]["name"])
    target = web["volumeMounts"][0]["mountPath"]
    podman("pull", "--quiet", "--platform", f"linux/{arch}", volume["image"]["reference"])
    with started(podman, "--platform", f"linux/{arch}", "-e", f"DRAIN_INIT_DELAY_TERM={DELAY}",
                 "--mount", f"type=image,source={volume['image']['reference']},destination={target}",
                 "--entrypoint", json.dumps(web["command"]), web["image"], *web["args"]) as container:
        container.assert_init_is_drain_init(f"{target}/drain-init", arch)
        container.assert_drains()


def test_podman_plays_the_pod(podman, copied, arch):
    """examples/pod.yaml unchanged. podman 4.3 ignores its grace period, so -t sets it."""
    pod = yaml.safe_load((EXAMPLES / "pod.yaml").read_text())
    web = pod["spec"]["containers"][0]
    delay = int(web["env"][0]["value"])
    podman("tag", copied, web["image"])
    podman("kube", "play", "--network=none", EXAMPLES / "pod.yaml")
    try:
        container = PodmanContainer(podman, f"{pod['metadata']['name']}-{web['name']}")
        wait_until("httpd answers", lambda: container.answers(8080))
        container.assert_init_is_drain_init("/usr/bin/drain-init", arch)
        container.assert_drains(delay=delay, port=8080, seconds=pod["spec"]["terminationGracePeriodSeconds"])
    finally:
        podman("kube", "down", EXAMPLES / "pod.yaml")


@pytest.mark.skipif(not FULL, reason="podman 4.3 has no ADD --checksum; FULL=1 uses Debian 13's buildah")
@pytest.mark.parametrize("image_arch", ["amd64", "arm64"])
def test_a_download_is_checked(podman, debian, site, image_arch):
    """examples/Dockerfile.download unchanged, with a buildah that has --checksum."""
    root = debian("13", NATIVE)
    inside = ["chroot", root, "env", "SSL_CERT_FILE=/certificate.pem", "CONTAINERS_REGISTRIES_CONF=/registries.conf"]
    with open(root / "etc/hosts", "a") as hosts:
        hosts.write(site.hosts)
    shutil.copy(site.certificate, root / "certificate.pem")
    shutil.copy(podman.registries, root / "registries.conf")
    shutil.copytree(EXAMPLES, root / "examples")
    # buildah remounts its root directory, which must be a mount point for that.
    run("mount", "--bind", root, root)
    run("mount", "--bind", "/proc", root / "proc")
    run("mount", "--rbind", "/dev", root / "dev")
    run("mount", "--make-rprivate", root)
    try:
        run(*inside, "apt-get", "-q", "update")
        run(*inside, "apt-get", "-q", "-y", "install", "--no-install-recommends", "buildah", "netavark")
        build = [*inside, "buildah", "--storage-driver=vfs", "build", "--isolation=chroot", "--network=host",
                 "--platform", f"linux/{image_arch}", "-t", "downloaded", "-f", "examples/Dockerfile.download"]
        right = hashlib.sha256((DIST / f"drain-init-{image_arch}").read_bytes()).hexdigest()
        said = fails(*build, "--build-arg", f"DRAIN_INIT_SHA256={'0' * 64}", "examples")
        assert f"digest for \"https://github.com/drain-init/drain-init/releases/download/v{VERSION}/drain-init-{image_arch}\"" in said, said
        run(*build, "--build-arg", f"DRAIN_INIT_SHA256={right}", "examples")
        buildah = [*inside, "buildah", "--storage-driver=vfs"]
        container = run(*buildah, "from", "--pull-never", "downloaded", stderr=subprocess.PIPE).strip()
        mounted = run(*buildah, "mount", container, stderr=subprocess.PIPE).strip()
        downloaded = root / mounted.lstrip("/") / "drain-init"
        assert downloaded.read_bytes() == (DIST / f"drain-init-{image_arch}").read_bytes()
        assert downloaded.stat().st_mode & 0o7777 == 0o755
    finally:
        run("umount", "--recursive", "--lazy", root)
        shutil.rmtree(root, ignore_errors=True)
