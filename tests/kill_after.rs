//! `--kill-after`: when its clock starts, and which processes it ends.

mod support;

use std::time::Instant;

use support::*;

#[test]
fn kill_after_ends_the_rest_of_the_group() {
    needs!(pid_namespace(), strace());
    let mut run = init(["--delay-term", "20ms", "--kill-after", "200ms"])
        .pid1()
        .exits_on(SIGTERM, 3)
        .script(["fork server"])
        .start();
    run.wait("server", "ready");
    let (pid, main) = (run.pid(), run.pid_of("main"));
    // The clock can run out meanwhile, but KILL comes after the end of COMMAND.
    let held = Held::in_kill(pid);
    run.signal(SIGTERM);
    until_state(main, 'Z');
    drop(held);
    run.message("waiting for the rest of its process group");
    run.message("sending KILL");
    assert_eq!(run.status(), 3);
}

#[test]
fn kill_after_ends_processes_that_do_not_exit() {
    let mut run =
        init(["--delay-term", "100ms", "--kill-after", "200ms"]).script(["fork child"]).start();
    run.wait("child", "ready");
    let start = Instant::now();
    run.signal(SIGTERM);
    // COMMAND may be killed before it says that it has received TERM.
    let (term, _) = run.message_at("drained for");
    took(start, term, ms(100));
    let (at, status) = run.status_at();
    assert_eq!(status, 137);
    took(start, at, ms(300));
    run.gone("child");
}

#[test]
fn the_clock_of_kill_after_does_not_run_in_the_drain() {
    // The drain lasts longer than --kill-after.
    let mut run = init(["--kill-after", "300ms"]).drain_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    let over = Instant::now() + ms(400);
    until("the drain is longer", || Instant::now() > over);
    run.ping("main");
    let start = Instant::now();
    run.tell("drain", "exit 0");
    run.message("sending TERM to process group");
    let (at, status) = run.status_at();
    assert_eq!(status, 137);
    took(start, at, ms(300));
}

#[test]
fn the_clock_of_kill_after_starts_once() {
    let mut run = init(["--kill-after", "300ms"]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    // A clock that restarted with each TERM would not run out during this loop.
    while !run.has_ended() && start.elapsed() < patience() {
        run.try_signal(SIGTERM);
        std::thread::sleep(ms(20));
    }
    let (at, status) = run.status_at();
    assert_eq!(status, 137);
    took(start, at, ms(300));
}

#[test]
fn the_clock_of_kill_after_starts_even_when_nothing_is_delivered() {
    let mut run = init(["--kill-after", "100ms", "-r", "15:0"]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    let (at, status) = run.status_at();
    assert_eq!(status, 137);
    took(start, at, ms(100));
    run.gone("main");
    assert_eq!(run.signals("main"), []);
}

#[test]
fn kill_after_ends_the_stop_command_too() {
    needs!(strace());
    let mut run = init(["--kill-after", "200ms"]).stop_cmd(&["fork helper"]).start();
    // The clock may run out meanwhile, but KILL cannot be sent before the helper runs.
    let held = Held::in_fork(run.pid());
    let start = Instant::now();
    run.signal(SIGTERM);
    run.wait("helper", "ready");
    drop(held);
    let (at, status) = run.status_at();
    assert_eq!(status, 137);
    took(start, at, ms(200));
    run.gone("stop");
    run.gone("helper");
}

#[test]
fn kill_after_ends_a_stop_command_that_outlives_command() {
    needs!(strace());
    let setup = init(["--kill-after=200ms"]).exits_on(SIGUSR1, 4);
    let mut run = setup.stop_cmd(&["kill $MAINPID 10"]).start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    // The init is held until the stop command has ended COMMAND. The clock may run out
    // meanwhile, but KILL cannot come first.
    let held = Held::in_fork(pid);
    let start = Instant::now();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    until_state(main, 'Z');
    drop(held);
    let (at, status) = run.status_at();
    assert_eq!(status, 4);
    took(start, at, ms(200));
    run.gone("stop");
}

#[test]
fn kill_after_ends_the_drain_command_too() {
    needs!(pid_namespace(), strace());
    let mut run = init(["--delay-term", "50ms", "--kill-after", "200ms"])
        .drain_cmd(&["fork helper"])
        .hosted()
        .start();
    let held = Held::in_fork(run.pid());
    run.signal(SIGTERM);
    run.wait("helper", "ready");
    drop(held);
    assert_eq!(run.status(), 137);
    run.gone("drain");
    run.gone("helper");
    assert_eq!(run.signals("drain"), []);
}

#[test]
fn kill_after_starts_with_the_exit_of_command_if_that_is_earlier() {
    needs!(pid_namespace());
    let mut run = init(["-v", "--wait-all", "--kill-after=200ms"])
        .pid1()
        .script(["orphan far session"])
        .start();
    run.wait("far", "ready");
    let start = Instant::now();
    run.tell("main", "exit 5");
    run.message("sent TERM to every process");
    let (at, status) = run.status_at();
    assert_eq!(status, 5);
    took(start, at, ms(200));
    run.gone("far");
}

#[test]
fn with_wait_all_as_pid_1_kill_after_ends_every_process() {
    needs!(pid_namespace());
    for surroundings in [|setup| setup, scenarios::without_proc] {
        let setup = surroundings(init(["--wait-all", "--kill-after", "100ms"]).pid1());
        let mut run = setup.script(["orphan far session", "fork near"]).start();
        run.wait("far", "ready");
        run.wait("near", "ready");
        run.signal(SIGTERM);
        assert_eq!(run.status(), 137);
        run.gone("far");
        // A process that would get TERM later gets KILL instead.
        assert_eq!(run.signals("far"), []);
    }
}

#[test]
fn with_wait_all_as_pid_1_kill_after_ends_every_process_without_proc_too() {
    needs!(pid_namespace());
    // One kill(2) signalled all of them when COMMAND exited.
    let setup = scenarios::without_proc(init(["--wait-all", "--kill-after=500ms"]).pid1());
    let mut run = setup.script(["orphan far session"]).start();
    run.wait("far", "ready");
    run.tell("main", "exit 5");
    assert_eq!(run.status(), 5);
    run.gone("far");
}

#[test]
fn with_wait_all_not_as_pid_1_kill_after_ends_every_child() {
    needs!(pid_namespace(), subreaper());
    let mut run = init(["-v", "--wait-all", "--kill-after", "100ms"])
        .hosted()
        .script(["fork near", "orphan far session"])
        .start();
    run.wait("near", "ready");
    run.wait("far", "ready");
    run.tell("main", "exit 5");
    run.message("sent TERM to every child process");
    assert_eq!(run.status(), 5);
    run.gone("near");
    run.gone("far");
}

#[test]
fn kill_after_0_never_kills() {
    let mut run = init(["--kill-after", "0"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    // No KILL may arrive, so the test has no event to wait for.
    std::thread::sleep(ms(100));
    run.barrier();
}

#[test]
fn kill_after_reaches_a_stopped_command() {
    let mut run = init(["--delay-term", "20ms", "--kill-after", "50ms"]).start();
    let main = run.pid_of("main");
    kill(main, SIGSTOP);
    until_state(main, 'T');
    run.signal(SIGTERM);
    assert_eq!(run.status(), 137);
}
