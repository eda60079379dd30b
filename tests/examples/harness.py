"""Run a command line of docs/stop-commands.md under drain-init, and watch it."""
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGES = [ROOT / "docs" / f"stop-{name}.md" for name in ("commands", "proxies", "workers", "other-servers")]
INIT = pathlib.Path(os.environ["DRAIN_INIT"])
# Nothing here takes this long. The limit ends a test that hangs.
LIMIT = 30


def page_blocks(*pages):
    """The code blocks of each section that has any: {section: [(language, text)]}."""
    found = {}
    for section in re.split(r"(?m)^## ", "".join(page.read_text() for page in pages))[1:]:
        if blocks := re.findall(r"(?ms)^```(\w+)\n(.*?)^```", section):
            found[section.splitlines()[0].strip()] = blocks
    return found


def page_commands(*pages):
    """The first shell block of each section that runs drain-init: {section: command}."""
    found = {}
    for section, blocks in page_blocks(*pages).items():
        command = next((text.strip() for language, text in blocks if language == "sh"), "")
        if command.startswith("drain-init"):
            found[section] = command
    return found


def wait_for(what, condition, limit=LIMIT):
    """Wait until CONDITION is true, or fail. Only for events that no process reports."""
    end = time.monotonic() + limit
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit}s: {what}")
        time.sleep(0.01)
    return result


def listening(port):
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Run:
    """One command under drain-init, in its own directory.
    
    drain-init runs as an ordinary process and adopts orphans as PID 1 would.
    This process is PID 1 of the namespace, so it sees remaining processes, which
    would be killed with a container. With `container` the command is PID 1 of its
    own namespace, and has `terminal` as its terminal, if given.
    """

    def __init__(self, test, command, files=(), env=None, user=None, wrappers=None, delay="1500ms",
                 container=False, terminal=None):
        self.test = test
        self.container = container
        self.terminal = terminal
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="stop-command-"))
        test.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.dir.chmod(0o755)
        for name in files:
            shutil.copy(HERE / "apps" / name, self.dir)
        if "server.js" in files:
            # Node has no handler except the page's.
            (_, handler), = [block for block in page_blocks(PAGES[0])["Node"] if block[0] == "js"]
            self.write("stop.js", handler)
        # The page's short names (drain-init, nginx) run these programs. A copy, because
        # a server's own user may not be able to enter the source tree.
        bin_dir = self.dir / "bin"
        bin_dir.mkdir()
        shutil.copy(INIT, bin_dir / "drain-init")
        for name, script in (wrappers or {}).items():
            (bin_dir / name).write_text(f"#!/bin/sh\n{script}\n")
            (bin_dir / name).chmod(0o755)
        if user:
            shutil.chown(self.dir, user)
        command = re.sub(r"--delay-term \S+", f"--delay-term {delay}", command)
        self.command = self.here(command)
        self.env = {
            "PATH": f"{bin_dir}:{os.environ['PATH']}",
            "HOME": str(self.dir),
            "LANG": "C.UTF-8",
            "APP": str(self.dir),
            "TMPDIR": str(self.dir),
            "DRAIN_INIT_SUBREAPER": "1",
            **(env or {}),
        }
        self.user = user
        self.lines = []
        self.closed = False
        self.news = threading.Condition()

    def here(self, text):
        """A page's text with the drain file in this directory."""
        return text.replace("/tmp/draining", f"{self.dir}/draining")

    def write(self, name, text):
        (self.dir / name).write_text(self.here(text))

    def start(self, port=8080):
        if port and listening(port):
            raise AssertionError(f"port {port} is taken")
        outside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] if self.container else []
        if self.terminal is not None:
            outside += ["setsid", "--ctty"]
        self.process = subprocess.Popen(
            [*outside, "/bin/sh", "-c", f"exec {self.command}"],
            cwd=self.dir, env=self.env, user=self.user, group=self.user, extra_groups=[] if self.user else None,
            stdin=subprocess.DEVNULL if self.terminal is None else self.terminal,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            # A container does not have the terminal that the tests were started from.
            start_new_session=True,
        )
        self.test.addCleanup(self.clean_up)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if port:
            wait_for(f"a server on port {port}", lambda: self.ended() or listening(port))
        return self

    def ended(self):
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}:\n" + self.output())

    def read(self):
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.decode(errors="replace").rstrip())
                self.news.notify_all()

    def output(self):
        with self.news:
            return "\n".join(self.lines)

    def whole_output(self):
        """The whole output, when no process can write any more."""
        self.reader.join(LIMIT)
        return self.output()

    def said(self, pattern):
        """Wait for a line of drain-init or of the server."""
        def find():
            return next((line for line in self.lines if re.search(pattern, line)), None)
        with self.news:
            if not self.news.wait_for(find, LIMIT):
                raise AssertionError(f"no line like {pattern!r}:\n" + "\n".join(self.lines))
            return find()

    def pid(self):
        """The init's process ID in this namespace."""
        return children(self.process.pid)[0] if self.container else self.process.pid

    def signal(self, number):
        os.kill(self.pid(), number)

    def exit_status(self):
        try:
            status = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError("still running:\n" + self.output()) from None
        return status if status >= 0 else 128 - status

    def clean_up(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in others():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for("an empty PID namespace", lambda: not others())
        # Nothing can write any more. A pipe closed earlier would raise in the reader.
        self.reader.join(LIMIT)
        if self.reader.is_alive():
            raise AssertionError(f"the reader has not ended within {LIMIT}s of the last process")
        self.process.stdout.close()


def others(keep=()):
    """Processes in this namespace besides this one; zombies are reaped first."""
    keep = {os.getpid(), *(process.pid for process in keep)}
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in keep:
            continue
        try:
            stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
            if stat.rpartition(")")[2].split()[0] == "Z":
                os.waitpid(int(entry), os.WNOHANG)
                continue
        except (OSError, ChildProcessError):
            continue
        found.append(int(entry))
    return found


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def names(pids):
    found = {}
    for pid in pids:
        try:
            found[pid] = pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            pass
    return found


class Slow:
    """A request whose answer has begun, and ends when the file "release" exists."""

    def __init__(self, port=8080):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        self.connection.request("GET", "/slow")
        self.response = self.connection.getresponse()
        assert self.response.readline() == b"begun\n"

    def rest(self):
        return self.response.read()

    def close(self):
        self.response.close()
        self.connection.close()


def get(path="/", port=8080):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Upstream:
    """The app behind nginx, Apache, HAProxy and Caddy, with the paths of apps/config.ru."""

    def __init__(self, test, directory, port=8081):
        self.socket = socket.create_server(("127.0.0.1", port))
        self.directory = directory
        test.addCleanup(self.close)
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(peer,), daemon=True).start()

    def released(self):
        while not (self.directory / "release").exists():
            time.sleep(0.02)

    def answer(self, peer):
        with peer:
            path = peer.recv(65536).split(b" ")[1]
            if path == b"/late":
                (self.directory / "begun-late").touch()
                self.released()
            body = b"begun\ndone\n" if path == b"/slow" else b"fast\n"
            try:
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body[:6])
                if path == b"/slow":
                    self.released()
                peer.sendall(body[6:])
            except OSError:
                pass


class Stopping(unittest.TestCase):
    """The kinds of stop that several tests share."""

    LOST = (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionError)

    def slow(self):
        request = Slow()
        self.addCleanup(request.close)
        return request

    def reached_by_the_stop(self):
        """Wait for a closed port. Most servers close it at the stop, some only after the last answer."""
        try:
            wait_for("a closed port", lambda: not listening(8080), limit=0.5)
        except AssertionError:
            pass

    def drain_and_stop(self, run, status, keep=(), stop=signal.SIGTERM):
        """A whole stop. Each step waits for an event of the one before."""
        slow = [self.slow()]
        run.signal(stop)
        run.said(rf"\[drain-init\] received {stop.name[3:]}: draining")
        self.assertEqual(get(), (200, b"fast\n"), "a request in the delay")
        slow.append(self.slow())
        run.said(r"\[drain-init\] drained for")
        self.reached_by_the_stop()
        (run.dir / "release").touch()
        for request in slow:
            self.assertEqual(request.rest(), b"done\n")
        self.assertEqual(run.exit_status(), status, run.output())
        self.nothing_left(keep)

    def nothing_left(self, keep=()):
        """Fail if processes remain. Helpers that exit by themselves when their pipe closes get a moment."""
        try:
            wait_for("nothing left", lambda: not others(keep), limit=5)
        except AssertionError:
            self.fail(f"still running: {names(others(keep))}")

    def cut(self, run, after=0):
        """The opposite: the request in flight is lost, at least `after` seconds after the stop."""
        slow = self.slow()
        run.signal(signal.SIGTERM)
        begun = time.monotonic()
        with self.assertRaises(self.LOST):
            slow.rest()
        self.assertGreaterEqual(time.monotonic() - begun, after)
        (run.dir / "release").touch()
        return run.exit_status()

    def drain_and_stop_by_the_delay(self, run):
        """Passenger and Envoy answer the requests that end during the delay, and cut the others."""
        slow = [self.slow()]
        run.signal(signal.SIGTERM)
        run.said(r"\[drain-init\] received TERM: draining")
        self.assertEqual(get(), (200, b"fast\n"), "a request in the delay")
        slow.append(self.slow())
        (run.dir / "release").touch()
        for request in slow:
            self.assertEqual(request.rest(), b"done\n")
        self.assertEqual(run.exit_status(), 0, run.output())
        self.nothing_left()
