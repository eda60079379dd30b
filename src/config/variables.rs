//! The variables: which of the environment's are drain-init's own, and what they set.

use super::options::{Entry, OPTIONS, Opt, PREFIX, Source, unknown};
use super::{Config, Error, Settings, values};
use crate::text;

/// The name of the variable that names the received signal to a drain or stop command.
pub const SIGNAL_VARIABLE: &[u8] = b"DRAIN_INIT_SIGNAL";

/// dumb-init's variables, and what they ask for.
const DUMB_INIT: [(&[u8], Opt); 2] =
    [(b"DUMB_INIT_DEBUG=1", Opt::Verbose), (b"DUMB_INIT_SETSID=0", Opt::SingleChild)];

/// The variables that are drain-init's own, dumb-init's, and those that look like a typo.
#[derive(Default)]
pub struct Variables<'a> {
    own: Vec<(&'static Entry, &'a [u8])>,
    /// What dumb-init's ask for.
    dumb_init: Vec<Opt>,
    unknown: Vec<&'a [u8]>,
}

impl<'a> Variables<'a> {
    /// Looks at a `NAME=VALUE` of the environment. Returns whether it is drain-init's own, to
    /// be removed from COMMAND's environment.
    pub fn take(&mut self, word: &'a [u8]) -> bool {
        let Some(behind_prefix) = word.strip_prefix(PREFIX) else {
            let known = DUMB_INIT.iter().find(|(known, _)| *known == word);
            self.dumb_init.extend(known.map(|(_, opt)| opt));
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
        self.unknown.iter().map(|name| unknown(Source::Variable, PREFIX, &name[PREFIX.len()..]))
    }

    /// Applies the variables that are set and not empty.
    pub(super) fn read(&self, config: &mut Config) -> Result<(), Error> {
        let mut settings = Settings { config, source: Source::Variable, set: 0 };
        for &opt in &self.dumb_init {
            settings.apply(&OPTIONS[opt as usize], b"1")?;
        }
        // drain-init's own override these, and do not contradict them.
        settings.set = 0;
        for &(entry, value) in self.own.iter().filter(|(_, value)| !value.is_empty()) {
            if !entry.repeats() {
                settings.apply(entry, value)?;
                continue;
            }
            for element in text::split(value, b',').map(values::trim_blanks) {
                if element.is_empty() {
                    let wrong = ["has an empty element", "remove the extra comma"];
                    return Err(entry.refuse(Source::Variable, value, wrong));
                }
                settings.apply(entry, element)?;
            }
        }
        // On the command line the last one wins. Variables have no order.
        for [one, other] in [[Opt::SingleChild, Opt::Group], [Opt::Verbose, Opt::Quiet]] {
            if settings.has(one) && settings.has(other) {
                let name = |opt: Opt| OPTIONS[opt as usize].name(Source::Variable);
                let wrong = b" contradict each other (set only one)";
                return Err(Error::new(&[name(one), b" and ", name(other), wrong]));
            }
        }
        Ok(())
    }
}

/// Whether the variable is one that Kubernetes creates for a Service whose name is
/// drain-init, or begins with it: `DRAIN_INIT_PORT`, `DRAIN_INIT_WEB_SERVICE_HOST`.
fn is_of_service(name: &[u8]) -> bool {
    let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    has(b"_PORT") || has(b"_SERVICE_")
}
