//! EXIT STATUS in the manual page.

mod support;
use support::*;

#[test]
fn the_exit_status_is_that_of_command() {
    for status in [0, 1, 2, 42, 125, 126, 127, 128, 137, 255] {
        assert_eq!(scenarios::when_command_exits(init::<_, &str>([]), status), status);
    }
}

#[test]
fn the_exit_status_is_that_of_command_after_a_drain_and_a_stop_command() {
    let mut run =
        init(["--delay-term", "20ms"]).drain_cmd(&["exit 4"]).stop_cmd(&["exit 5"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "exit 6");
    assert_eq!(run.status(), 6);
}

#[test]
fn the_exit_status_is_that_of_command_and_not_of_a_child_that_ended_later() {
    needs!(pid_namespace());
    let mut run = init(["--wait-all"]).pid1().script(["orphan far session"]).start();
    run.wait("far", "ready");
    run.tell("main", "exit 6");
    run.received("far", SIGTERM);
    run.tell("far", "exit 9");
    assert_eq!(run.status(), 6);
}

#[test]
fn the_exit_status_is_128_and_the_number_of_the_signal_that_killed_command() {
    let real_time = outside(34);
    for signal in [SIGHUP, SIGQUIT, SIGSEGV, SIGKILL, SIGTERM, SIGXFSZ, real_time] {
        let expected = if signal == real_time { 128 + 34 } else { 128 + signal };
        assert_eq!(scenarios::when_command_is_killed(init::<_, &str>([]), signal), expected);
    }
}

#[test]
fn the_exit_status_is_127_when_command_was_not_found() {
    let dir = TempDir::new();
    executable(&dir.path("file"), "#!/bin/sh\n");
    let below_a_file = dir.path("file/below").display().to_string();
    for (command, why) in [
        ("no-such-command-anywhere", "No such file or directory"),
        ("/nowhere/at/all", "No such file or directory"),
        (&below_a_file, "Not a directory"),
        ("", "No such file or directory"),
    ] {
        let finished = init::<_, &str>([]).command(["--", command]).finish();
        assert_eq!(finished.status, 127, "{command:?}: {}", finished.stderr);
        one_line(&finished, &format!("cannot run '{command}': {why}\n"));
    }
}

#[test]
fn the_exit_status_is_127_when_the_interpreter_of_command_was_not_found() {
    let dir = TempDir::new();
    let script = dir.path("script");
    executable(&script, "#!/nowhere/at/all\n");
    // A program whose dynamic loader is missing.
    let program = dir.path("program");
    let mut bytes = std::fs::read("/bin/sh").unwrap();
    let loader = bytes.windows(4).position(|part| part == b"/lib").expect("a loader");
    bytes[loader + 1] = b'n';
    executable(&program, bytes);
    let path = format!("{}:/nowhere", dir.path("").display());
    for command in [script.to_str().unwrap(), program.to_str().unwrap(), "script", "program"] {
        let finished = init::<_, &str>([]).env("PATH", &path).command([command]).finish();
        assert_eq!(finished.status, 127);
        let why = "the file exists, but its interpreter or dynamic loader is missing\n";
        one_line(&finished, &format!("cannot run '{command}': {why}"));
    }
}

#[test]
fn the_exit_status_is_126_when_command_is_a_binary_that_the_kernel_does_not_know() {
    let dir = TempDir::new();
    // A complete program for a machine that does not exist.
    let mut foreign = std::fs::read(probe_path()).unwrap();
    foreign[18..20].copy_from_slice(&[0xef, 0xbe]);
    for (name, bytes) in [
        ("foreign", &foreign[..]),
        ("elf", b"\x7fELF\n"),
        ("class", b"\xca\xfe\xba\xbe\0\0\0\x41\0\x1d\n"),
        ("exe", b"MZ\x90\0\x03\0\0\0\n"),
    ] {
        let path = dir.path(name);
        executable(&path, bytes);
        for command in [path.to_str().unwrap(), name] {
            let setup = init::<_, &str>([]).env("PATH", dir.path(""));
            let finished = setup.command([command]).finish();
            assert_eq!(finished.status, 126, "{}", finished.stderr);
            let why = "Exec format error (built for another architecture?)\n";
            one_line(&finished, &format!("cannot run '{command}': {why}"));
        }
    }
}

#[test]
fn a_script_may_have_a_nul_after_its_first_line() {
    // Self-extracting archives are like this.
    let dir = TempDir::new();
    let script = dir.path("script");
    executable(&script, "exit 6\n\0\0\0\n");
    assert_eq!(init::<_, &str>([]).command([&script]).finish().status, 6);
}

#[test]
fn the_exit_status_is_126_when_there_is_no_shell_for_a_script() {
    needs!(pid_namespace(), native("the emulator is in the hidden directory"));
    let dir = TempDir::new();
    let script = dir.path("script");
    executable(&script, "exit 6\n");
    for hide in ["mount -t tmpfs none /bin", "mount --bind /dev/null /bin/sh"] {
        let hide = format!("{hide} && exec \"$@\"");
        let setup = init::<_, &str>([]).pid1().wrapped(["/bin/sh", "-c", &hide, "sh"]);
        let finished = setup.command([&script]).finish();
        assert_eq!(finished.status, 126, "{}", finished.stderr);
        let why = "Exec format error (it has no #! line, and /bin/sh cannot be run)\n";
        one_line(&finished, &format!("cannot run '{}': {why}", script.display()));
    }
}

#[test]
fn the_exit_status_is_126_when_command_cannot_be_executed() {
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
fn a_program_and_its_arguments_in_one_string_are_reported_as_such() {
    let hint = " (is this a program and its arguments in one string?)\n";
    for command in ["sleep 5", "/bin/sleep 5"] {
        let finished = init::<_, &str>([]).command([command]).finish();
        assert_eq!(finished.status, 127, "{}", finished.stderr);
        let why = format!("cannot run '{command}': No such file or directory{hint}");
        one_line(&finished, &why);
    }
    // A file whose name has a blank is a program like any other.
    let dir = TempDir::new();
    executable(&dir.path("two words"), "#!/bin/sh\nexit 9\n");
    assert_eq!(init::<_, &str>([]).command([dir.path("two words")]).finish().status, 9);
}

#[test]
fn a_directory_is_reported_as_such() {
    let finished = init::<_, &str>([]).command(["/etc"]).finish();
    assert_eq!(finished.status, 126, "{}", finished.stderr);
    one_line(&finished, "cannot run '/etc': Is a directory\n");
    let dir = TempDir::new();
    std::fs::create_dir(dir.path("prog")).unwrap();
    let setup = init::<_, &str>([]).env("PATH", dir.path(""));
    let finished = setup.command(["prog"]).finish();
    assert_eq!(finished.status, 126, "{}", finished.stderr);
    one_line(&finished, "cannot run 'prog': Is a directory\n");
}

#[test]
fn the_exit_status_is_126_when_a_command_in_path_is_not_executable() {
    let dir = TempDir::new();
    std::fs::write(dir.path("prog"), "").unwrap();
    let finished = init::<_, &str>([]).env("PATH", dir.path("")).command(["prog"]).finish();
    assert_eq!(finished.status, 126, "{}", finished.stderr);
}

#[test]
fn a_file_in_path_that_is_not_executable_does_not_hide_a_later_command() {
    let (first, second) = (TempDir::new(), TempDir::new());
    std::fs::write(first.path("prog"), "").unwrap();
    executable(&second.path("prog"), "#!/bin/sh\nexit 21\n");
    let path = format!("{}:{}", first.path("").display(), second.path("").display());
    let finished = init::<_, &str>([]).env("PATH", path).command(["prog"]).finish();
    assert_eq!(finished.status, 21);
}

#[test]
fn a_command_that_is_not_executable_is_a_better_reason_than_a_missing_interpreter() {
    let (first, second) = (TempDir::new(), TempDir::new());
    std::fs::write(first.path("prog"), "").unwrap();
    executable(&second.path("prog"), "#!/nowhere\n");
    let path = format!("{}:{}", first.path("").display(), second.path("").display());
    let finished = init::<_, &str>([]).env("PATH", path).command(["prog"]).finish();
    assert_eq!(finished.status, 126, "{}", finished.stderr);
    assert!(finished.stderr.contains("Permission denied"), "{}", finished.stderr);
}

#[test]
fn without_path_the_usual_directories_are_searched() {
    let finished = init::<_, &str>([]).clear_env().command(["true"]).finish();
    assert_eq!(finished.status, 0, "{}", finished.stderr);
}

/// Two directories with a program `prog`, and a PATH of both. The first program exits
/// with 20, the second with 21.
fn twice_in_path() -> ([TempDir; 2], String) {
    let dirs = [TempDir::new(), TempDir::new()];
    for (dir, status) in dirs.iter().zip([20, 21]) {
        executable(&dir.path("prog"), format!("#!/bin/sh\nexit {status}\n"));
    }
    let programs = [dirs[0].path("prog"), dirs[1].path("prog")];
    let [first, second] = programs.each_ref().map(|it| it.parent().unwrap().display());
    let path = format!("{first}:{second}");
    (dirs, path)
}

#[test]
fn the_search_in_path_continues_after_the_same_errors_as_execvp() {
    needs!(native("strace would make the emulator's own calls fail"), strace());
    let (dirs, path) = twice_in_path();
    let first = dirs[0].path("prog");
    let search = |error: &str, path: &str| {
        let inject = format!("--inject=execve:error={error}");
        init::<_, &str>([])
            .wrapped(["strace", "-f", "-qq", "-o", "/dev/null", "-P", first.to_str().unwrap()])
            .wrapped(["--trace=execve", &inject, "env", &format!("PATH={path}")])
            .command(["prog"])
            .finish()
    };
    for error in ["EACCES", "ENOENT", "ESTALE", "ENOTDIR", "ENODEV", "ETIMEDOUT"] {
        let finished = search(error, &path);
        assert_eq!(finished.status, 21, "{error}: {}", finished.stderr);
    }
    // Any other error ends the search. The first error is reported, not a later ENOENT.
    for (error, reason) in [
        ("EIO", "Input/output error"),
        ("ETXTBSY", "Text file busy"),
        ("EACCES", "Permission denied"),
        ("ESTALE", "Stale file handle"),
    ] {
        let path = match error {
            "EIO" | "ETXTBSY" => path.clone(),
            _ => format!("{}:/nowhere", first.parent().unwrap().display()),
        };
        let finished = search(error, &path);
        assert_eq!(finished.status, 126, "{error}: {}", finished.stderr);
        assert!(finished.stderr.contains("cannot run 'prog': "), "{}", finished.stderr);
        assert!(finished.stderr.contains(reason), "{}", finished.stderr);
    }
}

#[test]
fn the_search_in_path_continues_after_a_directory_whose_name_is_too_long() {
    let (_dirs, path) = twice_in_path();
    for long in ["x".repeat(256), "x/".repeat(2_500)] {
        let setup = init::<_, &str>([]).env("PATH", format!("/{long}:{path}"));
        let finished = setup.command(["prog"]).finish();
        assert_eq!(finished.status, 20, "{}", finished.stderr);
    }
}

#[test]
fn as_pid_1_the_exit_status_is_127_or_126_too() {
    needs!(pid_namespace());
    assert_eq!(init::<_, &str>([]).pid1().command(["/nowhere"]).finish().status, 127);
    assert_eq!(init::<_, &str>([]).pid1().command(["/etc/passwd"]).finish().status, 126);
}

#[test]
fn the_exit_status_is_0_when_remap_exit_names_the_status() {
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
fn the_exit_status_is_0_when_remap_exit_names_126_or_127_too() {
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
fn the_exit_status_is_1_when_the_init_could_not_fork() {
    needs!(pid_namespace(), native("the emulator needs threads of its own"), other_users());
    let finished = init::<_, &str>([]).for_any_user().limited_to_processes(1).finish();
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
