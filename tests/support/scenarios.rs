//! Scenarios: what any init is expected to do. The tests of drain-init and the
//! compliance tests set up an init and run these with it.
//!
//! A scenario asserts what all inits have in common. It returns what may differ, for
//! the caller to check. A failure names the init (see [`Run::story`]).

use super::{
    Pid, Run, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1,
    SIGUSR2, SIGWINCH, Setup, TempDir, children, executable, fill, kill, ms, pipe, probe_path,
    stat, took, until, until_end, until_state,
};
use std::ffi::OsString;
use std::time::Instant;

// ------------------------------------------------------------- exit status

/// COMMAND exits with this status. Returns the init's status.
pub fn when_command_exits(setup: Setup, status: i32) -> i32 {
    let mut run = setup.start();
    run.tell("main", &format!("exit {status}"));
    run.status()
}

/// COMMAND is killed by this signal. Returns the init's status.
pub fn when_command_is_killed(setup: Setup, signal: i32) -> i32 {
    let mut run = setup.start();
    run.tell("main", &format!("die {signal}"));
    run.status()
}

// ---------------------------------------------------------------- delivery

/// Each of these signals reaches COMMAND, unchanged and once.
pub fn signals_reach_command(setup: Setup, signals: &[i32]) {
    let mut run = setup.start();
    for &signal in signals {
        run.signal(signal);
        run.received("main", signal);
    }
    assert_eq!(run.signals("main"), signals, "{}", run.story());
}

/// Each of these signals reaches COMMAND and a child in its group.
pub fn signals_reach_the_group(setup: Setup, signals: &[i32]) {
    let mut run = setup.script(["fork child"]).start();
    run.wait("child", "ready");
    assert_eq!(run.hello("child")[2], run.hello("main")[0], "{}", run.story());
    for &signal in signals {
        run.signal(signal);
        run.received("main", signal);
        run.received("child", signal);
    }
}

/// Each of these signals reaches COMMAND, but not its child.
pub fn signals_reach_command_alone(setup: Setup, signals: &[i32]) {
    let mut run = setup.script(["fork child"]).start();
    run.wait("child", "ready");
    for &signal in signals {
        run.signal(signal);
        run.received("main", signal);
    }
    run.ping("child");
    assert_eq!(run.signals("child"), [], "{}", run.story());
    // The child exits when its connection is closed.
}

/// With a stderr that accepts nothing, signals still arrive, and the init exits with
/// COMMAND's status.
pub fn keeps_working(setup: Setup) {
    let mut run = setup.start();
    for _ in 0..20 {
        run.signal(SIGUSR1);
        run.received("main", SIGUSR1);
    }
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7);
}

/// stderr is a full pipe, and its reader has stopped reading.
pub fn it_works_with_a_full_log(setup: Setup) {
    let (_reader, writer) = pipe();
    fill(&writer);
    keeps_working(setup.stderr(writer));
}

/// No process reads stderr any more, so a write to it raises PIPE.
pub fn it_works_with_a_dead_log_reader(setup: Setup) {
    // With dumb-init -v, one WINCH kills COMMAND here, and dumb-init loops forever.
    let (reader, writer) = pipe();
    drop(reader);
    let mut run = setup.stderr(writer).start();
    for signal in [SIGWINCH, SIGUSR1, SIGWINCH] {
        run.signal(signal);
        run.received("main", signal);
    }
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.ping("main");
    assert_eq!(run.signals_except_cont("main"), [SIGWINCH, SIGUSR1, SIGWINCH, SIGTERM]);
    run.tell("main", "exit 4");
    assert_eq!(run.status(), 4);
}

/// COMMAND exits on TERM, and the init prints nothing. Returns the init's status.
pub fn a_stop_without_a_word(setup: Setup, status: i32) -> i32 {
    let mut run = setup.exits_on(SIGTERM, status).start();
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.signal(SIGTERM);
    let status = run.status();
    run.drain_output();
    assert_eq!((run.stdout(), run.stderr()), (String::new(), String::new()), "{}", run.story());
    status
}

/// COMMAND is interrupted in this way during the drain, and exits. Returns the init's
/// status.
pub fn an_interrupt_in_the_drain(setup: Setup, interrupt: fn(&mut Run)) -> i32 {
    let mut run = setup.exits_on(SIGINT, 130).start();
    run.signal(SIGTERM);
    run.drain_begins();
    interrupt(&mut run);
    run.status()
}

// ----------------------------------------------------- remaining processes

/// COMMAND exits by itself, and then the init does. Returns the signals that the init
/// sent to a child of COMMAND that is still running. Needs a place for orphans.
pub fn signals_to_what_command_leaves(setup: Setup) -> Vec<i32> {
    let mut run = setup.script(["fork child"]).start();
    run.wait("child", "ready");
    run.tell("main", "exit 3");
    assert_eq!(run.status(), 3, "{}", run.story());
    run.ping("child");
    run.signals("child")
}

/// COMMAND exits on TERM, as npm and sh do, and a server in its group keeps running.
/// Returns the stop signals that the server received by the time the init has exited
/// or waits for it. Needs a host, because the server may outlive the init.
pub fn what_a_remaining_server_receives(setup: Setup) -> Vec<i32> {
    let mut run = setup.script(["fork server"]).start();
    run.wait("server", "ready");
    let init = run.pid();
    kill(init, SIGTERM);
    run.received("main", SIGTERM);
    // A second TERM would be lost while this one is pending.
    run.received("server", SIGTERM);
    run.tell("main", "exit 3");
    run.reaped("main");
    rests_or_ends(&mut run, init);
    run.ping("server");
    stop_signals(&mut run, "server")
}

/// The stop signals that a process received: all except CONT and the signal of
/// [`rests_or_ends`].
fn stop_signals(run: &mut Run, name: &str) -> Vec<i32> {
    let mut all = run.signals_except_cont(name);
    all.retain(|signal| *signal != SIGWINCH);
    all
}

/// The same as PID 1, whose exit would kill every process: the server receives TERM and
/// may finish, and the init exits with COMMAND's status.
pub fn a_remaining_server_may_finish(setup: Setup) {
    let mut run = setup.pid1().exits_on(SIGTERM, 3).script(["fork server"]).start();
    run.wait("server", "ready");
    let init = run.pid();
    kill(init, SIGTERM);
    run.reaped("main");
    rests_or_ends(&mut run, init);
    assert!(!run.has_ended(), "{}", run.story());
    let received = stop_signals(&mut run, "server");
    assert_eq!(received, [SIGTERM], "{}", run.story());
    run.tell("server", "exit 0");
    assert_eq!(run.status(), 3, "{}", run.story());
}

/// After COMMAND was reaped: waits until the init has forwarded one more signal to the
/// server, or has exited.
fn rests_or_ends(run: &mut Run, init: Pid) {
    // SAFETY: touches no memory. The init may have exited.
    unsafe { libc::kill(init, SIGWINCH) };
    run.ended_or("server", &format!("signal {SIGWINCH}"));
}

/// An orphan becomes the init's child, and the init reaps it when it exits.
pub fn an_orphan_is_adopted_and_reaped(setup: Setup) {
    let mut run = setup.script(["orphan one session"]).start();
    run.wait("one", "ready");
    assert_eq!(run.hello("one")[1], run.hello("main")[1], "{}", run.story());
    let (init, main, orphan) = (run.pid(), run.pid_of("main"), run.pid_of("one"));
    run.tell("one", "exit 5");
    until("the orphan's reaping", || stat(orphan).is_none());
    assert_eq!(children(init), [main], "{}", run.story());
    run.tell("main", "exit 3");
    assert_eq!(run.status(), 3, "{}", run.story());
}

// ------------------------------------------------------------- surroundings

/// The init adopts and reaps an orphan as PID 1. The run continues.
pub fn as_pid_1_it_reaps(setup: Setup) -> Run {
    let mut run = setup.pid1().start();
    assert_eq!(run.hello("main")[1], 1, "{}", run.story());
    run.tell("main", "orphan one session");
    run.wait("one", "ready");
    run.tell("one", "exit 1");
    run.reaped("one");
    run
}

/// The same, then a stop: TERM arrives, and the init exits with COMMAND's status.
pub fn it_does_the_work_of_pid_1(setup: Setup) {
    let mut run = as_pid_1_it_reaps(setup);
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.tell("main", "exit 9");
    assert_eq!(run.status(), 9, "{}", run.story());
}

/// Runs this shell command in the init's mount namespace first.
pub fn in_changed_mounts(setup: Setup, change: &str) -> Setup {
    let script = format!("{change} && exec \"$@\"");
    setup.pid1().wrapped(["sh", "-c", &script, "sh"])
}

pub fn with_a_read_only_root(setup: Setup) -> Setup {
    in_changed_mounts(setup, "mount -o remount,bind,ro / && ! touch /tmp/../x-drain-init 2>&-")
}

pub fn without_proc(setup: Setup) -> Setup {
    in_changed_mounts(setup, "mount -t tmpfs none /proc")
}

/// As an ordinary user, with a /proc that is mounted with options such as `hidepid=2`.
/// It hides the processes that this user may not trace: even the user's own, if they are
/// not dumpable.
pub fn with_a_hiding_proc(setup: Setup, options: &str) -> Setup {
    let mount = format!("mount -t proc -o {options} proc /proc");
    let user = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"];
    in_changed_mounts(setup.for_any_user(), &mount).wrapped(user)
}

pub fn as_root_without_capabilities(setup: Setup) -> Setup {
    let none = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"];
    setup.for_any_user().pid1().wrapped(none)
}

/// The init's parent dies, and COMMAND receives this signal.
pub fn command_learns_of_the_parents_death(setup: Setup, signal: i32) {
    // The parent is a shell that waits for the init.
    let mut run = setup.wrapped(["sh", "-c", "\"$@\" & wait", "sh"]).start();
    let main = run.pid_of("main");
    let init = stat(main).unwrap().parent;
    let shell = stat(init).unwrap().parent;
    assert_eq!(shell, run.child(), "the shell is the child of the test");
    kill(shell, SIGKILL);
    run.received("main", signal);
}

// ------------------------------------------------------- what COMMAND inherits

/// COMMAND ignores exactly the signals that the init was started with as ignored.
pub fn command_ignores_what_the_init_inherited(setup: Setup, ignored: &[i32]) {
    let mut run = ignored.iter().fold(setup, |setup, &signal| setup.ignoring(signal)).start();
    let expected: Vec<String> = ignored.iter().map(ToString::to_string).collect();
    assert_eq!(run.ask("main", "ignored"), expected, "{}", run.story());
    assert_eq!(run.ask("main", "blocked"), [""; 0], "{}", run.story());
}

/// The init exits with COMMAND's status even if it was started with CHLD ignored.
pub fn an_ignored_chld_does_not_lose_the_exit_status(setup: Setup) {
    let mut run = setup.ignoring(SIGCHLD).start();
    run.tell("main", "exit 23");
    assert_eq!(run.status(), 23, "{}", run.story());
}

/// When COMMAND closes an inherited descriptor, no other process holds it open.
pub fn no_inherited_descriptor_is_kept(setup: Setup) {
    let (mut reader, writer) = pipe();
    let mut run = setup.passing(writer, 9).start();
    run.tell("main", "close 9");
    run.wait("main", "close 0");
    // End of file while the init and COMMAND run: the init does not hold it open.
    until_end(&mut reader);
    run.barrier();
}

/// These variables hold the init's process ID, 1. In COMMAND's environment they hold
/// COMMAND's.
pub fn what_names_the_init_names_command(setup: Setup, variables: &[&str]) {
    let setup = variables.iter().fold(setup.pid1(), |setup, name| setup.env(name, "1"));
    let mut run = setup.start();
    let env = run.ask("main", "env");
    let main = run.hello("main")[0];
    for name in variables {
        assert!(env.contains(&format!("{name}={main}")), "{env:?}");
    }
}

// ------------------------------------------------------ what cannot be started

/// COMMAND does not exist. Returns the init's status.
pub fn when_command_is_missing(setup: Setup) -> i32 {
    setup.command(["--", "/nowhere/at/all"]).finish().status
}

/// COMMAND is a file that is not a program. Returns the init's status.
pub fn when_command_is_not_executable(setup: Setup) -> i32 {
    setup.command(["--", "/etc/passwd"]).finish().status
}

/// COMMAND is a script whose interpreter is missing. Returns the init's status, and
/// whether the message differs from the one for a missing script.
pub fn when_the_interpreter_is_missing(setup: fn() -> Setup) -> (i32, bool) {
    let dir = TempDir::new();
    let (there, missing) = (dir.path("there"), dir.path("gone!"));
    executable(&there, "#!/nowhere/at/all\n");
    let said = |path: &std::path::Path| {
        let finished = setup().command(["--".as_ref(), path.as_os_str()]).finish();
        (finished.status, finished.stderr.replace(path.to_str().unwrap(), "COMMAND"))
    };
    let (status, of_this) = said(&there);
    let (_, of_none) = said(&missing);
    // The message may contain a process ID.
    let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    (status, words(&of_this) != words(&of_none))
}

/// COMMAND is a program for an unknown architecture. Returns the init's status.
pub fn when_command_is_foreign(setup: Setup) -> i32 {
    let dir = TempDir::new();
    let program = dir.path("foreign");
    let mut foreign = std::fs::read(probe_path()).unwrap();
    foreign[18..20].copy_from_slice(&[0xef, 0xbe]);
    executable(&program, foreign);
    setup.command(["--".into(), program.into_os_string()]).finish().status
}

// -------------------------------------------------------------- options

/// The signal reaches COMMAND when the delay has ended, not before. A second one does
/// not cut the delay short.
pub fn the_stop_signal_is_held_back(setup: Setup, delay: u64, second: bool) {
    let mut run = setup.start();
    let since = Instant::now();
    run.signal(SIGTERM);
    if second {
        run.signal(SIGTERM);
    }
    let at = run.received("main", SIGTERM);
    took(since, at, ms(delay));
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7, "{}", run.story());
}

/// The drain lasts as long as the drain command. Then COMMAND receives the signal.
pub fn a_drain_command_comes_first(setup: Setup) {
    let mut run = setup.start();
    run.signal(SIGTERM);
    run.wait("drain", "ready");
    run.ping("main");
    assert_eq!(run.signals("main"), [], "{}", run.story());
    run.tell("drain", "exit 0");
    run.received("main", SIGTERM);
}

/// The stop command runs, and COMMAND receives no signal.
pub fn a_stop_command_replaces_the_signal(setup: Setup) {
    let mut run = setup.start();
    run.signal(SIGTERM);
    run.wait("stop", "ready");
    run.ping("main");
    assert_eq!(run.signals("main"), [], "{}", run.story());
    run.tell("main", "exit 3");
    run.tell("stop", "exit 0");
    assert_eq!(run.status(), 3, "{}", run.story());
}

/// COMMAND does not exit on TERM, so the init kills it. Returns the init's status.
pub fn when_command_does_not_stop(setup: Setup) -> i32 {
    let mut run = setup.start();
    run.signal(SIGTERM);
    run.status()
}

/// COMMAND exits, and the init sends TERM to a daemon in its own session and waits for
/// it.
pub fn a_daemon_in_its_own_session_is_waited_for(setup: Setup) {
    let mut run = setup.script(["orphan far session"]).start();
    run.wait("far", "ready");
    run.tell("main", "exit 7");
    // Plain TERM: it is not rewritten.
    run.received("far", SIGTERM);
    run.ping("far");
    assert!(!run.has_ended());
    run.tell("far", "exit 0");
    assert_eq!(run.status(), 7);
}

/// TERM arrives as USR2.
pub fn term_arrives_as_usr2(setup: Setup) {
    let mut run = setup.start();
    run.signal(SIGTERM);
    run.received("main", SIGUSR2);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGUSR2, SIGWINCH], "{}", run.story());
}

// ------------------------------------------------------------- job control

/// This signal makes the init stop COMMAND's whole group with STOP, and then itself.
/// CONT continues all of them.
pub fn the_group_and_the_init_stop_until_cont(setup: Setup, signal: i32) {
    let mut run = setup.script(["fork child"]).start();
    run.wait("child", "ready");
    run.signal(signal);
    // The probe blocks TSTP and its like, so that only STOP can stop it.
    let (main, child) = (run.pid_of("main"), run.pid_of("child"));
    until_state(main, 'T');
    until_state(child, 'T');
    run.stopped();
    run.signal(SIGCONT);
    run.continued();
    run.received("main", SIGCONT);
    run.received("child", SIGCONT);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGCONT, SIGWINCH], "{}", run.story());
}

/// COMMAND receives this signal as `arrives`, and the init stops itself until CONT.
pub fn command_receives_it_and_the_init_stops_until_cont(setup: Setup, signal: i32, arrives: i32) {
    let mut run = setup.start();
    run.signal(signal);
    run.received("main", arrives);
    run.stopped();
    run.signal(SIGCONT);
    run.continued();
    run.received("main", SIGCONT);
}

/// TSTP stops COMMAND, or arrives there unchanged, and the init keeps running as PID 1.
pub fn as_pid_1_tstp_stops_command_alone(setup: Setup, as_stop: bool) {
    let mut run = setup.start();
    let (pid, main) = (run.pid(), run.pid_of("main"));
    kill(pid, SIGTSTP);
    // A CONT before that would discard a TSTP that is still pending.
    if as_stop {
        until_state(main, 'T');
    } else {
        run.received("main", SIGTSTP);
    }
    // dumb-init then sends itself STOP. As PID 1 it ignores that, but the signal
    // discards a pending CONT.
    until_state(pid, 'S');
    kill(pid, SIGCONT);
    run.received("main", SIGCONT);
    run.barrier();
    assert_ne!(stat(pid).unwrap().state, 'T', "{}", run.story());
}

// --------------------------------------------------------------- terminals

/// Ctrl-C and Ctrl-\ arrive once each. The run continues.
pub fn what_is_typed_reaches_command_once(setup: Setup) -> Run {
    let mut run = setup.start();
    run.type_in(b"\x03");
    run.received("main", SIGINT);
    run.type_in(b"\x1c");
    run.received("main", SIGQUIT);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGINT, SIGQUIT, SIGWINCH], "{}", run.story());
    run
}

/// The terminal is resized, and COMMAND receives WINCH. The run continues.
pub fn a_new_window_size_reaches_command(setup: Setup) -> Run {
    let mut run = setup.start();
    run.resize(50, 132);
    run.received("main", SIGWINCH);
    run
}

/// Ctrl-Z stops COMMAND, and the init continues it, because no shell could.
pub fn ctrl_z_does_not_hang_command(setup: Setup) {
    let mut run = setup.script(["default 20"]).start();
    run.type_in(b"\x1a");
    // It was stopped, and continues at once.
    run.received("main", SIGCONT);
    assert!(!run.was_stopped(), "{}", run.story());
    run.ping("main");
}

/// Ctrl-Z stops all of COMMAND's group, and all of it continues.
pub fn ctrl_z_does_not_hang_what_command_has_started(setup: Setup) {
    let mut run = setup.script(["default 20", "fork child"]).start();
    run.wait("child", "ready");
    run.tell("child", "default 20");
    run.ping("child");
    run.type_in(b"\x1a");
    for name in ["main", "child"] {
        run.received(name, SIGCONT);
        run.ping(name);
    }
}

/// After Ctrl-Z, whether it stops COMMAND or not, COMMAND can still react to Ctrl-C.
pub fn after_ctrl_z_command_answers(setup: Setup) {
    let mut run = setup.script(["default 20"]).start();
    // The terminal sends TSTP before INT. A COMMAND that stays stopped does not
    // report INT.
    run.type_in(b"\x1a\x03");
    run.received("main", SIGINT);
    run.ping("main");
}

/// The words as a line to type into a shell.
pub fn typed(words: impl IntoIterator<Item = OsString>) -> Vec<u8> {
    let words: Vec<String> =
        words.into_iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    format!("{}\n", words.join(" ")).into_bytes()
}

/// COMMAND is bash, and its jobs can be stopped, continued and interrupted.
pub fn a_shell_has_job_control(setup: Setup) {
    let setup = setup.command(["--", "bash", "--norc", "--noprofile", "-i"]);
    let words = setup.probe_words("job", &["default 20"]);
    let mut run = setup.spawn();
    run.type_in(&typed(words));
    run.wait("job", "ready");
    let job: Pid = run.pid_of("job");
    run.type_in(b"\x1a");
    run.message("Stopped");
    until_state(job, 'T');
    run.type_in(b"fg\n");
    run.received("job", SIGCONT);
    run.type_in(b"\x03");
    run.received("job", SIGINT);
    run.tell("job", "exit 7");
    run.type_in(b"exit $?\n");
    assert_eq!(run.status(), 7, "{}", run.story());
    assert!(!run.stderr().contains("no job control"), "{}", run.stderr());
}

/// The terminal hangs up, and COMMAND exits on HUP. Returns the init's status.
pub fn when_the_terminal_hangs_up(setup: Setup, status: i32) -> i32 {
    let mut run = setup.exits_on(SIGHUP, status).start();
    drop(run.master.take());
    run.received("main", SIGHUP);
    run.status()
}
