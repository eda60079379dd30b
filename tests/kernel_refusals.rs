//! System calls that a filter or an old kernel refuses.

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::fs;
use std::time::Instant;

use reliability::*;
use support::*;

#[test]
fn if_it_may_not_query_stderr_its_messages_still_arrive() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        let filtered = || by_storm(&["seccomp", "no-fstat-of-stderr"]);
        let mut run = at(place, init(["-v"]).wrapped(filtered())).start();
        run.signal(SIGWINCH);
        run.message("received WINCH");
        run.received("main", SIGWINCH);
        works_after(run, SIGWINCH);
        let end = at(place, init(["--no-such"]).wrapped(filtered())).finish();
        assert_eq!(end.status, 1);
        assert!(end.stderr.contains("--no-such"), "{end:?}");
    }
}

#[test]
fn if_it_may_not_wait_for_signals_it_reports_that_once_and_keeps_reaping() {
    needs!(native("strace would make the emulator's own calls fail"), strace());
    let setup = init(["-s"]).script(["orphan one"]);
    let trace = setup.path("trace");
    fs::File::create(&trace).unwrap();
    let words = ["strace", "-qq", "--trace=rt_sigtimedwait", "-o", trace.to_str().unwrap()];
    let inject = ["--inject=rt_sigtimedwait:error=EPERM"];
    let mut run = setup.wrapped(words.into_iter().chain(inject)).start();
    run.message("cannot wait for signals");
    let looks = || fs::read_to_string(&trace).unwrap().lines().count();
    let (before, begin) = (looks(), Instant::now());
    until("five more calls", || looks() >= before + 5);
    assert!(begin.elapsed() >= ms(390), "it spins: {:?}", begin.elapsed());
    run.wait("one", "ready");
    run.tell("one", "exit 0");
    run.reaped("one");
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7);
    run.drain_output();
    assert_eq!(run.stderr().matches("cannot wait for signals").count(), 1);
}

#[test]
fn if_it_may_not_wait_for_signals_they_still_take_effect() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        let filtered = by_storm(&["seccomp", "no-sigtimedwait"]);
        let setup = init(["-v", "--delay-term=50ms"]).wrapped(filtered.clone());
        works(at(place, setup).start(), "no sigtimedwait");
        // Each message that cannot be written raises PIPE.
        let (reader, writer) = pipe();
        drop(reader);
        let setup = init(["-v"]).wrapped(filtered).stderr(writer);
        works(at(place, setup).start(), "no sigtimedwait, a pipe without a reader");
    }
}

#[test]
fn if_it_may_not_wait_for_signals_each_one_arrives_once() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        let setup = init::<_, &str>([]).wrapped(by_storm(&["seccomp", "no-sigtimedwait"]));
        let mut run = at(place, setup).start();
        // The lowest number is taken first, so a signal that stayed pending would hide the
        // later ones.
        let signals = [SIGHUP, SIGTERM, SIGWINCH, 32, 34, 64];
        for signal in signals {
            run.signal(signal);
            run.received("main", signal);
        }
        assert_eq!(run.signals("main"), signals);
    }
}

#[test]
fn if_it_may_not_wait_for_signals_or_query_them_it_reads_them() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        for filter in ["no-sigpending", "no-sigpending-on-this-kernel"] {
            let filtered = || by_storm(&["seccomp", filter]);
            let setup = init(["-v", "--delay-term=50ms"]).wrapped(filtered());
            works(at(place, setup).start(), filter);
            // Each message that cannot be written raises PIPE.
            let (reader, writer) = pipe();
            drop(reader);
            let setup = init(["-v"]).wrapped(filtered()).stderr(writer);
            works(at(place, setup).start(), filter);
        }
    }
}

#[test]
fn if_it_reads_its_signals_every_one_arrives() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        let setup = init::<_, &str>([]).wrapped(by_storm(&["seccomp", "no-sigpending"]));
        let mut run = at(place, setup).start();
        for signal in [SIGHUP, SIGTERM, SIGWINCH, 32, 34, 64] {
            run.signal(signal);
            run.received("main", signal);
        }
        // Real-time signals queue, so both arrive.
        for signal in [64, SIGUSR2, 64] {
            run.signal(signal);
        }
        for signal in [SIGUSR2, 64, 64] {
            run.received("main", signal);
        }
    }
}

#[test]
fn if_it_reads_its_signals_no_other_program_inherits_the_descriptor() {
    let name = test_name!();
    needs!(native("the filter would apply to the emulator"));
    for &place in places(name) {
        let setup = init(["-s"]).stop_cmd(&[]);
        let mut run = at(place, setup.wrapped(by_storm(&["seccomp", "no-sigpending"]))).start();
        run.tell("main", "burst 20");
        run.wait("main", "burst done");
        run.barrier();
        run.signal(SIGTERM);
        run.wait("stop", "ready");
        for name in ["main", "stop"] {
            assert_eq!(run.ask(name, "fds"), ["0", "1", "2"], "{name}");
        }
        run.tell("stop", "exit 1");
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn if_it_cannot_receive_signals_at_all_it_reports_that_and_exits_with_command() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        let setup = init(["-s"]).wrapped(by_storm(&["seccomp", "no-signalfd"]));
        let mut run = at(place, setup).start();
        let message = run.message("signals");
        assert!(message.contains("COMMAND"), "it says what ends the container: {message}");
        run.tell("main", "orphan one session");
        run.wait("one", "ready");
        run.tell("one", "exit 0");
        run.reaped("one");
        run.signal(SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
        run.drain_output();
        assert_eq!(run.stderr(), message, "once, and nothing else");
    }
}

#[test]
fn if_setsid_is_refused_signals_still_reach_the_group() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        for filter in ["no-setsid", "no-setsid-on-this-kernel"] {
            let setup = init(["--delay-term=20ms"]).wrapped(by_storm(&["seccomp", filter]));
            let mut run = at(place, setup).script(["fork child"]).start();
            run.wait("child", "ready");
            let [pid, _, group, _] = run.hello("main");
            assert_eq!(group, pid, "{filter}: COMMAND leads a group");
            for signal in [SIGUSR1, SIGTERM] {
                run.signal(signal);
                run.received("main", signal);
                run.received("child", signal);
            }
            run.tell("child", "exit 0");
            run.tell("main", "exit 7");
            assert_eq!(run.status(), 7);
        }
    }
}

#[test]
fn if_setsid_is_refused_a_signal_from_command_to_its_group_does_not_reach_the_init() {
    needs!(native("the filter would apply to the emulator"));
    // The init leads its own group, because in the test's group the signal would reach
    // other tests.
    let setup = init(["--delay-term=60"]).wrapped(by_storm(&["seccomp", "no-setsid"])).in_group(0);
    let mut run = setup.start();
    run.tell("main", "kill 0 15");
    run.received("main", SIGTERM);
    run.barrier();
    // No drain has begun: this TERM is the first that is reported.
    run.signal(SIGTERM);
    let line = run.drain_begins();
    assert_eq!(run.stderr(), line);
}

#[test]
fn if_setsid_is_refused_kill_after_still_ends_the_children_of_a_stop_command() {
    needs!(native("the filter would apply to the emulator"), strace());
    let setup = init(["--kill-after=300ms"]).stop_cmd(&["fork helper"]);
    let mut run = setup.wrapped(by_storm(&["seccomp", "no-setsid"])).start();
    // The clock may run out meanwhile, but KILL cannot be sent before the helper runs.
    let held = Held::in_fork(run.pid());
    run.signal(SIGTERM);
    run.wait("helper", "ready");
    drop(held);
    assert_eq!(run.status(), 137);
    run.gone("stop");
    run.gone("helper");
}

#[test]
fn if_setsid_and_setpgid_are_refused_signals_still_reach_command() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        let setup = init(["--delay-term=20ms"]).wrapped(by_storm(&["seccomp", "no-setpgid"]));
        works(at(place, setup).start(), "neither");
    }
}

#[test]
fn under_seccomp_filters_it_starts_drains_and_stops() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        for filter in ["docker", "old-kernel", "old-runtime"] {
            let options = ["-s", "-v", "--delay-term=50ms", "--stop-cmd=kill -USR1 $MAINPID"];
            let (_reader, writer) = pipe();
            let setup = init(options).passing(writer, 9);
            let mut run = at(place, setup.wrapped(by_storm(&["seccomp", filter]))).start();
            assert_eq!(status_line(run.pid(), "Seccomp"), "2");
            // Once the loop runs, only COMMAND has the passed descriptor.
            run.barrier();
            only_open(run.pid(), &[1, 2]);
            run.signal(SIGTERM);
            run.message("draining for 0.05s");
            run.received("main", SIGUSR1);
            run.tell("main", "exit 7");
            assert_eq!(run.status(), 7, "{filter}");
        }
    }
}

#[test]
fn without_proc_on_an_old_kernel_no_descriptor_stays_open() {
    needs!(pid_namespace(), native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        let (_reader, writer) = pipe();
        let mut words = in_its_own_mounts("while umount -l /proc 2>/dev/null; do :; done");
        words.extend(by_storm(&["seccomp", "old-kernel"]));
        let setup = init::<_, &str>([]).passing(writer.try_clone().unwrap(), 99);
        let mut run = at(place, setup.passing(writer, 2000).wrapped(words)).start();
        run.barrier();
        only_open(run.pid(), &[1, 2]);
        run.signal(SIGTERM);
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn on_an_old_kernel_no_descriptor_stays_open_even_if_there_are_thousands() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        // More descriptors than one getdents64(2) returns to the init.
        let mut setup = init::<_, &str>([]).wrapped(by_storm(&["seccomp", "old-kernel"]));
        let (_reader, writer) = pipe();
        for number in 100..200 {
            setup = setup.passing(writer.try_clone().unwrap(), number);
        }
        drop(writer);
        let mut run = at(place, setup).start();
        run.barrier();
        only_open(run.pid(), &[1, 2]);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn on_an_old_kernel_it_closes_only_the_descriptors_that_proc_lists() {
    needs!(native("the filter would apply to the emulator"), strace());
    let dir = TempDir::new();
    let trace = dir.path("trace");
    let strace = ["strace", "-qq", "--trace=prlimit64", "-o", trace.to_str().unwrap()];
    for words in [vec![], by_storm(&["seccomp", "old-kernel"])] {
        let words = words.into_iter().chain(strace.map(String::from));
        assert_eq!(init::<_, &str>([]).wrapped(words).command(["true"]).finish().status, 0);
        // The init needs the limit only if it has to close descriptors without /proc.
        let asked = fs::read_to_string(&trace).unwrap();
        assert!(!asked.contains("RLIMIT_NOFILE"), "{asked}");
    }
}
