//! Requirements that not every machine meets. A test without its requirement is
//! skipped by name, and `tests/run` counts it.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::{emulated, init};

/// Something that a test needs, or the reason why it is missing.
pub type Ability = Result<(), String>;

/// The name of the enclosing test, with the name of its file.
#[macro_export]
macro_rules! test_name {
    () => {{
        fn here() {}
        $crate::support::name_of(&here)
    }};
}

/// Skips the enclosing test unless the machine has all these abilities.
#[macro_export]
macro_rules! needs {
    ($($ability:expr),+ $(,)?) => {
        if $crate::support::lacks($crate::test_name!(), &[$($ability),+]) {
            return;
        }
    };
}

pub fn name_of<T>(here: &T) -> &'static str {
    std::any::type_name_of_val(here).trim_end_matches("::here").trim_end_matches("::{{closure}}")
}

/// Prints that a test is skipped, and why.
pub fn skip(name: &str, reason: &str) {
    // Not with eprintln!, whose output the harness hides if the test passes.
    let _ = writeln!(io::stderr(), "SKIP {name}: {reason}");
    if let Some(log) = std::env::var_os("SKIP_LOG") {
        let mut log = fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        writeln!(log, "SKIP {name}: {reason}").unwrap();
    }
}

/// Whether one of these abilities is missing. If so, this reports the test (or the
/// part of a test) with this name as skipped.
pub fn lacks(name: &str, abilities: &[Ability]) -> bool {
    let missing = abilities.iter().find_map(|ability| ability.as_ref().err());
    if let Some(reason) = missing {
        skip(name, reason);
    }
    missing.is_some()
}

/// A PID namespace with its own /proc, which takes `CAP_SYS_ADMIN`.
pub fn pid_namespace() -> Ability {
    static ASKED: OnceLock<Ability> = OnceLock::new();
    let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "true"];
    ASKED.get_or_init(|| succeeds(&words, "needs a PID namespace")).clone()
}

/// A network namespace, whose loopback ip brings up.
pub fn network_namespace() -> Ability {
    let words = ["unshare", "--net", "ip", "link", "set", "lo", "up"];
    succeeds(&words, "needs ip and a network namespace")
}

/// strace, with permission to attach to a process that it did not start.
pub fn strace() -> Ability {
    static ASKED: OnceLock<Ability> = OnceLock::new();
    ASKED.get_or_init(|| if can_attach() { Ok(()) } else { Err("needs strace".into()) }).clone()
}

/// Root, which may run a program as any user.
pub fn other_users() -> Ability {
    static ASKED: OnceLock<Ability> = OnceLock::new();
    let words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "true"];
    ASKED.get_or_init(|| succeeds(&words, "needs setpriv and root")).clone()
}

/// A program that exits with 0 when run with `--version`.
pub fn program(name: &str) -> Ability {
    succeeds(&[name, "--version"], &format!("needs {name}"))
}

/// No emulator. The skip message gives `why` as its reason.
pub fn native(why: &str) -> Ability {
    if emulated() { Err(why.into()) } else { Ok(()) }
}

/// `PR_SET_CHILD_SUBREAPER`, which old versions of qemu-user refuse.
pub fn subreaper() -> Ability {
    static ASKED: OnceLock<bool> = OnceLock::new();
    let missing = *ASKED.get_or_init(|| {
        emulated() && init(["-s"]).command(["true"]).finish().stderr.contains("no effect")
    });
    if missing { Err("this emulator has no PR_SET_CHILD_SUBREAPER".into()) } else { Ok(()) }
}

fn succeeds(words: &[&str], otherwise: &str) -> Ability {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ended = command.status();
    if ended.is_ok_and(|status| status.success()) { Ok(()) } else { Err(otherwise.into()) }
}

fn can_attach() -> bool {
    // cat exits when its stdin is closed.
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pid = cat.id().to_string();
    let mut strace = Command::new("strace");
    strace.args(["--trace=none", "-o", "/dev/null", "-p", &pid]).stderr(Stdio::piped());
    let attached = strace.spawn().is_ok_and(|mut strace| {
        let mut line = String::new();
        let read = BufReader::new(strace.stderr.take().unwrap()).read_line(&mut line);
        let _ = strace.kill();
        let _ = strace.wait();
        read.is_ok() && line.contains("attached")
    });
    drop(cat.stdin.take());
    let _ = cat.wait();
    attached
}
