//! The command line and the environment → [`Config`], or an error that says
//! what would be right. Reads nothing else and starts nothing.

use core::time::Duration;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use lexopt::{Arg, Parser};

use crate::drain::Plan;
use crate::exec_form::{self, Cmd};
use crate::report::Level;
use crate::signal::{self, Rewrites, Signal, SignalSet};

/// What `--help` prints, behind `Usage: NAME`.
pub const HELP: &str = " [OPTION]... [--] COMMAND [ARG]...

Run COMMAND as a container's init: deliver signals to it, reap orphans, and
drain before stopping it.

Draining
      --delay-term DURATION  hold the stop signal back for that long
      --drain-signal SIGNAL  deliver SIGNAL to COMMAND when the drain starts
      --drain-cmd CMD        run CMD when the drain starts; without --delay-term
                             the drain lasts as long as CMD runs
      --stop-cmd CMD         after the drain run CMD, not deliver the stop signal
      --kill-after DURATION  SIGKILL what is left this long after the stop
      --stop-signal SIGNAL   a signal that asks to stop (TERM); repeatable
      --wait-all             when COMMAND has exited, wait until nothing is left

Signals and children
  -c, --single-child         signals go to COMMAND alone, not to its group
  -g, --group                signals go to COMMAND's process group (the default)
  -r, --rewrite S:R          deliver R where S was received, nothing where R is 0;
                             repeatable
  -s, --subreaper            adopt orphans although not PID 1
  -p, --pdeathsig SIGNAL     get SIGNAL when the parent dies
  -e, --remap-exit CODE      exit 0 where COMMAND's status is CODE; repeatable

Messages
  -v, --verbose              say what happens
  -q, --quiet                errors only
  -w, --warn-on-reap         say when an orphan was reaped
  -h, --help                 print this help and exit
  -V, --version              print the version and exit

DURATION: 10, 1.5s, 500ms, 1m30s. SIGNAL, S, R: 15, TERM, SIGTERM, RTMIN+3.
CMD: a line for /bin/sh, or a JSON array of strings that needs no shell.
Every long option is also a variable: DRAIN_INIT_DELAY_TERM=10 is
--delay-term 10. The delay and the time to stop must together stay below the
platform's grace period. See drain-init(1).
";

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCmd {
    /// The command.
    pub cmd: Cmd,
    /// The name of the option or variable, for an error that names it.
    pub asked_by: Vec<u8>,
}

/// A set of exit statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitCodes([u64; 4]);

impl ExitCodes {
    fn insert(&mut self, code: u8) {
        self.0[usize::from(code >> 6)] |= 1 << (code & 63);
    }

    /// Whether the status is in the set.
    #[must_use]
    pub const fn contains(self, code: u8) -> bool {
        self.0[(code >> 6) as usize] & (1 << (code & 63)) != 0
    }
}

/// A usage error: one line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Error(Vec<u8>);

impl Error {
    /// An error of these parts.
    #[must_use]
    pub fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat())
    }

    /// The line. It may hold what the user typed, byte for byte.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The long options that have a meaning of their own, in the order of `--help`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Opt {
    DelayTerm,
    DrainSignal,
    DrainCmd,
    StopCmd,
    KillAfter,
    StopSignal,
    WaitAll,
    SingleChild,
    Group,
    Rewrite,
    Subreaper,
    Pdeathsig,
    RemapExit,
    Verbose,
    Quiet,
    WarnOnReap,
    Help,
    Version,
}

/// What follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// A value, so described where it is missing.
    Value(&'static str),
    /// As `Value`, and the option may be repeated; its variable is a list.
    Values(&'static str),
}

struct Spelling {
    opt: Opt,
    long: &'static str,
    short: Option<char>,
    takes: Takes,
    /// dumb-init's own may be abbreviated, as by `getopt_long(3)`.
    abbreviable: bool,
}

const DURATION: Takes = Takes::Value("DURATION, such as 10s");
const SIGNAL: Takes = Takes::Value("SIGNAL, such as TERM");
const CMD: Takes = Takes::Value("CMD, such as 'nginx -s quit'");

const fn own(opt: Opt, long: &'static str, takes: Takes) -> Spelling {
    Spelling { opt, long, short: None, takes, abbreviable: false }
}

const fn tini(opt: Opt, long: &'static str, short: char, takes: Takes) -> Spelling {
    Spelling { short: Some(short), ..own(opt, long, takes) }
}

const fn dumb_init(opt: Opt, long: &'static str, short: char, takes: Takes) -> Spelling {
    Spelling { abbreviable: true, ..tini(opt, long, short, takes) }
}

const SPELLINGS: &[Spelling] = &[
    own(Opt::DelayTerm, "delay-term", DURATION),
    own(Opt::DrainSignal, "drain-signal", SIGNAL),
    own(Opt::DrainCmd, "drain-cmd", CMD),
    own(Opt::StopCmd, "stop-cmd", CMD),
    own(Opt::KillAfter, "kill-after", DURATION),
    own(Opt::StopSignal, "stop-signal", Takes::Values("SIGNAL, such as QUIT")),
    own(Opt::WaitAll, "wait-all", Takes::Nothing),
    dumb_init(Opt::SingleChild, "single-child", 'c', Takes::Nothing),
    tini(Opt::Group, "group", 'g', Takes::Nothing),
    dumb_init(Opt::Rewrite, "rewrite", 'r', Takes::Values("S:R, such as 15:3")),
    tini(Opt::Subreaper, "subreaper", 's', Takes::Nothing),
    tini(Opt::Pdeathsig, "pdeathsig", 'p', SIGNAL),
    tini(Opt::RemapExit, "remap-exit", 'e', Takes::Values("CODE, such as 143")),
    dumb_init(Opt::Verbose, "verbose", 'v', Takes::Nothing),
    tini(Opt::Quiet, "quiet", 'q', Takes::Nothing),
    tini(Opt::WarnOnReap, "warn-on-reap", 'w', Takes::Nothing),
    dumb_init(Opt::Help, "help", 'h', Takes::Nothing),
    dumb_init(Opt::Version, "version", 'V', Takes::Nothing),
];

impl Spelling {
    fn by_short(short: char) -> Option<&'static Self> {
        SPELLINGS.iter().find(|known| known.short == Some(short))
    }

    /// The option of that name, or the only one of dumb-init's that begins so.
    fn by_long(name: &str) -> Option<&'static Self> {
        if let Some(exact) = SPELLINGS.iter().find(|known| known.long == name) {
            return Some(exact);
        }
        let mut beginning =
            SPELLINGS.iter().filter(|known| known.abbreviable && known.long.starts_with(name));
        beginning.next().filter(|_| beginning.next().is_none())
    }

    /// The option whose variable that is, if any. Help and version have none.
    fn by_variable(name: &[u8]) -> Option<&'static Self> {
        let suffix = name.strip_prefix(PREFIX)?;
        SPELLINGS.iter().find(|known| {
            !matches!(known.opt, Opt::Help | Opt::Version)
                && known.long.len() == suffix.len()
                && known
                    .long
                    .bytes()
                    .zip(suffix)
                    .all(|(long, &suffix)| suffix == variable_byte(long))
        })
    }
}

const PREFIX: &[u8] = b"DRAIN_INIT_";

/// The name of the variable that tells a drain or stop command which signal
/// was received.
pub const SIGNAL_VARIABLE: &[u8] = b"DRAIN_INIT_SIGNAL";

const fn variable_byte(byte: u8) -> u8 {
    match byte {
        b'-' => b'_',
        byte => byte.to_ascii_uppercase(),
    }
}

/// Whether the variable is one of drain-init's own, to be taken out of
/// COMMAND's environment.
#[must_use]
pub fn is_own_variable(name: &[u8]) -> bool {
    Spelling::by_variable(name).is_some()
}

/// Whether the variable looks like one of drain-init's own, and is none: a
/// probable slip. Not what Kubernetes makes for a Service, nor what drain-init
/// gives its own commands.
#[must_use]
pub fn is_probable_slip(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
        && !is_of_service(&name[PREFIX.len() - 1..])
        && name != SIGNAL_VARIABLE
        && !is_own_variable(name)
}

/// Whether Kubernetes makes a variable that ends so behind `DRAIN_INIT`, for a
/// Service called drain-init or, say, drain-init-web: `_WEB_SERVICE_HOST`.
fn is_of_service(rest: &[u8]) -> bool {
    let has = |part: &[u8]| rest.windows(part.len()).any(|window| window == part);
    rest.starts_with(b"_PORT") || rest.ends_with(b"_PORT") || has(b"_PORT_") || has(b"_SERVICE_")
}

/// Where a value came from, for the error that names it.
#[derive(Clone, Copy)]
enum Source {
    Option,
    Variable,
}

impl Source {
    /// `--delay-term`, or `DRAIN_INIT_DELAY_TERM`.
    fn name(self, known: &Spelling) -> Vec<u8> {
        match self {
            Self::Option => [b"--", known.long.as_bytes()].concat(),
            Self::Variable => {
                let suffix = known.long.bytes().map(variable_byte);
                PREFIX.iter().copied().chain(suffix).collect()
            }
        }
    }

    /// The error about a value that is not `right`.
    fn refuse(self, known: &Spelling, value: &[u8], right: &[u8]) -> Error {
        let equals: &[u8] = match self {
            Self::Option => b" '",
            Self::Variable => b"='",
        };
        Error::new(&[&self.name(known), equals, value, b"': ", right])
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
            parse_duration(value).ok_or_else(|| {
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
                let code = core::str::from_utf8(value)
                    .ok()
                    .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                    .and_then(|text| text.parse().ok())
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

    /// Takes over one variable that is set and not empty.
    fn apply_variable(&mut self, known: &Spelling, value: &[u8]) -> Result<(), Error> {
        let source = Source::Variable;
        match known.takes {
            Takes::Value(_) => self.apply(known, value, source),
            Takes::Values(_) => value
                .split(|&byte| byte == b',')
                .map(|item| signal::trim_end(signal::trim_start(item)))
                .try_for_each(|item| {
                    if item.is_empty() {
                        let wrong = b"has a comma with nothing before or behind it: take it out";
                        return Err(source.refuse(known, value, wrong));
                    }
                    self.apply(known, item, source)
                }),
            Takes::Nothing => match parse_switch(value) {
                Some(true) => {
                    let (single_child, level) = (self.single_child, self.level);
                    self.apply(known, value, source)?;
                    // On a command line the last wins; variables have no order.
                    let changed = single_child.is_some_and(|was| self.single_child != Some(was))
                        || level.is_some_and(|was| self.level != Some(was));
                    if changed {
                        let (one, other): (&[u8], &[u8]) = match known.opt {
                            Opt::SingleChild | Opt::Group => (b"SINGLE_CHILD", b"GROUP"),
                            _ => (b"VERBOSE", b"QUIET"),
                        };
                        return Err(Error::new(&[
                            PREFIX,
                            one,
                            b" and ",
                            PREFIX,
                            other,
                            b" contradict each other: set one of them",
                        ]));
                    }
                    Ok(())
                }
                Some(false) => Ok(()),
                None => Err(source.refuse(
                    known,
                    value,
                    b"not a switch: write 1, true, yes or on, or 0, false, no or off",
                )),
            },
        }
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
                    let missing = || {
                        Error::new(&[&Source::Option.name(known), b" needs a ", what.as_bytes()])
                    };
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
    let mut seen = 0_u32;
    for (name, value) in environment {
        match name {
            b"DUMB_INIT_DEBUG" if value == b"1" => dumb_init.level = Some(Level::Verbose),
            b"DUMB_INIT_SETSID" if value == b"0" => dumb_init.single_child = Some(true),
            _ => {
                let Some(known) = Spelling::by_variable(name) else { continue };
                // Of two variables of one name getenv(3) finds the first.
                let bit = 1 << known.opt as u32;
                if seen & bit == 0 && !value.is_empty() {
                    variables.apply_variable(known, value)?;
                }
                seen |= bit;
            }
        }
    }
    Ok(Request::Run(Box::new(merge(settings, variables, &dumb_init, command))))
}

/// The command line wins over the variables, and those over dumb-init's.
fn merge(line: Settings, variables: Settings, dumb_init: &Settings, command: usize) -> Config {
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

/// Reads `1`, `true`, `yes`, `on` or their opposites, in either case.
fn parse_switch(value: &[u8]) -> Option<bool> {
    let is_one_of = |words: [&[u8]; 4]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    if is_one_of([b"1", b"true", b"yes", b"on"]) {
        Some(true)
    } else if is_one_of([b"0", b"false", b"no", b"off"]) {
        Some(false)
    } else {
        None
    }
}

/// The longest duration: ten years of 365 days.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Reads one or more of a decimal number and a unit (`ms`, `s`, `m`, `h`), or
/// one number of seconds.
fn parse_duration(mut text: &[u8]) -> Option<Duration> {
    const NANOS_PER_MILLI: u64 = 1_000_000;
    const NANOS_PER_SECOND: u64 = 1_000 * NANOS_PER_MILLI;
    let mut total = Duration::ZERO;
    let mut first = true;
    while first || !text.is_empty() {
        let whole = take_digits(&mut text)?;
        let fraction = match text {
            [b'.', rest @ ..] => {
                text = rest;
                take_digits(&mut text)?
            }
            _ => b"",
        };
        let unit = match text {
            [b'm', b's', rest @ ..] => (rest, NANOS_PER_MILLI),
            [b's', rest @ ..] => (rest, NANOS_PER_SECOND),
            [b'm', rest @ ..] => (rest, 60 * NANOS_PER_SECOND),
            [b'h', rest @ ..] => (rest, 3_600 * NANOS_PER_SECOND),
            [] if first => (text, NANOS_PER_SECOND),
            _ => return None,
        };
        text = unit.0;
        first = false;
        total =
            total.checked_add(scale(whole, fraction, unit.1)?).filter(|total| *total <= LONGEST)?;
    }
    Some(total)
}

/// Takes the one or more digits at the beginning of `text`.
fn take_digits<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(count);
    *text = rest;
    (count > 0).then_some(digits)
}

/// `whole.fraction` times `unit` nanoseconds.
fn scale(whole: &[u8], fraction: &[u8], unit: u64) -> Option<Duration> {
    let mut nanos = 0_u64;
    for digit in whole {
        nanos = nanos.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    nanos = nanos.checked_mul(unit)?;
    // Every unit is a multiple of a high power of ten: only digits below some
    // nanoseconds are cut off.
    let mut place = unit;
    for digit in fraction {
        place /= 10;
        nanos = nanos.checked_add(place * u64::from(digit - b'0'))?;
    }
    // What is not nothing must not count as nothing.
    let least = fraction.iter().any(|&digit| digit != b'0').into();
    Some(Duration::from_nanos(nanos.max(least)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(args: &[&str], variables: &[(&str, &str)]) -> Result<Request, Error> {
        let args = ["drain-init"].iter().chain(args).map(|arg| arg.as_bytes());
        let variables = variables.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        parse(args, variables)
    }

    fn config_with(args: &[&str], variables: &[(&str, &str)]) -> Config {
        match request(args, variables) {
            Ok(Request::Run(config)) => *config,
            other => panic!("{args:?} {variables:?}: {other:?}"),
        }
    }

    fn config(args: &[&str]) -> Config {
        config_with(args, &[])
    }

    fn error_with(args: &[&str], variables: &[(&str, &str)]) -> String {
        match request(args, variables) {
            Err(error) => String::from_utf8(error.as_bytes().to_vec()).unwrap(),
            other => panic!("{args:?} {variables:?}: {other:?}"),
        }
    }

    fn error(args: &[&str]) -> String {
        error_with(args, &[])
    }

    #[allow(clippy::unnecessary_wraps)]
    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn duration(text: &str) -> Option<u64> {
        parse_duration(text.as_bytes()).map(|duration| duration.as_nanos().try_into().unwrap())
    }

    #[test]
    fn a_duration_is_one_or_more_decimal_numbers_and_units() {
        const MILLI: u64 = 1_000_000;
        for (text, millis) in [
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("1h1m1s1ms", 3_661_001),
            ("0.5h", 1_800_000),
            ("1s1s", 2_000),
            ("30", 30_000),
            ("1.25", 1_250),
            ("0", 0),
            ("0s", 0),
            ("007s", 7_000),
        ] {
            assert_eq!(duration(text), Some(millis * MILLI), "{text}");
        }
        assert_eq!(duration("0.000000001s"), Some(1));
        assert_eq!(duration("0.0000000009s"), Some(1));
        assert_eq!(duration("0.0000000000000000000001h"), Some(1));
        assert_eq!(duration("1.0000000009s"), Some(1_000_000_000));
        assert_eq!(duration("0.000000000000s"), Some(0));
        assert_eq!(duration("0.000001ms"), Some(1));
        assert_eq!(duration("0.00000000001h"), Some(36));
    }

    #[test]
    fn ten_years_are_the_longest_duration() {
        assert_eq!(parse_duration(b"87600h"), Some(LONGEST));
        assert_eq!(parse_duration(b"87599h3600s"), Some(LONGEST));
        assert_eq!(parse_duration(b"315360000"), Some(LONGEST));
        for bad in [
            "87600h1ms",
            "87601h",
            "315360001",
            "99999999999999999999",
            "18446744073709551616ms",
            "18446744073709s",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_malformed_duration_is_refused() {
        for bad in [
            "", " ", "s", "-1", "+1", "1e3", "1 s", " 1", "1 ", ".5", ".5s", "5.", "5.s", "1.2.3s",
            "1d", "1S", "1M", "1m30", "30m5", "1us", "1,5s", "0x10", "1s ", "inf", "nan", "1s-1s",
            "\u{661}s",
        ] {
            assert_eq!(duration(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_plain_command_has_every_default() {
        let config = config(&["true"]);
        assert_eq!(config.command, 1);
        assert_eq!(config.level, Level::Notice);
        assert_eq!(config.plan.delay, None);
        assert_eq!(config.plan.kill_after, None);
        assert_eq!(config.plan.drain_signal, None);
        assert_eq!(config.plan.stop_signals, SignalSet::of(&[Signal::TERM]));
        assert_eq!(config.plan.wait_all, None);
        assert!(config.plan.group);
        assert!(!config.plan.drain_cmd && !config.plan.stop_cmd);
        assert!(!config.wait_all && !config.subreaper && !config.warn_on_reap);
        assert_eq!(config.pdeathsig, None);
        assert_eq!(config.remap_exit, ExitCodes::default());
        assert_eq!(config.plan.rewrites, Rewrites::default());
        assert_eq!(config.plan.rewrites.apply(Signal::TERM), Some(Signal::TERM));
    }

    #[test]
    fn parsing_stops_at_the_command_and_at_two_dashes() {
        assert_eq!(config(&["-v", "ls", "-c", "--wait-all"]).command, 2);
        assert_eq!(config(&["-v", "--", "-c"]).command, 3);
        assert_eq!(config(&["-"]).command, 1);
        assert_eq!(config(&[""]).command, 1);
        assert_eq!(config(&["--", "--", "x"]).command, 2);
        assert!(!config(&["ls", "--wait-all"]).wait_all);
        assert_eq!(config(&["-r1:1", "--rew=1:2", "-r", "15:3", "x"]).command, 5);
    }

    #[test]
    fn short_options_cluster_and_take_their_value_attached_or_separate() {
        let check = |args: &[&str]| {
            let config = config(args);
            assert!(!config.plan.group, "{args:?}");
            assert_eq!(config.level, Level::Verbose);
            assert_eq!(config.plan.rewrites.apply(Signal::TERM), Some(Signal::QUIT));
            assert_eq!(config.command, args.len());
        };
        check(&["-vcr15:3", "x"]);
        check(&["-vcr", "15:3", "x"]);
        check(&["-v", "-c", "--rewrite", "15:3", "x"]);
        check(&["-v", "-c", "--rewrite=15:3", "x"]);
        check(&["--verbose", "--single-child", "--rew", "15:3", "x"]);
    }

    #[test]
    fn dumb_inits_long_options_and_only_they_may_be_abbreviated() {
        assert!(!config(&["--s", "x"]).plan.group);
        assert!(!config(&["--single", "x"]).plan.group);
        assert_eq!(config(&["--verb", "x"]).level, Level::Verbose);
        assert_eq!(request(&["--h"], &[]), Ok(Request::Help));
        assert_eq!(request(&["--vers"], &[]), Ok(Request::Version));
        assert!(config(&["--r", "15:0", "x"]).plan.rewrites.apply(Signal::TERM).is_none());
        for bad in [
            "--ver",
            "--v",
            "--st",
            "--stop-c",
            "--wait",
            "--rem",
            "--q",
            "--gro",
            "--su",
            "--helpx",
            "--singlechild",
        ] {
            assert!(error(&[bad, "15", "x"]).contains(&format!("unknown option {bad}")), "{bad}");
        }
    }

    #[test]
    fn the_last_of_contradicting_options_wins() {
        assert!(config(&["-c", "-g", "x"]).plan.group);
        assert!(!config(&["-g", "-c", "x"]).plan.group);
        assert_eq!(config(&["-qv", "x"]).level, Level::Verbose);
        assert_eq!(config(&["-vq", "x"]).level, Level::Error);
        assert_eq!(config(&["--delay-term=1", "--delay-term=2", "x"]).plan.delay, seconds(2));
        assert_eq!(config(&["--stop-cmd=a", "--stop-cmd=", "x"]).stop_cmd, None);
    }

    #[test]
    fn every_option_reaches_the_configuration() {
        let config = config(&[
            "--delay-term=10",
            "--drain-signal=TSTP",
            "--drain-cmd=a",
            "--stop-cmd=[\"b\"]",
            "--kill-after=1m",
            "--stop-signal=TERM",
            "--stop-signal=QUIT",
            "--wait-all",
            "-s",
            "-p",
            "HUP",
            "-e143",
            "-e",
            "0",
            "-w",
            "-g",
            "x",
        ]);
        assert_eq!(config.plan.delay, seconds(10));
        assert_eq!(config.plan.kill_after, seconds(60));
        assert_eq!(config.plan.drain_signal, Some(Signal::TSTP));
        assert!(config.plan.drain_cmd && config.plan.stop_cmd);
        let named = |named: &Option<NamedCmd>| named.as_ref().map(|named| named.asked_by.clone());
        assert!(matches!(config.drain_cmd, Some(NamedCmd { cmd: Cmd::Shell(_), .. })));
        assert!(matches!(config.stop_cmd, Some(NamedCmd { cmd: Cmd::Exec(_), .. })));
        assert_eq!(named(&config.drain_cmd), Some(b"--drain-cmd".to_vec()));
        assert_eq!(config.plan.stop_signals, SignalSet::of(&[Signal::TERM, Signal::QUIT]));
        assert!(config.wait_all && config.subreaper && config.warn_on_reap);
        assert_eq!(config.pdeathsig, Some(Signal::HUP));
        let remapped: Vec<u8> =
            (0..=255).filter(|code| config.remap_exit.contains(*code)).collect();
        assert_eq!(remapped, [0, 143]);
    }

    #[test]
    fn a_duration_of_zero_is_as_good_as_none() {
        assert_eq!(config(&["--delay-term=0", "x"]).plan.delay, None);
        assert_eq!(config(&["--kill-after=0s", "x"]).plan.kill_after, None);
        let variables = [("DRAIN_INIT_DELAY_TERM", "5"), ("DRAIN_INIT_KILL_AFTER", "5")];
        let config = config_with(&["--delay-term=0", "--kill-after=0", "x"], &variables);
        assert_eq!((config.plan.delay, config.plan.kill_after), (None, None));
    }

    #[test]
    fn signals_that_cannot_be_caught_are_refused_as_a_stop_signal() {
        for bad in ["KILL", "STOP", "CHLD", "9", "SIGCLD", "0", "65", "x", ""] {
            assert!(
                error(&["--stop-signal", bad, "x"])
                    .starts_with(&format!("--stop-signal '{bad}': "))
            );
        }
        assert!(config(&["-r9:15", "-rSTOP:0", "-r17:3", "x"]).plan.group);
    }

    #[test]
    fn exit_codes_are_numbers_from_0_to_255() {
        for bad in ["256", "-1", "+1", "", "x", "1x", " 1"] {
            assert!(
                error(&["-e", bad, "x"]).starts_with(&format!("--remap-exit '{bad}': ")),
                "{bad:?}"
            );
        }
        for edge in [0, 63, 64, 127, 128, 255] {
            let config = config(&["-e", &edge.to_string(), "x"]);
            assert!((0..=255).all(|code| config.remap_exit.contains(code) == (code == edge)));
        }
    }

    #[test]
    fn an_error_names_what_is_wrong_and_what_would_be_right() {
        assert!(error(&[]).starts_with("no COMMAND: write drain-init [OPTION]"));
        assert!(error(&["--"]).starts_with("no COMMAND"));
        assert!(error(&["-x", "y"]).starts_with("unknown option -x: --help lists them"));
        assert!(error(&["-\u{e4}"]).starts_with("unknown option -\u{e4}"));
        assert!(error(&["--nosuch=1", "y"]).starts_with("unknown option --nosuch: "));
        assert_eq!(error(&["--delay-term"]), "--delay-term needs a DURATION, such as 10s");
        assert_eq!(error(&["-r"]), "--rewrite needs a S:R, such as 15:3");
        assert!(
            error(&["--delay-term", "1d", "x"])
                .starts_with("--delay-term '1d': not a duration: write 10, ")
        );
        assert!(error(&["--wait-all=1", "x"]).starts_with("--wait-all '1': takes no value"));
        assert!(error(&["--help=1"]).starts_with("--help '1': takes no value"));
        assert!(error(&["-c=1", "x"]).contains("takes no value"));
        assert!(error(&["-r1", "x"]).starts_with("--rewrite '1': not S:R: write two signals"));
        assert!(
            error(&["--stop-cmd", "[x]", "y"]).starts_with("--stop-cmd '[x]': is no JSON array")
        );
        assert!(
            error(&["--drain-signal", "65", "y"]).starts_with("--drain-signal '65': not a signal")
        );
        assert!(error(&["-p", "x", "y"]).starts_with("--pdeathsig 'x': not a signal"));
        assert!(error(&["--kill-after", "x", "y"]).starts_with("--kill-after 'x': not a duration"));
    }

    #[test]
    fn help_and_version_count_where_they_stand() {
        assert_eq!(request(&["-h", "--nosuch"], &[]), Ok(Request::Help));
        assert_eq!(request(&["-V"], &[("DRAIN_INIT_DELAY_TERM", "x")]), Ok(Request::Version));
        assert!(error(&["--nosuch", "-h"]).contains("--nosuch"));
        assert_eq!(config(&["x", "-h"]).command, 1);
    }

    #[test]
    fn every_long_option_but_help_and_version_is_a_variable() {
        let names: Vec<_> =
            SPELLINGS.iter().map(|known| (known.opt, Source::Variable.name(known))).collect();
        for (opt, name) in names {
            let has_variable = !matches!(opt, Opt::Help | Opt::Version);
            assert_eq!(is_own_variable(&name), has_variable, "{opt:?}");
        }
        assert!(is_own_variable(b"DRAIN_INIT_DELAY_TERM"));
        for other in [
            "DRAIN_INIT_",
            "DRAIN_INIT_DELAY-TERM",
            "DRAIN_INIT_DELAY_TERMS",
            "DRAIN_INIT_delay_term",
            "DELAY_TERM",
            "DRAIN_INIT_DELAY",
        ] {
            assert!(!is_own_variable(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn variables_configure_as_options_do() {
        let config = config_with(
            &["x"],
            &[
                ("DRAIN_INIT_DELAY_TERM", "10"),
                ("DRAIN_INIT_STOP_SIGNAL", "TERM, QUIT"),
                ("DRAIN_INIT_REWRITE", "15:3,2:0"),
                ("DRAIN_INIT_REMAP_EXIT", "143,0"),
                ("DRAIN_INIT_WAIT_ALL", "yes"),
                ("DRAIN_INIT_SUBREAPER", "TRUE"),
                ("DRAIN_INIT_WARN_ON_REAP", "off"),
                ("DRAIN_INIT_SINGLE_CHILD", "1"),
                ("DRAIN_INIT_QUIET", "on"),
                ("DRAIN_INIT_STOP_CMD", "a,b"),
                ("DRAIN_INIT_DRAIN_CMD", ""),
                ("DRAIN_INIT_KILL_AFTER", ""),
            ],
        );
        assert_eq!(config.plan.delay, seconds(10));
        assert_eq!(config.plan.stop_signals, SignalSet::of(&[Signal::TERM, Signal::QUIT]));
        assert_eq!(config.plan.rewrites.apply(Signal::TERM), Some(Signal::QUIT));
        assert_eq!(config.plan.rewrites.apply(Signal::INT), None);
        assert!(config.remap_exit.contains(143) && config.remap_exit.contains(0));
        assert!(config.wait_all && config.subreaper && !config.warn_on_reap && !config.plan.group);
        assert_eq!(config.level, Level::Error);
        let asked_by = b"DRAIN_INIT_STOP_CMD".to_vec();
        let stop_cmd = NamedCmd { cmd: Cmd::Shell(c"a,b".to_owned()), asked_by };
        assert_eq!(config.stop_cmd, Some(stop_cmd));
        assert_eq!((config.drain_cmd, config.plan.kill_after), (None, None));
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let variables = [
            ("DRAIN_INIT_DELAY_TERM", "10"),
            ("DRAIN_INIT_REWRITE", "1:2"),
            ("DRAIN_INIT_STOP_SIGNAL", "INT"),
            ("DRAIN_INIT_REMAP_EXIT", "1"),
            ("DRAIN_INIT_STOP_CMD", "a"),
            ("DRAIN_INIT_DRAIN_CMD", "a"),
            ("DRAIN_INIT_DRAIN_SIGNAL", "INT"),
            ("DRAIN_INIT_PDEATHSIG", "INT"),
            ("DRAIN_INIT_KILL_AFTER", "1"),
            ("DRAIN_INIT_SINGLE_CHILD", "1"),
            ("DRAIN_INIT_VERBOSE", "1"),
            ("DUMB_INIT_SETSID", "0"),
        ];
        let config = config_with(
            &[
                "--delay-term=3",
                "-r15:3",
                "--stop-signal=HUP",
                "-e2",
                "--stop-cmd=b",
                "--drain-cmd=",
                "-q",
                "-g",
                "--drain-signal=USR1",
                "-pUSR2",
                "--kill-after=2",
                "x",
            ],
            &variables,
        );
        assert_eq!(config.plan.delay, seconds(3));
        assert_eq!(config.plan.kill_after, seconds(2));
        assert_eq!(config.plan.drain_signal.map(Signal::number), Some(10));
        assert_eq!(config.pdeathsig.map(Signal::number), Some(12));
        assert_eq!(config.plan.rewrites.apply(Signal::TERM), Some(Signal::QUIT));
        assert_eq!(config.plan.rewrites.apply(Signal::HUP), Some(Signal::HUP));
        assert_eq!(config.plan.stop_signals, SignalSet::of(&[Signal::HUP]));
        assert!(config.remap_exit.contains(2) && !config.remap_exit.contains(1));
        let asked_by = b"--stop-cmd".to_vec();
        let stop_cmd = NamedCmd { cmd: Cmd::Shell(c"b".to_owned()), asked_by };
        assert_eq!(config.stop_cmd, Some(stop_cmd));
        assert_eq!(config.drain_cmd, None);
        assert_eq!(config.level, Level::Error);
        assert!(config.plan.group);
    }

    #[test]
    fn dumb_inits_variables_work_too_and_give_way() {
        let variables = [("DUMB_INIT_DEBUG", "1"), ("DUMB_INIT_SETSID", "0")];
        let config = config_with(&["x"], &variables);
        assert_eq!((config.level, config.plan.group), (Level::Verbose, false));
        let other_values = [("DUMB_INIT_DEBUG", "2"), ("DUMB_INIT_SETSID", "1")];
        let config = config_with(&["x"], &other_values);
        assert_eq!((config.level, config.plan.group), (Level::Notice, true));
        let ours =
            [variables[0], variables[1], ("DRAIN_INIT_GROUP", "1"), ("DRAIN_INIT_QUIET", "1")];
        let config = config_with(&["x"], &ours);
        assert_eq!((config.level, config.plan.group), (Level::Error, true));
    }

    #[test]
    fn the_first_of_two_variables_of_one_name_counts() {
        let twice = [("DRAIN_INIT_DELAY_TERM", "1"), ("DRAIN_INIT_DELAY_TERM", "x")];
        assert_eq!(config_with(&["x"], &twice).plan.delay, seconds(1));
        let twice = [("DRAIN_INIT_KILL_AFTER", "1"), ("DRAIN_INIT_KILL_AFTER", "x")];
        assert_eq!(config_with(&["x"], &twice).plan.kill_after, seconds(1));
    }

    #[test]
    fn a_bad_value_in_a_variable_is_an_error_that_names_it() {
        for (name, value) in [
            ("DRAIN_INIT_DELAY_TERM", "x"),
            ("DRAIN_INIT_STOP_SIGNAL", "TERM,,QUIT"),
            ("DRAIN_INIT_STOP_SIGNAL", "KILL"),
            ("DRAIN_INIT_REWRITE", "15:3;2:0"),
            ("DRAIN_INIT_WAIT_ALL", "2"),
            ("DRAIN_INIT_SINGLE_CHILD", "y"),
            ("DRAIN_INIT_STOP_CMD", "[x"),
        ] {
            let error = error_with(&["--delay-term=1", "x"], &[(name, value)]);
            assert!(error.starts_with(&format!("{name}='")), "{error}");
        }
        for (one, other) in [("SINGLE_CHILD", "GROUP"), ("VERBOSE", "QUIET")] {
            let names = [one, other].map(|name| format!("DRAIN_INIT_{name}"));
            for order in [[0, 1], [1, 0]] {
                let variables = order.map(|index| (names[index].as_str(), "1"));
                let error = error_with(&["x"], &variables);
                assert!(
                    error.starts_with(&format!("{} and {} contradict", names[0], names[1])),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_probable_slip_is_a_name_that_only_begins_like_ours() {
        for slip in [
            "DRAIN_INIT_DELAY",
            "DRAIN_INIT_",
            "DRAIN_INIT_HELP",
            "DRAIN_INIT_SERVICES",
            "DRAIN_INIT_WEB_SERVICE",
            "DRAIN_INIT_WEB_PORTS",
            "DRAIN_INIT_SUPPORT",
        ] {
            assert!(is_probable_slip(slip.as_bytes()), "{slip}");
        }
        for fine in [
            "DRAIN_INIT_DELAY_TERM",
            "DRAIN_INIT_SERVICE_HOST",
            "DRAIN_INIT_SERVICE_PORT_HTTP",
            "DRAIN_INIT_PORT",
            "DRAIN_INIT_PORT_80_TCP",
            "DRAIN_INIT_WEB_SERVICE_HOST",
            "DRAIN_INIT_WEB_SERVICE_PORT",
            "DRAIN_INIT_WEB_SERVICE_PORT_HTTP",
            "DRAIN_INIT_WEB_PORT",
            "DRAIN_INIT_WEB_PORT_80_TCP",
            "DRAIN_INIT_WEB_PORT_80_TCP_ADDR",
            "DRAIN_INIT_SIGNAL",
            "DUMB_INIT_DEBUG",
            "DRAIN_INIT",
            "PATH",
        ] {
            assert!(!is_probable_slip(fine.as_bytes()), "{fine}");
        }
    }

    #[test]
    fn the_help_names_every_option_as_it_is_spelled() {
        for known in SPELLINGS {
            let spelled = match known.short {
                Some(short) => format!("  -{short}, --{}", known.long),
                None => format!("      --{}", known.long),
            };
            let line = HELP.lines().find(|line| line.starts_with(&spelled));
            let value = match known.takes {
                Takes::Nothing => "",
                Takes::Value(what) | Takes::Values(what) => what.split(',').next().unwrap(),
            };
            assert!(
                line.is_some_and(|line| line[spelled.len()..].trim_start().starts_with(value)),
                "{spelled}"
            );
        }
    }
}
