//! Section 5, the exit status.

mod support;
use support::*;

#[test]
fn it_is_that_of_command() {
    for status in [0, 1, 2, 42, 125, 126, 127, 128, 137, 255] {
        let mut run = init::<_, &str>([]).start();
        run.tell("main", &format!("exit {status}"));
        assert_eq!(run.status(), status);
    }
}

#[test]
fn it_is_that_of_command_after_a_drain_and_a_stop_command() {
    let mut run =
        init(["--delay-term", "20ms"]).drain_cmd(&["exit 4"]).stop_cmd(&["exit 5"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "exit 6");
    assert_eq!(run.status(), 6);
}

#[test]
fn it_is_that_of_command_and_not_of_a_child_that_ended_later() {
    if without_root("it_is_that_of_command_and_not_of_a_child_that_ended_later") {
        return;
    }
    let mut run = init(["--wait-all"]).pid1().script(["orphan far session"]).start();
    run.wait("far", "ready");
    run.tell("main", "exit 6");
    run.received("far", SIGTERM);
    run.tell("far", "exit 9");
    assert_eq!(run.status(), 6);
}

#[test]
fn it_is_128_and_the_number_of_the_signal_that_killed_command() {
    let real_time = outside(34);
    for signal in [SIGHUP, SIGQUIT, SIGSEGV, SIGKILL, SIGTERM, SIGXFSZ, real_time] {
        let mut run = init::<_, &str>([]).start();
        run.tell("main", &format!("die {signal}"));
        let expected = if signal == real_time { 128 + 34 } else { 128 + signal };
        assert_eq!(run.status(), expected);
    }
}

#[test]
fn it_is_127_when_command_was_not_found() {
    let dir = TempDir::new();
    executable(&dir.path("file"), "#!/bin/sh\n");
    for command in [
        "no-such-command-anywhere".to_string(),
        "/nowhere/at/all".to_string(),
        dir.path("file/below").display().to_string(), // ENOTDIR
        String::new(),
    ] {
        let finished = init::<_, &str>([]).command(["--", &command]).finish();
        assert_eq!(finished.status, 127, "{command:?}: {}", finished.stderr);
        one_line(&finished, &command);
    }
}

#[test]
fn it_is_127_when_the_interpreter_of_command_was_not_found() {
    let dir = TempDir::new();
    let script = dir.path("script");
    executable(&script, "#!/nowhere/at/all\n");
    let finished = init::<_, &str>([]).command([&script]).finish();
    assert_eq!(finished.status, 127);
    one_line(&finished, script.to_str().unwrap());
}

#[test]
fn it_is_126_when_command_cannot_be_executed() {
    let dir = TempDir::new();
    let file = dir.path("file");
    std::fs::write(&file, "").unwrap();
    for command in [file.to_str().unwrap(), dir.path("").to_str().unwrap()] {
        let finished = init::<_, &str>([]).command([command]).finish();
        assert_eq!(finished.status, 126, "{command}: {}", finished.stderr);
        one_line(&finished, command);
    }
}

#[test]
fn it_is_126_when_a_command_in_path_is_not_executable() {
    let dir = TempDir::new();
    std::fs::write(dir.path("prog"), "").unwrap();
    let finished = init::<_, &str>([]).env("PATH", dir.path("")).command(["prog"]).finish();
    assert_eq!(finished.status, 126, "{}", finished.stderr);
}

#[test]
fn a_later_command_in_path_is_found_behind_one_that_is_not_executable() {
    let (first, second) = (TempDir::new(), TempDir::new());
    std::fs::write(first.path("prog"), "").unwrap();
    executable(&second.path("prog"), "#!/bin/sh\nexit 21\n");
    let path = format!("{}:{}", first.path("").display(), second.path("").display());
    let finished = init::<_, &str>([]).env("PATH", path).command(["prog"]).finish();
    assert_eq!(finished.status, 21);
}

#[test]
fn as_pid_1_too() {
    if without_root("as_pid_1_too") {
        return;
    }
    assert_eq!(init::<_, &str>([]).pid1().command(["/nowhere"]).finish().status, 127);
    assert_eq!(init::<_, &str>([]).pid1().command(["/etc/passwd"]).finish().status, 126);
}

#[test]
fn it_is_0_when_remap_exit_names_the_status() {
    for (options, end) in [
        (vec!["-e", "143"], "exit 143"),
        (vec!["-e", "143"], "die 15"),
        (vec!["-e143", "-e", "7"], "exit 7"),
        (vec!["--remap-exit=7"], "exit 7"),
        (vec!["--remap-exit", "0"], "exit 0"),
        (vec!["-e", "255"], "exit 255"),
    ] {
        let mut run = init(&options).start();
        run.tell("main", end);
        assert_eq!(run.status(), 0, "{options:?} {end}");
    }
    let mut run = init(["-e", "143", "-e", "7"]).start();
    run.tell("main", "exit 8");
    assert_eq!(run.status(), 8);
}

#[test]
fn it_is_0_when_remap_exit_names_126_or_127_too() {
    let finished = init(["-e", "127"]).command(["/nowhere"]).finish();
    assert_eq!(finished.status, 0);
    let finished = init(["-e", "126"]).command(["/etc/passwd"]).finish();
    assert_eq!(finished.status, 0);
}

#[test]
fn remap_exit_does_not_hide_a_usage_error() {
    let finished = init(["-e", "1", "--no-such"]).finish();
    assert_eq!(finished.status, 1);
}

#[test]
fn it_is_1_when_the_init_could_not_fork() {
    let name = "it_is_1_when_the_init_could_not_fork";
    if without_root(name) || under_emulator(name, "the emulator needs threads of its own") {
        return;
    }
    let user = 60_000 + std::process::id() % 5_000;
    let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
    let finished = init::<_, &str>([])
        .wrapped(["prlimit", "--nproc=1:1", "setpriv", &user, &group, "--clear-groups"])
        .finish();
    assert_eq!(finished.status, 1);
    assert!(finished.started.is_empty());
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert!(finished.stderr.starts_with(&init_name()), "{}", finished.stderr);
}

/// One line on stderr that names what is wrong, and nothing on stdout.
fn one_line(finished: &Finished, names: &str) {
    let stderr = &finished.stderr;
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with(&init_name()), "{stderr}");
    assert!(stderr.contains(names), "{stderr} does not name {names}");
    assert_eq!(finished.stdout, "");
}
