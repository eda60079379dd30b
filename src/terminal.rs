//! Job control on drain-init's controlling terminal: which process group is in the
//! foreground, and what can continue a suspended COMMAND. See tty(4) and the manual page.

use nix::unistd::{self, Pid};

use crate::drain::Continuer;
use crate::signal::Signal;
use crate::sys;

/// Whether a received signal can be about the controlling terminal: a terminal or its
/// shell sends such signals, and drain-init has a controlling terminal.
pub fn may_have_sent(signal: Signal) -> bool {
    (signal.is_of_job_control() || matches!(signal, Signal::CONT | Signal::WINCH))
        && sys::with_terminal(&mut |_| true)
}

/// What can continue a process that this signal has suspended. `None` if a terminal's
/// job control has not done that.
pub fn continuer(signal: Signal) -> Option<Continuer> {
    if !signal.is_of_job_control() {
        return None;
    }
    let own_pid = unistd::getpid();
    let leads_session = own_pid.as_raw() == 1 || unistd::getsid(None) == Ok(own_pid);
    let mut continuer = None;
    sys::with_terminal(&mut |terminal| {
        // A shell that brings a running job to the foreground sends no CONT.
        let in_foreground = || sys::foreground_group(terminal) == Some(unistd::getpgrp());
        let is_own = leads_session || (signal != Signal::TSTP && in_foreground());
        continuer = Some(if is_own { Continuer::Init } else { Continuer::Shell });
        true
    });
    continuer
}

/// Makes `to` the foreground group if `from` is.
pub fn pass(from: Pid, to: Pid) {
    sys::with_terminal(&mut |terminal| {
        sys::foreground_group(terminal) == Some(from)
            && sys::set_foreground_group(terminal, to).is_ok()
    });
}

/// Makes a group the foreground group. Returns whether that succeeded.
pub fn give_to(group: Pid) -> bool {
    sys::with_terminal(&mut |terminal| sys::set_foreground_group(terminal, group).is_ok())
}
