//! Events that arrive together: which one counts first, and when a wait ends.

mod support;

use std::time::Instant;

use support::*;

fn ended_with_5_and_without_a_drain(mut run: Run) {
    assert_eq!(run.status(), 5);
    run.drain_output();
    assert!(!run.stderr().contains("draining"), "{}", run.stderr());
    assert_eq!(run.names(), ["main"]);
}

#[test]
fn the_exit_of_command_counts_before_a_stop_signal_that_came_with_it() {
    needs!(strace());
    let mut run = init(["--delay-term", "60"]).stop_cmd(&[]).start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    // The init is busy while both arrive. Its next wait returns TERM before CHLD, because
    // TERM has the lower number.
    let held = Held::in_kill(pid);
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.tell("main", "exit 5");
    until_state(main, 'Z');
    kill(pid, SIGTERM);
    drop(held);
    ended_with_5_and_without_a_drain(run);
}

#[test]
fn the_exit_of_command_counts_first_after_a_stop_of_the_init_too() {
    let mut run = init(["--delay-term", "60"]).stop_cmd(&[]).start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    kill(pid, SIGSTOP);
    until_state(pid, 'T');
    run.tell("main", "exit 5");
    until_state(main, 'Z');
    kill(pid, SIGTERM);
    kill(pid, SIGCONT);
    ended_with_5_and_without_a_drain(run);
}

#[test]
fn the_exit_of_command_counts_first_if_pending_signals_cannot_be_queried() {
    needs!(native("strace would make the emulator's own calls fail"), strace());
    // The init is still busy with a first delivery when both arrive.
    let injections = ["rt_sigpending:error=EPERM", "kill:delay_exit=700000:when=1"];
    let mut run = init(["--delay-term", "60"]).stop_cmd(&[]).failing(&injections).start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.tell("main", "exit 5");
    until_state(main, 'Z');
    kill(pid, SIGTERM);
    ended_with_5_and_without_a_drain(run);
}

#[test]
fn the_exit_of_command_counts_before_a_deadline_that_has_passed() {
    needs!(strace());
    let setup = init(["--delay-term=100ms", "--drain-signal=USR1"]);
    let mut run = setup.stop_cmd(&[]).start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    // The init is held after the drain signal.
    let held = Held::in_kill(pid);
    run.signal(SIGTERM);
    run.received("main", SIGUSR1);
    let drained = Instant::now() + ms(100);
    run.tell("main", "exit 5");
    until_state(main, 'Z');
    until("the deadline has passed", || Instant::now() > drained);
    drop(held);
    assert_eq!(run.status(), 5);
    run.message("during the drain");
    assert_eq!(run.names(), ["main"], "no stop command");
}

#[test]
fn a_deadline_counts_before_a_signal_that_came_with_it() {
    let mut run = init(["--delay-term", "100ms"]).start();
    let pid = run.pid();
    run.signal(SIGTERM);
    run.drain_begins();
    let drained = Instant::now() + ms(100);
    kill(pid, SIGSTOP);
    until_state(pid, 'T');
    until("the deadline has passed", || Instant::now() > drained);
    kill(pid, SIGTERM);
    kill(pid, SIGCONT);
    run.message("drained for");
    run.received("main", SIGTERM);
    run.barrier();
    assert!(!run.stderr().contains(": ignored, "), "{}", run.stderr());
}

#[test]
fn an_interrupted_wait_continues_to_the_same_deadline() {
    let mut run = init(["--delay-term", "400ms"]).start();
    let pid = run.pid();
    let start = Instant::now();
    run.signal(SIGTERM);
    run.drain_begins();
    // Each of these interrupts sigtimedwait with EINTR. A wait that restarted each time
    // would not end during this loop.
    while !run.stderr().contains("drained for") {
        kill(pid, SIGSTOP);
        until_state(pid, 'T');
        kill(pid, SIGCONT);
        std::thread::sleep(ms(20));
        assert!(start.elapsed() < patience(), "{}", run.story());
    }
    let at = run.received("main", SIGTERM);
    took(start, at, ms(400));
    assert!(!run.stderr().contains("cannot wait"), "{}", run.stderr());
}

#[test]
fn a_zombie_inherited_across_exec_is_reaped() {
    let mut run = init::<_, &str>([]).leaving_a_zombie().start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    until("the zombie's reaping", || children(pid) == [main]);
}

#[test]
fn it_sleeps_in_one_call_until_a_signal_or_the_deadline_comes() {
    needs!(native("the emulator wakes by itself"));
    let mut run = init(["--delay-term", "60"]).start();
    run.signal(SIGTERM);
    run.drain_begins();
    let pid = run.pid();
    // Unlike the state S, this means that the switch has been counted.
    until_idle(pid);
    let before = status_line(pid, "voluntary_ctxt_switches");
    // A loop that polls would wake in this time.
    std::thread::sleep(ms(300));
    assert_eq!(status_line(pid, "voluntary_ctxt_switches"), before);
    run.barrier();
    until("the init sleeps again", || status_line(pid, "voluntary_ctxt_switches") != before);
}

#[test]
fn a_delay_is_not_counted_in_whole_seconds() {
    let mut run = init(["--delay-term", "1.2s"]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    let at = run.received("main", SIGTERM);
    took(start, at, ms(1200));
}
