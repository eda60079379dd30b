//! Places: a child of the test, PID 1 of a namespace, and a process below one.

use std::ffi::OsString;
use std::path::Path;

use super::probe_path;

/// What the init runs in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A child of the test.
    Ordinary,
    /// PID 1 of a PID namespace.
    Pid1,
    /// An ordinary process below a PID 1 that reaps: for what leaves orphans.
    Hosted,
}

impl Place {
    /// The words before the init that put it there; the host reports to the test
    /// by this socket.
    pub(super) fn words(self, socket: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if self != Self::Ordinary {
            words.extend(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"].map(OsString::from),
            );
        }
        if self == Self::Hosted {
            words.push(probe_path().into_os_string());
            words.push("host".into());
            words.push(socket.into());
        }
        words
    }
}
