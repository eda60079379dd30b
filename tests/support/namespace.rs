//! Places for an init: a child of the test, PID 1 of a namespace, or a child of that.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::{SIGTERM, probe_path};

/// Whether the child of `unshare --fork` ignores INT and TERM, as with util-linux 2.36.
fn unshare_ignores_term() -> bool {
    static ASKED: OnceLock<bool> = OnceLock::new();
    *ASKED.get_or_init(|| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "grep", "SigIgn", "/proc/self/status"]);
        // SAFETY: touches no memory.
        unsafe {
            command.pre_exec(|| {
                libc::signal(SIGTERM, libc::SIG_DFL);
                Ok(())
            })
        };
        let said = command.stderr(Stdio::null()).output().map(|it| it.stdout).unwrap_or_default();
        let digits = String::from_utf8_lossy(&said);
        let digits = digits.trim_start_matches("SigIgn:").trim();
        u64::from_str_radix(digits, 16).is_ok_and(|set| set & (1 << (SIGTERM - 1)) != 0)
    })
}

/// Where the init runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A child of the test.
    Ordinary,
    /// PID 1 of a PID namespace.
    Pid1,
    /// A child of a PID 1 that reaps, for tests that leave orphans.
    Hosted,
}

impl Place {
    /// The words before the init that put it there. The host reports to the test
    /// through this socket.
    pub(super) fn words(self, socket: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if self != Self::Ordinary {
            words.extend(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"].map(OsString::from),
            );
            if unshare_ignores_term() {
                words.extend(["env", "--default-signal=INT,TERM"].map(OsString::from));
            }
        }
        if self == Self::Hosted {
            words.push(probe_path().into_os_string());
            words.push("host".into());
            words.push(socket.into());
        }
        words
    }
}
