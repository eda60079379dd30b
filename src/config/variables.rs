//! The variables: which of the environment's are drain-init's own, and what they set.

use super::Error;
use super::exec_form::CARRIAGE_RETURN;
use super::options::{Entry, Opt, PREFIX, Source, Takes, unknown};
use super::settings::Settings;
use super::values;
use crate::report::Level;
use crate::text;

/// The name of the variable that names the received signal to a drain or stop command.
pub const SIGNAL_VARIABLE: &[u8] = b"DRAIN_INIT_SIGNAL";

/// The variables that are drain-init's own, dumb-init's, and those that look like a typo.
#[derive(Default)]
pub struct Variables<'a> {
    own: Vec<(&'static Entry, &'a [u8])>,
    /// `DUMB_INIT_DEBUG=1`.
    debug: bool,
    /// `DUMB_INIT_SETSID=0`.
    no_setsid: bool,
    unknown: Vec<&'a [u8]>,
}

impl<'a> Variables<'a> {
    /// Looks at a `NAME=VALUE` of the environment. Returns whether it is drain-init's own, to
    /// be removed from COMMAND's environment.
    pub fn take(&mut self, word: &'a [u8]) -> bool {
        let Some(behind_prefix) = word.strip_prefix(PREFIX) else {
            self.debug |= word == b"DUMB_INIT_DEBUG=1";
            self.no_setsid |= word == b"DUMB_INIT_SETSID=0";
            return false;
        };
        let Some(equals) = behind_prefix.iter().position(|&byte| byte == b'=') else {
            return false;
        };
        let (suffix, value) = (&behind_prefix[..equals], &behind_prefix[equals + 1..]);
        let Some(entry) = Entry::by_variable(suffix) else {
            let name = &word[..PREFIX.len() + equals];
            if name != SIGNAL_VARIABLE && !is_of_service(name) && !self.unknown.contains(&name) {
                self.unknown.push(name);
            }
            return false;
        };
        // If a name occurs twice, getenv(3) finds the first.
        if self.own.iter().all(|(known, _)| known.opt != entry.opt) {
            self.own.push((entry, values::trim_blanks(value)));
        }
        true
    }

    /// A warning for each name that begins like drain-init's own and is not: a probable typo.
    pub fn warnings(&self) -> impl Iterator<Item = Error> {
        self.unknown.iter().map(|name| unknown(Source::Variable, name, &name[PREFIX.len()..]))
    }

    /// Applies the variables that are set and not empty.
    pub(super) fn read(&self, settings: &mut Settings) -> Result<(), Error> {
        // drain-init's own, which follow, have priority.
        if self.debug {
            settings.target(Opt::Verbose, Source::Variable).level = Level::Verbose;
        }
        if self.no_setsid {
            settings.target(Opt::SingleChild, Source::Variable).plan.group = false;
        }
        for &(entry, value) in &self.own {
            if !value.is_empty() {
                read_one(entry, value, settings)?;
            }
        }
        // On the command line the last one wins. Variables have no order.
        for (one, other) in [(Opt::SingleChild, Opt::Group), (Opt::Verbose, Opt::Quiet)] {
            if let (Some(one), Some(other)) = (self.switched_on(one), self.switched_on(other)) {
                let wrong = b" contradict each other (set only one)";
                return Err(Error::new(&[one, b" and ", other, wrong]));
            }
        }
        Ok(())
    }

    /// The name of an option's variable that is on.
    fn switched_on(&self, opt: Opt) -> Option<&'static [u8]> {
        let (entry, value) = self.own.iter().find(|(entry, _)| entry.opt == opt)?;
        (values::switch(value) == Ok(true)).then(|| entry.name(Source::Variable))
    }
}

/// Applies a variable: a value, each element of a list, or a switch that is on.
fn read_one(entry: &Entry, value: &[u8], settings: &mut Settings) -> Result<(), Error> {
    let source = Source::Variable;
    let refuse = |wrong| entry.refuse(source, value, wrong);
    match entry.takes {
        Takes::Value(_) => settings.apply(entry, value, source)?,
        Takes::Values(_) => {
            for element in text::split(value, b',').map(values::trim_blanks) {
                match element {
                    [] => return Err(refuse(["has an empty element", "remove the extra comma"])),
                    // S:R itself accepts it, as dumb-init does.
                    [.., b'\r'] => return Err(entry.refuse(source, element, CARRIAGE_RETURN)),
                    _ => settings.apply(entry, element, source)?,
                }
            }
        }
        Takes::Nothing => {
            if values::switch(value).map_err(refuse)? {
                settings.apply(entry, b"", source)?;
            }
        }
    }
    Ok(())
}

/// Whether the variable is one that Kubernetes creates for a Service whose name is
/// drain-init, or begins so: `DRAIN_INIT_PORT`, `DRAIN_INIT_WEB_SERVICE_HOST`.
fn is_of_service(name: &[u8]) -> bool {
    let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    has(b"_PORT") || has(b"_SERVICE_")
}
