//! What the variables and the options set.

use super::exec_form::{self, CARRIAGE_RETURN};
use super::options::{Entry, Opt, Source};
use super::{Config, Error, Named, Wrong, values};
use crate::drain::WaitAll;
use crate::report::Level;
use crate::signal::{Rewrites, SignalSet};
use crate::sys;
use crate::time::Duration;

/// Sets what one source asks for. It overrides what an earlier source has set.
pub(super) struct Settings<'a> {
    pub(super) config: &'a mut Config,
    source: Source,
    /// A bit for each option that this source has set.
    set: u32,
}

impl<'a> Settings<'a> {
    pub(super) const fn new(config: &'a mut Config, source: Source) -> Self {
        Self { config, source, set: 0 }
    }

    /// Whether this source has set an option, or switched it on.
    pub(super) const fn has(&self, opt: Opt) -> bool {
        self.set & 1 << opt as u32 != 0
    }

    /// Applies one value of an option: of one that takes none, whether it is on.
    pub(super) fn apply(&mut self, entry: &Entry, value: &[u8]) -> Result<(), Error> {
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
