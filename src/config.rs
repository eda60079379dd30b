//! The command line and the environment → [`Config`], or an error that says what would
//! work. Reads nothing else and starts nothing.

mod command_line;
pub mod exec_form;
mod options;
mod values;
mod variables;

pub use options::HELP;
pub use variables::{SIGNAL_VARIABLE, Variables};

use core::ffi::CStr;

use crate::drain::{Plan, WaitAll};
use crate::report::Level;
use crate::signal::{Rewrites, Signal, SignalSet};
use crate::sys;
use crate::time::Duration;
use exec_form::{CARRIAGE_RETURN, Cmd};
use options::{Entry, Opt, Source};

/// What the user asks for. Like all that is parsed, it is leaked: the allocator frees nothing.
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
    pub fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat().leak())
    }

    /// A value that cannot be used: what is wrong with it, in two parts, and what would work.
    pub fn refused(option: &[u8], value: &[u8], wrong: &[&[u8]; 2], right: &[u8]) -> Self {
        Self::new(&[option, b": '", value, b"' ", wrong[0], wrong[1], b" (", right, b")"])
    }

    /// The line. It may contain what the user typed, byte for byte.
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0
    }
}

/// What is wrong with a value, and what works instead.
pub type Wrong = [&'static str; 2];

/// Sets what one source asks for. It overrides what an earlier source has set.
struct Settings<'a> {
    config: &'a mut Config,
    source: Source,
    /// A bit for each option that this source has set.
    set: u32,
}

impl Settings<'_> {
    /// Whether this source has set an option, or switched it on.
    const fn has(&self, opt: Opt) -> bool {
        self.set & 1 << opt as u32 != 0
    }

    /// Applies one value of an option: of one that takes none, whether it is on.
    fn apply(&mut self, entry: &Entry, value: &[u8]) -> Result<(), Error> {
        self.set(entry, value).map_err(|wrong| entry.refuse(self.source, value, wrong))
    }

    fn set(&mut self, entry: &Entry, value: &[u8]) -> Result<(), Wrong> {
        if entry.value.is_empty() && !values::switch(value)? {
            return Ok(());
        }
        let is_first = !self.has(entry.opt);
        self.set |= 1 << entry.opt as u32;
        let Self { config, source, .. } = self;
        let named = || entry.name(*source);
        let cmd = || {
            exec_form::parse(value).map(|cmd| cmd.map(|value| Named { value, asked_by: named() }))
        };
        let duration =
            || values::duration(value).map(|it| Some(it).filter(|it| *it != Duration::ZERO));
        let plan = &mut config.plan;
        let is_dos = value.ends_with(b"\r");
        match entry.opt {
            Opt::DrainFile if is_dos => return Err(CARRIAGE_RETURN),
            // An option accepts it, as dumb-init does.
            Opt::Rewrite if is_dos && *source == Source::Variable => return Err(CARRIAGE_RETURN),
            // A list is added to one of the same source only.
            Opt::StopSignal if is_first => plan.stop_signals = SignalSet::EMPTY,
            Opt::Rewrite if is_first => plan.rewrites = Rewrites::default(),
            Opt::RemapExit if is_first => config.remap_exit.clear(),
            _ => {}
        }
        match entry.opt {
            Opt::DelayTerm => plan.delay = duration()?,
            Opt::KillAfter => plan.kill_after = duration()?,
            Opt::DrainSignal => plan.drain_signal = Some(values::signal(value)?),
            Opt::Pdeathsig => config.pdeathsig = Some(values::signal(value)?),
            Opt::DrainFile => {
                config.drain_file = Some(Named { value: sys::word(&[value]), asked_by: named() });
            }
            Opt::DrainCmd => config.drain_cmd = cmd()?,
            Opt::StopCmd => config.stop_cmd = cmd()?,
            Opt::StopSignal => plan.stop_signals.insert(values::stop_signal(value)?),
            Opt::Rewrite => values::rewrite(value, &mut plan.rewrites)?,
            Opt::RemapExit => config.remap_exit.push(values::exit_code(value)?),
            Opt::SingleChild => plan.group = false,
            Opt::Group => plan.group = true,
            Opt::Verbose => config.level = Level::Verbose,
            Opt::Quiet => config.level = Level::Error,
            Opt::MeasureDrain => plan.measure = true,
            Opt::WaitAll => plan.wait_all = Some(WaitAll::Children),
            Opt::Subreaper => config.subreaper = true,
            Opt::WarnOnReap => config.warn_on_reap = true,
            Opt::CopyTo | Opt::Help | Opt::Version => {}
        }
        Ok(())
    }
}

/// Reads the argument list, which begins with the program's name, and the variables.
pub fn parse<'a>(
    args: impl Iterator<Item = &'a [u8]>,
    variables: &Variables,
    is_pid_1: bool,
) -> Result<Request, Error> {
    let config = Box::leak(Box::<Config>::default());
    config.plan.group = true;
    // Options override variables. Errors of the command line are reported first, and --help
    // works with any variables.
    let variables_read = variables.read(config);
    if let Some(request) = command_line::read(args, config)? {
        return Ok(request);
    }
    variables_read?;
    config.complete(is_pid_1);
    Ok(Request::Run(config))
}

#[cfg(test)]
mod tests;
