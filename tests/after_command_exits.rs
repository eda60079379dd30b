//! Which processes are signalled and waited for when COMMAND has exited.
//! `remaining_processes` and `wait_all` have the details.

mod support;

use support::*;

const NONE: [&str; 0] = [];

#[test]
fn a_stop_command_that_still_runs_is_waited_for() {
    let mut run = init(NONE).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    let main = run.pid_of("main");
    run.tell("main", "exit 4");
    until("COMMAND's reaping", || stat(main).is_none());
    until_idle(run.pid());
    run.ping("stop");
    assert_eq!(run.signals("stop"), []);
    run.tell("stop", "exit 1");
    assert_eq!(run.status(), 4);
}

#[test]
fn the_rest_of_the_group_receives_term_when_command_has_exited() {
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
fn a_signal_after_the_exit_of_command_goes_to_the_rest_of_the_group() {
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
fn a_signal_after_the_exit_of_command_that_no_process_can_receive_is_dropped_and_reported() {
    let mut run = init(NONE).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    let main = run.pid_of("main");
    run.tell("main", "exit 4");
    until("COMMAND's reaping", || stat(main).is_none());
    run.signal(SIGUSR1);
    run.message("received USR1: dropped, because process ");
    run.ping("stop");
    assert_eq!(run.signals("stop"), []);
    run.tell("stop", "exit 0");
    assert_eq!(run.status(), 4);
}

#[test]
fn with_wait_all_as_pid_1_every_process_receives_term_and_is_waited_for() {
    needs!(pid_namespace());
    let setup = || init(["--wait-all", "-r", "15:12"]).pid1();
    scenarios::a_daemon_in_its_own_session_is_waited_for(setup());
    scenarios::a_daemon_in_its_own_session_is_waited_for(scenarios::without_proc(setup()));
}

#[test]
fn with_wait_all_a_process_from_outside_the_namespace_receives_term_and_is_not_waited_for() {
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
    // The init is their subreaper.
    let init = run.pid();
    assert_eq!(stat(run.pid_of("far")).unwrap().parent, init);
    run.tell("main", "exit 7");
    run.received("near", SIGTERM);
    run.received("far", SIGTERM);
    run.tell("near", "exit 0");
    run.reaped("near");
    until_idle(init);
    run.ping("far");
    run.tell("far", "exit 0");
    assert_eq!(run.status(), 7);
    for name in ["near", "far"] {
        assert_eq!(run.signals_except_cont(name), [SIGTERM], "signalled once");
    }
}

#[test]
fn with_wait_all_not_as_pid_1_an_orphan_receives_term_as_soon_as_it_is_adopted() {
    needs!(pid_namespace(), subreaper());
    let mut run = init(["--wait-all"]).hosted().script(["fork near session"]).start();
    run.wait("near", "ready");
    run.tell("near", "fork far session");
    run.wait("far", "ready");
    run.tell("main", "exit 7");
    run.received("near", SIGTERM);
    run.ping("far");
    assert_eq!(run.signals("far"), [], "its parent is another process");
    run.tell("near", "exit 0");
    run.received("far", SIGTERM);
    run.tell("far", "exit 0");
    assert_eq!(run.status(), 7);
}

#[test]
fn with_wait_all_a_child_whose_exit_signal_is_not_chld_is_waited_for() {
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

#[test]
fn after_a_drain_the_rest_of_the_group_is_waited_for_and_receives_one_stop_signal() {
    needs!(pid_namespace());
    for setup in [init(["--delay-term", "20ms"]).pid1(), init(["--drain-cmd", "exit 0"]).hosted()] {
        // As with npm and sh, COMMAND dies of TERM and the server keeps answering.
        let mut run = setup.exits_on(SIGTERM, 3).script(["fork server"]).start();
        run.wait("server", "ready");
        let init = run.pid();
        run.signal(SIGTERM);
        run.message("after it was sent TERM; waiting for the rest of its process group");
        until_idle(init);
        run.ping("server");
        run.tell("server", "exit 0");
        assert_eq!(run.status(), 3);
        assert_eq!(run.signals("server"), [SIGTERM, SIGCONT]);
    }
}

#[test]
fn after_a_stop_command_the_rest_of_the_group_receives_one_stop_signal_and_is_waited_for() {
    needs!(pid_namespace());
    let mut run = init(["-r", "TERM:USR2"]).stop_cmd(&[]).pid1().script(["fork server"]).start();
    run.wait("server", "ready");
    let init = run.pid();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.tell("main", "exit 3");
    run.received("server", SIGUSR2);
    run.received("server", SIGCONT);
    run.tell("stop", "exit 0");
    run.reaped("stop");
    until_idle(init);
    run.ping("server");
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3);
    assert_eq!(run.signals("server"), [SIGUSR2, SIGCONT]);
}

#[test]
fn a_signal_from_outside_reaches_the_rest_of_the_group() {
    needs!(pid_namespace());
    let mut run =
        init(["--delay-term", "20ms"]).pid1().exits_on(SIGTERM, 3).script(["fork server"]).start();
    run.wait("server", "ready");
    run.signal(SIGTERM);
    run.received("server", SIGTERM);
    run.message("waiting for the rest of its process group");
    // COMMAND has exited, so pid() cannot look up its parent. The init is now the server's
    // parent.
    let init = stat(run.pid_of("server")).unwrap().parent;
    kill(init, SIGTERM);
    run.received("server", SIGTERM);
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3);
}

/// An init as PID 1. COMMAND's process group has a member whose parent is outside the
/// group.
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
    // The member's CHLD goes to its parent, so the init has to check by itself.
    needs!(pid_namespace());
    // It also checks while it waits for --kill-after's deadline.
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
fn a_zombie_that_is_never_reaped_is_not_waited_for() {
    needs!(pid_namespace());
    let mut run = with_a_member_of_another_parent(&[]);
    let parent = run.pid_of("parent");
    run.signal(SIGTERM);
    run.message("waiting for the rest of its process group");
    // Not before COMMAND's exit, which orphans the parent's group and so continues it.
    kill(parent, SIGSTOP);
    until_state(parent, 'T');
    run.tell("member", "exit 0");
    // The member stays a zombie until PID 1 exits.
    assert_eq!(run.status(), 3);
}

#[test]
fn the_group_is_not_waited_for_without_a_drain_or_a_stop_or_with_c() {
    needs!(pid_namespace());
    let setup = |options: &[&str]| init(options).pid1().script(["fork server"]);
    // A plain dumb-init command line, and -c.
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
            run.drain_begins();
        }
        run.tell("main", "exit 3");
        assert_eq!(run.status(), 3, "{stops}");
    }
}

#[test]
fn with_wait_all_as_pid_1_a_process_receives_term_only_once() {
    needs!(pid_namespace());
    for options in [&["--wait-all"][..], &["--wait-all", "--delay-term", "20ms"]] {
        let mut run = init(options)
            .pid1()
            .exits_on(SIGTERM, 3)
            .script(["fork server", "orphan far session"])
            .start();
        run.wait("server", "ready");
        run.wait("far", "ready");
        let init = run.pid();
        run.signal(SIGTERM);
        run.received("server", SIGTERM);
        run.received("far", SIGTERM);
        run.ping("server");
        run.ping("far");
        run.tell("far", "exit 0");
        run.reaped("far");
        until_idle(init);
        run.tell("server", "exit 0");
        assert_eq!(run.status(), 3);
        assert_eq!(run.signals_except_cont("server"), [SIGTERM], "{options:?}");
        assert_eq!(run.signals("far"), [SIGTERM], "{options:?}");
    }
}

#[test]
fn with_wait_all_as_pid_1_a_process_that_a_scan_missed_receives_term_from_the_next() {
    needs!(pid_namespace(), native("strace would hold up the emulator's own calls"), strace());
    let mut run = init(["--wait-all"]).pid1().script(["orphan far session"]).start();
    run.wait("far", "ready");
    let (pid, number) = (run.pid(), run.hello("far")[0]);
    // /proc lists processes by ID, so the scan has already passed `number - 1`. That ID
    // was the one of far's parent and is free.
    let stat = format!("/proc/{number}/stat");
    let held = Held::before_open(pid, &stat);
    run.tell("main", "exit 7");
    run.reaped("main");
    until("the scan reads far", || is_before_open(pid, &stat));
    run.tell("far", &format!("fork-as near {} session", number - 1));
    run.wait("far", "fork-as true");
    run.wait("near", "ready");
    drop(held);
    // While far runs, near is its child and not an orphan.
    run.received("far", SIGTERM);
    run.received("near", SIGTERM);
    run.tell("far", "exit 0");
    run.tell("near", "exit 0");
    assert_eq!(run.status(), 7);
}
