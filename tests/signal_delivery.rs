//! Which signals reach COMMAND and its group, and how.

mod support;

use std::time::Instant;

use support::*;

const NONE: [&str; 0] = [];

#[test]
fn in_group_mode_the_stop_signal_goes_to_the_group() {
    scenarios::signals_reach_the_group(init(["--delay-term", "50ms"]), &[SIGTERM]);
}

#[test]
fn with_c_the_stop_signal_goes_to_command_alone() {
    scenarios::signals_reach_command_alone(init(["-c", "--delay-term", "50ms"]), &[SIGTERM]);
}

#[test]
fn with_c_sigkill_goes_to_command_alone() {
    needs!(pid_namespace());
    let mut run = init(["-c", "--kill-after", "50ms"]).hosted().script(["fork child"]).start();
    run.wait("child", "ready");
    run.signal(SIGTERM);
    run.gone("main");
    assert_eq!(run.status(), 137);
    run.ping("child");
    assert_eq!(run.signals("child"), []);
}

#[test]
fn with_c_as_pid_1_no_signal_leaves_the_namespace() {
    needs!(pid_namespace());
    // Its group is also the group of unshare and of a bystander outside the namespace.
    let mut bystander = init(["-c"]).start();
    let group = stat(bystander.pid()).unwrap().group;
    let mut run = init(["-c", "--wait-all", "--kill-after", "50ms"]).pid1().in_group(group).start();
    for signal in [SIGHUP, SIGUSR1] {
        run.signal(signal);
        run.received("main", signal);
    }
    run.signal(SIGTERM);
    assert_eq!(run.status(), 137);
    bystander.ping("main");
    assert_eq!(bystander.signals("main"), []);
}

#[test]
fn a_signal_between_fork_and_setsid_is_not_lost() {
    // USR1 is pending before the init is executed, so its first wait returns USR1, just
    // after COMMAND was forked.
    for _ in 0..20 {
        let mut run = init::<_, &str>([]).pending(SIGUSR1).spawn();
        // USR1 ended COMMAND before COMMAND could block it, or COMMAND has reported it.
        run.ended_or("main", "signal 10");
        if run.has_ended() {
            assert_eq!(run.status(), 128 + SIGUSR1);
        }
    }
}

#[test]
fn a_drain_command_that_must_end_before_its_setsid_does_end() {
    needs!(pid_namespace());
    // The drain signal kills COMMAND, so the drain command gets its TERM just after its
    // fork.
    for _ in 0..10 {
        let mut run = init(["--drain-signal", "KILL", "--delay-term", "10"])
            .drain_cmd(&["on 15 exit 0"])
            .hosted()
            .start();
        run.signal(SIGTERM);
        assert_eq!(run.status(), 137);
        let host = run.pid_of("host");
        until("no process left", || children(host).is_empty());
    }
}

#[test]
fn nothing_is_sent_to_a_reused_process_or_group_id() {
    needs!(pid_namespace());
    // COMMAND has exited, the stop command still runs, and an unrelated process gets
    // COMMAND's old number as its process and group ID.
    for options in [vec!["--delay-term=0"], vec!["-c"]] {
        let setup = init(&options).arg(format!("--kill-after={:?}", scaled(1500)));
        let mut run = setup.stop_cmd(&[]).pid1().start();
        let number = run.hello("main")[0];
        let init = run.pid();
        kill(init, SIGTERM);
        run.wait("stop", "ready");
        run.tell("main", "exit 4");
        // This is logged once COMMAND has been reaped and its group is known to be gone.
        run.message("exited with status 4");
        run.tell("stop", &format!("fork-as stranger {number} group"));
        run.wait("stop", "fork-as true");
        run.wait("stranger", "ready");
        assert_eq!(run.hello("stranger")[0], number);
        kill(init, SIGUSR1);
        kill(init, SIGINT);
        // The stop command is killed when the clock of --kill-after has run out.
        run.gone("stop");
        assert_eq!(run.status(), 4);
        let received = run.signals("stranger");
        assert_eq!(received, [], "{}", run.story());
    }
}

#[test]
fn nothing_is_sent_to_a_group_with_the_drain_commands_old_number() {
    needs!(pid_namespace(), subreaper());
    let options = ["--delay-term=60", "--wait-all", "--kill-after=100ms"];
    let setup = init(options).drain_cmd(&[]).hosted().script(["orphan far session"]);
    let mut run = setup.start();
    run.wait("far", "ready");
    let init = run.pid();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    let number = run.hello("drain")[0];
    run.tell("drain", "exit 0");
    run.reaped("drain");
    // It has also looked whether the group is gone.
    until_idle(init);
    run.tell("host", &format!("fork-as stranger {number} session"));
    run.wait("host", "fork-as true");
    run.wait("stranger", "ready");
    // KILL ends far, which does not exit on TERM, and the remaining members of the
    // commands' groups.
    run.tell("main", "exit 5");
    assert_eq!(run.status(), 5);
    run.gone("far");
    run.ping("stranger");
}

#[test]
fn the_exit_of_an_orphan_with_commands_old_number_is_not_that_of_command() {
    needs!(pid_namespace());
    let mut run = init(["--wait-all"]).stop_cmd(&[]).pid1().start();
    let number = run.hello("main")[0];
    kill(run.pid(), SIGTERM);
    run.wait("stop", "ready");
    run.tell("main", "exit 4");
    run.message("exited with status 4");
    run.tell("stop", &format!("fork-as stranger {number} session"));
    run.wait("stop", "fork-as true");
    run.wait("stranger", "ready");
    run.tell("stop", "exit 0");
    run.received("stranger", SIGTERM);
    run.tell("stranger", "exit 3");
    assert_eq!(run.status(), 4);
}

/// Every signal except those of job control, which have tests of their own.
fn every_signal_but_of_terminals() -> Vec<i32> {
    every_signal().into_iter().filter(|s| ![SIGTSTP, SIGTTIN, SIGTTOU].contains(s)).collect()
}

#[test]
fn every_signal_is_delivered_at_once() {
    skip_lost_signals("every_signal_is_delivered_at_once");
    let signals: Vec<i32> =
        every_signal_but_of_terminals().into_iter().filter(|s| *s != libc::SIGPWR).collect();
    for pid1 in [false, true] {
        if pid1 && lacks(&format!("{} as PID 1", test_name!()), &[pid_namespace()]) {
            return;
        }
        let setup = init(["--delay-term", "60", "--stop-signal", "PWR"]);
        scenarios::signals_reach_command(if pid1 { setup.pid1() } else { setup }, &signals);
    }
}

#[test]
fn every_signal_is_delivered_with_c_too() {
    skip_lost_signals("every_signal_is_delivered_with_c_too");
    scenarios::signals_reach_command(init(["-c"]), &every_signal_but_of_terminals());
}

#[test]
fn chld_is_not_delivered() {
    let mut run = init::<_, &str>([]).start();
    run.signal(SIGCHLD);
    run.barrier();
    let said = run.said("main");
    assert!(!said.contains(&"signal 17".into()), "{said:?}");
}

#[test]
fn real_time_signals_are_rewritten_too() {
    let mut run = init(["-r", "34:40", "-r", "RTMIN+1:USR2", "-r", "USR1:RTMIN+3"]).start();
    for (sent, arrives) in [(34, 40), (35, SIGUSR2), (SIGUSR1, 37)] {
        run.signal(outside(sent));
        run.received("main", outside(arrives));
    }
}

#[test]
fn without_a_drain_the_stop_signal_is_delivered_at_once() {
    assert_eq!(scenarios::a_stop_without_a_word(init(NONE), 6), 6);
}

#[test]
fn without_a_drain_the_stop_signal_starts_the_clock_of_kill_after() {
    let mut run = init(["-v", "--kill-after", "100ms"]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    // KILL may end COMMAND before it says that it has received this.
    run.message("sent TERM to process group");
    let (at, status) = run.status_at();
    assert_eq!(status, 137);
    took(start, at, ms(100));
}

#[test]
fn another_signal_does_not_start_the_clock() {
    let mut run = init(["--kill-after", "50ms"]).start();
    run.signal(SIGINT);
    run.received("main", SIGINT);
    // No KILL may arrive, so the test has no event to wait for.
    std::thread::sleep(ms(150));
    run.barrier();
}

#[test]
fn a_stop_signal_that_does_not_drain_is_reported() {
    let mut run = init(["--delay-term", "10"]).exits_on(SIGQUIT, 0).start();
    run.signal(SIGQUIT);
    assert_eq!(run.status(), 0);
    run.message("sent QUIT without a drain, because the stop signal is TERM (see --stop-signal)");
}

#[test]
fn without_a_drain_option_a_signal_that_ends_command_is_not_reported() {
    let mut run = init(["--kill-after", "10"]).exits_on(SIGQUIT, 0).start();
    run.signal(SIGQUIT);
    assert_eq!(run.status(), 0);
    run.drain_output();
    assert_eq!(run.stderr(), "");
}

#[test]
fn a_command_that_exits_by_itself_is_not_reported_as_ended_without_a_drain() {
    let mut run = init(["--delay-term", "10"]).start();
    run.tell("main", "exit 0");
    assert_eq!(run.status(), 0);
    run.drain_output();
    assert!(!run.stderr().contains("without a drain"), "{}", run.stderr());
}
