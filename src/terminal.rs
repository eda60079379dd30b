//! Job control on drain-init's controlling terminal: which process group is in the
//! foreground, and what can continue a suspended COMMAND. See tty(4) and the manual page.

use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{self, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::{self, Pid};

use crate::drain::Continuer;
use crate::signal::Signal;
use crate::sys;

/// The foreground process group of the controlling terminal, if `terminal` is that: tcgetpgrp(3)
/// fails on any other. TIOCGSID would be more direct, but qemu-user does not have it.
pub fn foreground_group(terminal: BorrowedFd) -> Option<Pid> {
    // A pty's master answers for its slave.
    unistd::tcgetpgrp(terminal).ok().filter(|_| !sys::is_master(terminal))
}

/// What `act` returns for the controlling terminal, as stdin or /dev/tty, or false without one.
fn with_terminal(act: &mut dyn FnMut(BorrowedFd) -> bool) -> bool {
    if foreground_group(sys::STDIN).is_some() {
        return act(sys::STDIN);
    }
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    // It may be any file.
    let Ok(tty) = fcntl::open(c"/dev/tty", flags, Mode::empty()) else { return false };
    foreground_group(tty.as_fd()).is_some() && act(tty.as_fd())
}

/// Whether a terminal or its shell sends such signals, and drain-init has a controlling terminal.
pub fn may_have_sent(signal: Signal) -> bool {
    (signal.is_of_job_control() || matches!(signal, Signal::CONT | Signal::WINCH))
        && with_terminal(&mut |_| true)
}

/// What can continue a process that this signal suspended, if that was a terminal's job control.
pub fn continuer(signal: Signal) -> Option<Continuer> {
    let own_pid = unistd::getpid();
    let leads_session = || own_pid.as_raw() == 1 || unistd::getsid(None) == Ok(own_pid);
    let mut continuer = Continuer::Shell;
    let has_terminal = signal.is_of_job_control()
        && with_terminal(&mut |terminal| {
            // A shell that brings a running job to the foreground sends no CONT.
            let in_foreground = || foreground_group(terminal) == Some(unistd::getpgrp());
            if leads_session() || (signal != Signal::TSTP && in_foreground()) {
                continuer = Continuer::Init;
            }
            true
        });
    has_terminal.then_some(continuer)
}

/// Makes `to` the foreground group if `from` is.
pub fn pass(from: Pid, to: Pid) {
    with_terminal(&mut |terminal| {
        foreground_group(terminal) == Some(from) && unistd::tcsetpgrp(terminal, to).is_ok()
    });
}

/// Makes a group the foreground group. Returns whether that succeeded.
pub fn give_to(group: Pid) -> bool {
    with_terminal(&mut |terminal| unistd::tcsetpgrp(terminal, group).is_ok())
}
