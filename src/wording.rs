//! What a message says.

use crate::drain::{Cause, Helper, Message, Stop};
use crate::processes::Target;
use crate::report::{Level, Line};
use crate::signal::Signal;

/// How much is to be said for a message to be said.
#[must_use]
pub const fn level(message: Message) -> Level {
    match message {
        Message::HelperFailed(..) => Level::Error,
        Message::Received(_)
        | Message::NotDelivered(_)
        | Message::HelperSucceeded(_)
        | Message::Ended { step: false, .. } => Level::Verbose,
        _ => Level::Notice,
    }
}

/// Says what a step of the state machine means.
pub fn describe(line: &mut Line, message: Message, target: Target) {
    match message {
        Message::Received(signal) => {
            line.signal(signal).text(b": received");
        }
        Message::NotDelivered(signal) => {
            line.signal(signal).text(b": rewritten to 0, not delivered");
        }
        Message::Draining { received, delay, then } => {
            line.signal(received).text(b": draining ");
            match delay {
                Some(delay) => line.text(b"for ").duration(delay),
                None => line.text(b"until the drain command ends"),
            };
            line.text(b", then ");
            match then {
                Stop::Command => line.text(b"the stop command"),
                Stop::Signal(signal) => line.signal(signal),
                Stop::Nothing(signal) => nothing(line, signal),
            };
            line.text(b" (the platform's grace period must be longer)");
        }
        Message::SwallowedDraining(signal) => {
            line.signal(signal).text(b": swallowed, still draining");
        }
        Message::SwallowedStopping(signal) => {
            line.signal(signal).text(b": swallowed, the stop command still runs");
        }
        Message::Stopping { received, drained, then } => {
            match drained {
                Some(drained) => line.text(b"drained for ").elapsed(drained),
                None => line.signal(received),
            };
            line.text(b": ");
            match then {
                Stop::Command => line.text(b"running the stop command"),
                Stop::Signal(signal) => signal_to(line, signal, target),
                Stop::Nothing(signal) => nothing(line, signal),
            };
        }
        Message::HelperSucceeded(helper) => {
            helper_name(line, helper).text(b" exited with status 0");
        }
        Message::HelperFailed(helper, status) => {
            helper_name(line, helper).text(b" ").status(status);
        }
        Message::DeliveredAfterAll(signal) => {
            line.text(b"the stop command failed: ");
            signal_to(line, signal, target).text(b" after all");
        }
        Message::Ended { status, drained, stopped, waits, .. } => {
            line.text(b"process ").pid(target.pid()).text(b" ").status(status);
            if let Some(drained) = drained {
                line.text(b", ").elapsed(drained).text(b" into the drain");
            }
            if let Some((cause, elapsed)) = stopped {
                line.text(b", ").elapsed(elapsed).text(b" after ");
                match cause {
                    Cause::Signal(signal) => line.signal(signal),
                    Cause::StopCommand => line.text(b"the stop command's start"),
                };
            }
            if waits {
                line.text(b"; waiting for what is left of its group");
            }
        }
        Message::DeliveredWithoutDrain(signal, stop_signals) => {
            line.signal(signal)
                .text(b" was delivered without a drain: the stop signal is ")
                .signals(stop_signals)
                .text(b" (see --stop-signal)");
        }
        Message::Killing(after) => {
            line.duration(after).text(b" are over: KILL to what is left (see --kill-after)");
        }
        Message::GroupForbidden => {
            line.text(b"process group ").pid(target.pid()).text(
                b": the remaining processes belong to another user and cannot be signalled, \
                  not waiting",
            );
        }
        Message::Dropped(signal) => {
            line.signal(signal).text(b": dropped, process ").pid(target.pid());
            line.text(b" has exited and left nobody to deliver it to");
        }
    }
}

/// `TERM to process group 7`.
pub fn signal_to(line: &mut Line, signal: Signal, target: Target) -> &mut Line {
    let kind: &[u8] = match target {
        Target::Process(_) => b" to process ",
        Target::Group(_) => b" to process group ",
    };
    line.signal(signal).text(kind).pid(target.pid())
}

/// What `--wait-all` has sent.
pub fn signal_to_all(line: &mut Line, signal: Signal, children: bool) {
    line.signal(signal).text(if children { b" to every child" } else { b" to every process" });
}

/// Why signals are noticed late, or not at all.
pub fn cannot_wait(line: &mut Line, is_refused: bool) -> &mut Line {
    line.text(if is_refused {
        b"cannot receive signals, only COMMAND's exit ends the container: "
    } else {
        b"cannot wait for signals, checking for them 10 times a second: "
    })
}

/// What a helper is called.
pub fn helper_name(line: &mut Line, helper: Helper) -> &mut Line {
    line.text(match helper {
        Helper::Drain => b"the drain command",
        Helper::Stop => b"the stop command",
    })
}

fn nothing(line: &mut Line, signal: Signal) -> &mut Line {
    line.text(b"nothing, as ").signal(signal).text(b" is rewritten to 0")
}
