//! A COMMAND or stop command that asks to be traced.

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use reliability::*;
use support::*;

#[test]
fn a_command_that_asks_to_be_traced_is_ended_by_the_stop_signal() {
    needs!(native("the emulator does not support ptrace(2)"));
    for &place in places(test_name!()) {
        let mut run = at(place, init::<_, &str>([])).script(["traceme", "default 15"]).start();
        run.wait("main", "traceme 0");
        run.signal(SIGTERM);
        assert_eq!(run.status(), 128 + SIGTERM);
    }
}

#[test]
fn a_command_that_asks_to_be_traced_receives_every_signal() {
    needs!(native("the emulator does not support ptrace(2)"));
    for &place in places(test_name!()) {
        let setup = init::<_, &str>([]).script(["traceme", "catch 10", "catch 35"]);
        let mut run = at(place, setup).start();
        // musl does not let a program catch 34.
        for signal in [SIGUSR1, 35] {
            run.signal(signal);
            run.wait("main", &format!("caught {signal}"));
        }
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn a_command_that_asks_to_be_traced_does_not_stop_at_an_ignored_signal() {
    needs!(native("the emulator does not support ptrace(2)"));
    for &place in places(test_name!()) {
        // An ignored signal stops a traced process as well.
        let setup = init::<_, &str>([]).script(["traceme", "default 28", "ignore 1"]);
        let mut run = at(place, setup).start();
        for signal in [SIGWINCH, SIGHUP, SIGUSR1] {
            run.signal(signal);
        }
        run.received("main", SIGUSR1);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn a_command_that_asks_to_be_traced_can_execute_another_program() {
    needs!(native("the emulator does not support ptrace(2)"));
    for &place in places(test_name!()) {
        let setup = init(["--delay-term=20ms"]);
        let probe = setup.probe_words("main", &[]);
        let words = [storm().into_os_string(), "traced".into()];
        let words = std::iter::once("--".into()).chain(words).chain(probe);
        works(at(place, setup.command(words)).start(), "traced");
    }
}

#[test]
fn a_command_that_asks_to_be_traced_can_be_stopped_and_still_receives_the_stop_signal() {
    needs!(native("the emulator does not support ptrace(2)"));
    for &place in places(test_name!()) {
        let setup = init(["--delay-term=20ms"]).script(["traceme"]);
        let mut run = at(place, setup).start();
        let main = run.pid_of("main");
        kill(main, SIGSTOP);
        until_state(main, 'T');
        run.signal(SIGTERM);
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn a_stop_command_that_asks_to_be_traced_can_be_killed() {
    needs!(native("the emulator does not support ptrace(2)"));
    for &place in places(test_name!()) {
        let setup = init::<_, &str>([]).stop_cmd(&["traceme", "default 1"]);
        let mut run = at(place, setup).start();
        run.signal(SIGTERM);
        run.wait("stop", "ready");
        kill(run.pid_of("stop"), SIGHUP);
        // The stop command has failed, so the stop signal is sent.
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn an_orphan_that_asks_to_be_traced_is_ended_by_wait_all() {
    needs!(subreaper(), native("the emulator does not support ptrace(2)"));
    for &place in places(test_name!()) {
        let mut run = at(place, init(["--wait-all"])).script(["orphan far session"]).start();
        run.wait("far", "ready");
        run.tell("far", "traceme");
        run.wait("far", "traceme 0");
        run.tell("far", "default 15");
        run.ping("far");
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}
