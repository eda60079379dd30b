//! The end of NOTES in the manual page: the behaviour that users of tini rely on. These
//! tests pass with Debian's tini 0.19 (`INIT_UNDER_TEST=/usr/bin/tini`) and with
//! drain-init.
//!
//! Intended differences are left out. drain-init has tini's options `-s -p -g -e -w`, but
//! its `-v` is dumb-init's, and it signals the process group by default.

mod support;
use support::*;

const NONE: [&str; 0] = [];

#[test]
fn it_exits_with_the_status_of_command() {
    needs!(pid_namespace());
    for status in [0, 1, 42, 143] {
        assert_eq!(scenarios::when_command_exits(init(NONE).pid1(), status), status);
    }
}

#[test]
fn it_exits_with_128_and_the_number_of_the_signal_that_killed_command() {
    for signal in [SIGTERM, SIGKILL, SIGHUP] {
        assert_eq!(scenarios::when_command_is_killed(init(["-s"]), signal), 128 + signal);
    }
}

#[test]
fn remap_exit_turns_a_status_into_0() {
    let setup = init(["-s", "-e", "143", "-e", "7"]);
    assert_eq!(scenarios::when_command_is_killed(setup, SIGTERM), 0);
    assert_eq!(scenarios::when_command_exits(init(["-s", "-e143", "-e7"]), 7), 0);
    assert_eq!(scenarios::when_command_exits(init(["-s", "-e", "143"]), 142), 142);
}

#[test]
fn remap_exit_of_nonsense_is_refused() {
    for code in ["256", "-1", "x"] {
        let finished = init(["-s", "-e", code]).finish();
        assert_eq!(finished.status, 1, "{code}");
        assert!(finished.started.is_empty());
    }
}

#[test]
fn command_that_is_missing_gives_127() {
    let finished = init(["-s"]).command(["--", "/nowhere/at-all"]).finish();
    assert_eq!(finished.status, 127);
}

#[test]
fn command_that_is_not_executable_gives_126() {
    let finished = init(["-s"]).command(["--", "/etc/passwd"]).finish();
    assert_eq!(finished.status, 126);
}

#[test]
fn no_command_gives_1() {
    assert_eq!(init(["-s"]).command::<&str>([]).finish().status, 1);
}

#[test]
fn an_unknown_option_gives_1() {
    let finished = init(["-s", "-z"]).finish();
    assert_eq!(finished.status, 1);
    assert!(finished.started.is_empty());
}

#[test]
fn with_group_signals_reach_the_whole_group() {
    scenarios::signals_reach_the_group(init(["-s", "-g"]), &[SIGHUP, SIGUSR1, SIGTERM]);
}

#[test]
fn it_forwards_signals() {
    // tini does not forward fault signals or TTIN and TTOU.
    let signals = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGURG, SIGWINCH];
    scenarios::signals_reach_command(init(["-s"]), &signals);
}

#[test]
fn as_a_subreaper_it_adopts_and_reaps_orphans() {
    needs!(subreaper());
    scenarios::an_orphan_is_adopted_and_reaped(init(["-s"]));
}

#[test]
fn as_pid_1_it_reaps_orphans() {
    needs!(pid_namespace());
    scenarios::an_orphan_is_adopted_and_reaped(init(NONE).pid1());
}

#[test]
fn warn_on_reap_reports_a_reaped_orphan() {
    needs!(subreaper());
    let mut run = init(["-s", "-w"]).script(["orphan one"]).start();
    run.wait("one", "ready");
    let orphan = run.pid_of("one");
    run.tell("one", "exit 5");
    let line = run.message(&orphan.to_string());
    assert!(line.to_lowercase().contains("reaped"), "{line}");
}

#[test]
fn without_warn_on_reap_nothing_is_reported() {
    needs!(subreaper());
    let mut run = init(["-s"]).script(["orphan one"]).start();
    run.wait("one", "ready");
    let orphan = run.pid_of("one");
    run.tell("one", "exit 5");
    until("the orphan's reaping", || stat(orphan).is_none());
    run.tell("main", "exit 0");
    assert_eq!(run.status(), 0);
    run.drain_output();
    assert_eq!(run.stderr(), "");
}

#[test]
fn pdeathsig_is_sent_when_the_parent_dies() {
    // tini accepts only signal names that begin with SIG.
    let name = if tini() { "SIGUSR1" } else { "USR1" };
    scenarios::command_learns_of_the_parents_death(init(["-s", "-p", name]), SIGUSR1);
}

fn tini() -> bool {
    is_init(&init_path(), "tini")
}

#[test]
fn command_sees_the_dispositions_that_the_init_inherited() {
    needs!(native("qemu-user hands on default dispositions"));
    let mut run = init(["-s"]).ignoring(SIGPIPE).ignoring(SIGHUP).start();
    assert_eq!(run.ask("main", "ignored"), ["1", "13"]);
    assert_eq!(run.ask("main", "blocked"), [] as [String; 0]);

    let mut run = init(["-s"]).start();
    assert_eq!(run.ask("main", "ignored"), [] as [String; 0]);
}

#[test]
fn the_terminal_is_handed_over() {
    let mut run = init(["-s"]).terminal(Terminal::Leader).start();
    let tty = run.ask("main", "tty");
    let group = run.hello("main")[2];
    assert!(tty[0].starts_with("stdin=1"), "{tty:?}");
    assert!(tty[0].ends_with(&format!("foreground={group} controlling=true")), "{tty:?}");
    run.type_in(b"\x03");
    run.received("main", SIGINT);
}

#[test]
fn command_receives_its_arguments_and_environment_unchanged() {
    let mut run = init(["-s"]).clear_env().env("ONLY", "this").start();
    assert_eq!(run.ask("main", "env"), ["ONLY=this"]);
}
