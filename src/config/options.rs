//! The one table of options, their variables, and the help.

use super::{Error, Wrong, exec_form};

/// What `--help` prints after `Usage: NAME`.
pub const HELP: &str = " [OPTION]... [--] COMMAND [ARG]...

Run COMMAND as a container's init, and drain before the stop.

Draining:
      --delay-term DURATION  hold the stop signal back for DURATION [0]
      --drain-signal SIGNAL  send SIGNAL to COMMAND as the drain starts [none]
      --drain-cmd CMD        run CMD as the drain starts [none]; without
                             --delay-term, the drain lasts as long as CMD runs
      --drain-file PATH      create the file PATH as the drain starts [none]
Stopping:
      --stop-cmd CMD         run CMD to stop, instead of the stop signal [none]
      --stop-signal SIGNAL   treat SIGNAL as a stop signal [TERM]
      --kill-after DURATION  send KILL this long after the stop [0: never]
      --wait-all             wait for all processes, not only COMMAND [off]
Signals:
  -c, --single-child         send signals to COMMAND alone [off]
  -g, --group                send signals to COMMAND's process group [on]
  -r, --rewrite S:R          forward R instead of S, nothing if R is 0 [none]
  -p, --pdeathsig SIGNAL     receive SIGNAL when the parent process dies [none]
Init:
  -s, --subreaper            adopt orphans even if not PID 1 [off]
  -e, --remap-exit CODE      exit with 0 if COMMAND's status is CODE [none]
Output:
  -v, --verbose              log every signal and every reaped child [off]
  -q, --quiet                print errors only [off]
  -w, --warn-on-reap         report each reaped orphan [off]
      --measure-drain        log the new connections of each second [off]
      --copy-to PATH         copy the program to PATH and exit
  -h, --help                 print this help and exit
  -V, --version              print the version and exit

DURATION: 10, 1.5s, 500ms, 1m30s. SIGNAL, S and R: 15, TERM, SIGTERM, RTMIN+3.
CMD: a line for /bin/sh, or a JSON array of strings, which needs no shell.
--stop-signal, --rewrite and --remap-exit can be repeated. Each long option is
also a variable: DRAIN_INIT_DELAY_TERM=10. The delay plus the stop must be
shorter than the platform's grace period. For example:

  drain-init --delay-term 5 --stop-cmd 'nginx -s quit' -- nginx -g 'daemon off;'

https://github.com/drain-init/drain-init
";

/// Where a value came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Option,
    Variable,
}

/// An option, as the table has it.
pub(super) struct Entry {
    pub(super) opt: Opt,
    long: &'static [u8],
    pub(super) short: Option<char>,
    /// Its value's name and an example; empty if it takes none.
    pub(super) value: &'static str,
}

macro_rules! options {
    ($($opt:ident $long:literal $short:expr, $value:literal;)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Opt {
            $($opt),*
        }

        pub(super) const OPTIONS: &[Entry] = &[
            $(Entry { opt: Opt::$opt, long: $long, short: $short, value: $value }),*
        ];
    };
}

// In the order of `--help`.
options! {
    DelayTerm    b"delay-term"    None,      "DURATION, such as 10s";
    DrainSignal  b"drain-signal"  None,      "SIGNAL, such as TERM";
    DrainCmd     b"drain-cmd"     None,      "CMD, such as 'nginx -s quit'";
    DrainFile    b"drain-file"    None,      "PATH, such as /tmp/file";
    StopCmd      b"stop-cmd"      None,      "CMD, such as 'nginx -s quit'";
    StopSignal   b"stop-signal"   None,      "SIGNAL, such as QUIT";
    KillAfter    b"kill-after"    None,      "DURATION, such as 10s";
    WaitAll      b"wait-all"      None,      "";
    SingleChild  b"single-child"  Some('c'), "";
    Group        b"group"         Some('g'), "";
    Rewrite      b"rewrite"       Some('r'), "S:R, such as 15:3";
    Pdeathsig    b"pdeathsig"     Some('p'), "SIGNAL, such as TERM";
    Subreaper    b"subreaper"     Some('s'), "";
    RemapExit    b"remap-exit"    Some('e'), "CODE, such as 143";
    Verbose      b"verbose"       Some('v'), "";
    Quiet        b"quiet"         Some('q'), "";
    WarnOnReap   b"warn-on-reap"  Some('w'), "";
    MeasureDrain b"measure-drain" None,      "";
    CopyTo       b"copy-to"       None,      "PATH, such as /tmp/file";
    Help         b"help"          Some('h'), "";
    Version      b"version"       Some('V'), "";
}

/// What the variables' names begin with.
pub(super) const PREFIX: &[u8] = b"DRAIN_INIT_";

impl Entry {
    pub(super) fn by_short(short: char) -> Option<&'static Self> {
        OPTIONS.iter().find(|entry| entry.short == Some(short))
    }

    /// The option with that name, or the only one of dumb-init's that begins so.
    pub(super) fn by_long(name: &[u8]) -> Option<&'static Self> {
        OPTIONS.iter().find(|entry| entry.long == name).or_else(|| {
            let begins = |entry: &&Self| entry.is_abbreviable() && entry.long.starts_with(name);
            let mut beginning = OPTIONS.iter().filter(begins);
            beginning.next().filter(|_| beginning.next().is_none())
        })
    }

    /// The option whose variable has that name after the prefix.
    pub(super) fn by_variable(suffix: &[u8]) -> Option<&'static Self> {
        let is_it =
            |entry: &&Self| entry.long.iter().copied().map(in_variable).eq(suffix.iter().copied());
        OPTIONS.iter().find(is_it).filter(|entry| entry.has_variable())
    }

    /// Whether it may be abbreviated, as with `getopt_long(3)`: dumb-init's own.
    const fn is_abbreviable(&self) -> bool {
        matches!(self.short, Some('c' | 'h' | 'r' | 'v' | 'V'))
    }

    /// Whether it may be repeated. Its variable is a list.
    pub(super) const fn repeats(&self) -> bool {
        matches!(self.opt, Opt::StopSignal | Opt::Rewrite | Opt::RemapExit)
    }

    pub(super) const fn has_variable(&self) -> bool {
        !matches!(self.opt, Opt::CopyTo | Opt::Help | Opt::Version)
    }

    /// `--delay-term`, or `DRAIN_INIT_DELAY_TERM`.
    pub(super) fn name(&self, source: Source) -> &'static [u8] {
        let name = match source {
            Source::Option => return [b"--", self.long].concat().leak(),
            Source::Variable => [PREFIX, self.long].concat().leak(),
        };
        for byte in &mut *name {
            *byte = in_variable(*byte);
        }
        name
    }

    /// The error about a value: `--delay-term: '10x' is not a duration (try 10, …)`.
    pub(super) fn refuse(&self, source: Source, value: &[u8], wrong: Wrong) -> Error {
        let [wrong, right] = if value.ends_with(b"\r") {
            exec_form::CARRIAGE_RETURN
        } else if source == Source::Option && self.repeats() && value.contains(&b',') {
            ["is a list", "repeat the option for each element"]
        } else {
            wrong
        };
        Error::refused(self.name(source), value, &[wrong.as_bytes(), b""], right.as_bytes())
    }

    /// The option that was probably meant, if any: the first whose name is at most two edits away,
    /// or an abbreviation of what was typed, or vice versa. Dashes and case are ignored.
    pub(super) fn nearest(typed: &[u8], source: Source) -> Option<&'static Self> {
        let typed = typed.to_ascii_lowercase();
        OPTIONS.iter().find(|entry| {
            (source == Source::Option || entry.has_variable())
                && (abbreviates(&typed, entry.long)
                    || abbreviates(entry.long, &typed)
                    || are_near(&typed, entry.long, 2))
        })
    }
}

/// The error about an unknown option or variable: its prefix and its name.
pub(super) fn unknown(source: Source, prefix: &[u8], name: &[u8]) -> Error {
    let (what, right): (&[u8], &[u8]) = match source {
        Source::Option => {
            (b"unknown option '", b"see --help, and put -- before a COMMAND that begins with -")
        }
        Source::Variable => (b"ignoring unknown variable '", b"see --help"),
    };
    match Entry::nearest(name, source) {
        Some(meant) => {
            let meant = meant.name(source);
            Error::new(&[what, prefix, name, b"' (did you mean ", meant, b"?)"])
        }
        None => Error::new(&[what, prefix, name, b"' (", right, b")"]),
    }
}

/// Whether `short` is `long` from the first letter on, without some of the others.
fn abbreviates(short: &[u8], long: &[u8]) -> bool {
    let mut rest = long.iter();
    let mut letters = short.iter().filter(|byte| !matches!(byte, b'-' | b'_'));
    short.first() == long.first() && letters.all(|letter| rest.any(|other| other == letter))
}

/// Whether so many insertions, removals and replacements of a letter make `one` the `other`.
fn are_near(one: &[u8], other: &[u8], edits: usize) -> bool {
    match (one, other) {
        ([], rest) | (rest, []) => rest.len() <= edits,
        ([b'-' | b'_', one @ ..], other) | (one, [b'-' | b'_', other @ ..]) => {
            are_near(one, other, edits)
        }
        ([first, one @ ..], [second, other @ ..]) if first == second => are_near(one, other, edits),
        ([_, one_less @ ..], [_, other_less @ ..]) => {
            let pairs = [(one_less, other_less), (one_less, other), (one, other_less)];
            edits > 0 && pairs.iter().any(|(one, other)| are_near(one, other, edits - 1))
        }
    }
}

/// A byte of an option's name, as its variable has it.
const fn in_variable(byte: u8) -> u8 {
    match byte {
        b'-' => b'_',
        byte => byte.to_ascii_uppercase(),
    }
}
