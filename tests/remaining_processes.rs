//! The wait for COMMAND's process group after a stop, in the manual page a part of
//! THE STOP, STEP BY STEP: which processes still count as alive, and which of them
//! get TERM or CONT, so that no answer is cut and no container hangs.

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::time::Instant;

use reliability::by_storm;
use support::*;

const SERVER: [&str; 1] = ["fork server"];

/// As PID 1 with these options and a short delay. COMMAND dies of the stop signal, as
/// npm and sh do, and leaves what the script starts.
fn pid_1(options: &[&str], stop_signal: i32, script: &[&str]) -> Setup {
    let setup = init(options).arg("--delay-term=20ms").pid1();
    setup.exits_on(stop_signal, 3).script(script.iter().copied())
}

/// Waits until these processes are ready, and returns the init's process ID, which
/// cannot be asked for once COMMAND has exited.
fn started(run: &mut Run, names: &[&str]) -> Pid {
    for name in names {
        run.wait(name, "ready");
    }
    run.wait("main", "ready");
    run.pid()
}

/// Sends the stop signal, and waits until COMMAND is gone.
fn stop(run: &mut Run, init: Pid, signal: i32) {
    kill(init, signal);
    run.reaped("main");
}

/// Each of these wakes makes the init look at the group again: more looks than it
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

/// The signals that ask a process to stop, of those that it has received.
fn stops(run: &mut Run, name: &str) -> Vec<i32> {
    run.ping(name);
    let all = run.signals(name);
    all.into_iter().filter(|signal| ![SIGCONT, SIGUSR2].contains(signal)).collect()
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
    if without_root("a_server_whose_main_thread_has_ended_may_finish_its_answer") {
        return;
    }
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
    let name = "a_zombie_whose_name_looks_like_a_stat_line_is_not_waited_for";
    if without_root(name) {
        return;
    }
    let (mut run, init) = with_a_member_of_another_parent(pid_1(&[], SIGTERM, &[]));
    run.tell("member", "name ) S 1 1 1 1");
    run.wait("member", "name 0");
    leave_a_zombie_with_command(&mut run, init);
    assert_eq!(run.status(), 3);
}

#[test]
fn a_server_whose_name_looks_like_a_stat_line_may_finish_its_answer() {
    let name = "a_server_whose_name_looks_like_a_stat_line_may_finish_its_answer";
    if without_root(name) {
        return;
    }
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

/// COMMAND is stopped, and `member` exits and stays a zombie, because `parent` is stopped
/// and reaps nothing.
fn leave_a_zombie_with_command(run: &mut Run, init: Pid) {
    let (parent, member) = (run.pid_of("parent"), run.pid_of("member"));
    stop(run, init, SIGTERM);
    // Not before COMMAND's exit, which orphans the parent's group and continues it.
    kill(parent, SIGSTOP);
    until_state(parent, 'T');
    run.tell("member", "exit 0");
    until("the end of member", || stat(member).is_none_or(|member| member.state == 'Z'));
}

const UNPRIVILEGED: [&str; 6] = [
    "setpriv",
    "--reuid=54321",
    "--regid=54321",
    "--clear-groups",
    "--inh-caps=-all",
    "--bounding-set=-all",
];

/// Without privileges, and with a /proc that hides what this user may not see: another
/// user's processes, and its own that are not dumpable, as those with file capabilities.
fn hiding(setup: Setup, how: &str) -> Setup {
    let mount = format!("mount -t proc -o {how} proc /proc");
    scenarios::in_changed_mounts(setup.for_any_user(), &mount).wrapped(UNPRIVILEGED)
}

fn hide(run: &mut Run, name: &str) {
    run.tell(name, "undumpable");
    run.wait(name, "undumpable 0");
}

fn a_hidden_server_may_finish(name: &str, how: &str) {
    if without_root(name) {
        return;
    }
    let mut run = hiding(pid_1(&[], SIGTERM, &SERVER), how).spawn();
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
fn a_hidden_server_beside_a_visible_zombie_may_finish_its_answer() {
    let name = "a_hidden_server_beside_a_visible_zombie_may_finish_its_answer";
    if without_root(name) {
        return;
    }
    // What every scan sees is a member of the group, and it is dead.
    let setup = hiding(pid_1(&[], SIGTERM, &SERVER), "hidepid=2");
    let (mut run, init) = with_a_member_of_another_parent(setup);
    run.wait("server", "ready");
    hide(&mut run, "server");
    leave_a_zombie_with_command(&mut run, init);
    waits_for_server(run, init);
}

#[test]
fn where_proc_may_hide_processes_a_visible_zombie_proves_nothing() {
    let name = "where_proc_may_hide_processes_a_visible_zombie_proves_nothing";
    if without_root(name) {
        return;
    }
    for how in ["hidepid=2", "subset=pid"] {
        let setup = hiding(pid_1(&["--kill-after=800ms"], SIGTERM, &[]), how);
        let (mut run, init) = with_a_member_of_another_parent(setup);
        let start = Instant::now();
        leave_a_zombie_with_command(&mut run, init);
        // It looks, and there could be others, which only KILL is sure to end.
        kill(init, SIGUSR2);
        let (at, status) = run.status_at();
        assert_eq!(status, 3);
        took(start, at, ms(800));
    }
}

#[test]
fn kill_after_ends_a_server_that_proc_hides() {
    let name = "kill_after_ends_a_server_that_proc_hides";
    if without_root(name) {
        return;
    }
    let options = ["--kill-after=300ms"];
    let mut run = hiding(pid_1(&options, SIGTERM, &SERVER), "hidepid=2").spawn();
    let init = started(&mut run, &["server"]);
    hide(&mut run, "server");
    let start = Instant::now();
    stop(&mut run, init, SIGTERM);
    let (at, status) = run.status_at();
    assert_eq!(status, 3);
    took(start, at, ms(300));
    assert_eq!(run.signals("server"), [SIGTERM]);
}

/// The init has no descriptor left in the moment in which COMMAND exits.
fn a_server_may_finish_with_descriptors(name: &str, limit: u64) {
    if without_root(name) {
        return;
    }
    let mut run = pid_1(&[], SIGTERM, &SERVER).spawn();
    let init = started(&mut run, &["server"]);
    limit_descriptors(init, limit);
    stop(&mut run, init, SIGTERM);
    waits_for_server(run, init);
}

#[test]
fn with_one_free_descriptor_for_proc_a_server_may_finish_its_answer() {
    // 0 is free: it can list /proc, and open nothing in it.
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
fn where_proc_cannot_be_listed_a_server_may_finish_its_answer() {
    let name = "where_proc_cannot_be_listed_a_server_may_finish_its_answer";
    if without_root(name) || under_emulator(name, "the filter is the machine's own") {
        return;
    }
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
    if without_root("without_proc_a_server_may_finish_its_answer") {
        return;
    }
    let mut run = scenarios::without_proc(pid_1(&[], SIGTERM, &SERVER)).spawn();
    let init = started(&mut run, &["server"]);
    stop(&mut run, init, SIGTERM);
    waits_for_server(run, init);
}

#[test]
fn a_server_may_finish_its_answer_while_a_member_passes_its_place_on() {
    let name = "a_server_may_finish_its_answer_while_a_member_passes_its_place_on";
    if without_root(name) || under_emulator(name, "strace would hold up the emulator's own calls") {
        return;
    }
    // The listing of /proc is older than what is read of each process: the member is
    // dead by then, and the server, which it has started meanwhile, is not listed.
    let mut run = pid_1(&[], SIGTERM, &["orphan gap group", "fork member"]).spawn();
    let init = started(&mut run, &["gap", "member"]);
    let [number, ..] = run.hello("member");
    free_number_before(&mut run, number);
    let stat = format!("/proc/{number}/stat");
    let held = Held::before_open(init, &stat);
    stop(&mut run, init, SIGTERM);
    until_before_open(init, &stat);
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

/// The process with the number before this one exits and is reaped.
fn free_number_before(run: &mut Run, number: Pid) {
    assert_eq!(run.hello("gap")[0], number - 1, "{}", run.story());
    run.tell("gap", "exit 0");
    run.reaped("gap");
}
