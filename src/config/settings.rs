//! What the options and variables have set, the command line before the variables.

use super::exec_form;
use super::options::{Entry, Opt, Source};
use super::{Config, Error, NamedCmd, NamedPath, Wrong, values};
use crate::drain::WaitAll;
use crate::report::Level;
use crate::signal::{Signal, SignalSet};
use crate::time::Duration;

/// What has been set so far.
pub(super) struct Settings {
    /// What the command line has set: the [`Opt::subject`] of each of its options.
    by_option: u32,
    config: Box<Config>,
    /// What variables have set that the command line has set, too.
    overridden: Box<Config>,
}

impl Settings {
    /// The defaults, except those that [`Settings::complete`] sets.
    pub(super) fn new() -> Self {
        let mut config = Box::<Config>::default();
        config.plan.group = true;
        Self { by_option: 0, config, overridden: Box::default() }
    }

    /// Where to set an option: the command line has priority.
    pub(super) const fn target(&mut self, opt: Opt, source: Source) -> &mut Config {
        match source {
            Source::Option => self.by_option |= opt.subject(),
            Source::Variable if self.by_option & opt.subject() != 0 => {
                return &mut self.overridden;
            }
            Source::Variable => {}
        }
        &mut self.config
    }

    /// Applies an option of the command line, or a variable after all of these, with one
    /// value if it takes any. A bad value is an error even if it is overridden.
    pub(super) fn apply(
        &mut self,
        entry: &Entry,
        value: &[u8],
        source: Source,
    ) -> Result<(), Error> {
        let config = self.target(entry.opt, source);
        set(config, entry, value, source).map_err(|wrong| entry.refuse(source, value, wrong))
    }

    /// The configuration: what has been set, and what follows from that.
    pub(super) fn complete(self, command: usize, is_pid_1: bool) -> Box<Config> {
        let mut config = self.config;
        // The default stop signal is not named.
        config.named_signals = config.find_named_signals();
        let plan = &mut config.plan;
        plan.drain_file = config.drain_file.is_some();
        plan.drain_cmd = config.drain_cmd.is_some();
        plan.stop_cmd = config.stop_cmd.is_some();
        if plan.stop_signals == SignalSet::EMPTY {
            plan.stop_signals.insert(Signal::TERM);
        }
        if is_pid_1 {
            plan.wait_all = plan.wait_all.map(|_| WaitAll::Namespace);
        }
        config.command = command;
        config
    }
}

fn set(config: &mut Config, entry: &Entry, value: &[u8], source: Source) -> Result<(), Wrong> {
    let cmd = || {
        let named = |cmd| NamedCmd { cmd, asked_by: entry.name(source) };
        exec_form::parse(value).map(|cmd| cmd.map(named))
    };
    let duration = || {
        let not_zero = |duration: &Duration| *duration != Duration::ZERO;
        values::duration(value).map(|duration| Some(duration).filter(not_zero))
    };
    let plan = &mut config.plan;
    match entry.opt {
        Opt::DelayTerm => plan.delay = duration()?,
        Opt::KillAfter => plan.kill_after = duration()?,
        Opt::DrainSignal => plan.drain_signal = Some(values::signal(value)?),
        Opt::Pdeathsig => config.pdeathsig = Some(values::signal(value)?),
        Opt::DrainFile => {
            let path = values::path(value)?;
            config.drain_file = Some(NamedPath { path, asked_by: entry.name(source) });
        }
        Opt::DrainCmd => config.drain_cmd = cmd()?,
        Opt::StopCmd => config.stop_cmd = cmd()?,
        Opt::StopSignal => plan.stop_signals.insert(values::stop_signal(value)?),
        Opt::Rewrite => values::rewrite(value, &mut plan.rewrites)?,
        Opt::RemapExit => config.remap_exit.insert(values::exit_code(value)?),
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
