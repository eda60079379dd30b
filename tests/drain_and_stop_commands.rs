//! What the drain and stop commands inherit: session, descriptors, directory,
//! environment, signals.

mod support;

use support::*;

const NONE: [&str; 0] = [];

#[test]
fn the_drain_and_stop_commands_have_their_own_sessions() {
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
fn without_dev_null_the_drain_and_stop_commands_have_a_pipe_at_end_of_file_as_stdin() {
    needs!(pid_namespace(), native("the emulator needs /dev"));
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
fn the_drain_and_stop_commands_run_in_the_directory_of_the_init() {
    let dir = TempDir::new();
    let here = dir.path("here");
    std::fs::create_dir(&here).unwrap();
    let mut run = init(NONE).cwd(&here).drain_cmd(&[]).start();
    // COMMAND's own directory makes no difference.
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
fn if_the_directory_was_removed_the_drain_and_stop_commands_run_in_the_root_and_that_is_reported() {
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
fn variables_that_name_the_init_name_command_for_the_drain_and_stop_commands_too() {
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
fn if_the_directory_is_outside_the_root_the_drain_and_stop_commands_run_in_the_root() {
    needs!(pid_namespace());
    // The path then begins with "(unreachable)" (see getcwd(2)).
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
fn the_drain_and_stop_commands_receive_no_forwarded_signal() {
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
fn typed_control_keys_do_not_reach_the_drain_and_stop_commands() {
    let mut run = init(NONE).terminal(Terminal::Leader).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.type_in(b"\x03");
    run.received("main", SIGINT);
    run.ping("stop");
    assert_eq!(run.signals("stop"), []);
}
