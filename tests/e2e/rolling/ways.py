"""The ways to run a server in a pod: each makes the pod's command line.

A way takes the server and the delay in seconds, and returns argv. `{stop}` in
an option becomes the server's own stop command, `{close_file}` the file that it looks for.
"""

import shlex

from . import sandbox
from .apps import VENV


def plain(*init):
    return lambda server, delay: [*init, *server.argv]


def drain(*options):
    """drain-init --delay-term DELAY and options, as in the label."""
    def way(server, delay):
        filled = [option.format(stop=server.stop_command, close_file=server.close_file) for option in options]
        return [sandbox.drain_init(), "--delay-term", f"{delay:g}", *filled, "--", *server.argv]
    return way


def _recipe(start_script, web="{init}"):
    """The two scripts of the trap recipe, and its Procfile's command line."""
    def way(server, delay):
        script = server.directory / "script"
        script.mkdir()
        init = f"/usr/bin/dumb-init --rewrite 15:0 -- {shlex.join(server.argv)}"
        (script / "web").write_text(f"#!/bin/sh\n{web.format(init=init)}\n")
        (script / "start").write_text("#!/bin/sh\n" + start_script.format(
            delay=delay, stop=server.stop_command))
        for file in script.iterdir():
            file.chmod(0o755)
        return ["/usr/bin/dumb-init", "--", "script/start"]
    return way


def procfile(inner):
    """honcho as PID 1 runs a Procfile whose one line is the way `inner`."""
    def way(server, delay):
        (server.directory / "Procfile").write_text(f"web: {shlex.join(inner(server, delay))}\n")
        return [str(VENV / "bin/honcho"), "start"]
    return way


TRAP = 'trap "echo draining; sleep {delay:g}; {stop}; exit 0" TERM\n'
WAYS = {
    "no init": plain(),
    "dumb-init": plain("/usr/bin/dumb-init", "--"),
    "dumb-init -c": plain("/usr/bin/dumb-init", "-c", "--"),
    "tini": plain("/usr/bin/tini", "--"),
    "catatonit": plain("/usr/bin/catatonit", "--"),
    "recipe as written": _recipe(TRAP + "./script/web\n"),
    # TERM to the group kills script/web's shell, so the trap above runs. With exec there is
    # no such shell, and the trap does not run.
    "recipe, exec in script/web": _recipe(TRAP + "./script/web\n", "exec {init}"),
    "recipe, shell waits in background": _recipe(TRAP + "./script/web &\nwait\n"),
    "preStop sleep D, dumb-init": plain("/usr/bin/dumb-init", "--"),
    "preStop sleep D, dumb-init -c": plain("/usr/bin/dumb-init", "-c", "--"),
    "preStop sleep D, tini": plain("/usr/bin/tini", "--"),
    "drain-init --delay-term D": drain(),
    "drain-init -c --delay-term D": drain("-c"),
    "drain-init -c --delay-term D --wait-all": drain("-c", "--wait-all"),
    "drain-init --delay-term D --stop-cmd STOP": drain("--stop-cmd", "{stop}"),
    "drain-init --delay-term D --rewrite TERM:INT": drain("--rewrite", "TERM:INT"),
    "drain-init --delay-term D --rewrite TERM:QUIT": drain("--rewrite", "TERM:QUIT"),
    "drain-init -c --delay-term D --rewrite TERM:QUIT": drain("-c", "--rewrite", "TERM:QUIT"),
    "drain-init --delay-term D --drain-cmd FAIL-HEALTH": drain("--drain-cmd", 'touch "$DRAINING"'),
    "drain-init --delay-term D --drain-file FILE": drain("--drain-file", "{close_file}"),
    "drain-init --delay-term D --measure-drain": drain("--measure-drain"),
    "drain-init --delay-term D --drain-signal USR2": drain("--drain-signal", "USR2"),
    "honcho, Procfile: dumb-init": procfile(plain("/usr/bin/dumb-init", "--")),
    "honcho, Procfile: drain-init --delay-term D --stop-cmd STOP": procfile(drain("--stop-cmd", "{stop}")),
}
