//! Processes: fork, exec, exit, reaping, and what a process may ask for itself.

use core::ffi::{CStr, c_int, c_long};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::words::{Words, word};
use crate::signal::Signal;
use crate::status::Status;

/// What has happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    Exited(Status),
    Suspended(Signal),
    Continued,
}

/// Reaps one child that has exited, of any kind (`__WALL`), or reports one that was
/// suspended or continued; `None` if no child was. A child that asked to be traced is
/// released first. See waitpid(2): ECHILD if no child remains.
pub fn wait_for_child() -> nix::Result<Option<(Pid, Change)>> {
    const OPTIONS: c_int = libc::WNOHANG | libc::__WALL | libc::WUNTRACED | libc::WCONTINUED;
    let mut status: c_int = 0;
    loop {
        // SAFETY: the kernel writes one int to `status`.
        let pid = match Errno::result(unsafe { libc::waitpid(-1, &raw mut status, OPTIONS) }) {
            Err(Errno::EINTR) => continue,
            Ok(0) => return Ok(None),
            pid => Pid::from_raw(pid?),
        };
        if libc::WIFCONTINUED(status) {
            return Ok(Some((pid, Change::Continued)));
        }
        if !libc::WIFSTOPPED(status) {
            return Ok(Some((pid, Change::Exited(decode(status)))));
        }
        let signal = Signal::new(libc::WSTOPSIG(status) & 0x7f).unwrap_or(Signal::STOP);
        if !stop_tracing(pid, signal) {
            return Ok(Some((pid, Change::Suspended(signal))));
        }
    }
}

/// Ends the tracing of a child that has called `PTRACE_TRACEME`, which stops at each signal.
/// Returns false if the child is not traced, and so was suspended. See ptrace(2).
#[cold]
fn stop_tracing(pid: Pid, signal: Signal) -> bool {
    // The TRAP is the exec's, not a signal that was sent.
    let passed_on = if signal == Signal::TRAP { 0 } else { signal.number() };
    // SAFETY: PTRACE_DETACH takes numbers only.
    let failed =
        unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_DETACH, pid.as_raw(), 0, passed_on) };
    failed == 0
}

/// An exit, or a signal that has killed the process.
fn decode(status: c_int) -> Status {
    match Signal::new(libc::WTERMSIG(status)) {
        Some(signal) => Status::Killed(signal),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        None => Status::Exited(libc::WEXITSTATUS(status) as u8),
    }
}

/// Proof that the process has one thread, so that a fork's child may do all that its parent may.
pub struct OneThread(());

impl OneThread {
    /// # Safety
    ///
    /// The process has one thread, and will have no other.
    pub const unsafe fn promised() -> Self {
        Self(())
    }
}

/// Forks. Returns the child's process ID, or `None` in the child. EAGAIN at a limit of
/// processes, ENOMEM. See fork(2) and clone(2).
pub fn fork(_: &OneThread) -> nix::Result<Option<Pid>> {
    // Without the C library's locks and handlers, which one thread does not need. On s390x
    // the stack comes first; 0 is the parent's own.
    let (first, second) =
        if cfg!(target_arch = "s390x") { (0, libc::SIGCHLD) } else { (libc::SIGCHLD, 0) };
    // SAFETY: there is one thread, and the C library is not asked for the child's thread ID.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone, first, second, 0, 0, 0) })?;
    #[allow(clippy::cast_possible_truncation)]
    Ok((pid != 0).then(|| Pid::from_raw(pid as i32)))
}

/// Executes `path`. Returns only if that fails. See execve(2).
pub fn exec(path: &CStr, argv: &Words, environment: &Words) -> Errno {
    // SAFETY: a C string and two arrays as execve takes them.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
    Errno::last()
}

/// Ends the process at once. See _exit(2).
pub fn exit(status: u8) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(status.into()) }
}

/// A random number, or 0 if a filter forbids getrandom(2).
pub fn random() -> u32 {
    let mut number = 0_u32;
    // SAFETY: the kernel writes four bytes, or fails.
    unsafe { libc::syscall(libc::SYS_getrandom, &raw mut number, 4, 0) };
    number
}

/// Requests `signal` for the time when the parent dies. See `PR_SET_PDEATHSIG(2const)`.
pub fn set_parent_death_signal(signal: Signal) -> nix::Result<()> {
    // SAFETY: takes two numbers, the second of which is a long.
    let answer = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, c_long::from(signal.number())) };
    Errno::result(answer).map(drop)
}

/// The working directory, if below the root. See getcwd(2); getcwd(3) would need malloc(3).
#[inline(never)] // Only this call needs the path's 4 KiB on the stack.
pub fn working_directory() -> Option<&'static CStr> {
    let mut path = [0_u8; libc::PATH_MAX as usize];
    // SAFETY: the kernel writes a C string of at most `path.len()` bytes, or fails and
    // leaves an empty one.
    unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
    // From outside the root it begins with "(unreachable)".
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    path.to_bytes().starts_with(b"/").then(|| word(&[path.to_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_an_exit_or_a_signal() {
        assert_eq!(decode(0), Status::Exited(0));
        assert_eq!(decode(255 << 8), Status::Exited(255));
        assert_eq!(decode(9), Status::Killed(Signal::KILL));
        // With a core dump.
        assert_eq!(decode(6 | 0x80), Status::Killed(Signal::ABRT));
        assert_eq!(decode(64).code(), 192);
    }
}
