"""Every command line of docs/stop-commands.md, run as it stands there.

Only the delay is shortened. Each server answers one request that is in flight
when the stop signal comes, and one that is in flight when the stop itself
comes; then drain-init ends with the status that the page tells.
"""
import glob
import os
import pathlib
import re
import shutil
import signal
import subprocess
import unittest

from harness import Run, Stopping, Upstream, children, listening, page_commands, wait_for

COMMANDS = page_commands()


class StopCommand(Stopping):
    section = None

    def without(self, option):
        return lambda command: command.replace(f" {option} ", " ")

    def run_page(self, edit=lambda command: command, **options):
        return Run(self, edit(COMMANDS[self.section]), **options)

    def start_redis(self, directory):
        if listening(6379):
            raise AssertionError("port 6379 is taken")
        redis = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--save", "", "--dir", directory],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.addCleanup(redis.wait)
        self.addCleanup(redis.kill)
        wait_for("redis", lambda: listening(6379))
        return redis


class Puma(StopCommand):
    section = "puma"

    def test_one_process_answers_all_and_its_143_becomes_0(self):
        run = self.run_page(files=["config.ru"]).start()
        self.drain_and_stop(run, status=0)

    def test_workers_answer_all_too(self):
        run = self.run_page(lambda c: c.replace("puma ", "puma --workers 2 "), files=["config.ru"]).start()
        self.drain_and_stop(run, status=0)

    def test_its_own_status_is_143(self):
        run = self.run_page(self.without("--remap-exit 143"), files=["config.ru"]).start()
        self.drain_and_stop(run, status=143)

    def test_int_answers_all_and_its_own_status_is_0(self):
        run = self.run_page(lambda c: c.replace("--remap-exit 143", "--rewrite TERM:INT"), files=["config.ru"]).start()
        self.drain_and_stop(run, status=0)


class Passenger(StopCommand):
    section = "Passenger"

    def start(self, edit=lambda command: command, **options):
        return self.run_page(edit, files=["config.ru", "Passengerfile.json"], **options).start()

    def test_what_is_in_flight_is_answered_in_the_delay_and_the_stop_command_stops_it(self):
        self.drain_and_stop_passenger(self.start())

    def test_what_outlasts_the_delay_is_cut(self):
        self.cut(self.start(delay="100ms"))

    def test_term_cuts_it_too_and_its_status_is_2(self):
        run = self.start(self.without("--stop-cmd 'passenger stop --port 8080'"), delay="100ms")
        self.assertEqual(self.cut(run), 2, run.output())


NGINX = 'mkdir -p "$APP/tmp"; exec /usr/sbin/nginx -p "$APP/" -c nginx.conf "$@"'


class Nginx(StopCommand):
    section = "nginx"

    def start(self, edit=lambda command: command, **options):
        run = self.run_page(edit, files=["nginx.conf"], wrappers={"nginx": NGINX}, **options)
        Upstream(self, run.dir)
        return run.start()

    def test_quit_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_term_alone_cuts_requests(self):
        self.cut(self.start(self.without("--rewrite TERM:QUIT"), delay="100ms"))

    def test_its_own_quit_command_answers_all(self):
        run = self.start(lambda c: c.replace("--rewrite TERM:QUIT", "--stop-cmd 'nginx -s quit'"))
        self.drain_and_stop(run, status=0)

    def test_an_image_that_asks_for_quit_is_drained_by_stop_signal(self):
        run = self.start(lambda c: c.replace("--rewrite TERM:QUIT", "--stop-signal QUIT"))
        self.drain_and_stop(run, status=0, stop=signal.SIGQUIT)


APACHE = 'mkdir -p "$APP/public"; echo fast > "$APP/public/index.html"; exec /usr/sbin/apache2 -f "$APP/httpd.conf" "$@"'


class Apache(StopCommand):
    section = "Apache"

    def start(self, edit=lambda command: command, **options):
        run = self.run_page(edit, files=["httpd.conf"], wrappers={"apache2": APACHE}, **options)
        Upstream(self, run.dir)
        return run.start()

    def test_winch_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_term_alone_cuts_requests(self):
        self.cut(self.start(self.without("--rewrite TERM:WINCH"), delay="100ms"))

    def test_the_whole_group_may_get_winch(self):
        self.drain_and_stop(self.start(self.without("-c")), status=0)


class Gunicorn(StopCommand):
    section = "gunicorn"

    def test_term_to_the_master_answers_all(self):
        self.drain_and_stop(self.run_page(files=["app.py"]).start(), status=0)

    def test_the_whole_group_may_get_term(self):
        self.drain_and_stop(self.run_page(self.without("-c"), files=["app.py"]).start(), status=0)

    def test_int_as_the_stop_signal_is_rewritten_to_term(self):
        run = self.run_page(lambda c: c.replace(" -- ", " --stop-signal INT --rewrite INT:TERM -- "), files=["app.py"])
        self.drain_and_stop(run.start(), status=0, stop=signal.SIGINT)


class Uvicorn(StopCommand):
    section = "uvicorn"

    def test_term_answers_all_and_its_143_becomes_0(self):
        self.drain_and_stop(self.run_page(files=["app.py"]).start(), status=0)

    def test_workers_answer_all_too(self):
        run = self.run_page(lambda c: c.replace("uvicorn ", "uvicorn --workers 2 "), files=["app.py"]).start()
        self.drain_and_stop(run, status=0)

    def test_its_own_status_is_143(self):
        run = self.run_page(self.without("--remap-exit 143"), files=["app.py"]).start()
        self.drain_and_stop(run, status=143)

    def test_the_whole_group_of_workers_may_get_term(self):
        run = self.run_page(lambda c: c.replace(" -c ", " ").replace("uvicorn ", "uvicorn --workers 2 "),
                            files=["app.py"]).start()
        self.drain_and_stop(run, status=0)


class Sidekiq(StopCommand):
    section = "Sidekiq"

    def start(self, edit=lambda command: command, **options):
        run = self.run_page(edit, files=["worker.rb"], **options)
        self.redis = self.start_redis(run.dir)
        run.start(port=None)
        self.push(run, "first")
        wait_for("a job at work", lambda: (run.dir / "begun-first").exists())
        return run

    def push(self, run, name):
        client = subprocess.run(["ruby", "-r./worker.rb", "-e", f"Slow.perform_async('{name}')"], cwd=run.dir,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(client.returncode, 0, client.stdout)

    def finish(self, run):
        """The first job ends, and the second, pushed after TSTP, never begins."""
        (run.dir / "release").touch()
        self.assertEqual(run.exit_status(), 0, run.output())
        self.assertTrue((run.dir / "done-first").exists())
        self.assertFalse((run.dir / "begun-second").exists(), run.output())
        self.nothing_left([self.redis])

    def test_the_running_job_ends_and_no_other_begins(self):
        run = self.start()
        run.signal(signal.SIGTERM)
        run.said("no longer accepting new work")
        self.push(run, "second")
        run.said(r"\[drain-init\] drained for")
        self.finish(run)

    def quiet_from_outside(self, run):
        """TSTP, sent to drain-init, reaches Sidekiq; the stop comes later."""
        run.signal(signal.SIGTSTP)
        run.said("no longer accepting new work")
        self.push(run, "second")
        run.signal(signal.SIGTERM)
        self.finish(run)

    def terminal(self):
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        return theirs

    def no_drain_signal(self, *options):
        words = " ".join(["drain-init", *options])
        return lambda command: command.replace(" --drain-signal TSTP ", " ").replace("drain-init", words)

    def test_tstp_from_outside_arrives_where_there_is_no_terminal(self):
        self.quiet_from_outside(self.start(self.no_drain_signal(), container=True))

    def test_tstp_from_outside_on_a_terminal_arrives_if_rewritten_to_itself(self):
        run = self.start(self.no_drain_signal("-r", "TSTP:TSTP"), container=True, terminal=self.terminal())
        self.quiet_from_outside(run)

    def test_tstp_from_outside_on_a_terminal_arrives_with_c(self):
        run = self.start(self.no_drain_signal("-c"), container=True, terminal=self.terminal())
        self.quiet_from_outside(run)

    def test_tstp_from_outside_on_a_terminal_stops_it_otherwise_and_the_stop_still_reaches_it(self):
        run = self.start(self.no_drain_signal(), container=True, terminal=self.terminal())
        sidekiq, = children(run.pid())

        def stopped():
            stat = pathlib.Path(f"/proc/{sidekiq}/stat").read_text()
            return stat.rpartition(")")[2].split()[0] == "T"

        run.signal(signal.SIGTSTP)
        wait_for("a stopped Sidekiq", stopped)
        self.assertNotIn("no longer accepting new work", run.output())
        run.signal(signal.SIGTERM)
        self.finish(run)


class Celery(StopCommand):
    section = "Celery"

    def start(self, edit=lambda command: command):
        run = self.run_page(edit, files=["tasks.py"])
        self.redis = self.start_redis(run.dir)
        run.start(port=None)
        run.said(r"\bready\.")
        client = subprocess.run(["python3", "-c", "import tasks; tasks.slow.delay()"], cwd=run.dir, env=run.env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(client.returncode, 0, client.stdout)
        wait_for("a task at work", lambda: (run.dir / "begun").exists())
        self.assertEqual(self.unacknowledged_and_waiting(), (1, 0))
        return run

    def unacknowledged_and_waiting(self):
        """What Redis has of Celery's messages."""
        def ask(*words):
            return int(subprocess.run(["redis-cli", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      check=True).stdout)
        return ask("hlen", "unacked"), ask("llen", "celery")

    def test_the_running_task_ends_and_is_acknowledged(self):
        run = self.start()
        run.signal(signal.SIGTERM)
        run.said("Warm shutdown")
        (run.dir / "release").touch()
        self.assertEqual(run.exit_status(), 0, run.output())
        self.assertTrue((run.dir / "done").exists(), run.output())
        self.assertEqual(self.unacknowledged_and_waiting(), (0, 0))
        self.nothing_left([self.redis])

    def lost(self, run):
        """Not done, and yet not kept by Redis: nobody will do it."""
        run.signal(signal.SIGTERM)
        run.said("WorkerLostError.*SIGTERM")
        self.assertEqual(run.exit_status(), 0, run.output())
        self.assertFalse((run.dir / "done").exists(), run.output())
        self.assertEqual(self.unacknowledged_and_waiting(), (0, 0))

    def test_without_c_the_running_task_is_lost_and_the_status_is_still_0(self):
        self.lost(self.start(self.without("-c")))

    def test_a_delay_does_not_help_without_c(self):
        self.lost(self.start(lambda command: command.replace(" -c ", " --delay-term 1 ")))


class Npm(StopCommand):
    section = "npm, yarn and shell-form CMDs"

    def start(self, edit=lambda command: command, **options):
        run = self.run_page(edit, files=["server.js", "package.json"], **options)
        return run.start()

    def drain_and_stop_once(self, run, status):
        """The server answers all, and is told once."""
        self.drain_and_stop(run, status)
        self.assertEqual(run.whole_output().count("server got TERM"), 1, run.output())

    def test_the_server_behind_npm_answers_all(self):
        run = self.start()
        self.drain_and_stop_once(run, status=0)
        run.said(r"was killed by TERM, .* after TERM; waiting for the rest of its process group")

    def test_its_own_status_is_143(self):
        self.drain_and_stop(self.start(self.without("--remap-exit 143")), status=143)

    def test_npm_with_bash_as_its_shell_passes_the_signal_on_and_wants_c(self):
        run = self.start(lambda command: command.replace("npm start", "npm --script-shell bash start")
                         .replace(" --remap-exit 143", "").replace("drain-init", "drain-init -c"))
        self.drain_and_stop_once(run, status=0)

    def behind(self, shell):
        run = self.start(lambda command: command.replace("npm start", f"{shell} -c 'node server.js; exit $?'"))
        self.drain_and_stop_once(run, status=0)
        run.said("waiting for the rest of its process group")

    def test_the_server_behind_dash_answers_all(self):
        self.behind("dash")

    def test_the_server_behind_busybox_answers_all(self):
        self.behind("busybox sh")

    def test_the_server_behind_bash_answers_all(self):
        self.behind("bash")

    def test_with_c_the_container_ends_with_npm_and_requests_are_cut(self):
        run = self.start(lambda command: command.replace("drain-init", "drain-init -c"), container=True, delay="100ms")
        self.cut(run)

    def test_without_a_drain_option_requests_are_cut_as_with_dumb_init(self):
        run = self.start(lambda command: command.replace(" --delay-term 10", ""), container=True)
        self.cut(run)


class Java(StopCommand):
    section = "Java"

    def start(self, edit=lambda command: command, **options):
        run = self.run_page(edit, files=["Server.java"], **options)
        # /tmp/hsperfdata_USER, wherever TMPDIR is, would be a leftover.
        run.env["JAVA_TOOL_OPTIONS"] = "-XX:-UsePerfData"
        subprocess.run(["javac", "Server.java"], cwd=run.dir, env=run.env, check=True)
        classes = [pathlib.Path(name).name for name in glob.glob(f"{run.dir}/*.class")]
        subprocess.run(["jar", "cfe", "app.jar", "Server", *classes], cwd=run.dir, env=run.env, check=True)
        return run.start()

    def test_the_hook_answers_all_and_143_becomes_0(self):
        self.drain_and_stop(self.start(), status=0)

    def test_its_own_status_is_143(self):
        self.drain_and_stop(self.start(self.without("--remap-exit 143")), status=143)

    def test_without_a_hook_requests_are_cut(self):
        self.cut(self.start(env={"NO_HOOK": "1"}, delay="100ms"))


class Node(StopCommand):
    section = "Node"

    def test_the_handler_answers_all(self):
        self.drain_and_stop(self.run_page(files=["server.js"]).start(), status=0)

    def test_without_a_handler_requests_are_cut(self):
        self.cut(self.run_page(files=["server.js"], env={"NO_HANDLER": "1"}, delay="100ms").start())


class PostgreSQL(StopCommand):
    section = "PostgreSQL"

    def start(self, edit=lambda command: command):
        binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        run = self.run_page(edit, user="postgres", delay="100ms")
        run.env["PATH"] += f":{binaries}"
        run.env["PGDATA"] = f"{run.dir}/data"
        run.env["PGHOST"] = "127.0.0.1"
        subprocess.run(["initdb", "--no-sync", "-A", "trust"], cwd=run.dir, env=run.env, check=True,
                       user="postgres", group="postgres", stdout=subprocess.DEVNULL)
        with open(f"{run.dir}/data/postgresql.conf", "a") as config:
            config.write("unix_socket_directories = ''\n")
        run.start(port=5432)
        run.said("ready to accept connections")
        return run

    def client(self, run):
        """A session that stays connected until it is told to go."""
        client = subprocess.Popen(["psql", "-qAt", "-U", "postgres"], env=run.env, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.addCleanup(client.stdin.close)
        self.addCleanup(client.stdout.close)
        client.stdin.write(b"select 1;\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"1\n")
        return client

    def test_int_stops_it_though_a_client_stays_and_the_data_are_clean(self):
        run = self.start()
        client = self.client(run)
        run.signal(signal.SIGTERM)
        run.said("received fast shutdown request")
        self.assertEqual(run.exit_status(), 0, run.output())
        run.said("database system is shut down")
        client.stdin.close()
        client.wait()
        self.nothing_left()

    def test_term_alone_waits_for_the_client(self):
        run = self.start(self.without("--rewrite TERM:INT"))
        client = self.client(run)
        run.signal(signal.SIGTERM)
        run.said("received smart shutdown request")
        client.stdin.write(b"select 2;\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"2\n")
        client.stdin.close()
        self.assertEqual(run.exit_status(), 0, run.output())


class Page(unittest.TestCase):
    def test_every_command_of_the_page_has_a_test(self):
        tested = {case.section for case in StopCommand.__subclasses__()}
        self.assertEqual(set(COMMANDS), tested)
