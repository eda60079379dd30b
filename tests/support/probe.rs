//! The program that the behaviour tests run as COMMAND, as drain command and
//! as stop command.
//!
//!     probe SOCKET NAME [ORDER]...
//!
//! connects to the test that listens at SOCKET, introduces itself as NAME, and carries
//! out the ORDERs, then those that the test sends, one per line. It reports every
//! signal that it receives, so a test waits for events, never for time. It exits when
//! the test closes the connection.
//!
//!     probe host SOCKET INIT [ARG]...
//!
//! starts INIT as a child, reports when INIT stops and when it exits, and reaps every
//! orphan. It is PID 1 of a PID namespace in which the init under test is not PID 1.
//!
//! `no_main`, because Rust's start-up would change what the probe reports (SIGPIPE,
//! closed descriptors, the signal stack).

#![no_main]
#![allow(unsafe_code)]
// Signal numbers, process IDs and descriptors are converted all the time.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// The state that this process was started with.
struct Started {
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
    blocked: u64,
    ignored: u64,
    fds: Vec<c_int>,
    umask: u32,
}

#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    // SAFETY: the C runtime passes that many strings, and environ ends with NULL.
    let (args, env) = unsafe { (strings(words, count as usize), strings(environ, usize::MAX)) };
    // SAFETY: umask cannot fail, and is restored at once.
    let umask = unsafe {
        let old = libc::umask(0);
        libc::umask(old);
        old
    };
    let started = Started {
        args,
        env,
        blocked: change_mask(libc::SIG_BLOCK, 0),
        ignored: (1..=64).filter(|&s| is_ignored(s)).fold(0, |m, s| m | bit(s)),
        // SAFETY: F_GETFD only asks.
        fds: (0..1024).filter(|&fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0).collect(),
        umask,
    };
    let arg = |n: usize| started.args.get(n).cloned().unwrap_or_default();
    // exec-env ENTRY... -- PROGRAM ARG...: with exactly this environment.
    if arg(1) == b"exec-env" {
        let end = started.args.iter().position(|a| a == b"--").unwrap_or(2);
        exec(&started.args[end + 1..], &started.args[2..end]);
    }
    if arg(1) == b"host" {
        let init = fork_exec(&started.args[3..]);
        let mut probe = Probe::new(&arg(2), started);
        probe.host_of = init;
        probe.hello("host");
        probe.say(&format!("init {init}"));
        probe.reap();
        probe.serve();
    }
    let name = String::from_utf8_lossy(&arg(2)).into_owned();
    let orders: Vec<String> =
        started.args.iter().skip(3).map(|a| String::from_utf8_lossy(a).into_owned()).collect();
    let mut probe = Probe::new(&arg(1), started);
    probe.hello(&name);
    for order in orders {
        probe.obey(&order);
    }
    probe.say("ready");
    probe.serve()
}

/// # Safety
/// `list` must hold `count` strings, or end with NULL before.
unsafe fn strings(list: *const *const c_char, count: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for n in 0..count {
        // SAFETY: as the caller promises.
        let string = unsafe { *list.add(n) };
        if string.is_null() {
            break;
        }
        // SAFETY: as the caller promises.
        found.push(unsafe { CStr::from_ptr(string) }.to_bytes().to_vec());
    }
    found
}

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// The raw call, because glibc reserves 32 and 33.
fn change_mask(how: c_int, set: u64) -> u64 {
    let mut old = 0_u64;
    // SAFETY: both sets are eight bytes, as the kernel's are.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const set, &raw mut old, 8) };
    old
}

#[repr(C)]
struct KernelAction {
    handler: usize,
    rest: [u64; 7],
}

fn is_ignored(signal: c_int) -> bool {
    let mut action = KernelAction { handler: 0, rest: [0; 7] };
    // SAFETY: the kernel writes its sigaction, which is not longer than this.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, 0_usize, &raw mut action, 8) };
    action.handler == libc::SIG_IGN
}

fn set_action(signal: c_int, handler: usize) {
    let action = KernelAction { handler, rest: [0; 7] };
    // SAFETY: as above; only SIG_DFL and SIG_IGN come here.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, 0_usize, 8) };
}

fn exec(words: &[Vec<u8>], env: &[Vec<u8>]) -> ! {
    let owned = |list: &[Vec<u8>]| -> Vec<CString> {
        list.iter().map(|w| CString::new(w.clone()).expect("no NUL")).collect()
    };
    let (words, env) = (owned(words), owned(env));
    let pointers = |list: &[CString]| -> Vec<*const c_char> {
        list.iter().map(|w| w.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (words, env) = (pointers(&words), pointers(&env));
    // SAFETY: both lists end with NULL, and what they point to still lives.
    unsafe { libc::execve(words[0], words.as_ptr(), env.as_ptr()) };
    end(97)
}

fn fork_exec(words: &[Vec<u8>]) -> c_int {
    let words: Vec<CString> =
        words.iter().map(|w| CString::new(w.clone()).expect("no NUL")).collect();
    let mut pointers: Vec<*const c_char> = words.iter().map(|w| w.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: one thread; the child only execs. The list ends with NULL.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::execvp(pointers[0], pointers.as_ptr());
            libc::_exit(99);
        }
        child
    }
}

/// The socket that [`report_caught`] writes to.
static HANDLER_SOCKET: AtomicI32 = AtomicI32::new(-1);

/// A signal handler. It allocates nothing.
extern "C" fn report_caught(signal: c_int) {
    let mut line = *b"caught 00\n";
    line[7] += (signal / 10) as u8;
    line[8] += (signal % 10) as u8;
    // SAFETY: the line is that long.
    unsafe { libc::write(HANDLER_SOCKET.load(Relaxed), line.as_ptr().cast(), line.len()) };
}

enum Reaction {
    Exit(c_int),
    Kill(c_int),
}

struct Probe {
    path: Vec<u8>,
    socket: UnixStream,
    signals: c_int,
    started: Started,
    reactions: Vec<(c_int, Reaction)>,
    /// An incomplete line that was read from the socket.
    unread: Vec<u8>,
    host_of: c_int,
}

impl Probe {
    fn new(path: &[u8], started: Started) -> Self {
        change_mask(libc::SIG_SETMASK, !0);
        let signals = signal_descriptor(-1);
        let socket = UnixStream::connect(OsStr::from_bytes(path)).unwrap_or_else(|_| end(98));
        Self {
            path: path.to_vec(),
            socket,
            signals,
            started,
            reactions: Vec::new(),
            unread: Vec::new(),
            host_of: 0,
        }
    }

    fn say(&mut self, line: &str) {
        if writeln!(self.socket, "{line}").is_err() {
            end(0);
        }
    }

    fn hello(&mut self, name: &str) {
        // SAFETY: these only ask.
        let (pid, parent, group, session) =
            unsafe { (libc::getpid(), libc::getppid(), libc::getpgrp(), libc::getsid(0)) };
        self.say(&format!("hello {name} {pid} {parent} {group} {session}"));
    }

    fn serve(&mut self) -> ! {
        loop {
            let mut wait = [
                libc::pollfd { fd: self.signals, events: libc::POLLIN, revents: 0 },
                libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 },
            ];
            // SAFETY: two valid pollfds.
            unsafe { libc::poll(wait.as_mut_ptr(), 2, -1) };
            self.take_signals();
            if wait[1].revents != 0 {
                let mut bytes = [0; 4096];
                match self.socket.read(&mut bytes) {
                    Ok(0) | Err(_) => end(0),
                    Ok(n) => self.unread.extend_from_slice(&bytes[..n]),
                }
                while let Some(at) = self.unread.iter().position(|&b| b == b'\n') {
                    let line: Vec<u8> = self.unread.drain(..=at).collect();
                    self.take_signals();
                    self.obey(String::from_utf8_lossy(&line[..at]).as_ref());
                }
            }
        }
    }

    fn take_signals(&mut self) {
        loop {
            // SAFETY: all zeros is a valid signalfd_siginfo.
            let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
            let size = size_of_val(&info);
            // SAFETY: reads at most one record into one record.
            let n = unsafe { libc::read(self.signals, (&raw mut info).cast(), size) };
            if n != size as isize {
                return;
            }
            let signal = info.ssi_signo as c_int;
            if signal == libc::SIGCHLD && self.host_of != 0 {
                self.reap();
                continue;
            }
            self.say(&format!("signal {signal}"));
            if signal == libc::SIGCHLD {
                self.reap();
            }
            let reaction = self.reactions.iter().rev().find(|r| r.0 == signal).map(|r| &r.1);
            match reaction {
                Some(&Reaction::Exit(status)) => end(status),
                Some(&Reaction::Kill(with)) => die(with),
                None => {}
            }
        }
    }

    fn reap(&mut self) {
        let flags =
            libc::WNOHANG | if self.host_of == 0 { 0 } else { libc::WUNTRACED | libc::WCONTINUED };
        loop {
            let mut status = 0;
            // SAFETY: status is valid.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
            if pid <= 0 {
                return;
            }
            if self.host_of == 0 {
                self.say(&format!("reaped {pid}"));
            } else if pid != self.host_of {
                if !libc::WIFSTOPPED(status) && !libc::WIFCONTINUED(status) {
                    self.say(&format!("orphan {pid} (wait status {status:#x})"));
                }
            } else if libc::WIFSTOPPED(status) {
                self.say("init stopped");
            } else if libc::WIFCONTINUED(status) {
                self.say("init continued");
            } else if libc::WIFEXITED(status) {
                self.say(&format!("init exited {}", libc::WEXITSTATUS(status)));
            } else {
                self.say(&format!("init killed {}", libc::WTERMSIG(status)));
            }
        }
    }

    fn obey(&mut self, order: &str) {
        let words: Vec<&str> = order.split(' ').collect();
        let number = |n: usize| words.get(n).and_then(|w| w.parse::<c_int>().ok()).unwrap_or(0);
        match words[0] {
            "ping" => {
                self.take_signals();
                self.say("pong");
            }
            "exit" => end(number(1)),
            "die" => die(number(1)),
            "on" => {
                let reaction = match words[2] {
                    "exit" => Reaction::Exit(number(3)),
                    "die" => Reaction::Kill(number(3)),
                    other => panic!("no such reaction: {other}"),
                };
                self.reactions.push((number(1), reaction));
            }
            // From now on this signal has its default action.
            "default" => {
                set_action(number(1), libc::SIG_DFL);
                change_mask(libc::SIG_UNBLOCK, bit(number(1)));
                signal_descriptor(self.signals);
            }
            // fork NAME [group|session|GROUP]: a child of this process.
            "fork" => {
                // SAFETY: one thread.
                if unsafe { libc::fork() } == 0 {
                    self.become_child(words[1], words.get(2).copied());
                }
            }
            // orphan NAME [group|session]: a grandchild whose parent has exited.
            "orphan" => {
                // SAFETY: one thread; the middle process exits at once.
                unsafe {
                    let middle = libc::fork();
                    if middle == 0 {
                        let before = libc::getpid();
                        if libc::fork() == 0 {
                            // It is not an orphan until its parent changes.
                            while libc::getppid() == before {
                                libc::sched_yield();
                            }
                            self.become_child(words[1], words.get(2).copied());
                        }
                        libc::_exit(0);
                    }
                    libc::waitpid(middle, std::ptr::null_mut(), 0);
                }
            }
            // fork-as NAME PID [group|session]: a child with exactly this process ID,
            // which must be free. Needs a PID namespace with its own /proc.
            "fork-as" => {
                let last = format!("{}", number(2) - 1);
                let set = std::fs::write("/proc/sys/kernel/ns_last_pid", last);
                // SAFETY: one thread.
                if set.is_ok() && unsafe { libc::fork() } == 0 {
                    self.become_child(words[1], words.get(3).copied());
                }
                self.say(&format!("fork-as {}", set.is_ok()));
            }
            // burst N: N orphans, which exit at once.
            "burst" => {
                for _ in 0..number(1) {
                    // SAFETY: as above.
                    unsafe {
                        let middle = libc::fork();
                        if middle == 0 {
                            libc::fork();
                            libc::_exit(0);
                        }
                        libc::waitpid(middle, std::ptr::null_mut(), 0);
                    }
                }
                self.say("burst done");
            }
            // kill PID SIGNAL: PID is in this namespace; $MAINPID means COMMAND.
            "kill" => {
                let main = || std::env::var("MAINPID").expect("MAINPID").parse();
                let pid =
                    if words[1] == "$MAINPID" { main().expect("a number") } else { number(1) };
                // SAFETY: kill touches no memory.
                let done = unsafe { libc::kill(pid, number(2)) };
                self.say(&format!("kill {done}"));
            }
            // parting SIGNAL STATUS: signals the parent and exits at once.
            "parting" => {
                // SAFETY: as above.
                unsafe { libc::kill(libc::getppid(), number(1)) };
                end(number(2));
            }
            "close" => {
                // SAFETY: the test names a descriptor that it passed.
                let done = unsafe { libc::close(number(1)) };
                self.say(&format!("close {done}"));
            }
            "print" => write_all(1, &format!("{}\n", words[1..].join(" "))),
            "eprint" => write_all(2, &format!("{}\n", words[1..].join(" "))),
            // Reports the change, so that a test can then look at the init's directory.
            "chdir" => {
                let done = std::env::set_current_dir(words[1]).is_ok();
                self.say(&format!("chdir {done}"));
            }
            "ask" => {
                for line in self.answer(words[1]) {
                    self.say(&format!("{} {line}", words[1]));
                }
                self.say(&format!("end {}", words[1]));
            }
            _ => self.change(&words),
        }
    }

    /// The orders that change how the kernel treats this process.
    fn change(&mut self, words: &[&str]) {
        let number = |n: usize| words.get(n).and_then(|w| w.parse::<c_int>().ok()).unwrap_or(0);
        match words[0] {
            // From now on this signal is ignored, and discarded on arrival.
            "ignore" => {
                set_action(number(1), libc::SIG_IGN);
                change_mask(libc::SIG_UNBLOCK, bit(number(1)));
                signal_descriptor(self.signals);
            }
            // The signal is ignored but stays blocked, so this probe still receives it.
            "ignore-blocked" => set_action(number(1), libc::SIG_IGN),
            // From now on a handler catches this signal and reports it as `caught N`.
            "catch" => {
                HANDLER_SOCKET.store(self.socket.as_raw_fd(), Relaxed);
                let handler = report_caught as extern "C" fn(c_int);
                // SAFETY: the handler makes one system call.
                unsafe { libc::signal(number(1), handler as libc::sighandler_t) };
                change_mask(libc::SIG_UNBLOCK, bit(number(1)));
                signal_descriptor(self.signals);
            }
            // The main thread exits, as with pthread_exit(3). Another one continues.
            "retire" => {
                let this = std::ptr::from_mut(self) as usize;
                // SAFETY: the main thread touches nothing any more, and its stack stays
                // mapped for as long as the process lives.
                std::thread::spawn(move || unsafe { (*(this as *mut Self)).serve() });
                // SAFETY: ends this thread alone.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            }
            // Other users may no longer look at this process.
            "undumpable" => {
                // SAFETY: takes two numbers.
                let done = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
                self.say(&format!("undumpable {done}"));
            }
            // become UID: real, effective and saved.
            "become" => {
                let uid = number(1) as u32;
                // SAFETY: takes three numbers.
                let done = unsafe { libc::setresuid(uid, uid, uid) };
                self.say(&format!("become {done}"));
            }
            // From now on the parent is the tracer, although it did not ask for that.
            "traceme" => {
                // SAFETY: the other arguments are not read.
                let done = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
                self.say(&format!("traceme {done}"));
            }
            // foreground GROUP: gives this group the terminal on stdin.
            "foreground" => {
                // SAFETY: takes two numbers.
                let done = unsafe { libc::tcsetpgrp(0, number(1)) };
                self.say(&format!("foreground {done}"));
            }
            // Leads a session of its own from now on.
            "setsid" => {
                // SAFETY: touches no memory.
                let done = unsafe { libc::setsid() };
                self.say(&format!("setsid {}", done > 0));
            }
            // The name in /proc/PID/stat, at most 15 bytes.
            "name" => {
                let name = CString::new(words[1..].join(" ")).expect("no NUL");
                // SAFETY: a C string.
                let done = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
                self.say(&format!("name {done}"));
            }
            other => self.say(&format!("no such order: {other}")),
        }
    }

    fn become_child(&mut self, name: &str, place: Option<&str>) -> ! {
        // SAFETY: neither touches memory.
        unsafe {
            match place {
                Some("group") => libc::setpgid(0, 0),
                Some("session") => libc::setsid(),
                Some(other) => libc::setpgid(0, other.parse().expect("a group")),
                None => 0,
            };
            libc::close(self.signals);
        }
        self.socket =
            UnixStream::connect(OsStr::from_bytes(&self.path)).unwrap_or_else(|_| end(98));
        self.signals = signal_descriptor(-1);
        self.reactions.clear();
        self.unread.clear();
        self.host_of = 0;
        self.hello(name);
        self.say("ready");
        self.serve()
    }

    fn answer(&self, what: &str) -> Vec<String> {
        let set =
            |mask: u64| (1..=64).filter(|&s| mask & bit(s) != 0).map(|s| s.to_string()).collect();
        match what {
            "args" => self.started.args.iter().map(|a| a.escape_ascii().to_string()).collect(),
            "env" => self.started.env.iter().map(|e| e.escape_ascii().to_string()).collect(),
            "blocked" => set(self.started.blocked),
            "ignored" => set(self.started.ignored),
            "fds" => self.started.fds.iter().map(ToString::to_string).collect(),
            "umask" => vec![format!("{:o}", self.started.umask)],
            "cwd" => vec![std::env::current_dir().map_or_else(
                |e| e.to_string(),
                |d| d.as_os_str().as_bytes().escape_ascii().to_string(),
            )],
            "limits" => (0..16).map(limit).collect(),
            "flags" => (0..3)
                // SAFETY: F_GETFL only asks.
                .map(|fd| format!("{fd} {:o}", unsafe { libc::fcntl(fd, libc::F_GETFL) }))
                .collect(),
            "stdin" => {
                let mut bytes = Vec::new();
                let end = std::io::stdin().read_to_end(&mut bytes);
                vec![format!("{} {}", bytes.len(), end.is_ok())]
            }
            "tty" => vec![terminal()],
            "systemd" => systemd(),
            other => vec![format!("no such question: {other}")],
        }
    }
}

fn limit(which: u32) -> String {
    let mut value = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: value is valid.
    unsafe { libc::getrlimit(which as _, &raw mut value) };
    format!("{which} {} {}", value.rlim_cur, value.rlim_max)
}

/// Whether stdin is a terminal, whose session it is, its foreground group, and
/// whether /dev/tty can be opened.
fn terminal() -> String {
    // SAFETY: these only ask; the opened descriptor is closed.
    unsafe {
        let own = libc::open(c"/dev/tty".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        libc::close(own);
        format!(
            "stdin={} session={} foreground={} controlling={}",
            libc::isatty(0),
            libc::tcgetsid(0),
            libc::tcgetpgrp(0),
            own >= 0
        )
    }
}

/// What the real `sd_watchdog_enabled(3)` and `sd_listen_fds(3)` return in this process.
fn systemd() -> Vec<String> {
    // SAFETY: C strings, and the functions as systemd's manual pages declare them.
    unsafe {
        let library = libc::dlopen(c"libsystemd.so.0".as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            return vec!["not there".into()];
        }
        let watchdog = libc::dlsym(library, c"sd_watchdog_enabled".as_ptr());
        let listen = libc::dlsym(library, c"sd_listen_fds".as_ptr());
        let watchdog: extern "C" fn(c_int, *mut u64) -> c_int = std::mem::transmute(watchdog);
        let listen: extern "C" fn(c_int) -> c_int = std::mem::transmute(listen);
        let mut interval = 0;
        let enabled = watchdog(0, &raw mut interval);
        vec![format!("watchdog {enabled} {interval}"), format!("listen {}", listen(0))]
    }
}

/// Lets this descriptor, or a new one for -1, read the blocked signals, 32 and 33
/// included. Other signals are left out, because a read would take one that arrives
/// while it runs. See signalfd(2).
fn signal_descriptor(descriptor: c_int) -> c_int {
    let set = change_mask(libc::SIG_BLOCK, 0);
    let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
    // SAFETY: the set is eight bytes, as the kernel's is.
    unsafe { libc::syscall(libc::SYS_signalfd4, descriptor, &raw const set, 8, flags) as c_int }
}

fn write_all(fd: c_int, text: &str) {
    // SAFETY: the text is that long.
    unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) };
}

fn die(signal: c_int) -> ! {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is valid.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    set_action(signal, libc::SIG_DFL);
    // SAFETY: kill and pause touch no memory.
    unsafe {
        libc::kill(libc::getpid(), signal);
        change_mask(libc::SIG_SETMASK, 0);
        loop {
            libc::pause();
        }
    }
}

fn end(status: c_int) -> ! {
    // SAFETY: ends the process, nothing to clean up.
    unsafe { libc::_exit(status) }
}
