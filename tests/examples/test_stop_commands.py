"""Every command line of docs/stop-commands.md and docs/stop-proxies.md, run exactly as written.

Only the delay is shortened. Each server answers one request that is in flight
when the stop signal arrives, and one that is in flight when the stop itself
arrives. Then drain-init exits with the status that the page gives.
"""
import re
import signal
import subprocess
import unittest

import servers
from harness import LIMIT, PAGES, get, page_commands, wait_for
from pool import Pool


class Puma(servers.Puma):
    def test_one_process_answers_all_and_its_143_becomes_0(self):
        self.drain_and_stop(self.start(), status=0)

    def test_workers_answer_all_too(self):
        self.drain_and_stop(self.start(self.workers), status=0)

    def test_its_own_status_is_143(self):
        self.drain_and_stop(self.start(self.without("--remap-exit 143")), status=143)

    def test_int_answers_all_and_its_own_status_is_0(self):
        run = self.start(lambda command: command.replace("--remap-exit 143", "--rewrite TERM:INT"))
        self.drain_and_stop(run, status=0)


class Unicorn(servers.Unicorn):
    def test_quit_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_term_alone_cuts_requests(self):
        self.cut(self.start(self.without("--rewrite TERM:QUIT"), delay="100ms"))


class Passenger(servers.Passenger):
    def test_what_is_in_flight_is_answered_in_the_delay_and_the_stop_command_stops_it(self):
        self.drain_and_stop_by_the_delay(self.start())

    def test_what_outlasts_the_delay_is_cut(self):
        self.cut(self.start(delay="100ms"))

    def test_term_cuts_it_too_and_its_status_is_2(self):
        run = self.start(self.without("--stop-cmd 'passenger stop --port 8080'"), delay="100ms")
        self.assertEqual(self.cut(run), 2, run.output())


class Nginx(servers.Nginx):
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


class HAProxy(servers.HAProxy):
    def test_usr1_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_term_alone_cuts_requests(self):
        self.cut(self.start(self.without("--rewrite TERM:USR1"), delay="100ms"))

    def test_an_image_that_asks_for_usr1_is_drained_by_stop_signal(self):
        run = self.start(lambda command: command.replace("--rewrite TERM:USR1", "--stop-signal USR1"))
        self.drain_and_stop(run, status=0, stop=signal.SIGUSR1)


class Apache(servers.Apache):
    def test_winch_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_term_alone_cuts_requests(self):
        self.cut(self.start(self.without("--rewrite TERM:WINCH"), delay="100ms"))

    def test_the_whole_group_may_get_winch(self):
        self.drain_and_stop(self.start(self.without("-c")), status=0)

    def test_apachectl_stops_without_c(self):
        self.drain_and_stop(self.start(lambda command: self.apachectl(self.without("-c")(command))), status=0)

    def test_apachectl_with_c_never_stops(self):
        run = self.start(self.apachectl, delay="100ms")
        run.signal(signal.SIGTERM)
        run.said(r"\[drain-init\] drained for .*process \d+")
        with self.assertRaises(subprocess.TimeoutExpired):
            run.process.wait(2)
        self.assertEqual(get(), (200, b"fast\n"))


class Caddy(servers.Caddy):
    def test_term_answers_all(self):
        self.drain_and_stop(self.start(), status=0)


class Envoy(servers.Envoy):
    def test_what_is_in_flight_is_answered_in_the_delay(self):
        self.drain_and_stop_by_the_delay(self.start())

    def test_what_outlasts_the_delay_is_cut(self):
        self.cut(self.start(delay="100ms"))


class PhpFpm(servers.PhpFpm):
    def test_quit_answers_all(self):
        run = self.start()
        self.drain_and_stop(run, status=0, keep=[self.nginx])

    def test_without_the_timeout_quit_cuts_requests(self):
        self.cut(self.start(timeout=False, delay="100ms"))

    def test_term_cuts_requests(self):
        self.cut(self.start(self.without("--rewrite TERM:QUIT"), delay="100ms"))


class Gunicorn(servers.Gunicorn):
    def test_term_to_the_master_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_threads_answer_all_too(self):
        self.drain_and_stop(self.start(self.threads), status=0)

    def test_the_whole_group_may_get_term(self):
        self.drain_and_stop(self.start(self.without("-c")), status=0)

    def test_int_as_the_stop_signal_is_rewritten_to_term(self):
        run = self.start(lambda command: command.replace(" -- ", " --stop-signal INT --rewrite INT:TERM -- "))
        self.drain_and_stop(run, status=0, stop=signal.SIGINT)

    def reload(self, edit):
        """HUP to drain-init while a request is in flight."""
        run = self.start(edit)
        slow = self.slow()
        run.signal(signal.SIGHUP)
        run.said("Hang up: Master")
        return run, slow

    def test_a_reload_by_hup_with_c_keeps_the_request(self):
        run, slow = self.reload(lambda command: command)
        run.said("Booting worker")
        (run.dir / "release").touch()
        self.assertEqual(slow.rest(), b"done\n")

    def test_a_reload_by_hup_without_c_cuts_it(self):
        run, slow = self.reload(self.without("-c"))
        with self.assertRaises(self.LOST):
            slow.rest()


class Uvicorn(servers.Uvicorn):
    def test_term_answers_all_and_its_143_becomes_0(self):
        self.drain_and_stop(self.start(), status=0)

    def test_workers_answer_all_too(self):
        self.drain_and_stop(self.start(self.workers), status=0)

    def test_its_own_status_is_143(self):
        self.drain_and_stop(self.start(self.without("--remap-exit 143")), status=143)

    def test_the_whole_group_of_workers_may_get_term(self):
        self.drain_and_stop(self.start(lambda command: self.workers(self.without("-c")(command))), status=0)


class Hypercorn(servers.Hypercorn):
    def test_term_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_by_default_it_cuts_requests_after_three_seconds(self):
        self.cut(self.start(self.without("--graceful-timeout 15"), delay="100ms"), after=3)


class Granian(servers.Granian):
    def test_term_answers_all(self):
        self.drain_and_stop(self.start(), status=0)


class Waitress(servers.Waitress):
    def test_int_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_term_cuts_requests(self):
        self.cut(self.start(self.without("--rewrite TERM:INT"), delay="100ms"))


class Npm(servers.Npm):
    def drain_and_stop_once(self, run, status):
        """The server answers everything, and receives TERM only once."""
        self.drain_and_stop(run, status)
        self.assertEqual(run.whole_output().count("server got TERM"), 1, run.output())

    def test_the_server_under_npm_answers_all(self):
        run = self.start()
        self.drain_and_stop_once(run, status=0)
        run.said(r"was killed by TERM, .* after it was sent TERM; waiting for the rest of its process group")

    def test_its_own_status_is_143(self):
        self.drain_and_stop(self.start(self.without("--remap-exit 143")), status=143)

    def test_npm_with_bash_as_its_shell_passes_the_signal_on_and_needs_c(self):
        run = self.start(lambda command: command.replace("npm start", "npm --script-shell bash start")
                         .replace(" --remap-exit 143", "").replace("drain-init", "drain-init -c"))
        self.drain_and_stop_once(run, status=0)

    def under(self, shell):
        run = self.start(lambda command: command.replace("npm start", f"{shell} -c 'node server.js; exit $?'"))
        self.drain_and_stop_once(run, status=0)
        run.said("waiting for the rest of its process group")

    def test_the_server_under_dash_answers_all(self):
        self.under("dash")
    
    def test_the_server_under_busybox_answers_all(self):
        self.under("busybox sh")
    
    def test_the_server_under_bash_answers_all(self):
        self.under("bash")

    def test_with_c_the_container_ends_with_npm_and_requests_are_cut(self):
        run = self.start(lambda command: command.replace("drain-init", "drain-init -c"), container=True, delay="100ms")
        self.cut(run)

    def test_without_a_drain_option_requests_are_cut_as_with_dumb_init(self):
        run = self.start(lambda command: command.replace(" --delay-term 10", ""), container=True)
        self.cut(run)


class Java(servers.Java):
    def test_the_hook_answers_all_and_143_becomes_0(self):
        self.drain_and_stop(self.start(), status=0)

    def test_its_own_status_is_143(self):
        self.drain_and_stop(self.start(self.without("--remap-exit 143")), status=143)

    def test_without_a_hook_requests_are_cut(self):
        self.cut(self.start(hook=False, delay="100ms"))


class Tomcat(servers.Tomcat):
    def test_with_both_settings_all_are_answered(self):
        self.drain_and_stop(self.start(), status=0)

    def test_its_own_status_is_143(self):
        self.drain_and_stop(self.start(self.without("--remap-exit 143")), status=143)

    def test_by_default_requests_are_cut_after_two_seconds(self):
        self.cut(self.start(settings=False, delay="100ms"), after=2)


class Go(servers.Go):
    def test_the_handler_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_without_a_handler_requests_are_cut(self):
        self.cut(self.start(handler=False, delay="100ms"))


class Node(servers.Node):
    def test_the_handler_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_without_a_handler_requests_are_cut(self):
        self.cut(self.start(handler=False, delay="100ms"))


class Pm2(servers.Pm2):
    def test_one_process_answers_all(self):
        self.drain_and_stop(self.start(), status=0)

    def test_a_cluster_answers_all(self):
        self.drain_and_stop(self.start(settings=self.cluster), status=0)

    def test_by_default_requests_are_cut_after_a_second_and_a_half(self):
        self.cut(self.start(settings=lambda text: text.replace(", kill_timeout: 15000", ""), delay="100ms"), after=1.5)

    def test_a_cluster_without_c_is_cut(self):
        self.cut(self.start(self.without("-c"), settings=self.cluster, delay="100ms"))


class InFront(servers.StopCommand):
    """What docs/stop-other-servers.md says about programs above and below drain-init."""

    section = "Node"

    def node(self, command):
        return servers.Run(self, command, files=["server.js"])

    def test_su_and_runuser_kill_the_server_two_seconds_after_term(self):
        for words in ("runuser -u nobody -- node server.js", "su -s /bin/sh nobody -c 'exec node server.js'"):
            with self.subTest(words=words):
                run = self.node(f"drain-init --delay-term 100ms -- {words}")
                self.cut(run.start(), after=2)
                self.doCleanups()

    def test_setpriv_and_chpst_let_it_finish(self):
        for words in ("setpriv --reuid=65534 --clear-groups node server.js", "chpst -u nobody node server.js"):
            with self.subTest(words=words):
                run = self.node(f"drain-init --delay-term 1s -- {words}").start()
                self.drain_and_stop(run, status=0)
                self.doCleanups()

    def test_a_helper_that_ignores_quit_does_not_hold_the_container(self):
        command = """drain-init --delay-term 1s --rewrite TERM:QUIT -- sh -c 'sleep 1000 & exec nginx -g "daemon off;"'"""
        run = servers.Run(self, command, files=["nginx.conf"], wrappers={"nginx": servers.NGINX})
        servers.Upstream(self, run.dir)
        self.drain_and_stop(run.start(), status=0)

    def services(self):
        """runsvdir with one service, node."""
        service = '#!/bin/sh\ncd "$APP" && exec node server.js 2>&1\n'
        text, = [text for language, text in servers.BLOCKS["Start scripts, su, runsvdir and supervisors"] if language == "sh"]
        run = self.node(text.strip().replace("/etc/service", '"$APP/services"'))
        (run.dir / "services/node").mkdir(parents=True)
        run.write("services/node/run", service)
        (run.dir / "services/node/run").chmod(0o755)
        return run

    def test_runsvdir_stops_its_services_by_the_stop_command(self):
        self.drain_and_stop(self.services().start(), status=111)

    def test_runsvdir_alone_leaves_its_services_running(self):
        run = self.services()
        run.command = re.sub("--stop-cmd '[^']*'", "", run.command)
        run.start()
        run.signal(signal.SIGTERM)
        run.exit_status()
        self.assertEqual(get(), (200, b"fast\n"))

    def test_a_killed_drain_init_leaves_the_server_and_its_port(self):
        run = self.node("drain-init --delay-term 10s -- node server.js").start()
        run.signal(signal.SIGKILL)
        run.process.wait()
        self.assertEqual(get(), (200, b"fast\n"))

    def test_close_alone_does_not_end_node_while_a_busy_client_stays(self):
        run = self.node("drain-init --delay-term 100ms -- node server.js")
        run.write("stop.js", "process.on('SIGTERM', () => server.close());\n")
        run.start()
        busy = Pool(self.addCleanup, size=1, interval=0.2, first="/late")
        wait_for("the late request", (run.dir / "begun-late").exists)
        run.signal(signal.SIGTERM)
        run.said("server got TERM")
        (run.dir / "release").touch()
        busy.wait("20 more answers", lambda: busy.clients[0].answers > 20, LIMIT)
        self.assertIsNone(run.process.poll())


class Pages(unittest.TestCase):
    def test_every_command_of_the_pages_has_a_test(self):
        tested = {case.section for case in globals().values() if isinstance(case, type) and issubclass(case, servers.StopCommand)}
        self.assertEqual(set(page_commands(*PAGES[:2])), tested)
