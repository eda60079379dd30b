//! Messages: one line each, in one write, that never blocks and never fails.

use core::time::Duration;

use nix::errno::Errno;

use crate::decimal;
use crate::signal::{Signal, SignalSet};
use crate::status::Status;
use crate::sys;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors only (`--quiet`).
    Error,
    /// The steps of a drain, and warnings, too.
    Notice,
    /// Every signal, delivery and reaped child, too (`--verbose`).
    Verbose,
}

const STDERR: i32 = 2;

/// The longest line, its end included: a terminal takes more in several steps,
/// and could block between them.
const LONGEST: usize = 1024;

/// What stands at the end of a line that was cut.
const CUT: &[u8] = b"...\n";

/// A line in the making, on the stack. What does not fit is cut off.
pub struct Line {
    bytes: [u8; LONGEST],
    len: usize,
    cut: bool,
}

impl Line {
    /// A line that begins with the program's name.
    fn new(name: &[u8]) -> Self {
        let mut line = Self { bytes: [0; LONGEST], len: 0, cut: false };
        line.text(b"[").text(name).text(b"] ");
        line
    }

    /// Adds text. A control character, which could end the line or confuse a
    /// terminal, becomes a question mark.
    pub fn text(&mut self, text: &[u8]) -> &mut Self {
        for &byte in text {
            if self.len == LONGEST - CUT.len() {
                self.cut = true;
                break;
            }
            self.bytes[self.len] = if byte < b' ' || byte == 0x7f { b'?' } else { byte };
            self.len += 1;
        }
        self
    }

    /// Adds a decimal number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.text(decimal::written(number).as_bytes())
    }

    /// Adds a process ID.
    pub fn pid(&mut self, pid: nix::unistd::Pid) -> &mut Self {
        self.number(pid.as_raw().unsigned_abs().into())
    }

    /// Adds a signal's name.
    pub fn signal(&mut self, signal: Signal) -> &mut Self {
        self.text(signal.name().as_bytes())
    }

    /// Adds the names of a set's signals.
    pub fn signals(&mut self, set: SignalSet) -> &mut Self {
        for (index, signal) in set.iter().enumerate() {
            if index > 0 {
                self.text(b" or ");
            }
            self.signal(signal);
        }
        self
    }

    /// Adds a set duration in seconds, as exactly as a millisecond: `10s`, `1.5s`.
    pub fn duration(&mut self, duration: Duration) -> &mut Self {
        self.number(duration.as_secs());
        let mut rest = duration.subsec_millis();
        let mut place = 100;
        if rest > 0 {
            self.text(b".");
        }
        while rest > 0 {
            self.number((rest / place).into());
            rest %= place;
            place /= 10;
        }
        self.text(b"s")
    }

    /// Adds a measured time in seconds and tenths: `10.0s`.
    pub fn elapsed(&mut self, elapsed: Duration) -> &mut Self {
        self.number(elapsed.as_secs())
            .text(b".")
            .number((elapsed.subsec_millis() / 100).into())
            .text(b"s")
    }

    /// Adds how a process ended: `exited with status 0`, `was killed by KILL`.
    pub fn status(&mut self, status: Status) -> &mut Self {
        match status {
            Status::Exited(code) => self.text(b"exited with status ").number(code.into()),
            Status::Killed(signal) => self.text(b"was killed by ").signal(signal),
        }
    }

    /// Adds an error's text, or `error 95` if it is not one that was expected.
    pub fn error(&mut self, error: Errno) -> &mut Self {
        match sys::error_text(error) {
            Some(text) => self.text(text.as_bytes()),
            None => self.text(b"error ").number((error as i32).unsigned_abs().into()),
        }
    }

    fn end(&mut self) -> &[u8] {
        let end = if self.cut { CUT } else { b"\n" };
        self.bytes[self.len..][..end.len()].copy_from_slice(end);
        &self.bytes[..self.len + end.len()]
    }
}

/// Says things on stderr.
#[derive(Clone, Copy)]
pub struct Reporter<'a> {
    name: &'a [u8],
    level: Level,
}

impl<'a> Reporter<'a> {
    /// Under the name that stands last in `path`, the program's own where that
    /// is empty.
    #[must_use]
    pub fn new(path: &'a [u8], level: Level) -> Self {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        Self { name: if name.is_empty() { b"drain-init" } else { name }, level }
    }

    /// The name it speaks under.
    #[must_use]
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Under the same name at another level.
    #[must_use]
    pub const fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// Says the line that `write` makes, if the level asks for it.
    #[inline]
    pub fn say(&self, level: Level, write: &dyn Fn(&mut Line)) {
        if level <= self.level {
            self.write(write);
        }
    }

    /// Never inlined: a line's kilobyte of stack is needed only while something
    /// is said.
    #[cold]
    #[inline(never)]
    fn write(&self, write: &dyn Fn(&mut Line)) {
        let mut line = Line::new(self.name);
        write(&mut line);
        put(line.end());
    }
}

/// Writes a line to stderr, or drops it where that would block or fails. Never
/// changes stderr's flags, which COMMAND shares.
fn put(line: &[u8]) {
    // The signals that a failing write raises are taken out again: they are our
    // own, and COMMAND must not see them.
    let raised = match put_nowait(line) {
        Err(Errno::EPIPE) => Signal::PIPE,
        Err(Errno::EFBIG) => Signal::XFSZ,
        _ => return,
    };
    let taken = sys::wait_for_signal(SignalSet::of(&[raised]), Some(Duration::ZERO));
    if taken.is_err_and(|error| error != Errno::EAGAIN) {
        sys::discard(raised);
    }
}

fn put_nowait(line: &[u8]) -> nix::Result<()> {
    // Each of these calls says by itself whether stderr is of its kind: fstat may
    // be forbidden. poll is no answer: another writer can take the room before
    // the write, and a terminal takes a line and then waits with its end.
    let size = sys::pipe_size(STDERR);
    if size.is_some() || sys::is_terminal(STDERR) {
        if let Some(own) = sys::open_stderr_anew() {
            let done = sys::write(own, line);
            sys::close(own);
            return done.map(drop);
        }
        // There is no /proc, or the pipe is of another user.
        match sys::write_without_blocking(STDERR, line) {
            Err(error) if is_refusal(error) => {}
            done => return done,
        }
        // Nobody fills the other half in between.
        if size.is_some_and(|size| sys::unread(STDERR) >= size / 2) {
            return Ok(());
        }
    } else {
        match sys::send_without_blocking(STDERR, line) {
            Err(Errno::ENOTSOCK) => {}
            Err(error) if is_refusal(error) => {}
            // Without a reader, too: no signal was raised.
            _ => return Ok(()),
        }
    }
    if sys::is_writable(STDERR) {
        sys::write(STDERR, line)?;
    }
    Ok(())
}

/// Whether an error means that not every kernel, filter or emulator can do it,
/// nor with every kind of file.
fn is_refusal(error: Errno) -> bool {
    matches!(error, Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL | Errno::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(write: impl Fn(&mut Line) -> &mut Line) -> String {
        let mut line = Line::new(b"x");
        write(&mut line);
        String::from_utf8(line.end().to_vec()).unwrap()
    }

    #[test]
    fn a_line_begins_with_the_name_and_ends_once() {
        assert_eq!(line(|line| line.text(b"hello")), "[x] hello\n");
        assert_eq!(line(|line| line.text(b"a\nb\tc\x1b[0m\x7f")), "[x] a?b?c?[0m?\n");
    }

    #[test]
    fn a_line_is_never_longer_than_1024_bytes() {
        let long = [b'y'; 5000];
        let cut = line(|line| line.text(&long).text(b"z"));
        assert_eq!(cut.len(), LONGEST);
        assert!(cut.ends_with("yyy...\n"));
        let fits = line(|line| line.text(&long[..LONGEST - 8]));
        assert_eq!(fits.len(), LONGEST - 3);
        assert!(fits.ends_with("yyyy\n"));
    }

    #[test]
    fn numbers_and_times_are_decimal() {
        let numbers = line(|line| line.number(0).text(b" ").number(u64::MAX));
        assert_eq!(numbers, format!("[x] 0 {}\n", u64::MAX));
        for (millis, exact, tenths) in [
            (10_000, "10s", "10.0s"),
            (1_500, "1.5s", "1.5s"),
            (200, "0.2s", "0.2s"),
            (90_050, "90.05s", "90.0s"),
            (7, "0.007s", "0.0s"),
            (1_999, "1.999s", "1.9s"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(line(|line| line.duration(duration)), format!("[x] {exact}\n"));
            assert_eq!(line(|line| line.elapsed(duration)), format!("[x] {tenths}\n"));
        }
    }

    #[test]
    fn an_error_is_its_text_or_its_number() {
        assert_eq!(line(|line| line.error(Errno::EPERM)), "[x] Operation not permitted\n");
        assert_eq!(line(|line| line.error(Errno::EOPNOTSUPP)), "[x] error 95\n");
    }

    #[test]
    fn the_name_is_the_last_part_of_the_path() {
        let name = |path: &'static [u8]| Reporter::new(path, Level::Error).name();
        assert_eq!(name(b"/usr/bin/dumb-init"), b"dumb-init");
        assert_eq!(name(b"drain-init"), b"drain-init");
        assert_eq!(name(b""), b"drain-init");
        assert_eq!(name(b"/usr/bin/"), b"drain-init");
    }
}
