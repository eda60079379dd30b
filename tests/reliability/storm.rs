//! The program that the storms run as COMMAND, as stop command and as the load of the
//! soak. Each act is small.
//!
//!     storm ACT [NUMBER]...
//!
//! It prints every number that a test needs as a line on stdout.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io::Write as _;
use std::time::{Duration, Instant};

static ALL: u64 = !0;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |n: usize| args.get(n).and_then(|word| word.parse::<i32>().ok()).unwrap_or(0);
    match args.get(1).map(String::as_str) {
        Some("wait") => wait(),
        Some("exit-at") => exit_at(number(2), number(3)),
        Some("exit-on") => {
            mask(libc::SIG_BLOCK, bit(number(2)));
            say("ready");
            take(bit(number(2)));
            end(number(3));
        }
        Some("send-and-exit") => send_and_exit(number(2), number(3), number(4)),
        Some("count") => count(),
        Some("orphans") => orphans(number(2), number(3)),
        Some("bomb") => bomb(),
        Some("churn") => churn(),
        Some("eat") => eat(),
        // These change the process, then execute the remaining words.
        Some("ignoring-chld") => surrounded(&args[2..], || set_action(libc::SIGCHLD, IGNORED)),
        Some("ignoring-all") => {
            surrounded(&args[2..], || (1..=64).for_each(|signal| set_action(signal, IGNORED)));
        }
        Some("blocking-all") => surrounded(&args[2..], || mask(libc::SIG_SETMASK, ALL)),
        // A TRAP for the parent then precedes the program's first instruction.
        // SAFETY: the other arguments are not read.
        Some("traced") => surrounded(&args[2..], || unsafe {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        }),
        Some("without-arguments") => without_arguments(&args[2]),
        Some("seccomp") => {
            let filter = args[2].clone();
            surrounded(&args[3..], || install_filter(&filter));
        }
        other => panic!("no such act: {other:?}"),
    }
}

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// The raw call, because glibc reserves 32 and 33.
fn mask(how: c_int, set: u64) {
    // SAFETY: the set is eight bytes, as the kernel's is.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const set, 0_usize, 8) };
}

/// Waits for one of these signals, which are blocked, and takes it.
fn take(set: u64) -> c_int {
    loop {
        // SAFETY: the set is eight bytes; no siginfo, no timeout.
        let signal = unsafe {
            libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set, 0_usize, 0_usize, 8)
        };
        if signal > 0 {
            return c_int::try_from(signal).expect("a signal number");
        }
    }
}

/// Writes the whole line at once, because `_exit` discards what is in a buffer.
fn say(line: &str) {
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}

fn end(status: c_int) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

fn spin(duration: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < duration {
        std::hint::spin_loop();
    }
}

/// Forks, and does this in the child.
fn fork(act: impl FnOnce()) -> c_int {
    // SAFETY: there is one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        act();
        end(0);
    }
    pid
}

fn reap_all(flags: c_int) -> u32 {
    let (mut count, mut status) = (0, 0);
    loop {
        // SAFETY: status is valid.
        match unsafe { libc::waitpid(-1, &raw mut status, flags) } {
            // SAFETY: touches no memory; the child is not reaped.
            pid if pid > 0 && libc::WIFSTOPPED(status) => unsafe {
                libc::kill(pid, libc::SIGCONT);
            },
            pid if pid > 0 => count += 1,
            _ => return count,
        }
    }
}

/// Waits, with every signal at its default action. Dies with its init.
fn wait() {
    // SAFETY: takes two numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // An init may pass on the mask that it inherited. The test counts signals that are
    // lost, not those that are blocked.
    mask(libc::SIG_UNBLOCK, bit(libc::SIGTERM));
    loop {
        // SAFETY: touches no memory.
        unsafe { libc::pause() };
    }
}

/// Exits with `status` this many microseconds after USR1.
fn exit_at(micros: c_int, status: c_int) {
    mask(libc::SIG_BLOCK, bit(libc::SIGUSR1));
    say("ready");
    take(bit(libc::SIGUSR1));
    spin(Duration::from_micros(micros.unsigned_abs().into()));
    end(status);
}

/// As a stop command: signals COMMAND, and exits this many microseconds later.
fn send_and_exit(signal: c_int, micros: c_int, status: c_int) {
    let command = std::env::var("MAINPID").ok().and_then(|pid| pid.parse().ok()).expect("MAINPID");
    // SAFETY: touches no memory.
    unsafe { libc::kill(command, signal) };
    spin(Duration::from_micros(micros.unsigned_abs().into()));
    end(status);
}

/// Receives every signal, while children and orphans come and go. Prints a byte on
/// stdout for each TERM (T) and each real-time signal (r). Exits with 7 on the first
/// WINCH after the end of stdin.
fn count() {
    mask(libc::SIG_SETMASK, ALL);
    say("ready");
    let mut seen = 0_u32;
    loop {
        let signal = take(ALL);
        let byte: &[u8] = match signal {
            libc::SIGTERM => b"T",
            34.. => b"r",
            libc::SIGCHLD => {
                reap_all(libc::WNOHANG);
                continue;
            }
            // The test sends it last, alone.
            libc::SIGWINCH if stdin_has_ended() => end(7),
            _ => b"",
        };
        let _ = std::io::stdout().write_all(byte);
        let _ = std::io::stdout().flush();
        seen += 1;
        match seen % 64 {
            0 => {
                fork(|| {});
            }
            // An orphan.
            32 => {
                fork(|| {
                    fork(|| {});
                });
            }
            _ => {}
        }
    }
}

fn stdin_has_ended() -> bool {
    let mut poll = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
}

/// Starts this many orphans, which then all exit at once. Exits with `status` at the
/// end of stdin.
fn orphans(count: c_int, status: c_int) {
    let mut ends = [0; 2];
    // SAFETY: two descriptors come back.
    unsafe { libc::pipe(ends.as_mut_ptr()) };
    let middle = fork(|| {
        for _ in 0..count {
            // The test must see that a process limit was reached.
            let pid = fork(|| {
                let mut byte = 0_u8;
                // SAFETY: the descriptors are open; one byte is read into one.
                unsafe {
                    libc::close(ends[1]);
                    libc::read(ends[0], (&raw mut byte).cast(), 1);
                }
            });
            if pid < 0 {
                end(1);
            }
        }
    });
    let mut result = 0;
    // SAFETY: result is valid; the descriptors are open.
    unsafe {
        libc::waitpid(middle, &raw mut result, 0);
        say(if result == 0 { "all started" } else { "not all started" });
        libc::close(ends[0]);
        libc::close(ends[1]);
    }
    let mut poll = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, -1) };
    end(status);
}

/// Processes that fork forever, as many as the limit allows.
fn bomb() {
    say("ready");
    loop {
        // SAFETY: there is one thread.
        if unsafe { libc::fork() } < 0 {
            reap_all(libc::WNOHANG);
            // SAFETY: gives the others a turn.
            unsafe { libc::sched_yield() };
        }
    }
}

/// The load of the soak: random children and orphans in their own groups and sessions,
/// some stopped, some killed. Receives every signal.
fn churn() {
    mask(libc::SIG_SETMASK, ALL);
    say("ready");
    let mut random = u64::from(std::process::id()) | 1;
    let mut next = |below: u64| {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    loop {
        let (kind, nap, number) = (next(6), next(3_000), next(8));
        for _ in 0..=number {
            let act = move || {
                let nap = Duration::from_micros(nap);
                match kind {
                    0 => {}
                    1 => std::thread::sleep(nap),
                    // SAFETY: neither touches memory.
                    2 => unsafe {
                        libc::setsid();
                        libc::raise(libc::SIGKILL);
                    },
                    // An orphan, and one that takes a while.
                    3 => {
                        fork(|| {});
                    }
                    4 => {
                        fork(|| std::thread::sleep(nap));
                    }
                    _ => {
                        // SAFETY: touches no memory.
                        unsafe { libc::setpgid(0, 0) };
                        fork(|| {
                            fork(|| std::thread::sleep(nap));
                        });
                    }
                }
            };
            fork(act);
        }
        // A child that was stopped with the group and then left it missed the group's
        // CONT.
        reap_all(libc::WUNTRACED);
        let waiting = libc::timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        // Takes pending signals, then rests.
        // SAFETY: the set is eight bytes, the timeout is valid.
        while unsafe {
            libc::syscall(libc::SYS_rt_sigtimedwait, &raw const ALL, 0_usize, &raw const waiting, 8)
        } > 0
        {}
    }
}

/// Allocates memory until none is left.
fn eat() {
    say("ready");
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(vec![1; 1 << 20]);
        std::hint::black_box(&all);
    }
}

const IGNORED: usize = libc::SIG_IGN;

fn set_action(signal: c_int, handler: usize) {
    let action = [handler as u64, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the kernel reads its sigaction, which is not longer than this.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), 0_usize, 8) };
}

fn surrounded(words: &[String], by: impl FnOnce()) {
    // Rust's start-up ignores it.
    set_action(libc::SIGPIPE, libc::SIG_DFL);
    let words: Vec<_> =
        words.iter().map(|word| std::ffi::CString::new(word.as_bytes()).expect("no NUL")).collect();
    let mut argv: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    argv.push(std::ptr::null());
    by();
    // SAFETY: the list ends with NULL.
    unsafe { libc::execvp(argv[0], argv.as_ptr()) };
    end(99);
}

/// An empty argument list. Since 5.18 the kernel passes one empty word instead.
fn without_arguments(program: &str) {
    unsafe extern "C" {
        static environ: *const *const std::ffi::c_char;
    }
    let program = std::ffi::CString::new(program).expect("no NUL");
    let none = [std::ptr::null()];
    // SAFETY: both lists end with NULL.
    unsafe { libc::execve(program.as_ptr(), none.as_ptr(), environ) };
    end(99);
}

/// The calls that Docker's default profile denies to a container without capabilities,
/// as its documentation lists them, except those that not every architecture has. They
/// fail with EPERM, and clone3 with ENOSYS.
#[rustfmt::skip]
static DOCKER: &[libc::c_long] = &[
    libc::SYS_acct, libc::SYS_add_key, libc::SYS_bpf, libc::SYS_clock_adjtime,
    libc::SYS_clock_settime, libc::SYS_delete_module, libc::SYS_finit_module, libc::SYS_fsconfig,
    libc::SYS_fsmount, libc::SYS_fsopen, libc::SYS_fspick, libc::SYS_get_mempolicy,
    libc::SYS_init_module, libc::SYS_io_uring_enter, libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup, libc::SYS_kcmp, libc::SYS_kexec_load,
    libc::SYS_keyctl, libc::SYS_lookup_dcookie, libc::SYS_mbind, libc::SYS_mount,
    libc::SYS_mount_setattr, libc::SYS_move_mount, libc::SYS_move_pages, libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at, libc::SYS_open_tree, libc::SYS_perf_event_open,
    libc::SYS_pivot_root, libc::SYS_quotactl, libc::SYS_reboot, libc::SYS_request_key,
    libc::SYS_set_mempolicy, libc::SYS_setdomainname, libc::SYS_sethostname, libc::SYS_setns,
    libc::SYS_settimeofday, libc::SYS_swapoff, libc::SYS_swapon, libc::SYS_syslog,
    libc::SYS_umount2, libc::SYS_unshare, libc::SYS_userfaultfd, libc::SYS_vhangup,
];

/// Calls that older kernels do not have.
#[rustfmt::skip]
static NEWER: &[libc::c_long] = &[
    libc::SYS_close_range, libc::SYS_pwritev2, libc::SYS_faccessat2, libc::SYS_openat2,
    libc::SYS_statx, libc::SYS_pidfd_open, libc::SYS_clone3,
    #[cfg(target_pointer_width = "64")]
    libc::SYS_rseq,
];

/// The calls that fstat(3) makes.
#[cfg(target_pointer_width = "64")]
static STAT: &[libc::c_long] = &[libc::SYS_fstat, libc::SYS_newfstatat];
#[cfg(target_pointer_width = "32")]
static STAT: &[libc::c_long] = &[libc::SYS_fstat64, libc::SYS_fstatat64, libc::SYS_statx];

static WAIT: &[libc::c_long] = &[libc::SYS_rt_sigtimedwait];

static SEND: &[libc::c_long] = &[libc::SYS_sendto];

/// The non-blocking writes.
static NOWAIT: &[libc::c_long] = &[libc::SYS_sendto, libc::SYS_pwritev2];

/// List a directory.
static LIST: &[libc::c_long] = &[libc::SYS_getdents64];

/// Create a session, and a process group.
static SESSION: &[libc::c_long] = &[libc::SYS_setsid];
static SESSION_AND_GROUP: &[libc::c_long] = &[libc::SYS_setsid, libc::SYS_setpgid];

/// Wait for signals, list the pending ones, and (the second list) read them.
static WAIT_AND_ASK: &[libc::c_long] = &[libc::SYS_rt_sigtimedwait, libc::SYS_rt_sigpending];
#[rustfmt::skip]
static WAIT_ASK_AND_READ: &[libc::c_long] = &[
    libc::SYS_rt_sigtimedwait, libc::SYS_rt_sigpending, libc::SYS_signalfd4, SIGNALFD,
];

/// The older signalfd, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const SIGNALFD: libc::c_long = libc::SYS_signalfd;
#[cfg(not(target_arch = "x86_64"))]
const SIGNALFD: libc::c_long = libc::SYS_signalfd4;

/// The filters:
/// - `docker`
/// - `old-kernel`: the newer calls fail with ENOSYS
/// - `old-runtime`: they fail with EPERM, because the runtime does not support them
/// - `no-sigtimedwait`, `no-sigpending`, `no-signalfd`: each also denies those before it
/// - `no-getdents`, `no-setsid`, `no-setpgid`: the last also denies setsid
/// - `no-fstat-of-stderr`, `no-send-to-stderr`, `no-room-in-stderr`: only for stderr
///
/// `no-sigpending` to `no-setpgid` fail with EPERM or, if `-on-this-kernel` is appended,
/// with ENOSYS.
fn install_filter(name: &str) {
    const LOAD_NUMBER: libc::sock_filter = libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 }; // ld [nr]
    let answer = |k| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k };
    let equal = |number: libc::c_long| libc::sock_filter {
        code: 0x15,
        jt: 0,
        jf: 1,
        k: u32::try_from(number).expect("a call's number"),
    };
    let error = |errno: c_int| libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
    let (name, missing) = match name.strip_suffix("-on-this-kernel") {
        Some(name) => (name, libc::ENOSYS),
        None => (name, libc::EPERM),
    };
    let (calls, with) = match name {
        "no-getdents" => (LIST, missing),
        "no-setsid" => (SESSION, missing),
        "no-setpgid" => (SESSION_AND_GROUP, missing),
        "no-sigpending" => (WAIT_AND_ASK, missing),
        "no-signalfd" => (WAIT_ASK_AND_READ, missing),
        "no-fstat-of-stderr" => (STAT, libc::EPERM),
        "no-send-to-stderr" => (SEND, libc::EPERM),
        "no-room-in-stderr" => (NOWAIT, libc::EAGAIN),
        "no-sigtimedwait" => (WAIT, libc::EPERM),
        "docker" => (DOCKER, libc::EPERM),
        "old-kernel" => (NEWER, libc::ENOSYS),
        "old-runtime" => (NEWER, libc::EPERM),
        other => panic!("no such filter: {other}"),
    };
    let mut program = vec![LOAD_NUMBER, equal(libc::SYS_clone3), answer(error(libc::ENOSYS))];
    if name.ends_with("-stderr") {
        // The loader and COMMAND make these calls for other descriptors.
        const LOAD_DESCRIPTOR: libc::sock_filter =
            libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 16 }; // ld [args[0]]
        let skips = |jf| libc::sock_filter { code: 0x15, jt: 0, jf, k: 2 };
        let those = u8::try_from(1 + 2 * calls.len()).expect("some calls");
        program.extend([LOAD_DESCRIPTOR, skips(those), LOAD_NUMBER]);
    }
    for &call in calls {
        program.extend([equal(call), answer(error(with))]);
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    let list = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("a short program"),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: a program of that length.
    unsafe {
        let mode = libc::SECCOMP_MODE_FILTER;
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const list) != 0
        {
            end(95);
        }
    }
}
