//! The text of every message. Other modules pass values, and never text.
#![allow(missing_docs, reason = "a text says what it is for")]

use core::ffi::CStr;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::drain::{Helper, Message, Phase, StopBy, Target};
use crate::report::{Level, Line, Reporter};
use crate::signal::Signal;
use crate::status::Status;
use crate::time::Duration;

/// The level at which a message is printed.
pub const fn level(message: Message) -> Level {
    match message {
        Message::DrainCommandFailed(_) | Message::StopCommandFailed { .. } => Level::Error,
        Message::Received(_)
        | Message::NotSent(_)
        | Message::HelperSucceeded(_)
        | Message::Exited {
            during: Phase::Running { .. } | Phase::Stopping { reported: false, .. },
            ..
        } => Level::Verbose,
        _ => Level::Notice,
    }
}

/// A message of the state machine. COMMAND's signals go `to` this target, with its ID.
pub fn describe(line: &mut Line, message: Message, to: (Target, Pid)) -> &mut Line {
    match message {
        Message::Received(signal) => received(line, signal),
        Message::NotSent(signal) => line.signal(signal).text(b" is rewritten to 0: not sent"),
        Message::Draining { received: signal, delay, then } => {
            received(line, signal).text(b": draining ");
            match delay {
                Some(delay) => line.text(b"for ").duration(delay),
                None => line.text(b"until the drain command exits"),
            };
            stop_by(line.text(b", then "), then, None).text(b" (the grace period must be longer)")
        }
        Message::IgnoredDraining(signal) => {
            received(line, signal).text(b": ignored, already draining")
        }
        Message::IgnoredStopping(signal) => {
            received(line, signal).text(b": ignored, the stop command is still running")
        }
        Message::Stopping { received: signal, drained, by } => {
            match drained {
                Some(drained) => line.text(b"drained for ").elapsed(drained),
                None => received(line, signal),
            };
            stop_by(line.text(b": "), by, Some(to))
        }
        Message::HelperSucceeded(helper) => name(line, helper).text(b" exited with status 0"),
        Message::DrainCommandFailed(status) => failed(line, Helper::Drain, Some(status)),
        Message::StopCommandFailed { status, instead } => {
            failed(line, Helper::Stop, status);
            match instead {
                Some(signal) => signal_to(line.text(b": sending "), signal, to),
                None => line,
            }
        }
        Message::Exited { status, during, now, waiting_for } => {
            line.text(b"process ").pid(to.1).text(b" ").status(status);
            ended_during(line, during, now);
            let rest: &[u8] = b"; waiting for the rest of its process group";
            line.text(if waiting_for.group { rest } else { b"" })
        }
        Message::BypassedDrain(signal, stop_signals) => line
            .text(b"sent ")
            .signal(signal)
            .text(b" without a drain, because the stop signal is ")
            .signals(stop_signals)
            .text(b" (see --stop-signal)"),
        Message::GroupForbidden => line.text(b"process group ").pid(to.1).text(
            b": the remaining processes belong to another user and cannot be signalled, \
              not waiting",
        ),
        Message::Killing(after) => {
            line.text(b"still running ").duration(after).text(b" after the stop: sending KILL")
        }
        Message::Dropped(signal) => received(line, signal)
            .text(b": dropped, because process ")
            .pid(to.1)
            .text(b" has exited"),
    }
}

fn received(line: &mut Line, signal: Signal) -> &mut Line {
    line.text(b"received ").signal(signal)
}

/// `TERM to process group 7`.
fn signal_to(line: &mut Line, signal: Signal, to: (Target, Pid)) -> &mut Line {
    let kind: &[u8] = match to.0 {
        Target::Process => b" to process ",
        Target::Group => b" to process group ",
    };
    line.signal(signal).text(kind).pid(to.1)
}

/// What happens once the drain has ended.
fn stop_by(line: &mut Line, then: StopBy, to: Option<(Target, Pid)>) -> &mut Line {
    match (then, to) {
        (StopBy::Command, _) => line.text(b"running the stop command"),
        (StopBy::Signal(signal), Some(to)) => signal_to(line.text(b"sending "), signal, to),
        (StopBy::Signal(signal), None) => line.text(b"sending ").signal(signal),
        (StopBy::Nothing(signal), _) => {
            line.text(b"sending nothing, because ").signal(signal).text(b" is rewritten to 0")
        }
    }
}

fn name(line: &mut Line, helper: Helper) -> &mut Line {
    line.text(match helper {
        Helper::Drain => b"the drain command",
        Helper::Stop => b"the stop command",
    })
}

fn failed(line: &mut Line, helper: Helper, status: Option<Status>) -> &mut Line {
    name(line, helper);
    match status {
        Some(Status::Exited(code)) => line.text(b" failed with status ").number(code.into()),
        Some(status) => line.text(b" ").status(status),
        None => line.text(b" could not be started"),
    }
}

/// When COMMAND has exited, if a stop had begun.
fn ended_during(line: &mut Line, during: Phase, now: Duration) {
    match during {
        Phase::Draining { since, .. } => {
            line.text(b" during the drain, after ").elapsed(now.saturating_sub(since));
        }
        Phase::Stopping { since, by, .. } => {
            line.text(b", ").elapsed(now.saturating_sub(since)).text(b" after ");
            match by {
                StopBy::Signal(signal) | StopBy::Nothing(signal) => {
                    line.text(b"it was sent ").signal(signal)
                }
                StopBy::Command => line.text(b"the stop command was started"),
            };
        }
        Phase::Running { .. } | Phase::Ended { .. } => {}
    }
}

pub fn started(line: &mut Line, pid: Pid) -> &mut Line {
    line.text(b"started process ").pid(pid)
}

pub const CANNOT_FORK: &[u8] = b"cannot fork";
pub const CANNOT_PRINT: &[u8] = b"cannot write to stdout";
pub const CANNOT_RECEIVE: &[u8] = b"cannot receive signals, only COMMAND's exit ends the container";
pub const CANNOT_WAIT: &[u8] = b"cannot wait for signals, checking for them 10 times a second";
pub const CANNOT_MEASURE: &[u8] = b"cannot measure the drain: /proc/net/snmp";
pub const CANNOT_CREATE: &[u8] = b"cannot create";
pub const CANNOT_COPY: &[u8] = b"cannot copy /proc/self/exe to";

/// Something has failed: `what`, and why.
pub fn because<'a>(line: &'a mut Line, what: &[u8], error: Errno) -> &'a mut Line {
    line.text(what).text(b": ").error(error)
}

pub fn has_no_effect<'a>(line: &'a mut Line, option: &[u8], error: Errno) -> &'a mut Line {
    because(line.text(option), b" has no effect", error)
}

pub fn cannot_start(line: &mut Line, helper: Helper, error: Errno) -> &mut Line {
    because(name(line.text(b"cannot start "), helper), b"", error)
}

/// Reports that a file could not be made: `what` says from what.
pub fn report_not_made(reporter: Reporter, what: &[u8], path: &CStr, error: Errno) {
    reporter.say(Level::Error, &|line| {
        because(line.text(what).text(b" '").text(path.to_bytes()), b"'", error)
    });
}

pub fn cannot_enter<'a>(line: &'a mut Line, directory: &[u8], error: Errno) -> &'a mut Line {
    line.text(b"cannot enter the working directory ").text(directory);
    because(line, if directory.is_empty() { b"again, using /" } else { b" again, using /" }, error)
}

/// The drain file was there at the start, and is not drain-init's own to remove.
pub fn drain_file_exists<'a>(line: &'a mut Line, path: &CStr) -> &'a mut Line {
    line.text(b"'").text(path.to_bytes()).text(b"' exists already (only PID 1 removes it)")
}

/// `--drain-file` or `--measure-drain` with a drain that ends at once.
pub fn ends_at_once(line: &mut Line) -> &mut Line {
    line.text(b"the drain ends at once without --delay-term or --drain-cmd")
}

pub const MISSED: u64 = u64::MAX;

/// The figures of a drain: the first ones, then the sum and the number of the others.
pub fn series<'a>(line: &'a mut Line, figures: &[u64], seconds: usize, rest: u64) -> &'a mut Line {
    line.text(b"new connections in each second of the drain:");
    for &figure in figures.iter().take(seconds) {
        line.text(b" ");
        match figure {
            MISSED => line.text(b"-"),
            figure => line.number(figure),
        };
    }
    if seconds > figures.len() {
        let others = (seconds - figures.len()) as u64;
        line.text(b" and ").number(rest).text(b" in the next ").number(others).text(b"s");
    }
    line
}

pub fn sent(
    line: &mut Line,
    signal: Signal,
    to: (Target, Pid),
    result: nix::Result<()>,
) -> &mut Line {
    match result {
        Ok(()) => signal_to(line.text(b"sent "), signal, to),
        Err(error) => because(signal_to(line.text(b"cannot send "), signal, to), b"", error),
    }
}

/// `--wait-all` has sent a signal.
pub fn sent_to_all(line: &mut Line, signal: Signal, only_children: bool) -> &mut Line {
    let to: &[u8] = if only_children { b" to every child process" } else { b" to every process" };
    line.text(b"sent ").signal(signal).text(to)
}

pub fn reaped_orphan(line: &mut Line, pid: Pid, status: Status) -> &mut Line {
    line.text(b"reaped orphan process ").pid(pid).text(b", which ").status(status)
}

/// Why a program cannot be executed.
#[derive(Clone, Copy)]
pub enum Failure {
    /// The error of execve(2).
    Error(Errno),
    /// The file exists, but not the program that it names to run it.
    NoInterpreter,
    /// It is a binary in a format that the kernel does not know.
    Foreign,
    /// It is a script without a `#!` line, and the shell cannot be executed.
    NoShell,
}

/// The hint for a program that was not found and has a blank in its name.
pub const ONE_STRING: &[u8] = b"is this a program and its arguments in one string?";

pub fn cannot_run<'a>(line: &'a mut Line, program: &[u8], failure: Failure) -> &'a mut Line {
    line.text(b"cannot run '").text(program).text(b"': ");
    let (error, hint): (_, &[u8]) = match failure {
        Failure::NoInterpreter => {
            return line.text(b"the file exists, but its interpreter or dynamic loader is missing");
        }
        Failure::Error(Errno::ENOENT) if program.contains(&b' ') => (Errno::ENOENT, ONE_STRING),
        Failure::Error(error) => return line.error(error),
        Failure::Foreign => (Errno::ENOEXEC, b"built for another architecture?"),
        Failure::NoShell => (Errno::ENOEXEC, b"it has no #! line, and /bin/sh cannot be run"),
    };
    line.error(error).text(b" (").text(hint).text(b")")
}
