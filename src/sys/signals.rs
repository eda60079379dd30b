//! Signals: the mask, sending them, waiting for them and for the time. See signal(7).

use core::ffi::{c_int, c_long, c_void};
use core::ptr;
use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::{self, Pid};

use crate::signal::{Signal, SignalSet};
use crate::time::Duration;

/// The size of the kernel's `sigset_t`. The C library's is larger, and its functions filter it.
const SET_SIZE: usize = size_of::<SignalSet>();

// On a 32-bit big-endian machine the kernel's set is two words in another order.
const _: () = assert!(
    cfg!(target_endian = "little") || cfg!(target_pointer_width = "64"),
    "signal sets are known for little-endian or 64-bit machines only"
);

/// The system calls' `timespec`. On 32-bit machines the C library's own can be longer.
#[repr(C)]
struct KernelTimespec {
    seconds: c_long,
    nanos: c_long,
}

/// Sets the mask of all 64 signals. The C library would leave some out. See sigprocmask(2).
pub fn set_signal_mask(mask: SignalSet) {
    let none = ptr::null::<SignalSet>();
    // SAFETY: the kernel reads SET_SIZE bytes from `mask`. It cannot fail with these arguments.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, none, SET_SIZE)
    };
}

/// Takes the pending signal with the lowest number out of `set`. If there is none, waits for one.
/// EAGAIN after `timeout`, EINTR if interrupted, such as by STOP and CONT. See sigtimedwait(2).
pub fn wait_for_signal(set: SignalSet, timeout: Option<Duration>) -> nix::Result<Signal> {
    let timeout = timeout.map(|timeout| KernelTimespec {
        seconds: timeout.as_secs().try_into().unwrap_or(c_long::MAX),
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
        nanos: timeout.subsec_nanos() as c_long,
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let info = ptr::null::<c_void>();
    // SAFETY: the kernel reads SET_SIZE bytes from `set`, writes no
    // siginfo if that is NULL, and reads `timeout` unless it is NULL.
    let number = Errno::result(unsafe {
        libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set, info, timeout, SET_SIZE)
    })?;
    i32::try_from(number).ok().and_then(Signal::new).ok_or(Errno::EINVAL)
}

/// The pending signals. `None` if a filter forbids the call. See sigpending(2).
pub fn pending_signals() -> Option<SignalSet> {
    let mut set = SignalSet::EMPTY;
    // SAFETY: the kernel writes SET_SIZE bytes to `set`.
    let failed = unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, SET_SIZE) };
    (failed == 0).then_some(set)
}

/// A kernel `sigaction`: the handler, then flags, restorer and mask.
type Action = [usize; 5];

/// Sets the action of a signal, and returns the one before. See sigaction(2); the C
/// library's own refuses signals 32 to 34.
///
/// # Safety
///
/// A handler in `action` may run at any time.
unsafe fn sigaction(signal: Signal, action: Action) -> Action {
    let (signal, mut before) = (signal.number(), [libc::SIG_DFL; 5]);
    // SAFETY: the kernel reads and writes one sigaction, which has at most five words.
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, &raw mut before, SET_SIZE)
    };
    before
}

/// Makes a signal ignored or gives it its default, and returns the action before.
fn set_disposition(signal: Signal, disposition: libc::sighandler_t) -> Action {
    // SAFETY: there is no handler.
    unsafe { sigaction(signal, [disposition, 0, 0, 0, 0]) }
}

/// Discards a pending signal without sigtimedwait(2), by ignoring it for a moment.
#[cold]
#[inline(never)]
pub fn discard(signal: Signal) {
    let before = set_disposition(signal, libc::SIG_IGN);
    // SAFETY: this is the action that was found.
    unsafe { sigaction(signal, before) };
}

/// Takes the lowest pending signal through a signalfd(2), if a filter refuses sigtimedwait(2) and
/// sigpending(2). EAGAIN if none is pending. Any other error: the filter refuses this as well.
#[cold]
#[inline(never)]
pub fn take_signal_by_descriptor() -> nix::Result<Signal> {
    let (set, flags) = (ptr::from_ref(&SignalSet::ALL), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
    // SAFETY: the kernel reads SET_SIZE bytes from the set.
    let descriptor = unsafe { libc::syscall(libc::SYS_signalfd4, -1, set, SET_SIZE, flags) };
    let descriptor = c_int::try_from(Errno::result(descriptor)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: it is new, and nothing else owns it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // The first four bytes of a signalfd_siginfo are the number.
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    unistd::read(descriptor, &mut info)?;
    Signal::new(i32::from_ne_bytes([info[0], info[1], info[2], info[3]])).ok_or(Errno::EINVAL)
}

/// Sleeps for so many milliseconds. All signals are blocked, so none ends it. See poll(2).
pub fn sleep(millis: c_int) {
    // SAFETY: no descriptor is looked at.
    unsafe { libc::poll(ptr::null_mut(), 0, millis) };
}

/// Signals a process, a group (negative) or every process (-1). `None` only checks. See kill(2):
/// ESRCH if the target does not exist, EPERM if none of it may be signalled.
pub fn kill(target: Pid, signal: Option<Signal>) -> nix::Result<()> {
    let number = signal.map_or(0, Signal::number);
    // SAFETY: takes two numbers.
    Errno::result(unsafe { libc::kill(target.as_raw(), number) }).map(drop)
}

/// Sets CHLD's disposition to the default, so that the kernel keeps exited children to be reaped.
/// Discards a pending CHLD. Returns whether CHLD was ignored. See sigaction(2), NOTES.
pub fn reset_sigchld() -> bool {
    set_disposition(Signal::CHLD, libc::SIG_DFL)[0] == libc::SIG_IGN
}

/// Unblocks the signals except those in `blocked`, so that they have their default
/// effect. As PID 1, which the kernel shields from them, TERM and INT still end it.
pub fn let_signals_end(blocked: SignalSet) {
    extern "C" fn end(number: c_int) {
        // SAFETY: never returns.
        unsafe { libc::_exit(128 + number) }
    }
    if unistd::getpid().as_raw() == 1 {
        // The x86-64 kernel runs no handler without a restorer. This one never returns.
        const SA_RESTORER: usize = 0x0400_0000;
        let handler = end as extern "C" fn(c_int) as libc::sighandler_t;
        for signal in [Signal::TERM, Signal::INT] {
            // SAFETY: the handler makes one system call.
            unsafe { sigaction(signal, [handler, SA_RESTORER, handler, 0, 0]) };
        }
    }
    set_signal_mask(blocked);
}

/// The last acts before execve(2): gives CHLD the disposition that drain-init
/// inherited and the `named` signals their default, and unblocks every signal.
pub fn hand_over_signals(sigchld_ignored: bool, named: SignalSet) {
    if sigchld_ignored {
        set_disposition(Signal::CHLD, libc::SIG_IGN);
    }
    for signal in named.iter() {
        set_disposition(signal, libc::SIG_DFL);
    }
    set_signal_mask(SignalSet::EMPTY);
}

/// The time since a fixed moment in the past. See `clock_gettime(2)`, `CLOCK_MONOTONIC`.
pub fn now() -> Duration {
    let mut time = KernelTimespec { seconds: 0, nanos: 0 };
    // SAFETY: the kernel writes one timespec, or leaves the zeros.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut time) };
    #[allow(clippy::cast_sign_loss)]
    Duration::from_secs(time.seconds as u64).saturating_add(Duration::from_nanos(time.nanos as u64))
}
