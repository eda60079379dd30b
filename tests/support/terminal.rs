//! Terminals: the init's side, and the side where a user types.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The terminal that the init and COMMAND have as stdin and stdout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    None,
    /// A terminal whose session the init leads.
    Leader,
    /// A terminal that does not control any session.
    Foreign,
}

impl Terminal {
    /// Makes it stdin and stdout of this command, and returns the user's side.
    pub(super) fn give(self, command: &mut Command) -> Option<OwnedFd> {
        if self == Self::None {
            return None;
        }
        let (master, slave) = terminal_pair();
        command.stdin(slave.try_clone().unwrap());
        command.stdout(slave);
        let leads = self == Self::Leader;
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
}

/// A terminal: the user's side, and the program's side.
pub fn terminal_pair() -> (OwnedFd, OwnedFd) {
    let pty = nix::pty::openpty(None, None).unwrap();
    for fd in [&pty.master, &pty.slave] {
        // SAFETY: sets a flag of an open descriptor.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    (pty.master, pty.slave)
}
