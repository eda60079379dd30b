//! The first sentence of DESCRIPTION in the manual page: the duties of PID 1. Each init
//! runs in its own PID namespace.

mod support;
use std::fs;
use support::*;

const NONE: [&str; 0] = [];

/// The init reaps, forwards, drains, stops, and exits with COMMAND's status.
fn does_its_work(setup: Setup) {
    let setup = setup.arg("--delay-term=50ms").stop_cmd(&[]);
    let mut run = scenarios::as_pid_1_it_reaps(setup);
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.tell("stop", "exit 0");
    run.reaped("stop");
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "exit 9");
    assert_eq!(run.status(), 9);
}

// ------------------------------------------------------------------ reaping

#[test]
fn it_reaps_every_child() {
    needs!(pid_namespace());
    let mut run = init(NONE).pid1().start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    run.tell("main", "burst 300");
    run.wait("main", "burst done");
    until("all orphans are reaped", || children(pid) == [main]);
    run.barrier();
}

#[test]
fn it_reaps_in_every_state() {
    needs!(pid_namespace());
    let mut run = init(["--delay-term=100ms", "--wait-all"]).stop_cmd(&[]).pid1().start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    kill(pid, SIGTERM);
    run.drain_begins();
    run.tell("main", "burst 20");
    run.wait("main", "burst done");
    until("orphans of the drain are reaped", || !children(pid).iter().any(|p| zombie(*p)));
    run.wait("stop", "ready");
    let stop = run.pid_of("stop");
    run.tell("main", "burst 20");
    run.wait("main", "burst done");
    until("orphans of the stop are reaped", || {
        let mut left = children(pid);
        left.sort_unstable();
        let mut expected = vec![main, stop];
        expected.sort_unstable();
        left == expected
    });
    run.tell("main", "exit 2");
    run.reaped("main");
    run.tell("stop", "burst 20");
    run.wait("stop", "burst done");
    until("orphans after the exit are reaped", || children(pid) == [stop]);
    run.tell("stop", "exit 0");
    assert_eq!(run.status(), 2);
}

fn zombie(pid: Pid) -> bool {
    stat(pid).is_some_and(|s| s.state == 'Z')
}

#[test]
fn the_exit_of_an_orphan_is_not_that_of_command() {
    needs!(pid_namespace());
    let mut run = init(NONE).pid1().script(["orphan one"]).start();
    run.wait("one", "ready");
    run.tell("one", "exit 5");
    run.reaped("one");
    run.barrier();
    run.tell("main", "exit 6");
    assert_eq!(run.status(), 6);
}

#[test]
fn it_survives_a_storm_of_signals_and_deaths() {
    needs!(pid_namespace());
    let mut run = init(["-v"]).pid1().start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    run.tell("main", "burst 200");
    for n in 0..2000 {
        kill(pid, [SIGUSR1, SIGUSR2, SIGCHLD, SIGHUP, SIGWINCH, 40, SIGCONT][n % 7]);
    }
    run.wait("main", "burst done");
    until("all orphans are reaped", || children(pid) == [main]);
    run.tell("main", "exit 3");
    assert_eq!(run.status(), 3);
}

// ---------------------------------------------------------- it cannot be ended

#[test]
fn no_signal_ends_it_before_command_ends() {
    needs!(pid_namespace());
    skip_lost_signals("pid1: no_signal_ends_it_before_command_ends");
    let mut run = init(NONE).pid1().start();
    // From inside the namespace, this includes KILL and STOP, which the kernel keeps from
    // PID 1.
    for signal in every_signal().into_iter().chain([SIGKILL, SIGSTOP, SIGCHLD]) {
        if [SIGTSTP, SIGTTIN, SIGTTOU].contains(&signal) {
            continue;
        }
        run.tell("main", &format!("kill 1 {signal}"));
        run.wait("main", "kill 0");
        if ![SIGKILL, SIGSTOP, SIGCHLD].contains(&signal) {
            run.received("main", signal);
        }
    }
    run.tell("main", "exit 8");
    assert_eq!(run.status(), 8);
}

#[test]
fn closed_descriptors_do_not_end_it() {
    needs!(pid_namespace());
    for closed in [vec![0], vec![2], vec![0, 1, 2]] {
        let mut setup = init(["-v"]).pid1();
        for fd in closed {
            setup = setup.closing(fd);
        }
        does_its_work(setup);
    }
}

#[test]
fn its_own_descriptors_are_moved_to_3_or_above() {
    needs!(pid_namespace(), native("qemu-user opens its own there"));
    let mut run = init(["-v", "--delay-term=60"])
        .drain_cmd(&[])
        .pid1()
        .closing(0)
        .closing(1)
        .closing(2)
        .start();
    let pid = run.pid();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    for fd in 0..3 {
        assert!(fs::symlink_metadata(format!("/proc/{pid}/fd/{fd}")).is_err(), "{fd} is open");
    }
    assert_eq!(run.ask("main", "fds"), NONE);
}

#[test]
fn a_full_table_of_processes_does_not_end_it() {
    needs!(pid_namespace(), native("the emulator needs threads of its own"), other_users());
    let mut run = init(["--delay-term=50ms"])
        .for_any_user()
        .drain_cmd(&[])
        .stop_cmd(&[])
        .limited_to_processes(2)
        .pid1()
        .start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.tell("main", "exit 9");
    assert_eq!(run.status(), 9);
}

#[test]
fn a_full_table_of_descriptors_does_not_end_it() {
    needs!(pid_namespace(), native("the emulator needs descriptors as well"));
    // The stop command cannot load its libraries, so it fails.
    let mut run = init(["-v", "--delay-term=50ms"]).stop_cmd(&[]).pid1().start();
    no_more_descriptors(run.pid());
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.tell("main", "exit 5");
    assert_eq!(run.status(), 5);
}

#[test]
fn no_failed_system_call_after_the_start_ends_it() {
    needs!(pid_namespace(), native("strace would make the emulator's own calls fail"), strace());
    // strace cannot be the parent of PID 1 in its namespace, so this init is not PID 1.
    for injections in [
        vec!["close_range:error=ENOSYS"],
        vec!["chdir:error=EACCES"],
        vec!["rt_sigtimedwait:error=EINTR:when=1..5"],
        vec!["rt_sigtimedwait:error=EAGAIN:when=1..5"],
        vec!["rt_sigtimedwait:error=EINTR:when=2+2"],
        vec!["pwritev2:error=EIO"],
        vec!["pwritev2:error=ENOSYS", "poll:error=EINTR", "ppoll:error=EINTR"],
        vec!["pwritev2:error=ENOSYS", "poll:error=ENOMEM", "ppoll:error=ENOMEM"],
        vec!["prctl:error=EINVAL"],
        vec!["wait4:error=EINTR:when=1..3"],
        vec!["rt_sigpending:error=ENOSYS"],
        vec!["fstat:error=EIO:when=8+", "newfstatat:error=EIO:when=8+"],
        vec!["pipe2:error=EMFILE"],
        vec!["getcwd:error=ENOENT"],
        vec!["ioctl:error=EIO"],
    ] {
        // A build with a dynamic loader needs the first of its fstat calls.
        let mut run = init(["-v", "-s", "--delay-term=20ms"]).failing(&injections).start();
        run.signal(SIGUSR1);
        run.received("main", SIGUSR1);
        run.signal(SIGTERM);
        run.received("main", SIGTERM);
        run.tell("main", "exit 9");
        assert_eq!(run.status(), 9, "{injections:?}");
    }
}

#[test]
fn a_delivery_that_fails_does_not_end_it() {
    needs!(native("strace would make the emulator's own calls fail"), strace());
    for error in ["EPERM", "ESRCH", "EINVAL"] {
        let mut run =
            init(["--delay-term=20ms"]).failing(&[&format!("kill:error={error}")]).start();
        run.signal(SIGUSR1);
        run.message("cannot send USR1 to process group");
        run.signal(SIGTERM);
        run.message("drained for");
        run.tell("main", "exit 9");
        assert_eq!(run.status(), 9);
    }
}

// ------------------------------------------------------------- environments

#[test]
fn it_works_as_pid_1() {
    needs!(pid_namespace());
    does_its_work(init(NONE).pid1());
    does_its_work(init(["-v"]).pid1());
}

#[test]
fn it_works_with_a_read_only_root() {
    needs!(pid_namespace());
    does_its_work(scenarios::with_a_read_only_root(init(NONE)));
}

#[test]
fn it_works_without_proc() {
    needs!(pid_namespace());
    does_its_work(scenarios::without_proc(init(NONE)));
}

#[test]
fn it_works_without_dev() {
    needs!(pid_namespace());
    does_its_work(scenarios::in_changed_mounts(init(NONE), "mount -t tmpfs none /dev"));
}

#[test]
fn it_works_without_proc_and_dev() {
    needs!(pid_namespace());
    let change = "mount -t tmpfs none /proc && mount -t tmpfs none /dev";
    does_its_work(scenarios::in_changed_mounts(init(NONE), change));
}

#[test]
fn it_works_under_any_user_id_without_capabilities_and_with_no_new_privs() {
    needs!(pid_namespace(), other_users());
    for user in ["1", "65534", "1000660000", "4294967294"] {
        let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
        does_its_work(init(NONE).for_any_user().pid1().wrapped([
            "setpriv",
            &uid,
            &gid,
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ]));
    }
}

#[test]
fn it_works_as_root_without_capabilities() {
    needs!(pid_namespace(), other_users());
    does_its_work(scenarios::as_root_without_capabilities(init(NONE)));
}

#[test]
fn it_works_on_a_terminal() {
    needs!(pid_namespace());
    does_its_work(init(NONE).pid1().wrapped(["setsid", "--ctty"]).terminal(Terminal::Foreign));
}

#[test]
fn the_working_directory_can_be_unmounted() {
    needs!(pid_namespace());
    // A volume that the init was started in can be unmounted later.
    let dir = TempDir::new();
    let (_keep, end) = pipe();
    let mut run = init(NONE).pid1().cwd(dir.path("")).passing(end, 5).start();
    // The init leaves it after the fork, when COMMAND may already run.
    run.barrier();
    let cwd = fs::read_link(format!("/proc/{}/cwd", run.pid())).unwrap();
    assert_eq!(cwd.to_str(), Some("/"));
}

// ------------------------------------------------------- threads and memory

#[test]
fn it_has_one_thread() {
    needs!(native("the emulator has threads of its own"));
    let mut run = init(["-v", "--delay-term=60", "--kill-after=60"]).drain_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    assert_eq!(status_line(run.pid(), "Threads"), "1");
}

#[test]
fn its_loop_allocates_nothing() {
    needs!(native("the emulator allocates memory"));
    let mut run = init(["-v", "--delay-term=100ms"]).stop_cmd(&["exit 1"]).start();
    run.barrier();
    let maps = format!("/proc/{}/maps", run.pid());
    let before = fs::read_to_string(&maps).unwrap();
    for _ in 0..300 {
        run.signal(SIGUSR1);
        run.received("main", SIGUSR1);
    }
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    assert_eq!(fs::read_to_string(&maps).unwrap(), before);
}
