//! What the storms run as COMMAND, as stop command and as the load of the soak:
//! small acts, each of which is over in microseconds.
//!
//!     storm ACT [NUMBER]...
//!
//! Every number that a test needs back is a line on stdout.

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
        other => panic!("no such act: {other:?}"),
    }
}

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// The raw calls: glibc keeps 32 and 33 to itself.
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

/// One write, which is whole: nothing may be left in a buffer at `_exit`.
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
    let mut count = 0;
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), flags) } > 0 {
        count += 1;
    }
    count
}

/// Every signal does what it does by itself.
fn wait() {
    loop {
        // SAFETY: touches no memory.
        unsafe { libc::pause() };
    }
}

/// On USR1 ends with `status`, that many microseconds later.
fn exit_at(micros: c_int, status: c_int) {
    mask(libc::SIG_BLOCK, bit(libc::SIGUSR1));
    say("ready");
    take(bit(libc::SIGUSR1));
    spin(Duration::from_micros(micros.unsigned_abs().into()));
    end(status);
}

/// As a stop command: a signal to COMMAND, and its own end that much later.
fn send_and_exit(signal: c_int, micros: c_int, status: c_int) {
    let command = std::env::var("MAINPID").ok().and_then(|pid| pid.parse().ok()).expect("MAINPID");
    // SAFETY: touches no memory.
    unsafe { libc::kill(command, signal) };
    spin(Duration::from_micros(micros.unsigned_abs().into()));
    end(status);
}

/// Takes every signal, while children and orphans come and go. Says each TERM
/// and each real-time signal as a byte, T or r, on stdout. Ends with 7 on the
/// first signal after stdin has come to its end.
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
            // The one that is sent last, alone.
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
    // SAFETY: one descriptor, as said.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
}

/// That many orphans, which wait until they all may end at once; then ends with
/// `status`, on the end of stdin.
fn orphans(count: c_int, status: c_int) {
    let mut ends = [0; 2];
    // SAFETY: two descriptors come back.
    unsafe { libc::pipe(ends.as_mut_ptr()) };
    let middle = fork(|| {
        for _ in 0..count {
            // At a limit of processes the test has to know.
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
    // SAFETY: one descriptor, as said.
    unsafe { libc::poll(&raw mut poll, 1, -1) };
    end(status);
}

/// Processes that fork for ever, as many as there may be.
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

/// The soak's load: children and orphans in groups and sessions of their own,
/// some stopped, some killed, at random; every signal is taken.
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
        reap_all(0);
        let waiting = libc::timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        // Takes what came meanwhile, and rests.
        // SAFETY: the set is eight bytes, the timeout is valid.
        while unsafe {
            libc::syscall(libc::SYS_rt_sigtimedwait, &raw const ALL, 0_usize, &raw const waiting, 8)
        } > 0
        {}
    }
}
