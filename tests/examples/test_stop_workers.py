"""Every command line of docs/stop-workers.md, run exactly as written, with a job or a client at work."""
import glob
import os
import pathlib
import signal
import subprocess
import unittest

from harness import PAGES, children, listening, page_commands, wait_for
from servers import StopCommand


class WithRedis(StopCommand):
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

class Sidekiq(WithRedis):
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

    def test_tstp_from_outside_arrives_without_a_terminal(self):
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


class Celery(WithRedis):
    section = "Celery"

    def start(self, edit=lambda command: command, **env):
        run = self.run_page(edit, files=["tasks.py"], env=env)
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
        """How many of Celery's messages Redis has in each state."""
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
        """The task is not done, and Redis has not kept it, so no worker will do it."""
        run.signal(signal.SIGTERM)
        run.said("WorkerLostError.*SIGTERM")
        self.assertEqual(run.exit_status(), 0, run.output())
        self.assertFalse((run.dir / "done").exists(), run.output())
        self.assertEqual(self.unacknowledged_and_waiting(), (0, 0))

    def test_without_c_the_running_task_is_lost_and_the_status_is_still_0(self):
        self.lost(self.start(self.without("-c")))

    def test_after_the_soft_shutdown_an_unfinished_task_goes_back_to_the_broker(self):
        run = self.start(lambda command: command.replace(" -c ", " -c --rewrite TERM:QUIT "), SOFT="1")
        run.signal(signal.SIGTERM)
        run.said("Initiating Soft Shutdown")
        run.exit_status()
        self.assertFalse((run.dir / "done").exists(), run.output())
        self.assertEqual(self.unacknowledged_and_waiting(), (0, 1), run.output())

    def test_a_delay_does_not_help_without_c(self):
        self.lost(self.start(lambda command: command.replace(" -c ", " --delay-term 1 ")))


class Redis(StopCommand):
    section = "Redis"

    def test_term_saves_the_data_and_the_status_is_0(self):
        run = self.run_page()
        run.start(port=6379)
        self.assertEqual(self.ask("set", "key", "value"), "OK")
        run.signal(signal.SIGTERM)
        run.said("bye bye")
        self.assertEqual(run.exit_status(), 0, run.output())
        self.assertTrue((run.dir / "dump.rdb").exists())
        self.nothing_left()

    def ask(self, *words):
        return subprocess.run(["redis-cli", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              check=True).stdout.strip()


class Worker(WithRedis):
    """Workers that take jobs from Redis: one job runs through the stop."""

    def start_worker(self, edit, files, push):
        run = self.run_page(edit, files=files)
        self.redis = self.start_redis(run.dir)
        run.start(port=None)
        client = subprocess.run(["python3", "-c", push], cwd=run.dir, env=run.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(client.returncode, 0, client.stdout)
        wait_for("a job at work", (run.dir / "begun").exists)
        return run

    def finish(self, run, stopping):
        run.signal(signal.SIGTERM)
        run.said(stopping)
        (run.dir / "release").touch()
        self.assertEqual(run.exit_status(), 0, run.output())
        self.assertTrue((run.dir / "done").exists(), run.output())
        self.nothing_left([self.redis])


class Rq(Worker):
    section = "RQ"

    def start(self, edit=lambda command: command):
        return self.start_worker(edit, ["jobs.py"], "import jobs, redis, rq; "
                                 "rq.Queue(connection=redis.Redis()).enqueue(jobs.slow)")

    def test_the_running_job_ends(self):
        self.finish(self.start(), "[Ww]arm shut")


class Dramatiq(Worker):
    section = "dramatiq"

    def start(self, edit=lambda command: command):
        return self.start_worker(edit, ["jobs.py", "actors.py"], "import actors; actors.slow.send()")

    def test_the_running_job_ends(self):
        self.finish(self.start(), "Shutting down")

    def test_a_second_term_kills_a_worker_and_its_job(self):
        # Without -c this happens if the two TERMs do not arrive as one.
        run = self.start()
        run.signal(signal.SIGTERM)
        # Each worker logs that it stops before it counts another TERM as the second.
        wait_for("each worker's stop", lambda: run.output().count("Shutting down...") == 2)
        main, = children(run.pid())
        for worker in children(main):
            os.kill(worker, signal.SIGTERM)
        run.said("Killing worker")
        run.exit_status()
        self.assertFalse((run.dir / "done").exists(), run.output())


class Database(StopCommand):
    def database(self, run):
        """Sets up PostgreSQL in this directory, as the user postgres."""
        binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        run.env.update(PATH=f"{run.env['PATH']}:{binaries}", PGDATA=f"{run.dir}/data", PGHOST="127.0.0.1", PGUSER="postgres")
        subprocess.run(["initdb", "--no-sync", "-A", "trust"], cwd=run.dir, env=run.env, check=True,
                       user="postgres", group="postgres", stdout=subprocess.DEVNULL)
        with open(f"{run.dir}/data/postgresql.conf", "a") as config:
            config.write("unix_socket_directories = ''\n")

    def client(self, run, port=5432):
        """A session that stays connected until its input ends."""
        client = subprocess.Popen(["psql", "-qAt", "-p", str(port)], env=run.env, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.addCleanup(client.stdin.close)
        self.addCleanup(client.stdout.close)
        self.ask(client, 1)
        return client

    def ask(self, client, number, before=""):
        client.stdin.write(f"{before}select {number};\n".encode())
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"%d\n" % number)


class PostgreSQL(Database):
    section = "PostgreSQL"

    def start(self, edit=lambda command: command):
        run = self.run_page(edit, user="postgres", delay="100ms")
        self.database(run)
        run.start(port=5432)
        run.said("ready to accept connections")
        return run

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
        self.ask(client, 2)
        client.stdin.close()
        self.assertEqual(run.exit_status(), 0, run.output())


class PgBouncer(Database):
    section = "pgbouncer"
    SETTINGS = """[databases]
postgres = host=127.0.0.1 port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
unix_socket_dir =
auth_type = any
pool_mode = session
"""

    def start(self, edit=lambda command: command):
        run = self.run_page(edit, user="postgres", wrappers={"pgbouncer": 'exec /usr/sbin/pgbouncer "$@"'})
        run.command = run.command.replace("/etc/pgbouncer/", "")
        run.write("pgbouncer.ini", self.SETTINGS)
        self.database(run)
        server = subprocess.Popen(["postgres"], cwd=run.dir, env=run.env, user="postgres", group="postgres",
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        wait_for("postgres", lambda: listening(5432))
        return run.start(port=6432)

    def in_a_transaction(self, run):
        client = self.client(run, port=6432)
        self.ask(client, 2, before="begin; ")
        return client

    def test_int_waits_for_the_session(self):
        run = self.start()
        client = self.in_a_transaction(run)
        run.signal(signal.SIGTERM)
        run.said("SIGINT")
        self.ask(client, 3)
        client.stdin.write(b"commit;\n")
        client.stdin.close()
        client.wait()
        self.assertEqual(client.returncode, 0)
        self.assertEqual(run.exit_status(), 0, run.output())

    def test_term_alone_cuts_it(self):
        run = self.start(self.without("--rewrite TERM:INT"))
        client = self.in_a_transaction(run)
        run.signal(signal.SIGTERM)
        run.exit_status()
        client.stdin.write(b"select 3;\n")
        client.stdin.close()
        self.assertEqual(client.stdout.read(), b"")


class Pages(unittest.TestCase):
    def test_every_command_of_the_page_has_a_test(self):
        tested = {case.section for case in globals().values() if isinstance(case, type) and issubclass(case, StopCommand)}
        self.assertEqual(set(page_commands(PAGES[2])), tested - {None})
