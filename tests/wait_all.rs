//! `--wait-all` (STOP SEQUENCE in the manual page): which processes receive TERM when
//! COMMAND has exited, and which do not.

#![allow(unsafe_code)]

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::sync::mpsc::RecvTimeoutError;

use reliability::by_storm;
use support::*;

const NONE: [i32; 0] = [];

/// As PID 1 of a PID namespace, and as an ordinary process in one.
fn places() -> [Setup; 2] {
    [init(["--wait-all"]).pid1(), init(["--wait-all"]).hosted()]
}

/// COMMAND has left an orphan, `far`, in a session of its own. Returns the init's
/// process ID, which cannot be looked up once COMMAND has exited.
fn with_an_orphan(setup: Setup) -> (Run, Pid) {
    let mut run = setup.script(["orphan far session"]).start();
    run.wait("far", "ready");
    let init = run.pid();
    (run, init)
}

/// The stop signal was sent to COMMAND's group, and COMMAND has exited. `server` is the
/// remaining member.
fn with_a_signalled_group(surroundings: fn(Setup) -> Setup) -> Run {
    let setup = surroundings(init(["--wait-all", "--delay-term=20ms"]).pid1());
    let mut run = setup.exits_on(SIGTERM, 7).script(["fork server"]).start();
    run.wait("server", "ready");
    let init = run.pid();
    run.signal(SIGTERM);
    run.reaped("main");
    until_idle(init);
    run.received("server", SIGTERM);
    run
}

/// These processes exit, and then the init exits with COMMAND's status.
fn end(mut run: Run, names: &[&str]) {
    for name in names {
        run.tell(name, "exit 0");
    }
    assert_eq!(run.status(), 7);
}

// --------------------------------------------------- if /proc does not help

/// COMMAND exits. `far`, which the init cannot find, receives TERM anyway.
fn receives_term(mut run: Run) {
    run.tell("main", "exit 7");
    run.received("far", SIGTERM);
    // The init scans again once a second and finds no more than before.
    std::thread::sleep(ms(1200));
    run.ping("far");
    assert_eq!(run.signals("far"), [SIGTERM]);
    end(run, &["far"]);
}

#[test]
fn a_process_that_proc_hides_receives_term() {
    needs!(pid_namespace());
    for how in ["hidepid=1", "hidepid=2", "hidepid=4"] {
        let setup = scenarios::with_a_hiding_proc(init(["--wait-all"]), how);
        let (mut run, _) = with_an_orphan(setup);
        run.tell("far", "undumpable");
        run.wait("far", "undumpable 0");
        receives_term(run);
    }
}

#[test]
fn if_proc_cannot_be_listed_every_process_receives_term() {
    needs!(pid_namespace(), native("the filter would apply to the emulator"));
    for filter in ["no-getdents", "no-getdents-on-this-kernel"] {
        let setup = init(["--wait-all"]).pid1().wrapped(by_storm(&["seccomp", filter]));
        receives_term(with_an_orphan(setup).0);
    }
}

#[test]
fn an_orphan_receives_term_wherever_the_listing_of_proc_fails_once() {
    needs!(
        pid_namespace(),
        subreaper(),
        strace(),
        native("strace would fail the emulator's calls")
    );
    // Three listings have fewer calls.
    let runs: Vec<_> = (1..=16)
        .map(|call| {
            let fails = format!("getdents64:error=EIO:when={call}");
            let setup = init(["--wait-all"]).hosted().failing(&[&fails]);
            let (mut run, _) = with_an_orphan(setup);
            run.tell("main", "exit 7");
            run
        })
        .collect();
    for mut run in runs {
        run.received("far", SIGTERM);
        end(run, &["far"]);
    }
}

#[test]
fn if_proc_cannot_be_listed_a_group_receives_the_stop_signal_once() {
    needs!(pid_namespace());
    let mut run = with_a_signalled_group(scenarios::without_proc);
    run.ping("server");
    assert_eq!(run.signals_except_cont("server"), [SIGTERM]);
    end(run, &["server"]);
}

#[test]
fn without_free_descriptors_every_process_receives_term() {
    needs!(pid_namespace());
    // With three, one is free, so the init can list /proc but open nothing in it.
    for descriptors in [3, 0] {
        let (run, init) = with_an_orphan(init(["--wait-all"]).pid1());
        limit(init, libc::RLIMIT_NOFILE, descriptors);
        receives_term(run);
    }
}

#[test]
fn without_memory_every_process_receives_term() {
    needs!(pid_namespace(), native("the emulator needs memory of its own"));
    let (run, init) = with_an_orphan(init(["--wait-all"]).pid1());
    limit(init, libc::RLIMIT_AS, 1);
    limit(init, libc::RLIMIT_DATA, 0);
    receives_term(run);
}

#[test]
fn a_limit_of_500_kilobytes_of_data_is_enough() {
    needs!(native("the emulator needs more"));
    for options in [&[""; 0][..], &["--wait-all"]] {
        let setup = init(options).wrapped(["prlimit", "--data=500000:unlimited"]);
        // COMMAND has the same limit, so it is a program that needs little.
        let command = ["--".into(), init_path(), "--version".into()];
        assert_eq!(setup.command(command).finish().status, 0, "{options:?}");
    }
}

// ------------------------------------------------------- stopped processes

#[test]
fn a_stopped_process_receives_term_and_is_continued() {
    needs!(pid_namespace(), subreaper());
    let drains = init(["--wait-all", "--delay-term=20ms"]).pid1();
    for setup in places().into_iter().chain([drains]) {
        let (mut run, init) = with_an_orphan(setup);
        let far = run.pid_of("far");
        kill(far, SIGSTOP);
        until_state(far, 'T');
        kill(init, SIGTERM);
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        run.received("far", SIGTERM);
        end(run, &["far"]);
    }
}

// ------------------------------------------------------- processes that come later

/// COMMAND has exited, and `far` has received TERM.
fn signalled(setup: Setup) -> Run {
    let (mut run, _) = with_an_orphan(setup);
    run.tell("main", "exit 7");
    run.received("far", SIGTERM);
    run
}

/// A new orphan of `parent`, `late`, receives TERM from a scan, and these processes nothing.
fn are_spared_by_a_scan(run: &mut Run, parent: &str, spared: &[&str]) {
    run.tell(parent, "orphan late session");
    run.received("late", SIGTERM);
    for name in spared {
        run.ping(name);
        assert_eq!(run.signals(name), NONE, "{name}: {}", run.story());
    }
}

#[test]
fn a_clean_up_command_of_a_signalled_process_receives_no_term() {
    needs!(pid_namespace(), native("strace would hold up the emulator's own calls"), strace());
    // A TERM handler has started its command when the init lists /proc again. One of these
    // rounds holds the init between the two, however often it lists /proc before.
    for listing in 1..=4 {
        let (mut run, init) = with_an_orphan(init(["--wait-all"]).pid1());
        let held = Held::before_nth_open(init, "/proc", listing);
        run.tell("main", "exit 7");
        run.reaped("main");
        until("the listing, or an idle init", || is_before_open(init, "/proc") || is_idle(init));
        run.ping("far");
        if run.signals("far") == [SIGTERM] {
            run.tell("far", "fork cleanup");
            run.wait("cleanup", "ready");
            drop(held);
            until_idle(init);
            run.ping("cleanup");
            assert_eq!(run.signals("cleanup"), NONE, "{listing}: {}", run.story());
            run.tell("cleanup", "exit 0");
        } else {
            drop(held);
            run.received("far", SIGTERM);
        }
        end(run, &["far"]);
    }
}

#[test]
fn a_clean_up_command_receives_no_term_while_an_orphan_does() {
    needs!(pid_namespace(), subreaper());
    for setup in places() {
        let mut run = signalled(setup);
        run.tell("far", "fork cleanup session");
        run.wait("cleanup", "ready");
        // The init receives no CHLD for late, because far has reaped its parent.
        are_spared_by_a_scan(&mut run, "far", &["cleanup"]);
        end(run, &["late", "cleanup", "far"]);
    }
}

#[test]
fn the_children_of_a_clean_up_command_receive_no_term_either() {
    needs!(pid_namespace(), subreaper());
    for setup in places() {
        let mut run = signalled(setup);
        // A handler's shell runs each command as its own child.
        run.tell("far", "fork shell");
        run.wait("shell", "ready");
        run.tell("shell", "fork cleanup");
        run.wait("cleanup", "ready");
        are_spared_by_a_scan(&mut run, "far", &["shell", "cleanup"]);
        end(run, &["late", "cleanup", "shell", "far"]);
    }
}

#[test]
fn a_clean_up_command_of_commands_group_receives_no_term() {
    needs!(pid_namespace());
    let mut run = with_a_signalled_group(|setup| setup);
    run.tell("server", "fork cleanup session");
    run.wait("cleanup", "ready");
    are_spared_by_a_scan(&mut run, "server", &["cleanup"]);
    end(run, &["late", "cleanup", "server"]);
}

#[test]
fn a_clean_up_command_of_a_later_member_of_commands_group_receives_no_term() {
    needs!(pid_namespace());
    let mut run = with_a_signalled_group(|setup| setup);
    run.tell("server", "orphan worker");
    run.wait("worker", "ready");
    run.tell("worker", "fork cleanup session");
    run.wait("cleanup", "ready");
    are_spared_by_a_scan(&mut run, "server", &["cleanup"]);
    end(run, &["late", "cleanup", "worker", "server"]);
}

#[test]
fn a_daemon_that_leaves_commands_group_after_a_scan_receives_term() {
    needs!(pid_namespace());
    let mut run = with_a_signalled_group(|setup| setup);
    // It has not received the group's signal, but is a member until its setsid(2).
    run.tell("server", "orphan daemon");
    run.wait("daemon", "ready");
    are_spared_by_a_scan(&mut run, "server", &["daemon"]);
    run.tell("daemon", "setsid");
    run.wait("daemon", "setsid true");
    run.received("daemon", SIGTERM);
    end(run, &["late", "daemon", "server"]);
}

#[test]
fn a_process_that_exits_while_it_is_read_does_not_matter() {
    needs!(pid_namespace(), native("strace would hold up the emulator's own calls"), strace());
    let (mut run, init) = with_an_orphan(init(["--wait-all"]).pid1());
    run.tell("far", "fork child session");
    run.wait("child", "ready");
    let (child, number) = (run.pid_of("child"), run.hello("child")[0]);
    let held = Held::before_read(init, &format!("/proc/{number}/stat"));
    run.tell("main", "exit 7");
    run.reaped("main");
    until("the read", || is_before_read(init));
    run.tell("child", "exit 0");
    until("the end of child", || stat(child).is_none());
    drop(held);
    run.received("far", SIGTERM);
    // If that counted as a failed scan, one kill(2) would have signalled every process, and
    // a later one would receive nothing.
    run.tell("far", "orphan late session");
    run.received("late", SIGTERM);
    end(run, &["late", "far"]);
}

#[test]
fn a_clean_up_command_whose_parent_has_exited_receives_term() {
    needs!(pid_namespace(), subreaper());
    for setup in places() {
        let mut run = signalled(setup);
        run.tell("far", "fork cleanup session");
        run.wait("cleanup", "ready");
        run.ping("cleanup");
        assert_eq!(run.signals("cleanup"), NONE);
        // A handler must wait for what it starts.
        run.tell("far", "exit 0");
        run.received("cleanup", SIGTERM);
        end(run, &["cleanup"]);
    }
}

#[test]
fn an_orphan_whose_parent_another_process_has_reaped_receives_term() {
    needs!(pid_namespace(), subreaper());
    // The init receives no CHLD for it, because far reaps the orphan's parent.
    for setup in places() {
        let mut run = signalled(setup);
        run.tell("far", "orphan late session");
        run.wait("late", "ready");
        run.received("late", SIGTERM);
        end(run, &["late", "far"]);
    }
}

#[test]
fn an_orphan_receives_term_while_signals_arrive_faster_than_the_init_looks() {
    needs!(pid_namespace(), subreaper());
    for setup in places() {
        let (mut run, init) = with_an_orphan(setup);
        run.tell("main", "exit 7");
        run.received("far", SIGTERM);
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let sender = std::thread::spawn(move || {
            while stopped.recv_timeout(ms(100)).is_err_and(|it| it == RecvTimeoutError::Timeout) {
                kill(init, SIGWINCH);
            }
        });
        run.tell("far", "orphan late session");
        run.received("late", SIGTERM);
        drop(stop);
        sender.join().unwrap();
        end(run, &["late", "far"]);
    }
}

#[test]
fn a_stopped_member_of_commands_group_receives_term_and_is_continued() {
    needs!(pid_namespace());
    let setup = init(["--wait-all"]).pid1().exits_on(SIGTERM, 7);
    let mut run = setup.script(["fork server"]).start();
    run.wait("server", "ready");
    let server = run.pid_of("server");
    kill(server, SIGSTOP);
    until_state(server, 'T');
    run.signal(SIGTERM);
    run.received("server", SIGTERM);
    end(run, &["server"]);
}

#[test]
fn a_process_that_is_put_into_the_namespace_later_receives_term() {
    needs!(pid_namespace(), program("nsenter"));
    let setup = init(["--wait-all"]).pid1();
    let words = setup.probe_words("guest", &[]);
    let (mut run, init) = with_an_orphan(setup);
    run.tell("main", "exit 7");
    run.received("far", SIGTERM);
    // As with `docker exec`, its parent is outside and was not signalled. TERM is blocked,
    // because it may arrive before the probe catches it.
    let mut nsenter = std::process::Command::new("env")
        .args([
            "--block-signal=TERM",
            "nsenter",
            "--target",
            &init.to_string(),
            "--pid",
            "--mount",
            "--",
        ])
        .args(&words)
        .spawn()
        .unwrap();
    run.wait("guest", "ready");
    run.received("guest", SIGTERM);
    end(run, &["far"]);
    // The end of PID 1 has killed it.
    assert!(!nsenter.wait().unwrap().success());
}

#[test]
fn after_any_number_of_scans_a_process_has_received_term_only_once() {
    needs!(pid_namespace(), subreaper());
    for setup in places() {
        let mut run = signalled(setup);
        // A separate scan finds each of them.
        for late in ["first", "second", "third"] {
            run.tell("far", &format!("orphan {late} session"));
            run.received(late, SIGTERM);
        }
        for name in ["far", "first", "second", "third"] {
            run.ping(name);
            assert_eq!(run.signals(name), [SIGTERM], "{}", run.story());
        }
        end(run, &["first", "second", "third", "far"]);
    }
}

#[test]
fn an_orphan_with_the_number_of_a_signalled_process_receives_term() {
    needs!(pid_namespace(), subreaper());
    for setup in places() {
        let mut run = setup.script(["orphan far session", "orphan near session"]).start();
        run.wait("far", "ready");
        run.wait("near", "ready");
        let number = run.hello("far")[0];
        run.tell("main", "exit 7");
        run.received("far", SIGTERM);
        run.received("near", SIGTERM);
        run.tell("far", "exit 0");
        run.reaped("far");
        run.tell("near", &format!("fork-as late {number} session"));
        run.wait("near", "fork-as true");
        run.wait("late", "ready");
        assert_eq!(run.hello("late")[0], number, "{}", run.story());
        run.ping("late");
        assert_eq!(run.signals("late"), NONE, "its parent still runs");
        run.tell("near", "exit 0");
        run.received("late", SIGTERM);
        end(run, &["late"]);
    }
}
