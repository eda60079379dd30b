//! STOP SEQUENCE, "What COMMAND sees" in the manual page: nothing of drain-init.

mod support;
use std::os::fd::OwnedFd;
use support::*;

const NONE: [&str; 0] = [];

// ------------------------------------------------------------- descriptors

#[test]
fn command_has_the_same_descriptors() {
    let (_reader, writer) = pipe();
    let mut run = init(NONE).passing(writer, 7).start();
    assert_eq!(run.ask("main", "fds"), ["0", "1", "2", "7"]);
}

#[test]
fn a_drain_with_commands_to_run_gives_command_no_more_descriptors() {
    let mut run = init(["-v", "--delay-term=60", "--kill-after=1", "--wait-all"])
        .drain_cmd(&[])
        .stop_cmd(&[])
        .start();
    assert_eq!(run.ask("main", "fds"), ["0", "1", "2"]);
}

#[test]
fn descriptors_that_were_closed_stay_closed() {
    needs!(native("qemu-user opens its own there"));
    for closed in [vec![0], vec![1], vec![2], vec![0, 2], vec![0, 1, 2]] {
        let mut setup = init(["-v", "--delay-term=60"]).drain_cmd(&[]);
        for fd in &closed {
            setup = setup.closing(*fd);
        }
        let mut run = setup.start();
        let left: Vec<String> =
            (0..3).filter(|fd| !closed.contains(fd)).map(|fd| fd.to_string()).collect();
        assert_eq!(run.ask("main", "fds"), left, "closed {closed:?}");
    }
}

#[test]
fn the_init_keeps_no_inherited_descriptor_above_2() {
    scenarios::no_inherited_descriptor_is_kept(init(NONE));
}

#[test]
fn a_socket_that_command_has_closed_takes_no_connections() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut run = init(NONE).passing(OwnedFd::from(listener), 5).start();
    assert!(std::net::TcpStream::connect(address).is_ok());
    run.tell("main", "close 5");
    run.wait("main", "close 0");
    until("a refusal", || std::net::TcpStream::connect(address).is_err());
    run.barrier();
}

#[test]
fn without_close_range_the_init_keeps_no_inherited_descriptor_either() {
    needs!(native("strace would make the emulator's own calls fail"), strace());
    for error in ["ENOSYS", "EPERM", "EINVAL"] {
        let (_reader, writer) = pipe();
        let mut run = init(NONE)
            .passing(writer, 300)
            .failing(&[&format!("close_range:error={error}")])
            .start();
        assert_eq!(run.ask("main", "fds"), ["0", "1", "2", "300"]);
        let pid = run.pid();
        until("descriptor 300 is closed", || !has_descriptor(pid, 300));
    }
}

#[test]
fn without_close_range_and_proc_the_init_keeps_no_inherited_descriptor_either() {
    needs!(pid_namespace(), native("the emulator needs /proc"), strace());
    let (_reader, writer) = pipe();
    // strace itself needs /proc, so /proc is hidden only from the program that it runs.
    let hide = "mount -t tmpfs none /proc && exec \"$@\"";
    let mut run = init(NONE)
        .passing(writer, 300)
        .failing(&["close_range:error=ENOSYS"])
        .wrapped(["sh", "-c", hide, "sh"])
        .hosted()
        .start();
    assert_eq!(run.ask("main", "fds"), ["0", "1", "2", "300"]);
    let pid = run.pid();
    until("descriptor 300 is closed", || !has_descriptor(pid, 300));
}

fn has_descriptor(pid: Pid, fd: i32) -> bool {
    std::fs::symlink_metadata(format!("/proc/{pid}/fd/{fd}")).is_ok()
}

#[test]
fn the_drain_and_stop_commands_keep_no_descriptor_open_either() {
    let (mut reader, writer) = pipe();
    let mut run = init(NONE).passing(writer, 9).stop_cmd(&[]).start();
    run.tell("main", "close 9");
    run.wait("main", "close 0");
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    until_end(&mut reader);
}

// -------------------------------------------- directory, environment, limits

#[test]
fn command_keeps_the_working_directory_and_the_init_leaves_it() {
    let dir = TempDir::new();
    let here = dir.path("here");
    std::fs::create_dir(&here).unwrap();
    let mut run = init(["--delay-term=60"]).drain_cmd(&[]).cwd(&here).start();
    assert_eq!(run.ask("main", "cwd"), [here.to_str().unwrap()]);
    // The init leaves it after the fork, when COMMAND may already run.
    run.barrier();
    let own = std::fs::read_link(format!("/proc/{}/cwd", run.pid())).unwrap();
    assert_eq!(own.to_str(), Some("/"));
}

#[test]
fn command_has_the_same_environment() {
    needs!(native("qemu-user sorts the environment"));
    let entries =
        ["B=1", "A=2", "EMPTY=", "=odd", "noequals", "A=3", "DUMB_INIT_SETSID=1", "PATH=/bin"];
    let mut run = init(NONE).raw_env(entries).start();
    assert_eq!(run.ask("main", "env"), entries);
}

#[test]
fn an_empty_environment_stays_empty() {
    let mut run = init(NONE).raw_env(NONE).start();
    assert_eq!(run.ask("main", "env"), NONE);
}

#[test]
fn an_environment_that_is_not_text_reaches_command_unchanged() {
    use std::os::unix::ffi::OsStrExt;
    needs!(native("qemu-user sorts the environment"));
    let entries = [&b"X=\xff\xfe"[..], b"\x80=1"].map(std::ffi::OsStr::from_bytes);
    let mut run = init(NONE).raw_env(entries).start();
    assert_eq!(run.ask("main", "env"), ["X=\\xff\\xfe", "\\x80=1"]);
}

#[test]
fn command_has_the_same_umask() {
    let mut run = init(NONE).umask(0o137).start();
    assert_eq!(run.ask("main", "umask"), ["137"]);
}

#[test]
fn command_has_the_same_limits() {
    let mut run = init(["--delay-term=60"])
        .drain_cmd(&[])
        .wrapped(["prlimit", "--nofile=300:400", "--core=0:0", "--stack=1000000:2000000"])
        .start();
    let limits = run.ask("main", "limits");
    assert!(limits.contains(&"7 300 400".into()), "{limits:?}");
    assert!(limits.contains(&"4 0 0".into()), "{limits:?}");
    assert!(limits.contains(&"3 1000000 2000000".into()), "{limits:?}");
}

// ----------------------------------------------------------------- signals

#[test]
fn command_has_no_signal_blocked() {
    let mut setup = init(NONE);
    for signal in [SIGTERM, SIGINT, SIGCHLD, SIGUSR1, 33, 34, 35, 64] {
        setup = setup.blocking(signal);
    }
    let mut run = setup.start();
    assert_eq!(run.ask("main", "blocked"), NONE);
}

#[test]
fn command_has_exactly_the_dispositions_that_the_init_inherited() {
    needs!(native("qemu-user hands on default dispositions"));
    for ignored in [
        vec![],
        vec![SIGPIPE],
        vec![SIGCHLD],
        vec![SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGCHLD, SIGTSTP, SIGTTOU],
        vec![32, 33, 34, 50, 64],
    ] {
        let mut setup = init(NONE);
        for signal in &ignored {
            setup = setup.ignoring(*signal);
        }
        let mut run = setup.start();
        let mut found: Vec<i32> =
            run.ask("main", "ignored").iter().map(|s| s.parse().unwrap()).collect();
        let mut ignored = ignored;
        ignored.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, ignored);
    }
}

/// Starts the init with these signals ignored, as a shell starts `init &` with INT and
/// QUIT ignored. Returns the signals that COMMAND finds ignored, in order.
fn passes_on(setup: Setup, ignored: &[i32]) -> Vec<i32> {
    let setup = ignored.iter().fold(setup, |setup, signal| setup.ignoring(*signal));
    let mut run = setup.start();
    run.ask("main", "ignored").iter().map(|signal| signal.parse().unwrap()).collect()
}

#[test]
fn a_signal_that_is_to_be_sent_after_rewriting_is_not_ignored() {
    needs!(native("qemu-user hands on default dispositions"));
    let ignored = [SIGINT, SIGQUIT];
    assert_eq!(passes_on(init(["--rewrite=TERM:INT"]), &ignored), [SIGQUIT]);
    assert_eq!(passes_on(init(["-r", "15:3"]), &ignored), [SIGINT]);
    assert_eq!(passes_on(init(["-r", "15:3", "-r", "1:2"]), &ignored), [0; 0]);
    assert_eq!(passes_on(init(["-c", "-r", "15:2"]), &ignored), [SIGQUIT]);
    assert_eq!(passes_on(init(["-r", "TERM:RTMIN+3"]), &[37, 38]), [38]);
}

#[test]
fn a_stop_signal_that_is_given_is_not_ignored() {
    needs!(native("qemu-user hands on default dispositions"));
    let ignored = [SIGINT, SIGQUIT, SIGTERM];
    assert_eq!(passes_on(init(["--stop-signal=QUIT"]), &ignored), [SIGINT, SIGTERM]);
    let both = ["--stop-signal=QUIT", "--stop-signal=TERM"];
    assert_eq!(passes_on(init(both), &ignored), [SIGINT]);
    // A rewritten stop signal is never sent itself.
    let rewritten = ["--stop-signal=QUIT", "--rewrite=QUIT:TERM"];
    assert_eq!(passes_on(init(rewritten), &ignored), [SIGINT, SIGQUIT]);
}

#[test]
fn the_drain_signal_is_not_ignored() {
    needs!(native("qemu-user hands on default dispositions"));
    let options = ["--delay-term=1", "--drain-signal=TSTP"];
    assert_eq!(passes_on(init(options), &[SIGTSTP, SIGTTIN]), [SIGTTIN]);
    // It is not rewritten.
    let options = ["--drain-signal=USR1", "--rewrite=USR1:0"];
    assert_eq!(passes_on(init(options), &[SIGUSR1]), [0; 0]);
}

#[test]
fn a_signal_that_a_variable_names_to_be_sent_is_not_ignored() {
    needs!(native("qemu-user hands on default dispositions"));
    for (variable, value) in [
        ("DRAIN_INIT_REWRITE", "TERM:INT"),
        ("DRAIN_INIT_STOP_SIGNAL", "INT"),
        ("DRAIN_INIT_DRAIN_SIGNAL", "INT"),
    ] {
        let setup = init(NONE).env(variable, value);
        assert_eq!(passes_on(setup, &[SIGINT, SIGQUIT]), [SIGQUIT], "{variable}");
    }
}

#[test]
fn a_signal_that_no_option_names_to_be_sent_stays_ignored() {
    needs!(native("qemu-user hands on default dispositions"));
    let ignored = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
    for options in [
        &["--delay-term=1"][..],
        &["--stop-cmd=true", "--kill-after=1"],
        &["--wait-all"],
        // Only the right-hand side of a rewrite is sent, and 0 sends nothing.
        &["--rewrite=INT:0", "--rewrite=HUP:USR1", "--rewrite=TERM:USR1"],
        &["--stop-signal=TERM", "--rewrite=TERM:0"],
    ] {
        assert_eq!(passes_on(init(options), &ignored), ignored, "{options:?}");
    }
}

#[test]
fn an_ignored_chld_that_is_to_be_sent_is_not_ignored() {
    needs!(native("qemu-user hands on default dispositions"));
    assert_eq!(passes_on(init(["--rewrite=TERM:CHLD"]), &[SIGCHLD]), [0; 0]);
}

#[test]
fn the_drain_and_stop_commands_do_not_ignore_a_signal_that_is_to_be_sent_either() {
    needs!(native("qemu-user hands on default dispositions"));
    let setup = init(["--rewrite=TERM:INT"]).ignoring(SIGINT).ignoring(SIGQUIT);
    let mut run = setup.drain_cmd(&[]).stop_cmd(&[]).start();
    run.signal(SIGTERM);
    for name in ["drain", "stop"] {
        run.wait(name, "ready");
        assert_eq!(run.ask(name, "ignored"), [SIGQUIT.to_string()], "{name}");
        run.tell(name, "exit 0");
    }
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7);
}

#[test]
fn a_stop_rewritten_to_int_reaches_command_if_a_shell_has_started_the_init_in_the_background() {
    needs!(native("qemu-user hands on default dispositions"));
    // sleep(1) changes no disposition.
    let setup = init(["--rewrite=15:2"]).wrapped(["sh", "-c", "\"$@\" & wait $!", "sh"]);
    let mut run = setup.command(["--", "sleep", "1000"]).spawn();
    let shell = run.child();
    until_executed(shell, "sleep");
    kill(children(shell)[0], SIGTERM);
    assert_eq!(run.status(), 128 + SIGINT);
}

#[test]
fn a_pipe_that_breaks_ends_command_as_it_would_without_the_init() {
    // Rust's start-up would have COMMAND inherit an ignored SIGPIPE.
    let mut run = init(NONE).start();
    run.tell("main", "default 13");
    let main = run.hello("main")[0];
    run.tell("main", &format!("kill {main} 13"));
    assert_eq!(run.status(), 128 + SIGPIPE);
}

#[test]
fn an_ignored_chld_does_not_lose_the_exit_status() {
    scenarios::an_ignored_chld_does_not_lose_the_exit_status(init(NONE));
}

#[test]
fn an_ignored_stop_signal_still_starts_the_drain() {
    let mut run = init(["--delay-term=60"]).ignoring(SIGTERM).start();
    run.signal(SIGTERM);
    run.drain_begins();
}

// ---------------------------------------------------- session and terminal

#[test]
fn in_group_mode_command_leads_a_new_session() {
    let mut run = init(NONE).start();
    let [pid, parent, group, session] = run.hello("main");
    assert_eq!((group, session), (pid, pid));
    assert_eq!(parent, run.pid());
}

/// What COMMAND reports if it has the terminal, in the session of `leader`.
fn has_terminal(leader: i32, group: i32) -> String {
    format!("stdin=1 session={leader} foreground={group} controlling=true")
}

#[test]
fn command_gets_the_terminal_whose_session_the_init_leads() {
    for options in [&[][..], &["-c"]] {
        let mut run = init(options).terminal(Terminal::Leader).start();
        let [pid, _, group, session] = run.hello("main");
        assert_eq!((group, session), (pid, run.pid()));
        assert_eq!(run.ask("main", "tty"), [has_terminal(session, pid)]);
    }
}

#[test]
fn as_pid_1_command_gets_the_terminal_too() {
    needs!(pid_namespace());
    for options in [&[][..], &["-c"]] {
        let mut run =
            init(options).pid1().wrapped(["setsid", "--ctty"]).terminal(Terminal::Foreign).start();
        let [pid, _, group, session] = run.hello("main");
        assert_eq!((group, session), (pid, 1));
        assert_eq!(run.ask("main", "tty"), [has_terminal(1, pid)]);
        run.type_in(b"\x03");
        run.received("main", SIGINT);
    }
}

#[test]
fn with_c_command_stays_in_the_session_and_leads_its_own_group() {
    let mut run = init(["-c"]).start();
    let [pid, _, group, session] = run.hello("main");
    assert_eq!((group, session), (pid, stat(run.pid()).unwrap().session));
}

#[test]
fn with_c_command_leads_its_group_before_it_is_executed() {
    needs!(native("strace would hold up the emulator's own calls"), strace());
    // strace delays the init after its fork(2), so COMMAND runs first.
    let mut run = init(["-c"]).failing(&["?fork,clone:delay_exit=500000:when=1"]).start();
    let [pid, _, group, _] = run.hello("main");
    assert_eq!(group, pid);
}

#[test]
fn a_signal_that_command_sends_to_its_own_group_does_not_reach_the_init() {
    for options in [&["-c", "--delay-term", "60"][..], &["--delay-term", "60"]] {
        let mut run = init(options).script(["fork worker"]).start();
        run.wait("worker", "ready");
        let group = run.pid_of("main");
        // As a shell's `kill 0` does.
        kill_group(group, SIGTERM);
        run.received("main", SIGTERM);
        run.received("worker", SIGTERM);
        run.barrier();
        // No drain has begun: this TERM is the first that is reported.
        run.signal(SIGTERM);
        let line = run.drain_begins();
        assert_eq!(run.stderr(), line);
    }
}

#[test]
fn a_pty_master_on_stdin_is_not_a_controlling_terminal() {
    let (master, _slave) = terminal_pair();
    // If it counted as the controlling terminal, COMMAND would stay in the init's session.
    let mut run = init(NONE).in_session().stdin(master).start();
    let [pid, _, group, session] = run.hello("main");
    assert_eq!((group, session), (pid, pid));
}

#[test]
fn a_terminal_of_another_session_is_not_taken() {
    let mut run = init(NONE)
        .wrapped(["sh", "-c", "\"$@\"; exit $?", "sh"])
        .terminal(Terminal::Leader)
        .start();
    let tty = run.ask("main", "tty");
    assert!(tty[0].starts_with("stdin=1 session=-1"), "{tty:?}");
    assert!(tty[0].ends_with("controlling=false"), "{tty:?}");
}

#[test]
fn a_terminal_that_the_init_does_not_lead_stays_its_own() {
    let mut run = init(NONE)
        .wrapped(["sh", "-c", "\"$@\"; exit $?", "sh"])
        .terminal(Terminal::Leader)
        .start();
    run.barrier();
    let own = stat(run.pid()).unwrap();
    assert_ne!(own.terminal, 0);
    // The shell, and the init in its group, are in the foreground as before.
    assert_eq!(own.foreground, own.group);
    run.type_in(b"\x03");
    run.received("main", SIGINT);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGWINCH, SIGINT, SIGWINCH]);
}

#[test]
fn a_terminal_that_controls_no_session_is_not_taken() {
    let mut run = init(NONE).terminal(Terminal::Foreign).start();
    let tty = run.ask("main", "tty");
    assert!(tty[0].ends_with("controlling=false"), "{tty:?}");
}

#[test]
fn handing_over_the_terminal_sends_no_hup_and_no_cont() {
    for _ in 0..5 {
        let mut run = init(NONE).terminal(Terminal::Leader).start();
        run.barrier();
        assert_eq!(run.signals("main"), [SIGWINCH]);
    }
}

#[test]
fn a_hup_and_a_cont_that_were_pending_at_the_start_reach_command_once() {
    needs!(native("strace would hold up the emulator's own calls"), strace());
    // strace holds the init after the fork until COMMAND can receive signals. With -D it is
    // not the init's parent, because a child would not inherit the pending signal.
    let hold = ["strace", "-D", "-qq", "-o", "/dev/null", "--trace=chdir"];
    let hold = hold.iter().chain(["--inject=chdir:delay_enter=60000000"].iter());
    for terminal in [Terminal::None, Terminal::Foreign, Terminal::Leader] {
        for options in [&[][..], &["-c"]] {
            for signal in [SIGHUP, SIGCONT] {
                let setup = init(options).terminal(terminal).pending(signal);
                let mut run = setup.wrapped(hold.clone()).start();
                let tracer = status_line(run.pid(), "TracerPid").parse().unwrap();
                kill(tracer, SIGKILL);
                run.received("main", signal);
                run.barrier();
                assert_eq!(run.signals("main"), [signal, SIGWINCH]);
            }
        }
    }
}

#[test]
fn hup_and_cont_are_delivered_on_a_terminal_too() {
    let mut run = init(NONE).terminal(Terminal::Leader).start();
    run.signal(SIGHUP);
    run.received("main", SIGHUP);
    run.signal(SIGCONT);
    run.received("main", SIGCONT);
}

// ------------------------------------------------------------------ ENOEXEC

#[test]
fn a_file_that_the_kernel_refuses_is_run_by_the_shell() {
    let dir = TempDir::new();
    executable(&dir.path("script"), "echo \"$0:$1:$2\"\nexit 6\n");
    let script = dir.path("script");
    let expected = format!("{}:a b:c\n", script.display());
    let finished = init(NONE).command([script.as_os_str(), "a b".as_ref(), "c".as_ref()]).finish();
    assert_eq!((finished.status, finished.stdout), (6, expected.clone()));

    // Found in PATH, too.
    let path = format!("{}:/usr/bin:/bin", dir.path("").display());
    let finished = init(NONE).env("PATH", path).command(["script", "a b", "c"]).finish();
    assert_eq!(finished.status, 6);
    assert!(finished.stdout.ends_with("/script:a b:c\n"), "{}", finished.stdout);
}

#[test]
fn a_drain_or_stop_command_that_the_kernel_refuses_is_run_by_the_shell_too() {
    let dir = TempDir::new();
    executable(&dir.path("script"), "kill -INT $MAINPID\n");
    let json = format!("[\"{}\"]", dir.path("script").display());
    let mut run = init(["--stop-cmd", &json]).start();
    run.signal(SIGTERM);
    run.received("main", SIGINT);
}

// --------------------------------------------------------------- LISTEN_PID

#[test]
fn listen_pid_that_names_the_init_names_command() {
    let set = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_PIDFDID=12345 exec \"$@\"";
    let mut run = init(NONE).wrapped(["sh", "-c", set, "sh"]).start();
    let env = run.ask("main", "env");
    let main = run.hello("main")[0];
    assert!(env.contains(&format!("LISTEN_PID={main}")), "{env:?}");
    assert!(env.contains(&"LISTEN_FDS=1".into()), "{env:?}");
    assert!(!env.iter().any(|e| e.starts_with("LISTEN_PIDFDID=")), "{env:?}");
}

#[test]
fn as_pid_1_listen_pid_1_names_command() {
    needs!(pid_namespace());
    let mut run = init(NONE).env("LISTEN_PID", "1").env("LISTEN_FDS", "1").pid1().start();
    let env = run.ask("main", "env");
    let main = run.hello("main")[0];
    assert_ne!(main, 1);
    assert!(env.contains(&format!("LISTEN_PID={main}")), "{env:?}");
}

#[test]
fn listen_pid_that_names_another_process_is_not_changed() {
    let mut run = init(NONE).env("LISTEN_PID", "1").env("LISTEN_PIDFDID", "5").start();
    let env = run.ask("main", "env");
    assert!(env.contains(&"LISTEN_PID=1".into()), "{env:?}");
    assert!(env.contains(&"LISTEN_PIDFDID=5".into()), "{env:?}");
}

#[test]
fn listen_pid_is_not_added_if_it_was_not_set() {
    let mut run = init(NONE).start();
    assert!(!run.ask("main", "env").iter().any(|e| e.starts_with("LISTEN_PID")));
}

// ------------------------------------------------ systemd's other process IDs

const WATCHDOG: &str = "WATCHDOG_PID=$$ WATCHDOG_USEC=30000000 SYSTEMD_EXEC_PID=$$ exec \"$@\"";

#[test]
fn watchdog_pid_and_systemd_exec_pid_that_name_the_init_name_command() {
    let mut run = init(NONE).wrapped(["sh", "-c", WATCHDOG, "sh"]).start();
    let env = run.ask("main", "env");
    let main = run.hello("main")[0];
    for name in ["WATCHDOG_PID", "SYSTEMD_EXEC_PID"] {
        assert!(env.contains(&format!("{name}={main}")), "{env:?}");
    }
    assert!(env.contains(&"WATCHDOG_USEC=30000000".into()), "{env:?}");
    assert!(!env.iter().any(|e| e.starts_with("LISTEN_")), "{env:?}");
}

#[test]
fn watchdog_pid_and_systemd_exec_pid_that_name_another_process_are_not_changed() {
    let set = "LISTEN_PID=1 LISTEN_PIDFDID=5 WATCHDOG_PID=1 SYSTEMD_EXEC_PID=$$ exec \"$@\"";
    let mut run = init(NONE).wrapped(["sh", "-c", set, "sh"]).start();
    let env = run.ask("main", "env");
    let main = run.hello("main")[0];
    for entry in ["LISTEN_PID=1", "LISTEN_PIDFDID=5", "WATCHDOG_PID=1"] {
        assert!(env.contains(&entry.into()), "{env:?}");
    }
    assert!(env.contains(&format!("SYSTEMD_EXEC_PID={main}")), "{env:?}");
}

#[test]
fn under_the_init_libsystemd_finds_its_watchdog_and_its_sockets() {
    let (_reader, writer) = pipe();
    let set = format!("LISTEN_PID=$$ LISTEN_FDS=1 {WATCHDOG}");
    let mut run = init(NONE).passing(writer, 3).wrapped(["sh", "-c", &set, "sh"]).start();
    let said = run.ask("main", "systemd");
    if said == ["not there"] {
        return skip(test_name!(), "libsystemd.so.0 is not installed");
    }
    // sd_watchdog_enabled(3): yes, every 30 seconds. sd_listen_fds(3): one.
    assert_eq!(said, ["watchdog 1 30000000", "listen 1"]);
}

// ---------------------------------------------------------------- pdeathsig

#[test]
fn the_death_of_the_parent_can_start_the_drain() {
    let mut run = init(["-p", "TERM", "--delay-term=60"])
        .wrapped(["sh", "-c", "\"$@\" & wait", "sh"])
        .start();
    kill(run.child(), SIGKILL);
    run.drain_begins();
}

#[test]
fn a_parent_that_died_before_prctl_counts_as_well() {
    needs!(pid_namespace(), native("strace would delay the emulator's own calls"), strace());
    // strace holds prctl back for a minute. The test kills strace once the parent, a shell,
    // has exited.
    let mut run = init(["-p", "TERM", "--delay-term=60"])
        .hosted()
        .wrapped(["strace", "-qq", "-f", "-o", "/dev/null", "--trace=prctl"])
        .wrapped(["--inject=prctl:delay_enter=60000000", "sh", "-c", "\"$@\" & wait", "sh"])
        .spawn();
    let start = run.child();
    let mut shell = 0;
    until("the init is about to call prctl", || {
        let about = |pid: &Pid| {
            let call = std::fs::read_to_string(format!("/proc/{pid}/syscall"));
            call.is_ok_and(|c| c.starts_with(&(number_of(libc::SYS_prctl) + "0x1 ")))
        };
        shell =
            descendants(start).iter().find(|p| about(p)).map_or(0, |p| stat(*p).unwrap().parent);
        shell != 0
    });
    let strace = stat(shell).unwrap().parent;
    kill(shell, SIGKILL);
    until("the shell is gone", || stat(shell).is_none_or(|shell| shell.state == 'Z'));
    kill(strace, SIGKILL);
    run.message("received TERM: draining for");
}
