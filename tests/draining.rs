//! From the stop signal until COMMAND is asked to stop: the delay, the drain signal and
//! the drain command.

mod support;

use std::time::Instant;

use support::*;

const NONE: [&str; 0] = [];

#[test]
fn delay_term_delays_the_stop_signal_for_that_long() {
    let mut run = init(["--delay-term", "200ms"]).exits_on(SIGTERM, 3).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    let at = run.received("main", SIGTERM);
    took(start, at, ms(200));
    assert_eq!(run.status(), 3);
}

#[test]
fn delay_term_works_as_pid_1() {
    needs!(pid_namespace());
    let mut run = init(["--delay-term", "200ms"]).exits_on(SIGTERM, 3).pid1().start();
    let pid = run.pid();
    let start = Instant::now();
    kill(pid, SIGTERM);
    let at = run.received("main", SIGTERM);
    took(start, at, ms(200));
    assert_eq!(run.status(), 3);
}

#[test]
fn delay_term_0_delays_nothing() {
    for delay in ["0", "0s", "0ms"] {
        let mut run = init(["--delay-term", delay]).exits_on(SIGTERM, 3).start();
        run.signal(SIGTERM);
        assert_eq!(run.status(), 3);
    }
}

#[test]
fn each_stop_signal_starts_the_drain() {
    for (name, signal) in [("QUIT", SIGQUIT), ("INT", SIGINT), ("RTMIN+3", 37)] {
        let mut run =
            init(["--stop-signal", name, "--stop-signal", "HUP", "--delay-term", "100ms"]).start();
        let start = Instant::now();
        run.signal(outside(signal));
        run.drain_begins();
        let at = run.received("main", outside(signal));
        took(start, at, ms(100));
    }
}

#[test]
fn with_a_stop_signal_given_term_is_an_ordinary_signal() {
    let mut run =
        init(["--stop-signal", "QUIT", "--delay-term", "60"]).exits_on(SIGTERM, 8).start();
    run.signal(SIGTERM);
    assert_eq!(run.status(), 8);
}

#[test]
fn a_second_term_does_not_cut_the_drain_short() {
    let mut run = init(["--delay-term", "60"]).start();
    run.signal(SIGTERM);
    run.drain_begins();
    for _ in 0..2 {
        run.signal(SIGTERM);
        run.message("ignored, already draining");
    }
    run.barrier();
    assert_eq!(run.signals("main"), [SIGWINCH]);
}

#[test]
fn a_different_stop_signal_is_also_discarded_in_the_drain() {
    let mut run = init(["--stop-signal", "TERM", "--stop-signal", "QUIT"]).drain_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    run.signal(SIGQUIT);
    run.message("received QUIT: ignored, already draining");
    run.tell("drain", "exit 0");
    run.received("main", SIGTERM);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGTERM, SIGCONT, SIGWINCH]);
}

#[test]
fn every_other_signal_is_delivered_in_the_drain() {
    let mut run = init(["--delay-term", "60", "-r", "10:12"]).start();
    run.signal(SIGTERM);
    run.drain_begins();
    for (sent, arrives) in [(SIGINT, SIGINT), (SIGHUP, SIGHUP), (SIGUSR1, SIGUSR2), (40, 40)] {
        run.signal(sent);
        run.received("main", arrives);
    }
}

#[test]
fn an_interrupt_still_ends_command_in_the_drain() {
    let setup = init(["--delay-term", "60"]);
    assert_eq!(scenarios::an_interrupt_in_the_drain(setup, |run| run.signal(SIGINT)), 130);
}

#[test]
fn the_exit_of_command_ends_the_drain_at_once() {
    let mut run = init(["--delay-term", "60"]).start();
    run.signal(SIGTERM);
    run.drain_begins();
    run.tell("main", "exit 9");
    assert_eq!(run.status(), 9);
}

#[test]
fn when_command_exits_in_the_drain_the_stop_command_is_not_run() {
    let mut run = init(["--delay-term", "60"]).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.drain_begins();
    run.tell("main", "exit 9");
    assert_eq!(run.status(), 9);
    assert_eq!(run.names(), ["main"]);
}

#[test]
fn when_command_exits_in_the_drain_the_drain_command_gets_term_and_is_not_waited_for() {
    needs!(pid_namespace());
    let mut run = init(["--delay-term", "60"]).drain_cmd(&["fork helper"]).hosted().start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    run.wait("helper", "ready");
    run.tell("main", "exit 9");
    assert_eq!(run.status(), 9);
    run.received("drain", SIGTERM);
    run.ping("drain");
}

#[test]
fn the_drain_signal_goes_to_command_alone_and_once() {
    let mut run = init(["--drain-signal", "USR1"]).drain_cmd(&[]).script(["fork child"]).start();
    run.wait("child", "ready");
    run.signal(SIGTERM);
    run.received("main", SIGUSR1);
    run.wait("drain", "ready");
    run.signal(SIGTERM);
    run.message(": ignored, ");
    run.tell("drain", "exit 0");
    run.received("main", SIGTERM);
    run.received("child", SIGTERM);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGUSR1, SIGTERM, SIGCONT, SIGWINCH]);
    run.received("child", SIGWINCH);
    assert_eq!(run.signals_except_cont("child"), [SIGTERM, SIGWINCH]);
}

#[test]
fn the_drain_signal_is_reported_as_sent_to_command_alone() {
    let mut run = init(["-v", "--delay-term=20ms", "--drain-signal=USR1"]).start();
    let main = run.pid_of("main");
    run.signal(SIGTERM);
    run.message(&format!("sent USR1 to process {main}\n"));
    run.message(&format!("sent TERM to process group {main}\n"));
}

#[test]
fn the_drain_signal_is_not_rewritten() {
    let mut run = init(["--drain-signal", "TSTP", "--delay-term", "60", "-r", "20:10"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTSTP);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGTSTP, SIGWINCH]);
}

#[test]
fn a_drain_signal_tstp_does_not_stop_anything() {
    // For Sidekiq. The signal is sent as TSTP, not as STOP, and the init keeps running.
    let mut run = init(["--drain-signal", "TSTP"]).drain_cmd(&[]).start();
    run.signal(SIGTERM);
    // Before the CONT that follows TERM, which would discard it.
    run.received("main", SIGTSTP);
    run.wait("drain", "ready");
    run.tell("drain", "exit 0");
    run.received("main", SIGTERM);
    assert!(!run.was_stopped());
}

#[test]
fn a_drain_signal_alone_does_not_delay_the_stop_signal() {
    let mut run = init(["--drain-signal", "USR1"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGUSR1);
    run.received("main", SIGTERM);
}

#[test]
fn a_drain_command_alone_makes_the_drain_last_as_long_as_it_runs() {
    let mut run = init(NONE).drain_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    run.signal(SIGTERM);
    run.message("ignored, already draining");
    assert_eq!(run.signals("main"), []);
    run.tell("drain", "exit 0");
    run.received("main", SIGTERM);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGTERM, SIGCONT, SIGWINCH]);
}

#[test]
fn a_drain_command_does_not_lengthen_a_delay() {
    needs!(pid_namespace());
    let mut run = init(["--delay-term", "100ms"]).drain_cmd(&[]).hosted().start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    run.received("main", SIGTERM);
    run.ping("drain");
}

#[test]
fn a_drain_command_does_not_shorten_a_delay() {
    let mut run = init(["--delay-term", "300ms"]).drain_cmd(&["exit 0"]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    run.gone("drain");
    let at = run.received("main", SIGTERM);
    took(start, at, ms(300));
}

#[test]
fn the_failure_of_the_drain_command_is_reported_and_changes_nothing() {
    for end in ["exit 3", "die 9"] {
        let mut run = init(["--delay-term", "200ms"]).drain_cmd(&[end]).start();
        let start = Instant::now();
        run.signal(SIGTERM);
        run.message(if end == "exit 3" { "3" } else { "KILL" });
        let at = run.received("main", SIGTERM);
        took(start, at, ms(200));
    }
}

#[test]
fn the_failure_of_a_drain_command_alone_ends_the_drain() {
    let mut run = init(NONE).drain_cmd(&["exit 3"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
}

#[test]
fn a_drain_command_that_vanished_is_reported_and_changes_nothing() {
    let setup = init(["--delay-term", "100ms"]);
    let program = setup.path("program");
    executable(&program, "#!/bin/sh\n");
    let mut run = setup.arg("--drain-cmd").arg(format!("[\"{}\"]", program.display())).start();
    std::fs::remove_file(&program).unwrap();
    let start = Instant::now();
    run.signal(SIGTERM);
    run.message(&format!("cannot run '{}': No such file or directory\n", program.display()));
    run.message("the drain command failed with status 127\n");
    let at = run.received("main", SIGTERM);
    took(start, at, ms(100));
}
