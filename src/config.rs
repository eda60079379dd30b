//! The command line and the environment → [`Config`], or an error that says what would
//! work. Reads nothing else and starts nothing.

mod command_line;
pub mod exec_form;
mod options;
mod settings;
mod values;
mod variables;

pub use options::HELP;
pub use values::ExitCodes;
pub use variables::{SIGNAL_VARIABLE, Variables};

use core::ffi::CStr;

use crate::drain::Plan;
use crate::report::Level;
use crate::signal::{Signal, SignalSet};
use command_line::Asked;
use exec_form::Cmd;
use settings::Settings;

/// What the command line and the environment ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Copy the program to this path.
    CopyTo(&'static CStr),
    /// Run COMMAND.
    Run(Box<Config>),
}

/// How to run COMMAND.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What the state machine needs to know.
    pub plan: Plan,
    /// The drain file.
    pub drain_file: Option<NamedPath>,
    /// The drain command.
    pub drain_cmd: Option<NamedCmd>,
    /// The stop command.
    pub stop_cmd: Option<NamedCmd>,
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
    pub remap_exit: ExitCodes,
    /// COMMAND's place in the argument list, counted from the program's name.
    pub command: usize,
}

impl Config {
    fn find_named_signals(&self) -> SignalSet {
        let plan = &self.plan;
        // A stop signal that is rewritten is not sent; the drain signal is not rewritten.
        let is_sent = |signal: &Signal| plan.rewrites.apply(*signal) == Some(*signal);
        let stop_signals = plan.stop_signals.iter().filter(is_sent);
        let mut named = SignalSet::EMPTY;
        for signal in plan.rewrites.replacements().chain(stop_signals).chain(plan.drain_signal) {
            named.insert(signal);
        }
        named
    }
}

/// A drain or stop command, and what asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedCmd {
    /// The command.
    pub cmd: Cmd,
    /// The name of the option or variable, for an error that names it.
    pub asked_by: &'static [u8],
}

/// The path of a drain file, and what asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedPath {
    /// The path.
    pub path: &'static CStr,
    /// The name of the option or variable, for an error that names it.
    pub asked_by: &'static [u8],
}

/// A usage error: one line, without its end. Like everything that is parsed, it is leaked:
/// the program's allocator frees nothing, and code that frees would only be in the way.
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
    let mut settings = Settings::new();
    let command = match command_line::read(args, &mut settings)? {
        Asked::Help => return Ok(Request::Help),
        Asked::Version => return Ok(Request::Version),
        Asked::CopyTo(path) => return Ok(Request::CopyTo(path)),
        Asked::Command(place) => place,
    };
    variables.read(&mut settings)?;
    Ok(Request::Run(settings.complete(command, is_pid_1)))
}

#[cfg(test)]
mod tests;
