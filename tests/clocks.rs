//! Deadlines while drain-init is stopped or frozen, and which clock it reads.

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::process::Command;
use std::time::Instant;

use reliability::*;
use support::*;

#[test]
fn a_deadline_that_passes_while_it_is_stopped_takes_effect_at_cont() {
    for &place in places(test_name!()) {
        let mut run = at(place, init(["--delay-term=1"])).start();
        let pid = run.pid();
        run.signal(SIGTERM);
        run.message("draining");
        let drained = Instant::now() + ms(1000);
        kill(pid, SIGSTOP);
        until_state(pid, 'T');
        until("the deadline has passed", || Instant::now() > drained);
        assert_eq!(run.signals("main"), [0; 0]);
        kill(pid, SIGCONT);
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn a_deadline_that_passes_while_the_container_is_frozen_takes_effect_when_it_thaws() {
    let name = test_name!();
    needs!(pid_namespace());
    for &place in places(name) {
        let Some(group) = group("freezer", name) else { return };
        let mut run = entering(at(place, init(["--delay-term=1"])), &group).start();
        run.signal(SIGTERM);
        run.message("draining");
        let drained = Instant::now() + ms(1000);
        group.freeze(true);
        until("frozen", || group.is_frozen());
        until("the deadline has passed", || Instant::now() > drained);
        assert_eq!(run.signals("main"), [0; 0]);
        group.freeze(false);
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

/// A jump of the wall clock cannot affect a program that never reads it. strace does
/// not see clock calls, because the vDSO answers them. qemu-user has no vDSO, so its
/// own trace shows all of them.
#[test]
fn only_the_monotonic_clock_is_read() {
    let name = test_name!();
    let emulator = match (std::env::consts::ARCH, emulated()) {
        ("x86_64", false) => "qemu-x86_64-static",
        ("aarch64", false) => "qemu-aarch64-static",
        _ => return skip(name, "the test starts its own emulator"),
    };
    if Command::new(emulator).arg("--version").output().is_err() {
        return skip(name, &format!("{emulator} is not installed"));
    }
    let options = ["-v", "--delay-term=100ms", "--kill-after=60"];
    let setup = init(options).wrapped([emulator, "-strace"]);
    let mut run = setup.start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7);
    run.drain_output();
    let trace = run.stderr();
    let reads = |line: &&str| {
        ["clock_gettime", "gettimeofday", " time(", "clock_nanosleep", "timerfd", "setitimer"]
            .iter()
            .any(|call| line.contains(call))
    };
    let calls: Vec<&str> = trace.lines().filter(reads).collect();
    assert!(!calls.is_empty(), "the trace shows no clock call:\n{trace}");
    for call in &calls {
        assert!(call.contains("clock_gettime(CLOCK_MONOTONIC,"), "{call}");
    }
    eprintln!("{} calls, all of CLOCK_MONOTONIC", calls.len());
}
