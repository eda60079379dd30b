"""docs/keep-alive.md: pools of keep-alive connections through a whole stop.

Each snippet of the page makes the server answer `Connection: close` here. With it no connection
may lose a request. FULL=1 also counts the connections that lose one without it, three times
each, and writes the page's table.
"""
import collections
import os
import signal
import subprocess
import time
import unittest

import servers
from harness import LIMIT, ROOT, page_blocks, wait_for
from pool import Pool

PAGE = ROOT / "docs" / "keep-alive.md"
BLOCKS = page_blocks(PAGE)
FULL = bool(os.environ.get("FULL"))
ROUNDS = 3 if FULL else 1
# A server that still serves its last client this long after the stop will not end.
PATIENCE = 6
# {(server, "with" or "without"): [how each stop went]}
RESULTS = collections.defaultdict(list)


class KeepAlive:
    """The tests of one server, which the other base class starts."""

    # The page's section; None if the page gives nothing to put into the server.
    snippet = None
    # Its name in the table.
    name = None
    pool = {}
    # False if the server cannot answer `close`, so the file does not help.
    can_close = True
    # The words of the page's command line that mark the drain instead of the file.
    own_mark = ""

    @staticmethod
    def edit(command):
        return command

    def marked(self, command):
        file = "" if self.own_mark else "--drain-file /tmp/draining "
        return self.edit(command).replace("drain-init ", f"drain-init {file}", 1)

    def unmarked(self, command):
        return self.edit(command).replace(self.own_mark, "")

    def stop_under_load(self, marked):
        """Stops once. Returns how the pool's and the busy client's connections ended, and the seconds that it took."""
        snippet = BLOCKS[self.snippet] if self.snippet else []
        run = self.start(self.marked if marked else self.unmarked, snippet=snippet)
        pool = Pool(self.addCleanup, **self.pool)
        pool.warm(LIMIT)
        busy = Pool(self.addCleanup, size=1, interval=0.2, first="/late")
        wait_for("the late request", (run.dir / "begun-late").exists)
        run.signal(signal.SIGTERM)
        run.said(r"\[drain-init\] drained for")
        stop = time.monotonic()
        self.reached_by_the_stop()
        (run.dir / "release").touch()
        try:
            run.process.wait(PATIENCE if FULL else LIMIT)
            took = time.monotonic() - stop
            pool.gone(LIMIT)
            busy.gone(LIMIT)
        except subprocess.TimeoutExpired:
            took = None
        ends, late = pool.ends(), busy.ends()
        pool.stop()
        busy.stop()
        return ends, late, took

    def test_with_the_file_no_connection_loses_a_request(self):
        for _ in range(ROUNDS):
            ends, late, took = self.stop_under_load(marked=True)
            RESULTS[self.name, "with"].append((ends, late, took))
            self.doCleanups()
            if self.can_close:
                self.assertEqual(dict(ends), {"close": ends.total()})
                self.assertIsNotNone(took)

    if FULL:
        def test_without_the_file(self):
            for _ in range(ROUNDS):
                RESULTS[self.name, "without"].append(self.stop_under_load(marked=False))
                self.doCleanups()


def replacing(old, new):
    return staticmethod(lambda command: command.replace(old, new, 1))


RUBY = "Ruby: puma, Rails"
PYTHON = "Python: uvicorn, hypercorn, granian"
# Even during its stop, puma answers a request that arrives within 0.2 s of the one before.
SLOW_POOL = {"interval": 0.5}


class Nginx(KeepAlive, servers.Nginx):
    name = "nginx"
    snippet = "nginx"


class HAProxy(KeepAlive, servers.HAProxy):
    name = "HAProxy"
    snippet = "HAProxy"


class Apache(KeepAlive, servers.Apache):
    name = "Apache"
    snippet = "Apache"


class Caddy(KeepAlive, servers.Caddy):
    name = "Caddy"
    snippet = "Caddy"


class Envoy(KeepAlive, servers.Envoy):
    name = "Envoy"
    # It does not look for a file.
    own_mark = "--drain-cmd 'wget -qO- --post-data= http://127.0.0.1:9901/healthcheck/fail'"


class Puma(KeepAlive, servers.Puma):
    name = "puma"
    snippet = RUBY
    pool = SLOW_POOL
    edit = replacing("puma ", "puma --threads 16:16 ")


class PumaWorkers(KeepAlive, servers.Puma):
    name = "puma --workers 2"
    snippet = RUBY
    pool = SLOW_POOL
    edit = replacing("puma ", "puma --workers 2 --threads 16:16 ")


class Gunicorn(KeepAlive, servers.Gunicorn):
    name = "gunicorn, gthread"
    edit = replacing("gunicorn ", "gunicorn --worker-class gthread --threads 16 ")


class Uvicorn(KeepAlive, servers.Uvicorn):
    name = "uvicorn"
    snippet = PYTHON


class Hypercorn(KeepAlive, servers.Hypercorn):
    name = "hypercorn"
    snippet = PYTHON


class Granian(KeepAlive, servers.Granian):
    name = "granian"
    snippet = PYTHON


class Waitress(KeepAlive, servers.Waitress):
    name = "waitress"
    can_close = False


class Passenger(KeepAlive, servers.Passenger):
    name = "Passenger"
    snippet = RUBY
    can_close = False


class Node(KeepAlive, servers.Node):
    name = "Node"
    snippet = "Node"


class Go(KeepAlive, servers.Go):
    name = "Go"
    snippet = "Go"


class Java(KeepAlive, servers.Java):
    name = "Java, HttpServer"
    snippet = "Java"


class Tomcat(KeepAlive, servers.Tomcat):
    name = "Tomcat"
    snippet = "Tomcat"


class HAProxyAlone(servers.HAProxy):
    """HAProxy's own drain, without a delay of drain-init."""

    def test_grace_and_the_header_lose_no_request(self):
        run = self.start(self.without("--delay-term 10"), snippet=BLOCKS["HAProxy without Lua"], grace="1500ms")
        pool = Pool(self.addCleanup)
        pool.warm(LIMIT)
        run.signal(signal.SIGTERM)
        self.assertEqual(run.exit_status(), 0, run.output())
        pool.gone(LIMIT)
        self.assertEqual(dict(pool.ends()), {"close": 28})


class Page(unittest.TestCase):
    def test_every_snippet_has_a_test(self):
        tested = {case.snippet for case in globals().values() if isinstance(case, type) and issubclass(case, KeepAlive)}
        self.assertEqual(set(BLOCKS), tested - {None} | {"HAProxy without Lua"})


class CloseAnyway(unittest.TestCase):
    """Servers that close each connection after its answer, so a pool has nothing to lose."""

    def check(self, server, **options):
        case = server()
        self.addCleanup(case.doCleanups)
        case.start(**options)
        pool = Pool(case.addCleanup, size=1)
        pool.gone(LIMIT)
        self.assertEqual((pool.clients[0].end, pool.clients[0].answers), ("close", 1))

    def test_unicorn(self):
        self.check(servers.Unicorn)

    def test_gunicorns_sync_worker(self):
        self.check(servers.Gunicorn)


def lost(ends):
    total = sum(ends, collections.Counter())
    return f"{total['lost']} of {total.total()}"


def seconds(times):
    """The longest of these stops."""
    return f"more than {PATIENCE} s" if None in times else f"{max(times):.1f} s"


def row(name):
    """A line of the page's table: three pairs of cells, without and with the file."""
    measured = [list(zip(*RESULTS[name, which])) for which in ("without", "with")]
    cells = [tell(column) for number, tell in enumerate((lost, lost, seconds)) for column in (both[number] for both in measured)]
    return f"| {' | '.join([name, *cells])} |"


def tearDownModule():
    """The page's table, if everything was measured."""
    names = [case.name for case in globals().values() if isinstance(case, type) and issubclass(case, KeepAlive) and case.name]
    if any(len(RESULTS[name, which]) < 3 for name in names for which in ("with", "without")):
        return
    lines = ["| server | pool lost, without the file | with it | busy client lost, without | with | stop takes, without | with |",
             "| --- | --- | --- | --- | --- | --- | --- |", *map(row, names)]
    begin, end = "<!-- measured: FULL=1 tests/examples/run -->", "<!-- end -->"
    before, rest = PAGE.read_text().split(begin)
    PAGE.write_text(before + begin + "\n" + "\n".join(lines) + "\n" + end + rest.split(end)[1])
