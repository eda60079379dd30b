//! Scenarios: what may be expected of any init, told once. Tests of drain-init
//! and the compliance tests put the init together and run these with it.
//!
//! A scenario returns what it saw where inits may differ, for the caller to
//! judge, and asserts the rest. A failure names the init (see [`Run::story`]).

use super::{
    Run, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGWINCH, Setup, children,
    kill, stat, until, until_state,
};

// ------------------------------------------------------------- exit status

/// COMMAND exits with this status: that of the init.
pub fn when_command_exits(setup: Setup, status: i32) -> i32 {
    let mut run = setup.start();
    run.tell("main", &format!("exit {status}"));
    run.status()
}

/// COMMAND is killed by this signal: the init's status.
pub fn when_command_is_killed(setup: Setup, signal: i32) -> i32 {
    let mut run = setup.start();
    run.tell("main", &format!("die {signal}"));
    run.status()
}

// ---------------------------------------------------------------- delivery

/// Each of these signals reaches COMMAND, unchanged and once.
pub fn signals_reach_command(setup: Setup, signals: &[i32]) {
    let mut run = setup.start();
    for &signal in signals {
        run.signal(signal);
        run.received("main", signal);
    }
    assert_eq!(run.signals("main"), signals, "{}", run.story());
}

/// Each of these signals reaches COMMAND and a child in its group.
pub fn signals_reach_the_group(setup: Setup, signals: &[i32]) {
    let mut run = setup.script(["fork child"]).start();
    run.wait("child", "ready");
    assert_eq!(run.hello("child")[2], run.hello("main")[0], "{}", run.story());
    for &signal in signals {
        run.signal(signal);
        run.received("main", signal);
        run.received("child", signal);
    }
}

/// Each of these signals reaches COMMAND, and its child none.
pub fn signals_reach_command_alone(setup: Setup, signals: &[i32]) {
    let mut run = setup.script(["fork child"]).start();
    run.wait("child", "ready");
    for &signal in signals {
        run.signal(signal);
        run.received("main", signal);
    }
    run.ping("child");
    assert_eq!(run.signals("child"), [], "{}", run.story());
    // The child ends when it is hung up on.
}

/// COMMAND ends on TERM, and the init says nothing of it: its status.
pub fn a_stop_without_a_word(setup: Setup, status: i32) -> i32 {
    let mut run = setup.exits_on(SIGTERM, status).start();
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.signal(SIGTERM);
    let status = run.status();
    run.drain_output();
    assert_eq!((run.stdout(), run.stderr()), (String::new(), String::new()), "{}", run.story());
    status
}

/// COMMAND, in the drain, is interrupted in this way, and ends: the status.
pub fn an_interrupt_in_the_drain(setup: Setup, interrupt: fn(&mut Run)) -> i32 {
    let mut run = setup.exits_on(SIGINT, 130).start();
    run.signal(SIGTERM);
    run.message("draining for");
    interrupt(&mut run);
    run.status()
}

// ------------------------------------------------------------- what is left

/// COMMAND exits by itself, and so does the init: what signals it has sent to a
/// child that COMMAND has left. It needs a place for orphans.
pub fn signals_to_what_command_leaves(setup: Setup) -> Vec<i32> {
    let mut run = setup.script(["fork child"]).start();
    run.wait("child", "ready");
    run.tell("main", "exit 3");
    assert_eq!(run.status(), 3, "{}", run.story());
    run.ping("child");
    run.signals("child")
}

/// An orphan becomes the init's own child, and is no zombie when it has ended.
pub fn an_orphan_is_adopted_and_reaped(setup: Setup) {
    let mut run = setup.script(["orphan one session"]).start();
    run.wait("one", "ready");
    assert_eq!(run.hello("one")[1], run.hello("main")[1], "{}", run.story());
    let (init, main, orphan) = (run.pid(), run.pid_of("main"), run.pid_of("one"));
    run.tell("one", "exit 5");
    until("the orphan's reaping", || stat(orphan).is_none());
    assert_eq!(children(init), [main], "{}", run.story());
    run.tell("main", "exit 3");
    assert_eq!(run.status(), 3, "{}", run.story());
}

// ------------------------------------------------------------- job control

/// This signal stops COMMAND's whole group by STOP, and then the init, until
/// CONT, which all of them get.
pub fn the_group_and_the_init_stop_until_cont(setup: Setup, signal: i32) {
    let mut run = setup.script(["fork child"]).start();
    run.wait("child", "ready");
    run.signal(signal);
    // The probe blocks TSTP and its like, so that only STOP can stop it.
    let (main, child) = (run.pid_of("main"), run.pid_of("child"));
    until_state(main, 'T');
    until_state(child, 'T');
    run.stopped();
    run.signal(SIGCONT);
    run.continued();
    run.received("main", SIGCONT);
    run.received("child", SIGCONT);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGCONT, SIGWINCH], "{}", run.story());
}

/// This signal arrives as that one, and the init stops itself until CONT.
pub fn command_is_told_and_the_init_stops_until_cont(setup: Setup, signal: i32, arrives: i32) {
    let mut run = setup.start();
    run.signal(signal);
    run.received("main", arrives);
    run.stopped();
    run.signal(SIGCONT);
    run.continued();
    run.received("main", SIGCONT);
}

/// TSTP stops COMMAND, or arrives there as it is, and the init, PID 1, goes on.
pub fn as_pid_1_tstp_stops_command_alone(setup: Setup, as_stop: bool) {
    let mut run = setup.start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    kill(pid, SIGTSTP);
    // A CONT before that would discard a TSTP that is still pending.
    if as_stop {
        until_state(main, 'T');
    } else {
        run.received("main", SIGTSTP);
    }
    // dumb-init then sends itself a STOP, which is ignored and yet takes out a
    // CONT that waits.
    until_state(pid, 'S');
    kill(pid, SIGCONT);
    run.received("main", SIGCONT);
    run.barrier();
    assert_ne!(stat(pid).unwrap().state, 'T', "{}", run.story());
}

// --------------------------------------------------------------- terminals

/// Ctrl-C and Ctrl-\ arrive once each. The run goes on.
pub fn what_is_typed_reaches_command_once(setup: Setup) -> Run {
    let mut run = setup.start();
    run.type_in(b"\x03");
    run.received("main", SIGINT);
    run.type_in(b"\x1c");
    run.received("main", SIGQUIT);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGINT, SIGQUIT, SIGWINCH], "{}", run.story());
    run
}

/// Ctrl-Z stops COMMAND, which nobody else could continue, and it goes on.
pub fn ctrl_z_does_not_hang_command(setup: Setup) {
    let mut run = setup.script(["default 20"]).start();
    run.type_in(b"\x1a");
    // It was stopped, and goes on at once.
    run.received("main", SIGCONT);
    assert!(!run.was_stopped(), "{}", run.story());
    run.ping("main");
}

/// The terminal hangs up, and COMMAND ends on that: the init's status.
pub fn when_the_terminal_hangs_up(setup: Setup, status: i32) -> i32 {
    let mut run = setup.exits_on(SIGHUP, status).start();
    drop(run.master.take());
    run.received("main", SIGHUP);
    run.status()
}
