//! What the options and variables have set, the command line before the variables.

use super::options::{Entry, Opt, Source};
use super::{Config, Error, Named, Wrong, exec_form, values};
use crate::drain::WaitAll;
use crate::report::Level;
use crate::signal::{Signal, SignalSet};
use crate::time::Duration;

/// What has been set so far.
pub(super) struct Settings {
    /// What the command line has set: the [`Opt::subject`] of each of its options.
    by_option: u32,
    pub(super) config: &'static mut Config,
    /// What variables have set that the command line has set, too.
    overridden: &'static mut Config,
}

impl Settings {
    /// The defaults, except those that [`Settings::complete`] sets.
    pub(super) fn new() -> Self {
        let [config, overridden] = [0; 2].map(|_| Box::leak(Box::<Config>::default()));
        config.plan.group = true;
        Self { by_option: 0, config, overridden }
    }

    /// Applies an option of the command line, or a variable after all of these, with one
    /// value if it takes any. A bad value is an error even if it is overridden.
    pub(super) fn apply(
        &mut self,
        entry: &Entry,
        value: &[u8],
        source: Source,
    ) -> Result<(), Error> {
        let subject = entry.opt.subject();
        let config = match source {
            Source::Variable if self.by_option & subject != 0 => &mut *self.overridden,
            Source::Variable => &mut *self.config,
            Source::Option => {
                self.by_option |= subject;
                &mut *self.config
            }
        };
        set(config, entry, value, source).map_err(|wrong| entry.refuse(source, value, wrong))
    }

    /// The configuration: what has been set, and what follows from that.
    pub(super) fn complete(self, is_pid_1: bool) -> &'static mut Config {
        let config = self.config;
        let plan = &mut config.plan;
        // A stop signal that is rewritten is not sent; the drain signal is not rewritten. The
        // default stop signal is not named.
        let is_sent = |signal: &Signal| plan.rewrites.apply(*signal) == Some(*signal);
        let stop_signals = plan.stop_signals.iter().filter(is_sent);
        for signal in plan.rewrites.replacements().chain(stop_signals).chain(plan.drain_signal) {
            config.named_signals.insert(signal);
        }
        plan.drain_file = config.drain_file.is_some();
        plan.drain_cmd = config.drain_cmd.is_some();
        plan.stop_cmd = config.stop_cmd.is_some();
        if plan.stop_signals == SignalSet::EMPTY {
            plan.stop_signals.insert(Signal::TERM);
        }
        if is_pid_1 {
            plan.wait_all = plan.wait_all.map(|_| WaitAll::Namespace);
        }
        config
    }
}

fn set(config: &mut Config, entry: &Entry, value: &[u8], source: Source) -> Result<(), Wrong> {
    let asked_by = || entry.name(source);
    let cmd = || {
        exec_form::parse(value).map(|cmd| cmd.map(|value| Named { value, asked_by: asked_by() }))
    };
    let duration = || values::duration(value).map(|it| Some(it).filter(|it| *it != Duration::ZERO));
    let plan = &mut config.plan;
    match entry.opt {
        Opt::DelayTerm => plan.delay = duration()?,
        Opt::KillAfter => plan.kill_after = duration()?,
        Opt::DrainSignal => plan.drain_signal = Some(values::signal(value)?),
        Opt::Pdeathsig => config.pdeathsig = Some(values::signal(value)?),
        Opt::DrainFile => {
            config.drain_file = Some(Named { value: values::path(value)?, asked_by: asked_by() });
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
