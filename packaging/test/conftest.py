"""Shared by the tests: base systems, a web site, a registry and podman.

Everything listens on loopback, is in one temporary directory, and ends with the tests.
"""

import errno
import fcntl
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DIST = Path(os.environ.get("DIST", TOP / "dist"))
EXAMPLES = TOP / "examples"
VERSION = os.environ["VERSION"]
FULL = bool(os.environ.get("FULL"))
# The released architectures.
RELEASED = json.loads(subprocess.run(
    [TOP / "packaging/architectures", "--json", "name", "platform", "triple", "deb", "qemu", "machine", "tier"],
    stdout=subprocess.PIPE, check=True).stdout)
NATIVE, FOREIGN = sorted((arch["name"] for arch in RELEASED if arch["tier"] == "1"),
                         key=lambda name: name != {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine])
SECOND_TIER = [arch for arch in RELEASED if arch["tier"] != "1"]
MIRROR = "http://deb.debian.org/debian"
SUITES = {"11": "bullseye", "12": "bookworm", "13": "trixie"}

# The second Debian and the second architecture take long, so they need FULL=1.
DEBIANS = [("12", NATIVE)] + ([("13", NATIVE), ("12", FOREIGN), ("13", FOREIGN)] if FULL else [])
ARCHITECTURES = [NATIVE] + ([FOREIGN] if FULL else [])

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for chroot and containers")


def pytest_report_teststatus(report):
    """A skip is one line with its name and reason."""
    if report.skipped:
        return "skipped", "", f"SKIP {report.nodeid.split('::')[-1]}: {report.longrepr[2].removeprefix('Skipped: ')}"
    return None


def pytest_configure(config):
    """Prints names, not dots, to show which test is running."""
    config.option.verbose = max(config.option.verbose, 1)
    config.option.tbstyle = "short"


def run(*command, timeout=600, stderr=subprocess.STDOUT, **options):
    """Runs COMMAND and returns its output; the test fails if COMMAND does.

    With stderr=subprocess.PIPE the output does not include warnings, for programs that read it.
    """
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
        text=True, errors="replace", timeout=timeout, check=False, **options)
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr or ''}"
    return done.stdout


def fails(*command, timeout=600, **options):
    """Runs COMMAND, which must fail, and returns its output."""
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", timeout=timeout, check=False, **options)
    assert done.returncode != 0, f"{command} should have failed, but printed:\n{done.stdout}"
    return done.stdout


def wait_until(what, condition, seconds=60):
    """Calls CONDITION until it returns something true, for at most SECONDS, and returns that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def documented(words):
    """The line of docs/install.md that matches the regular expression WORDS."""
    [line] = set(re.findall(rf"(?m)^{words}$", (TOP / "docs/install.md").read_text()))
    return line


class Container:
    """A started container of podman or Docker."""

    def __init__(self, engine, identifier):
        self.engine = engine
        self.identifier = identifier

    def state(self):
        return json.loads(self.engine("inspect", self.identifier))[0]["State"]

    def logs(self):
        return self.engine("logs", self.identifier)

    def wait_for(self, words):
        def said():
            status = self.state()["Status"]
            logs = self.logs()
            assert words in logs or status in ("running", "stopping"), f"{status} without {words!r}: {logs}"
            return words in logs

        wait_until(f"{words!r} in the container's log", said)


@pytest.fixture(scope="session")
def work():
    """A directory for everything, which the script `run` always removes."""
    if "WORK" in os.environ:
        yield Path(os.environ["WORK"])
    else:
        path = Path(tempfile.mkdtemp(prefix="dit-", dir="/var/tmp"))
        yield path
        shutil.rmtree(path, ignore_errors=True)


def register_qemu(name=FOREIGN):
    """Registers qemu with the kernel for an architecture, as Debian's qemu-user-static does under systemd."""
    cpu = next(arch["qemu"] for arch in RELEASED if arch["name"] == name)
    if cpu == "i386" and NATIVE == "amd64":
        return
    binfmt = Path("/proc/sys/fs/binfmt_misc")
    if not (binfmt / "register").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", binfmt)
    if not (binfmt / f"qemu-{cpu}").exists():
        (binfmt / "register").write_text(Path(f"/usr/lib/binfmt.d/qemu-{cpu}.conf").read_text())


@pytest.fixture(scope="session")
def debian(work, request):
    """debian(RELEASE, ARCH) is the directory of a freshly unpacked minimal Debian. target/ keeps it as a tar for the next run."""
    cache = TOP / "target" / "packages-test"
    cache.mkdir(parents=True, exist_ok=True)

    def unpack(release, arch):
        if arch != NATIVE:
            register_qemu()
        archive = cache / f"debian-{release}-{arch}.tar"
        with open(cache / f".{archive.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not archive.exists():
                with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                    print(f"\ndebootstrap of Debian {release} for {arch} (once; a minute or two)", flush=True)
                root = work / "debootstrap"
                run("debootstrap", "--variant=minbase", f"--arch={arch}", SUITES[release], root, MIRROR, timeout=1800)
                run("tar", "-C", root, "--one-file-system", "--exclude=./var/cache/apt/archives/*.deb",
                    "--exclude=./dev/*", "-cf", f"{archive}.new", ".")
                os.rename(f"{archive}.new", archive)
                shutil.rmtree(root)
        root = Path(tempfile.mkdtemp(prefix=f"debian-{release}-{arch}-", dir=work))
        root.chmod(0o755)
        run("tar", "-C", root, "-xpf", archive)
        for device in ("null", "zero", "random", "urandom"):
            run("cp", "-a", f"/dev/{device}", root / "dev")
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        return root

    return unpack


class Site:
    """The web as clients see it: HTTPS for a few names, each a directory.

    A proxy answers each CONNECT itself, with a certificate for those names, so that the
    addresses in the shipped files are used unchanged. A loopback address serves the
    same to clients that use no proxy, such as ADD in a Dockerfile from podman 5 on.
    """

    def __init__(self, directory, names):
        self.roots = {}
        self.certificate = directory / "certificate.pem"
        key = directory / "key.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=drain-init's tests", "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names),
            "-keyout", key, "-out", self.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        roots = self.roots

        class Handler(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_CONNECT(self):
                host = self.path.split(":")[0]
                if host not in roots:
                    self.send_error(403, f"no {host} in this test")
                    return
                self.send_response(200, "Connection established")
                self.end_headers()
                self.connection = context.wrap_socket(self.connection, server_side=True)
                self.rfile = self.connection.makefile("rb")
                self.wfile = self.connection.makefile("wb", 0)
                self.directory = str(roots[host])
                self.close_connection = False

            def log_message(self, *_):
                pass

        class Direct(SimpleHTTPRequestHandler):
            def do_GET(self):
                self.directory = str(roots[self.headers["Host"]])
                super().do_GET()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.proxy = f"http://127.0.0.1:{self.server.server_port}"
        self.hosts = ""
        servers = [self.server]
        # Only root can use the port, and `run` makes the mount namespace that /etc/hosts needs.
        if os.geteuid() == 0 and "WORK" in os.environ:
            servers.append(self.listen(Direct))
            servers[1].socket = context.wrap_socket(servers[1].socket, server_side=True)
            self.hosts = f"{servers[1].server_address[0]} {' '.join(names)}\n"
            (directory / "hosts").write_text(Path("/etc/hosts").read_text() + self.hosts)
            run("mount", "--bind", directory / "hosts", "/etc/hosts")
        for server in servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @staticmethod
    def listen(handler):
        """A server at port 443 of the first free address, because these tests may run twice on a machine."""
        for number in range(1, 255):
            try:
                return ThreadingHTTPServer((f"127.0.7.{number}", 443), handler)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        raise AssertionError("port 443 is taken on all of 127.0.7.0/24")


@pytest.fixture(scope="session")
def site(work):
    """The repository and the release, under their own names. A test can give a name another directory."""
    directory = work / "site"
    directory.mkdir()
    site = Site(directory, ["drain-init.github.io", "github.com"])
    pages = directory / "pages"
    pages.mkdir()
    (pages / "drain-init").symlink_to(DIST / "apt")
    release = directory / "github/drain-init/drain-init/releases/download"
    release.mkdir(parents=True)
    (release / f"v{VERSION}").symlink_to(DIST)
    site.roots.update({"drain-init.github.io": pages, "github.com": directory / "github"})
    yield site
    site.server.shutdown()


@pytest.fixture(scope="session")
def registry(work):
    """A registry on loopback, which plays docker.io and ghcr.io."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = work / "registry"
    directory.mkdir()
    (directory / "config.yml").write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n")
    with open(directory / "log", "w") as log:
        server = subprocess.Popen(["docker-registry", "serve", directory / "config.yml"], stdout=log, stderr=log)

    def answers():
        assert server.poll() is None, f"the registry ended: {(directory / 'log').read_text()}"
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    wait_until("the registry answers", answers)
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait(timeout=30)


class Podman:
    """podman with its own store, configuration and registries."""

    def __init__(self, directory, registry, site):
        directory.mkdir()
        (directory / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\nlog_driver = "k8s-file"\n'
            f'[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\ntmp_dir = "{directory}/tmp"\n')
        (directory / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{directory}/store"\nrunroot = "{directory}/run"\n')
        (directory / "registries.conf").write_text(
            'unqualified-search-registries = ["docker.io"]\n' + "".join(
                f'[[registry]]\nprefix = "{name}"\nlocation = "{registry}/{name}"\ninsecure = true\n'
                for name in ("docker.io", "ghcr.io", "registry.example.com")))
        self.environment = os.environ | {
            "CONTAINERS_CONF": str(directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(directory / "registries.conf"),
            "https_proxy": site.proxy,
            "SSL_CERT_FILE": str(site.certificate),
        }
        self.registries = directory / "registries.conf"

    def __call__(self, *arguments, timeout=900):
        # The log has both outputs of the container; for other commands stderr is podman's.
        stderr = subprocess.STDOUT if arguments[0] == "logs" else subprocess.PIPE
        return run("podman", *arguments, timeout=timeout, stderr=stderr, env=self.environment).strip()

    def build(self, dockerfile, tag, arch, *options):
        """Builds one of the examples unchanged, with its own directory as the context."""
        return self("build", "--isolation=chroot", "--network=host", "--platform", f"linux/{arch}", "--no-cache",
                    "-t", tag, "-f", dockerfile, *options, EXAMPLES, timeout=1800)


@pytest.fixture(scope="session")
def podman(work, registry, site, debian):
    """podman, with Debian 12 and drain-init's image in its registry, for each tested architecture."""
    podman = Podman(work / "podman", registry, site)
    images = []
    for arch in ARCHITECTURES:
        root = debian("12", arch)
        # Debian's image trusts the test's certificate, so the examples stay unchanged.
        shutil.copy(site.certificate, root / "etc/tests.pem")
        (root / "etc/apt/apt.conf.d/99tests").write_text('Acquire::https::CAInfo "/etc/tests.pem";\n')
        run("tar", "-C", root, "--exclude=./dev/*", "-cf", work / "debian.tar", ".")
        images.append(f"localhost/debian-{arch}")
        podman("import", "--os", "linux", "--arch", arch, "-c", 'CMD ["bash"]', work / "debian.tar", images[-1])
        shutil.rmtree(root)
        (work / "debian.tar").unlink()
    podman("manifest", "create", "localhost/debian")
    for image in images:
        podman("manifest", "add", "localhost/debian", f"containers-storage:{image}")
    podman("manifest", "push", "--all", "--tls-verify=false", "localhost/debian",
           f"docker://{registry}/docker.io/library/debian:12-slim")
    podman("manifest", "rm", "localhost/debian")
    podman("rmi", *images)
    # As the release publishes it.
    run("skopeo", "copy", "-q", "--all", "--preserve-digests", "--dest-tls-verify=false",
        f"oci-archive:{DIST}/drain-init-{VERSION}.oci.tar",
        f"docker://{registry}/ghcr.io/drain-init/drain-init:{VERSION}")
    yield podman
    podman("pod", "rm", "--all", "--force", "-t", "0")
    podman("rm", "--all", "--force", "-t", "0")
    # The directory cannot be removed while the store is mounted.
    podman("umount", "--all")
    subprocess.run(["umount", podman.environment["CONTAINERS_STORAGE_CONF"].replace("storage.conf", "store/overlay")],
                   stderr=subprocess.DEVNULL, check=False)
