//! DIAGNOSTICS in the manual page, and the options for messages: what a stop prints, and that
//! writing it never blocks the init. The text of a failure is in the failure's own test.

mod support;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use support::*;

const NONE: [&str; 0] = [];

// ---------------------------------------------------------------- their text

#[test]
fn a_drain_is_reported_step_by_step() {
    // The drain ends with the drain command, so no step depends on time.
    let mut run = init(NONE).drain_cmd(&[]).start();
    let main = run.hello("main")[0];
    let name = init_name();
    run.signal(SIGTERM);
    let line = run.message("draining until");
    let expected = "received TERM: draining until the drain command exits, \
        then sending TERM (the grace period must be longer)";
    assert_eq!(line, format!("{name}{expected}\n"));
    run.signal(SIGTERM);
    let line = run.message(": ignored, ");
    assert_eq!(line, format!("{name}received TERM: ignored, already draining\n"));
    run.wait("drain", "ready");
    run.tell("drain", "exit 0");
    let line = run.message("drained for");
    let (begin, end) =
        (format!("{name}drained for "), format!("s: sending TERM to process group {main}\n"));
    assert!(line.starts_with(&begin) && line.ends_with(&end), "{line}");
    run.received("main", SIGTERM);
    run.tell("main", "exit 0");
    let line = run.message("exited with status 0");
    // The group has no other member, so the init waits for nothing.
    let begin = format!("{name}process {main} exited with status 0, ");
    assert!(line.starts_with(&begin) && line.ends_with("s after it was sent TERM\n"), "{line}");
    assert_eq!(run.status(), 0);
    run.drain_output();
    assert_eq!(run.stderr().lines().count(), 4, "{}", run.stderr());
}

#[test]
fn the_delay_is_reported_in_seconds() {
    for (delay, seconds) in [("10", "10s"), ("200ms", "0.2s")] {
        let mut run = init(["--delay-term", delay]).start();
        run.signal(SIGTERM);
        run.message(&format!(
            "received TERM: draining for {seconds}, then sending TERM (the grace period must be longer)"
        ));
    }
}

#[test]
fn a_drain_is_reported_if_command_dies_of_a_signal() {
    let mut run = init(["--delay-term=20ms"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "die 9");
    run.message("was killed by KILL, ");
    assert_eq!(run.status(), 137);
}

#[test]
fn the_signal_is_named_as_it_was_received() {
    let mut run = init(["--delay-term=20ms", "--stop-signal=QUIT", "-r", "QUIT:INT"]).start();
    run.signal(SIGQUIT);
    run.message("received QUIT: draining for");
    run.message("drained for");
    run.received("main", SIGINT);
}

#[test]
fn messages_begin_with_the_name_that_the_init_was_called_by() {
    for name in ["dumb-init", "tini", "odd name", "drain-init"] {
        let setup = init(["--delay-term=10"]);
        let path = setup.link(name);
        let mut run = setup.called(path).start();
        run.signal(SIGTERM);
        let line = run.drain_begins();
        assert!(line.starts_with(&format!("[{name}] received TERM: ")), "{line}");
    }
    let setup = init(["--no-such"]);
    let path = setup.link("dumb-init");
    let finished = setup.called(path).finish();
    assert!(finished.stderr.starts_with("[dumb-init] "), "{}", finished.stderr);
}

#[test]
fn by_default_a_plain_dumb_init_command_line_stays_silent() {
    let mut run = init(["-r", "1:2"]).script(["fork child"]).start();
    for signal in [SIGHUP, SIGUSR1, SIGTERM] {
        run.signal(signal);
    }
    run.received("main", SIGTERM);
    run.tell("child", "exit 0");
    run.tell("main", "exit 9");
    assert_eq!(run.status(), 9);
    run.drain_output();
    assert_eq!(run.stderr(), "");
}

#[test]
fn as_pid_1_a_plain_dumb_init_command_line_stays_silent_too() {
    needs!(pid_namespace());
    let mut run = init(NONE).pid1().script(["burst 20"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "exit 0");
    assert_eq!(run.status(), 0);
    run.drain_output();
    assert_eq!(run.stderr(), "");
}

#[test]
fn verbose_adds_every_signal_and_delivery() {
    let mut run = init(["-v"]).start();
    let main = run.hello("main")[0];
    for (signal, name) in [(SIGUSR1, "USR1"), (SIGWINCH, "WINCH"), (SIGHUP, "HUP")] {
        run.signal(signal);
        run.received("main", signal);
        run.message(name);
    }
    run.signal(SIGUSR2);
    until("the delivery's line", || {
        let stderr = run.stderr();
        stderr.lines().any(|l| l.contains("USR2") && l.contains(&main.to_string()))
    });
    run.tell("main", "exit 3");
    assert_eq!(run.status(), 3);
    run.message("exited with status 3");
}

#[test]
fn verbose_names_real_time_signals() {
    let mut run = init(["-v"]).start();
    run.signal(outside(37));
    run.received("main", outside(37));
    run.message("received RTMIN+3\n");
}

#[test]
fn verbose_reports_a_rewrite() {
    let mut run = init(["-v", "-r", "USR1:USR2"]).start();
    run.signal(SIGUSR1);
    run.received("main", SIGUSR2);
    run.message("received USR1\n");
    run.message("sent USR2 to process group ");
}

#[test]
fn verbose_adds_every_reaped_child() {
    needs!(pid_namespace());
    let mut run = init(["-v"]).pid1().script(["orphan one"]).start();
    run.wait("one", "ready");
    let number = run.hello("one")[0];
    run.tell("one", "exit 5");
    run.message(&format!(" {number}"));
}

#[test]
fn quiet_leaves_errors() {
    // The steps of the drain are not errors.
    let mut run = init(["-q"]).drain_cmd(&[]).exits_on(SIGTERM, 0).start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    run.signal(SIGTERM);
    run.barrier();
    run.tell("drain", "exit 0");
    assert_eq!(run.status(), 0);
    run.drain_output();
    assert_eq!(run.stderr(), "");

    let finished = init(["-q"]).command(["/nowhere"]).finish();
    assert_eq!(finished.status, 127);
    assert_ne!(finished.stderr, "");
    assert_ne!(init(["-q", "--no-such"]).finish().stderr, "");
}

#[test]
fn quiet_leaves_the_failure_of_a_stop_command() {
    let mut run = init(["-q"]).stop_cmd(&["exit 3"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.message("the stop command failed with status 3: sending TERM to ");
    assert_eq!(run.stderr().lines().count(), 1, "{}", run.stderr());
}

#[test]
fn nothing_is_written_on_stdout() {
    let mut run = init(["-v", "--delay-term=20ms"]).exits_on(SIGTERM, 0).start();
    run.signal(SIGTERM);
    assert_eq!(run.status(), 0);
    run.drain_output();
    assert_eq!(run.stdout(), "");
}

#[test]
fn each_message_is_one_line_in_one_write() {
    // Each write is one datagram.
    let (reader, writer) = UnixDatagram::pair().unwrap();
    let mut run = init(["-v", "--delay-term=50ms"]).stderr(OwnedFd::from(writer)).start();
    run.signal(SIGUSR1);
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "exit 0");
    assert_eq!(run.status(), 0);
    reader.set_nonblocking(true).unwrap();
    let mut bytes = [0; 8192];
    let mut count = 0;
    while let Ok(n) = reader.recv(&mut bytes) {
        let line = String::from_utf8_lossy(&bytes[..n]).into_owned();
        if n == 0 {
            break;
        }
        assert!(line.starts_with(&init_name()), "{line:?}");
        assert!(line.ends_with('\n'), "{line:?}");
        assert_eq!(line.lines().count(), 1, "{line:?}");
        count += 1;
    }
    assert!(count >= 4, "only {count}");
}

// ------------------------------------------------------- they never block

#[test]
fn a_full_pipe_does_not_block_the_init() {
    scenarios::it_works_with_a_full_log(init(["-v", "--delay-term=20ms"]));
}

#[test]
fn a_full_pipe_does_not_block_pid_1() {
    needs!(pid_namespace());
    scenarios::it_works_with_a_full_log(init(["-v", "--delay-term=20ms"]).pid1());
}

#[test]
fn a_full_pipe_does_not_block_the_init_if_rwf_nowait_is_refused() {
    needs!(native("strace would make the emulator's own calls fail"), strace());
    for error in ["ENOSYS", "EOPNOTSUPP", "EPERM", "EINVAL"] {
        let (_reader, writer) = pipe();
        fill(&writer);
        let inject = format!("pwritev2:error={error}");
        scenarios::keeps_working(
            init(["-v", "--delay-term=20ms"]).failing(&[&inject]).stderr(writer),
        );

        // A message that fits is written.
        let mut run = init(["-v"]).failing(&[&inject]).start();
        run.signal(SIGUSR1);
        run.message("received USR1\n");
    }
}

#[test]
fn a_full_socket_does_not_block_the_init() {
    let (_reader, writer) = UnixStream::pair().unwrap();
    let writer = OwnedFd::from(writer);
    fill(&writer);
    scenarios::keeps_working(init(["-v", "--delay-term=20ms"]).stderr(writer));
}

#[test]
fn a_terminal_that_no_process_reads_does_not_block_the_init() {
    let (_master, slave) = terminal_pair();
    fill(&slave);
    scenarios::keeps_working(init(["-v", "--delay-term=20ms"]).stderr(slave));
}

/// A terminal that no process reads, filled to `missing` bytes below its capacity. It waits
/// until the kernel has moved bytes to the reader's side, so each run has the same level.
fn stalled_terminal(missing: usize) -> (OwnedFd, OwnedFd) {
    const WHAT_A_READER_IS_OFFERED: i32 = 4095;
    let full = |most| {
        let (master, slave) = terminal_pair();
        assert_eq!(fill_up_to(&slave, 4096, 64), 4096);
        until("the reader's side is full", || unread(&master) == WHAT_A_READER_IS_OFFERED);
        (fill_up_to(&slave, most, 16), master, slave)
    };
    let (whole, ..) = full(usize::MAX);
    let (filled, master, slave) = full(whole - missing);
    assert_eq!(filled, whole - missing);
    (master, slave)
}

#[test]
fn an_almost_full_terminal_does_not_block_the_init() {
    // At some levels a terminal takes the body of a short line and then blocks on its end.
    for missing in (0..100).step_by(8) {
        let (_master, slave) = stalled_terminal(missing);
        scenarios::keeps_working(init(["-v", "--delay-term=1ms"]).stderr(slave));
    }
}

#[test]
fn a_line_to_a_terminal_is_at_most_1024_bytes() {
    let (master, slave) = terminal_pair();
    let long = format!("/nowhere/{}", "x".repeat(4000));
    let finished = init(NONE).command([&long]).stderr(slave);
    let mut run = finished.spawn();
    assert_eq!(run.status(), 127);
    let mut written = Vec::new();
    // No process has the other end open, so the read fails after the last byte.
    let _ = fs::File::from(master).read_to_end(&mut written);
    let line = String::from_utf8_lossy(&written).replace("\r\n", "\n");
    assert!(line.starts_with(&init_name()), "{line}");
    assert!(line.ends_with('\n'), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.len() <= 1024, "{} bytes", line.len());
}

#[test]
fn a_full_disk_or_a_closed_stderr_does_not_matter() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    scenarios::keeps_working(init(["-v", "--delay-term=20ms"]).stderr(full));
    needs!(native("qemu-user opens its own there"));
    scenarios::keeps_working(init(["-v", "--delay-term=20ms"]).closing(2));
}

#[test]
fn messages_are_appended_to_a_file() {
    let dir = TempDir::new();
    let file = fs::File::create(dir.path("log")).unwrap();
    scenarios::keeps_working(init(["--delay-term=20ms"]).stderr(file));
    let log = fs::read_to_string(dir.path("log")).unwrap();
    assert!(log.contains("draining for") && log.contains("drained for"), "{log}");
}

#[test]
fn the_flags_of_stderr_are_not_changed() {
    let (reader, writer) = pipe();
    let (_master, slave) = terminal_pair();
    for stderr in [writer, slave] {
        let mut run = init(["-v", "--delay-term=20ms"]).stderr(stderr).start();
        let before = run.ask("main", "flags");
        run.signal(SIGUSR1);
        run.signal(SIGTERM);
        run.received("main", SIGTERM);
        assert_eq!(run.ask("main", "flags"), before);
        let stderr = before[2].trim_start_matches("2 ");
        let flags = i32::from_str_radix(stderr, 8).unwrap();
        assert_eq!(flags & libc::O_NONBLOCK, 0, "{before:?}");
    }
    drop(reader);
}

#[test]
fn nothing_is_written_to_a_stderr_that_is_open_for_reading() {
    let (reader, _writer) = pipe();
    let reader = OwnedFd::from(reader);
    scenarios::keeps_working(init(["-v", "--delay-term=20ms"]).stderr(reader.try_clone().unwrap()));
    assert_eq!(unread(&reader), 0);
}

// ------------------------------------------------------- help and version

#[test]
fn help_into_a_full_pipe_is_ended_by_a_signal() {
    needs!(native("the emulator's system calls are different"));
    for signal in [SIGTERM, SIGINT] {
        let (_reader, writer) = pipe();
        fill(&writer);
        let mut run = init(["--help"]).command(NONE).stdout(writer).spawn();
        until_in_write(run.child());
        kill(run.child(), signal);
        assert_eq!(run.status(), -signal);
    }
}

#[test]
fn help_into_a_full_pipe_is_ended_by_a_signal_as_pid_1() {
    needs!(pid_namespace(), native("the emulator's system calls are different"));
    for signal in [SIGTERM, SIGINT] {
        let (_reader, writer) = pipe();
        fill(&writer);
        let mut run = init(["--help"]).command(NONE).pid1().stdout(writer).spawn();
        let mut found = 0;
        until("the init", || {
            found = children(run.child()).first().copied().unwrap_or_default();
            found > 0
        });
        until_in_write(found);
        kill(found, signal);
        assert_eq!(run.status(), 128 + signal);
    }
}

#[test]
fn help_continues_after_a_short_write() {
    needs!(native("the emulator's system calls are different"));
    let (master, slave) = stalled_terminal(600);
    let mut run = init(["--help"]).command(NONE).stdout(slave).spawn();
    // A stop ends the write after the bytes that the terminal could take.
    until_in_write(run.child());
    until_state(run.child(), 'S');
    kill(run.child(), SIGSTOP);
    until_state(run.child(), 'T');
    kill(run.child(), SIGCONT);
    let mut written = Vec::new();
    // The read fails when no process has the other end open any more.
    let _ = fs::File::from(master).read_to_end(&mut written);
    assert_eq!(run.status(), 0);
    let written = String::from_utf8_lossy(&written).replace("\r\n", "\n");
    let whole = init(["--help"]).command(NONE).finish().stdout;
    assert_eq!(written.trim_start_matches('x'), whole);
}

#[test]
fn help_and_version_that_cannot_be_written_are_reported_as_a_failure() {
    let fails = |setup: Setup| {
        let mut run = setup.command(NONE).spawn();
        assert_eq!(run.status(), 1);
        run.message("cannot write to stdout: ");
        assert_eq!(run.stderr().lines().count(), 1, "{}", run.stderr());
    };
    let dir = TempDir::new();
    for option in ["--help", "--version"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        fails(init([option]).stdout(full));
        // The first ten bytes are written.
        let file = fs::File::create(dir.path("file")).unwrap();
        fails(init([option]).stdout(file).file_size(10));
        let (reader, writer) = pipe();
        drop(reader);
        fails(init([option]).stdout(writer));
    }
}

// ------------------------------------------------- signals raised by writing

#[test]
fn a_command_that_cannot_run_has_its_status_even_if_stderr_cannot_be_written() {
    let dir = TempDir::new();
    for (command, status) in [("/nowhere", 127), ("/tmp", 126)] {
        for remapped in [false, true] {
            let setup = || {
                let setup = init(NONE).command([command]);
                if remapped {
                    init(["-e", &status.to_string(), command]).command(NONE)
                } else {
                    setup
                }
            };
            let status = if remapped { 0 } else { status };
            let (reader, writer) = pipe();
            drop(reader);
            assert_eq!(setup().stderr(writer).spawn().status(), status, "a dead pipe");
            let file = fs::File::create(dir.path("log")).unwrap();
            let full = setup().stderr(file).file_size(0);
            assert_eq!(full.spawn().status(), status, "a file at its limit");
        }
    }
}

#[test]
fn it_works_with_a_dead_log_reader() {
    scenarios::it_works_with_a_dead_log_reader(init(["-v", "--delay-term=50ms"]));
}

#[test]
fn a_dead_log_reader_does_not_affect_pid_1_or_an_init_with_pipe_ignored() {
    needs!(pid_namespace());
    for setup in [init(["-v"]).pid1(), init(["-v"]).ignoring(SIGPIPE)] {
        let (reader, writer) = pipe();
        drop(reader);
        let mut run = setup.stderr(writer).start();
        run.signal(SIGUSR1);
        run.received("main", SIGUSR1);
        run.barrier();
        assert_eq!(run.signals("main"), [SIGUSR1, SIGWINCH]);
    }
}

#[test]
fn a_dead_socket_reader_does_no_harm() {
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    let mut run = init(["-v"]).stderr(OwnedFd::from(writer)).start();
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGUSR1, SIGWINCH]);
}

#[test]
fn a_pipe_signal_from_another_process_is_still_delivered() {
    let (reader, writer) = pipe();
    drop(reader);
    let mut run = init(["-v"]).stderr(writer).start();
    run.signal(SIGPIPE);
    run.received("main", SIGPIPE);
    run.signal(SIGXFSZ);
    run.received("main", SIGXFSZ);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGPIPE, SIGXFSZ, SIGWINCH]);
}

#[test]
fn a_pipe_signal_that_waits_while_the_init_writes_is_delivered() {
    let (reader, writer) = pipe();
    drop(reader);
    let (other, socket) = UnixStream::pair().unwrap();
    drop(other);
    for stderr in [writer, socket.into()] {
        let mut run = init(["-v"]).stderr(stderr).start();
        let pid = run.pid();
        kill(pid, SIGSTOP);
        until_state(pid, 'T');
        // HUP comes first, because its number is lower, and its message cannot be written.
        kill(pid, SIGPIPE);
        kill(pid, SIGHUP);
        kill(pid, SIGCONT);
        run.received("main", SIGPIPE);
        run.barrier();
        let signals = run.signals("main");
        assert_eq!(signals[..2], [SIGHUP, SIGPIPE]);
        assert_eq!(signals.iter().filter(|signal| **signal == SIGPIPE).count(), 1);
    }
}

#[test]
fn a_log_file_at_its_limit_does_no_harm() {
    let dir = TempDir::new();
    let file = fs::File::create(dir.path("log")).unwrap();
    let mut run = init(["-v"]).stderr(file).file_size(0).start();
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGUSR1, SIGWINCH]);
}

#[test]
fn verbose_reports_signals_that_are_not_delivered_and_signals_to_every_process() {
    needs!(pid_namespace());
    let setup = init(["-v", "--wait-all", "--rewrite=1:0"]).pid1();
    let mut run = setup.script(["orphan far session"]).start();
    run.wait("far", "ready");
    run.signal(SIGHUP);
    run.message("HUP is rewritten to 0: not sent");
    run.tell("main", "exit 7");
    run.message("TERM to every process");
    run.received("far", SIGTERM);
    run.tell("far", "exit 0");
    assert_eq!(run.status(), 7);
}

#[test]
fn all_stop_signals_are_named_if_another_signal_bypassed_the_drain() {
    let options = ["--delay-term=1s", "--stop-signal=TERM", "--stop-signal=INT"];
    let mut run = init(options).exits_on(SIGQUIT, 7).start();
    run.signal(SIGQUIT);
    run.message("sent QUIT without a drain, because the stop signal is INT or TERM");
    assert_eq!(run.status(), 7);
}
