//! The stop command, and the stop signal that follows a drain without one.

mod support;

use std::time::Instant;

use support::*;

const NONE: [&str; 0] = [];

#[test]
fn after_the_drain_the_stop_signal_is_rewritten_as_asked() {
    let mut run = init(["--delay-term", "50ms", "-r", "15:3"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGQUIT);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGQUIT, SIGCONT, SIGWINCH]);
}

#[test]
fn a_signal_rewritten_to_a_stop_signal_starts_no_drain() {
    // The received signal counts, not the one it is rewritten to.
    let mut run = init(["--delay-term", "60", "-r", "INT:TERM"]).start();
    run.signal(SIGINT);
    run.received("main", SIGTERM);
}

#[test]
fn a_stop_signal_that_is_rewritten_to_0_is_not_delivered() {
    let mut run = init(["--delay-term", "50ms", "-r", "15:0"]).start();
    run.signal(SIGTERM);
    run.message("drained for");
    run.barrier();
    assert_eq!(run.signals("main"), [SIGWINCH]);
}

#[test]
fn after_the_drain_further_stop_signals_are_delivered() {
    let mut run = init(["--delay-term", "50ms"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
}

#[test]
fn the_stop_command_runs_instead_of_the_signal() {
    let mut run = init(["--delay-term", "100ms"]).stop_cmd(&[]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    let at = run.wait("stop", "ready");
    took(start, at, ms(100));
    run.tell("stop", "exit 0");
    run.reaped("stop");
    run.barrier();
    assert_eq!(run.signals("main"), [SIGWINCH]);
    run.tell("main", "exit 5");
    assert_eq!(run.status(), 5);
}

#[test]
fn a_stop_command_alone_runs_at_once() {
    let mut run = init(NONE).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
}

#[test]
fn the_stop_command_runs_once() {
    let mut run = init(NONE).stop_cmd(&["exit 0"]).start();
    run.signal(SIGTERM);
    run.reaped("stop");
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    assert_eq!(run.names(), ["main", "stop"]);
}

#[test]
fn while_the_stop_command_runs_stop_signals_are_discarded() {
    let mut run = init(NONE).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.signal(SIGTERM);
    run.message(": ignored, ");
    run.signal(SIGINT);
    run.received("main", SIGINT);
    assert_eq!(run.signals("main"), [SIGINT]);
    // Once it has ended they are delivered.
    run.tell("stop", "exit 0");
    run.reaped("stop");
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
}

#[test]
fn a_stop_command_that_fails_is_reported_and_the_signal_is_delivered() {
    for (end, how) in [("exit 3", "failed with status 3"), ("die 9", "was killed by KILL")] {
        let mut run = init(["--delay-term", "20ms"]).stop_cmd(&[end]).start();
        run.signal(SIGTERM);
        run.gone("stop");
        run.message(&format!("the stop command {how}: sending TERM to "));
        run.received("main", SIGTERM);
    }
}

#[test]
fn a_stop_command_that_cannot_be_started_is_reported_and_the_signal_is_delivered() {
    let setup = init(["--delay-term", "20ms"]);
    let program = setup.path("program");
    executable(&program, "#!/bin/sh\n");
    let mut run = setup.arg("--stop-cmd").arg(format!("[\"{}\"]", program.display())).start();
    std::fs::remove_file(&program).unwrap();
    run.signal(SIGTERM);
    run.message(&format!("cannot run '{}': No such file or directory\n", program.display()));
    run.message("the stop command failed with status 127: sending TERM to ");
    run.received("main", SIGTERM);
}

#[test]
fn a_stop_command_that_cannot_be_forked_is_reported_and_the_signal_is_delivered() {
    needs!(pid_namespace(), native("the emulator needs threads of its own"), other_users());
    // The user has no processes but the init and COMMAND, which are as many as it may have.
    let mut run =
        init(["--delay-term", "20ms"]).for_any_user().stop_cmd(&[]).limited_to_processes(2).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.message("cannot start the stop command: Resource temporarily unavailable\n");
    run.message("the stop command could not be started: sending TERM to ");
    assert_eq!(run.names(), ["main"]);
}

#[test]
fn after_a_failed_stop_command_the_signal_is_rewritten_as_asked() {
    let mut run = init(["-r", "15:3"]).stop_cmd(&["exit 1"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGQUIT);
}

#[test]
fn after_a_failed_stop_command_a_signal_rewritten_to_0_is_delivered_itself() {
    let mut run = init(["-r", "15:0"]).stop_cmd(&["exit 1"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
}

#[test]
fn a_stop_command_can_signal_command_by_its_mainpid() {
    // As in the shell recipe: `--rewrite 15:0`, and a command that stops the server.
    let mut run = init(["-r", "15:0", "--delay-term", "50ms", "--stop-cmd", "kill -INT $MAINPID"])
        .exits_on(SIGINT, 0)
        .start();
    run.signal(SIGTERM);
    assert_eq!(run.status(), 0);
    run.gone("main");
    assert_eq!(run.signals("main"), [SIGINT]);
}
