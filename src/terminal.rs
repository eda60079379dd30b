//! Job control: who has drain-init's controlling terminal, and whose job COMMAND
//! is there. See tty(4) and the manual page, "Job control".

use nix::unistd::{self, Pid};

use crate::drain::Continuer;
use crate::signal::Signal;
use crate::sys;

/// Whether drain-init has a controlling terminal of which the signal may speak: it
/// may have sent it, or its job control is about it.
#[must_use]
pub fn may_have_sent(signal: Signal) -> bool {
    (signal.is_of_job_control() || matches!(signal, Signal::CONT | Signal::WINCH))
        && sys::with_terminal(|_| ()).is_some()
}

/// Who can continue a COMMAND that this signal has stopped, if a terminal's job
/// control did it.
#[must_use]
pub fn continuer(signal: Signal) -> Option<Continuer> {
    if !signal.is_of_job_control() {
        return None;
    }
    let own_pid = unistd::getpid();
    let alone = own_pid.as_raw() == 1 || unistd::getsid(None) == Ok(own_pid);
    sys::with_terminal(|terminal| {
        // A shell that brings a running job to the foreground sends no CONT.
        let brought = || sys::foreground_group(terminal) == Some(unistd::getpgrp());
        if alone || (signal != Signal::TSTP && brought()) {
            Continuer::Init
        } else {
            Continuer::Shell
        }
    })
}

/// Makes `to` the foreground group if `from` is that.
pub fn pass(from: Pid, to: Pid) {
    sys::with_terminal(|terminal| {
        if sys::foreground_group(terminal) == Some(from) {
            let _ = sys::set_foreground_group(terminal, to);
        }
    });
}

/// Makes a group the foreground group; says whether that could be done.
#[must_use]
pub fn give_to(group: Pid) -> bool {
    sys::with_terminal(|terminal| sys::set_foreground_group(terminal, group).is_ok()) == Some(true)
}
