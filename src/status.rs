//! How a process ended, and the exit status that comes of it. See wait(2).

use crate::signal::Signal;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this status.
    Exited(u8),
    /// It was killed by this signal.
    Killed(Signal),
}

impl Status {
    /// The exit status to hand on: 128 + n for signal n.
    pub const fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Self::Killed(signal) => 128 + signal.number() as u8,
        }
    }
}
