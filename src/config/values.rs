//! The values of options and variables. S:R is read in `signal.rs`, and CMD in `exec_form.rs`.

use super::Wrong;
use crate::signal::{Rewrites, Signal};
use crate::text;
use crate::time::Duration;

/// The text without spaces and tabs around it. A carriage return is not a blank.
pub(super) fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

pub(super) fn exit_code(value: &[u8]) -> Result<u8, Wrong> {
    let code = text::number(value).and_then(|code| code.try_into().ok());
    code.ok_or(["is not an exit status", "try a number from 0 to 255"])
}

pub(super) fn signal(value: &[u8]) -> Result<Signal, Wrong> {
    Signal::parse(value)
        .ok_or(["is not a signal", "try a name such as TERM or a number from 1 to 64"])
}

/// Reads a signal that drain-init can receive as a stop signal.
pub(super) fn stop_signal(value: &[u8]) -> Result<Signal, Wrong> {
    match signal(value)? {
        Signal::KILL | Signal::STOP | Signal::CHLD => {
            Err(["cannot be a stop signal", "try TERM, INT or QUIT"])
        }
        signal => Ok(signal),
    }
}

/// Reads S:R into `rewrites`.
pub(super) fn rewrite(value: &[u8], rewrites: &mut Rewrites) -> Result<(), Wrong> {
    rewrites
        .parse_and_set(value)
        .ok_or(["is not a pair of signals S:R", "try 15:3, TERM:QUIT, or 15:0 to forward nothing"])
}

/// Reads `1`, `true`, `yes`, `on` or their opposites, in either case.
pub(super) fn switch(value: &[u8]) -> Result<bool, Wrong> {
    match &value.to_ascii_lowercase()[..] {
        b"1" | b"true" | b"yes" | b"on" => Ok(true),
        b"0" | b"false" | b"no" | b"off" => Ok(false),
        _ => Err(["is neither on nor off", "try 1, true, yes, on, 0, false, no or off"]),
    }
}

/// The longest duration: ten years of 365 days.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

pub(super) fn duration(text: &[u8]) -> Result<Duration, Wrong> {
    let duration = sum(text).ok_or(["is not a duration", "try 10, 1.5s, 500ms or 1m30s"])?;
    if duration > LONGEST {
        return Err(["is too long", "the longest duration is ten years"]);
    }
    Ok(duration)
}

/// Adds up one or more pairs of a decimal number and a unit (`ms`, `s`, `m`, `h`), or reads
/// a single number of seconds. Far too much counts as centuries.
fn sum(mut text: &[u8]) -> Option<Duration> {
    const MILLI: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MILLI;
    let mut total = Duration::ZERO;
    let mut is_first = true;
    while is_first || !text.is_empty() {
        let (whole, rest) = split_digits(text)?;
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => split_digits(rest)?,
            _ => (&[][..], rest),
        };
        let unit;
        (unit, text) = match rest {
            [b'm', b's', rest @ ..] => (MILLI, rest),
            [b's', rest @ ..] => (SECOND, rest),
            [b'm', rest @ ..] => (60 * SECOND, rest),
            [b'h', rest @ ..] => (3_600 * SECOND, rest),
            [] if is_first => (SECOND, rest),
            _ => return None,
        };
        is_first = false;
        total = total.saturating_add(scale(whole, fraction, unit));
    }
    Some(total)
}

/// Splits a text after the one or more digits with which it begins.
fn split_digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then(|| text.split_at(count))
}

/// `whole.fraction` times `unit` nanoseconds, or as many as 64 bits hold.
fn scale(whole: &[u8], fraction: &[u8], unit: u64) -> Duration {
    let mut nanos = text::number(whole).unwrap_or(u64::MAX).saturating_mul(unit);
    // Every unit is a multiple of a high power of ten: less than a nanosecond is cut off.
    let mut place = unit;
    for digit in fraction {
        place /= 10;
        nanos = nanos.saturating_add(place * u64::from(digit - b'0'));
    }
    // A non-zero duration is never rounded down to zero.
    let least = fraction.iter().any(|&digit| digit != b'0').into();
    Duration::from_nanos(nanos.max(least))
}
