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

use crate::drain::Plan;
use crate::report::Level;
use crate::signal::{Signal, SignalSet};
use exec_form::Cmd;
use settings::Settings;

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
    let mut settings = Settings::new();
    if let Some(request) = command_line::read(args, &mut settings)? {
        return Ok(request);
    }
    variables.read(&mut settings)?;
    Ok(Request::Run(settings.complete(is_pid_1)))
}

#[cfg(test)]
mod tests;
