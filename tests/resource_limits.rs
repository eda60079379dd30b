//! At the limit of processes, memory or descriptors.

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use reliability::*;
use support::*;

#[test]
fn if_command_cannot_be_forked_the_status_is_1_and_the_reason_is_printed() {
    let name = test_name!();
    needs!(pid_namespace(), other_users());
    for &place in places(name) {
        let setup = init::<_, &str>([]).for_any_user().limited_to_processes(1);
        let run = at(place, setup).finish();
        assert_eq!(run.status, 1, "RLIMIT_NPROC: {run:?}");
        assert!(run.stderr.contains("cannot fork: "), "{run:?}");
        assert_eq!(run.started, [""; 0]);

        let Some(group) = group("pids", name) else { return };
        // As PID 1, the init is the second process, after unshare.
        group.set("pids.max", if place == Place::Pid1 { "2" } else { "1" });
        let run = entering(at(place, init::<_, &str>([])), &group).finish();
        assert_eq!(run.status, 1, "pids cgroup: {run:?}");
        assert!(run.stderr.contains("cannot fork: "), "{run:?}");
    }
}

#[test]
fn if_a_stop_command_cannot_be_forked_the_signal_is_delivered() {
    let name = test_name!();
    needs!(pid_namespace(), other_users());
    for &place in places(name) {
        let setup = || at(place, init(["--stop-cmd=true"]));
        // Two: the init and COMMAND.
        let mut run = setup().for_any_user().limited_to_processes(2).start();
        run.signal(SIGTERM);
        run.message("the stop command could not be started: ");
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);

        let Some(group) = group("pids", name) else { return };
        let mut run = entering(setup(), &group).start();
        group.set("pids.max", "1");
        run.signal(SIGTERM);
        run.message("the stop command could not be started: ");
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn if_a_drain_command_cannot_be_forked_the_drain_continues_as_if_it_had_failed() {
    let name = test_name!();
    for &place in places(name) {
        let Some(group) = group("pids", name) else { return };
        let mut run = entering(at(place, init(["--drain-cmd=true"])), &group).start();
        group.set("pids.max", "1");
        run.signal(SIGTERM);
        run.message("cannot start the drain command: ");
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn without_memory_after_its_start_it_keeps_working() {
    for &place in places(test_name!()) {
        let mut run = at(place, init(["-v", "-s", "--stop-cmd=true"])).start();
        // The init cannot get another page.
        limit(run.pid(), libc::RLIMIT_AS, 1);
        limit(run.pid(), libc::RLIMIT_DATA, 0);
        run.signal(SIGWINCH);
        run.received("main", SIGWINCH);
        run.tell("main", "burst 50");
        run.wait("main", "burst done");
        run.signal(SIGTERM);
        // The init has no memory left to start the stop command.
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn a_command_that_the_kernel_kills_for_its_memory_ends_with_137() {
    needs!(pid_namespace());
    for pid_1 in [false, true] {
        let Some(group) = group("memory", test_name!()) else { return };
        group.limit_memory(32 << 20);
        let words = [init_path(), storm()].map(std::path::PathBuf::into_os_string);
        let mut start = light(words.into_iter().chain(["eat".into()]));
        start.pid_1 = pid_1;
        start.procs = Some(group.procs());
        assert_eq!(start.start().end(3 * patience()), End::Exited(137), "PID 1: {pid_1}");
    }
}

#[test]
fn with_the_descriptors_at_their_limit_it_starts_and_stops() {
    for &place in places(test_name!()) {
        // One more than the standard three, because loading a program takes one.
        let setup = init(["--delay-term=50ms"]);
        let probe = setup.probe_words("main", &[]);
        let words = ["--", "prlimit", "--nofile=256:"].map(Into::into).into_iter().chain(probe);
        let setup = setup.command(words).wrapped(["prlimit", "--nofile=4:256"]);
        works(at(place, setup).start(), "four descriptors");
    }
}

#[test]
fn without_a_free_descriptor_for_a_stop_command_the_signal_is_delivered() {
    for &place in places(test_name!()) {
        // Without a free descriptor, a dynamically linked shell cannot be loaded.
        let mut run = at(place, init(["--stop-cmd=kill -USR1 $MAINPID"])).start();
        limit(run.pid(), libc::RLIMIT_NOFILE, 0);
        run.signal(SIGTERM);
        run.received("main", SIGTERM);
        assert_eq!(run.signals_except_cont("main"), [SIGTERM]);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);

        // With four descriptors it can.
        let mut run = at(place, init(["--stop-cmd=kill -USR1 $MAINPID"])).start();
        limit(run.pid(), libc::RLIMIT_NOFILE, 4);
        run.signal(SIGTERM);
        run.received("main", SIGUSR1);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
        assert_eq!(run.signals("main"), [SIGUSR1]);
    }
}
