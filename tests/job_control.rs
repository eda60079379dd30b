//! Job control (STOP SEQUENCE in the manual page) and terminals.

mod support;
use std::process::Command;
use std::time::Instant;
use support::*;

const TERMINAL_STOPS: [i32; 3] = [SIGTSTP, SIGTTIN, SIGTTOU];

/// The init with these options on a terminal whose session it leads.
fn on_terminal(options: &[&str]) -> Setup {
    init(options).terminal(Terminal::Leader)
}

// -------------------------------------------------------- without a terminal

#[test]
fn without_a_terminal_tstp_ttin_and_ttou_are_delivered_as_they_are() {
    for options in [&[][..], &["-c"]] {
        for signal in TERMINAL_STOPS {
            let mut run = init(options).in_session().start();
            run.signal(signal);
            run.received("main", signal);
            run.barrier();
            assert!(!run.was_stopped());
            assert_eq!(run.signals("main"), [signal, SIGWINCH]);
        }
    }
}

#[test]
fn without_a_terminal_tstp_is_rewritten_as_asked() {
    for (to, arrives) in [("USR1", Some(SIGUSR1)), ("0", None)] {
        let rewrite = format!("TSTP:{to}");
        let mut run = init(["-r", &rewrite]).in_session().start();
        run.signal(SIGTSTP);
        run.barrier();
        assert!(!run.was_stopped());
        let expected: Vec<i32> = arrives.into_iter().chain([SIGWINCH]).collect();
        assert_eq!(run.signals("main"), expected);
    }
}

#[test]
fn a_command_that_is_stopped_without_a_terminal_stays_stopped() {
    let mut run = init(["-c"]).in_session().script(["default 20"]).start();
    let main = run.pid_of("main");
    run.signal(SIGTSTP);
    until_state(main, 'T');
    run.signal(SIGUSR1);
    let pid = run.pid();
    until("the init sleeps again", || stat(pid).unwrap().state == 'S');
    assert_eq!(stat(main).unwrap().state, 'T');
    run.signal(SIGCONT);
    run.received("main", SIGUSR1);
}

// ------------------------------------------------- a stop reaches stopped processes

#[test]
fn a_stop_signal_reaches_a_command_that_is_stopped() {
    for options in [&["--delay-term", "50ms"][..], &["-c", "--delay-term", "50ms"], &[]] {
        let mut run = init(options).exits_on(SIGTERM, 5).start();
        let main = run.pid_of("main");
        kill(main, SIGSTOP);
        until_state(main, 'T');
        run.signal(SIGTERM);
        assert_eq!(run.status(), 5, "{options:?}");
    }
}

#[test]
fn a_stop_command_finds_a_command_that_was_continued() {
    let mut run = init(["--drain-cmd", "exit 0"]).stop_cmd(&[]).start();
    let main = run.pid_of("main");
    kill(main, SIGSTOP);
    until_state(main, 'T');
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.received("main", SIGCONT);
}

// ------------------------------------------------------------ on a terminal

#[test]
fn on_a_terminal_in_group_mode_tstp_ttin_and_ttou_are_delivered_as_stop() {
    for signal in TERMINAL_STOPS {
        scenarios::the_group_and_the_init_stop_until_cont(on_terminal(&[]), signal);
    }
}

#[test]
fn on_a_terminal_rewritten_tstp_and_ttin_arrive_as_rewritten_and_the_init_still_stops() {
    for (signal, to, arrives) in [(SIGTSTP, "USR1", SIGUSR1), (SIGTTIN, "TTIN", SIGTTIN)] {
        let setup = on_terminal(&["-r", &format!("{signal}:{to}")]);
        scenarios::command_receives_it_and_the_init_stops_until_cont(setup, signal, arrives);
    }
}

#[test]
fn on_a_terminal_tstp_rewritten_to_0_reaches_no_process_and_the_init_still_stops() {
    let mut run = on_terminal(&["-r", "TSTP:0"]).start();
    run.signal(SIGTSTP);
    run.stopped();
    run.ping("main");
    assert_eq!(run.signals("main"), []);
}

#[test]
fn on_a_terminal_with_c_tstp_ttin_and_ttou_are_delivered_as_they_are() {
    for signal in TERMINAL_STOPS {
        let setup = on_terminal(&["-c"]);
        scenarios::command_receives_it_and_the_init_stops_until_cont(setup, signal, signal);
    }
}

#[test]
fn a_terminal_that_is_not_on_stdin_counts_for_job_control_too() {
    let mut run = on_terminal(&[]).wrapped(["sh", "-c", "exec \"$@\" </dev/null", "sh"]).start();
    run.signal(SIGTSTP);
    let main = run.pid_of("main");
    until_state(main, 'T');
    run.stopped();
    run.signal(SIGCONT);
    run.received("main", SIGCONT);
}

#[test]
fn the_init_stops_itself_in_the_drain() {
    let mut run = on_terminal(&["--delay-term", "60"]).start();
    run.signal(SIGTERM);
    run.drain_begins();
    run.signal(SIGTSTP);
    let main = run.pid_of("main");
    until_state(main, 'T');
    run.stopped();
    run.signal(SIGCONT);
    run.continued();
    run.received("main", SIGCONT);
    run.signal(SIGTERM);
    run.message("ignored, already draining");
}

#[test]
fn the_init_stops_itself_while_the_stop_command_runs() {
    let mut run = on_terminal(&[]).stop_cmd(&[]).start();
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
    let mut run = on_terminal(&[]).stop_cmd(&[]).start();
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
    let mut run = on_terminal(&["--delay-term", "1"]).start();
    run.signal(SIGTERM);
    run.drain_begins();
    let drained = Instant::now() + ms(1000);
    run.signal(SIGTSTP);
    run.stopped();
    until("the deadline has passed", || Instant::now() > drained);
    // A deadline takes effect before a signal that arrives with it. If the clock had been
    // stopped as well, TERM would come after WINCH.
    run.signal(SIGWINCH);
    run.signal(SIGCONT);
    run.received("main", SIGWINCH);
    assert_eq!(run.signals_except_cont("main"), [SIGTERM, SIGWINCH], "{}", run.story());
}

/// The init as PID 1 of a namespace, on a terminal whose session it leads, as
/// `docker run -it` starts it.
fn pid_1_on_terminal(options: &[&str]) -> Setup {
    init(options).pid1().wrapped(["setsid", "--ctty"]).terminal(Terminal::Foreign)
}

#[test]
fn as_pid_1_the_init_does_not_stop_itself() {
    needs!(pid_namespace());
    scenarios::as_pid_1_tstp_stops_command_alone(pid_1_on_terminal(&[]), true);
    scenarios::as_pid_1_tstp_stops_command_alone(pid_1_on_terminal(&["-c"]), false);
}

#[test]
fn a_cont_right_after_the_stop_is_not_lost() {
    needs!(pid_namespace(), strace());
    for setup in [pid_1_on_terminal(&[]), on_terminal(&[])] {
        let mut run = setup.start();
        let (pid, main) = (run.pid(), run.pid_of("main"));
        // The init is held when it has stopped COMMAND, so CONT comes before its next step.
        let held = Held::in_kill(pid);
        kill(pid, SIGTSTP);
        until_state(main, 'T');
        kill(pid, SIGCONT);
        drop(held);
        run.received("main", SIGCONT);
    }
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
    // A stopped child has not exited.
    let mut run = init(["-v"]).start();
    let main = run.pid_of("main");
    kill(main, SIGSTOP);
    until_state(main, 'T');
    // WINCH is received after the CHLD of the stop.
    run.signal(SIGWINCH);
    run.message("received WINCH");
    kill(main, SIGCONT);
    run.received("main", SIGWINCH);
    run.barrier();
    // The init has noticed that COMMAND continues, so no CONT follows the stop signal.
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGCONT, SIGWINCH, SIGWINCH, SIGTERM, SIGWINCH]);
}

// --------------------------------------------------------------- terminals

#[test]
fn ctrl_z_does_not_hang_a_command_that_no_shell_could_continue() {
    for options in [&[][..], &["-c"]] {
        scenarios::ctrl_z_does_not_hang_command(on_terminal(options));
        scenarios::ctrl_z_does_not_hang_what_command_has_started(on_terminal(options));
    }
}

#[test]
fn in_single_child_mode_it_reports_that_the_whole_group_continues_after_ctrl_z() {
    let mut run = on_terminal(&["-c", "-v"]).script(["default 20"]).start();
    let main = run.pid_of("main");
    run.type_in(b"\x1a");
    run.message(&format!("sent CONT to process group {main}"));
    run.received("main", SIGCONT);
    // That CONT undid the terminal's stop. A CONT from outside goes to COMMAND alone.
    run.signal(SIGCONT);
    run.message(&format!("sent CONT to process {main}"));
}

#[test]
fn as_pid_1_ctrl_z_does_not_hang_command_either() {
    needs!(pid_namespace());
    for options in [&[][..], &["-c"]] {
        scenarios::ctrl_z_does_not_hang_command(pid_1_on_terminal(options));
        scenarios::after_ctrl_z_command_answers(pid_1_on_terminal(options));
    }
}

/// COMMAND has exited after a stop, and the init waits for `server`, which was in the
/// foreground with COMMAND. `stop` stops the server, and no shell can continue it.
fn a_remaining_process_is_continued(setup: Setup, stop: fn(&mut Run)) {
    let script = ["on 15 exit 3", "fork server"];
    let mut run = setup.script(script).spawn();
    run.wait("main", "ready");
    run.wait("server", "ready");
    for signal in TERMINAL_STOPS {
        run.tell("server", &format!("default {signal}"));
    }
    run.ping("server");
    run.signal(SIGTERM);
    run.reaped("main");
    run.received("server", SIGTERM);
    run.ping("server");
    // One CONT may have come with TERM.
    let before = run.signals("server").len();
    stop(&mut run);
    until("CONT", || run.signals("server").len() > before);
    assert_eq!(run.signals("server")[before..], [SIGCONT], "{}", run.story());
    run.ping("server");
    assert!(!run.has_ended());
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3);
}

/// As PID 1, and as an ordinary process. Both lead the terminal's session.
fn leaders(options: &[&str]) -> [Setup; 2] {
    [pid_1_on_terminal(options), on_terminal(options)]
}

#[test]
fn ctrl_z_does_not_hang_remaining_processes_after_command_has_exited() {
    needs!(pid_namespace(), subreaper());
    for options in [&["--delay-term=20ms"][..], &["--wait-all"]] {
        for setup in leaders(options) {
            a_remaining_process_is_continued(setup, |run| run.type_in(b"\x1a"));
        }
    }
}

#[test]
fn a_remaining_process_that_reads_the_terminal_in_the_background_is_continued() {
    needs!(pid_namespace(), subreaper());
    for setup in leaders(&["--delay-term=20ms"]) {
        a_remaining_process_is_continued(setup, |run| {
            let server = run.pid_of("server");
            kill(server, SIGTTIN);
        });
    }
}

#[test]
fn a_remaining_process_that_no_terminal_has_stopped_stays_stopped() {
    needs!(pid_namespace(), subreaper());
    // The process is stopped as by a debugger.
    let options = ["--delay-term=20ms"];
    for setup in leaders(&options).into_iter().chain([init(options).pid1()]) {
        let mut run = setup.script(["on 15 exit 3", "fork server"]).start();
        run.wait("server", "ready");
        let (init, server) = (run.pid(), run.pid_of("server"));
        run.signal(SIGTERM);
        run.reaped("main");
        run.received("server", SIGTERM);
        until_idle(init);
        run.ping("server");
        let before = run.signals("server");
        kill(server, SIGSTOP);
        until_state(server, 'T');
        // Wakes the init, which looks at its children first.
        kill(init, SIGUSR2);
        until_idle(init);
        assert_eq!(stat(server).unwrap().state, 'T');
        kill(server, SIGKILL);
        assert_eq!(run.status(), 3);
        run.gone("server");
        assert_eq!(run.signals("server"), before);
    }
}

#[test]
fn a_group_with_commands_old_number_does_not_receive_the_terminal() {
    needs!(pid_namespace());
    let setup = pid_1_on_terminal(&[]).stop_cmd(&[]).script(["fork other group"]);
    let mut run = setup.start();
    run.wait("other", "ready");
    let (init, number) = (run.pid(), run.hello("main")[0]);
    kill(init, SIGTERM);
    run.wait("stop", "ready");
    run.tell("main", "exit 4");
    // This is logged once COMMAND has been reaped and its group is known to be gone.
    run.message("exited with status 4");
    run.tell("other", &format!("fork-as stranger {number} group"));
    run.wait("other", "fork-as true");
    run.wait("stranger", "ready");
    run.tell("other", "foreground 1");
    run.wait("other", "foreground 0");
    assert_eq!(run.foreground_group(), init);
    kill(init, SIGCONT);
    run.message("CONT");
    assert_eq!(run.foreground_group(), init);
    run.tell("stop", "exit 0");
    assert_eq!(run.status(), 4);
}

#[test]
fn the_init_does_not_stop_itself_for_a_command_that_was_stopped_and_has_exited() {
    needs!(native("the emulator makes no ptrace(2) call for the init"), strace());
    // A shell leads the session, and would continue the job.
    let setup = init(["-c"]).wrapped(["sh", "-c", "\"$@\"; exit $?", "sh"]);
    let mut run = setup.terminal(Terminal::Leader).script(["default 20"]).start();
    let (init, main) = (run.pid(), run.pid_of("main"));
    let held = Held::at_a_stop(init);
    kill(main, SIGTSTP);
    until_in_ptrace(init);
    kill(main, SIGKILL);
    until_state(main, 'Z');
    drop(held);
    assert_eq!(run.status(), 137);
}

#[test]
fn a_member_that_is_stopped_while_command_runs_stays_stopped() {
    needs!(pid_namespace(), subreaper());
    for mut run in leaders(&[]).map(|setup| setup.script(["orphan member"]).start()) {
        run.tell("member", "default 20");
        run.ping("member");
        let member = run.pid_of("member");
        kill(member, SIGTSTP);
        until_state(member, 'T');
        run.barrier();
        assert_eq!(stat(member).unwrap().state, 'T');
        assert_eq!(run.signals("main"), [SIGWINCH]);
    }
}

#[test]
fn the_init_does_not_stop_itself_for_a_process_of_another_group() {
    needs!(subreaper());
    // A shell leads the session, and would continue a job.
    let setup = init(["-c", "-s"]).wrapped(["sh", "-c", "\"$@\"; exit $?", "sh"]);
    let setup = setup.terminal(Terminal::Leader).stop_cmd(&[]);
    let mut run = setup.script(["orphan far group"]).start();
    run.tell("far", "default 20");
    run.ping("far");
    let far = run.pid_of("far");
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.tell("main", "exit 3");
    run.reaped("main");
    kill(far, SIGTSTP);
    until_state(far, 'T');
    run.tell("stop", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn typed_input_reaches_command_once_and_not_the_init() {
    for options in [&["-v"][..], &["-v", "-c"]] {
        let mut run = scenarios::what_is_typed_reaches_command_once(on_terminal(options));
        run.message("received WINCH");
        assert!(!run.stderr().contains("received INT"), "{}", run.stderr());
    }
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
fn a_new_window_size_reaches_command_once() {
    let once = |setup| {
        let mut run = scenarios::a_new_window_size_reaches_command(setup);
        run.barrier();
        assert_eq!(run.signals("main"), [SIGWINCH, SIGWINCH], "{}", run.story());
    };
    once(on_terminal(&[]));
    if !lacks(&format!("{} as PID 1", test_name!()), &[pid_namespace()]) {
        once(pid_1_on_terminal(&[]));
    }
}

#[test]
fn a_new_window_size_is_not_reported_as_a_signal_that_bypassed_the_drain() {
    let setup = init(["--delay-term=60"]).terminal(Terminal::Leader);
    let setup = setup.wrapped(["sh", "-c", "\"$@\"; echo done >&2", "sh"]);
    let mut run = scenarios::a_new_window_size_reaches_command(setup);
    run.tell("main", "exit 3");
    assert_eq!(run.message("done"), "done\n");
    assert_eq!(run.stderr(), "done\n");
}

#[test]
fn an_interactive_container_is_interrupted_even_in_the_drain() {
    let setup = on_terminal(&["--delay-term", "60"]);
    assert_eq!(scenarios::an_interrupt_in_the_drain(setup, |run| run.type_in(b"\x03")), 130);
}

#[test]
fn remaining_processes_of_command_receive_no_hup() {
    // They would receive one if COMMAND led the terminal's session.
    needs!(pid_namespace());
    let mut run = pid_1_on_terminal(&["--delay-term", "20ms"])
        .exits_on(SIGTERM, 3)
        .script(["fork server"])
        .start();
    run.wait("server", "ready");
    run.signal(SIGTERM);
    run.reaped("main");
    run.ping("server");
    assert_eq!(run.signals("server"), [SIGTERM, SIGCONT]);
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn a_terminal_that_hangs_up_ends_command() {
    assert_eq!(scenarios::when_the_terminal_hangs_up(on_terminal(&[]), 0), 0);
}

// ------------------------------------------------------------ with a real bash

#[test]
fn a_shell_has_job_control() {
    let leader = |setup: Setup| setup.terminal(Terminal::Leader);
    let pid_1 =
        |setup: Setup| setup.pid1().wrapped(["setsid", "--ctty"]).terminal(Terminal::Foreign);
    // As with `unshare --pid` on a terminal, the session and its leader are outside.
    let outside = |setup: Setup| setup.pid1().terminal(Terminal::Leader);
    needs!(pid_namespace());
    for place in [leader, pid_1, outside] {
        for options in [&[][..], &["-c"], &["--delay-term", "1"]] {
            scenarios::a_shell_has_job_control(place(init(options)));
        }
    }
}

#[test]
fn pid_1_that_does_not_lead_the_terminals_session_continues_command() {
    needs!(pid_namespace());
    // No shell can continue PID 1, because nothing stops it.
    let mut run = init(["-c"]).pid1().terminal(Terminal::Leader).script(["default 20"]).start();
    let main = run.pid_of("main");
    kill(main, SIGTSTP);
    run.received("main", SIGCONT);
}

/// A real bash that has started the init with these options as a job. `end` is the end of
/// the typed line.
fn job_of_bash(options: &[&str], end: &[u8]) -> Run {
    job_of_bash_in(&[], options, end)
}

/// The same, with these words before the init.
fn job_of_bash_in(place: &[&str], options: &[&str], end: &[u8]) -> Run {
    let setup = init(["--norc", "--noprofile", "-i"])
        .called("/bin/bash")
        .command::<&str>([])
        .terminal(Terminal::Leader);
    let mut words: Vec<_> = place.iter().map(Into::into).collect();
    words.push(init_path().into_os_string());
    words.extend(options.iter().map(Into::into));
    words.push("--".into());
    words.extend(setup.probe_words("main", &["default 20"]));
    let mut run = setup.spawn();
    let typed = scenarios::typed(words);
    run.type_in(&[typed.trim_ascii_end(), end].concat());
    run.wait("main", "ready");
    run
}

#[test]
fn as_a_shells_job_it_gives_the_terminal_back_and_takes_it_again() {
    needs!(native("the shell would be emulated, not the init"));
    for options in [&[][..], &["-c"]] {
        let mut run = job_of_bash(options, b"\n");
        let main = run.pid_of("main");
        let init = stat(main).unwrap().parent;
        for _ in 0..2 {
            run.type_in(b"\x1a");
            run.message("Stopped");
            until_state(main, 'T');
            until_state(init, 'T');
            run.type_in(b"fg\n");
            run.received("main", SIGCONT);
            // Without -c COMMAND has a session of its own.
            let foreground = if options == ["-c"] { main } else { init };
            assert_eq!(run.foreground_group(), foreground, "{options:?}: before any read");
        }
        run.type_in(b"\x03");
        run.received("main", SIGINT);
        // In the background it continues, and the shell keeps the terminal.
        run.type_in(b"\x1a");
        run.message("Stopped");
        run.type_in(b"bg\n");
        run.received("main", SIGCONT);
        run.type_in(b"echo here >&2\n");
        run.message("here");
        // Without a CONT, the init learns only from COMMAND's first read that COMMAND is in
        // the background.
        let with_cont = bring_to_the_foreground(&mut run, init);
        if options == ["-c"] && !with_cont {
            run.tell("main", "default 21");
            run.ping("main");
            kill(main, SIGTTIN);
            run.received("main", SIGCONT);
        }
        run.tell("main", "exit 7");
        run.type_in(b"exit $?\n");
        assert_eq!(run.status(), 7, "{options:?}");
    }
}

/// Brings a running job to the foreground. Since 5.3, bash also sends it CONT. Returns
/// whether it did.
fn bring_to_the_foreground(run: &mut Run, init: Pid) -> bool {
    let is_new = "(( BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 503 ))";
    let with_cont = Command::new("bash").args(["-c", is_new]).status().unwrap().success();
    run.type_in(b"fg\n");
    if with_cont {
        run.received("main", SIGCONT);
    } else {
        until("the shell to give the terminal away", || run.foreground_group() == init);
    }
    with_cont
}

#[test]
fn as_a_shells_background_job_it_leaves_the_terminal_to_the_shell() {
    needs!(native("the shell would be emulated, not the init"));
    for options in [&[][..], &["-c"]] {
        let mut run = job_of_bash(options, b" &\n");
        assert_eq!(run.foreground_group(), run.pid(), "{options:?}");
        run.tell("main", "exit 7");
        run.type_in(b"wait $!; exit $?\n");
        assert_eq!(run.status(), 7, "{options:?}");
    }
}

#[test]
fn in_a_pid_namespace_in_a_shells_background_it_leaves_the_terminal_to_the_shell() {
    needs!(pid_namespace(), native("the shell would be emulated, not the init"));
    for options in [&[][..], &["-c"]] {
        let mut run = job_of_bash_in(&["unshare", "--pid", "--fork"], options, b" &\n");
        assert_eq!(run.foreground_group(), run.pid(), "{options:?}");
        run.tell("main", "exit 7");
        run.type_in(b"wait $!; exit $?\n");
        assert_eq!(run.status(), 7, "{options:?}");
    }
}

#[test]
fn as_a_shells_background_job_it_stops_when_command_reads_until_the_shell_continues_it() {
    needs!(native("the shell would be emulated, not the init"));
    let mut run = job_of_bash(&["-c"], b" &\n");
    let main = run.pid_of("main");
    let init = stat(main).unwrap().parent;
    run.tell("main", "default 21");
    run.ping("main");
    kill(main, SIGTTIN);
    until_state(init, 'T');
    until_state(main, 'T');
    assert_eq!(run.foreground_group(), run.pid());
    run.type_in(b"fg\n");
    run.received("main", SIGCONT);
    run.tell("main", "exit 7");
    run.type_in(b"exit $?\n");
    assert_eq!(run.status(), 7);
}

#[test]
fn as_a_shells_foreground_job_it_stops_when_command_suspends_itself() {
    needs!(native("the shell would be emulated, not the init"));
    let mut run = job_of_bash(&["-c"], b" &\n");
    let main = run.pid_of("main");
    let init = stat(main).unwrap().parent;
    bring_to_the_foreground(&mut run, init);
    kill(main, SIGTSTP);
    run.message("Stopped");
    until_state(init, 'T');
    run.type_in(b"fg\n");
    run.received("main", SIGCONT);
    run.tell("main", "exit 7");
    run.type_in(b"exit $?\n");
    assert_eq!(run.status(), 7);
}

#[test]
fn a_script_has_the_terminal_again_when_the_init_has_ended() {
    for options in [&[][..], &["-c"]] {
        let mut run = init(options)
            .wrapped(["sh", "-c", "\"$@\"; read line; echo got=$line >&2", "sh"])
            .terminal(Terminal::Leader)
            .start();
        run.tell("main", "exit 0");
        run.type_in(b"word\n");
        run.message("got=word");
    }
}
