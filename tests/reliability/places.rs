//! Places and limits for the tests of faults. Each test runs both as PID 1 and as an
//! ordinary process.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use super::Group;
use crate::support::*;

/// Both places, or only the ordinary one if the test may not make a PID namespace.
pub fn places(name: &str) -> &'static [Place] {
    if lacks(&format!("{name} as PID 1"), &[pid_namespace()]) {
        return &[Place::Ordinary];
    }
    &[Place::Ordinary, Place::Pid1]
}

pub fn at(place: Place, setup: Setup) -> Setup {
    match place {
        Place::Pid1 => setup.pid1(),
        _ => setup,
    }
}

/// Words before the init that run this shell line first.
pub fn shell(line: &str) -> [String; 4] {
    ["sh".into(), "-c".into(), format!("{line}; exec \"$@\""), "sh".into()]
}

pub fn in_its_own_mounts(line: &str) -> Vec<String> {
    ["unshare".into(), "--mount".into()].into_iter().chain(shell(line)).collect()
}

/// The init forwards, drains and stops, loses no signal, and exits with COMMAND's status.
pub fn works(mut run: Run, what: &str) {
    run.signal(SIGWINCH);
    run.received("main", SIGWINCH);
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    assert_eq!(run.signals_except_cont("main"), [SIGWINCH, SIGTERM], "{what}");
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7, "{what}");
}

pub fn works_after(mut run: Run, before: i32) {
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    assert_eq!(run.signals_except_cont("main"), [before, SIGTERM]);
    run.tell("main", "exit 7");
    assert_eq!(run.status(), 7);
}

/// Enters a control group before exec.
pub fn entering(setup: Setup, group: &Group) -> Setup {
    let procs = CString::new(group.procs().as_os_str().as_bytes()).unwrap();
    setup.before_exec(move || {
        // SAFETY: system calls only.
        unsafe {
            let file = libc::open(procs.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if libc::write(file, c"0".as_ptr().cast(), 1) != 1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    })
}

pub fn group(controller: &'static str, test: &str) -> Option<Group> {
    let group = Group::new(controller, test);
    if group.is_none() {
        skip(test, &format!("no control group of {controller} can be made"));
    }
    group
}

pub const UNPRIVILEGED: [&str; 7] = [
    "setpriv",
    "--reuid=54321",
    "--regid=54321",
    "--clear-groups",
    "--inh-caps=-all",
    "--bounding-set=-all",
    "--no-new-privs",
];

pub fn open_descriptors(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let mut numbers: Vec<i32> =
        entries.map(|entry| entry.file_name().to_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// Waits until a process has only these descriptors open. The init briefly opens another
/// one to write a message.
pub fn only_open(pid: i32, descriptors: &[i32]) {
    until(&format!("no descriptor but {descriptors:?}"), || open_descriptors(pid) == descriptors);
}
