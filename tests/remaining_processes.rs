//! The wait for COMMAND's process group after a stop (STOP SEQUENCE in the manual page):
//! which processes still count as alive, and which of them get TERM or CONT. No answer may
//! be cut off, and no container may hang.

#![allow(unsafe_code)]

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::time::Instant;

use reliability::by_storm;
use support::*;

const SERVER: [&str; 1] = ["fork server"];

/// As PID 1 with these options and a short delay. COMMAND dies of the stop signal, as npm
/// and sh do. The processes that the script starts remain.
fn pid_1(options: &[&str], stop_signal: i32, script: &[&str]) -> Setup {
    let setup = init(options).arg("--delay-term=20ms").pid1();
    setup.exits_on(stop_signal, 3).script(script.iter().copied())
}

/// Waits until these processes are ready. Returns the init's process ID, which cannot be
/// looked up once COMMAND has exited.
fn started(run: &mut Run, names: &[&str]) -> Pid {
    for name in names {
        run.wait(name, "ready");
    }
    run.wait("main", "ready");
    run.pid()
}

/// Sends the stop signal, and waits until COMMAND has been reaped.
fn stop(run: &mut Run, init: Pid, signal: i32) {
    kill(init, signal);
    run.reaped("main");
}

/// Wakes the init repeatedly. Each wake makes it check the group again, more often than it
/// needs to conclude that the group is gone.
fn still_waits(run: &mut Run, init: Pid, name: &str) {
    kill(init, SIGUSR2);
    run.ended_or(name, &format!("signal {SIGUSR2}"));
    assert!(!run.has_ended(), "{}", run.story());
    run.received(name, SIGUSR2);
    for _ in 0..2 {
        kill(init, SIGUSR2);
        run.received(name, SIGUSR2);
        run.tell(name, "burst 1");
        run.wait(name, "burst done");
    }
    kill(init, SIGUSR2);
    run.received(name, SIGUSR2);
}

/// The stop signals that a process has received.
fn stops(run: &mut Run, name: &str) -> Vec<i32> {
    run.ping(name);
    stops_until_now(run, name)
}

fn stops_until_now(run: &mut Run, name: &str) -> Vec<i32> {
    let mut all = run.signals_except_cont(name);
    all.retain(|signal| *signal != SIGUSR2);
    all
}

/// The server is waited for, receives TERM once and may finish; then the init exits.
fn waits_for_server(mut run: Run, init: Pid) {
    still_waits(&mut run, init, "server");
    assert_eq!(stops(&mut run, "server"), [SIGTERM]);
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3);
}

// ------------------------------------------------ what counts as alive

#[test]
fn a_server_whose_main_thread_has_ended_may_finish_its_answer() {
    needs!(pid_namespace());
    let mut run = pid_1(&[], SIGTERM, &SERVER).spawn();
    let init = started(&mut run, &["server"]);
    run.tell("server", "retire");
    until_state(run.pid_of("server"), 'Z');
    stop(&mut run, init, SIGTERM);
    waits_for_server(run, init);
}

#[test]
fn a_command_whose_main_thread_has_ended_still_runs() {
    let mut run = init(["--delay-term=20ms"]).start();
    run.tell("main", "retire");
    until_state(run.pid_of("main"), 'Z');
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7);
}

#[test]
fn a_zombie_whose_name_looks_like_a_stat_line_is_not_waited_for() {
    needs!(pid_namespace());
    let (mut run, init) = with_a_member_of_another_parent(pid_1(&[], SIGTERM, &[]));
    run.tell("member", "name ) S 1 1 1 1");
    run.wait("member", "name 0");
    leave_a_zombie_with_command(&mut run, init);
    assert_eq!(run.status(), 3);
}

#[test]
fn a_server_whose_name_looks_like_a_stat_line_may_finish_its_answer() {
    needs!(pid_namespace());
    let mut run = pid_1(&[], SIGTERM, &SERVER).spawn();
    let init = started(&mut run, &["server"]);
    run.tell("server", "name ) Z 1 1 1 1");
    run.wait("server", "name 0");
    stop(&mut run, init, SIGTERM);
    waits_for_server(run, init);
}

/// Adds a process outside of COMMAND's group, `parent`, which has started a member of
/// the group, `member`.
fn with_a_member_of_another_parent(setup: Setup) -> (Run, Pid) {
    let mut run = setup.script(["fork parent group"]).spawn();
    let init = started(&mut run, &["parent"]);
    let group = run.hello("main")[2];
    run.tell("parent", &format!("fork member {group}"));
    run.wait("member", "ready");
    (run, init)
}

/// Stops COMMAND. Then `member` exits and stays a zombie, because `parent` is suspended
/// and reaps nothing.
fn leave_a_zombie_with_command(run: &mut Run, init: Pid) {
    let (parent, member) = (run.pid_of("parent"), run.pid_of("member"));
    stop(run, init, SIGTERM);
    // Not before COMMAND's exit, which orphans the parent's group and so continues it.
    kill(parent, SIGSTOP);
    until_state(parent, 'T');
    run.tell("member", "exit 0");
    until("the end of member", || stat(member).is_none_or(|member| member.state == 'Z'));
}

/// Hides a process from a /proc of [`scenarios::with_a_hiding_proc`].
fn hide(run: &mut Run, name: &str) {
    run.tell(name, "undumpable");
    run.wait(name, "undumpable 0");
}

fn a_hidden_server_may_finish(name: &str, how: &str) {
    if lacks(name, &[pid_namespace()]) {
        return;
    }
    let mut run = scenarios::with_a_hiding_proc(pid_1(&[], SIGTERM, &SERVER), how).spawn();
    let init = started(&mut run, &["server"]);
    hide(&mut run, "server");
    stop(&mut run, init, SIGTERM);
    waits_for_server(run, init);
}

#[test]
fn a_server_that_proc_does_not_list_may_finish_its_answer() {
    a_hidden_server_may_finish(
        "a_server_that_proc_does_not_list_may_finish_its_answer",
        "hidepid=2",
    );
}

#[test]
fn a_server_that_the_init_may_not_trace_and_proc_does_not_list_may_finish_its_answer() {
    a_hidden_server_may_finish(
        "a_server_that_the_init_may_not_trace_and_proc_does_not_list_may_finish_its_answer",
        "hidepid=4",
    );
}

#[test]
fn a_server_that_proc_lists_but_does_not_let_the_init_read_may_finish_its_answer() {
    a_hidden_server_may_finish(
        "a_server_that_proc_lists_but_does_not_let_the_init_read_may_finish_its_answer",
        "hidepid=1",
    );
}

#[test]
fn a_hidden_server_next_to_a_visible_zombie_may_finish_its_answer() {
    needs!(pid_namespace());
    // Each scan sees a member of the group, and that member is dead.
    let setup = scenarios::with_a_hiding_proc(pid_1(&[], SIGTERM, &SERVER), "hidepid=2");
    let (mut run, init) = with_a_member_of_another_parent(setup);
    run.wait("server", "ready");
    hide(&mut run, "server");
    leave_a_zombie_with_command(&mut run, init);
    still_waits(&mut run, init, "server");
    // Then the init can reap the zombie and notice that the group is gone.
    kill(run.pid_of("parent"), SIGKILL);
    waits_for_server(run, init);
}

#[test]
fn a_server_that_cannot_be_read_next_to_a_zombie_may_finish_its_answer() {
    needs!(pid_namespace(), native("strace would change the emulator's own calls"), strace());
    let (mut run, init) = with_a_member_of_another_parent(pid_1(&[], SIGTERM, &SERVER));
    run.wait("server", "ready");
    let [number, ..] = run.hello("server");
    let held = Held::off(init, &format!("/proc/{number}/stat"));
    leave_a_zombie_with_command(&mut run, init);
    still_waits(&mut run, init, "server");
    drop(held);
    kill(run.pid_of("parent"), SIGKILL);
    waits_for_server(run, init);
}

#[test]
fn if_proc_may_hide_processes_a_visible_zombie_proves_nothing() {
    needs!(pid_namespace());
    let over = scaled(800);
    for how in ["hidepid=2", "subset=pid"] {
        let setup = pid_1(&[&format!("--kill-after={over:?}")], SIGTERM, &[]);
        let setup = scenarios::with_a_hiding_proc(setup, how);
        let (mut run, init) = with_a_member_of_another_parent(setup);
        let start = Instant::now();
        leave_a_zombie_with_command(&mut run, init);
        // The init scans. There may be hidden members, which only KILL is certain to end.
        kill(init, SIGUSR2);
        let (at, status) = run.status_at();
        assert_eq!(status, 3);
        took(start, at, over);
    }
}

#[test]
fn if_the_options_of_proc_cannot_be_read_a_visible_zombie_proves_nothing() {
    needs!(
        pid_namespace(),
        subreaper(),
        native("strace would make the emulator's own calls fail"),
        strace(),
    );
    let strace = ["strace", "-qq", "-o", "/dev/null", "-P", "/proc/self/mounts"];
    let fails = ["--trace=?open,openat", "--inject=?open,openat:error=EACCES"];
    let over = scaled(800);
    let setup = init(["--delay-term=20ms"]).arg(format!("--kill-after={over:?}")).hosted();
    let setup = setup.wrapped(strace.into_iter().chain(fails)).exits_on(SIGTERM, 3);
    let (mut run, init) = with_a_member_of_another_parent(setup);
    let start = Instant::now();
    leave_a_zombie_with_command(&mut run, init);
    kill(init, SIGUSR2);
    let (at, status) = run.status_at();
    assert_eq!(status, 3);
    took(start, at, over);
}

#[test]
fn kill_after_ends_a_server_that_proc_hides() {
    needs!(pid_namespace(), strace());
    let options = ["--kill-after=300ms"];
    let mut run =
        scenarios::with_a_hiding_proc(pid_1(&options, SIGTERM, &SERVER), "hidepid=2").spawn();
    let init = started(&mut run, &["server"]);
    hide(&mut run, "server");
    let main = run.pid_of("main");
    // The clock can run out meanwhile, but KILL comes when TERM has had its effect.
    let held = Held::in_kill(init);
    let start = Instant::now();
    kill(init, SIGTERM);
    run.received("server", SIGTERM);
    until_state(main, 'Z');
    drop(held);
    let (at, status) = run.status_at();
    assert_eq!(status, 3);
    took(start, at, ms(300));
    run.gone("server");
    assert_eq!(stops_until_now(&mut run, "server"), [SIGTERM]);
}

/// When COMMAND exits, the init is limited to this number of descriptors.
fn a_server_may_finish_with_descriptors(name: &str, descriptors: u64) {
    if lacks(name, &[pid_namespace()]) {
        return;
    }
    let mut run = pid_1(&[], SIGTERM, &SERVER).spawn();
    let init = started(&mut run, &["server"]);
    limit(init, libc::RLIMIT_NOFILE, descriptors);
    stop(&mut run, init, SIGTERM);
    waits_for_server(run, init);
}

#[test]
fn with_one_free_descriptor_for_proc_a_server_may_finish_its_answer() {
    // Only 0 is free, so the init can list /proc but open nothing in it.
    a_server_may_finish_with_descriptors(
        "with_one_free_descriptor_for_proc_a_server_may_finish_its_answer",
        3,
    );
}

#[test]
fn without_a_free_descriptor_for_proc_a_server_may_finish_its_answer() {
    a_server_may_finish_with_descriptors(
        "without_a_free_descriptor_for_proc_a_server_may_finish_its_answer",
        0,
    );
}

#[test]
fn a_server_that_two_scans_have_missed_may_finish_its_answer() {
    needs!(pid_namespace(), native("strace would change the emulator's own calls"), strace());
    // /proc seems to list no process at all, but kill(2) finds the group.
    let setup = init(["--delay-term=20ms"]).exits_on(SIGTERM, 3).script(SERVER).hosted();
    let mut run = setup.failing(&["getdents64:retval=0"]).spawn();
    let init = started(&mut run, &["server"]);
    stop(&mut run, init, SIGTERM);
    waits_for_server(run, init);
}

#[test]
fn if_proc_cannot_be_listed_a_server_may_finish_its_answer() {
    needs!(pid_namespace(), native("the filter would apply to the emulator"));
    for filter in ["no-getdents", "no-getdents-on-this-kernel"] {
        let setup = pid_1(&[], SIGTERM, &SERVER).wrapped(by_storm(&["seccomp", filter]));
        let mut run = setup.spawn();
        let init = started(&mut run, &["server"]);
        stop(&mut run, init, SIGTERM);
        waits_for_server(run, init);
    }
}

#[test]
fn without_proc_a_server_may_finish_its_answer() {
    needs!(pid_namespace());
    let mut run = scenarios::without_proc(pid_1(&[], SIGTERM, &SERVER)).spawn();
    let init = started(&mut run, &["server"]);
    stop(&mut run, init, SIGTERM);
    waits_for_server(run, init);
}

#[test]
fn a_server_may_finish_its_answer_while_a_member_forks_and_exits_repeatedly() {
    needs!(pid_namespace(), native("strace would hold up the emulator's own calls"), strace());
    // /proc is listed before each process is read. By then the member is dead, and the
    // server, which the member has started meanwhile, is not in the list.
    let mut run = pid_1(&[], SIGTERM, &["orphan gap group", "fork member"]).spawn();
    let init = started(&mut run, &["gap", "member"]);
    let [number, ..] = run.hello("member");
    free_number_before(&mut run, number);
    let stat = format!("/proc/{number}/stat");
    let held = Held::before_open(init, &stat);
    stop(&mut run, init, SIGTERM);
    until("the scan reads the member", || is_before_open(init, &stat));
    run.tell("member", &format!("fork-as server {}", number - 1));
    run.wait("member", "fork-as true");
    run.wait("server", "ready");
    run.tell("member", "exit 0");
    run.gone("member");
    drop(held);
    still_waits(&mut run, init, "server");
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3);
}

/// `gap`, whose ID is `number - 1`, exits and is reaped.
fn free_number_before(run: &mut Run, number: Pid) {
    assert_eq!(run.hello("gap")[0], number - 1, "{}", run.story());
    run.tell("gap", "exit 0");
    run.reaped("gap");
}

// ------------------------------------- processes that ignore the stop signal

/// `helper` ignores this signal, as a process that a shell starts with `&` ignores INT and
/// QUIT.
fn ignores(run: &mut Run, helper: &str, signal: i32) {
    run.tell(helper, &format!("ignore {signal}"));
    run.ping(helper);
}

/// COMMAND has exited. The helper did not notice the stop signal, so it receives TERM once
/// and has time to exit.
fn helper_receives_term(mut run: Run, init: Pid) {
    run.received("helper", SIGTERM);
    still_waits(&mut run, init, "helper");
    assert_eq!(stops(&mut run, "helper"), [SIGTERM]);
    run.tell("helper", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn a_helper_that_ignores_the_rewritten_signal_receives_term_once() {
    needs!(pid_namespace());
    // The masks in /proc/PID/stat do not include real-time signals.
    for signal in [SIGHUP, SIGINT, SIGQUIT, 34, 64] {
        let case = format!("{}: signal {signal}", test_name!());
        if signal >= 34 && lacks(&case, &[native("the emulator renumbers real-time signals")]) {
            continue;
        }
        let options = ["--rewrite", &format!("TERM:{signal}")];
        let mut run = pid_1(&options, signal, &["fork helper"]).spawn();
        let init = started(&mut run, &["helper"]);
        ignores(&mut run, "helper", signal);
        stop(&mut run, init, SIGTERM);
        helper_receives_term(run, init);
    }
}

#[test]
fn a_helper_that_ignores_the_images_stop_signal_receives_term_once() {
    needs!(pid_namespace());
    let mut run = pid_1(&["--stop-signal=QUIT"], SIGQUIT, &["fork helper"]).spawn();
    let init = started(&mut run, &["helper"]);
    ignores(&mut run, "helper", SIGQUIT);
    stop(&mut run, init, SIGQUIT);
    helper_receives_term(run, init);
}

#[test]
fn a_helper_for_which_the_stop_signal_means_nothing_receives_term_once() {
    needs!(pid_namespace());
    // Apache stops on WINCH. A helper that neither catches nor blocks it never notices.
    for signal in [SIGWINCH, SIGURG, SIGCHLD] {
        let options = ["--rewrite", &format!("TERM:{signal}")];
        let mut run = pid_1(&options, signal, &["fork helper"]).spawn();
        let init = started(&mut run, &["helper"]);
        run.tell("helper", &format!("default {signal}"));
        run.ping("helper");
        stop(&mut run, init, SIGTERM);
        helper_receives_term(run, init);
    }
}

#[test]
fn a_background_job_of_a_shell_does_not_keep_the_container_up() {
    needs!(pid_namespace());
    let setup = init(["--delay-term=20ms", "--rewrite=TERM:QUIT"]).pid1();
    let probe = setup.probe_words("main", &["on 3 exit 0"]);
    let line = "tail -f /dev/null & exec \"$@\"";
    let words = ["--", "sh", "-c", line, "sh"].map(std::ffi::OsString::from);
    let mut run = setup.command(words.into_iter().chain(probe)).start();
    // Only then is it certain to ignore QUIT.
    until_executed(run.child(), "tail");
    run.signal(SIGTERM);
    assert_eq!(run.status(), 0);
}

#[test]
fn every_helper_that_ignores_the_stop_signal_receives_term_once() {
    needs!(pid_namespace());
    let script = ["fork helper", "fork other"];
    let mut run = pid_1(&["--rewrite=TERM:QUIT"], SIGQUIT, &script).spawn();
    let init = started(&mut run, &["helper", "other"]);
    for helper in ["helper", "other"] {
        ignores(&mut run, helper, SIGQUIT);
    }
    stop(&mut run, init, SIGTERM);
    run.received("other", SIGTERM);
    still_waits(&mut run, init, "other");
    assert_eq!(stops(&mut run, "other"), [SIGTERM]);
    run.tell("other", "exit 0");
    helper_receives_term(run, init);
}

#[test]
fn with_wait_all_a_helper_that_ignores_the_stop_signal_receives_term_once() {
    needs!(pid_namespace(), subreaper());
    // The same without a drain. The group received the stop signal, so --wait-all skips it.
    let setup = || init(["--wait-all", "--rewrite=TERM:QUIT"]).exits_on(SIGQUIT, 3);
    for setup in [setup().pid1(), setup().hosted(), setup().arg("--delay-term=20ms").pid1()] {
        let mut run = setup.script(["fork helper"]).spawn();
        let init = started(&mut run, &["helper"]);
        ignores(&mut run, "helper", SIGQUIT);
        stop(&mut run, init, SIGTERM);
        helper_receives_term(run, init);
    }
}

#[test]
fn a_helper_that_ignores_the_signal_after_a_stop_command_receives_term_once() {
    needs!(pid_namespace());
    // The stop command stops COMMAND alone, as `nginx -s quit` does.
    let setup = init(["--rewrite=TERM:QUIT", "--stop-cmd=kill -USR1 $MAINPID"]).pid1();
    let mut run = setup.exits_on(SIGUSR1, 3).script(["fork helper"]).spawn();
    let init = started(&mut run, &["helper"]);
    ignores(&mut run, "helper", SIGQUIT);
    stop(&mut run, init, SIGTERM);
    helper_receives_term(run, init);
}

#[test]
fn a_zombie_next_to_a_helper_that_ignores_the_stop_signal_does_not_count() {
    needs!(pid_namespace());
    let setup = pid_1(&["--rewrite=TERM:QUIT"], SIGQUIT, &["fork helper"]);
    let (mut run, init) = with_a_member_of_another_parent(setup);
    run.wait("helper", "ready");
    ignores(&mut run, "helper", SIGQUIT);
    leave_a_zombie_with_command(&mut run, init);
    helper_receives_term(run, init);
}

#[test]
fn a_helper_in_very_many_groups_that_ignores_the_stop_signal_receives_term_once() {
    needs!(pid_namespace());
    // The groups come before the signal masks in /proc/PID/status.
    let groups: Vec<u32> = (1_000_000_000..1_000_060_000).collect();
    let setup = pid_1(&["--rewrite=TERM:QUIT"], SIGQUIT, &["fork helper"]);
    let setup = setup.before_exec(move || {
        // SAFETY: the kernel reads that many numbers.
        unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
        Ok(())
    });
    let mut run = setup.spawn();
    let init = started(&mut run, &["helper"]);
    ignores(&mut run, "helper", SIGQUIT);
    assert!(status_line(run.pid_of("helper"), "Groups").len() > 500_000);
    stop(&mut run, init, SIGTERM);
    helper_receives_term(run, init);
}

/// With `TERM:INT`: COMMAND exits, and `master` and `worker` remain. The worker ignores
/// INT, as workers of Celery and puma do while their master finishes.
fn with_a_worker() -> (Run, Pid) {
    let script = ["fork master", "fork worker"];
    let mut run = pid_1(&["--rewrite=TERM:INT"], SIGINT, &script).spawn();
    let init = started(&mut run, &["master", "worker"]);
    ignores(&mut run, "worker", SIGINT);
    (run, init)
}

/// The worker is not signalled while its master runs, so no request is lost.
fn worker_is_spared(run: &mut Run, init: Pid) {
    stop(run, init, SIGTERM);
    still_waits(run, init, "worker");
    // The init also checks once a second without a signal.
    std::thread::sleep(ms(1200));
    still_waits(run, init, "worker");
    assert_eq!(stops(run, "worker"), [0; 0]);
}

#[test]
fn workers_that_ignore_the_stop_signal_receive_none_while_their_master_finishes() {
    needs!(pid_namespace());
    let (mut run, init) = with_a_worker();
    // A caught signal is not ignored either. By default, the probe blocks all signals.
    run.tell("master", &format!("catch {SIGINT}"));
    run.ping("master");
    worker_is_spared(&mut run, init);
    run.wait("master", "caught 02");
    run.tell("worker", "exit 0");
    run.tell("master", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn workers_that_ignore_the_stop_signal_receive_term_once_their_master_has_exited() {
    needs!(pid_namespace());
    let (mut run, init) = with_a_worker();
    worker_is_spared(&mut run, init);
    run.tell("master", "exit 0");
    run.received("worker", SIGTERM);
    run.tell("worker", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn a_process_that_blocks_the_stop_signal_and_waits_for_it_does_not_ignore_it() {
    needs!(pid_namespace());
    // This includes a signal that is ignored by default, because sigwait(3) receives it.
    for signal in [SIGINT, SIGWINCH] {
        let options = ["--rewrite", &format!("TERM:{signal}")];
        let mut run = pid_1(&options, signal, &SERVER).spawn();
        let init = started(&mut run, &["server"]);
        stop(&mut run, init, SIGTERM);
        run.received("server", signal);
        still_waits(&mut run, init, "server");
        assert_eq!(stops(&mut run, "server"), [signal]);
        run.tell("server", "exit 0");
        assert_eq!(run.status(), 3);
    }
}

#[test]
fn a_process_that_blocks_an_ignored_stop_signal_and_waits_for_it_does_not_ignore_it() {
    needs!(pid_namespace());
    // A nested init that a shell has started with `&` does this.
    let mut run = pid_1(&["--rewrite=TERM:INT"], SIGINT, &SERVER).spawn();
    let init = started(&mut run, &["server"]);
    run.tell("server", &format!("ignore-blocked {SIGINT}"));
    run.ping("server");
    stop(&mut run, init, SIGTERM);
    run.received("server", SIGINT);
    still_waits(&mut run, init, "server");
    assert_eq!(stops(&mut run, "server"), [SIGINT]);
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn a_helper_that_ignores_term_as_well_is_waited_for() {
    needs!(pid_namespace());
    for rewrite in ["TERM:QUIT", "TERM:TERM"] {
        let mut run =
            pid_1(&["--rewrite", rewrite], SIGTERM, &["on 3 exit 3", "fork helper"]).spawn();
        let init = started(&mut run, &["helper"]);
        ignores(&mut run, "helper", SIGQUIT);
        ignores(&mut run, "helper", SIGTERM);
        stop(&mut run, init, SIGTERM);
        still_waits(&mut run, init, "helper");
        run.tell("helper", "exit 0");
        assert_eq!(run.status(), 3);
    }
}

#[test]
fn a_hidden_process_that_ignores_the_stop_signal_is_waited_for() {
    needs!(pid_namespace());
    // Its disposition of the signal cannot be read.
    let setup = pid_1(&["--rewrite=TERM:QUIT"], SIGQUIT, &SERVER);
    let mut run = scenarios::with_a_hiding_proc(setup, "hidepid=2").spawn();
    let init = started(&mut run, &["server"]);
    ignores(&mut run, "server", SIGQUIT);
    hide(&mut run, "server");
    stop(&mut run, init, SIGTERM);
    still_waits(&mut run, init, "server");
    assert_eq!(stops(&mut run, "server"), [0; 0]);
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn a_process_whose_dispositions_cannot_be_read_is_waited_for() {
    needs!(pid_namespace(), native("strace would hold up the emulator's own calls"), strace());
    let mut run = pid_1(&["--rewrite=TERM:QUIT"], SIGQUIT, &["fork helper"]).spawn();
    let init = started(&mut run, &["helper"]);
    ignores(&mut run, "helper", SIGQUIT);
    let number = run.hello("helper")[0];
    let held = Held::off(init, &format!("/proc/{number}/status"));
    stop(&mut run, init, SIGTERM);
    still_waits(&mut run, init, "helper");
    assert_eq!(stops(&mut run, "helper"), [0; 0]);
    drop(held);
    helper_receives_term(run, init);
}

// --------------------------------------------------------- stopped processes

/// Stops a process as a debugger or `kill -STOP` does.
fn suspend(run: &mut Run, name: &str) {
    let pid = run.pid_of(name);
    kill(pid, SIGSTOP);
    until_state(pid, 'T');
}

/// As PID 1 with these options. COMMAND exits on `signal`.
fn a_stopped_member_receives_term(name: &str, options: &[&str], signal: i32) {
    if lacks(name, &[pid_namespace()]) {
        return;
    }
    let setup = init(options).pid1().exits_on(signal, 3).script(["fork helper"]);
    let mut run = setup.spawn();
    let init = started(&mut run, &["helper"]);
    suspend(&mut run, "helper");
    stop(&mut run, init, SIGTERM);
    helper_receives_term(run, init);
}

#[test]
fn a_member_that_is_stopped_receives_the_stop_signal_and_is_continued() {
    a_stopped_member_receives_term(test_name!(), &["--delay-term=20ms"], SIGTERM);
}

#[test]
fn a_member_that_is_stopped_when_a_stop_command_has_ended_command_is_continued() {
    a_stopped_member_receives_term(test_name!(), &["--stop-cmd=kill -USR1 $MAINPID"], SIGUSR1);
}

#[test]
fn a_member_that_is_stopped_when_a_stop_command_has_failed_is_continued() {
    a_stopped_member_receives_term(test_name!(), &["--stop-cmd=exit 1"], SIGTERM);
}

#[test]
fn a_member_that_is_stopped_is_continued_while_command_still_runs() {
    // COMMAND may wait for it.
    let mut run = init(["--delay-term=20ms"]).script(["fork helper"]).start();
    run.wait("helper", "ready");
    suspend(&mut run, "helper");
    run.signal(SIGTERM);
    run.received("helper", SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "exit 3");
    run.tell("helper", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn a_stopped_helper_that_ignored_the_stop_signal_receives_term_and_is_continued() {
    needs!(pid_namespace());
    let setup = init(["--delay-term=20ms", "--rewrite=TERM:QUIT"]).pid1();
    let mut run = setup.script(["fork helper"]).spawn();
    let init = started(&mut run, &["helper"]);
    ignores(&mut run, "helper", SIGQUIT);
    kill(init, SIGTERM);
    run.received("main", SIGQUIT);
    // Not before the CONT that follows QUIT.
    until_idle(init);
    suspend(&mut run, "helper");
    run.tell("main", "exit 3");
    helper_receives_term(run, init);
}

#[test]
fn cont_follows_the_stop_signal_of_a_drain_once() {
    let mut run = init(["--delay-term=20ms"]).script(["fork child"]).start();
    run.wait("child", "ready");
    run.signal(SIGTERM);
    for name in ["main", "child"] {
        run.received(name, SIGCONT);
        run.ping(name);
        assert_eq!(run.signals(name), [SIGTERM, SIGCONT]);
    }
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    assert_eq!(run.signals("main"), [SIGTERM, SIGCONT, SIGUSR1]);
}

#[test]
fn with_c_cont_follows_the_stop_signal_of_a_drain_to_command_alone() {
    let mut run = init(["-c", "--delay-term=20ms"]).script(["fork child"]).start();
    run.wait("child", "ready");
    run.signal(SIGTERM);
    run.received("main", SIGCONT);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGTERM, SIGCONT, SIGWINCH]);
    run.ping("child");
    assert_eq!(run.signals("child"), [0; 0]);
}

#[test]
fn without_a_drain_no_cont_follows_the_stop_signal() {
    for options in [&[][..], &["--kill-after=60"]] {
        let mut run = init(options).start();
        run.signal(SIGTERM);
        run.received("main", SIGTERM);
        run.barrier();
        assert_eq!(run.signals("main"), [SIGTERM, SIGWINCH], "{options:?}");
    }
}

#[test]
fn no_cont_follows_a_stop_signal_that_it_would_discard() {
    for signal in [SIGTSTP, SIGTTIN, SIGTTOU] {
        let rewrite = format!("TERM:{signal}");
        let mut run = init(["--delay-term=20ms", "--rewrite", &rewrite]).start();
        run.signal(SIGTERM);
        run.received("main", signal);
        run.barrier();
        assert_eq!(run.signals("main"), [signal, SIGWINCH]);
    }
}

#[test]
fn no_cont_follows_a_stop_signal_that_is_rewritten_to_stop() {
    let options = ["-v", "--delay-term=20ms", "--rewrite=TERM:STOP", "--kill-after=400ms"];
    let mut run = init(options).start();
    run.signal(SIGTERM);
    run.message("sent STOP to process group");
    assert_eq!(run.status(), 137);
    run.gone("main");
    assert_eq!(run.signals("main"), [0; 0]);
}

#[test]
fn no_cont_discards_a_drain_signal_of_the_same_step() {
    for signal in [SIGTSTP, SIGTTIN, SIGTTOU] {
        // The drain ends at once, so both signals are sent in one step.
        let mut run = init(["--drain-signal", &signal.to_string()]).start();
        run.signal(SIGTERM);
        run.received("main", SIGTERM);
        run.barrier();
        let mut received = run.signals("main");
        received.sort_unstable();
        let mut expected = [signal, SIGTERM, SIGWINCH];
        expected.sort_unstable();
        assert_eq!(received, expected);
    }
}

#[test]
fn a_command_that_is_known_to_be_stopped_is_continued_after_any_drain_signal() {
    let mut run = init(["--drain-signal=TSTP"]).start();
    suspend(&mut run, "main");
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.received("main", SIGCONT);
}

#[test]
fn cont_follows_the_stop_signal_after_a_drain_signal_of_an_earlier_step() {
    let mut run = init(["--drain-signal=TSTP"]).drain_cmd(&[]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTSTP);
    run.wait("drain", "ready");
    run.tell("drain", "exit 0");
    run.received("main", SIGCONT);
    run.ping("main");
    assert_eq!(run.signals("main"), [SIGTSTP, SIGTERM, SIGCONT]);
}

// ------------------------------------------- processes of another user

/// drain-init as an ordinary user. `helper`, a setuid program in COMMAND's group, has
/// become root. The setup must be one for any user. Returns None if setuid programs do not
/// work here.
fn with_a_setuid_helper(name: &str, setup: Setup) -> Option<(Run, Pid)> {
    if lacks(name, &[pid_namespace(), other_users()]) {
        return None;
    }
    let program = setup.path("setuid");
    executable(&program, std::fs::read(probe_path()).unwrap());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    std::fs::set_permissions(&program, mode).unwrap();
    let main = setup.probe_words("main", &["on 15 exit 3"]);
    let socket = main[1].to_str().unwrap();
    let line = format!("{} {socket} helper & exec \"$@\"", program.display());
    let words = ["--", "sh", "-c", &line, "sh"].map(std::ffi::OsString::from);
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut run = setup.wrapped(user).command(words.into_iter().chain(main)).spawn();
    let init = started(&mut run, &["helper"]);
    run.tell("helper", "become 0");
    let answers = ["become 0".to_string(), "become -1".to_string()];
    until("the answer", || run.said("helper").iter().any(|line| answers.contains(line)));
    if !run.said("helper").contains(&answers[0]) {
        skip(name, "/tmp is mounted with nosuid");
        return None;
    }
    Some((run, init))
}

const NOT_WAITING: &str =
    "the remaining processes belong to another user and cannot be signalled, not waiting";

#[test]
fn remaining_processes_that_cannot_be_signalled_are_reported_and_not_waited_for() {
    let setup = init(["--delay-term=20ms"]).for_any_user().pid1();
    let Some((mut run, init)) = with_a_setuid_helper(test_name!(), setup) else { return };
    let group = run.hello("helper")[2];
    stop(&mut run, init, SIGTERM);
    run.message(&format!("process group {group}: {NOT_WAITING}"));
    assert_eq!(run.status(), 3);
    assert_eq!(run.signals("helper"), [0; 0]);
    run.drain_output();
    assert_eq!(run.stderr().matches(NOT_WAITING).count(), 1);
}

#[test]
fn a_process_next_to_one_that_cannot_be_signalled_is_waited_for() {
    let setup = init(["--delay-term=20ms"]).for_any_user().pid1();
    let Some((mut run, init)) = with_a_setuid_helper(test_name!(), setup) else { return };
    run.tell("main", "fork server");
    run.wait("server", "ready");
    stop(&mut run, init, SIGTERM);
    still_waits(&mut run, init, "server");
    run.tell("server", "exit 0");
    run.message(NOT_WAITING);
    assert_eq!(run.status(), 3);
}

#[test]
fn a_process_that_could_not_be_signalled_before_still_receives_signals() {
    // The stop command is still waited for, and the number of the group stays valid.
    let setup = init::<_, &str>([]).for_any_user().stop_cmd(&[]).hosted();
    let Some((mut run, init)) = with_a_setuid_helper(test_name!(), setup) else { return };
    kill(init, SIGTERM);
    run.wait("stop", "ready");
    run.tell("main", "exit 3");
    run.reaped("main");
    kill(init, SIGUSR1);
    run.message("cannot send USR1");
    run.tell("helper", "become 65534");
    run.ping("helper");
    kill(init, SIGUSR2);
    run.received("helper", SIGUSR2);
    assert_eq!(run.signals("helper"), [SIGUSR2]);
    run.tell("stop", "exit 0");
    assert_eq!(run.status(), 3);
}
