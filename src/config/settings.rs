//! What the options and variables have set, the command line before the variables.

use super::exec_form;
use super::options::{Entry, Opt, Source};
use super::values::{self, ExitCodes};
use super::{Config, Error, NamedCmd, NamedPath, Wrong};
use crate::drain::{Plan, WaitAll};
use crate::report::Level;
use crate::signal::{Rewrites, Signal, SignalSet};
use crate::time::Duration;

/// What has been set so far.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(super) struct Settings {
    /// What the command line has set: the [`Opt::subject`] of each of its options.
    by_option: u32,
    delay: Option<Duration>,
    kill_after: Option<Duration>,
    drain_signal: Option<Signal>,
    drain_file: Option<NamedPath>,
    drain_cmd: Option<NamedCmd>,
    stop_cmd: Option<NamedCmd>,
    stop_signals: SignalSet,
    rewrites: Rewrites,
    remap_exit: ExitCodes,
    pdeathsig: Option<Signal>,
    pub(super) single_child: Option<bool>,
    pub(super) level: Option<Level>,
    measure: bool,
    wait_all: bool,
    subreaper: bool,
    warn_on_reap: bool,
}

impl Settings {
    /// Applies an option of the command line, or a variable after all of these, with one
    /// value if it takes any.
    pub(super) fn apply(
        &mut self,
        entry: &Entry,
        value: &[u8],
        source: Source,
    ) -> Result<(), Error> {
        // The command line has priority. A bad value is an error even so.
        let mut overridden = Self::default();
        let target = match source {
            Source::Option => {
                self.by_option |= entry.opt.subject();
                self
            }
            Source::Variable if self.by_option & entry.opt.subject() != 0 => &mut overridden,
            Source::Variable => self,
        };
        target.set(entry, value, source).map_err(|wrong| entry.refuse(source, value, wrong))
    }

    fn set(&mut self, entry: &Entry, value: &[u8], source: Source) -> Result<(), Wrong> {
        let cmd = || {
            let named = |cmd| NamedCmd { cmd, asked_by: entry.name(source) };
            exec_form::parse(value).map(|cmd| cmd.map(named))
        };
        match entry.opt {
            Opt::DelayTerm => self.delay = Some(values::duration(value)?),
            Opt::KillAfter => self.kill_after = Some(values::duration(value)?),
            Opt::DrainSignal => self.drain_signal = Some(values::signal(value)?),
            Opt::Pdeathsig => self.pdeathsig = Some(values::signal(value)?),
            Opt::DrainFile => {
                let path = values::path(value)?;
                self.drain_file = Some(NamedPath { path, asked_by: entry.name(source) });
            }
            Opt::DrainCmd => self.drain_cmd = cmd()?,
            Opt::StopCmd => self.stop_cmd = cmd()?,
            Opt::StopSignal => self.stop_signals.insert(values::stop_signal(value)?),
            Opt::Rewrite => values::rewrite(value, &mut self.rewrites)?,
            Opt::RemapExit => self.remap_exit.insert(values::exit_code(value)?),
            Opt::SingleChild => self.single_child = Some(true),
            Opt::Group => self.single_child = Some(false),
            Opt::Verbose => self.level = Some(Level::Verbose),
            Opt::Quiet => self.level = Some(Level::Error),
            Opt::MeasureDrain => self.measure = true,
            Opt::WaitAll => self.wait_all = true,
            Opt::Subreaper => self.subreaper = true,
            Opt::WarnOnReap => self.warn_on_reap = true,
            Opt::CopyTo | Opt::Help | Opt::Version => {}
        }
        Ok(())
    }

    /// The signals that an option or a variable names to be sent.
    fn named_signals(&self) -> SignalSet {
        let mut named = self.rewrites.replacements();
        // A stop signal that is rewritten is not sent; the drain signal is not rewritten.
        let is_sent = |signal: &Signal| self.rewrites.apply(*signal) == Some(*signal);
        for signal in self.stop_signals.iter().filter(is_sent).chain(self.drain_signal) {
            named.insert(signal);
        }
        named
    }

    /// The configuration: what has been set, and the default of everything else.
    pub(super) fn complete(self, command: usize, is_pid_1: bool) -> Config {
        let not_zero = |duration: &Duration| *duration != Duration::ZERO;
        let stop_signals = match self.stop_signals {
            SignalSet::EMPTY => SignalSet::of(&[Signal::TERM]),
            signals => signals,
        };
        let all = if is_pid_1 { WaitAll::Namespace } else { WaitAll::Children };
        let named_signals = self.named_signals();
        Config {
            plan: Plan {
                delay: self.delay.filter(not_zero),
                drain_signal: self.drain_signal,
                drain_file: self.drain_file.is_some(),
                drain_cmd: self.drain_cmd.is_some(),
                measure: self.measure,
                stop_cmd: self.stop_cmd.is_some(),
                kill_after: self.kill_after.filter(not_zero),
                stop_signals,
                rewrites: self.rewrites,
                group: !self.single_child.unwrap_or(false),
                wait_all: self.wait_all.then_some(all),
            },
            drain_file: self.drain_file,
            drain_cmd: self.drain_cmd,
            stop_cmd: self.stop_cmd,
            named_signals,
            level: self.level.unwrap_or(Level::Notice),
            warn_on_reap: self.warn_on_reap,
            subreaper: self.subreaper,
            pdeathsig: self.pdeathsig,
            remap_exit: self.remap_exit,
            command,
        }
    }
}
