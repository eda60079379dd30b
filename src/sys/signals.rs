//! Signals: the mask, sending them, waiting for them and for the time. See
//! signal(7).

use core::ffi::{c_int, c_long, c_void};
use core::ptr;
use core::time::Duration;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::signal::{Signal, SignalSet};

/// The size of the kernel's `sigset_t`, which is what [`SignalSet`] is. The C
/// library's own type is larger, and musl's functions filter it.
const KERNEL_SIGSET_SIZE: usize = size_of::<SignalSet>();

// On a 32-bit big-endian machine the kernel's set is two words in another order.
const _: () = assert!(
    cfg!(target_endian = "little") || cfg!(target_pointer_width = "64"),
    "signal sets are known for little-endian or 64-bit machines only"
);

/// The `timespec` of this system call, whatever the C library's own is: its
/// second word is no longer `time_t` on 32-bit machines.
#[repr(C)]
struct KernelTimespec {
    seconds: c_long,
    nanos: c_long,
}

/// Sets the signal mask, all 64 signals of it. See sigprocmask(2), which musl
/// and glibc do not let touch signals 32 to 34.
pub fn set_signal_mask(mask: SignalSet) {
    let mask = mask.bits();
    // SAFETY: the kernel reads KERNEL_SIGSET_SIZE bytes from `mask`. It cannot
    // fail with these arguments.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            ptr::null::<u64>(),
            KERNEL_SIGSET_SIZE,
        );
    }
}

/// Takes the pending signal with the lowest number out of `set`, waiting for one
/// for `timeout`, or for ever. See sigtimedwait(2).
///
/// # Errors
///
/// EAGAIN when the time is over, EINTR when the wait was interrupted (by a stop
/// and CONT, say).
pub fn wait_for_signal(set: SignalSet, timeout: Option<Duration>) -> nix::Result<Signal> {
    let set = set.bits();
    let timeout = timeout.map(|timeout| KernelTimespec {
        seconds: timeout.as_secs().try_into().unwrap_or(c_long::MAX),
        #[allow(clippy::cast_lossless, clippy::cast_possible_wrap)]
        nanos: timeout.subsec_nanos() as c_long,
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads KERNEL_SIGSET_SIZE bytes from `set`, writes no
    // siginfo where that is NULL, and reads `timeout` where it is not NULL.
    let number = unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set,
            ptr::null::<c_void>(),
            timeout,
            KERNEL_SIGSET_SIZE,
        )
    };
    let number = Errno::result(number)?;
    i32::try_from(number).ok().and_then(Signal::new).ok_or(Errno::EINVAL)
}

/// The signals that are pending, where a filter does not forbid to ask. See
/// sigpending(2).
#[must_use]
pub fn pending_signals() -> Option<SignalSet> {
    let mut set = 0_u64;
    // SAFETY: the kernel writes KERNEL_SIGSET_SIZE bytes to `set`.
    let failed =
        unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, KERNEL_SIGSET_SIZE) };
    (failed == 0).then(|| SignalSet::from_bits(set))
}

/// A kernel `sigaction` with the handler in its first word; no flag asks for a
/// restorer.
type Action = [u64; 4];

/// Sets the action of a signal, if there is a new one, and returns the one before. See
/// rt_sigaction(2); the C library's sigaction refuses signals 32 to 34.
fn sigaction(signal: Signal, new: Option<&Action>) -> Action {
    let mut before = Action::default();
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads and writes one sigaction, which is at most four words of
    // 64 bits. It installs no handler of ours.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal.number(),
            new,
            &raw mut before,
            KERNEL_SIGSET_SIZE,
        );
    }
    before
}

/// Discards a pending signal without sigtimedwait(2), by ignoring it for a moment.
#[cold]
#[inline(never)]
pub fn discard(signal: Signal) {
    let before = sigaction(signal, Some(&[libc::SIG_IGN as u64, 0, 0, 0]));
    sigaction(signal, Some(&before));
}

/// Sets a signal's disposition to its default.
fn reset(signal: Signal) {
    sigaction(signal, Some(&Action::default()));
}

/// Takes the pending signal with the lowest number through a signalfd(2), for a
/// filter that refuses sigtimedwait(2) and sigpending(2).
///
/// # Errors
///
/// EAGAIN if no signal is pending. Any other error: the filter refuses this as well.
#[cold]
#[inline(never)]
pub fn take_signal_by_descriptor() -> nix::Result<Signal> {
    let all = SignalSet::ALL.bits();
    let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
    // SAFETY: the kernel reads KERNEL_SIGSET_SIZE bytes from `all`.
    let descriptor = unsafe {
        libc::syscall(libc::SYS_signalfd4, -1, &raw const all, KERNEL_SIGSET_SIZE, flags)
    };
    let descriptor = c_int::try_from(Errno::result(descriptor)?).map_err(|_| Errno::EBADF)?;
    // The first four bytes of a signalfd_siginfo, which has 128, are the number.
    let mut info = [0_i32; 32];
    // SAFETY: the kernel writes at most the size of `info`.
    let count = unsafe { libc::read(descriptor, info.as_mut_ptr().cast(), size_of_val(&info)) };
    let result = Errno::result(count);
    super::close(descriptor);
    result.and_then(|_| Signal::new(info[0]).ok_or(Errno::EINVAL))
}

/// Sleeps for so many milliseconds, whatever signal comes: all are blocked. See
/// poll(2).
pub fn sleep(millis: c_int) {
    // SAFETY: no descriptor is looked at.
    unsafe { libc::poll(ptr::null_mut(), 0, millis) };
}

/// Sends a signal as kill(2) takes it: to a process ID, to a group (negative),
/// to every process (-1). `None` only asks whether it could be sent.
///
/// # Errors
///
/// ESRCH where there is no such process, EPERM where none may be signalled.
pub fn kill(target: Pid, signal: Option<Signal>) -> nix::Result<()> {
    let number = signal.map_or(0, Signal::number);
    // SAFETY: takes two numbers.
    let failed = unsafe { libc::kill(target.as_raw(), number) } != 0;
    if failed { Err(Errno::last()) } else { Ok(()) }
}

/// Makes CHLD's disposition the default, under which the kernel keeps a dead
/// child until it is reaped. Discards a pending CHLD. Says whether CHLD was
/// ignored. See sigaction(2), NOTES.
#[must_use]
pub fn reset_sigchld() -> bool {
    // SAFETY: signal(2) takes a number and one of its constants.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) == libc::SIG_IGN }
}

/// Lets signals do what they do by themselves, but for those in `blocked`. Where
/// the kernel would shield PID 1 from them, TERM and INT end it all the same.
pub fn let_signals_end(blocked: SignalSet) {
    extern "C" fn end(number: c_int) {
        // SAFETY: never returns.
        unsafe { libc::_exit(128 + number) }
    }
    if nix::unistd::getpid().as_raw() == 1 {
        for signal in [libc::SIGTERM, libc::SIGINT] {
            // SAFETY: the handler makes one system call.
            unsafe { libc::signal(signal, end as extern "C" fn(c_int) as libc::sighandler_t) };
        }
    }
    set_signal_mask(blocked);
}

/// The last acts before [`exec`]: gives CHLD the disposition that drain-init
/// inherited and the `named` signals their default, and unblocks every signal.
pub fn hand_over_signals(sigchld_ignored: bool, named: SignalSet) {
    if sigchld_ignored {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    }
    for signal in named.iter() {
        reset(signal);
    }
    set_signal_mask(SignalSet::EMPTY);
}

/// The time since some moment in the past, never set back. See `clock_gettime(2)`,
/// `CLOCK_MONOTONIC`.
#[must_use]
pub fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, or leaves the zeros.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)]
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
