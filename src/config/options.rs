//! The one table of options, their variables, and the help.

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

/// The long options that have a meaning of their own, in the order of `--help`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opt {
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
pub(super) enum Takes {
    Nothing,
    /// A value, so described where it is missing.
    Value(&'static str),
    /// As `Value`, and the option may be repeated; its variable is a list.
    Values(&'static str),
}

pub(super) struct Spelling {
    pub(super) opt: Opt,
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    pub(super) takes: Takes,
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

pub(super) const SPELLINGS: &[Spelling] = &[
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
    pub(super) fn by_short(short: char) -> Option<&'static Self> {
        SPELLINGS.iter().find(|known| known.short == Some(short))
    }

    /// The option of that name, or the only one of dumb-init's that begins so.
    pub(super) fn by_long(name: &str) -> Option<&'static Self> {
        if let Some(exact) = SPELLINGS.iter().find(|known| known.long == name) {
            return Some(exact);
        }
        let mut beginning =
            SPELLINGS.iter().filter(|known| known.abbreviable && known.long.starts_with(name));
        beginning.next().filter(|_| beginning.next().is_none())
    }

    /// The option whose variable that is, if any. Help and version have none.
    pub(super) fn by_variable(name: &[u8]) -> Option<&'static Self> {
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

/// What the variables' names begin with.
pub(super) const PREFIX: &[u8] = b"DRAIN_INIT_";

/// The name of the variable that tells a drain or stop command which signal
/// was received.
pub const SIGNAL_VARIABLE: &[u8] = b"DRAIN_INIT_SIGNAL";

/// A byte of an option's name, as its variable has it.
pub(super) const fn variable_byte(byte: u8) -> u8 {
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
