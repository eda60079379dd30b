"""The pages agree with the program, with each other, and with the other programs that they describe."""
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import unittest

from harness import INIT, ROOT, Run, Stopping, children, get, names, others

PAGES = [ROOT / "docs" / name for name in ("choosing-the-delay.md", "keep-alive.md", "kubernetes.md", "migrating.md",
                                          "stop-commands.md", "stop-other-servers.md", "stop-proxies.md", "stop-workers.md")]
PAGES.append(ROOT / "examples" / "README.md")


def anchors(page):
    """GitHub's names of a page's headings."""
    headings = re.findall(r"(?m)^#+ (.*)", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Pages(unittest.TestCase):
    def test_every_link_within_the_repository_leads_somewhere(self):
        for page in {*PAGES, *(ROOT / "docs").glob("*.md"), ROOT / "README.md"}:
            for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
                if link.startswith("https://"):
                    continue
                name, _, anchor = link.partition("#")
                target = (page.parent / name).resolve() if name else page
                with self.subTest(page=page.name, link=link):
                    self.assertTrue(target.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(target))

    def accepted(self, words):
        """drain-init accepts these options without a message, before a command that exists."""
        environment = {"PATH": os.environ["PATH"]}
        for word in list(words):
            name, sign, value = word.partition("=")
            if sign and name.startswith("DRAIN_INIT_"):
                environment[name] = value
                words.remove(word)
        # A stop command's program may be missing on this machine.
        words = [word.replace("/usr/bin/curl", "/bin/true") for word in words]
        run = subprocess.run([INIT, *words, "--", "/bin/true"], env=environment, stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
        self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_every_option_is_one_that_drain_init_takes(self):
        checked = 0
        for page in PAGES:
            # Options with their values as the pages write them: in code spans
            # and lines, up to the command or the end.
            text = page.read_text()
            code = re.findall(r"`([^`\n]*)`", text) + re.findall(r"(?m)^(?: {4}|[+] *)(.*)", text)
            code += re.findall(r"(?ms)^```sh\n(.*?)^```", text)
            for line in code:
                # Without a Procfile's name, a Dockerfile's word, a diff's sign.
                line = re.sub(r"^[+-]?(?:\w+: |ENTRYPOINT )?", "", line.strip()) if line[:2] != "--" else line
                if line.startswith('["'):
                    line = shlex.join(json.loads(line))
                start = re.match(r"(?:drain-init |(?=--\w|-[a-z] ))", line)
                if not start or "…" in line or line.startswith(("--init", "--stop-timeout", "--graceful", "--timeout",
                                                               "--no-", "--shutdown-timeout", "--workers", "--scale")):
                    continue
                checked += 1
                with self.subTest(page=page.name, line=line):
                    words = shlex.split(line[start.end():].replace(" CMD", " true"))
                    words = words[:words.index("--")] if "--" in words else words
                    if len(words) == 1 and not words[0].partition("=")[1]:
                        # A bare option, named in the text.
                        self.assertIn(words[0], subprocess.run([INIT, "--help"], stdout=subprocess.PIPE, text=True).stdout)
                    else:
                        self.accepted([re.sub("THAT|FIRST", "QUIT", word) for word in words])
        # The search must still find the lines.
        self.assertGreater(checked, 60)

    def test_every_variable_is_one_that_drain_init_knows(self):
        text = subprocess.run([INIT, "--help"], stdout=subprocess.PIPE, text=True).stdout
        known = {"DRAIN_INIT_" + name.upper().replace("-", "_") for name in re.findall(r"--([a-z-]+)", text)}
        for page in PAGES + list((ROOT / "examples").iterdir()):
            for name in re.findall(r"DRAIN_INIT_[A-Z0-9_]+", page.read_text()):
                # A build argument of the Dockerfile, not a variable of drain-init.
                if name != "DRAIN_INIT_SHA256":
                    self.assertIn(name, known, page.name)


class Migrating(Stopping):
    """What docs/migrating.md says about other inits and supervisors in one container."""

    def test_under_the_runtimes_own_init_it_still_drains(self):
        for other in ("tini", "catatonit"):
            with self.subTest(init=other):
                # tini is not PID 1 here, and adopts orphans only with -s.
                words = "tini -s --" if other == "tini" else "catatonit --"
                run = Run(self, f"{words} drain-init --delay-term 1s -- node server.js", files=["server.js"])
                if other == "catatonit":
                    run.command = "unshare --pid --fork --kill-child catatonit -- " + run.command.split(" -- ", 1)[1]
                    self.check_in_a_namespace(run.start())
                else:
                    self.drain_and_stop(run.start(), status=0)

    def check_in_a_namespace(self, run):
        """catatonit must be PID 1, and unshare, its parent, passes no signal on."""
        slow = self.slow()
        child, = subprocess.run(["pgrep", "--parent", str(run.process.pid)], stdout=subprocess.PIPE,
                                text=True).stdout.split()
        os.kill(int(child), signal.SIGTERM)
        run.said(r"\[drain-init\] received TERM: draining")
        (run.dir / "release").touch()
        self.assertEqual(slow.rest(), b"done\n")
        self.assertEqual(run.exit_status(), 0, run.output())

    def supervisord(self, program, **settings):
        lines = ["[supervisord]", "nodaemon=true", "logfile=/dev/null", "logfile_maxbytes=0", "pidfile=supervisord.pid"]
        if os.getuid() == 0:
            lines.append("user=root")
        lines += ["[program:web]", f"command={program}", "stdout_logfile=/dev/fd/1", "stdout_logfile_maxbytes=0",
                  "redirect_stderr=true", *(f"{name}={value}" for name, value in settings.items())]
        return "\n".join(lines) + "\n"

    def test_supervisord_under_drain_init_stops_its_programs_after_the_delay(self):
        run = Run(self, "drain-init -c --delay-term 1s -- supervisord -n -c supervisord.conf", files=["server.js"])
        (run.dir / "supervisord.conf").write_text(self.supervisord("node server.js"))
        self.drain_and_stop(run.start(), status=0)

    def test_drain_init_under_supervisord_has_stopwaitsecs_for_its_stop(self):
        run = Run(self, "supervisord -n -c supervisord.conf", files=["server.js"])
        program = "drain-init --delay-term 1s -- node server.js"
        (run.dir / "supervisord.conf").write_text(self.supervisord(program, stopwaitsecs=20))
        self.drain_and_stop(run.start(), status=0)

    def shell_form(self, shell, line):
        """A container whose ENTRYPOINT is that line, in the shell form."""
        return Run(self, f"{shell} -c '{line}'", files=["server.js"], container=True).start()

    def test_under_dash_as_pid_1_term_has_no_effect(self):
        run = self.shell_form("dash", "drain-init --delay-term 1s -- node server.js")
        dash = run.pid()
        init, = children(dash)
        caught = re.search(r"(?m)^SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{dash}/status").read_text())[1]
        self.assertFalse(int(caught, 16) >> (signal.SIGTERM - 1) & 1, "dash catches it, and may forward it")
        os.kill(dash, signal.SIGTERM)
        self.assertEqual(get(), (200, b"fast\n"))
        self.assertNotIn("TERM", run.output())
        # TERM to drain-init itself shows that it could drain.
        os.kill(init, signal.SIGTERM)
        run.said(r"\[drain-init\] received TERM: draining")
        self.assertEqual(run.exit_status(), 0, run.output())
        self.assertNotIn(": ignored, ", run.whole_output())

    def test_exec_in_a_shell_form_entrypoint_makes_drain_init_pid_1(self):
        self.drain_and_stop(self.shell_form("dash", "exec drain-init --delay-term 1s -- node server.js"), status=0)

    def test_bash_needs_no_exec_for_a_single_command(self):
        self.drain_and_stop(self.shell_form("bash", "drain-init --delay-term 1s -- node server.js"), status=0)


class MainPid(Stopping):
    """What docs/stop-other-servers.md says about $MAINPID: what replaces it, and what does not."""

    APP = "trap 'echo app got USR1; exit 7' USR1\necho app runs\nwhile :; do sleep 0.1; done\n"

    def start(self, command, procfile=None):
        run = Run(self, command)
        (run.dir / "app.sh").write_text(self.APP)
        if procfile:
            (run.dir / "Procfile").write_text(procfile)
        run.start(port=None)
        run.said("app runs")
        return run

    def by_command_line(self, stop_cmd):
        run = self.start(f"drain-init --stop-cmd {stop_cmd} -- sh app.sh")
        run.signal(signal.SIGTERM)
        return run, run.exit_status()

    def test_the_shell_replaces_it_in_both_forms(self):
        for stop_cmd in ("'kill -USR1 $MAINPID'", """'["/bin/sh", "-c", "kill -USR1 $MAINPID"]'"""):
            with self.subTest(stop_cmd=stop_cmd):
                run, status = self.by_command_line(stop_cmd)
                self.assertEqual(status, 7, run.output())

    def test_the_exec_form_without_a_shell_fails_and_term_follows(self):
        run, status = self.by_command_line("""'["kill", "-USR1", "$MAINPID"]'""")
        run.said(r"\[drain-init\] the stop command failed with status \d+")
        self.assertEqual(status, 143, run.output())

    def by_procfile(self, quote):
        """The same with a Procfile: honcho passes the line to a shell."""
        run = self.start("honcho start", f"web: drain-init --stop-cmd {quote}kill -USR1 $MAINPID{quote} -- sh app.sh\n")
        init, = [pid for pid, line in names(others()).items() if line.startswith("drain-init ")]
        os.kill(init, signal.SIGTERM)
        run.said(r"\[drain-init\] process \d+ (exited|was killed)")
        return run.output()

    def test_in_a_procfile_single_quotes_keep_it(self):
        self.assertIn("app got USR1", self.by_procfile("'"))

    def test_in_a_procfile_double_quotes_lose_it(self):
        said = self.by_procfile('"')
        self.assertNotIn("app got USR1", said)
        self.assertRegex(said, r"\[drain-init\] the stop command failed with status \d+")
