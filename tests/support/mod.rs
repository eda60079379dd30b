//! Starts the init under test with a probe (probe.rs) as its COMMAND, and waits
//! for what they report.
//!
//! Which init: `INIT_UNDER_TEST` (a path; without it the one that cargo built),
//! behind `INIT_RUNNER` (such as `qemu-aarch64-static`) if that is set.
//!
//! Every wait is for an event and fails after [`PATIENCE`], showing what was
//! seen until then.

#![allow(dead_code)] // no test file uses all of it
#![allow(unsafe_code)]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, clippy::return_self_not_must_use)]

use std::ffi::{CString, OsStr, OsString};
use std::fmt::{Debug, Write as _};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[allow(unused_imports)]
pub use libc::{
    SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE,
    SIGQUIT, SIGSEGV, SIGSTOP, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGUSR1,
    SIGUSR2, SIGWINCH, SIGXFSZ,
};

/// How long an event may take, on a machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A process ID, as the test sees it (from outside of any PID namespace that it
/// made), unless said otherwise.
pub type Pid = i32;

// ---------------------------------------------------------------- the init

/// The init under test. With a runner it must be a path.
pub fn init_path() -> PathBuf {
    let path = std::env::var_os("INIT_UNDER_TEST").filter(|p| !p.is_empty());
    let path = path.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_drain-init")), PathBuf::from);
    if path.components().count() == 1 {
        return path;
    }
    // Tests change the directory.
    fs::canonicalize(path.parent().unwrap()).unwrap().join(path.file_name().unwrap())
}

/// The name with which its messages begin, brackets and all.
pub fn init_name() -> String {
    format!("[{}] ", init_path().file_name().unwrap().to_str().unwrap())
}

/// Whether the init under test is ours: differences that the manual page lists.
pub fn is_drain_init() -> bool {
    let name = init_name();
    !name.contains("dumb-init") && !name.contains("tini")
}

/// The words of `INIT_RUNNER`, the first with its whole path: tests change PATH.
pub fn runner() -> Vec<String> {
    let runner = std::env::var("INIT_RUNNER").unwrap_or_default();
    let mut words: Vec<String> = runner.split_whitespace().map(String::from).collect();
    let path = std::env::var("PATH").unwrap_or_default();
    if let Some(first) = words.first_mut().filter(|w| !w.contains('/')) {
        let found = path.split(':').map(|d| format!("{d}/{first}")).find(|p| Path::new(p).exists());
        *first = found.unwrap_or_else(|| panic!("{first} is not in PATH"));
    }
    words
}

/// Whether the init runs in an emulator, whose own doings `/proc` shows then.
pub fn emulated() -> bool {
    !runner().is_empty()
}

/// The built probe, beside the tests' own directory.
pub fn probe_path() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join("examples/probe");
    assert!(path.exists(), "{} is missing: cargo test builds it", path.display());
    path
}

/// Names a test that cannot run here and why; `tests/run` counts these.
pub fn skip(name: &str, reason: &str) {
    // Past the harness, which shows nothing of a test that passes.
    let _ = writeln!(io::stderr(), "SKIP {name}: {reason}");
    if let Some(log) = std::env::var_os("SKIP_LOG") {
        let mut log = fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        writeln!(log, "SKIP {name}: {reason}").unwrap();
    }
}

/// Skips, by name, what needs root: returns true where it is not root.
pub fn without_root(name: &str) -> bool {
    // SAFETY: cannot fail.
    let missing = unsafe { libc::geteuid() } != 0;
    if missing {
        skip(name, "needs root");
    }
    missing
}

/// Skips, by name, what an emulator cannot show.
pub fn under_emulator(name: &str, why: &str) -> bool {
    if emulated() {
        skip(name, why);
    }
    emulated()
}

/// Every signal that can be caught, CHLD aside, as section 3 says. What
/// qemu-user 7.2 cannot be sent is left out, and a test that uses this names it.
pub fn every_signal() -> Vec<i32> {
    let none = |s: &i32| [SIGKILL, SIGSTOP, SIGCHLD].contains(s);
    let lost =
        |s: &i32| emulated() && [SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, 32, 33].contains(s);
    (1..=64).filter(|s| !none(s) && !lost(s)).collect()
}

/// Names what [`every_signal`] leaves out.
pub fn skip_lost_signals(test: &str) {
    if emulated() {
        let why = "the emulator's own (63 and 64 inside of it), so they cannot be sent";
        skip(&format!("{test}: signals 32 and 33"), why);
        skip(
            &format!("{test}: ILL, TRAP, BUS, FPE and SEGV"),
            "the emulator takes them for its own faults",
        );
    }
}

/// The number that must be sent for the init to get this one: qemu-user keeps
/// the C library's two for itself and counts from the third.
pub fn outside(signal: i32) -> i32 {
    if emulated() && signal >= 32 { signal + 2 } else { signal }
}

/// Skips, by name, what needs `PR_SET_CHILD_SUBREAPER`, which qemu-user
/// refuses.
pub fn without_subreaper(name: &str) -> bool {
    under_emulator(name, "qemu-user has no PR_SET_CHILD_SUBREAPER")
}

// --------------------------------------------------------------- a setting

/// Where the init stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A child of the test.
    Ordinary,
    /// PID 1 of a PID namespace.
    Pid1,
    /// An ordinary process below a PID 1 that reaps: for what leaves orphans.
    Hosted,
}

/// What init and COMMAND have as stdin and stdout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    None,
    /// A terminal whose session the init leads.
    Leader,
    /// A terminal that is no controlling terminal of anybody.
    Foreign,
}

type Prelude = Box<dyn FnMut() -> io::Result<()> + Send + Sync>;

/// A run of the init that is being put together.
pub struct Setup {
    dir: Arc<TempDir>,
    listener: UnixListener,
    init: PathBuf,
    args: Vec<OsString>,
    command: Option<Vec<OsString>>,
    script: Vec<String>,
    env: Vec<(OsString, Option<OsString>)>,
    clear_env: bool,
    place: Place,
    terminal: Terminal,
    prelude: Vec<Prelude>,
    wrap: Vec<OsString>,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    cwd: Option<PathBuf>,
}

/// The init, called with these arguments before COMMAND.
pub fn init<I, S>(args: I) -> Setup
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let dir = Arc::new(TempDir::new());
    let listener = UnixListener::bind(dir.path("socket")).unwrap();
    fs::set_permissions(dir.path("socket"), fs::Permissions::from_mode(0o777)).unwrap();
    Setup {
        dir,
        listener,
        init: init_path(),
        args: args.into_iter().map(|a| a.as_ref().to_owned()).collect(),
        command: None,
        script: Vec::new(),
        env: Vec::new(),
        clear_env: false,
        place: Place::Ordinary,
        terminal: Terminal::None,
        prelude: Vec::new(),
        wrap: Vec::new(),
        stdin: None,
        stdout: None,
        stderr: None,
        cwd: None,
    }
}

impl Setup {
    /// One more argument before COMMAND.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Orders that the main probe carries out before it says that it is ready.
    pub fn script<S: Into<String>>(mut self, orders: impl IntoIterator<Item = S>) -> Self {
        self.script.extend(orders.into_iter().map(Into::into));
        self
    }

    /// COMMAND exits with this status on this signal.
    pub fn exits_on(self, signal: i32, status: i32) -> Self {
        self.script([format!("on {signal} exit {status}")])
    }

    /// These words after the options, instead of the probe; none for no COMMAND.
    pub fn command<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command = Some(words.into_iter().map(|w| w.as_ref().to_owned()).collect());
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Nothing in the environment but what is given by [`Setup::env`].
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    pub fn pid1(mut self) -> Self {
        self.place = Place::Pid1;
        self
    }

    pub fn hosted(mut self) -> Self {
        self.place = Place::Hosted;
        self
    }

    pub fn terminal(mut self, terminal: Terminal) -> Self {
        self.terminal = terminal;
        self
    }

    /// Another path to the init (a link).
    pub fn called(mut self, path: impl Into<PathBuf>) -> Self {
        self.init = path.into();
        self
    }

    /// These words before the init, in its namespace: `setpriv --reuid=1 ...`.
    pub fn wrapped<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.wrap.extend(words.into_iter().map(|w| w.as_ref().to_owned()));
        self
    }

    /// Runs the init under strace, which makes these system calls fail:
    /// `close_range:error=ENOSYS`.
    pub fn failing(self, injections: &[&str]) -> Self {
        let calls: Vec<&str> = injections.iter().map(|i| i.split(':').next().unwrap()).collect();
        let mut words = vec!["strace".to_string(), "-qq".into(), "-o".into(), "/dev/null".into()];
        words.push(format!("--trace={}", calls.join(",")));
        words.extend(injections.iter().map(|i| format!("--inject={i}")));
        self.wrapped(words)
    }

    /// Executes the init with exactly these strings as its environment.
    pub fn raw_env<S: AsRef<OsStr>>(self, entries: impl IntoIterator<Item = S>) -> Self {
        let mut words: Vec<OsString> = vec![probe_path().into(), "exec-env".into()];
        words.extend(entries.into_iter().map(|e| e.as_ref().to_owned()));
        words.push("--".into());
        self.wrapped(words)
    }

    /// Runs in the new process just before exec: only what is allowed there.
    pub fn before_exec(
        mut self,
        prelude: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.prelude.push(Box::new(prelude));
        self
    }

    pub fn ignoring(self, signal: i32) -> Self {
        self.before_exec(move || {
            set_disposition(signal, libc::SIG_IGN);
            Ok(())
        })
    }

    pub fn blocking(self, signal: i32) -> Self {
        self.before_exec(move || {
            let set: u64 = 1 << (signal - 1);
            // SAFETY: the set is eight bytes, as the kernel's is.
            unsafe {
                libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, 0_usize, 8)
            };
            Ok(())
        })
    }

    /// A signal that is blocked and pending before the init is executed.
    pub fn pending(self, signal: i32) -> Self {
        self.blocking(signal).before_exec(move || {
            // SAFETY: touches no memory.
            unsafe { libc::kill(libc::getpid(), signal) };
            Ok(())
        })
    }

    pub fn in_group(self, group: Pid) -> Self {
        self.before_exec(move || {
            // SAFETY: touches no memory.
            match unsafe { libc::setpgid(0, group) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }

    /// The init leads a session without a terminal.
    pub fn in_session(self) -> Self {
        self.before_exec(|| {
            // SAFETY: touches no memory.
            unsafe { libc::setsid() };
            Ok(())
        })
    }

    /// The process that executes the init has a child already, which is dead.
    pub fn leaving_a_zombie(self) -> Self {
        self.before_exec(|| {
            // SAFETY: the child ends at once; the wait leaves it a zombie.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::_exit(0);
                }
                let mut info: libc::siginfo_t = std::mem::zeroed();
                let flags = libc::WEXITED | libc::WNOWAIT;
                libc::waitid(libc::P_PID, child.cast_unsigned(), &raw mut info, flags);
            }
            Ok(())
        })
    }

    /// The process that executes the init has a child already, of which another
    /// signal than CHLD tells, and which ignores TERM and ends when nobody holds
    /// the other end of this pipe.
    pub fn leaving_a_child(self, ends_with: fs::File, signal: i32) -> Self {
        self.before_exec(move || {
            // SAFETY: the child, a copy as fork makes it, calls what is allowed
            // between fork and exec, and ends.
            unsafe {
                let flags = libc::c_long::from(signal);
                if libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) == 0 {
                    libc::signal(SIGTERM, libc::SIG_IGN);
                    libc::setsid();
                    // What it was forked with is not its own to hold.
                    libc::dup2(ends_with.as_raw_fd(), 0);
                    libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0);
                    let mut byte = 0_u8;
                    while libc::read(0, (&raw mut byte).cast(), 1) > 0 {}
                    libc::_exit(0);
                }
            }
            Ok(())
        })
    }

    pub fn umask(self, umask: u32) -> Self {
        self.before_exec(move || {
            // SAFETY: cannot fail.
            unsafe { libc::umask(umask) };
            Ok(())
        })
    }

    /// No file may grow beyond this.
    pub fn file_size(self, bytes: u64) -> Self {
        self.before_exec(move || {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            // SAFETY: the limit is valid.
            unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
            Ok(())
        })
    }

    pub fn closing(self, fd: i32) -> Self {
        self.before_exec(move || {
            // SAFETY: the standard library has put 0 to 2 in place by now.
            unsafe { libc::close(fd) };
            Ok(())
        })
    }

    /// Hands in this descriptor under this number.
    pub fn passing(self, fd: OwnedFd, number: i32) -> Self {
        self.before_exec(move || {
            // SAFETY: dup2 takes close-on-exec off, unless both are the same.
            let done = unsafe {
                match fd.as_raw_fd() {
                    own if own == number => libc::fcntl(own, libc::F_SETFD, 0),
                    own => libc::dup2(own, number),
                }
            };
            if done < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        })
    }

    /// Executes the init with no argument at all, not even its name.
    pub fn without_arguments(self) -> Self {
        let path = CString::new(self.init.as_os_str().as_bytes()).unwrap();
        self.before_exec(move || {
            let none = [std::ptr::null::<libc::c_char>()];
            // SAFETY: both lists end with NULL.
            unsafe { libc::execve(path.as_ptr(), none.as_ptr(), none.as_ptr()) };
            Err(io::Error::last_os_error())
        })
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }

    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// A file of this run's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path(name)
    }

    /// The words that run a probe by this name.
    pub fn probe_words(&self, name: &str, orders: &[&str]) -> Vec<OsString> {
        let mut words =
            vec![probe_path().into_os_string(), self.dir.path("socket").into_os_string()];
        words.push(name.into());
        words.extend(orders.iter().map(OsString::from));
        words
    }

    /// A CMD in exec form that runs a probe by this name.
    pub fn probe_json(&self, name: &str, orders: &[&str]) -> String {
        let words = self.probe_words(name, orders);
        let words: Vec<String> =
            words.iter().map(|w| format!("\"{}\"", w.to_str().unwrap())).collect();
        format!("[{}]", words.join(","))
    }

    /// `--drain-cmd` with a probe named `drain`.
    pub fn drain_cmd(self, orders: &[&str]) -> Self {
        let json = self.probe_json("drain", orders);
        self.arg("--drain-cmd").arg(json)
    }

    /// `--stop-cmd` with a probe named `stop`.
    pub fn stop_cmd(self, orders: &[&str]) -> Self {
        let json = self.probe_json("stop", orders);
        self.arg("--stop-cmd").arg(json)
    }

    /// A link to the init under test in this run's directory.
    pub fn link(&self, name: &str) -> PathBuf {
        let link = self.dir.path(name);
        symlink(init_path(), &link).unwrap();
        link
    }

    fn whole_command(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if self.place != Place::Ordinary {
            words.extend(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"].map(OsString::from),
            );
        }
        if self.place == Place::Hosted {
            words.push(probe_path().into_os_string());
            words.push("host".into());
            words.push(self.dir.path("socket").into_os_string());
        }
        words.extend(self.wrap.iter().cloned());
        words.extend(runner().into_iter().map(OsString::from));
        words.push(self.init.clone().into_os_string());
        words.extend(self.args.iter().cloned());
        if let Some(command) = &self.command {
            words.extend(command.iter().cloned());
        } else {
            let script: Vec<&str> = self.script.iter().map(String::as_str).collect();
            words.push("--".into());
            words.extend(self.probe_words("main", &script));
        }
        words
    }

    /// Starts it and waits for nothing.
    pub fn spawn(mut self) -> Run {
        // What outlives the init comes to the test, which ends it (see Drop).
        // SAFETY: touches no memory.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
        let words = self.whole_command();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        if self.clear_env {
            command.env_clear();
        }
        // Cargo's, in which the loader of a dynamic build would search.
        command.env_remove("LD_LIBRARY_PATH");
        for (name, _) in std::env::vars_os() {
            let bytes = name.as_bytes();
            if bytes.starts_with(b"DRAIN_INIT_")
                || bytes.starts_with(b"DUMB_INIT_")
                || bytes.starts_with(b"TINI_")
                || bytes.starts_with(b"LISTEN_")
                || bytes.starts_with(b"WATCHDOG_")
                || bytes.starts_with(b"SYSTEMD_")
            {
                command.env_remove(name);
            }
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let master = self.give_terminal(&mut command);
        if self.terminal == Terminal::None {
            command.stdin(self.stdin.take().unwrap_or_else(Stdio::null));
            command.stdout(self.stdout.take().unwrap_or_else(Stdio::piped));
        }
        command.stderr(self.stderr.take().unwrap_or_else(Stdio::piped));
        // SAFETY: system calls only.
        unsafe { command.pre_exec(start_afresh) };
        for prelude in self.prelude.drain(..) {
            // SAFETY: the preludes make system calls only.
            unsafe { command.pre_exec(prelude) };
        }

        let (events, receiver) = channel();
        accept(self.listener, events.clone());
        let spawning = SPAWNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        #[allow(clippy::zombie_processes)] // `watch` waits for it
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{words:?}: {e}"));
        let pid = child.id().cast_signed();
        drop(spawning);
        drop(command);
        if let Some(pipe) = child.stderr.take() {
            read_lines(pipe, events.clone(), Event::Stderr, false);
        }
        if let Some(pipe) = child.stdout.take() {
            read_lines(pipe, events.clone(), Event::Stdout, true);
        }
        let ended = Arc::new(Mutex::new(false));
        watch(pid, self.place, events, ended.clone());
        Run {
            dir: self.dir,
            place: self.place,
            wrapped: !self.wrap.is_empty(),
            child: pid,
            ended,
            receiver,
            seen: Vec::new(),
            used: Vec::new(),
            connections: Vec::new(),
            master,
        }
    }

    fn give_terminal(&self, command: &mut Command) -> Option<OwnedFd> {
        if self.terminal == Terminal::None {
            return None;
        }
        let (master, slave) = terminal_pair();
        command.stdin(slave.try_clone().unwrap());
        command.stdout(slave);
        let leads = self.terminal == Terminal::Leader;
        // SAFETY: system calls only.
        unsafe {
            command.pre_exec(move || {
                libc::setsid();
                if leads && libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            })
        };
        Some(master)
    }

    /// Starts it and waits until COMMAND, the main probe, is ready.
    pub fn start(self) -> Run {
        let mut run = self.spawn();
        run.wait("main", "ready");
        run
    }

    /// Runs it to its end.
    pub fn finish(self) -> Finished {
        let mut run = self.spawn();
        let status = run.status();
        run.drain_output();
        Finished { status, stdout: run.stdout(), stderr: run.stderr(), started: run.names() }
    }
}

/// Whatever started the tests may have left signals ignored and descriptors
/// open.
#[allow(clippy::unnecessary_wraps)] // as pre_exec wants it
fn start_afresh() -> io::Result<()> {
    for signal in 1..=64 {
        set_disposition(signal, libc::SIG_DFL);
    }
    for fd in 3..1024 {
        // SAFETY: only sets a flag, and fails where nothing is open.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// The raw call: glibc keeps 32 and 33 to itself.
fn set_disposition(signal: i32, handler: usize) {
    let action = [handler as u64, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the kernel reads its sigaction, which is not longer than this and
    // begins with the handler; only SIG_DFL and SIG_IGN come here.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), 0_usize, 8) };
}

/// What a run left.
#[derive(Debug)]
pub struct Finished {
    /// The exit status, or the signal that killed the init, negated.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    /// The probes that said hello.
    pub started: Vec<String>,
}

// ------------------------------------------------------------------ events

#[derive(Debug, Clone)]
enum Event {
    /// A probe said hello: its name, its process ID seen from here.
    Hello {
        connection: usize,
        name: String,
        pid: Pid,
        text: String,
    },
    /// A probe said this.
    Said {
        connection: usize,
        line: String,
    },
    /// A probe's connection has ended: so it did, and all its copies.
    Gone {
        connection: usize,
    },
    Stderr(String),
    Stdout(String),
    /// An output is at its end: nobody holds it open any more.
    OutputEnded {
        stdout: bool,
    },
    /// The child of the test was stopped by this signal.
    Stopped(i32),
    Continued,
    Ended(i32),
}

struct Connection {
    id: usize,
    name: String,
    pid: Pid,
    hello: Vec<i32>,
    stream: Option<UnixStream>,
}

type Stamped = (Instant, Event, Option<UnixStream>);

fn accept(listener: UnixListener, events: Sender<Stamped>) {
    thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let Ok(stream) = stream else { return };
            let pid = peer(&stream);
            let events = events.clone();
            thread::spawn(move || serve(connection, &stream, pid, &events));
        }
    });
}

fn serve(connection: usize, stream: &UnixStream, pid: Pid, events: &Sender<Stamped>) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        let (event, back) = match line.strip_prefix("hello ") {
            Some(text) => {
                let (name, text) = text.split_once(' ').unwrap();
                let (name, text) = (name.to_string(), text.to_string());
                (Event::Hello { connection, name, pid, text }, stream.try_clone().ok())
            }
            None => (Event::Said { connection, line }, None),
        };
        if events.send((Instant::now(), event, back)).is_err() {
            // The test is over: hang up.
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
    let _ = events.send((Instant::now(), Event::Gone { connection }, None));
}

/// The process ID of the other side, as seen from this PID namespace.
fn peer(stream: &UnixStream) -> Pid {
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = libc::socklen_t::try_from(size_of_val(&cred)).unwrap();
    // SAFETY: cred and its size are valid.
    unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &raw mut size,
        )
    };
    cred.pid
}

fn read_lines(
    pipe: impl Read + Send + 'static,
    events: Sender<Stamped>,
    event: fn(String) -> Event,
    stdout: bool,
) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match pipe.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    let _ = events.send((Instant::now(), event(line), None));
                }
            }
        }
        let _ = events.send((Instant::now(), Event::OutputEnded { stdout }, None));
    });
}

fn watch(pid: Pid, place: Place, events: Sender<Stamped>, ended: Arc<Mutex<bool>>) {
    thread::spawn(move || {
        loop {
            // Look first and reap under the lock: Drop must not kill another.
            // SAFETY: all zeros is a valid siginfo_t.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            let what = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
            // SAFETY: info is valid.
            let found = unsafe {
                libc::waitid(libc::P_PID, pid.cast_unsigned(), &raw mut info, what | libc::WNOWAIT)
            };
            if found != 0 {
                if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return;
            }
            let mut guard = ended.lock().unwrap();
            let mut status = 0;
            // SAFETY: status is valid.
            unsafe {
                libc::waitpid(pid, &raw mut status, libc::WUNTRACED | libc::WCONTINUED);
            }
            let event = if libc::WIFSTOPPED(status) {
                Event::Stopped(libc::WSTOPSIG(status))
            } else if libc::WIFCONTINUED(status) {
                Event::Continued
            } else {
                *guard = true;
                let status = ExitStatus::from_raw(status);
                Event::Ended(status.code().unwrap_or_else(|| -status.signal().unwrap()))
            };
            let over = *guard;
            drop(guard);
            if place == Place::Ordinary || over {
                let _ = events.send((Instant::now(), event, None));
            }
            if over {
                return;
            }
        }
    });
}

/// A process that strace holds back until this is dropped.
pub struct Held(Child);

impl Held {
    /// Lets the next kill(2) of the process be done, but not return.
    pub fn in_kill(pid: Pid) -> Self {
        Self::by(pid, "kill", "delay_exit")
    }

    /// Lets the process begin its next write(2) or send(2), but not do it.
    pub fn before_write(pid: Pid) -> Self {
        Self::by(pid, "write,sendto", "delay_enter")
    }

    fn by(pid: Pid, call: &str, delay: &str) -> Self {
        let mut strace = Command::new("strace")
            .arg(format!("--trace={call}"))
            .arg(format!("--inject={call}:{delay}=60000000:when=1"))
            .args(["-o", "/dev/null", "-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(strace.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("attached"), "{said}");
        Self(strace)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// ------------------------------------------------------------------- a run

/// An init that runs.
pub struct Run {
    dir: Arc<TempDir>,
    place: Place,
    wrapped: bool,
    child: Pid,
    ended: Arc<Mutex<bool>>,
    receiver: Receiver<Stamped>,
    seen: Vec<(Instant, Event)>,
    /// Which of `seen` a wait has consumed.
    used: Vec<bool>,
    connections: Vec<Connection>,
    /// The terminal's other end.
    pub master: Option<OwnedFd>,
}

impl Run {
    fn take(&mut self, (at, event, stream): Stamped) {
        if let Event::Hello { connection, name, pid, text } = &event {
            self.connections.push(Connection {
                id: *connection,
                name: name.clone(),
                pid: *pid,
                hello: text.split(' ').map(|n| n.parse().unwrap()).collect(),
                stream,
            });
        }
        self.seen.push((at, event));
        self.used.push(false);
    }

    /// Waits for the first event, not waited for before, that fits; all that is
    /// seen meanwhile is kept.
    fn wait_event(&mut self, what: &dyn Debug, fits: &dyn Fn(&Self, &Event) -> bool) -> Instant {
        let deadline = Instant::now() + PATIENCE;
        let mut next = 0;
        loop {
            while next < self.seen.len() {
                if !self.used[next] && fits(self, &self.seen[next].1) {
                    self.used[next] = true;
                    return self.seen[next].0;
                }
                next += 1;
            }
            match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("waited for {what:?}; seen:\n{}", self.story())
                }
            }
        }
    }

    /// Takes in what has been sent already.
    fn catch_up(&mut self) {
        while let Ok(event) = self.receiver.try_recv() {
            self.take(event);
        }
    }

    /// All that was seen, for a failure's message.
    pub fn story(&self) -> String {
        let mut story = String::new();
        let start = self.seen.first().map(|s| s.0);
        for (at, event) in &self.seen {
            let ms = at.duration_since(start.unwrap()).as_millis();
            let name = |id: usize| self.name_of(id).unwrap_or("?");
            let _ = match event {
                Event::Said { connection, line } => {
                    writeln!(story, "  {ms:5} ms {}: {line}", name(*connection))
                }
                Event::Gone { connection } => {
                    writeln!(story, "  {ms:5} ms {}: gone", name(*connection))
                }
                other => writeln!(story, "  {ms:5} ms {other:?}"),
            };
        }
        story
    }

    fn name_of(&self, id: usize) -> Option<&str> {
        self.connections.iter().find(|c| c.id == id).map(|c| c.name.as_str())
    }

    fn connection(&mut self, name: &str) -> &Connection {
        if !self.connections.iter().any(|c| c.name == name) {
            let what = format!("hello of {name}");
            self.wait_event(&what, &|_, e| matches!(e, Event::Hello { name: n, .. } if n == name));
        }
        self.connections.iter().rfind(|c| c.name == name).unwrap()
    }

    /// The names of all the probes that said hello until now.
    pub fn names(&mut self) -> Vec<String> {
        self.catch_up();
        self.connections.iter().map(|c| c.name.clone()).collect()
    }

    /// A probe's process ID, seen from here.
    pub fn pid_of(&mut self, name: &str) -> Pid {
        self.connection(name).pid
    }

    /// What a probe said of itself at its start, as seen from where it is:
    /// process, parent, group, session.
    pub fn hello(&mut self, name: &str) -> [Pid; 4] {
        let hello = &self.connection(name).hello;
        [hello[0], hello[1], hello[2], hello[3]]
    }

    /// The init's process ID, seen from here.
    pub fn pid(&mut self) -> Pid {
        if self.place == Place::Ordinary && !self.wrapped {
            return self.child;
        }
        let main = self.pid_of("main");
        stat(main).unwrap().parent
    }

    /// The process that the test has started: the init, or what was put before it.
    pub const fn child(&self) -> Pid {
        self.child
    }

    /// Sends a signal to the init.
    pub fn signal(&mut self, signal: i32) {
        let pid = self.pid();
        kill(pid, signal);
    }

    /// Sends a signal to an ordinary init, which may just have ended.
    pub fn try_signal(&self, signal: i32) {
        let ended = self.ended.lock().unwrap();
        if !*ended {
            // SAFETY: it is not reaped, so the number is still its own.
            unsafe { libc::kill(self.child, signal) };
        }
    }

    /// Waits until this probe says exactly this line.
    pub fn wait(&mut self, name: &str, line: &str) -> Instant {
        let what = format!("{name}: {line}");
        self.wait_event(&what, &|run, event| match event {
            Event::Said { connection, line: said } => {
                said == line && run.name_of(*connection) == Some(name)
            }
            _ => false,
        })
    }

    /// Waits until this probe has got this signal.
    pub fn received(&mut self, name: &str, signal: i32) -> Instant {
        self.wait(name, &format!("signal {signal}"))
    }

    /// Waits until this probe has ended.
    pub fn gone(&mut self, name: &str) -> Instant {
        self.connection(name);
        let what = format!("the end of {name}");
        self.wait_event(&what, &|run, event| match event {
            Event::Gone { connection } => run.name_of(*connection) == Some(name),
            _ => false,
        })
    }

    /// Waits until this probe, a child of the init, has ended and was reaped:
    /// the init knows of it then.
    pub fn reaped(&mut self, name: &str) {
        let pid = self.pid_of(name);
        until(&format!("the reaping of {name}"), || stat(pid).is_none());
    }

    /// Every line that this probe has said until now.
    pub fn said(&mut self, name: &str) -> Vec<String> {
        self.catch_up();
        let lines = self.seen.iter().filter_map(|(_, event)| match event {
            Event::Said { connection, line } if self.name_of(*connection) == Some(name) => {
                Some(line.clone())
            }
            _ => None,
        });
        lines.collect()
    }

    /// The signals that this probe has got until now, in order, without the CHLD
    /// of its own children.
    pub fn signals(&mut self, name: &str) -> Vec<i32> {
        let said = self.said(name);
        let numbers = said.iter().filter_map(|l| l.strip_prefix("signal ")?.parse().ok());
        numbers.filter(|s| *s != SIGCHLD).collect()
    }

    /// Gives a probe an order.
    pub fn tell(&mut self, name: &str, order: &str) {
        let mut stream = self.connection(name).stream.as_ref().unwrap();
        stream.write_all(format!("{order}\n").as_bytes()).unwrap();
    }

    /// Waits until a probe has dealt with all that has reached it.
    pub fn ping(&mut self, name: &str) {
        self.tell(name, "ping");
        self.wait(name, "pong");
    }

    /// Asks a probe (see `answer` in probe.rs); the lines of its answer.
    pub fn ask(&mut self, name: &str, question: &str) -> Vec<String> {
        let before = self.said(name).len();
        self.tell(name, &format!("ask {question}"));
        self.wait(name, &format!("end {question}"));
        let prefix = format!("{question} ");
        let said = self.said(name);
        said[before..].iter().filter_map(|l| l.strip_prefix(&prefix).map(String::from)).collect()
    }

    /// Has the init pass on a signal that nothing else uses, and waits for it:
    /// what was sent before has been dealt with then, as lower numbers come
    /// first.
    pub fn barrier(&mut self) {
        self.signal(SIGWINCH);
        self.received("main", SIGWINCH);
    }

    /// Waits for a line on stderr that holds this text, and returns it.
    pub fn message(&mut self, text: &str) -> String {
        self.message_at(text).1
    }

    /// The same, with the time at which it came.
    pub fn message_at(&mut self, text: &str) -> (Instant, String) {
        let what = format!("message: {text}");
        let at = self.wait_event(&what, &|_, e| matches!(e, Event::Stderr(l) if l.contains(text)));
        let line = self.seen.iter().find_map(|(when, event)| match event {
            Event::Stderr(line) if *when == at && line.contains(text) => Some(line.clone()),
            _ => None,
        });
        (at, line.unwrap())
    }

    /// All of stderr until now.
    pub fn stderr(&mut self) -> String {
        self.catch_up();
        let lines = self.seen.iter().filter_map(|(_, e)| match e {
            Event::Stderr(line) => Some(line.as_str()),
            _ => None,
        });
        lines.collect()
    }

    /// All of stdout until now.
    pub fn stdout(&mut self) -> String {
        self.catch_up();
        let lines = self.seen.iter().filter_map(|(_, e)| match e {
            Event::Stdout(line) => Some(line.as_str()),
            _ => None,
        });
        lines.collect()
    }

    /// Waits until nobody can write to stdout or stderr any more.
    pub fn drain_output(&mut self) {
        for wanted in [true, false] {
            let what = format!("end of output (stdout: {wanted})");
            let fits = |_: &Self, e: &Event| matches!(e, Event::OutputEnded { stdout } if *stdout == wanted);
            self.wait_event(&what, &fits);
        }
    }

    /// Waits for the init's end: its exit status, or its signal, negated.
    pub fn status(&mut self) -> i32 {
        self.status_at().1
    }

    /// The same, with the time of the end.
    pub fn status_at(&mut self) -> (Instant, i32) {
        let hosted = self.place == Place::Hosted;
        let fits = move |run: &Self, event: &Event| run.end_in(event, hosted).is_some();
        let at = self.wait_event(&"the init's end", &fits);
        let found =
            self.seen.iter().find(|(when, e)| *when == at && self.end_in(e, hosted).is_some());
        (at, self.end_in(&found.unwrap().1, hosted).unwrap())
    }

    fn end_in(&self, event: &Event, hosted: bool) -> Option<i32> {
        match event {
            Event::Ended(status) if !hosted => Some(*status),
            Event::Said { connection, line } if hosted => {
                if self.name_of(*connection) != Some("host") {
                    return None;
                }
                if let Some(signal) = line.strip_prefix("init killed ") {
                    return Some(-signal.parse::<i32>().unwrap());
                }
                line.strip_prefix("init exited ")?.parse().ok()
            }
            _ => None,
        }
    }

    /// Whether the init has ended already.
    pub fn has_ended(&mut self) -> bool {
        self.catch_up();
        let hosted = self.place == Place::Hosted;
        self.seen.iter().any(|(_, e)| self.end_in(e, hosted).is_some())
    }

    /// Waits until this probe has said this line, or the init has ended.
    pub fn ended_or(&mut self, name: &str, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.said(name).iter().any(|l| l == line) || self.has_ended() {
                return;
            }
            match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("waited for {line} or the end; seen:\n{}", self.story())
                }
            }
        }
    }

    /// Waits until the init has stopped, as its parent is told.
    pub fn stopped(&mut self) {
        if self.place == Place::Hosted {
            self.wait("host", "init stopped");
        } else {
            self.wait_event(&"the init's stop", &|_, e| matches!(e, Event::Stopped(_)));
        }
    }

    /// Waits until the init has been continued, as its parent is told.
    pub fn continued(&mut self) {
        if self.place == Place::Hosted {
            self.wait("host", "init continued");
        } else {
            self.wait_event(&"the init's continuation", &|_, e| matches!(e, Event::Continued));
        }
    }

    /// Whether the init was ever stopped.
    pub fn was_stopped(&mut self) -> bool {
        self.catch_up();
        self.seen.iter().any(|(_, e)| matches!(e, Event::Stopped(_)))
    }

    /// Types on the terminal.
    pub fn type_in(&mut self, bytes: &[u8]) {
        let master = self.master.as_ref().unwrap().try_clone().unwrap();
        fs::File::from(master).write_all(bytes).unwrap();
    }

    /// A file of this run's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path(name)
    }
}

/// Ends everything that a test, which may have failed, has left.
impl Drop for Run {
    fn drop(&mut self) {
        self.catch_up();
        let left: Vec<Pid> = descendants(self.child);
        {
            let ended = self.ended.lock().unwrap();
            if !*ended {
                // SAFETY: it is not reaped, so the number is still its own.
                unsafe { libc::kill(self.child, SIGKILL) };
            }
        }
        for pid in left {
            // SAFETY: touches no memory.
            unsafe { libc::kill(pid, SIGKILL) };
        }
        // The probes end when they are hung up on; the test is the subreaper of
        // those that lost their init.
        for connection in self.connections.drain(..) {
            if let Some(stream) = connection.stream {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
            if connection.pid > 0 && connection.pid != self.child {
                let deadline = Instant::now() + Duration::from_secs(2);
                // SAFETY: waits for a child of this process, if it is one.
                while unsafe { libc::waitpid(connection.pid, std::ptr::null_mut(), libc::WNOHANG) }
                    == 0
                    && Instant::now() < deadline
                {
                    thread::yield_now();
                }
            }
        }
    }
}

// ------------------------------------------------------------------- /proc

/// What /proc/PID/stat says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub state: char,
    pub parent: Pid,
    pub group: Pid,
    pub session: Pid,
    /// The number of the controlling terminal's device, 0 without one.
    pub terminal: i32,
    /// The foreground group of that terminal.
    pub foreground: Pid,
}

pub fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
    let number = |n: usize| fields[n].parse().unwrap();
    Some(Stat {
        state: fields[0].chars().next()?,
        parent: number(1),
        group: number(2),
        session: number(3),
        terminal: number(4),
        foreground: number(5),
    })
}

/// The children of a process, zombies too.
pub fn children(pid: Pid) -> Vec<Pid> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|e| e.file_name().to_str()?.parse::<Pid>().ok());
    pids.filter(|&p| stat(p).is_some_and(|s| s.parent == pid)).collect()
}

pub fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found = children(pid);
    let mut next = 0;
    while next < found.len() {
        let more = children(found[next]);
        found.extend(more);
        next += 1;
    }
    found
}

/// A line of /proc/PID/status, without its name.
pub fn status_line(pid: Pid, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().to_string()
}

/// Waits until this holds: for what sends no event (a state in /proc).
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until a process is in this state: T stopped, S asleep, Z a zombie.
pub fn until_state(pid: Pid, state: char) {
    let mut last = None;
    let deadline = Instant::now() + PATIENCE;
    while last.as_ref().map(|s: &Stat| s.state) != Some(state) {
        assert!(Instant::now() < deadline, "waited for state {state} of {pid}; it is {last:?}");
        thread::sleep(Duration::from_millis(1));
        last = stat(pid);
    }
}

/// Waits until a process is held in write(2) or send(2).
pub fn until_in_write(pid: Pid) {
    let calls = [libc::SYS_write, libc::SYS_sendto].map(|call| format!("{call} "));
    until("the write", || {
        let now = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        calls.iter().any(|call| now.starts_with(call))
    });
}

/// Sends a signal, which must be possible.
pub fn kill(pid: Pid, signal: i32) {
    assert!(pid > 1, "never to {pid}");
    // SAFETY: touches no memory.
    let done = unsafe { libc::kill(pid, signal) };
    assert_eq!(done, 0, "kill {pid} {signal}: {}", io::Error::last_os_error());
}

/// Sends a signal to a process group, which must be there.
pub fn kill_group(group: Pid, signal: i32) {
    assert!(group > 1, "never to {group}");
    // SAFETY: touches no memory.
    let done = unsafe { libc::kill(-group, signal) };
    assert_eq!(done, 0, "kill -{group} {signal}: {}", io::Error::last_os_error());
}

/// From now on a process cannot open a descriptor above 2.
pub fn no_more_descriptors(pid: Pid) {
    let three = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
    // SAFETY: the limit is valid.
    let done =
        unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const three, std::ptr::null_mut()) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

/// Waits until nobody holds the other end of a pipe.
pub fn until_end(reader: &mut fs::File) {
    let mut wait = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let patience = PATIENCE.as_millis().try_into().unwrap();
    // SAFETY: one descriptor, as said.
    let ready = unsafe { libc::poll(&raw mut wait, 1, patience) };
    assert_eq!(ready, 1, "somebody still holds the other end");
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
}

/// A terminal: the side that is read like a user does, and the program's.
pub fn terminal_pair() -> (OwnedFd, OwnedFd) {
    let pty = nix::pty::openpty(None, None).unwrap();
    for fd in [&pty.master, &pty.slave] {
        // SAFETY: sets a flag of an open descriptor.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    (pty.master, pty.slave)
}

/// Writes to a descriptor until it takes no more, and leaves its flags alone.
pub fn fill(fd: &OwnedFd) {
    fill_up_to(fd, usize::MAX, 4096);
    fill_up_to(fd, usize::MAX, 1);
}

/// The same, in steps of at most `step` bytes, and no more than `most` bytes;
/// returns how many it took.
pub fn fill_up_to(fd: &OwnedFd, most: usize, step: usize) -> usize {
    let raw = fd.as_raw_fd();
    let bytes = vec![b'x'; step];
    let mut written = 0;
    // SAFETY: an open descriptor and a buffer of that size.
    unsafe {
        let flags = libc::fcntl(raw, libc::F_GETFL);
        libc::fcntl(raw, libc::F_SETFL, flags | libc::O_NONBLOCK);
        while written < most {
            match libc::write(raw, bytes.as_ptr().cast(), step.min(most - written)) {
                count if count > 0 => written += count.cast_unsigned(),
                _ => break,
            }
        }
        libc::fcntl(raw, libc::F_SETFL, flags);
    }
    written
}

/// How many bytes wait to be read.
pub fn unread(fd: &OwnedFd) -> i32 {
    let mut count = 0;
    // SAFETY: the kernel writes one int.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    count
}

/// A pipe: what is read from, what is written to; neither survives an exec.
pub fn pipe() -> (fs::File, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: two descriptors come back, owned by nobody else.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (fs::File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

/// Asserts that a time lies between these bounds: the lower one exact, the
/// upper one generous.
pub fn took(since: Instant, until: Instant, least: Duration) {
    let took = until.duration_since(since);
    assert!(took >= least, "took only {took:?}, not {least:?}");
    assert!(took < least + Duration::from_secs(5), "took {took:?}, much longer than {least:?}");
}

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

// --------------------------------------------------------------- directory

/// A directory of one test, removed with it.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        // Short: a socket's path may have 107 bytes.
        let path = PathBuf::from(format!("/tmp/drain-init-{}-{n}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Held while a process is started and while a program is written: a fork in
/// between would inherit the open file, and exec refuse it (ETXTBSY).
static SPAWNING: Mutex<()> = Mutex::new(());

/// Writes an executable file.
pub fn executable(path: &Path, text: impl AsRef<[u8]>) {
    let _spawning = SPAWNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
