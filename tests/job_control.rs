//! Section 3, job control, and what terminals do.

mod support;
use std::time::Instant;
use support::*;

const TERMINAL_STOPS: [i32; 3] = [SIGTSTP, SIGTTIN, SIGTTOU];

#[test]
fn in_group_mode_tstp_ttin_and_ttou_are_delivered_as_stop() {
    for signal in TERMINAL_STOPS {
        let mut run = init::<_, &str>([]).script(["fork child"]).start();
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
        assert_eq!(run.signals("main"), [SIGCONT, SIGWINCH]);
    }
}

#[test]
fn unless_rewritten() {
    for (signal, to, arrives) in [(SIGTSTP, "USR1", SIGUSR1), (SIGTTIN, "TTIN", SIGTTIN)] {
        let rewrite = format!("{signal}:{to}");
        let mut run = init(["-r", &rewrite]).start();
        run.signal(signal);
        run.received("main", arrives);
        run.stopped();
        run.signal(SIGCONT);
        run.received("main", SIGCONT);
    }
}

#[test]
fn rewritten_to_0_they_reach_nobody_and_the_init_still_stops() {
    let mut run = init(["-r", "TSTP:0"]).start();
    run.signal(SIGTSTP);
    run.stopped();
    run.ping("main");
    assert_eq!(run.signals("main"), []);
}

#[test]
fn with_c_they_are_delivered_as_they_are() {
    for signal in TERMINAL_STOPS {
        let mut run = init(["-c"]).start();
        run.signal(signal);
        run.received("main", signal);
        run.stopped();
        run.signal(SIGCONT);
        run.continued();
        run.received("main", SIGCONT);
    }
}

#[test]
fn the_init_stops_itself_in_the_drain() {
    let mut run = init(["--delay-term", "60"]).start();
    run.signal(SIGTERM);
    run.message("draining for");
    run.signal(SIGTSTP);
    let main = run.pid_of("main");
    until_state(main, 'T');
    run.stopped();
    run.signal(SIGCONT);
    run.continued();
    run.received("main", SIGCONT);
    run.signal(SIGTERM);
    run.message("swallowed, still draining");
}

#[test]
fn the_init_stops_itself_while_the_stop_command_runs() {
    let mut run = init::<_, &str>([]).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.signal(SIGTSTP);
    run.stopped();
    let stop = run.pid_of("stop");
    assert_ne!(stat(stop).unwrap().state, 'T');
    run.signal(SIGCONT);
    run.continued();
    run.received("main", SIGCONT);
}

#[test]
fn the_init_stops_itself_when_command_has_exited() {
    let mut run = init::<_, &str>([]).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.tell("main", "exit 3");
    run.reaped("main");
    run.signal(SIGTSTP);
    run.stopped();
    run.signal(SIGCONT);
    run.continued();
    run.tell("stop", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn the_clock_runs_on_and_a_deadline_that_passed_is_acted_on_at_cont() {
    let mut run = init(["--delay-term", "200ms"]).start();
    run.signal(SIGTERM);
    run.message("draining for");
    let drained = Instant::now() + ms(200);
    run.signal(SIGTSTP);
    run.stopped();
    until("the deadline has passed", || Instant::now() > drained);
    assert!(!run.stderr().contains("drained"), "{}", run.stderr());
    let continued = Instant::now();
    run.signal(SIGCONT);
    run.message("drained for");
    let at = run.received("main", SIGTERM);
    took(continued, at, ms(0));
    assert!(at.duration_since(continued) < ms(200), "it did not start anew");
}

#[test]
fn no_cont_is_added_to_a_stop_signal() {
    let mut run = init(["--delay-term", "50ms"]).start();
    let main = run.pid_of("main");
    kill(main, SIGSTOP);
    until_state(main, 'T');
    run.signal(SIGTERM);
    run.message("drained for");
    // USR1 is delivered by now, so that a CONT would have been, too.
    run.signal(SIGUSR1);
    let pid = run.pid();
    until("the init sleeps again", || stat(pid).unwrap().state == 'S');
    assert_eq!(stat(main).unwrap().state, 'T');
    kill(main, SIGCONT);
    run.received("main", SIGTERM);
}

#[test]
fn as_pid_1_it_does_not_stop_itself() {
    if without_root("as_pid_1_it_does_not_stop_itself") {
        return;
    }
    for options in [vec![], vec!["-c"]] {
        let mut run = init(&options).pid1().start();
        let (pid, main) = (run.pid(), run.pid_of("main"));
        kill(pid, SIGTSTP);
        // A CONT before that would discard a TSTP that is still pending.
        if options.is_empty() {
            until_state(main, 'T');
        } else {
            run.received("main", SIGTSTP);
        }
        kill(pid, SIGCONT);
        run.received("main", SIGCONT);
        run.barrier();
        assert_ne!(stat(pid).unwrap().state, 'T');
    }
}

#[test]
fn as_pid_1_a_cont_right_behind_the_stop_is_not_lost() {
    if without_root("as_pid_1_a_cont_right_behind_the_stop_is_not_lost") {
        return;
    }
    let mut run = init::<_, &str>([]).pid1().start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    // The init is held where COMMAND has been stopped, so that CONT comes before
    // whatever it does next.
    let held = Held::in_kill(pid);
    kill(pid, SIGTSTP);
    until_state(main, 'T');
    kill(pid, SIGCONT);
    drop(held);
    run.received("main", SIGCONT);
}

#[test]
fn stop_of_the_init_itself_does_not_reach_command() {
    let mut run = init::<_, &str>([]).start();
    let pid = run.pid();
    kill(pid, SIGSTOP);
    run.stopped();
    run.ping("main");
    assert_eq!(run.signals("main"), []);
}

#[test]
fn command_can_be_stopped_and_continued_without_the_init() {
    // A stopped child is none that has exited.
    let mut run = init::<_, &str>([]).start();
    let main = run.pid_of("main");
    kill(main, SIGSTOP);
    until_state(main, 'T');
    kill(main, SIGCONT);
    run.received("main", SIGCONT);
    run.barrier();
}

// --------------------------------------------------------------- terminals

#[test]
fn ctrl_z_stops_command_which_leads_the_terminals_session() {
    // It is the terminal that sends it, to the foreground group; the init,
    // which is in another session, has no part in it.
    let mut run = init::<_, &str>([]).terminal(Terminal::Leader).start();
    run.type_in(b"\x1a");
    run.received("main", SIGTSTP);
    assert!(!run.was_stopped());
}

#[test]
fn in_the_session_of_a_shell_ctrl_z_stops_both() {
    // The init does not lead the terminal's session: it is a shell's job. The
    // terminal sends TSTP to the init's group, and the init hands it on.
    let mut run = init::<_, &str>([])
        .wrapped(["sh", "-c", "\"$@\"; exit $?", "sh"])
        .terminal(Terminal::Leader)
        .start();
    let main = run.pid_of("main");
    let init = stat(main).unwrap().parent;
    // The shell, in the same group, ignores the stop of job control: its group
    // is orphaned. The init stops itself with what cannot be ignored.
    run.type_in(b"\x1a");
    until_state(main, 'T');
    until_state(init, 'T');
    kill(init, SIGCONT);
    run.received("main", SIGCONT);
}

#[test]
fn in_the_session_of_a_shell_ctrl_c_reaches_command() {
    let mut run = init::<_, &str>([])
        .wrapped(["sh", "-c", "trap : INT; \"$@\"; exit $?", "sh"])
        .terminal(Terminal::Leader)
        .start();
    run.type_in(b"\x03");
    run.received("main", SIGINT);
}

#[test]
fn an_interactive_container_is_interrupted_even_in_the_drain() {
    let mut run =
        init(["--delay-term", "60"]).exits_on(SIGINT, 130).terminal(Terminal::Leader).start();
    run.signal(SIGTERM);
    run.message("draining for");
    run.type_in(b"\x03");
    assert_eq!(run.status(), 130);
}

#[test]
fn with_c_in_the_terminals_foreground_group_ctrl_c_reaches_command_at_once() {
    // From the terminal and from the init: it is the same signal, and one of
    // both is enough.
    let mut run = init(["-c"]).terminal(Terminal::Leader).start();
    run.type_in(b"\x03");
    run.received("main", SIGINT);
}

#[test]
fn a_terminal_that_hangs_up_ends_command() {
    let mut run = init::<_, &str>([]).exits_on(SIGHUP, 0).terminal(Terminal::Leader).start();
    drop(run.master.take());
    assert_eq!(run.status(), 0);
}
