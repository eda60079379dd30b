//! The processes that drain-init started: running, exited, signalled. Scans of /proc
//! for the processes that they left behind. See proc(5).

use core::ffi::CStr;

use nix::errno::Errno;
use nix::unistd::{self, Pid};

use crate::drain::SignalForRemaining;
use crate::signal::{Signal, SignalSet};
use crate::status::Status;
use crate::sys::{self, Change};
use crate::text;

/// A child of drain-init's that leads a process group.
pub struct Child {
    /// Its process ID, which is also the ID of its process group.
    pub pid: Pid,
    /// Whether it has exited and was reaped: its process ID may be reused.
    pub reaped: bool,
    /// Whether its group was seen to be gone: the group's ID may be reused.
    gone: bool,
}

impl Child {
    pub const fn new(pid: Pid) -> Self {
        Self { pid, reaped: false, gone: false }
    }

    /// Sends a signal to its group, or checks the group. See kill(2): ESRCH if it has no
    /// members, EPERM if it has, and none of them may be signalled.
    fn kill_group(&mut self, signal: Option<Signal>) -> nix::Result<()> {
        if self.gone {
            return Err(Errno::ESRCH);
        }
        let result = sys::kill(Pid::from_raw(-self.pid.as_raw()), signal);
        self.gone = self.reaped && result == Err(Errno::ESRCH);
        result
    }

    /// Checks that its group has members, as `kill_group` does.
    fn check_group(&mut self) -> nix::Result<()> {
        // Before the child is reaped, the group may not exist yet.
        if self.reaped { self.kill_group(None) } else { Ok(()) }
    }

    /// The ID of its group, unless that is gone.
    pub fn group(&mut self) -> Option<Pid> {
        (self.check_group() != Err(Errno::ESRCH)).then_some(self.pid)
    }

    /// Signals the process. See kill(2): ESRCH if it was reaped.
    pub fn signal(&self, signal: Signal) -> nix::Result<()> {
        if self.reaped { Err(Errno::ESRCH) } else { sys::kill(self.pid, Some(signal)) }
    }

    /// Signals its group. See kill(2): ESRCH if that is gone.
    pub fn signal_group(&mut self, signal: Signal) -> nix::Result<()> {
        match self.kill_group(Some(signal)) {
            // Before setsid the group does not exist. The signal stays pending until the exec.
            Err(Errno::ESRCH) => self.signal(signal),
            result => result,
        }
    }

    /// Whether this process is the child, and was not reaped before.
    fn is(&self, pid: Pid) -> bool {
        self.pid == pid && !self.reaped
    }

    /// Notes that a process was reaped. Returns whether it was the child.
    fn note_reaped(&mut self, pid: Pid) -> bool {
        let is_child = self.is(pid);
        self.reaped |= is_child;
        is_child
    }
}

/// What [`Processes::reap`] found.
#[derive(Default)]
pub struct ReapSummary {
    /// How COMMAND was last suspended or continued.
    pub job: Option<Change>,
    /// After COMMAND's exit, the signal that has suspended another member of its group.
    pub member_suspended: Option<Signal>,
    /// How COMMAND has exited, if it has.
    pub command: Option<Status>,
    /// How the drain command and the stop command have exited.
    pub helpers: [Option<Status>; 2],
    /// Whether any child has exited.
    pub any: bool,
    /// Whether no child remains.
    pub no_children: bool,
}

/// What is known about the members of COMMAND's group after it has exited.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Remaining {
    /// There are none.
    Gone,
    /// There are some, none of which drain-init may signal.
    Forbidden,
    /// Some may be running.
    Running,
    /// A scan saw none that is running. The sum of their process IDs tells two scans apart.
    Zombies(u32),
    /// In a scan, every running member ignored the signals that were sent. The sum as above.
    Ignoring(u32),
}

/// COMMAND, and the drain and stop commands.
pub struct Processes {
    pub command: Child,
    /// The drain command and the stop command, each once it was started.
    pub helpers: [Option<Child>; 2],
    signalled: Signalled,
}

impl Processes {
    pub const fn new(command: Child) -> Self {
        Self { command, helpers: [None, None], signalled: Signalled::new() }
    }

    /// Reaps every exited child, and calls `on_orphan` for each that drain-init did not start.
    pub fn reap(&mut self, on_orphan: &dyn Fn(Pid, Status)) -> ReapSummary {
        let mut summary = ReapSummary::default();
        loop {
            match sys::wait_for_child() {
                Ok(Some((pid, Change::Exited(status)))) => {
                    summary.any = true;
                    self.signalled.forget(pid);
                    let is_it = |child: &mut Option<Child>| {
                        child.as_mut().is_some_and(|child| child.note_reaped(pid))
                    };
                    if self.command.note_reaped(pid) {
                        summary.command = Some(status);
                    } else if let Some(helper) = self.helpers.iter_mut().position(is_it) {
                        summary.helpers[helper] = Some(status);
                    } else {
                        on_orphan(pid, status);
                    }
                }
                Ok(Some((pid, change))) if self.command.is(pid) => summary.job = Some(change),
                Ok(Some((pid, Change::Suspended(signal)))) => {
                    if unistd::getpgid(Some(pid)) == Ok(self.command.pid) {
                        summary.member_suspended = Some(signal);
                    }
                }
                Ok(Some((_, Change::Continued))) => {}
                answer => {
                    summary.no_children = answer.is_err();
                    break;
                }
            }
        }
        if !self.command.reaped {
            summary.member_suspended = None;
        }
        if summary.any {
            // So that nothing is sent to the reused ID of a group that is gone.
            for child in self.helpers.iter_mut().flatten().chain([&mut self.command]) {
                let _ = child.check_group();
            }
        }
        summary
    }

    /// Looks at what remains of COMMAND's group, and whether all of it ignores all of `sent`.
    /// A member can fork and exit while /proc is read, so `Zombies` and `Ignoring` are proof only
    /// if [`proc_lists_all`] holds and a second look after a reap has the same result.
    pub fn remaining(&mut self, sent: Option<SignalSet>) -> Remaining {
        let has_members = match self.command.check_group() {
            Err(Errno::ESRCH) => return Remaining::Gone,
            Err(Errno::EPERM) => return Remaining::Forbidden,
            answer => answer.is_ok(),
        };
        match scan_group(self.command.pid, sent) {
            // If kill(2) says that it has members, a scan without any proves nothing.
            Remaining::Zombies(0) if has_members => Remaining::Running,
            remaining => remaining,
        }
    }

    /// Signals every other process of the PID namespace, or with `only_children` every child, that
    /// was not signalled before. KILL is sent again. Returns whether anything was sent.
    pub fn signal_all(&mut self, sent: SignalForRemaining, only_children: bool) -> bool {
        let signal = sent.signal;
        let may_use_kill_all = !only_children && unistd::getpid().as_raw() == 1;
        let kill_all = || sys::kill(Pid::from_raw(-1), Some(signal)).is_ok();
        if may_use_kill_all && signal == Signal::KILL {
            return kill_all();
        }
        if self.signalled.by_one_kill {
            return false;
        }
        let command = Some(&mut self.command).filter(|_| sent.spare_command);
        let drain_cmd = self.helpers[0].as_mut().filter(|_| sent.spare_drain_cmd);
        let spared = [command, drain_cmd].map(|child| child.and_then(Child::group));
        if let Some(any) = self.signalled.sweep(signal, only_children, spared) {
            return any;
        }
        // Without /proc: kill(-1) spares no group, so it waits until the spared ones are gone.
        self.signalled.by_one_kill = may_use_kill_all && spared == [None; 2];
        self.signalled.by_one_kill && kill_all()
    }
}

/// At most so many scans: a process that forks without end must not keep the init busy.
const MAX_SCANS: u32 = 20;

/// Words of 64 bits, with a bit for each process ID, which the kernel keeps below 2²².
const WORDS: usize = 1 << 16;

/// The processes that `--wait-all` has signalled.
struct Signalled {
    /// A bit for each process ID, once they are needed.
    bits: Option<&'static mut [u64]>,
    /// Whether the processes that were there when the wait began were signalled.
    swept: bool,
    /// Whether every process was sent TERM by one kill(2).
    by_one_kill: bool,
}

impl Signalled {
    const fn new() -> Self {
        Self { bits: None, swept: false, by_one_kill: false }
    }

    fn bit(&mut self, pid: Pid) -> Option<(&mut u64, u64)> {
        let number = usize::try_from(pid.as_raw()).ok()?;
        Some((self.bits.as_mut()?.get_mut(number / 64)?, 1 << (number % 64)))
    }

    fn contains(&mut self, pid: Pid) -> bool {
        self.bit(pid).is_some_and(|(word, bit)| *word & bit != 0)
    }

    fn contains_ancestor(
        &mut self,
        process: &Process,
        own_pid: Pid,
        spared: [Option<Pid>; 2],
    ) -> bool {
        let mut ancestor = process.parent;
        while !self.contains(ancestor) {
            match read_stat(ancestor) {
                Ok(process) if spared.contains(&Some(process.group)) => return true,
                Ok(process) if ancestor != own_pid => ancestor = process.parent,
                _ => return false,
            }
        }
        true
    }

    /// Adds a process. Returns whether it is new.
    fn insert(&mut self, pid: Pid) -> bool {
        self.bit(pid).is_some_and(|(word, bit)| {
            let is_new = *word & bit == 0;
            *word |= bit;
            is_new
        })
    }

    /// Removes a process that was reaped: its ID may be reused.
    fn forget(&mut self, pid: Pid) {
        if let Some((word, bit)) = self.bit(pid) {
            // A page that holds no bit must not take memory.
            if *word & bit != 0 {
                *word &= !bit;
            }
        }
    }

    /// Signals the processes that were not signalled before, except the members of spared groups,
    /// which count as signalled. Returns whether any was, or `None` if they cannot be listed.
    ///
    /// First it notes all that exist, then it signals them, because TERM handlers start processes.
    /// A later one is signalled if it is an orphan, or if none of its ancestors was. Otherwise it
    /// is left to that ancestor: it may be the `pg_ctl stop` of a TERM handler.
    fn sweep(
        &mut self,
        signal: Signal,
        only_children: bool,
        spared: [Option<Pid>; 2],
    ) -> Option<bool> {
        if !only_children && !proc_lists_all() {
            return None;
        }
        if self.bits.is_none() {
            self.bits = Some(sys::map_zeros(WORDS)?);
        }
        let own_pid = unistd::getpid();
        let is_first = !self.swept;
        if is_first {
            self.note_all(only_children, own_pid)?;
        }
        let mut any = false;
        let is_listed = for_each_process(own_pid, &mut |pid, process| {
            let Ok(process) = process else { return };
            let is_due = if spared.contains(&Some(process.group)) {
                // A later member missed the signal. Once it leaves, it is like any other.
                if is_first {
                    self.insert(pid);
                }
                false
            } else if is_first {
                self.contains(pid)
            } else {
                let is_left_to_no_other = process.parent == own_pid
                    || !only_children && !self.contains_ancestor(&process, own_pid, spared);
                is_left_to_no_other && (self.insert(pid) || signal == Signal::KILL)
            };
            if is_due {
                any |= sys::kill(pid, Some(signal)).is_ok();
                if process.is_suspended {
                    // So that it acts on the signal.
                    let _ = sys::kill(pid, Some(Signal::CONT));
                }
            }
        });
        // If the listing broke off, the next scan starts over: TERM twice is better than none.
        self.swept |= is_listed;
        is_listed.then_some(any)
    }

    /// Adds all processes that exist. Returns `None` if they cannot be listed.
    fn note_all(&mut self, only_children: bool, own_pid: Pid) -> Option<()> {
        for _ in 0..MAX_SCANS {
            let (mut is_new, mut is_whole) = (false, true);
            let is_listed = for_each_process(own_pid, &mut |pid, process| match process {
                Ok(process) if only_children && process.parent != own_pid => {}
                Ok(_) => is_new |= self.insert(pid),
                // It has exited meanwhile.
                Err(Errno::ENOENT | Errno::ESRCH) => {}
                // It is another user's, so it is hardly a child.
                Err(_) => is_whole &= only_children,
            });
            if !is_listed || !is_whole {
                return None;
            }
            if !is_new {
                break;
            }
        }
        Some(())
    }
}

/// Looks for the members of a process group, in one scan. What cannot be read may be one.
fn scan_group(group: Pid, sent: Option<SignalSet>) -> Remaining {
    let (mut ids, mut any_runs, mut all_ignore, mut is_whole) = (0_u32, false, true, true);
    is_whole &= for_each_process(unistd::getpid(), &mut |pid, process| match process {
        Ok(process) if process.group == group => {
            ids = ids.wrapping_add(pid.as_raw().unsigned_abs());
            if !process.is_zombie {
                any_runs = true;
                all_ignore = all_ignore && sent.is_some_and(|sent| ignores(pid, sent));
            }
        }
        Ok(_) => {}
        Err(_) => is_whole = false,
    });
    match (is_whole, any_runs, all_ignore) {
        (true, false, _) => Remaining::Zombies(ids),
        (true, true, true) => Remaining::Ignoring(ids),
        _ => Remaining::Running,
    }
}

/// Whether a process ignores all of the signals, by its disposition or by default. A blocked one
/// does not count as ignored, because sigwait(3) may take it. Returns false if unreadable.
fn ignores(pid: Pid, signals: SignalSet) -> bool {
    let mut path = [0; 24];
    let Some(path) = in_proc(pid, b"/status", &mut path) else { return false };
    // The Groups line before the masks can be longer than any buffer. `line` holds the
    // first eight bytes of a line, and `mask` what follows, as a hexadecimal number.
    let (mut line, mut mask) = (0_u64, 0_u64);
    // If a line is missing, its set errs towards signals that are not ignored.
    let [mut blocked, mut ignored, mut caught] = [SignalSet::ALL, SignalSet::EMPTY, SignalSet::ALL];
    let read = sys::for_each_byte(path, &mut |byte| match byte {
        b'\n' => {
            match &line.to_be_bytes() {
                b"SigBlk:\t" => blocked = SignalSet(mask),
                b"SigIgn:\t" => ignored = SignalSet(mask),
                b"SigCgt:\t" => caught = SignalSet(mask),
                _ => {}
            }
            (line, mask) = (0, 0);
        }
        _ if line >> 56 == 0 => line = line << 8 | u64::from(byte),
        _ => mask = mask << 4 | u64::from(char::from(byte).to_digit(16).unwrap_or_default()),
    });
    let is_ignored = |signal: Signal| {
        let by_default = signal.is_ignored_by_default() && !caught.contains(signal);
        !blocked.contains(signal) && (ignored.contains(signal) || by_default)
    };
    read.is_ok() && signals.iter().all(is_ignored)
}

/// Whether /proc hides no process. False if that cannot be read. See proc(5), `hidepid`, `subset`.
pub fn proc_lists_all() -> bool {
    // The last eight bytes.
    let mut last = 0_u64;
    let mut hides = false;
    let read = sys::for_each_byte(c"/proc/self/mounts", &mut |byte| {
        last = last << 8 | u64::from(byte);
        hides |= matches!(
            &last.to_be_bytes(),
            b"hidepid=" | [_, b's', b'u', b'b', b's', b'e', b't', b'=']
        );
    });
    read.is_ok() && !hides
}

/// What /proc shows of a process.
struct Process {
    parent: Pid,
    group: Pid,
    /// Whether it has exited. A zombie with further threads has not: only its main thread has.
    is_zombie: bool,
    is_suspended: bool,
}

/// Calls `act` for every process but `own_pid`. Returns false if /proc cannot be listed
/// to its end, or is another PID namespace's.
fn for_each_process(own_pid: Pid, act: &mut dyn FnMut(Pid, nix::Result<Process>)) -> bool {
    let mut link = [0; 16];
    sys::read_link(c"/proc/self", &mut link).and_then(number) == Some(own_pid)
        && sys::for_each_number(c"/proc", &mut |_, number| {
            let pid = Pid::from_raw(number);
            if pid != own_pid {
                act(pid, read_stat(pid));
            }
        })
}

/// Reads /proc/PID/stat. ENOENT or ESRCH if the process has exited.
fn read_stat(pid: Pid) -> nix::Result<Process> {
    let mut path = [0; 24];
    let path = in_proc(pid, b"/stat", &mut path).ok_or(Errno::ENAMETOOLONG)?;
    // The longest name and twenty numbers take about 320 bytes.
    let mut stat = [0; 512];
    parse_stat(sys::read_file(path, &mut stat)?).ok_or(Errno::EINVAL)
}

/// Reads fields of `proc_pid_stat(5)`. The name before them, in parentheses, can contain any byte.
fn parse_stat(stat: &[u8]) -> Option<Process> {
    const THREADS_AFTER_GROUP: usize = 14;
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    // The last part may be cut off, and a number that is cut off is a smaller one.
    let fields_end = stat.iter().rposition(|&byte| byte == b' ')?;
    let mut fields = text::split(stat.get(name_end..fields_end)?, b' ');
    fields.next();
    let state = fields.next()?;
    let parent = fields.next().and_then(number)?;
    let group = fields.next().and_then(number)?;
    let threads = fields.nth(THREADS_AFTER_GROUP).and_then(text::number)?;
    let is_zombie = matches!(state, b"Z" | b"X") && threads < 2;
    Some(Process { parent, group, is_zombie, is_suspended: state == b"T" })
}

/// The path of a process's file in /proc, as a C string in a buffer of zeros.
fn in_proc<'a>(pid: Pid, name: &[u8], buffer: &'a mut [u8]) -> Option<&'a CStr> {
    let mut digits = [0; 20];
    let digits = text::digits(pid.as_raw().unsigned_abs().into(), &mut digits);
    let mut rest = &mut buffer[..];
    for part in [b"/proc/", digits, name] {
        let (place, after) = core::mem::take(&mut rest).split_at_mut_checked(part.len())?;
        place.copy_from_slice(part);
        rest = after;
    }
    CStr::from_bytes_until_nul(buffer).ok()
}

/// A process ID in decimal.
fn number(digits: &[u8]) -> Option<Pid> {
    text::number(digits).and_then(|number| number.try_into().ok()).map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    use super::*;

    /// No process has this ID, because the kernel's highest is 2²².
    const NO_PROCESS: Pid = Pid::from_raw(i32::MAX);

    #[test]
    fn each_process_id_has_its_own_bit() {
        let numbers = [0, 1, 2, 63, 64, 65, 127, 128, 4095, 4096, 4097, (1 << 22) - 1];
        for number in numbers.map(Pid::from_raw) {
            let mut set = signalled();
            assert!(set.insert(number), "{number}");
            assert!(!set.insert(number), "{number}");
            for other in numbers.map(Pid::from_raw) {
                assert_eq!(set.contains(other), other == number, "{number}, {other}");
            }
            set.forget(number);
            assert!(!set.contains(number), "{number}");
        }
    }

    #[test]
    fn only_the_process_that_was_reaped_is_forgotten() {
        let mut set = signalled();
        let [first, second] = [4_000_000, 4_000_001].map(Pid::from_raw);
        set.insert(first);
        set.insert(second);
        set.forget(first);
        assert!(!set.contains(first) && set.contains(second));
    }

    #[test]
    fn a_process_id_out_of_range_is_never_in_the_set() {
        let mut set = signalled();
        for number in [-1, 1 << 22, i32::MAX].map(Pid::from_raw) {
            assert!(!set.insert(number) && !set.contains(number), "{number}");
            set.forget(number);
        }
    }

    fn signalled() -> Signalled {
        Signalled { bits: sys::map_zeros(WORDS), ..Signalled::new() }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no kill(2)")]
    fn a_group_that_does_not_exist_yet_is_not_gone() {
        // Between fork and setsid.
        let mut child = Child::new(NO_PROCESS);
        assert_eq!(child.group(), Some(NO_PROCESS));
        child.reaped = true;
        assert_eq!(child.group(), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no kill(2)")]
    fn nothing_is_sent_to_a_process_that_was_reaped() {
        let mut own = Child::new(unistd::getpid());
        assert_eq!(own.signal(Signal::CONT), Ok(()));
        own.reaped = true;
        assert_eq!(own.signal(Signal::CONT), Err(Errno::ESRCH));
        // While it runs, it is signalled instead of a group that does not exist.
        let mut starting = Child::new(NO_PROCESS);
        assert_eq!(starting.signal_group(Signal::CONT), Err(Errno::ESRCH));
        assert_eq!(starting.group(), Some(NO_PROCESS), "the group may still be created");
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(cat.id()).unwrap());
        let mut child = Child::new(pid);
        assert_eq!(child.signal_group(Signal::CONT), Ok(()));
        child.reaped = true;
        assert_eq!(child.signal_group(Signal::CONT), Err(Errno::ESRCH));
        drop(cat.stdin.take());
        cat.wait().unwrap();
    }

    fn fields(stat: &str) -> Option<(i32, i32, bool, bool)> {
        let process = parse_stat(stat.as_bytes())?;
        let (parent, group) = (process.parent.as_raw(), process.group.as_raw());
        Some((parent, group, process.is_zombie, process.is_suspended))
    }

    /// The fields between pgrp and `num_threads`.
    const BETWEEN: &str = "3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0";

    #[test]
    fn the_name_in_a_stat_line_can_contain_anything() {
        for name in ["sh", "", ")", "a) Z 1 1 ", "(x", "a\nb", ") S 9 9 9"] {
            let stat = format!("7 ({name}) S 1 2 {BETWEEN} 1 0 99 ");
            assert_eq!(fields(&stat), Some((1, 2, false, false)), "{name:?}");
        }
    }

    #[test]
    fn a_zombie_with_running_threads_has_not_exited() {
        for (state, threads, is_zombie) in
            [("Z", 0, true), ("Z", 1, true), ("Z", 2, false), ("X", 1, true), ("S", 1, false)]
        {
            let stat = format!("7 (sh) {state} 1 2 {BETWEEN} {threads} 0 99 ");
            assert_eq!(fields(&stat), Some((1, 2, is_zombie, false)), "{state} {threads}");
        }
        let suspended = fields(&format!("7 (sh) T 1 2 {BETWEEN} 1 0 "));
        assert_eq!(suspended, Some((1, 2, false, true)));
    }

    #[test]
    fn a_stat_line_that_is_cut_off_is_refused() {
        let whole = format!("7 (sh) S 1 2 {BETWEEN} 12 ");
        assert!(fields(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(fields(&whole[..length]), None, "{:?}", &whole[..length]);
        }
    }

    #[test]
    fn a_path_that_does_not_fit_its_buffer_is_refused() {
        let path = |pid: i32, buffer: &mut [u8]| {
            in_proc(Pid::from_raw(pid), b"/stat", buffer).map(CStr::to_owned)
        };
        assert_eq!(path(4_194_303, &mut [0; 24]).as_deref(), Some(c"/proc/4194303/stat"));
        assert_eq!(path(1, &mut [0; 24]).as_deref(), Some(c"/proc/1/stat"));
        assert_eq!(path(1, &mut [0; 12]), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no fork(2)")]
    fn proc_shows_parent_group_and_zombies() {
        let own_pid = unistd::getpid();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let read = || read_stat(pid).map(|it| (it.parent, it.group, it.is_zombie));
        assert_eq!(read(), Ok((own_pid, unistd::getpgrp(), false)));
        drop(child.stdin.take());
        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        assert_eq!(read(), Ok((own_pid, unistd::getpgrp(), true)));
        let mut seen = false;
        assert!(for_each_process(own_pid, &mut |listed, process| {
            assert_ne!(listed, own_pid);
            if listed == pid {
                seen = true;
                assert_eq!(process.unwrap().parent, own_pid);
            }
        }));
        assert!(seen);
        child.wait().unwrap();
        assert_eq!(read(), Err(Errno::ENOENT));
        // If /proc belongs to another PID namespace, the link has another number.
        let other = Pid::from_raw(own_pid.as_raw() + 1);
        assert!(!for_each_process(other, &mut |_, _| panic!("listed another namespace")));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no fork(2)")]
    fn two_scans_of_different_members_differ() {
        use std::os::unix::process::CommandExt as _;
        let cat = |group| {
            let mut cat = Command::new("cat");
            let cat = cat.stdin(Stdio::piped()).process_group(group).spawn().unwrap();
            let pid = i32::try_from(cat.id()).unwrap();
            (cat, pid)
        };
        // A scan proves nothing if another process exits meanwhile.
        let ids = |group| {
            let nothing = Some(SignalSet::EMPTY);
            let mut scans =
                (0..1000).filter_map(|_| match scan_group(Pid::from_raw(group), nothing) {
                    Remaining::Zombies(ids) | Remaining::Ignoring(ids) => Some(ids),
                    _ => None,
                });
            scans.next().expect("a whole scan")
        };
        let (mut first, group) = cat(0);
        let alone = ids(group);
        let (mut second, pid) = cat(group);
        assert_eq!(ids(group) - alone, pid.unsigned_abs());
        drop(first.stdin.take());
        first.wait().unwrap();
        assert_eq!(ids(group), pid.unsigned_abs());
        drop(second.stdin.take());
        second.wait().unwrap();
        assert_eq!(ids(group), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no fork(2)")]
    fn a_signal_is_ignored_by_disposition_or_by_default() {
        let child = |prelude: &str| {
            let line = format!("{prelude}; echo; exec cat");
            let mut child = Command::new("sh")
                .args(["-c", &line])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            // The disposition is set once it has answered.
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            child
        };
        let mut plain = child(":");
        // A shell's background jobs ignore INT and QUIT, what nohup starts ignores HUP.
        let mut ignoring = child("trap '' USR1 USR2");
        let signal = |number| Signal::new(number).unwrap();
        let pid = |child: &std::process::Child| Pid::from_raw(i32::try_from(child.id()).unwrap());
        for (ignored, by_default, by_disposition) in [
            (Signal::TERM, false, false),
            (signal(libc::SIGUSR1), false, true),
            (signal(libc::SIGUSR2), false, true),
            (Signal::WINCH, true, true),
            (signal(34), false, false),
        ] {
            let set = SignalSet::of(&[ignored]);
            assert_eq!(ignores(pid(&plain), set), by_default, "{ignored:?}");
            assert_eq!(ignores(pid(&ignoring), set), by_disposition, "{ignored:?}");
        }
        let both = SignalSet::of(&[signal(libc::SIGUSR1), Signal::TERM]);
        assert!(!ignores(pid(&ignoring), both), "it does not ignore TERM");
        assert!(!ignores(NO_PROCESS, SignalSet::of(&[Signal::WINCH])), "it cannot be read");
        for child in [&mut plain, &mut ignoring] {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}
