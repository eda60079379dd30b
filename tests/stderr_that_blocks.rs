//! A stderr that is full, closed or slow never blocks drain-init.

#![allow(unsafe_code)]

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use reliability::*;
use support::*;

fn flags_of(fd: &OwnedFd) -> i32 {
    // SAFETY: F_GETFL changes nothing.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }
}

/// The init works with `-v` and this stderr, and does not change the flags of stderr.
fn works_with_stderr(place: Place, stderr: OwnedFd, what: &str) {
    let kept = stderr.try_clone().unwrap();
    let before = flags_of(&kept);
    works(at(place, init(["-v", "--delay-term=50ms"]).stderr(stderr)).start(), what);
    assert_eq!(flags_of(&kept), before, "{what}");
}

#[test]
fn a_full_stderr_never_blocks_it() {
    for &place in places(test_name!()) {
        let (_reader, writer) = pipe();
        fill(&writer);
        works_with_stderr(place, writer, "a full pipe");

        let (reader, writer) = pipe();
        drop(reader);
        works_with_stderr(place, writer, "a pipe without a reader");

        let (_reader, writer) = UnixStream::pair().unwrap();
        let writer = OwnedFd::from(writer);
        fill(&writer);
        works_with_stderr(place, writer, "a full socket");

        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        works_with_stderr(place, full.into(), "/dev/full");

        let pty = nix::pty::openpty(None, None).unwrap();
        // As Ctrl-S does.
        // SAFETY: the terminal is open.
        assert_eq!(unsafe { libc::tcflow(pty.slave.as_raw_fd(), libc::TCOOFF) }, 0);
        works_with_stderr(place, pty.slave, "a stopped terminal");

        let pty = nix::pty::openpty(None, None).unwrap();
        drop(pty.master);
        works_with_stderr(place, pty.slave, "a terminal that has hung up");

        let dir = TempDir::new();
        let file = OwnedFd::from(fs::File::create(dir.path("log")).unwrap());
        let setup = init(["-v", "--delay-term=50ms"]).stderr(file);
        let setup = setup.wrapped(["prlimit", "--fsize=0:0"]);
        works(at(place, setup).start(), "a file at its limit");
        assert_eq!(fs::read(dir.path("log")).unwrap(), b"");
    }
}

#[test]
fn a_stderr_that_loses_its_reader_loses_only_the_messages() {
    for &place in places(test_name!()) {
        let (reader, writer) = pipe();
        let mut run = at(place, init(["-v", "--delay-term=50ms"]).stderr(writer)).start();
        run.signal(SIGWINCH);
        run.received("main", SIGWINCH);
        drop(reader);
        works_after(run, SIGWINCH);
    }
}

#[test]
fn another_writer_that_fills_the_pipe_before_the_write_does_not_block_it() {
    needs!(native("the filter would apply to the emulator"), strace());
    for &place in places(test_name!()) {
        let (_pipe_reader, pipe) = pipe();
        let (_socket_reader, socket) = UnixStream::pair().unwrap();
        for writer in [pipe, socket.into()] {
            let other = writer.try_clone().unwrap();
            // This filter refuses RWF_NOWAIT.
            let setup = init(["-v"]).wrapped(by_storm(&["seccomp", "old-kernel"]));
            let mut run = at(place, setup.stderr(writer)).start();
            let pid = run.pid();
            let held = Held::before_write(pid);
            run.signal(SIGUSR1);
            until_in_write(pid);
            fill(&other);
            drop(held);
            run.received("main", SIGUSR1);
            works_after(run, SIGUSR1);
        }
    }
}

#[test]
fn a_pipe_of_another_user_is_written_on_an_old_kernel_while_it_is_less_than_half_full() {
    needs!(pid_namespace(), native("the filter would apply to the emulator"), other_users());
    for &place in places(test_name!()) {
        for (filled, is_written) in [(0, true), (30_000, true), (40_000, false), (65_536, false)] {
            let (mut reader, writer) = pipe();
            assert_eq!(fill_up_to(&writer, filled, 4096), filled);
            let words = UNPRIVILEGED.map(String::from).into_iter();
            let words = words.chain(by_storm(&["seccomp", "old-kernel"]));
            let setup = init(["-v"]).for_any_user().wrapped(words).stderr(writer);
            works(at(place, setup).start(), "another user");
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            let lines = String::from_utf8_lossy(&all[filled..]);
            assert_eq!(lines.contains("WINCH"), is_written, "{filled}: {lines}");
            assert!(is_written || lines.is_empty(), "{filled}: {lines}");
        }
    }
}

#[test]
fn a_full_pipe_of_another_user_does_not_block_it() {
    needs!(pid_namespace(), other_users());
    for &place in places(test_name!()) {
        let (_reader, writer) = pipe();
        fill(&writer);
        let setup = init(["-v", "--delay-term=50ms"]).for_any_user().wrapped(UNPRIVILEGED);
        works(at(place, setup.stderr(writer)).start(), "another user's full pipe");
    }
}

/// As PID 1 without /proc, under this filter, with `-v`.
fn verbose_without_proc(filter: &str) -> Setup {
    scenarios::without_proc(init(["-v"])).wrapped(by_storm(&["seccomp", filter]))
}

#[test]
fn a_message_that_does_not_fit_is_dropped_and_not_written_in_another_way() {
    // Another way of writing could block if another process had filled the pipe. Here
    // the pipe has room, so such a message would arrive.
    needs!(native("the filter would apply to the emulator"), pid_namespace());
    let (pipe_reader, pipe) = pipe();
    let (socket_reader, socket) = UnixStream::pair().unwrap();
    let readers = [pipe_reader, fs::File::from(OwnedFd::from(socket_reader))];
    for (mut reader, writer) in readers.into_iter().zip([pipe, socket.into()]) {
        // Without /proc the pipe cannot be opened again.
        let setup = verbose_without_proc("no-room-in-stderr");
        works(setup.stderr(writer).start(), "no room");
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        assert_eq!(all, "");
    }
}

#[test]
fn if_it_may_not_send_to_a_socket_its_messages_still_arrive() {
    needs!(native("the filter would apply to the emulator"));
    for &place in places(test_name!()) {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        let setup = init(["-v"]).wrapped(by_storm(&["seccomp", "no-send-to-stderr"]));
        works(at(place, setup.stderr(OwnedFd::from(writer))).start(), "no send");
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        assert!(all.contains("received WINCH"), "{all}");
    }
}

#[test]
fn a_full_stderr_that_only_poll_reports_does_not_block_it() {
    needs!(native("the filter would apply to the emulator"), pid_namespace());
    let (_socket_reader, socket) = UnixStream::pair().unwrap();
    let (_master, terminal) = terminal_pair();
    for stderr in [OwnedFd::from(socket), terminal] {
        fill(&stderr);
        // Without /proc the terminal cannot be opened again, and it refuses RWF_NOWAIT.
        let setup = verbose_without_proc("no-send-to-stderr");
        works(setup.stderr(stderr).start(), "full");
    }
}
