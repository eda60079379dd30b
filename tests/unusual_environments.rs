//! Mounts, users, descriptors, signals and arguments that few containers have.

#![allow(unsafe_code)]

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;

use reliability::*;
use support::*;

#[test]
fn with_0_1_and_2_closed_in_every_combination_it_starts_and_stops() {
    for &place in places(test_name!()) {
        for closed in 0_u32..8 {
            let is_closed = |fd: &u32| closed & (1 << fd) != 0;
            let redirections: Vec<String> =
                (0..3).filter(is_closed).map(|fd| format!("{fd}>&-")).collect();
            let line = format!("exec {}", redirections.join(" "));
            let setup = init(["-v", "--delay-term=50ms", "--stop-cmd=kill -USR1 $MAINPID"]);
            let mut run = at(place, setup.wrapped(shell(&line))).start();
            let open: Vec<String> =
                (0..3).filter(|fd| !is_closed(fd)).map(|fd| fd.to_string()).collect();
            assert_eq!(run.ask("main", "fds"), open);
            run.signal(SIGTERM);
            run.received("main", SIGUSR1);
            run.tell("main", "exit 7");
            assert_eq!(run.status(), 7, "closed: {closed:03b}");
            assert_eq!(run.stdout(), "", "closed: {closed:03b}");
        }
    }
}

#[test]
fn a_mount_over_dev_null_does_not_delay_a_stop_command() {
    needs!(pid_namespace());
    for &place in places(test_name!()) {
        for (make, what) in
            [("mkfifo", "a FIFO"), ("echo text >", "a file"), ("ln -s /dev/zero", "another device")]
        {
            let setup = init::<_, &str>([]).stop_cmd(&[]);
            let over = setup.path("over");
            let over = over.to_str().unwrap();
            let line = format!("{make} {over}; mount --bind {over} /dev/null");
            let mut run = at(place, setup.wrapped(in_its_own_mounts(&line))).start();
            run.signal(SIGTERM);
            run.wait("stop", "ready");
            assert_eq!(run.ask("stop", "stdin"), ["0 true"], "{what}");
            run.tell("stop", "exit 1");
            run.received("main", SIGTERM);
            run.tell("main", "exit 7");
            assert_eq!(run.status(), 7);
        }
    }
}

#[test]
fn a_strange_terminal_as_dev_tty_does_not_become_its_controlling_terminal() {
    needs!(pid_namespace());
    let (_master, slave) = terminal_pair();
    let strange = fs::read_link(format!("/proc/self/fd/{}", slave.as_raw_fd())).unwrap();
    let line = format!("mount --bind {} /dev/tty", strange.display());
    let mut run = init::<_, &str>([]).in_session().wrapped(in_its_own_mounts(&line)).start();
    for signal in [SIGTSTP, SIGCONT, SIGWINCH] {
        run.signal(signal);
        run.received("main", signal);
    }
    assert_eq!(stat(run.pid()).unwrap().terminal, 0);
}

#[test]
fn without_proc_and_dev_it_starts_drains_and_stops() {
    needs!(pid_namespace());
    for &place in places(test_name!()) {
        let line = "while umount -l /proc 2>/dev/null; do :; done; mount -t tmpfs none /dev";
        let setup = init(["--delay-term=50ms"]).stop_cmd(&[]).wrapped(in_its_own_mounts(line));
        let mut run = at(place, setup).start();
        assert_eq!(run.ask("main", "fds"), ["0", "1", "2"]);
        run.signal(SIGTERM);
        run.wait("stop", "ready");
        // /dev/null is missing, so stdin is a pipe at end of file.
        assert_eq!(run.ask("stop", "stdin"), ["0 true"]);
        run.tell("stop", "exit 1");
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn with_a_read_only_root_it_starts_drains_and_stops() {
    needs!(pid_namespace());
    for &place in places(test_name!()) {
        let line = "mount --rbind / /mnt && cd /mnt && mount -o remount,bind,ro /mnt && \
                    ! touch /mnt/x 2>/dev/null || exit 94; \
                    exec chroot /mnt \"$@\"";
        let setup = init(["--delay-term=50ms", "--stop-cmd=kill -USR1 $MAINPID"]);
        let mut run = at(place, setup.wrapped(in_its_own_mounts(line))).start();
        run.signal(SIGTERM);
        run.received("main", SIGUSR1);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn without_capabilities_privileges_or_a_known_user_it_starts_drains_and_stops() {
    needs!(pid_namespace(), other_users());
    for &place in places(test_name!()) {
        let options = ["-s", "--wait-all", "--delay-term=50ms", "--stop-cmd=kill -USR1 $MAINPID"];
        let mut run = at(place, init(options).for_any_user().wrapped(UNPRIVILEGED)).start();
        let pid = run.pid();
        assert_eq!(status_line(pid, "CapEff").trim_matches('0'), "");
        assert_eq!(status_line(pid, "NoNewPrivs"), "1");
        run.signal(SIGTERM);
        run.received("main", SIGUSR1);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn the_writer_of_stdin_notices_that_command_has_closed_it() {
    needs!(native("the emulator has descriptors of its own"));
    for &place in places(test_name!()) {
        let (reader, writer) = pipe();
        let setup = init(["-v", "--delay-term=50ms"]).stdin(reader);
        let mut run = at(place, setup.drain_cmd(&[])).start();
        run.barrier();
        // The init opens stderr again for each message, and closes it.
        only_open(run.pid(), &[1, 2]);
        run.tell("main", "close 0");
        run.wait("main", "close 0");
        if place == Place::Ordinary {
            until("no process can read it", || {
                let mut poll = libc::pollfd { fd: writer.as_raw_fd(), events: 0, revents: 0 };
                // SAFETY: poll is one valid entry.
                unsafe { libc::poll(&raw mut poll, 1, 0) };
                poll.revents & libc::POLLERR != 0
            });
        }
        run.signal(SIGTERM);
        run.wait("drain", "ready");
        assert_eq!(run.ask("drain", "stdin"), ["0 true"]);
        run.tell("drain", "exit 0");
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn it_keeps_stdin_only_if_that_is_its_controlling_terminal() {
    needs!(native("the emulator has descriptors of its own"));
    for (terminal, kept) in [(Terminal::Leader, &[0, 1, 2][..]), (Terminal::Foreign, &[1, 2])] {
        let mut run = init::<_, &str>([]).terminal(terminal).start();
        run.barrier();
        only_open(run.pid(), kept);
    }
}

#[test]
fn it_works_with_any_inherited_dispositions_and_mask_and_passes_them_to_command() {
    for &place in places(test_name!()) {
        // KILL and STOP cannot be ignored.
        let all: Vec<String> =
            (1..=64).filter(|s| ![SIGKILL, SIGSTOP].contains(s)).map(|s| s.to_string()).collect();
        for (act, ignored) in [
            ("ignoring-chld", vec![SIGCHLD.to_string()]),
            ("ignoring-all", all),
            ("blocking-all", vec![]),
        ] {
            let mut run = at(place, init(["-s"]).wrapped(by_storm(&[act]))).start();
            assert_eq!(run.ask("main", "blocked"), [""; 0], "{act}");
            assert_eq!(run.ask("main", "ignored"), ignored, "{act}");
            run.tell("main", "burst 20");
            run.wait("main", "burst done");
            let pid = run.pid();
            until("no zombie", || {
                children(pid).iter().all(|&pid| stat(pid).is_none_or(|stat| stat.state != 'Z'))
            });
            works(run, act);
        }
    }
}

#[test]
fn in_a_removed_working_directory_it_starts_drains_and_stops() {
    for &place in places(test_name!()) {
        let setup = init(["--delay-term=50ms", "--stop-cmd=kill -USR1 $MAINPID"]);
        let directory = setup.path("gone");
        fs::create_dir(&directory).unwrap();
        let setup = setup.cwd(&directory).wrapped(shell("rmdir \"$PWD\""));
        let mut run = at(place, setup).start();
        assert!(!directory.exists());
        run.signal(SIGTERM);
        run.message("again, using /");
        run.received("main", SIGUSR1);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn without_any_argument_even_its_name_it_reports_what_is_missing() {
    for &place in places(test_name!()) {
        if emulated() {
            return skip("an empty argument list", "the emulator has arguments of its own");
        }
        let setup = init::<_, &str>([]).command::<&str>([]);
        let run = at(place, setup.wrapped(by_storm(&["without-arguments"]))).finish();
        assert_eq!(run.status, 1);
        assert!(run.stderr.starts_with("[drain-init] no COMMAND ("), "{run:?}");
    }
}

#[test]
fn a_file_that_cannot_be_executed_gives_126_or_127_and_a_script_is_run_by_the_shell() {
    let name = test_name!();
    let dir = TempDir::new();
    let file = |name: &str, text: &[u8]| {
        executable(&dir.path(name), text);
        dir.path(name)
    };
    let script = file("script", b"exit $1\n");
    let interpreter = file("interpreter", b"#!/nonexistent/interpreter\n");
    let empty = file("empty", b"");
    let elf = file("elf", b"\x7fELF and no more of it");
    let not_executable = dir.path("plain");
    fs::write(&not_executable, "x").unwrap();
    for &place in places(name) {
        let run = |path: &Path, more: &[&str]| {
            let words = [path.as_os_str()].into_iter().chain(more.iter().map(AsRef::as_ref));
            at(place, init::<_, &str>([]).command(words)).finish()
        };
        assert_eq!(run(&script, &["42"]).status, 42);
        assert_eq!(run(&empty, &[]).status, 0);
        for (path, status) in [
            (interpreter.as_path(), 127),
            (Path::new("/nonexistent"), 127),
            (Path::new("/dev/null/x"), 127),
            (Path::new("no-such-program-in-path"), 127),
            (Path::new("/tmp"), 126),
            (not_executable.as_path(), 126),
            (elf.as_path(), 126),
        ] {
            let end = run(path, &[]);
            assert_eq!(end.status, status, "{}: {end:?}", path.display());
            assert!(end.stderr.contains("cannot run '"), "{end:?}");
        }
    }
}

#[test]
fn the_longest_possible_argument_list_reaches_command() {
    if emulated() {
        return skip("an argument list at ARG_MAX", "the emulator needs room of its own");
    }
    let word = "x".repeat(100_000);
    // The largest filler with which the init itself can still be executed.
    let works = |filler: usize| {
        let mut command = Command::new(init_path());
        command.args(["--", "/bin/true"]).args(std::iter::repeat_n(&word, 20));
        match command.arg("y".repeat(filler)).status() {
            Ok(status) => {
                assert_eq!(status.code(), Some(0), "COMMAND runs with the init's list");
                true
            }
            Err(error) if error.raw_os_error() == Some(libc::E2BIG) => false,
            Err(error) => panic!("{error}"),
        }
    };
    let (mut least, mut most) = (0, 131_000);
    // The words before it use up most of ARG_MAX, so the limit is within one more word.
    if works(most) {
        return skip("an argument list at ARG_MAX", "the stack's limit is not eight megabytes");
    }
    while most - least > 1 {
        let middle = least.midpoint(most);
        if works(middle) {
            least = middle;
        } else {
            most = middle;
        }
    }
    assert!(works(least));
}
