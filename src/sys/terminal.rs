//! The controlling terminal and its foreground process group. See tty(4).

use core::ffi::c_int;
use core::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::descriptors::{close, device};

/// The foreground process group of the controlling terminal, if `descriptor` is that
/// terminal. See tcgetpgrp(3), which fails on any other. TIOCGSID would be more direct,
/// but qemu-user does not have it.
#[must_use]
pub fn foreground_group(descriptor: c_int) -> Option<Pid> {
    let mut group: libc::pid_t = 0;
    // SAFETY: TIOCGPGRP writes one pid_t.
    let failed = unsafe { libc::ioctl(descriptor, libc::TIOCGPGRP as _, &raw mut group) } != 0;
    // A pty's master answers for its slave.
    (!failed && !is_master(descriptor)).then(|| Pid::from_raw(group))
}

/// Whether a descriptor is a pty's master, which alone knows its number. In gVisor the
/// slave knows it as well, so its device's major number must not be a slave's. See pts(4).
fn is_master(descriptor: c_int) -> bool {
    let mut number: c_int = 0;
    // SAFETY: TIOCGPTN writes one int.
    let has_number = unsafe { libc::ioctl(descriptor, libc::TIOCGPTN as _, &raw mut number) == 0 };
    let is_slave = || {
        // SAFETY: it is only borrowed for this call.
        let device = device(unsafe { BorrowedFd::borrow_raw(descriptor) });
        device.is_some_and(|it| (136..=143).contains(&libc::major(it)))
    };
    has_number && !is_slave()
}

/// Makes a group of the caller's session the terminal's foreground group. The
/// caller has TTOU blocked. See tcsetpgrp(3).
///
/// # Errors
///
/// ENOTTY if `descriptor` is not the controlling terminal, EPERM if the group belongs to
/// another session, ESRCH or EINVAL if it does not exist.
pub fn set_foreground_group(descriptor: c_int, group: Pid) -> nix::Result<()> {
    let group: libc::pid_t = group.as_raw();
    // SAFETY: TIOCSPGRP reads one pid_t.
    Errno::result(unsafe { libc::ioctl(descriptor, libc::TIOCSPGRP as _, &raw const group) })
        .map(drop)
}

/// Calls `use_it` with a descriptor of the controlling terminal, stdin or /dev/tty, if
/// there is one. Returns false if there is none, or what that returns. See tty(4).
pub fn with_terminal(use_it: &mut dyn FnMut(c_int) -> bool) -> bool {
    if foreground_group(0).is_some() {
        return use_it(0);
    }
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: a C string.
    let descriptor = unsafe { libc::open(c"/dev/tty".as_ptr(), flags) };
    // /dev/tty may be any file.
    let answer = foreground_group(descriptor).is_some() && use_it(descriptor);
    close(descriptor);
    answer
}

/// Whether a descriptor is a terminal, and not the master of one. See isatty(3).
#[must_use]
pub fn is_terminal(descriptor: c_int) -> bool {
    let mut size = MaybeUninit::<libc::winsize>::uninit();
    // SAFETY: TIOCGWINSZ writes one winsize.
    let failed = unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ as _, size.as_mut_ptr()) } != 0;
    !failed && !is_master(descriptor)
}
