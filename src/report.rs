//! Messages: one line each, in one write, which never blocks and never fails.

use nix::errno::Errno;
use nix::unistd;

use crate::signal::{Signal, SignalSet};
use crate::status::Status;
use crate::sys::{self, STDERR};
use crate::text;
use crate::time::Duration;

/// How much is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors only (`--quiet`).
    Error,
    /// The steps of a drain and warnings as well.
    #[default]
    Notice,
    /// Every received and sent signal and every reaped child as well (`--verbose`).
    Verbose,
}

/// The longest line, with its end. A terminal takes more in steps, and could block between them.
const LONGEST: usize = 1024;

/// The end of a line that was cut off.
const CUT: &[u8] = b"...\n";

/// A line that is being built, on the stack. What does not fit is cut off.
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

    /// Adds text. Control characters, which could end the line or confuse a terminal, become `?`.
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
        self.text(text::digits(number, &mut [0; 20]))
    }

    /// Adds a process ID.
    pub fn pid(&mut self, pid: nix::unistd::Pid) -> &mut Self {
        self.number(pid.as_raw().unsigned_abs().into())
    }

    /// Adds a signal's name.
    pub fn signal(&mut self, signal: Signal) -> &mut Self {
        self.text(signal.name())
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

    /// Adds a duration in seconds, to the millisecond: `10s`, `1.5s`.
    pub fn duration(&mut self, duration: Duration) -> &mut Self {
        self.number(duration.as_secs());
        let mut rest = duration.as_millis() % 1000;
        if rest > 0 {
            self.text(b".");
        }
        while rest > 0 {
            self.number(rest / 100);
            rest = rest % 100 * 10;
        }
        self.text(b"s")
    }

    /// Adds a measured time in seconds, to the tenth: `10.0s`.
    pub fn elapsed(&mut self, elapsed: Duration) -> &mut Self {
        self.number(elapsed.as_secs())
            .text(b".")
            .number(elapsed.as_millis() % 1000 / 100)
            .text(b"s")
    }

    /// Adds how a process has exited: `exited with status 0`, `was killed by KILL`.
    pub fn status(&mut self, status: Status) -> &mut Self {
        match status {
            Status::Exited(code) => self.text(b"exited with status ").number(code.into()),
            Status::Killed(signal) => self.text(b"was killed by ").signal(signal),
        }
    }

    /// Adds an error's text, or `error 95` if it is not one that was expected.
    pub fn error(&mut self, error: Errno) -> &mut Self {
        match sys::error_text(error) {
            Some(text) => self.text(text),
            None => self.text(b"error ").number((error as i32).unsigned_abs().into()),
        }
    }

    fn end(&mut self) -> &[u8] {
        let end = if self.cut { CUT } else { b"\n" };
        self.bytes[self.len..][..end.len()].copy_from_slice(end);
        &self.bytes[..self.len + end.len()]
    }
}

/// Builds a line.
type Write<'a> = &'a dyn Fn(&mut Line) -> &mut Line;

/// Prints messages to stderr.
#[derive(Clone, Copy)]
pub struct Reporter {
    /// The name with which each line begins.
    pub name: &'static [u8],
    /// The highest level that is printed.
    pub level: Level,
}

impl Reporter {
    /// A reporter named after the last part of `path`, or drain-init if that is empty.
    pub fn new(path: &'static [u8], level: Level) -> Self {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        Self { name: if name.is_empty() { b"drain-init" } else { name }, level }
    }

    /// Prints the line that `write` builds, if it is of this level.
    #[inline]
    pub fn say(&self, level: Level, write: Write) {
        if level <= self.level {
            self.write(write);
        }
    }

    /// Never inlined: only a caller that prints needs a kilobyte of stack.
    #[cold]
    #[inline(never)]
    fn write(&self, write: Write) {
        let mut line = Line::new(self.name);
        write(&mut line);
        put(line.end());
    }
}

/// Writes a line to stderr, or drops it if that would block or fails. Never changes
/// stderr's flags, which COMMAND shares.
fn put(line: &[u8]) {
    // A signal that the failed write has raised must not reach COMMAND.
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

/// A way to write without blocking. Returns `None` if it is not possible here.
type Way = fn(&[u8]) -> Option<nix::Result<()>>;

/// What stderr is, and the ways to write to it, best first. To ask poll(2) and then write is the
/// last resort: another writer can fill the space, and a terminal can block on the line's end.
fn put_nowait(line: &[u8]) -> nix::Result<()> {
    // fstat(2) may be forbidden. Each of these calls fails on any other kind of file.
    let ways: &[Way] = if sys::pipe_size(STDERR).is_some() {
        &[reopened, with_rwf_nowait, less_than_half_full]
    } else if sys::is_terminal(STDERR) {
        &[reopened, with_rwf_nowait, if_writable]
    } else {
        &[to_socket, if_writable]
    };
    ways.iter().find_map(|way| way(line)).unwrap_or(Ok(()))
}

/// Through a file description of its own. Not possible without /proc, or for another user's pipe.
fn reopened(line: &[u8]) -> Option<nix::Result<()>> {
    let stderr = sys::reopen_stderr()?;
    Some(unistd::write(stderr, line).map(drop))
}

/// Not possible on some kernels, in emulators and with some filters.
fn with_rwf_nowait(line: &[u8]) -> Option<nix::Result<()>> {
    unless_refused(sys::write_without_blocking(STDERR, line))
}

/// No other writer fills the other half in between.
fn less_than_half_full(line: &[u8]) -> Option<nix::Result<()>> {
    let size = sys::pipe_size(STDERR)?;
    if sys::unread(STDERR) < size / 2 { if_writable(line) } else { None }
}

/// Not possible if stderr is not a socket. Without a reader no signal is raised.
fn to_socket(line: &[u8]) -> Option<nix::Result<()>> {
    unless_refused(sys::send_without_blocking(STDERR, line)).and(Some(Ok(())))
}

fn if_writable(line: &[u8]) -> Option<nix::Result<()>> {
    sys::is_writable(STDERR).then(|| unistd::write(STDERR, line).map(drop))
}

/// `None` if a kernel, filter or emulator cannot do this, or not with this kind of file.
fn unless_refused(result: nix::Result<()>) -> Option<nix::Result<()>> {
    use Errno::{EINVAL, ENOSYS, ENOTSOCK, EOPNOTSUPP, EPERM};
    match result {
        Err(EOPNOTSUPP | ENOSYS | EINVAL | EPERM | ENOTSOCK) => None,
        result => Some(result),
    }
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
        let name = |path: &'static [u8]| Reporter::new(path, Level::Error).name;
        assert_eq!(name(b"/usr/bin/dumb-init"), b"dumb-init");
        assert_eq!(name(b"drain-init"), b"drain-init");
        assert_eq!(name(b""), b"drain-init");
        assert_eq!(name(b"/usr/bin/"), b"drain-init");
    }
}
