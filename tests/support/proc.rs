//! Processes as /proc shows them, and signals to them.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::thread;
use std::time::{Duration, Instant};

use super::{init_path, patience, until};

/// A process ID in the test's own PID namespace, unless noted otherwise.
pub type Pid = i32;

/// Fields of /proc/PID/stat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub state: char,
    pub parent: Pid,
    pub group: Pid,
    pub session: Pid,
    /// The number of the controlling terminal's device, 0 without one.
    pub terminal: i32,
    /// The foreground group of that terminal.
    pub foreground: Pid,
}

pub fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
    let number = |n: usize| fields[n].parse().unwrap();
    Some(Stat {
        state: fields[0].chars().next()?,
        parent: number(1),
        group: number(2),
        session: number(3),
        terminal: number(4),
        foreground: number(5),
    })
}

/// The children of a process, zombies too.
pub fn children(pid: Pid) -> Vec<Pid> {
    // Most kernels list the children of each thread. Looking at every process is slow on
    // an emulated machine that runs a hundred of them.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")));
    if let Ok(lists) = lists.collect::<io::Result<Vec<String>>>() {
        return lists
            .iter()
            .flat_map(|it| it.split_whitespace())
            .map(|it| it.parse().unwrap())
            .collect();
    }
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|e| e.file_name().to_str()?.parse::<Pid>().ok());
    pids.filter(|&p| stat(p).is_some_and(|s| s.parent == pid)).collect()
}

pub fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found = children(pid);
    let mut next = 0;
    while next < found.len() {
        let more = children(found[next]);
        found.extend(more);
        next += 1;
    }
    found
}

/// Waits until a descendant of this process has executed this program.
pub fn until_executed(ancestor: Pid, program: &str) {
    let name_of = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/comm"));
    let is_it = |pid: &Pid| name_of(pid).is_ok_and(|name| name.trim_end() == program);
    until(&format!("the start of {program}"), || descendants(ancestor).iter().any(is_it));
}

/// A line of /proc/PID/status, without its name.
pub fn status_line(pid: Pid, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().to_string()
}

/// Waits until a process is in this state: T stopped, S asleep, Z a zombie.
pub fn until_state(pid: Pid, state: char) {
    let mut last = None;
    let deadline = Instant::now() + patience();
    while last.as_ref().map(|s: &Stat| s.state) != Some(state) {
        assert!(Instant::now() < deadline, "waited for state {state} of {pid}; it is {last:?}");
        thread::sleep(Duration::from_millis(1));
        last = stat(pid);
    }
}

/// The start of /proc/PID/syscall while the init is in this call. The number is that of
/// the init's architecture, even if a 64-bit kernel runs the build for i386.
pub fn number_of(call: libc::c_long) -> String {
    let file = fs::read(init_path()).unwrap();
    // ELFCLASS32 and EM_386.
    let i386 = file[4] == 1 && file[18..20] == [3, 0];
    let number = match call {
        libc::SYS_read if i386 => 3,
        libc::SYS_write if i386 => 4,
        libc::SYS_prctl if i386 => 172,
        libc::SYS_ptrace if i386 => 26,
        libc::SYS_sendto if i386 => 369,
        libc::SYS_rt_sigtimedwait if i386 => 177,
        libc::SYS_openat if i386 => 295,
        _ if i386 => panic!("which number has call {call} on i386?"),
        _ => call,
    };
    format!("{number} ")
}

/// Waits until the init is held in write(2) or send(2).
pub fn until_in_write(pid: Pid) {
    let calls = [libc::SYS_write, libc::SYS_sendto].map(number_of);
    until("the write", || {
        let now = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        calls.iter().any(|call| now.starts_with(call))
    });
}

/// Waits until the init is held in ptrace(2).
pub fn until_in_ptrace(pid: Pid) {
    let call = number_of(libc::SYS_ptrace);
    until("the ptrace", || {
        fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|now| now.starts_with(&call))
    });
}

/// Whether strace holds the init in read(2).
pub fn is_before_read(pid: Pid) -> bool {
    let now = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    now.starts_with(&number_of(libc::SYS_read)) && stat(pid).is_some_and(|it| it.state == 't')
}

/// Whether the init has nothing left to do and waits for a signal.
pub fn is_idle(pid: Pid) -> bool {
    let now = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    now.starts_with(&number_of(libc::SYS_rt_sigtimedwait))
}

/// Waits until the init is idle.
pub fn until_idle(pid: Pid) {
    until("the wait for a signal", || is_idle(pid));
}

/// Whether a process that strace holds is about to open this file.
pub fn is_before_open(pid: Pid, path: &str) -> bool {
    // The path is the second argument of openat(2), and the first of open(2), which musl
    // calls on x86-64 and i386.
    let is_i386 = number_of(libc::SYS_write) == "4 ";
    let open = if is_i386 { "5 " } else { "2 " };
    let calls = [(open.to_string(), 1), (number_of(libc::SYS_openat), 2)];
    let now = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let Some((_, argument)) = calls.iter().find(|(call, _)| now.starts_with(call)) else {
        return false;
    };
    let words: Vec<&str> = now.split(' ').collect();
    let address = u64::from_str_radix(words[*argument].trim_start_matches("0x"), 16).unwrap();
    let mut found = vec![1; path.len() + 1];
    let read = fs::File::open(format!("/proc/{pid}/mem"))
        .and_then(|memory| memory.read_exact_at(&mut found, address));
    let expected = [path.as_bytes(), &[0]].concat();
    read.is_ok() && found == expected && stat(pid).is_some_and(|it| it.state == 't')
}

/// Sends a signal. Fails if that is not possible.
pub fn kill(pid: Pid, signal: i32) {
    assert!(pid > 1, "never to {pid}");
    // SAFETY: touches no memory.
    let done = unsafe { libc::kill(pid, signal) };
    assert_eq!(done, 0, "kill {pid} {signal}: {}", io::Error::last_os_error());
}

/// Sends a signal to a process group, which must exist.
pub fn kill_group(group: Pid, signal: i32) {
    assert!(group > 1, "never to {group}");
    // SAFETY: touches no memory.
    let done = unsafe { libc::kill(-group, signal) };
    assert_eq!(done, 0, "kill -{group} {signal}: {}", io::Error::last_os_error());
}
