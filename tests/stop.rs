//! THE STOP, STEP BY STEP in the manual page: each test is one of its sentences.
//! Its part on job control has a file of its own.

mod support;
use std::time::Instant;
use support::*;

const NONE: [&str; 0] = [];

// ---------------------------------------------------------------- delivery

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
fn with_c_as_pid_1_nothing_outside_of_the_namespace_is_reached() {
    needs!(pid_namespace());
    // Its group is that of unshare and of a bystander out here.
    let mut bystander = init(["-c"]).start();
    let group = stat(bystander.pid()).unwrap().group;
    let mut run = init(["-c", "--wait-all", "--kill-after", "50ms"]).pid1().in_group(group).start();
    for signal in [SIGHUP, SIGUSR1, SIGTERM] {
        run.signal(signal);
        run.received("main", signal);
    }
    assert_eq!(run.status(), 137);
    bystander.ping("main");
    assert_eq!(bystander.signals("main"), []);
}

#[test]
fn a_signal_between_fork_and_setsid_is_not_lost() {
    // USR1 is pending before the init is executed, so its first wait hands it
    // out, while COMMAND has hardly been forked.
    for _ in 0..20 {
        let mut run = init::<_, &str>([]).pending(SIGUSR1).spawn();
        // It ended COMMAND before that could block it, or COMMAND has told.
        run.ended_or("main", "signal 10");
        if run.has_ended() {
            assert_eq!(run.status(), 128 + SIGUSR1);
        }
    }
}

#[test]
fn a_drain_command_that_must_end_before_its_setsid_does_end() {
    needs!(pid_namespace());
    // The drain signal kills COMMAND, so that the drain command, just forked,
    // gets its TERM.
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
    // COMMAND is gone, the stop command still runs, and a stranger gets
    // COMMAND's old number, as process and as group.
    for options in [vec!["--delay-term=0"], vec!["-c"]] {
        let mut run = init(&options).arg("--kill-after=400ms").stop_cmd(&[]).pid1().start();
        let number = run.hello("main")[0];
        let init = run.pid();
        kill(init, SIGTERM);
        run.wait("stop", "ready");
        run.tell("main", "exit 4");
        // Said once it has been reaped, and it was looked whether its group is gone.
        run.message("exited with status 4");
        run.tell("stop", &format!("fork-as stranger {number} group"));
        run.wait("stop", "fork-as true");
        run.wait("stranger", "ready");
        assert_eq!(run.hello("stranger")[0], number);
        kill(init, SIGUSR1);
        kill(init, SIGINT);
        // Until the clock has run out, which kills the stop command's own.
        run.gone("stop");
        assert_eq!(run.status(), 4);
        let told = run.signals("stranger");
        assert_eq!(told, [], "{}", run.story());
    }
}

#[test]
fn nothing_is_sent_to_a_group_with_the_drain_commands_old_number() {
    needs!(pid_namespace(), subreaper());
    let options = ["--delay-term=60", "--wait-all", "--kill-after=100ms"];
    let setup = init(options).drain_cmd(&[]).hosted().script(["orphan far session"]);
    let mut run = setup.start();
    run.wait("far", "ready");
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    let number = run.hello("drain")[0];
    run.tell("drain", "exit 0");
    run.reaped("drain");
    run.tell("host", &format!("fork-as stranger {number} session"));
    run.wait("host", "fork-as true");
    run.wait("stranger", "ready");
    // KILL ends far, which ignores TERM, and what remains of the commands' groups.
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

// ------------------------------------------------------------------- order

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
    // The init is busy while both come: its next wait hands out TERM, the lower
    // number, before CHLD.
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
fn the_exit_of_command_counts_first_where_pending_signals_cannot_be_asked_for() {
    needs!(native("strace would make the emulator's own calls fail"), strace());
    // The init is busy for a while with a first delivery, as both come.
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
fn the_exit_of_command_counts_before_a_deadline_that_passed_meanwhile() {
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
    run.message("draining for");
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
fn an_interrupted_wait_goes_on_to_the_same_deadline() {
    let mut run = init(["--delay-term", "400ms"]).start();
    let pid = run.pid();
    let start = Instant::now();
    run.signal(SIGTERM);
    run.message("draining for");
    // Each of these interrupts sigtimedwait with EINTR. A wait that began anew
    // each time would not end for as long as they come.
    while !run.stderr().contains("drained for") {
        kill(pid, SIGSTOP);
        until_state(pid, 'T');
        kill(pid, SIGCONT);
        std::thread::sleep(ms(20));
        assert!(start.elapsed() < PATIENCE, "{}", run.story());
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

// ----------------------------------------------------------------- running

/// Those of job control have tests of their own.
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
    let mut run = init(["--kill-after", "100ms"]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    let (at, status) = run.status_at();
    assert_eq!(status, 137);
    took(start, at, ms(100));
}

#[test]
fn another_signal_starts_no_clock() {
    let mut run = init(["--kill-after", "50ms"]).start();
    run.signal(SIGINT);
    run.received("main", SIGINT);
    // The subject is that nothing comes.
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
fn a_command_that_exits_by_itself_is_not_said_to_have_ended_without_a_drain() {
    let mut run = init(["--delay-term", "10"]).start();
    run.tell("main", "exit 0");
    assert_eq!(run.status(), 0);
    run.drain_output();
    assert!(!run.stderr().contains("without a drain"), "{}", run.stderr());
}

// ---------------------------------------------------------------- draining

#[test]
fn delay_term_holds_the_stop_signal_back_for_that_long() {
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
fn delay_term_0_holds_nothing_back() {
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
        run.message("draining for");
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
    let mut run = init(["--delay-term", "300ms"]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    run.message("draining for");
    run.signal(SIGTERM);
    run.message("ignored, already draining");
    run.signal(SIGTERM);
    run.message("ignored, already draining");
    let at = run.received("main", SIGTERM);
    took(start, at, ms(300));
    run.barrier();
    assert_eq!(run.signals("main"), [SIGTERM, SIGCONT, SIGWINCH]);
}

#[test]
fn another_stop_signal_is_swallowed_in_the_drain_as_well() {
    let mut run =
        init(["--delay-term", "300ms", "--stop-signal", "TERM", "--stop-signal", "QUIT"]).start();
    run.signal(SIGTERM);
    run.message("draining for");
    run.signal(SIGQUIT);
    run.message("received QUIT: ignored, already draining");
    run.received("main", SIGTERM);
    assert_eq!(run.signals_except_cont("main"), [SIGTERM]);
}

#[test]
fn every_other_signal_is_delivered_in_the_drain() {
    let mut run = init(["--delay-term", "60", "-r", "10:12"]).start();
    run.signal(SIGTERM);
    run.message("draining for");
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
    run.message("draining for");
    run.tell("main", "exit 9");
    assert_eq!(run.status(), 9);
}

#[test]
fn when_command_exits_in_the_drain_the_stop_command_is_not_run() {
    let mut run = init(["--delay-term", "60"]).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.message("draining for");
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
    let mut run =
        init(["--drain-signal", "USR1", "--delay-term", "200ms"]).script(["fork child"]).start();
    run.wait("child", "ready");
    let start = Instant::now();
    run.signal(SIGTERM);
    run.received("main", SIGUSR1);
    run.signal(SIGTERM);
    run.message(": ignored, ");
    let at = run.received("main", SIGTERM);
    took(start, at, ms(200));
    run.received("child", SIGTERM);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGUSR1, SIGTERM, SIGCONT, SIGWINCH]);
    run.received("child", SIGWINCH);
    assert_eq!(run.signals_except_cont("child"), [SIGTERM, SIGWINCH]);
}

#[test]
fn the_drain_signal_is_said_to_go_to_command_alone() {
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
    // Sidekiq's: it goes out as TSTP, not as STOP, and the init goes on.
    let mut run = init(["--drain-signal", "TSTP", "--delay-term", "100ms"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTSTP);
    run.received("main", SIGTERM);
    assert!(!run.was_stopped());
}

#[test]
fn a_drain_signal_alone_is_a_drain_of_no_length() {
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
fn a_drain_command_beside_a_delay_does_not_lengthen_it() {
    needs!(pid_namespace());
    let mut run = init(["--delay-term", "100ms"]).drain_cmd(&[]).hosted().start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    run.received("main", SIGTERM);
    run.ping("drain");
}

#[test]
fn a_drain_command_beside_a_delay_does_not_shorten_it() {
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
    run.message("drain");
    let at = run.received("main", SIGTERM);
    took(start, at, ms(100));
}

// ---------------------------------------------------------------- stopping

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
    // What was received counts.
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
fn while_the_stop_command_runs_stop_signals_are_swallowed() {
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
fn a_stop_command_that_fails_is_reported_and_the_signal_is_delivered_after_all() {
    for (end, word) in [("exit 3", "3"), ("die 9", "KILL")] {
        let mut run = init(["--delay-term", "20ms"]).stop_cmd(&[end]).start();
        run.signal(SIGTERM);
        run.gone("stop");
        run.message(word);
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
    run.message("stop");
    run.received("main", SIGTERM);
}

#[test]
fn a_stop_command_that_cannot_be_forked_is_reported_and_the_signal_is_delivered() {
    needs!(pid_namespace(), native("the emulator needs threads of its own"), other_users());
    // A user that nobody else is, with as many processes as it may have.
    let setup = init(["--delay-term", "20ms"]).for_any_user();
    let user = 50_000 + std::process::id() % 10_000;
    let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
    let mut run = setup
        .stop_cmd(&[])
        .wrapped(["prlimit", "--nproc=2:2", "setpriv", &user, &group, "--clear-groups"])
        .start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.message("stop");
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
    // `--rewrite 15:0` in the inner init, a command that stops the server.
    let mut run = init(["-r", "15:0", "--delay-term", "50ms", "--stop-cmd", "kill -INT $MAINPID"])
        .exits_on(SIGINT, 0)
        .start();
    run.signal(SIGTERM);
    assert_eq!(run.status(), 0);
    run.gone("main");
    assert_eq!(run.signals("main"), [SIGINT]);
}

// ------------------------------------------------------------------- ended

#[test]
fn a_stop_command_that_still_runs_is_waited_for() {
    let mut run = init(NONE).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    let main = run.pid_of("main");
    run.tell("main", "exit 4");
    until("COMMAND's reaping", || stat(main).is_none());
    run.ping("stop");
    assert!(!run.has_ended());
    assert_eq!(run.signals("stop"), []);
    run.tell("stop", "exit 1");
    assert_eq!(run.status(), 4);
}

#[test]
fn what_is_left_of_the_group_gets_term_when_command_has_exited() {
    needs!(pid_namespace());
    for (options, arrives) in [(vec![], SIGTERM), (vec!["-r", "15:12"], SIGUSR2)] {
        let setup = init(&options).hosted();
        assert_eq!(scenarios::signals_to_what_command_leaves(setup), [arrives]);
    }
}

#[test]
fn a_last_term_rewritten_to_0_is_not_sent() {
    needs!(pid_namespace());
    assert_eq!(scenarios::signals_to_what_command_leaves(init(["-r", "15:0"]).hosted()), []);
}

#[test]
fn a_signal_after_the_exit_of_command_goes_to_what_is_left_of_the_group() {
    needs!(pid_namespace(), subreaper());
    let mut run = init(["--wait-all"]).hosted().script(["fork child"]).start();
    run.wait("child", "ready");
    let init = run.pid();
    run.tell("main", "exit 3");
    run.received("child", SIGTERM);
    kill(init, SIGUSR1);
    run.received("child", SIGUSR1);
    run.tell("child", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn a_signal_after_the_exit_of_command_that_nobody_can_get_is_dropped_and_reported() {
    let mut run = init(NONE).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    let main = run.pid_of("main");
    run.tell("main", "exit 4");
    until("COMMAND's reaping", || stat(main).is_none());
    run.signal(SIGUSR1);
    run.message("USR1");
    run.ping("stop");
    assert_eq!(run.signals("stop"), []);
    run.tell("stop", "exit 0");
    assert_eq!(run.status(), 4);
}

#[test]
fn with_wait_all_as_pid_1_every_process_gets_term_and_is_waited_for() {
    needs!(pid_namespace());
    let setup = || init(["--wait-all", "-r", "15:12"]).pid1();
    scenarios::everybody_is_waited_for(setup());
    scenarios::everybody_is_waited_for(scenarios::without_proc(setup()));
}

#[test]
fn with_wait_all_what_was_put_into_the_namespace_gets_term_and_is_not_waited_for() {
    needs!(pid_namespace(), program("nsenter"));
    let setup = init(["--wait-all"]).pid1().script(["orphan far session"]);
    let words = setup.probe_words("guest", &[]);
    let mut run = setup.start();
    run.wait("far", "ready");
    let pid = run.pid();
    let mut nsenter = std::process::Command::new("nsenter")
        .args(["--target", &pid.to_string(), "--pid", "--mount", "--"])
        .args(&words)
        .spawn()
        .unwrap();
    run.wait("guest", "ready");
    run.tell("main", "exit 7");
    run.received("guest", SIGTERM);
    run.received("far", SIGTERM);
    run.ping("guest");
    run.tell("far", "exit 0");
    assert_eq!(run.status(), 7);
    // The end of PID 1 has killed it.
    assert!(!nsenter.wait().unwrap().success());
}

#[test]
fn without_wait_all_orphans_are_not_waited_for() {
    needs!(pid_namespace());
    let mut run = init(NONE).pid1().script(["orphan far session"]).start();
    run.wait("far", "ready");
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7);
}

#[test]
fn with_wait_all_not_as_pid_1_all_children_are_waited_for() {
    needs!(pid_namespace(), subreaper());
    let mut run = init(["--wait-all"]).hosted().script(["fork near", "orphan far session"]).start();
    run.wait("near", "ready");
    run.wait("far", "ready");
    // It is their subreaper.
    let init = run.pid();
    assert_eq!(stat(run.pid_of("far")).unwrap().parent, init);
    run.tell("main", "exit 7");
    run.received("near", SIGTERM);
    run.received("far", SIGTERM);
    run.tell("near", "exit 0");
    run.gone("near");
    run.ping("far");
    assert!(!run.has_ended());
    run.tell("far", "exit 0");
    assert_eq!(run.status(), 7);
    for name in ["near", "far"] {
        assert_eq!(run.signals(name), [SIGTERM], "told once");
    }
}

#[test]
fn with_wait_all_not_as_pid_1_an_orphan_is_told_as_soon_as_it_is_adopted() {
    needs!(pid_namespace(), subreaper());
    let mut run = init(["--wait-all"]).hosted().script(["fork near session"]).start();
    run.wait("near", "ready");
    run.tell("near", "fork far session");
    run.wait("far", "ready");
    run.tell("main", "exit 7");
    run.received("near", SIGTERM);
    run.ping("far");
    assert_eq!(run.signals("far"), [], "another's child");
    run.tell("near", "exit 0");
    run.received("far", SIGTERM);
    run.tell("far", "exit 0");
    assert_eq!(run.status(), 7);
}

#[test]
fn with_wait_all_a_child_that_ends_with_another_signal_than_chld_is_waited_for() {
    needs!(subreaper());
    let (ends_with, held) = pipe();
    let mut run = init(["-v", "--wait-all"]).leaving_a_child(ends_with, SIGUSR2).start();
    run.tell("main", "exit 7");
    run.message("TERM to every child");
    kill(run.pid(), SIGUSR1);
    run.message("received USR1: dropped");
    drop(held);
    assert_eq!(run.status(), 7);
}

// --------------------------------------------------- what is left of the group

#[test]
fn after_a_drain_what_is_left_of_the_group_is_waited_for_and_told_once() {
    needs!(pid_namespace());
    for setup in [init(["--delay-term", "20ms"]).pid1(), init(["--drain-cmd", "exit 0"]).hosted()] {
        // As npm and sh do: COMMAND dies of TERM, and the server answers on.
        let mut run = setup.exits_on(SIGTERM, 3).script(["fork server"]).start();
        run.wait("server", "ready");
        run.signal(SIGTERM);
        run.message("after it was sent TERM; waiting for the rest of its process group");
        run.ping("server");
        assert!(!run.has_ended());
        run.tell("server", "exit 0");
        assert_eq!(run.status(), 3);
        assert_eq!(run.signals("server"), [SIGTERM, SIGCONT]);
    }
}

#[test]
fn what_a_stop_command_leaves_of_the_group_is_told_once_and_waited_for() {
    needs!(pid_namespace());
    let mut run = init(["-r", "TERM:USR2"]).stop_cmd(&[]).pid1().script(["fork server"]).start();
    run.wait("server", "ready");
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.tell("main", "exit 3");
    run.received("server", SIGUSR2);
    run.tell("stop", "exit 0");
    run.gone("stop");
    run.ping("server");
    assert!(!run.has_ended());
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3);
    assert_eq!(run.signals("server"), [SIGUSR2, SIGCONT]);
}

#[test]
fn a_signal_from_outside_reaches_what_is_left_of_the_group() {
    needs!(pid_namespace());
    let mut run =
        init(["--delay-term", "20ms"]).pid1().exits_on(SIGTERM, 3).script(["fork server"]).start();
    run.wait("server", "ready");
    run.signal(SIGTERM);
    run.received("server", SIGTERM);
    run.message("waiting for the rest of its process group");
    // The probe that told its process ID is gone: the init is its own child's.
    let init = stat(run.pid_of("server")).unwrap().parent;
    kill(init, SIGTERM);
    run.received("server", SIGTERM);
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3);
}

/// An init as PID 1, whose COMMAND's group has a member that is a child of a process
/// outside of it.
fn with_a_member_of_another_parent(options: &[&str]) -> Run {
    let mut run = init(options)
        .arg("--delay-term=20ms")
        .pid1()
        .exits_on(SIGTERM, 3)
        .script(["fork parent group"])
        .start();
    run.wait("parent", "ready");
    let group = run.hello("main")[2];
    run.tell("parent", &format!("fork member {group}"));
    run.wait("member", "ready");
    run
}

#[test]
fn a_member_whose_parent_is_another_living_process_is_waited_for_too() {
    // Its CHLD goes to that one: the init looks by itself.
    needs!(pid_namespace());
    // The deadline of --kill-after does not keep it from looking.
    for options in [&[][..], &["--kill-after=60"]] {
        let mut run = with_a_member_of_another_parent(options);
        run.signal(SIGTERM);
        run.message("waiting for the rest of its process group");
        run.ping("member");
        assert!(!run.has_ended());
        run.tell("member", "exit 0");
        assert_eq!(run.status(), 3);
    }
}

#[test]
fn a_zombie_that_nobody_reaps_is_not_waited_for() {
    needs!(pid_namespace());
    let mut run = with_a_member_of_another_parent(&[]);
    let parent = run.pid_of("parent");
    run.signal(SIGTERM);
    run.message("waiting for the rest of its process group");
    // Only now: the end of COMMAND, which orphans its group, would continue it.
    kill(parent, SIGSTOP);
    until_state(parent, 'T');
    run.tell("member", "exit 0");
    // It is a zombie until the end of PID 1.
    assert_eq!(run.status(), 3);
}

#[test]
fn nobody_of_the_group_is_waited_for_without_a_drain_or_a_stop_or_with_c() {
    needs!(pid_namespace());
    let setup = |options: &[&str]| init(options).pid1().script(["fork server"]);
    // A plain dumb-init command line, and COMMAND alone.
    for options in [&[][..], &["-c", "--delay-term", "20ms"]] {
        let mut run = setup(options).exits_on(SIGTERM, 3).start();
        run.wait("server", "ready");
        run.signal(SIGTERM);
        assert_eq!(run.status(), 3, "{options:?}");
    }
    // COMMAND ended by itself, running or draining.
    for stops in [false, true] {
        let mut run = setup(&["--delay-term", "60"]).start();
        run.wait("server", "ready");
        if stops {
            run.signal(SIGTERM);
            run.message("draining for");
        }
        run.tell("main", "exit 3");
        assert_eq!(run.status(), 3, "{stops}");
    }
}

#[test]
fn kill_after_ends_what_is_left_of_the_group() {
    needs!(pid_namespace());
    let mut run = init(["--delay-term", "20ms", "--kill-after", "200ms"])
        .pid1()
        .exits_on(SIGTERM, 3)
        .script(["fork server"])
        .start();
    run.wait("server", "ready");
    run.signal(SIGTERM);
    run.message("waiting for the rest of its process group");
    run.message("sending KILL");
    assert_eq!(run.status(), 3);
}

#[test]
fn with_wait_all_as_pid_1_nobody_is_told_twice() {
    needs!(pid_namespace());
    for options in [&["--wait-all"][..], &["--wait-all", "--delay-term", "20ms"]] {
        let mut run = init(options)
            .pid1()
            .exits_on(SIGTERM, 3)
            .script(["fork server", "orphan far session"])
            .start();
        run.wait("server", "ready");
        run.wait("far", "ready");
        run.signal(SIGTERM);
        run.received("server", SIGTERM);
        run.received("far", SIGTERM);
        run.ping("server");
        run.ping("far");
        run.tell("far", "exit 0");
        run.gone("far");
        assert!(!run.has_ended());
        run.tell("server", "exit 0");
        assert_eq!(run.status(), 3);
        assert_eq!(run.signals_except_cont("server"), [SIGTERM], "{options:?}");
        assert_eq!(run.signals("far"), [SIGTERM], "{options:?}");
    }
}

#[test]
fn with_wait_all_as_pid_1_who_came_behind_the_look_is_told_by_the_next() {
    needs!(pid_namespace(), native("strace would hold up the emulator's own calls"), strace());
    let mut run = init(["--wait-all"]).pid1().script(["orphan far session"]).start();
    run.wait("far", "ready");
    let (pid, number) = (run.pid(), run.hello("far")[0]);
    // /proc lists by numbers, and has listed this one. The one before was that of
    // far's parent, and is free.
    let stat = format!("/proc/{number}/stat");
    let held = Held::before_open(pid, &stat);
    run.tell("main", "exit 7");
    run.reaped("main");
    until("the look at far", || is_before_open(pid, &stat));
    run.tell("far", &format!("fork-as near {} session", number - 1));
    run.wait("far", "fork-as true");
    run.wait("near", "ready");
    drop(held);
    // While far lives, near is its child, and no orphan.
    run.received("far", SIGTERM);
    run.received("near", SIGTERM);
    run.tell("far", "exit 0");
    run.tell("near", "exit 0");
    assert_eq!(run.status(), 7);
}

// -------------------------------------------------------------- kill-after

#[test]
fn kill_after_ends_what_does_not_end_by_itself() {
    let mut run =
        init(["--delay-term", "100ms", "--kill-after", "200ms"]).script(["fork child"]).start();
    run.wait("child", "ready");
    let start = Instant::now();
    run.signal(SIGTERM);
    let term = run.received("main", SIGTERM);
    took(start, term, ms(100));
    let (at, status) = run.status_at();
    assert_eq!(status, 137);
    took(start, at, ms(300));
    run.gone("child");
}

#[test]
fn the_clock_of_kill_after_does_not_run_in_the_drain() {
    // The drain lasts longer than the clock.
    let mut run = init(["--kill-after", "300ms"]).drain_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    let over = Instant::now() + ms(400);
    until("the drain is longer", || Instant::now() > over);
    run.ping("main");
    let start = Instant::now();
    run.tell("drain", "exit 0");
    run.received("main", SIGTERM);
    let (at, status) = run.status_at();
    assert_eq!(status, 137);
    took(start, at, ms(300));
}

#[test]
fn the_clock_of_kill_after_starts_once() {
    let mut run = init(["--kill-after", "300ms"]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    // A clock that began anew with each would not run out while they come.
    while !run.has_ended() && start.elapsed() < PATIENCE {
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
    // The clock can run out meanwhile, but KILL comes when the helper is there.
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
    // The init does not continue until the stop command has ended COMMAND, however long
    // that takes: the clock can run out, but KILL cannot come first.
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
fn kill_after_starts_with_the_exit_of_command_where_that_is_earlier() {
    needs!(pid_namespace());
    let mut run =
        init(["--wait-all", "--kill-after", "200ms"]).pid1().script(["orphan far session"]).start();
    run.wait("far", "ready");
    let start = Instant::now();
    run.tell("main", "exit 5");
    run.received("far", SIGTERM);
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
        run.received("main", SIGTERM);
        assert_eq!(run.status(), 137);
        run.gone("far");
        // What would have got TERM later got SIGKILL.
        assert_eq!(run.signals("far"), []);
    }
}

#[test]
fn with_wait_all_as_pid_1_kill_after_ends_every_process_without_proc_too() {
    needs!(pid_namespace());
    // All of them were signalled by one kill(2) when COMMAND exited.
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
    let mut run = init(["--wait-all", "--kill-after", "100ms"])
        .hosted()
        .script(["fork near", "orphan far session"])
        .start();
    run.wait("near", "ready");
    run.wait("far", "ready");
    run.tell("main", "exit 5");
    run.received("near", SIGTERM);
    run.received("far", SIGTERM);
    assert_eq!(run.status(), 5);
    run.gone("near");
    run.gone("far");
}

#[test]
fn kill_after_0_is_never() {
    let mut run = init(["--kill-after", "0"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    // The subject is that nothing comes.
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

// ------------------------------------------------------- the shape of waits

#[test]
fn it_sleeps_in_one_call_until_a_signal_or_the_deadline_comes() {
    needs!(native("its own wakes"));
    let mut run = init(["--delay-term", "60"]).start();
    run.signal(SIGTERM);
    run.message("draining for");
    let pid = run.pid();
    until_state(pid, 'S');
    let before = status_line(pid, "voluntary_ctxt_switches");
    // Whoever polls, polls in this time.
    std::thread::sleep(ms(300));
    assert_eq!(status_line(pid, "voluntary_ctxt_switches"), before);
    run.barrier();
    until("its way back to sleep", || status_line(pid, "voluntary_ctxt_switches") != before);
}

#[test]
fn a_delay_is_not_counted_in_whole_seconds() {
    let mut run = init(["--delay-term", "1.2s"]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    let at = run.received("main", SIGTERM);
    took(start, at, ms(1200));
}

// ---------------------------------------------- the drain and stop commands

#[test]
fn the_drain_and_stop_commands_get_a_session_of_their_own() {
    let mut run = init(NONE).drain_cmd(&[]).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    for name in ["drain", "stop"] {
        run.wait(name, "ready");
        let [pid, parent, group, session] = run.hello(name);
        assert_eq!((group, session), (pid, pid));
        assert_eq!(parent, run.pid());
        run.tell(name, "exit 0");
    }
}

#[test]
fn the_drain_and_stop_commands_have_dev_null_as_stdin() {
    let (_keep, end) = pipe();
    let mut run = init(NONE).stdin(end).drain_cmd(&[]).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    for name in ["drain", "stop"] {
        run.wait(name, "ready");
        let stdin = std::fs::read_link(format!("/proc/{}/fd/0", run.pid_of(name))).unwrap();
        assert_eq!(stdin.to_str(), Some("/dev/null"));
        assert_eq!(run.ask(name, "stdin"), ["0 true"]);
        run.tell(name, "exit 0");
    }
}

#[test]
fn without_dev_null_the_drain_and_stop_commands_have_a_pipe_at_its_end_as_stdin() {
    needs!(pid_namespace(), native("it needs /dev"));
    let mut run = init(NONE)
        .stop_cmd(&[])
        .pid1()
        .wrapped(["sh", "-c", "mount -t tmpfs none /dev && exec \"$@\"", "sh"])
        .start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    assert_eq!(run.ask("stop", "stdin"), ["0 true"]);
    assert_eq!(run.ask("stop", "fds"), ["0", "1", "2"]);
}

#[test]
fn the_drain_and_stop_commands_have_the_inits_stdout_and_stderr() {
    let mut run = init(NONE).drain_cmd(&["print out", "eprint err", "exit 0"]).start();
    run.signal(SIGTERM);
    run.gone("drain");
    run.received("main", SIGTERM);
    run.message("err");
    run.tell("main", "exit 0");
    run.status();
    run.drain_output();
    assert_eq!(run.stdout(), "out\n");
    assert!(run.stderr().contains("err\n"));
}

#[test]
fn the_drain_and_stop_commands_have_no_other_descriptor() {
    let mut run = init(NONE).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    assert_eq!(run.ask("stop", "fds"), ["0", "1", "2"]);
    assert_eq!(run.ask("stop", "blocked"), NONE);
}

#[test]
fn the_drain_and_stop_commands_run_where_the_init_was_started() {
    let dir = TempDir::new();
    let here = dir.path("here");
    std::fs::create_dir(&here).unwrap();
    let mut run = init(NONE).cwd(&here).drain_cmd(&[]).start();
    // COMMAND may go elsewhere, that changes nothing.
    run.tell("main", "chdir /");
    run.wait("main", "chdir true");
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    assert_eq!(run.ask("drain", "cwd"), [here.to_str().unwrap()]);
}

#[test]
fn the_directory_of_the_drain_and_stop_commands_is_found_again_by_its_path() {
    let dir = TempDir::new();
    let (here, away) = (dir.path("here"), dir.path("away"));
    std::fs::create_dir(&here).unwrap();
    let mut run = init(NONE).cwd(&here).drain_cmd(&[]).start();
    std::fs::rename(&here, &away).unwrap();
    std::fs::create_dir(&here).unwrap();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    assert_eq!(run.ask("drain", "cwd"), [here.to_str().unwrap()]);
}

#[test]
fn where_the_directory_is_gone_the_drain_and_stop_commands_run_in_the_root_and_that_is_reported() {
    let dir = TempDir::new();
    let here = dir.path("here");
    std::fs::create_dir(&here).unwrap();
    let mut run = init(NONE).cwd(&here).drain_cmd(&[]).start();
    std::fs::remove_dir(&here).unwrap();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    run.message(here.to_str().unwrap());
    assert_eq!(run.ask("drain", "cwd"), ["/"]);
}

#[test]
fn the_drain_and_stop_commands_have_the_environment_of_command_with_mainpid_and_the_signal() {
    let mut run = init(["--delay-term", "20ms"])
        .clear_env()
        .env("DRAIN_INIT_VERBOSE", "0")
        .env("OWN", "value")
        .drain_cmd(&[])
        .stop_cmd(&[])
        .start();
    let main = run.hello("main")[0];
    let expected = |signal: &str| {
        let mut env = vec![
            format!("DRAIN_INIT_SIGNAL={signal}"),
            format!("MAINPID={main}"),
            "OWN=value".to_string(),
        ];
        env.sort();
        env
    };
    run.signal(SIGTERM);
    for name in ["drain", "stop"] {
        run.wait(name, "ready");
        let mut env = run.ask(name, "env");
        env.sort();
        assert_eq!(env, expected("TERM"));
    }
}

#[test]
fn what_names_the_init_in_the_environment_names_command_for_the_drain_and_stop_commands_too() {
    let set = "LISTEN_PID=$$ LISTEN_PIDFDID=5 WATCHDOG_PID=$$ SYSTEMD_EXEC_PID=$$ exec \"$@\"";
    let mut run = init(NONE)
        .wrapped(["sh", "-c", set, "sh"])
        .drain_cmd(&["ask env"])
        .stop_cmd(&["ask env"])
        .start();
    let main = run.hello("main")[0];
    run.signal(SIGTERM);
    for name in ["drain", "stop"] {
        run.wait(name, "ready");
        let env = run.said(name);
        for variable in ["LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID", "MAINPID"] {
            assert!(env.contains(&format!("env {variable}={main}")), "{name}: {env:?}");
        }
        assert!(!env.iter().any(|entry| entry.contains("LISTEN_PIDFDID")), "{name}: {env:?}");
        run.tell(name, "exit 0");
    }
}

#[test]
fn the_drain_and_stop_commands_have_the_disposition_of_chld_that_the_init_was_given() {
    needs!(native("qemu-user hands on default dispositions"));
    for ignored in [true, false] {
        let setup = if ignored { init(NONE).ignoring(SIGCHLD) } else { init(NONE) };
        let mut run = setup.drain_cmd(&[]).stop_cmd(&[]).start();
        run.signal(SIGTERM);
        for name in ["drain", "stop"] {
            run.wait(name, "ready");
            let expected = if ignored { vec![SIGCHLD.to_string()] } else { vec![] };
            assert_eq!(run.ask(name, "ignored"), expected, "{name}");
            run.tell(name, "exit 0");
        }
    }
}

#[test]
fn where_the_directory_is_outside_of_the_root_the_drain_and_stop_commands_run_in_the_root() {
    needs!(pid_namespace());
    // Its path begins with "(unreachable)" then, see getcwd(2).
    let leave = "mount -t tmpfs none /mnt && mkdir /mnt/here && cd /mnt/here && umount -l /mnt";
    let leave = format!("{leave} && exec \"$@\"");
    let mut run =
        init(NONE).pid1().wrapped(["sh", "-c", &leave, "sh"]).drain_cmd(&[]).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    for name in ["drain", "stop"] {
        run.wait(name, "ready");
        run.message("cannot enter the working directory again, using /");
        assert_eq!(run.ask(name, "cwd"), ["/"]);
        run.tell(name, "exit 0");
    }
}

#[test]
fn the_signal_in_the_environment_is_the_received_one() {
    let setup = init(["--stop-signal", "QUIT", "-r", "QUIT:INT"]).stop_cmd(&[]);
    let mut run = setup.env("MAINPID", "1").env("DRAIN_INIT_SIGNAL", "old").start();
    run.signal(SIGQUIT);
    run.wait("stop", "ready");
    let env = run.ask("stop", "env");
    let main = run.hello("main")[0];
    let of = |name: &str| env.iter().filter(|e| e.starts_with(name)).cloned().collect::<Vec<_>>();
    assert_eq!(of("DRAIN_INIT_SIGNAL="), ["DRAIN_INIT_SIGNAL=QUIT"]);
    assert_eq!(of("MAINPID="), [format!("MAINPID={main}")]);
}

#[test]
fn as_pid_1_mainpid_is_the_number_in_the_namespace() {
    needs!(pid_namespace());
    let mut run = init(["--stop-cmd", "kill -INT $MAINPID"]).exits_on(SIGINT, 12).pid1().start();
    run.signal(SIGTERM);
    assert_eq!(run.status(), 12);
}

#[test]
fn the_drain_and_stop_commands_get_none_of_the_signals() {
    let mut run = init(["--delay-term", "100ms"]).drain_cmd(&[]).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    for signal in [SIGHUP, SIGINT, SIGUSR1, SIGTERM] {
        run.signal(signal);
    }
    run.wait("stop", "ready");
    for signal in [SIGHUP, SIGINT, SIGUSR1, SIGTERM] {
        run.signal(signal);
    }
    run.barrier();
    for name in ["drain", "stop"] {
        run.ping(name);
        assert_eq!(run.signals(name), []);
    }
}

#[test]
fn with_a_terminal_what_is_typed_does_not_reach_the_drain_and_stop_commands() {
    let mut run = init(NONE).terminal(Terminal::Leader).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.type_in(b"\x03");
    run.received("main", SIGINT);
    run.ping("stop");
    assert_eq!(run.signals("stop"), []);
}
