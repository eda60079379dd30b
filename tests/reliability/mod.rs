//! Shared by the reliability tests: the number of rounds, the helper program,
//! thousands of inits, control groups.

#![allow(dead_code, unused_imports)] // no test file uses all of it
#![allow(unsafe_code)]

mod places;

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use places::*;

/// `full` with FULL=1, otherwise `short`.
pub fn rounds(short: usize, full: usize) -> usize {
    if std::env::var_os("FULL").is_some_and(|value| !value.is_empty()) { full } else { short }
}

/// Random numbers that are the same in every run, unless SEED is set.
pub struct Random(u64);

impl Random {
    pub fn new(stream: u64) -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (stream << 32) | 1)
    }

    /// At least 0, below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("below end")
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The program whose acts the storms run as COMMAND.
pub fn storm() -> PathBuf {
    crate::support::example("storm", "tests/reliability/storm.rs")
}

/// Words before the init that run an act of storm, which then executes the init.
pub fn by_storm(act: &[&str]) -> Vec<String> {
    let program = storm().to_str().unwrap().to_string();
    std::iter::once(program).chain(act.iter().map(ToString::to_string)).collect()
}

/// CMD in exec form that runs an act of storm.
pub fn storm_json(act: &[&str]) -> String {
    let program = storm();
    let words: Vec<String> = std::iter::once(program.to_str().unwrap())
        .chain(act.iter().copied())
        .map(|word| format!("\"{word}\""))
        .collect();
    format!("[{}]", words.join(","))
}

/// A process that is cheap enough to start by the thousand: without a thread, and
/// only with the pipes that it is given.
pub struct Light {
    pub words: Vec<OsString>,
    /// Runs as PID 1 of its own PID namespace.
    pub pid_1: bool,
    /// Signals that are blocked from the start.
    pub blocked: u64,
    /// The `cgroup.procs` of a control group to enter before exec.
    pub procs: Option<PathBuf>,
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

pub fn light<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Light {
    Light {
        words: words.into_iter().map(|word| word.as_ref().to_owned()).collect(),
        pid_1: false,
        blocked: 0,
        procs: None,
        stdin: None,
        stdout: None,
        stderr: None,
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(i32),
    /// It did not exit in time, and was killed.
    NotInTime,
}

pub struct Child {
    pub pid: i32,
    pidfd: OwnedFd,
    ended: bool,
}

impl Light {
    /// Starts it, and returns once the program has been executed.
    pub fn start(self) -> Child {
        let words: Vec<CString> =
            self.words.iter().map(|word| CString::new(word.as_bytes()).unwrap()).collect();
        let mut argv: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
        argv.push(std::ptr::null());
        let null =
            OwnedFd::from(fs::File::options().read(true).write(true).open("/dev/null").unwrap());
        let number = |fd: &Option<OwnedFd>| fd.as_ref().unwrap_or(&null).as_raw_fd();
        let fds = [number(&self.stdin), number(&self.stdout), number(&self.stderr)];
        let flags = if self.pid_1 { libc::CLONE_NEWPID } else { 0 } | libc::SIGCHLD;
        let mut pidfd: libc::c_int = -1;
        // At end of file, the program has been executed.
        let (mut executed, end) = crate::support::pipe();
        let procs = self.procs.map(|path| CString::new(path.as_os_str().as_bytes()).unwrap());
        let blocked = self.blocked;
        let mut mask = 0_u64;
        // SAFETY: as fork(2), with a pidfd and perhaps a namespace. The child only
        // makes system calls, on data that was prepared before.
        unsafe {
            // Blocked here, because the child inherits the mask.
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_BLOCK,
                &raw const blocked,
                &raw mut mask,
                8,
            );
            let pid = libc::syscall(
                libc::SYS_clone,
                flags | libc::CLONE_PIDFD,
                0_usize,
                &raw mut pidfd,
                0_usize,
                0_usize,
            );
            assert!(pid >= 0, "clone: {}", io::Error::last_os_error());
            if pid == 0 {
                for signal in 1..=64 {
                    let default = [0_u64; 8];
                    libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0_usize, 8);
                }
                for (to, from) in (0..).zip(fds) {
                    libc::dup2(from, to);
                }
                if let Some(procs) = &procs {
                    let file = libc::open(procs.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                    if libc::write(file, c"0".as_ptr().cast(), 1) != 1 {
                        libc::_exit(96);
                    }
                }
                set_mask(blocked);
                libc::execv(argv[0], argv.as_ptr());
                libc::_exit(97);
            }
            set_mask(mask);
            let pid = i32::try_from(pid).unwrap();
            drop(end);
            let _ = executed.read(&mut [0]);
            Child { pid, pidfd: OwnedFd::from_raw_fd(pidfd), ended: false }
        }
    }
}

fn set_mask(mask: u64) {
    // SAFETY: the set is eight bytes, as the kernel's is.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0_usize, 8)
    };
}

impl Child {
    /// Sends a signal, unless it has been reaped.
    pub fn signal(&self, signal: i32) {
        if !self.ended {
            // SAFETY: it is not reaped, so the number is its own.
            let done = unsafe { libc::kill(self.pid, signal) };
            assert_eq!(done, 0, "kill: {}", io::Error::last_os_error());
        }
    }

    /// Whether it exits within this time. It is not killed if it does not.
    pub fn ends_within(&self, patience: Duration) -> bool {
        let mut poll =
            libc::pollfd { fd: self.pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = i32::try_from(patience.as_millis()).unwrap();
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut poll, 1, millis) > 0 }
    }

    /// Waits this long for its exit, then kills it.
    pub fn end(&mut self, patience: Duration) -> End {
        let in_time = self.ends_within(patience);
        if !in_time {
            self.signal(libc::SIGKILL);
        }
        let mut status = 0;
        // SAFETY: status is valid.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        assert_eq!(pid, self.pid);
        self.ended = true;
        match status {
            _ if !in_time => End::NotInTime,
            status if libc::WIFEXITED(status) => End::Exited(libc::WEXITSTATUS(status)),
            status => End::Killed(libc::WTERMSIG(status)),
        }
    }
}

/// Runs this thread and its children before the other processes of the machine, so that
/// those are not measured as well. Changes nothing without the permission to do so.
pub fn go_before_others() {
    let priority = 1;
    // The raw call: musl's own always fails.
    // SAFETY: the kernel reads one number.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_RR, &raw const priority) };
}

/// A set with TERM as its only member.
pub const TERM_ONLY: u64 = 1 << (libc::SIGTERM - 1);

/// Sends TERM within the init's first two milliseconds, in up to `count` rounds. Returns
/// how often the signal was lost, how often it killed the init before main, and the
/// number of rounds.
pub fn early_stops(
    words: &[&str],
    pid_1: bool,
    blocked: u64,
    count: usize,
) -> (usize, usize, usize) {
    // SAFETY: takes two numbers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let mut random = Random::new(6);
    let (mut rounds, mut before_main) = (0, 0);
    // Slow inits keep running in the meantime: only a long silence proves a loss, and
    // there may be many of them.
    let mut late = Vec::new();
    // If the first 20 are all slow, a thousand more would not show anything new.
    while rounds < count && (rounds != 20 || late.len() != rounds) {
        rounds += 1;
        let mut start = light(words.iter().copied());
        start.words.push(storm().into_os_string());
        start.words.push("wait".into());
        start.pid_1 = pid_1;
        start.blocked = blocked;
        let nap = Duration::from_micros(random.below(2_000));
        let mut init = start.start();
        let begin = Instant::now();
        while begin.elapsed() < nap {
            std::hint::spin_loop();
        }
        init.signal(libc::SIGTERM);
        if init.ends_within(Duration::from_millis(10)) {
            before_main += ended_by_term(&mut init, pid_1 || blocked != 0);
        } else {
            late.push(init);
        }
    }
    let mut lost = 0;
    let since = Instant::now();
    for init in &mut late {
        if init.ends_within(Duration::from_secs(2).saturating_sub(since.elapsed())) {
            before_main += ended_by_term(init, pid_1 || blocked != 0);
        } else {
            lost += 1;
            init.end(Duration::ZERO);
        }
    }
    // This process adopts the COMMANDs that lost their init.
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
    (lost, before_main, rounds)
}

/// Checks how an init exited. Returns 1 if TERM killed it before its first instruction,
/// as it would kill any process: COMMAND was never started.
fn ended_by_term(init: &mut Child, not_by_itself: bool) -> usize {
    match init.end(Duration::ZERO) {
        End::Exited(143) => 0,
        End::Killed(libc::SIGTERM) if !not_by_itself => 1,
        other => panic!("{other:?}"),
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Duration::ZERO);
        }
    }
}

// ------------------------------------------------------------ control groups

/// A control group with one controller, removed when this is dropped.
pub struct Group {
    path: PathBuf,
    controller: &'static str,
    unified: bool,
}

impl Group {
    /// The controller is `pids`, `memory` or `freezer`. `None` if the system does not have
    /// it, or if the user may not create a group.
    pub fn new(controller: &'static str, name: &str) -> Option<Self> {
        let name = format!("drain-init-{}-{name}", std::process::id());
        let own = PathBuf::from(format!("/sys/fs/cgroup/{controller}"));
        let (path, unified) = if own.is_dir() {
            (own.join(name), false)
        } else {
            let root = Path::new("/sys/fs/cgroup");
            if controller != "freezer" {
                fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")).ok()?;
            }
            (root.join(name), true)
        };
        fs::create_dir(&path).ok()?;
        Some(Self { path, controller, unified })
    }

    /// The file that adds a process to the group.
    pub fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    pub fn add(&self, pid: i32) {
        fs::write(self.procs(), pid.to_string()).unwrap();
    }

    pub fn set(&self, file: &str, value: &str) {
        let path = self.path.join(file);
        fs::write(&path, value).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// The number of processes in it, threads included.
    pub fn current(&self) -> usize {
        let text = fs::read_to_string(self.path.join("pids.current")).unwrap();
        text.trim().parse().unwrap()
    }

    pub fn limit_memory(&self, bytes: u64) {
        let file = if self.unified { "memory.max" } else { "memory.limit_in_bytes" };
        self.set(file, &bytes.to_string());
    }

    pub fn freeze(&self, frozen: bool) {
        if self.unified {
            self.set("cgroup.freeze", if frozen { "1" } else { "0" });
        } else {
            self.set("freezer.state", if frozen { "FROZEN" } else { "THAWED" });
        }
    }

    pub fn is_frozen(&self) -> bool {
        let (file, word) =
            if self.unified { ("cgroup.events", "frozen 1") } else { ("freezer.state", "FROZEN") };
        fs::read_to_string(self.path.join(file)).unwrap().contains(word)
    }

    fn members(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.procs()).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.controller == "freezer" {
            self.freeze(false);
        }
        // Kills what a failed test left running. A fork bomb takes more than one round.
        for _ in 0..1_000 {
            for pid in self.members() {
                if pid > 1 && pid.unsigned_abs() != std::process::id() {
                    // SAFETY: a member of the group that this test made.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
            }
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!("{} could not be removed", self.path.display());
    }
}
