//! Signals as values: numbers 1 to 64, their names, sets of them, and rewrites. See signal(7).
//! nix's `Signal` is not used, because it has no real-time signals.

use core::fmt;
use core::num::NonZeroU8;

use crate::text;

// The generic numbering. Of Debian's architectures, mips, sparc, alpha and hppa have another.
const _: () = assert!(
    libc::SIGUSR1 == 10 && libc::SIGCHLD == 17 && libc::SIGTSTP == 20 && libc::SIGSYS == 31,
    "signal names are known for Linux's generic signal numbers only"
);

/// The names of the signals, by number. The C library keeps 32 and 33 to itself.
const NAMES: &[u8] = b"HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM \
    STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS 32 33 \
    RTMIN RTMIN+1 RTMIN+2 RTMIN+3 RTMIN+4 RTMIN+5 RTMIN+6 RTMIN+7 RTMIN+8 RTMIN+9 RTMIN+10 \
    RTMIN+11 RTMIN+12 RTMIN+13 RTMIN+14 RTMIN+15 RTMIN+16 RTMIN+17 RTMIN+18 RTMIN+19 RTMIN+20 \
    RTMIN+21 RTMIN+22 RTMIN+23 RTMIN+24 RTMIN+25 RTMIN+26 RTMIN+27 RTMIN+28 RTMIN+29 RTMAX";

/// The greatest signal number, in the kernel as in glibc.
const MAX: u8 = 64;

/// The first real-time signal for programs, as in glibc and Docker. musl says 35.
const RTMIN: u8 = 34;

/// A signal number from 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signal(NonZeroU8);

#[allow(missing_docs)]
impl Signal {
    pub const HUP: Self = Self::numbered(1);
    pub const INT: Self = Self::numbered(2);
    pub const QUIT: Self = Self::numbered(3);
    pub const TRAP: Self = Self::numbered(5);
    pub const ABRT: Self = Self::numbered(6);
    pub const KILL: Self = Self::numbered(9);
    pub const PIPE: Self = Self::numbered(13);
    pub const TERM: Self = Self::numbered(15);
    pub const CHLD: Self = Self::numbered(17);
    pub const CONT: Self = Self::numbered(18);
    pub const STOP: Self = Self::numbered(19);
    pub const TSTP: Self = Self::numbered(20);
    pub const TTIN: Self = Self::numbered(21);
    pub const TTOU: Self = Self::numbered(22);
    pub const URG: Self = Self::numbered(23);
    pub const XFSZ: Self = Self::numbered(25);
    pub const WINCH: Self = Self::numbered(28);
}

impl Signal {
    /// The signal of a number that is known to be one from 1 to 64.
    const fn numbered(number: u8) -> Self {
        Self(NonZeroU8::new(number).unwrap())
    }

    /// The signal of that number, if it is one from 1 to 64.
    pub fn new(number: i32) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| *number <= MAX).and_then(NonZeroU8::new).map(Self)
    }

    /// Whether it is one of the three with which a terminal suspends a job.
    pub const fn is_of_job_control(self) -> bool {
        matches!(self, Self::TSTP | Self::TTIN | Self::TTOU)
    }

    /// Whether it ends a process that neither catches nor ignores it. See signal(7).
    pub const fn ends_by_default(self) -> bool {
        !self.suspends_by_default() && !self.is_ignored_by_default()
    }

    /// Whether it suspends a process that neither catches nor ignores it.
    pub const fn suspends_by_default(self) -> bool {
        self.is_of_job_control() || matches!(self, Self::STOP)
    }

    /// Whether a running process that does not catch it does not notice it.
    pub const fn is_ignored_by_default(self) -> bool {
        matches!(self, Self::CHLD | Self::CONT | Self::URG | Self::WINCH)
    }

    /// Its number, 1 to 64.
    pub const fn number(self) -> i32 {
        self.0.get() as i32
    }

    /// Its bit in the kernel's `sigset_t`.
    const fn bit(self) -> u64 {
        1 << (self.0.get() - 1)
    }

    /// Reads a number from 1 to 64, or a name in either case: `TERM`, `sigterm`, `RTMAX-1`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.first().is_some_and(u8::is_ascii_digit) {
            return Self::new(number(text, MAX)?.into());
        }
        let text = text.to_ascii_uppercase();
        let name = text.strip_prefix(b"SIG").unwrap_or(&text);
        let number = if let Some(offset) = name.strip_prefix(b"RTMIN+") {
            RTMIN + number(offset, MAX - RTMIN)?
        } else if let Some(offset) = name.strip_prefix(b"RTMAX-") {
            MAX - number(offset, MAX - RTMIN)?
        } else {
            match name {
                b"IOT" => 6,
                b"CLD" => 17,
                b"POLL" => 29,
                // The table has 32 and 33, which have no name.
                [b'0'..=b'9', ..] => return None,
                _ => (1..).zip(text::split(NAMES, b' ')).find(|(_, known)| *known == name)?.0,
            }
        };
        Self::new(number.into())
    }

    /// Its name without `SIG`, such as `TERM`, `RTMIN+3` or `RTMAX`. 32 and 33 have only a number.
    pub fn name(self) -> &'static [u8] {
        text::split(NAMES, b' ').nth(usize::from(self.0.get()) - 1).unwrap_or_default()
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.name()))
    }
}

/// Reads the decimal number that the whole of `text` is, up to `most`.
fn number(text: &[u8], most: u8) -> Option<u8> {
    text::number(text)?.try_into().ok().filter(|number| *number <= most)
}

/// A set of signals, laid out as the kernel's `sigset_t`: bit 0 is signal 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);

    /// Every signal, 32 to 34 among them, which musl's `sigfillset` leaves out.
    pub const ALL: Self = Self(u64::MAX);

    /// The set of exactly these signals.
    pub fn of(signals: &[Signal]) -> Self {
        Self(signals.iter().fold(0, |set, signal| set | signal.bit()))
    }

    /// Adds a signal.
    pub fn insert(&mut self, signal: Signal) {
        self.0 |= signal.bit();
    }

    /// Whether the signal is in the set.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }

    /// The signals of the set, lowest number first.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let lowest = i32::try_from(rest.trailing_zeros() + 1).ok().and_then(Signal::new)?;
            rest &= rest - 1;
            Some(lowest)
        })
    }
}

/// What is sent in place of a received signal (`--rewrite`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewrites {
    /// By received signal. 0: nothing is sent.
    replacements: [u8; MAX as usize + 1],
}

/// The mark of a signal that no rewrite names.
const AS_RECEIVED: u8 = u8::MAX;

impl Default for Rewrites {
    fn default() -> Self {
        Self { replacements: [AS_RECEIVED; MAX as usize + 1] }
    }
}

impl Rewrites {
    /// Sends `replacement`, or nothing, in place of `received`.
    pub fn set(&mut self, received: Signal, replacement: Option<Signal>) {
        let replacement = replacement.map_or(0, |signal| signal.0.get());
        self.replacements[usize::from(received.0.get())] = replacement;
    }

    /// What to send in place of `received`, if anything.
    pub fn apply(&self, received: Signal) -> Option<Signal> {
        self.apply_or(received, received)
    }

    /// As [`Rewrites::apply`], but `default` if no rewrite names it.
    pub fn apply_or(&self, received: Signal, default: Signal) -> Option<Signal> {
        match self.replacements[usize::from(received.0.get())] {
            AS_RECEIVED => Some(default),
            replacement => Signal::new(replacement.into()),
        }
    }

    /// The signals that are sent in place of others.
    pub fn replacements(&self) -> impl Iterator<Item = Signal> {
        self.replacements.iter().filter_map(|&replacement| Signal::new(replacement.into()))
    }

    /// Reads `S:R` and sets it. Accepts names, and what dumb-init's `sscanf("%d:%d")` does: blanks
    /// before either number and after the last, a `+`, leading zeros. Otherwise sets nothing.
    pub fn parse_and_set(&mut self, text: &[u8]) -> Option<()> {
        let text = trim(text);
        let colon = text.iter().position(|&byte| byte == b':')?;
        let received = Signal::new(rewrite_number(&text[..colon])?.into())?;
        let replacement = rewrite_number(trim(&text[colon + 1..]))?;
        self.set(received, Signal::new(replacement.into()));
        Some(())
    }
}

/// Reads one side of `S:R`: a signal or 0.
fn rewrite_number(text: &[u8]) -> Option<u8> {
    match text {
        // As %d reads a number: a sign (minus for zero alone), any leading zeros.
        [b'-', digits @ ..] => number(digits, 0),
        [b'+', digits @ ..] | digits @ [b'0'..=b'9', ..] => number(digits, MAX),
        name => Signal::parse(name).map(|signal| signal.0.get()),
    }
}

/// The text without the blanks (of C's `isspace`) around it.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t'..=b'\r', rest @ ..] | [rest @ .., b' ' | b'\t'..=b'\r'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(text: &str) -> Option<i32> {
        Signal::parse(text.as_bytes()).map(Signal::number)
    }

    #[test]
    fn a_signal_is_a_number_from_1_to_64() {
        assert_eq!(signal("1"), Some(1));
        assert_eq!(signal("64"), Some(64));
        assert_eq!(signal("015"), Some(15));
        for bad in ["0", "65", "256", "257", "-1", "+1", "1 ", " 1", "", "1x", "9999999999"] {
            assert_eq!(signal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_signal_is_a_name_in_either_case_with_or_without_sig() {
        assert_eq!(signal("TERM"), Some(15));
        assert_eq!(signal("SIGTERM"), Some(15));
        assert_eq!(signal("sigterm"), Some(15));
        assert_eq!(signal("Usr1"), Some(10));
        assert_eq!(signal("iot"), Some(6));
        assert_eq!(signal("CLD"), Some(17));
        assert_eq!(signal("SIGPOLL"), Some(29));
        for bad in [
            "SIG",
            "SIGSIGTERM",
            "TERMS",
            "TER",
            "SIG15",
            "SIG32",
            "EXIT",
            "HUP INT",
            "SIGVERYLONGNAME",
        ] {
            assert_eq!(signal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn real_time_signals_are_counted_as_glibc_counts_them() {
        assert_eq!(signal("RTMIN"), Some(34));
        assert_eq!(signal("SIGRTMIN+3"), Some(37));
        assert_eq!(signal("rtmin+30"), Some(64));
        assert_eq!(signal("RTMAX"), Some(64));
        assert_eq!(signal("RTMAX-30"), Some(34));
        for bad in ["RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMAX-31", "RTMIN+", "RTMIN3", "RTMIN+x"] {
            assert_eq!(signal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_signal_is_read_back_by_its_name() {
        for number in 1..=64 {
            let expected = Signal::new(number).unwrap();
            assert_eq!(Signal::parse(expected.name()), Some(expected));
        }
        assert_eq!(Signal::new(37).unwrap().name(), b"RTMIN+3");
        assert_eq!(Signal::new(63).unwrap().name(), b"RTMIN+29");
        assert_eq!(Signal::new(33).unwrap().name(), b"33");
        assert_eq!(format!("{:?}", Signal::TERM), "TERM");
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
        assert_eq!(Signal::new(-1), None);
        assert_eq!(Signal::new(256 + 15), None);
    }

    #[test]
    fn names_agree_with_the_system_headers() {
        for (name, number) in [
            ("HUP", libc::SIGHUP),
            ("STKFLT", libc::SIGSTKFLT),
            ("URG", libc::SIGURG),
            ("WINCH", libc::SIGWINCH),
            ("IO", libc::SIGIO),
            ("PWR", libc::SIGPWR),
            ("SYS", libc::SIGSYS),
        ] {
            assert_eq!(signal(name), Some(number));
        }
        for (constant, number) in [
            (Signal::HUP, libc::SIGHUP),
            (Signal::INT, libc::SIGINT),
            (Signal::QUIT, libc::SIGQUIT),
            (Signal::ABRT, libc::SIGABRT),
            (Signal::KILL, libc::SIGKILL),
            (Signal::PIPE, libc::SIGPIPE),
            (Signal::TERM, libc::SIGTERM),
            (Signal::CHLD, libc::SIGCHLD),
            (Signal::CONT, libc::SIGCONT),
            (Signal::STOP, libc::SIGSTOP),
            (Signal::TSTP, libc::SIGTSTP),
            (Signal::TTIN, libc::SIGTTIN),
            (Signal::TTOU, libc::SIGTTOU),
            (Signal::XFSZ, libc::SIGXFSZ),
        ] {
            assert_eq!(constant.number(), number);
        }
    }

    #[test]
    fn a_set_has_the_kernels_layout() {
        let set = SignalSet::of(&[Signal::HUP, Signal::new(64).unwrap(), Signal::HUP]);
        assert_eq!(set.0, 1 | 1 << 63);
        assert!(set.contains(Signal::HUP));
        assert!(!set.contains(Signal::INT));
        assert_eq!(set.iter().map(Signal::number).collect::<Vec<_>>(), [1, 64]);
        assert_eq!(SignalSet::ALL.iter().count(), 64);
        assert_eq!(SignalSet::EMPTY.iter().count(), 0);
    }

    fn rewritten(text: &str, received: i32) -> Result<Option<i32>, ()> {
        let mut rewrites = Rewrites::default();
        rewrites.parse_and_set(text.as_bytes()).ok_or(())?;
        Ok(rewrites.apply(Signal::new(received).unwrap()).map(Signal::number))
    }

    #[test]
    fn a_rewrite_delivers_r_if_s_was_received() {
        assert_eq!(rewritten("15:3", 15), Ok(Some(3)));
        assert_eq!(rewritten("15:3", 3), Ok(Some(3)));
        assert_eq!(rewritten("15:0", 15), Ok(None));
        assert_eq!(rewritten("TERM:SIGQUIT", 15), Ok(Some(3)));
        assert_eq!(rewritten("15:quit", 15), Ok(Some(3)));
        assert_eq!(rewritten("64:34", 64), Ok(Some(34)));
    }

    #[test]
    fn a_rewrite_accepts_what_dumb_inits_sscanf_accepts() {
        for good in [" 15:3", "15: 3", "15:3 ", "\t15:\n3\r", "+15:+3", "0015:003", " TERM: QUIT "]
        {
            assert_eq!(rewritten(good, 15), Ok(Some(3)), "{good:?}");
        }
        for nothing in ["15:-0", "15:+0", "15:000"] {
            assert_eq!(rewritten(nothing, 15), Ok(None), "{nothing:?}");
        }
    }

    #[test]
    fn a_malformed_rewrite_is_refused() {
        for bad in [
            "",
            ":",
            "15",
            "15:",
            ":3",
            "15 :3",
            "0:3",
            "65:3",
            "15:65",
            "-15:3",
            "15:-3",
            "15:3x",
            "15:3:4",
            "15:3 4",
            "15,3",
            "x:3",
            "15:x",
            "++15:3",
            "15:+",
            "+TERM:3",
            "15:+QUIT",
            "- 0:3",
            "15:4294967299",
            "271:3",
        ] {
            assert_eq!(rewritten(bad, 15), Err(()), "{bad:?}");
        }
    }

    #[test]
    fn a_requested_rewrite_replaces_a_default_one() {
        let mut rewrites = Rewrites::default();
        rewrites.set(Signal::TTIN, Some(Signal::TTIN));
        rewrites.set(Signal::TTOU, None);
        assert_eq!(rewrites.apply_or(Signal::TSTP, Signal::STOP), Some(Signal::STOP));
        assert_eq!(rewrites.apply_or(Signal::TTIN, Signal::STOP), Some(Signal::TTIN));
        assert_eq!(rewrites.apply_or(Signal::TTOU, Signal::STOP), None);
    }

    #[test]
    fn most_signals_end_a_process_by_default() {
        let not = (1..=64).filter_map(Signal::new).filter(|signal| !signal.ends_by_default());
        assert_eq!(not.map(Signal::number).collect::<Vec<_>>(), [17, 18, 19, 20, 21, 22, 23, 28]);
    }
}
