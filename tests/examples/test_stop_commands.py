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

from harness import HERE, Run, Stopping, Upstream, listening, page_commands, wait_for

COMMANDS = page_commands()


class StopCommand(Stopping):
    section = None

    def without(self, option):
        return lambda command: command.replace(f" {option} ", " ")

    def run_page(self, edit=lambda command: command, **options):
        return Run(self, edit(COMMANDS[self.section]), **options)


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

    def test_the_running_job_ends_and_no_other_begins(self):
        run = self.run_page(files=["worker.rb"])
        redis = self.start_redis(run.dir)

        def push(name):
            client = subprocess.run(["ruby", "-r./worker.rb", "-e", f"Slow.perform_async('{name}')"], cwd=run.dir,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(client.returncode, 0, client.stdout)

        run.start(port=None)
        push("first")
        wait_for("a job at work", lambda: (run.dir / "begun-first").exists())
        run.signal(signal.SIGTERM)
        run.said("no longer accepting new work")
        push("second")
        run.said(r"\[drain-init\] drained for")
        (run.dir / "release").touch()
        self.assertEqual(run.exit_status(), 0, run.output())
        self.assertTrue((run.dir / "done-first").exists())
        self.assertFalse((run.dir / "begun-second").exists(), run.output())
        self.nothing_left([redis])


class Java(StopCommand):
    section = "Java"

    def start(self, edit=lambda command: command, **options):
        run = self.run_page(edit, files=["Server.java"], **options)
        subprocess.run(["javac", "Server.java"], cwd=run.dir, check=True)
        classes = [pathlib.Path(name).name for name in glob.glob(f"{run.dir}/*.class")]
        subprocess.run(["jar", "cfe", "app.jar", "Server", *classes], cwd=run.dir, check=True)
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
