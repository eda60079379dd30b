"""The rows of the table: which server, how it is run and reached, how often it is deployed."""

from dataclasses import dataclass

PATHS = {
    "tcp": "nginx → TCP balancer",
    "tcp keep-alive": "nginx, keep-alive → TCP balancer",
    "http": "HAProxy HTTP, no retries",
    "health": "HAProxy HTTP, health checks only",
    "nginx": "nginx balances, retries",
    "pool": "keep-alive pool, straight to the server",
}
# Seconds by which a delay exceeds the removal. Less than a slow request takes, so that
# some are in flight at the stop. A graceful server answers them. A server that cuts them
# off needs a delay that also covers its longest request.
GRACEFUL, CUTTING = 0.5, 2.0


@dataclass
class Row:
    server: str
    way: str
    path: str = "tcp"
    # Seconds from the stop signal to the endpoint's removal.
    removal: float = 1.0
    margin: float = GRACEFUL
    container: bool = False
    # Promised: no failed request, and the app's own exit status.
    lossless: bool = False
    own_status: bool = False
    # Promised if the server counts: each of its processes receives TERM once, and
    # requests are in flight then (not required with a stop command).
    once: bool = False
    # Must lose some, because otherwise the row proves nothing.
    loses: bool = False
    # Also deployed in the short form.
    short: bool = False
    # Only a check: not in the published table.
    published: bool = True
    # Each pod has a network namespace.
    own_network: bool = False
    deploys: int = 3
    # The platform's grace period; Kubernetes' default.
    grace: float = 30

    @property
    def delay(self):
        return self.removal + self.margin

    def key(self):
        """Identifies the row; report.key() is the same for a result."""
        return (self.server, self.way, self.path, self.container, self.removal)

    def words(self):
        """The row in a few words, for progress, messages and ONLY."""
        place = " in podman" if self.container else ""
        return f"{self.server}{place}, {self.way}, {PATHS[self.path]}, removal {self.removal:g} s"


def _check(server, way, path="tcp", **more):
    """A row that the short form also checks, and whose figures are not published."""
    return Row(server, way, path, short=True, published=False, **more)


def _peer(server, way, path="tcp", removal=1.0, **more):
    return Row(server, way, path, removal, **more)


def _ours(server, way, path="tcp", removal=1.0, **more):
    settings = {"lossless": True, "own_status": True, "once": True, "deploys": 10, **more}
    return Row(server, way, path, removal, **settings)


def _never_stops(server, path="tcp", **more):
    """A row that ends with KILL. Fewer deploys and a shorter grace period save time."""
    return _peer(server, "recipe, exec in script/web", path, deploys=1, grace=10, **more)


def _beside_peers(server, *ours, dumb_init="dumb-init", short=False):
    """The rows of drain-init and of other inits. The others lose the requests that they
    refuse or cut off; with a preStop hook, only those that they cut off."""
    return [
        _peer(server, dumb_init),
        _peer(server, "tini"),
        _peer(server, f"preStop sleep D, {dumb_init}", short=short),
        _peer(server, "preStop sleep D, tini"),
        *ours,
    ]


def table():
    """Every row, in the order of the table."""
    rows = []
    for path in ("tcp", "http", "nginx"):
        rows += [
            _peer("puma", "no init", path),
            _peer("puma", "dumb-init", path, short=True),
            _peer("puma", "tini", path),
            _peer("puma", "catatonit", path),
            _peer("puma", "recipe as written", path, short=path == "tcp"),
            _never_stops("puma", path, short=path == "tcp"),
            _peer("puma", "recipe, shell waits in background", path, short=path == "tcp"),
            _peer("puma", "preStop sleep D, dumb-init", path),
            _ours("puma", "drain-init --delay-term D", path, short=True),
            _ours("puma", "drain-init --delay-term D --stop-cmd STOP", path, short=path == "tcp"),
        ]
    rows += [
        # The server counts in its handler of TERM.
        _ours("puma", "drain-init --delay-term D --rewrite TERM:INT", once=False),
        _peer("puma", "dumb-init", removal=0.5),
        _ours("puma", "drain-init --delay-term D", removal=0.5),
        _peer("puma", "dumb-init", removal=2.0),
        _ours("puma", "drain-init --delay-term D", removal=2.0),
        _peer("puma", "dumb-init", container=True),
        _ours("puma", "drain-init --delay-term D", container=True, short=True),
        _ours("puma", "drain-init --delay-term D --stop-cmd STOP", "http", container=True),

        # honcho runs the Procfile; its own status is the container's.
        _peer("puma", "honcho, Procfile: dumb-init"),
        _ours("puma", "honcho, Procfile: drain-init --delay-term D --stop-cmd STOP",
              own_status=False, short=True),

        _peer("puma cluster", "dumb-init"),
        _peer("puma cluster", "dumb-init -c"),
        _ours("puma cluster", "drain-init --delay-term D"),
        _ours("puma cluster", "drain-init -c --delay-term D"),

        *_beside_peers("puma under sh and bundle exec",
                 _ours("puma under sh and bundle exec", "drain-init --delay-term D", short=True)),

        _peer("Passenger", "dumb-init", margin=CUTTING, short=True),
        _peer("Passenger", "recipe as written", margin=CUTTING),
        _never_stops("Passenger", margin=CUTTING),
        _peer("Passenger", "recipe, shell waits in background", margin=CUTTING),
        _ours("Passenger", "drain-init --delay-term D", margin=CUTTING),
        _ours("Passenger", "drain-init --delay-term D --stop-cmd STOP", margin=CUTTING, short=True),
        _ours("Passenger", "drain-init --delay-term D --stop-cmd STOP", "http", margin=CUTTING),

        _peer("gunicorn", "dumb-init", short=True),
        _peer("gunicorn", "dumb-init -c"),
        # The whole group receives TERM, and the master also sends it to the workers.
        _ours("gunicorn", "drain-init --delay-term D", once=False, short=True),
        _ours("gunicorn", "drain-init -c --delay-term D"),
        _ours("gunicorn", "drain-init -c --delay-term D --wait-all"),

        # Its master dies at once, and its workers have not received TERM.
        *_beside_peers("pre-fork server",
                 _ours("pre-fork server", "drain-init -c --delay-term D --wait-all", short=True),
                 dumb_init="dumb-init -c", short=True),

        _peer("nginx", "dumb-init", short=True),
        _peer("nginx", "dumb-init -c"),
        _ours("nginx", "drain-init --delay-term D", margin=CUTTING),
        _ours("nginx", "drain-init --delay-term D --rewrite TERM:QUIT", short=True),
        _ours("nginx", "drain-init -c --delay-term D --rewrite TERM:QUIT"),

        _peer("Node", "dumb-init"),
        _ours("Node", "drain-init --delay-term D"),
        _peer("Node", "dumb-init", "http"),
        _ours("Node", "drain-init --delay-term D", "http"),
        _peer("Node", "dumb-init", "tcp keep-alive"),
        # The delay alone cannot move a kept-alive connection: measured, not promised.
        _ours("Node", "drain-init --delay-term D", "tcp keep-alive",
              lossless=False, own_status=False, once=False, deploys=3),
        _ours("Node", "drain-init --delay-term D --drain-signal USR2", "tcp keep-alive", short=True),
        _peer("Node", "dumb-init", "health", removal=0.5),
        # This balancer does not notice the stop: measured, not promised.
        _ours("Node", "drain-init --delay-term D", "health", removal=0.5,
              lossless=False, own_status=False, once=False, deploys=3),
        _ours("Node", "drain-init --delay-term D --drain-cmd FAIL-HEALTH", "health", removal=0.5, short=True),
    ]
    for server in ("Node under sh", "Node under busybox sh", "Node under npm start"):
        rows += _beside_peers(server, _ours(server, "drain-init --delay-term D", short=True),
                        short=server == "Node under npm start")
    # Only npm receives TERM. It sends it to its shell, which dies without stopping the app:
    # measured, not promised.
    rows.append(_ours("Node under npm start", "drain-init -c --delay-term D",
                      lossless=False, own_status=False, once=False, deploys=3))
    server = "Node under npm start with exec"
    rows += _beside_peers(
        server,
        # The whole group receives TERM, and npm also sends it to the app, which tolerates that.
        _ours(server, "drain-init --delay-term D", once=False),
        _ours(server, "drain-init -c --delay-term D"))
    rows += [
        # Long enough for whole seconds with and without connections.
        _check("puma", "drain-init --delay-term D --measure-drain", removal=2.0, margin=1.5,
               lossless=True, own_network=True),
        _check("Node", "drain-init --delay-term D", "pool", loses=True, deploys=1),
        _check("Node", "drain-init --delay-term D --drain-file FILE", "pool", lossless=True),
    ]
    return rows
