//! Faults: what a machine at its limits, a strange parent or a harsh runtime
//! does to the init, each as PID 1 and not. A stop must still be a stop, as THE
//! STOP, STEP BY STEP and DIAGNOSTICS in the manual page have it.

#![allow(unsafe_code)]

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::ffi::CString;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use reliability::{End, Group, by_storm, light, storm};
use support::*;

/// Both places; the second, and what needs root in the first, where there is
/// root.
fn places(name: &str) -> &'static [Place] {
    if lacks(&format!("{name} as PID 1"), &[pid_namespace()]) {
        return &[Place::Ordinary];
    }
    &[Place::Ordinary, Place::Pid1]
}

fn at(place: Place, setup: Setup) -> Setup {
    match place {
        Place::Pid1 => setup.pid1(),
        _ => setup,
    }
}

/// Words before the init that change its surroundings.
fn shell(line: &str) -> [String; 4] {
    ["sh".into(), "-c".into(), format!("{line}; exec \"$@\""), "sh".into()]
}

fn in_mounts_of_its_own(line: &str) -> Vec<String> {
    ["unshare".into(), "--mount".into()].into_iter().chain(shell(line)).collect()
}

/// It delivers, it drains, it stops: with nothing lost and COMMAND's status.
fn works(mut run: Run, what: &str) {
    run.signal(SIGWINCH);
    run.received("main", SIGWINCH);
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    assert_eq!(run.signals_except_cont("main"), [SIGWINCH, SIGTERM], "{what}");
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7, "{what}");
}

/// Enters a control group before exec.
fn entering(setup: Setup, group: &Group) -> Setup {
    let procs = CString::new(group.procs().as_os_str().as_bytes()).unwrap();
    setup.before_exec(move || {
        // SAFETY: system calls only.
        unsafe {
            let file = libc::open(procs.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if libc::write(file, c"0".as_ptr().cast(), 1) != 1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    })
}

fn group(controller: &'static str, test: &str) -> Option<Group> {
    let group = Group::new(controller, test);
    if group.is_none() {
        skip(test, &format!("no control group of {controller} can be made"));
    }
    group
}

const UNPRIVILEGED: [&str; 7] = [
    "setpriv",
    "--reuid=54321",
    "--regid=54321",
    "--clear-groups",
    "--inh-caps=-all",
    "--bounding-set=-all",
    "--no-new-privs",
];

// ------------------------------------------------------- processes, memory

#[test]
fn where_command_cannot_be_forked_the_status_is_1_and_the_reason_is_said() {
    let name = test_name!();
    needs!(pid_namespace(), other_users());
    for &place in places(name) {
        let nproc = ["prlimit", "--nproc=1:1"].iter();
        let words = ["setpriv", "--reuid=54322", "--clear-groups"].iter().chain(nproc);
        let run = at(place, init::<_, &str>([]).for_any_user().wrapped(words)).finish();
        assert_eq!(run.status, 1, "RLIMIT_NPROC: {run:?}");
        assert!(run.stderr.contains("cannot fork: "), "{run:?}");
        assert_eq!(run.started, [""; 0]);

        let Some(group) = group("pids", name) else { return };
        // unshare itself is one of two.
        group.set("pids.max", if place == Place::Pid1 { "2" } else { "1" });
        let run = entering(at(place, init::<_, &str>([])), &group).finish();
        assert_eq!(run.status, 1, "pids cgroup: {run:?}");
        assert!(run.stderr.contains("cannot fork: "), "{run:?}");
    }
}

#[test]
fn where_a_stop_command_cannot_be_forked_the_signal_is_delivered_after_all() {
    let name = test_name!();
    needs!(pid_namespace(), other_users());
    for &place in places(name) {
        let setup = || at(place, init(["--stop-cmd=true"]));
        // Two: the init and COMMAND.
        let words = ["setpriv", "--reuid=54323", "--clear-groups", "prlimit", "--nproc=2:2"];
        let mut run = setup().for_any_user().wrapped(words).start();
        run.signal(SIGTERM);
        run.message("the stop command could not be started: ");
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);

        let Some(group) = group("pids", name) else { return };
        let mut run = entering(setup(), &group).start();
        group.set("pids.max", "1");
        run.signal(SIGTERM);
        run.message("the stop command could not be started: ");
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn where_a_drain_command_cannot_be_forked_the_drain_is_as_if_it_had_failed() {
    let name = test_name!();
    for &place in places(name) {
        let Some(group) = group("pids", name) else { return };
        let mut run = entering(at(place, init(["--drain-cmd=true"])), &group).start();
        group.set("pids.max", "1");
        run.signal(SIGTERM);
        run.message("cannot start the drain command: ");
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn without_memory_after_its_start_it_goes_on() {
    for &place in places(test_name!()) {
        let mut run = at(place, init(["-v", "-s", "--stop-cmd=true"])).start();
        // Not a page more than it has.
        limit(run.pid(), libc::RLIMIT_AS, 1);
        limit(run.pid(), libc::RLIMIT_DATA, 0);
        run.signal(SIGWINCH);
        run.received("main", SIGWINCH);
        run.tell("main", "burst 50");
        run.wait("main", "burst done");
        run.signal(SIGTERM);
        // The stop command has no memory to be started with.
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn a_command_that_the_kernel_kills_for_its_memory_ends_with_137() {
    needs!(pid_namespace());
    for pid_1 in [false, true] {
        let Some(group) = group("memory", test_name!()) else { return };
        group.limit_memory(32 << 20);
        let words = [init_path(), storm()].map(std::path::PathBuf::into_os_string);
        let mut start = light(words.into_iter().chain(["eat".into()]));
        start.pid_1 = pid_1;
        start.procs = Some(group.procs());
        assert_eq!(start.start().end(3 * PATIENCE), End::Exited(137), "PID 1: {pid_1}");
    }
}

// -------------------------------------------------------------- descriptors

#[test]
fn with_the_descriptors_at_their_limit_it_starts_and_stops() {
    for &place in places("with_the_descriptors_at_their_limit_it_starts_and_stops") {
        // One more than the standard ones, which programs are loaded with.
        let setup = init(["--delay-term=50ms"]);
        let probe = setup.probe_words("main", &[]);
        let words = ["--", "prlimit", "--nofile=256:"].map(Into::into).into_iter().chain(probe);
        let setup = setup.command(words).wrapped(["prlimit", "--nofile=4:256"]);
        works(at(place, setup).start(), "four descriptors");
    }
}

#[test]
fn with_no_descriptor_left_for_a_stop_command_the_signal_is_delivered_after_all() {
    for &place in places(test_name!()) {
        // With none, a dynamically linked shell cannot be loaded.
        let mut run = at(place, init(["--stop-cmd=kill -USR1 $MAINPID"])).start();
        limit(run.pid(), libc::RLIMIT_NOFILE, 0);
        run.signal(SIGTERM);
        run.received("main", SIGTERM);
        assert_eq!(run.signals_except_cont("main"), [SIGTERM]);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);

        // With four it can.
        let mut run = at(place, init(["--stop-cmd=kill -USR1 $MAINPID"])).start();
        limit(run.pid(), libc::RLIMIT_NOFILE, 4);
        run.signal(SIGTERM);
        run.received("main", SIGUSR1);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
        assert_eq!(run.signals("main"), [SIGUSR1]);
    }
}

#[test]
fn with_0_1_and_2_closed_in_every_combination_it_starts_and_stops() {
    for &place in places("with_0_1_and_2_closed_in_every_combination_it_starts_and_stops") {
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

// ------------------------------------------------------------------- stderr

fn flags_of(fd: &OwnedFd) -> i32 {
    // SAFETY: only asks.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }
}

/// It works, verbosely, with this as stderr, whose flags it leaves alone.
fn works_with_stderr(place: Place, stderr: OwnedFd, what: &str) {
    let kept = stderr.try_clone().unwrap();
    let before = flags_of(&kept);
    works(at(place, init(["-v", "--delay-term=50ms"]).stderr(stderr)).start(), what);
    assert_eq!(flags_of(&kept), before, "{what}");
}

#[test]
fn a_stderr_that_takes_nothing_never_holds_it_up() {
    for &place in places("a_stderr_that_takes_nothing_never_holds_it_up") {
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
        // SAFETY: an open terminal.
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
fn a_stderr_that_loses_its_reader_meanwhile_costs_nothing_but_the_lines() {
    for &place in places("a_stderr_that_loses_its_reader_meanwhile_costs_nothing_but_the_lines") {
        let (reader, writer) = pipe();
        let mut run = at(place, init(["-v", "--delay-term=50ms"]).stderr(writer)).start();
        run.signal(SIGWINCH);
        run.received("main", SIGWINCH);
        drop(reader);
        works_after(run, SIGWINCH);
    }
}

fn works_after(mut run: Run, before: i32) {
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    assert_eq!(run.signals_except_cont("main"), [before, SIGTERM]);
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7);
}

#[test]
fn another_writer_that_takes_the_room_before_the_write_does_not_hold_it_up() {
    needs!(native("the filter is the machine's own"), strace());
    for &place in places(test_name!()) {
        let (_pipe_reader, pipe) = pipe();
        let (_socket_reader, socket) = UnixStream::pair().unwrap();
        for writer in [pipe, socket.into()] {
            let other = writer.try_clone().unwrap();
            // There RWF_NOWAIT is refused.
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
    needs!(pid_namespace(), native("the filter is the machine's own"), other_users());
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
fn a_full_pipe_of_another_user_does_not_hold_it_up() {
    needs!(pid_namespace(), other_users());
    for &place in places(test_name!()) {
        let (_reader, writer) = pipe();
        fill(&writer);
        let setup = init(["-v", "--delay-term=50ms"]).for_any_user().wrapped(UNPRIVILEGED);
        works(at(place, setup.stderr(writer)).start(), "another user's full pipe");
    }
}

/// As PID 1 without /proc, behind this filter, with all its messages.
fn verbose_without_proc(filter: &str) -> Setup {
    scenarios::without_proc(init(["-v"])).wrapped(by_storm(&["seccomp", filter]))
}

#[test]
fn a_line_that_finds_no_room_is_dropped_and_not_tried_in_another_way() {
    // In another way it could wait, where somebody took the room meanwhile. Here
    // there is room, so that it would arrive.
    needs!(native("the filter is the machine's own"), pid_namespace());
    let (pipe_reader, pipe) = pipe();
    let (socket_reader, socket) = UnixStream::pair().unwrap();
    let readers = [pipe_reader, fs::File::from(OwnedFd::from(socket_reader))];
    for (mut reader, writer) in readers.into_iter().zip([pipe, socket.into()]) {
        // Without /proc the pipe cannot be opened anew.
        let setup = verbose_without_proc("no-room-in-stderr");
        works(setup.stderr(writer).start(), "no room");
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        assert_eq!(all, "");
    }
}

#[test]
fn where_it_may_not_send_to_a_socket_its_messages_arrive() {
    needs!(native("the filter is the machine's own"));
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
fn a_full_stderr_that_only_poll_knows_of_does_not_hold_it_up() {
    needs!(native("the filter is the machine's own"), pid_namespace());
    let (_socket_reader, socket) = UnixStream::pair().unwrap();
    let (_master, terminal) = terminal_pair();
    for stderr in [OwnedFd::from(socket), terminal] {
        fill(&stderr);
        // Without /proc the terminal cannot be opened anew, and takes no RWF_NOWAIT.
        let setup = verbose_without_proc("no-send-to-stderr");
        works(setup.stderr(stderr).start(), "full");
    }
}

// --------------------------------------------------------------- containers

#[test]
fn where_it_may_not_ask_what_stderr_is_its_messages_arrive() {
    needs!(native("the filter is the machine's own"));
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
fn where_it_may_not_wait_for_signals_it_says_so_once_and_goes_on_reaping() {
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
    until("five looks", || looks() >= before + 5);
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
fn where_it_may_not_wait_for_signals_they_have_effect_all_the_same() {
    needs!(native("the filter is the machine's own"));
    for &place in places(test_name!()) {
        let filtered = by_storm(&["seccomp", "no-sigtimedwait"]);
        let setup = init(["-v", "--delay-term=50ms"]).wrapped(filtered.clone());
        works(at(place, setup).start(), "no sigtimedwait");
        // Each message that fails raises a PIPE.
        let (reader, writer) = pipe();
        drop(reader);
        let setup = init(["-v"]).wrapped(filtered).stderr(writer);
        works(at(place, setup).start(), "no sigtimedwait, a pipe without a reader");
    }
}

#[test]
fn where_it_may_not_wait_for_signals_each_one_arrives_once() {
    needs!(native("the filter is the machine's own"));
    for &place in places(test_name!()) {
        let setup = init::<_, &str>([]).wrapped(by_storm(&["seccomp", "no-sigtimedwait"]));
        let mut run = at(place, setup).start();
        // The lowest is taken first: one that stayed pending would hide those after it.
        let signals = [SIGHUP, SIGTERM, SIGWINCH, 32, 34, 64];
        for signal in signals {
            run.signal(signal);
            run.received("main", signal);
        }
        assert_eq!(run.signals("main"), signals);
    }
}

#[test]
fn where_it_may_not_wait_for_signals_or_ask_for_them_it_reads_them() {
    needs!(native("the filter is the machine's own"));
    for &place in places(test_name!()) {
        for filter in ["no-sigpending", "no-sigpending-on-this-kernel"] {
            let filtered = || by_storm(&["seccomp", filter]);
            let setup = init(["-v", "--delay-term=50ms"]).wrapped(filtered());
            works(at(place, setup).start(), filter);
            // Each message that fails raises a PIPE.
            let (reader, writer) = pipe();
            drop(reader);
            let setup = init(["-v"]).wrapped(filtered()).stderr(writer);
            works(at(place, setup).start(), filter);
        }
    }
}

#[test]
fn where_it_reads_its_signals_every_one_arrives() {
    needs!(native("the filter is the machine's own"));
    for &place in places(test_name!()) {
        let setup = init::<_, &str>([]).wrapped(by_storm(&["seccomp", "no-sigpending"]));
        let mut run = at(place, setup).start();
        for signal in [SIGHUP, SIGTERM, SIGWINCH, 32, 34, 64] {
            run.signal(signal);
            run.received("main", signal);
        }
        // Of a real-time signal each one counts.
        for signal in [64, SIGUSR2, 64] {
            run.signal(signal);
        }
        for signal in [SIGUSR2, 64, 64] {
            run.received("main", signal);
        }
    }
}

#[test]
fn where_it_reads_its_signals_other_programs_do_not_see_how() {
    let name = test_name!();
    needs!(native("the filter is the machine's own"));
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
fn where_it_cannot_see_signals_at_all_it_says_so_and_ends_with_command() {
    needs!(native("the filter is the machine's own"));
    for &place in places(test_name!()) {
        let setup = init(["-s"]).wrapped(by_storm(&["seccomp", "no-signalfd"]));
        let mut run = at(place, setup).start();
        let message = run.message("signals");
        assert!(message.contains("COMMAND"), "what ends the container: {message}");
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

// --------------------------------------------------- sessions and process groups

#[test]
fn where_it_may_not_make_a_session_signals_still_reach_the_group() {
    needs!(native("the filter is the machine's own"));
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
fn where_it_may_not_make_a_session_what_command_sends_to_its_group_does_not_reach_it() {
    needs!(native("the filter is the machine's own"));
    // With the test's own group it would reach other tests: the init leads one.
    let setup = init(["--delay-term=60"]).wrapped(by_storm(&["seccomp", "no-setsid"])).in_group(0);
    let mut run = setup.start();
    run.tell("main", "kill 0 15");
    run.received("main", SIGTERM);
    run.barrier();
    assert_eq!(run.stderr(), "", "no drain has begun");
}

#[test]
fn where_it_may_not_make_a_session_kill_after_still_ends_what_a_stop_command_has_started() {
    needs!(native("the filter is the machine's own"), strace());
    let setup = init(["--kill-after=300ms"]).stop_cmd(&["fork helper"]);
    let mut run = setup.wrapped(by_storm(&["seccomp", "no-setsid"])).start();
    // The clock can run out meanwhile, but KILL comes when the helper is there.
    let held = Held::in_fork(run.pid());
    run.signal(SIGTERM);
    run.wait("helper", "ready");
    drop(held);
    assert_eq!(run.status(), 137);
    run.gone("stop");
    run.gone("helper");
}

#[test]
fn where_it_may_make_neither_a_session_nor_a_group_signals_reach_command() {
    needs!(native("the filter is the machine's own"));
    for &place in places(test_name!()) {
        let setup = init(["--delay-term=20ms"]).wrapped(by_storm(&["seccomp", "no-setpgid"]));
        works(at(place, setup).start(), "neither");
    }
}

// ------------------------------------------------------------------ tracing

#[test]
fn a_command_that_asks_to_be_traced_is_ended_by_the_stop_signal() {
    needs!(native("it knows no ptrace(2)"));
    for &place in places(test_name!()) {
        let mut run = at(place, init::<_, &str>([])).script(["traceme", "default 15"]).start();
        run.wait("main", "traceme 0");
        run.signal(SIGTERM);
        assert_eq!(run.status(), 128 + SIGTERM);
    }
}

#[test]
fn a_command_that_asks_to_be_traced_receives_every_signal() {
    needs!(native("it knows no ptrace(2)"));
    for &place in places(test_name!()) {
        let setup = init::<_, &str>([]).script(["traceme", "catch 10", "catch 34"]);
        let mut run = at(place, setup).start();
        for signal in [SIGUSR1, 34] {
            run.signal(signal);
            run.wait("main", &format!("caught {signal}"));
        }
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn a_command_that_asks_to_be_traced_does_not_stop_at_a_signal_that_means_nothing() {
    needs!(native("it knows no ptrace(2)"));
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
    needs!(native("it knows no ptrace(2)"));
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
    needs!(native("it knows no ptrace(2)"));
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
    needs!(native("it knows no ptrace(2)"));
    for &place in places(test_name!()) {
        let setup = init::<_, &str>([]).stop_cmd(&["traceme", "default 1"]);
        let mut run = at(place, setup).start();
        run.signal(SIGTERM);
        run.wait("stop", "ready");
        kill(run.pid_of("stop"), SIGHUP);
        // It has failed.
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn an_orphan_that_asks_to_be_traced_is_ended_by_wait_all() {
    needs!(subreaper(), native("it knows no ptrace(2)"));
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

#[test]
fn whatever_is_bound_over_dev_null_does_not_hold_a_stop_command_up() {
    needs!(pid_namespace());
    for &place in places(test_name!()) {
        for (make, what) in
            [("mkfifo", "a FIFO"), ("echo text >", "a file"), ("ln -s /dev/zero", "another device")]
        {
            let setup = init::<_, &str>([]).stop_cmd(&[]);
            let over = setup.path("over");
            let over = over.to_str().unwrap();
            let line = format!("{make} {over}; mount --bind {over} /dev/null");
            let mut run = at(place, setup.wrapped(in_mounts_of_its_own(&line))).start();
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
    let mut run = init::<_, &str>([]).in_session().wrapped(in_mounts_of_its_own(&line)).start();
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
        let setup = init(["--delay-term=50ms"]).stop_cmd(&[]).wrapped(in_mounts_of_its_own(line));
        let mut run = at(place, setup).start();
        assert_eq!(run.ask("main", "fds"), ["0", "1", "2"]);
        run.signal(SIGTERM);
        run.wait("stop", "ready");
        // There is no /dev/null: a pipe at its end.
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
                    ! touch /mnt/tmp/x 2>/dev/null || exit 94; \
                    exec chroot /mnt \"$@\"";
        let setup = init(["--delay-term=50ms", "--stop-cmd=kill -USR1 $MAINPID"]);
        let mut run = at(place, setup.wrapped(in_mounts_of_its_own(line))).start();
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
fn under_seccomp_filters_it_starts_drains_and_stops() {
    needs!(native("the filter is the machine's own"));
    for &place in places(test_name!()) {
        for filter in ["docker", "old-kernel", "old-runtime"] {
            let options = ["-s", "-v", "--delay-term=50ms", "--stop-cmd=kill -USR1 $MAINPID"];
            let (_reader, writer) = pipe();
            let setup = init(options).passing(writer, 9);
            let mut run = at(place, setup.wrapped(by_storm(&["seccomp", filter]))).start();
            assert_eq!(status_line(run.pid(), "Seccomp"), "2");
            // The one that is passed is COMMAND's alone, once the loop runs.
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

fn open_descriptors(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let mut numbers: Vec<i32> =
        entries.map(|entry| entry.file_name().to_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// Waits until these are all that a process has open: a message is written by a
/// descriptor of its own, for a moment.
fn only_open(pid: i32, descriptors: &[i32]) {
    until(&format!("no descriptor but {descriptors:?}"), || open_descriptors(pid) == descriptors);
}

#[test]
fn without_proc_on_an_old_kernel_no_descriptor_is_kept_open() {
    needs!(pid_namespace(), native("the filter is the machine's own"));
    for &place in places(test_name!()) {
        let (_reader, writer) = pipe();
        let mut words = in_mounts_of_its_own("while umount -l /proc 2>/dev/null; do :; done");
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
fn on_an_old_kernel_no_descriptor_is_kept_open_however_many_there_are() {
    needs!(native("the filter is the machine's own"));
    for &place in places(test_name!()) {
        // More than the kernel names at once to the init.
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
fn on_an_old_kernel_it_closes_what_proc_lists_and_tries_no_other_number() {
    needs!(native("the filter is the machine's own"), strace());
    let dir = TempDir::new();
    let trace = dir.path("trace");
    let strace = ["strace", "-qq", "--trace=prlimit64", "-o", trace.to_str().unwrap()];
    for words in [vec![], by_storm(&["seccomp", "old-kernel"])] {
        let words = words.into_iter().chain(strace.map(String::from));
        assert_eq!(init::<_, &str>([]).wrapped(words).command(["true"]).finish().status, 0);
        // The limit says how far to try where there is no /proc.
        let asked = fs::read_to_string(&trace).unwrap();
        assert!(!asked.contains("RLIMIT_NOFILE"), "{asked}");
    }
}

// ------------------------------------------------------------- inheritances

#[test]
fn who_writes_to_stdin_learns_that_command_has_closed_it() {
    needs!(native("it has descriptors of its own"));
    for &place in places(test_name!()) {
        let (reader, writer) = pipe();
        let setup = init(["-v", "--delay-term=50ms"]).stdin(reader);
        let mut run = at(place, setup.drain_cmd(&[])).start();
        run.barrier();
        // With messages, too, which are opened for.
        only_open(run.pid(), &[1, 2]);
        run.tell("main", "close 0");
        run.wait("main", "close 0");
        if place == Place::Ordinary {
            until("nobody can read it", || {
                let mut poll = libc::pollfd { fd: writer.as_raw_fd(), events: 0, revents: 0 };
                // SAFETY: one descriptor, as said.
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
fn it_keeps_stdin_only_where_that_is_its_controlling_terminal() {
    needs!(native("it has descriptors of its own"));
    for (terminal, kept) in [(Terminal::Leader, &[0, 1, 2][..]), (Terminal::Foreign, &[1, 2])] {
        let mut run = init::<_, &str>([]).terminal(terminal).start();
        run.barrier();
        only_open(run.pid(), kept);
    }
}

#[test]
fn whatever_dispositions_and_mask_it_inherits_it_works_and_hands_them_on() {
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
fn in_a_working_directory_that_is_gone_it_starts_drains_and_stops() {
    for &place in places("in_a_working_directory_that_is_gone_it_starts_drains_and_stops") {
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
fn without_any_argument_not_even_its_name_it_says_what_is_missing() {
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

// --------------------------------------------------------------------- time

#[test]
fn a_deadline_that_passes_while_it_is_stopped_is_acted_on_at_cont() {
    for &place in places("a_deadline_that_passes_while_it_is_stopped_is_acted_on_at_cont") {
        let mut run = at(place, init(["--delay-term=200ms"])).start();
        let pid = run.pid();
        run.signal(SIGTERM);
        run.message("draining");
        kill(pid, SIGSTOP);
        until_state(pid, 'T');
        // Nothing happens while the deadline passes: there is nothing to wait for.
        thread::sleep(ms(300));
        assert_eq!(run.signals("main"), [0; 0]);
        kill(pid, SIGCONT);
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

#[test]
fn a_deadline_that_passes_while_the_container_is_frozen_is_acted_on_when_it_thaws() {
    let name = test_name!();
    needs!(pid_namespace());
    for &place in places(name) {
        let Some(group) = group("freezer", name) else { return };
        let mut run = entering(at(place, init(["--delay-term=200ms"])), &group).start();
        run.signal(SIGTERM);
        run.message("draining");
        group.freeze(true);
        until("frozen", || group.is_frozen());
        thread::sleep(ms(300));
        assert_eq!(run.signals("main"), [0; 0]);
        group.freeze(false);
        run.received("main", SIGTERM);
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 7);
    }
}

/// A wall clock that jumps cannot matter to who does not read it. A program's
/// clock calls do not reach strace, as the vDSO answers them; qemu-user has no
/// vDSO, so that its own trace shows them all.
#[test]
fn no_clock_but_the_monotonic_one_is_read() {
    let name = test_name!();
    let emulator = match (std::env::consts::ARCH, emulated()) {
        ("x86_64", false) => "qemu-x86_64-static",
        ("aarch64", false) => "qemu-aarch64-static",
        _ => return skip(name, "the emulator is started by the test itself"),
    };
    if Command::new(emulator).arg("--version").output().is_err() {
        return skip(name, &format!("{emulator} is not installed"));
    }
    let options = ["-v", "--delay-term=100ms", "--kill-after=1s"];
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
    assert!(!calls.is_empty(), "the trace shows no clock at all:\n{trace}");
    for call in &calls {
        assert!(call.contains("clock_gettime(CLOCK_MONOTONIC,"), "{call}");
    }
    eprintln!("{} calls, all of CLOCK_MONOTONIC", calls.len());
}

// --------------------------------------------------------------------- exec

#[test]
fn what_cannot_be_executed_ends_with_126_or_127_and_a_script_is_run_by_the_shell() {
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
fn an_argument_list_as_long_as_may_be_reaches_command() {
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
                assert_eq!(status.code(), Some(0), "COMMAND got a list that the init had");
                true
            }
            Err(error) if error.raw_os_error() == Some(libc::E2BIG) => false,
            Err(error) => panic!("{error}"),
        }
    };
    let (mut least, mut most) = (0, 131_000);
    // A tail of words makes room for it to be found below one word's limit.
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

// ----------------------------------------------- what coverage found untested

#[test]
fn what_is_not_delivered_and_what_goes_to_every_process_is_said_verbosely() {
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
fn all_stop_signals_are_named_where_another_one_bypassed_the_drain() {
    let options = ["--delay-term=1s", "--stop-signal=TERM", "--stop-signal=INT"];
    let mut run = init(options).exits_on(SIGQUIT, 7).start();
    run.signal(SIGQUIT);
    run.message("sent QUIT without a drain, because the stop signal is INT or TERM");
    assert_eq!(run.status(), 7);
}
