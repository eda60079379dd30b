//! What stands behind an option: durations, exit statuses, switches. See `signal.rs`
//! for signals and `exec_form.rs` for CMD.

use core::time::Duration;

use crate::decimal;

/// A set of exit statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitCodes([u64; 4]);

impl ExitCodes {
    pub(super) fn insert(&mut self, code: u8) {
        self.0[usize::from(code >> 6)] |= 1 << (code & 63);
    }

    /// Whether the status is in the set.
    #[must_use]
    pub const fn contains(self, code: u8) -> bool {
        self.0[(code >> 6) as usize] & (1 << (code & 63)) != 0
    }
}

/// Reads an exit status.
pub(super) fn exit_code(value: &[u8]) -> Option<u8> {
    decimal::read(value).and_then(|code| code.try_into().ok())
}

/// Reads `1`, `true`, `yes`, `on` or their opposites, in either case.
pub(super) fn switch(value: &[u8]) -> Option<bool> {
    let words: [(&[u8], bool); 8] = [
        (b"1", true),
        (b"true", true),
        (b"yes", true),
        (b"on", true),
        (b"0", false),
        (b"false", false),
        (b"no", false),
        (b"off", false),
    ];
    let found = words.iter().find(|(word, _)| value.eq_ignore_ascii_case(word));
    found.map(|(_, is_on)| *is_on)
}

/// The longest duration: ten years of 365 days.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Reads one or more of a decimal number and a unit (`ms`, `s`, `m`, `h`), or
/// one number of seconds.
pub(super) fn duration(mut text: &[u8]) -> Option<Duration> {
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
    let mut nanos = decimal::read(whole)?.checked_mul(unit)?;
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
