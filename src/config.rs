//! The command line and the environment → [`Config`], or an error that says
//! what would be right. Reads nothing else and starts nothing.

use core::time::Duration;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use lexopt::{Arg, Parser};

pub mod exec_form;
mod options;
mod values;

pub use options::{HELP, SIGNAL_VARIABLE, is_own_variable, is_probable_slip};
pub use values::ExitCodes;

use crate::drain::Plan;
use crate::report::Level;
use crate::signal::{Rewrites, Signal, SignalSet};
use exec_form::Cmd;
use options::{Opt, PREFIX, Spelling, Takes, variable_byte};

/// What the command line and the environment ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Run COMMAND.
    Run(Box<Config>),
}

/// How to run COMMAND.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// What the state machine needs to know.
    pub plan: Plan,
    /// Run when the drain starts.
    pub drain_cmd: Option<NamedCmd>,
    /// Run in place of the stop signal's delivery.
    pub stop_cmd: Option<NamedCmd>,
    /// How much to say.
    pub level: Level,
    /// Say when an orphan was reaped.
    pub warn_on_reap: bool,
    /// Adopt orphans although not PID 1.
    pub subreaper: bool,
    /// When COMMAND has exited, wait until nothing is left.
    pub wait_all: bool,
    /// The signal to get when the parent dies.
    pub pdeathsig: Option<Signal>,
    /// Statuses of COMMAND that become 0.
    pub remap_exit: ExitCodes,
    /// COMMAND's place in the argument list, counted from the program's name.
    pub command: usize,
}

/// A drain or stop command, and where it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedCmd {
    /// The command.
    pub cmd: Cmd,
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

    /// The line. It may hold what the user typed, byte for byte.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0
    }
}

/// Where a value came from, for the error that names it.
#[derive(Clone, Copy)]
enum Source {
    Option,
    Variable,
}

impl Source {
    /// `--delay-term`, or `DRAIN_INIT_DELAY_TERM`.
    fn name(self, known: &Spelling) -> &'static [u8] {
        match self {
            Self::Option => [b"--", known.long.as_bytes()].concat().leak(),
            Self::Variable => {
                let mut name = PREFIX.to_vec();
                for byte in known.long.bytes() {
                    name.push(variable_byte(byte));
                }
                name.leak()
            }
        }
    }

    /// The error about a value that is not `right`.
    fn refuse(self, known: &Spelling, value: &[u8], right: &[u8]) -> Error {
        let equals: &[u8] = match self {
            Self::Option => b" '",
            Self::Variable => b"='",
        };
        Error::new(&[self.name(known), equals, value, b"': ", right])
    }
}

/// What was asked for in one place, the command line or the environment.
#[derive(Default)]
#[allow(clippy::option_option, reason = "an empty CMD undoes the variable's")]
struct Settings {
    delay: Option<Duration>,
    kill_after: Option<Duration>,
    drain_signal: Option<Signal>,
    // The inner None is an empty word, the outer one no word at all.
    drain_cmd: Option<Option<NamedCmd>>,
    stop_cmd: Option<Option<NamedCmd>>,
    stop_signals: Option<SignalSet>,
    rewrites: Option<Rewrites>,
    remap_exit: Option<ExitCodes>,
    pdeathsig: Option<Signal>,
    single_child: Option<bool>,
    level: Option<Level>,
    wait_all: bool,
    subreaper: bool,
    warn_on_reap: bool,
}

impl Settings {
    /// Takes one option over, with one value where it has one.
    fn apply(&mut self, known: &Spelling, value: &[u8], source: Source) -> Result<(), Error> {
        let refuse = |right: &[u8]| source.refuse(known, value, right);
        let duration = || {
            values::duration(value).ok_or_else(|| {
                refuse(b"not a duration: write 10, 1.5s, 500ms or 1m30s, up to ten years")
            })
        };
        let signal = || {
            Signal::parse(value).ok_or_else(|| {
                refuse(b"not a signal: write a number from 1 to 64 or a name such as TERM")
            })
        };
        let cmd = || {
            let cmd = exec_form::parse(value).map_err(|wrong| refuse(wrong.concat().as_bytes()))?;
            Ok(cmd.map(|cmd| NamedCmd { cmd, asked_by: source.name(known) }))
        };
        match known.opt {
            Opt::DelayTerm => self.delay = Some(duration()?),
            Opt::KillAfter => self.kill_after = Some(duration()?),
            Opt::DrainSignal => self.drain_signal = Some(signal()?),
            Opt::Pdeathsig => self.pdeathsig = Some(signal()?),
            Opt::DrainCmd => self.drain_cmd = Some(cmd()?),
            Opt::StopCmd => self.stop_cmd = Some(cmd()?),
            Opt::StopSignal => {
                let signal = signal()?;
                if matches!(signal, Signal::KILL | Signal::STOP | Signal::CHLD) {
                    return Err(refuse(
                        b"cannot ask to stop: write a signal that can be caught, such as TERM or QUIT",
                    ));
                }
                self.stop_signals.get_or_insert_default().insert(signal);
            }
            Opt::Rewrite => {
                let rewrites = self.rewrites.get_or_insert_default();
                rewrites.parse_and_set(value).ok_or_else(|| {
                    refuse(b"not S:R: write two signals, such as 15:3 or TERM:QUIT, or 15:0 to deliver nothing")
                })?;
            }
            Opt::RemapExit => {
                let code = values::exit_code(value)
                    .ok_or_else(|| refuse(b"not an exit status: write a number from 0 to 255"))?;
                self.remap_exit.get_or_insert_default().insert(code);
            }
            Opt::SingleChild => self.single_child = Some(true),
            Opt::Group => self.single_child = Some(false),
            Opt::Verbose => self.level = Some(Level::Verbose),
            Opt::Quiet => self.level = Some(Level::Error),
            Opt::WaitAll => self.wait_all = true,
            Opt::Subreaper => self.subreaper = true,
            Opt::WarnOnReap => self.warn_on_reap = true,
            Opt::Help | Opt::Version => {}
        }
        Ok(())
    }

    /// Takes over one variable that is set and not empty. Says whether it counts:
    /// a switch may be off.
    fn apply_variable(&mut self, known: &Spelling, value: &[u8]) -> Result<bool, Error> {
        let source = Source::Variable;
        match known.takes {
            Takes::Value(_) => self.apply(known, value, source)?,
            Takes::Values(_) => {
                for item in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    if item.is_empty() {
                        let wrong = b"has a comma with nothing before or behind it: take it out";
                        return Err(source.refuse(known, value, wrong));
                    }
                    self.apply(known, item, source)?;
                }
            }
            Takes::Nothing => match values::switch(value) {
                Some(true) => self.apply(known, value, source)?,
                Some(false) => return Ok(false),
                None => {
                    let right = b"not a switch: write 1, true, yes or on, or 0, false, no or off";
                    return Err(source.refuse(known, value, right));
                }
            },
        }
        Ok(true)
    }
}

/// Reads the argument list, the program's name first, and the environment.
///
/// # Errors
///
/// A usage error, in one line.
pub fn parse<'a>(
    args: impl Iterator<Item = &'a [u8]>,
    environment: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Request, Error> {
    let no_command = || {
        Error::new(&[b"no COMMAND: write drain-init [OPTION]... [--] COMMAND [ARG]..., or --help"])
    };
    let mut settings = Settings::default();
    let mut args = args.enumerate().skip(1);
    let command = loop {
        let (place, word) = args.next().ok_or_else(no_command)?;
        match word {
            b"--" => break args.next().ok_or_else(no_command)?.0,
            [b'-', _, ..] => {}
            _ => break place,
        }
        // One option at a time: COMMAND's words may be megabytes, which a parser
        // of all would copy.
        let mut parser = Parser::from_args([OsString::from_vec(word.to_vec())]);
        while let Some(arg) = parser.next().map_err(|error| usage(&error))? {
            let known = match arg {
                // No option is one.
                Arg::Value(_) => break,
                Arg::Short(short) => Spelling::by_short(short)
                    .ok_or_else(|| unknown(&[b"-", short.encode_utf8(&mut [0; 4]).as_bytes()]))?,
                Arg::Long(name) => {
                    let known = Spelling::by_long(name)
                        .ok_or_else(|| unknown(&[b"--", name.as_bytes()]))?;
                    if known.takes == Takes::Nothing
                        && let Some(value) = parser.optional_value()
                    {
                        return Err(Source::Option.refuse(
                            known,
                            value.as_bytes(),
                            b"takes no value: leave it out",
                        ));
                    }
                    known
                }
            };
            match (known.opt, known.takes) {
                (Opt::Help, _) => return Ok(Request::Help),
                (Opt::Version, _) => return Ok(Request::Version),
                (_, Takes::Nothing) => settings.apply(known, b"", Source::Option)?,
                (_, Takes::Value(what) | Takes::Values(what)) => {
                    let missing =
                        || Error::new(&[Source::Option.name(known), b" needs a ", what.as_bytes()]);
                    let attached = parser.optional_value();
                    let value = match &attached {
                        Some(value) => value.as_bytes(),
                        None => args.next().ok_or_else(missing)?.1,
                    };
                    settings.apply(known, value, Source::Option)?;
                }
            }
        }
    };

    let mut variables = Settings::default();
    let mut dumb_init = Settings::default();
    let (mut seen, mut on) = (0_u32, 0_u32);
    for (name, value) in environment {
        match name {
            b"DUMB_INIT_DEBUG" if value == b"1" => dumb_init.level = Some(Level::Verbose),
            b"DUMB_INIT_SETSID" if value == b"0" => dumb_init.single_child = Some(true),
            _ => {
                let Some(known) = Spelling::by_variable(name) else { continue };
                // Of two variables of one name getenv(3) finds the first.
                let bit = 1 << known.opt as u32;
                if seen & bit == 0 && !value.is_empty() && variables.apply_variable(known, value)? {
                    on |= bit;
                }
                seen |= bit;
            }
        }
    }
    // On a command line the last wins; variables have no order.
    let contradictions: [(_, _, [&[u8]; 2]); 2] = [
        (Opt::SingleChild, Opt::Group, [b"SINGLE_CHILD", b"GROUP"]),
        (Opt::Verbose, Opt::Quiet, [b"VERBOSE", b"QUIET"]),
    ];
    for (one, other, [name, its_opposite]) in contradictions {
        let both = 1 << one as u32 | 1 << other as u32;
        if on & both == both {
            let right = b" contradict each other: set one of them";
            return Err(Error::new(&[PREFIX, name, b" and ", PREFIX, its_opposite, right]));
        }
    }
    Ok(Request::Run(Box::new(merge(&settings, &variables, &dumb_init, command))))
}

/// The command line wins over the variables, and those over dumb-init's.
fn merge(line: &Settings, variables: &Settings, dumb_init: &Settings, command: usize) -> Config {
    let drain_cmd = line.drain_cmd.or(variables.drain_cmd).flatten();
    let stop_cmd = line.stop_cmd.or(variables.stop_cmd).flatten();
    let single_child =
        line.single_child.or(variables.single_child).or(dumb_init.single_child).unwrap_or(false);
    let rewrites = line.rewrites.or(variables.rewrites).unwrap_or_default();
    let given = |duration: &Duration| !duration.is_zero();
    Config {
        plan: Plan {
            delay: line.delay.or(variables.delay).filter(given),
            drain_signal: line.drain_signal.or(variables.drain_signal),
            drain_cmd: drain_cmd.is_some(),
            stop_cmd: stop_cmd.is_some(),
            kill_after: line.kill_after.or(variables.kill_after).filter(given),
            stop_signals: line
                .stop_signals
                .or(variables.stop_signals)
                .unwrap_or_else(|| SignalSet::of(&[Signal::TERM])),
            rewrites,
            group: !single_child,
            wait_all: None,
        },
        drain_cmd,
        stop_cmd,
        level: line.level.or(variables.level).or(dumb_init.level).unwrap_or(Level::Notice),
        warn_on_reap: line.warn_on_reap || variables.warn_on_reap,
        subreaper: line.subreaper || variables.subreaper,
        wait_all: line.wait_all || variables.wait_all,
        pdeathsig: line.pdeathsig.or(variables.pdeathsig),
        remap_exit: line.remap_exit.or(variables.remap_exit).unwrap_or_default(),
        command,
    }
}

fn unknown(option: &[&[u8]]) -> Error {
    Error::new(&[
        b"unknown option ",
        &option.concat(),
        b": --help lists them; write -- before a COMMAND that begins with -",
    ])
}

/// The words for what lexopt finds wrong by itself: a value behind a short
/// option that takes none.
fn usage(error: &lexopt::Error) -> Error {
    match error {
        lexopt::Error::UnexpectedValue { option, .. } => {
            Error::new(&[option.as_bytes(), b" takes no value: leave it out"])
        }
        _ => Error::new(&[b"the options cannot be read: --help lists them"]),
    }
}

#[cfg(test)]
mod tests;
