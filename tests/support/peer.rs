//! The init under test, the emulator that it may run in, and the signals that can be
//! sent to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::{
    SIGABRT, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGTRAP, SIGUSR1, SIGUSR2,
    init, skip, until,
};

/// The init under test. With a runner it must be a path.
pub fn init_path() -> PathBuf {
    let path = std::env::var_os("INIT_UNDER_TEST").filter(|p| !p.is_empty());
    let path = path.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_drain-init")), PathBuf::from);
    if path.components().count() == 1 {
        return path;
    }
    // Absolute, because tests change the directory.
    fs::canonicalize(path.parent().unwrap()).unwrap().join(path.file_name().unwrap())
}

/// The name that its messages begin with, in brackets.
pub fn init_name() -> String {
    format!("[{}] ", init_path().file_name().unwrap().to_str().unwrap())
}

/// Whether a program is the init of this name, judged by its file name: `tini-static`
/// is tini, and `drain-init-amd64` is drain-init.
pub fn is_init(path: &Path, name: &str) -> bool {
    let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
    file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Whether the init under test is drain-init. It differs from the others in what the
/// manual page lists.
pub fn is_drain_init() -> bool {
    is_init(&init_path(), "drain-init")
}

/// Whether the tests run without an init: with env(1), which executes COMMAND in its
/// own place.
pub fn without_init() -> bool {
    is_init(&init_path(), "env")
}

/// The words of `INIT_RUNNER`. The first has its full path, because tests change PATH.
pub fn runner() -> Vec<String> {
    let runner = std::env::var("INIT_RUNNER").unwrap_or_default();
    let mut words: Vec<String> = runner.split_whitespace().map(String::from).collect();
    let path = std::env::var("PATH").unwrap_or_default();
    if let Some(first) = words.first_mut().filter(|w| !w.contains('/')) {
        let found = path.split(':').map(|d| format!("{d}/{first}")).find(|p| Path::new(p).exists());
        *first = found.unwrap_or_else(|| panic!("{first} is not in PATH"));
    }
    words
}

/// Whether the init runs in an emulator. `/proc` then shows what the emulator does.
pub fn emulated() -> bool {
    !runner().is_empty()
}

/// The program that is COMMAND in most tests.
pub fn probe_path() -> PathBuf {
    example("probe", "tests/support/probe.rs")
}

/// An example of this package. A plain `cargo test` has built it before it runs the
/// tests. `cargo test --test NAME` has not, so it is built here if it is missing or
/// older than its source. Cargo's own lock keeps two test processes apart.
pub fn example(name: &str, source: &str) -> PathBuf {
    static BUILD: Mutex<()> = Mutex::new(());
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().unwrap().parent().unwrap();
    let path = profile.join("examples").join(name);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let changed = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).ok();
    let _one = BUILD.lock().unwrap_or_else(PoisonError::into_inner);
    if path.exists() && changed(&path) >= changed(&package.join(source)) {
        return path;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "-q", "--locked", "--example", name]).current_dir(package);
    let parent = profile.parent().unwrap();
    // Unlike CACHEDIR.TAG, it also exists if Cargo did not create the target directory.
    if parent.join(".rustc_info.json").exists() {
        command.arg("--target-dir").arg(parent);
    } else {
        // Built with --target, which adds a directory of that name.
        command.arg("--target-dir").arg(parent.parent().unwrap());
        command.arg("--target").arg(parent.file_name().unwrap());
    }
    let profile = profile.file_name().unwrap().to_str().unwrap();
    command.args(["--profile", if profile == "debug" { "dev" } else { profile }]);
    let status = command.status();
    let built = status.as_ref().is_ok_and(std::process::ExitStatus::success) && path.exists();
    assert!(built, "{} is not built: run cargo build --examples ({status:?})", path.display());
    path
}

/// How an emulator maps signal numbers. qemu-user reserves the two signals of the C
/// library, so it has fewer real-time signals. Since 8.2 it reserves two more, one of
/// them in place of ABRT.
#[derive(Clone, Copy)]
struct Renumbering {
    /// The number outside that is ABRT inside.
    abort: i32,
    /// The number outside that is 34, RTMIN, inside.
    real_time: i32,
}

/// Measures it: COMMAND runs outside the emulator and sees what the init sends.
fn renumbering() -> Renumbering {
    static ASKED: OnceLock<Renumbering> = OnceLock::new();
    *ASKED.get_or_init(|| {
        if !emulated() {
            return Renumbering { abort: SIGABRT, real_time: 34 };
        }
        let mut run = init(["-r", "USR1:ABRT", "-r", "USR2:34"]).start();
        let mut arrives_as = |sent| {
            let before = run.signals("main").len();
            run.signal(sent);
            until("a rewritten signal", || run.signals("main").len() > before);
            run.signals("main")[before]
        };
        Renumbering { abort: arrives_as(SIGUSR1), real_time: arrives_as(SIGUSR2) }
    })
}

/// The number to send so that the init receives this one.
pub fn outside(signal: i32) -> i32 {
    let asked = renumbering();
    match signal {
        SIGABRT => asked.abort,
        32.. => signal - 34 + asked.real_time,
        _ => signal,
    }
}

/// The signals that cannot be sent to an emulated init: those that the emulator treats
/// as its own faults, and the numbers that no signal inside has.
fn lost_signals() -> Vec<i32> {
    if !emulated() {
        return Vec::new();
    }
    let reached: Vec<i32> = (1..=64).map(outside).collect();
    let faults = [SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV];
    (1..=64).filter(|s| faults.contains(s) || !reached.contains(s)).collect()
}

/// Every signal that an init forwards: all that can be caught, except CHLD. Signals
/// that cannot be sent to an emulated init are left out. A test that uses this reports
/// them with [`skip_lost_signals`].
pub fn every_signal() -> Vec<i32> {
    let lost = lost_signals();
    let none = |s: &i32| [SIGKILL, SIGSTOP, SIGCHLD].contains(s);
    (1..=64).filter(|s| !none(s) && !lost.contains(s)).collect()
}

/// Reports the signals that [`every_signal`] leaves out.
pub fn skip_lost_signals(test: &str) {
    let lost: Vec<String> = lost_signals().iter().map(i32::to_string).collect();
    if !lost.is_empty() {
        skip(&format!("{test}: signals {}", lost.join(", ")), "the emulator keeps them for itself");
    }
}
