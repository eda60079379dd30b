//! The command line and the environment → [`Config`], or an error that says what would
//! work. Reads nothing else and starts nothing.

mod command_line;
pub mod exec_form;
mod options;
mod settings;
mod values;
mod variables;

pub use options::HELP;
pub use variables::{SIGNAL_VARIABLE, Variables};

use core::ffi::CStr;

use crate::drain::{Plan, WaitAll};
use crate::report::Level;
use crate::signal::{Signal, SignalSet};
use exec_form::Cmd;

/// What the command line and the environment ask for. Like everything that is parsed, it is
/// leaked: the program's allocator frees nothing, and code that frees would only be in the way.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Copy the program to this path.
    CopyTo(&'static CStr),
    /// Run COMMAND.
    Run(&'static mut Config),
}

/// How to run COMMAND.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What the state machine needs to know.
    pub plan: Plan,
    /// The drain file.
    pub drain_file: Option<Named<&'static CStr>>,
    /// The drain command.
    pub drain_cmd: Option<Named<Cmd>>,
    /// The stop command.
    pub stop_cmd: Option<Named<Cmd>>,
    /// The signals that an option or a variable names to be sent. COMMAND must not
    /// inherit them ignored.
    pub named_signals: SignalSet,
    /// How much to report.
    pub level: Level,
    /// Report each reaped orphan.
    pub warn_on_reap: bool,
    /// Adopt orphans even if not PID 1.
    pub subreaper: bool,
    /// The signal to receive when the parent dies.
    pub pdeathsig: Option<Signal>,
    /// Statuses of COMMAND that become 0.
    pub remap_exit: Vec<u8>,
    /// COMMAND's place in the argument list, counted from the program's name.
    pub command: usize,
}

impl Config {
    /// Sets what follows from the options and variables.
    fn complete(&mut self, is_pid_1: bool) {
        let plan = &mut self.plan;
        // A stop signal that is rewritten is not sent; the drain signal is not rewritten. The
        // default stop signal is not named.
        let is_sent = |signal: &Signal| plan.rewrites.apply(*signal) == Some(*signal);
        let stop_signals = plan.stop_signals.iter().filter(is_sent);
        for signal in plan.rewrites.replacements().chain(stop_signals).chain(plan.drain_signal) {
            self.named_signals.insert(signal);
        }
        plan.drain_file = self.drain_file.is_some();
        plan.drain_cmd = self.drain_cmd.is_some();
        plan.stop_cmd = self.stop_cmd.is_some();
        if plan.stop_signals == SignalSet::EMPTY {
            plan.stop_signals.insert(Signal::TERM);
        }
        if is_pid_1 {
            plan.wait_all = plan.wait_all.map(|_| WaitAll::Namespace);
        }
    }
}

/// A value, and what asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<T> {
    /// The value.
    pub value: T,
    /// The name of the option or variable, for an error that names it.
    pub asked_by: &'static [u8],
}

/// A usage error: one line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(&'static [u8]);

impl Error {
    /// An error of these parts.
    #[must_use]
    pub fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat().leak())
    }

    /// The line. It may contain what the user typed, byte for byte.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0
    }
}

/// What is wrong with a value, and what works instead.
pub type Wrong = [&'static str; 2];

/// Reads the argument list, which begins with the program's name, and the variables.
///
/// # Errors
///
/// A usage error, in one line.
pub fn parse<'a>(
    args: impl Iterator<Item = &'a [u8]>,
    variables: &Variables,
    is_pid_1: bool,
) -> Result<Request, Error> {
    let config = Box::leak(Box::<Config>::default());
    config.plan.group = true;
    let variables_are_right = variables.read(config);
    if let Some(request) = command_line::read(args, config)? {
        return Ok(request);
    }
    variables_are_right?;
    config.complete(is_pid_1);
    Ok(Request::Run(config))
}

#[cfg(test)]
mod tests;
