//! The processes that drain-init started: running, exited, signalled. Scans of /proc
//! for the processes that they left behind. See proc(5).

use core::ffi::CStr;

use nix::errno::Errno;
use nix::unistd::{self, Pid};

use crate::signal::{Signal, SignalSet};
use crate::status::Status;
use crate::sys::{self, WaitOutcome};
use crate::text;

/// The target of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the process with this ID.
    Process(Pid),
    /// To the process group with this ID.
    Group(Pid),
}

impl Target {
    /// The process ID, or that of the group's leader.
    #[must_use]
    pub const fn pid(self) -> Pid {
        match self {
            Self::Process(pid) | Self::Group(pid) => pid,
        }
    }
}

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
    /// A child that was just started.
    #[must_use]
    pub const fn new(pid: Pid) -> Self {
        Self { pid, reaped: false, gone: false }
    }

    /// Whether its group has members. Once false, it stays false.
    ///
    /// # Errors
    ///
    /// Those of kill(2) except ESRCH: EPERM if it has members, and none of them may be
    /// signalled.
    pub fn group_exists(&mut self) -> nix::Result<bool> {
        // Before the child is reaped, the group may not exist yet.
        if self.reaped && !self.gone {
            let answer = sys::kill(self.negated_pid(), None);
            self.gone = answer == Err(Errno::ESRCH);
            if !self.gone {
                answer?;
            }
        }
        Ok(!self.gone)
    }

    /// The group as kill(2) takes it.
    fn negated_pid(&self) -> Pid {
        Pid::from_raw(-self.pid.as_raw())
    }

    /// Signals the process, if that is the target, and otherwise the group.
    ///
    /// # Errors
    ///
    /// Those of kill(2): ESRCH if the target has exited.
    pub fn signal(&mut self, target: Target, signal: Signal) -> nix::Result<()> {
        if let Target::Process(_) = target {
            if self.reaped {
                return Err(Errno::ESRCH);
            }
            return sys::kill(self.pid, Some(signal));
        }
        if self.gone {
            return Err(Errno::ESRCH);
        }
        match sys::kill(self.negated_pid(), Some(signal)) {
            // Between fork and setsid the group does not exist. The child has blocked
            // signals, so this one stays pending until the exec.
            Err(Errno::ESRCH) if !self.reaped => sys::kill(self.pid, Some(signal)),
            result => {
                self.gone = result == Err(Errno::ESRCH);
                result
            }
        }
    }
}

/// A change of state that job control makes.
#[derive(Clone, Copy)]
pub enum JobChange {
    /// Stopped by this signal.
    Stopped(Signal),
    /// Continued.
    Continued,
}

/// What [`Processes::reap`] found.
#[derive(Default)]
pub struct ReapSummary {
    /// COMMAND's last stop or continuation.
    pub job: Option<JobChange>,
    /// The signal that has stopped another member of COMMAND's group.
    pub member_stopped: Option<Signal>,
    /// How COMMAND has exited, if it has.
    pub command: Option<Status>,
    /// How the drain command has exited.
    pub drain_cmd: Option<Status>,
    /// How the stop command has exited.
    pub stop_cmd: Option<Status>,
    /// Whether any child has exited.
    pub any: bool,
    /// Whether no child remains.
    pub no_children: bool,
}

/// What is known about the members of COMMAND's group after it has exited.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// It has no members.
    Gone,
    /// It has members, none of which drain-init may signal.
    Forbidden,
    /// It may have running members.
    Remaining,
    /// A scan saw no running member. The number is [`Members::ids`].
    Zombies(u32),
    /// In a scan every running member ignored the signals that it was sent. The number
    /// is [`Members::ids`].
    Ignoring(u32),
}

/// COMMAND, and the drain and stop commands.
pub struct Processes {
    /// COMMAND.
    pub command: Child,
    /// The drain command, once it was started.
    pub drain_cmd: Option<Child>,
    /// The stop command, once it was started.
    pub stop_cmd: Option<Child>,
    signalled: Signalled,
}

impl Processes {
    /// COMMAND was just started.
    #[must_use]
    pub const fn new(command: Child) -> Self {
        Self { command, drain_cmd: None, stop_cmd: None, signalled: Signalled::new() }
    }

    /// Reaps every child that has exited, and calls `on_orphan` for each one that
    /// drain-init did not start. See wait(2).
    pub fn reap(&mut self, on_orphan: &dyn Fn(Pid, Status)) -> ReapSummary {
        let mut summary = ReapSummary::default();
        loop {
            let (pid, status) = match sys::wait_for_child() {
                WaitOutcome::Child(pid, status) => (pid, status),
                WaitOutcome::Stopped(pid, signal) => {
                    if is_unreaped(Some(&self.command), pid) {
                        summary.job = Some(JobChange::Stopped(signal));
                    } else if unistd::getpgid(Some(pid)) == Ok(self.command.pid) {
                        summary.member_stopped = Some(signal);
                    }
                    continue;
                }
                WaitOutcome::Continued(pid) => {
                    if is_unreaped(Some(&self.command), pid) {
                        summary.job = Some(JobChange::Continued);
                    }
                    continue;
                }
                WaitOutcome::NoneYet => break,
                WaitOutcome::NoChildren => {
                    summary.no_children = true;
                    break;
                }
            };
            summary.any = true;
            self.signalled.forget(pid);
            if is_unreaped(Some(&self.command), pid) {
                summary.command = Some(status);
            } else if is_unreaped(self.drain_cmd.as_ref(), pid) {
                summary.drain_cmd = Some(status);
            } else if is_unreaped(self.stop_cmd.as_ref(), pid) {
                summary.stop_cmd = Some(status);
            } else {
                on_orphan(pid, status);
            }
        }
        if summary.any {
            self.refresh_groups(&summary);
        }
        summary
    }

    /// Notes which groups are gone, so that nothing is sent to a reused ID.
    fn refresh_groups(&mut self, summary: &ReapSummary) {
        for (status, child) in [
            (summary.command, Some(&mut self.command)),
            (summary.drain_cmd, self.drain_cmd.as_mut()),
            (summary.stop_cmd, self.stop_cmd.as_mut()),
        ] {
            if let Some(child) = child {
                child.reaped |= status.is_some();
                let _ = child.group_exists();
            }
        }
    }

    /// Looks at what remains of COMMAND's group, and at whether all of it ignores all of
    /// the signals in `sent`. [`Group::Zombies`] and [`Group::Ignoring`] are
    /// proof only if a second look, with a reap in between, has the same result, and
    /// if [`proc_lists_all`]: a member can fork and exit while /proc is read.
    pub fn look_at_group(&mut self, sent: Option<SignalSet>) -> Group {
        let has_members = match self.command.group_exists() {
            Ok(false) => return Group::Gone,
            Err(Errno::EPERM) => return Group::Forbidden,
            answer => answer.is_ok(),
        };
        match Members::of(self.command.pid, sent) {
            // If kill(2) says that it has members, a scan without any proves nothing.
            Some(Members { ids, running: false, .. }) if ids != 0 || !has_members => {
                Group::Zombies(ids)
            }
            Some(Members { ids, running: true, ignoring: true }) => Group::Ignoring(ids),
            _ => Group::Remaining,
        }
    }

    /// Signals every other process of the PID namespace, or with `only_children` every
    /// child, that was not signalled before; KILL is sent again. The groups of COMMAND
    /// and of the drain command are left out if `spare` is true for them. Returns whether
    /// anything was sent.
    pub fn signal_all(&mut self, signal: Signal, only_children: bool, spare: [bool; 2]) -> bool {
        let may_use_kill_all = !only_children && unistd::getpid().as_raw() == 1;
        if may_use_kill_all && signal == Signal::KILL {
            return sys::kill(EVERY_PROCESS, Some(signal)).is_ok();
        }
        let group = |spare: bool, child: Option<&mut Child>| {
            child
                .filter(|_| spare)
                .and_then(|it| (it.group_exists() != Ok(false)).then_some(it.pid))
        };
        let spared =
            [group(spare[0], Some(&mut self.command)), group(spare[1], self.drain_cmd.as_mut())];
        match self.signalled.sweep(signal, only_children, spared) {
            Some(sent) => sent,
            // kill(-1) would also signal the spared groups again, and waits until they are
            // gone.
            None if may_use_kill_all && spared == [None; 2] => {
                self.signalled.signal_by_one_kill(signal)
            }
            None => false,
        }
    }
}

/// Whether that process is the child, and was not reaped before.
fn is_unreaped(child: Option<&Child>, pid: Pid) -> bool {
    child.is_some_and(|child| child.pid == pid && !child.reaped)
}

/// As kill(2) takes it.
const EVERY_PROCESS: Pid = Pid::from_raw(-1);

/// How many scans may be made to find every process: one that forks without end must
/// not occupy the init.
const MAX_SCANS: u32 = 20;

/// A bit for each process ID up to the kernel's greatest, 2²².
const WORDS: usize = 1 << 16;

/// The processes that `--wait-all` has signalled.
struct Signalled {
    /// A bit for each process ID, once they are needed.
    bits: Option<&'static mut [u64]>,
    /// Whether the processes that were there when the wait began are signalled.
    swept: bool,
    /// Whether every process was sent TERM by one kill(2).
    all: bool,
}

impl Signalled {
    const fn new() -> Self {
        Self { bits: None, swept: false, all: false }
    }

    fn bit(&mut self, pid: Pid) -> Option<(&mut u64, u64)> {
        let number = usize::try_from(pid.as_raw()).ok()?;
        Some((self.bits.as_mut()?.get_mut(number / 64)?, 1 << (number % 64)))
    }

    fn contains(&mut self, pid: Pid) -> bool {
        self.bit(pid).is_some_and(|(word, bit)| *word & bit != 0)
    }

    fn contains_ancestor(&mut self, process: &Process, own_pid: Pid) -> bool {
        let mut ancestor = process.parent;
        loop {
            if self.contains(ancestor) {
                return true;
            }
            match read_stat(ancestor) {
                Ok(process) if ancestor != own_pid => ancestor = process.parent,
                _ => return false,
            }
        }
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

    /// Signals the processes that were not signalled before. Returns whether any was,
    /// or `None` if they cannot be listed.
    ///
    /// First all that exist are noted, then they are signalled: what a process starts
    /// in its TERM handler must not be taken for one of them. A later process is
    /// signalled if it is an orphan, or if none of its ancestors was. Otherwise it is left
    /// to that ancestor: it may be the `pg_ctl stop` of a TERM handler.
    fn sweep(
        &mut self,
        signal: Signal,
        only_children: bool,
        spared: [Option<Pid>; 2],
    ) -> Option<bool> {
        if self.all {
            return Some(false);
        }
        if !only_children && !proc_lists_all() {
            return None;
        }
        if self.bits.is_none() {
            self.bits = Some(sys::map_zeros(WORDS)?);
        }
        let own_pid = unistd::getpid();
        if !self.swept {
            for _ in 0..MAX_SCANS {
                let mut is_new = false;
                let is_whole = self.scan(own_pid, &mut |signalled, pid, process| {
                    if !only_children || process.parent == own_pid {
                        is_new |= signalled.insert(pid);
                    }
                })?;
                // What cannot be read is another user's, and so hardly a child.
                if !is_whole && !only_children {
                    return None;
                }
                if !is_new {
                    break;
                }
            }
            self.swept = true;
            return self.scan_and_signal(signal, own_pid, spared, &|signalled, pid, _| {
                signalled.contains(pid)
            });
        }
        self.scan_and_signal(signal, own_pid, spared, &|signalled, pid, process| {
            let is_orphan = process.parent == own_pid;
            let is_due =
                is_orphan || !only_children && !signalled.contains_ancestor(process, own_pid);
            is_due && (signalled.insert(pid) || signal == Signal::KILL)
        })
    }

    /// Signals each process for which `is_due` returns true, but no member of a spared
    /// group, which counts as signalled. CONT lets a stopped process act on it.
    fn scan_and_signal(
        &mut self,
        signal: Signal,
        own_pid: Pid,
        spared: [Option<Pid>; 2],
        is_due: &dyn Fn(&mut Self, Pid, &Process) -> bool,
    ) -> Option<bool> {
        let mut sent = false;
        self.scan(own_pid, &mut |signalled, pid, process| {
            if spared.contains(&Some(process.group)) {
                signalled.insert(pid);
            } else if is_due(signalled, pid, process) {
                sent |= sys::kill(pid, Some(signal)).is_ok();
                if process.is_stopped {
                    let _ = sys::kill(pid, Some(Signal::CONT));
                }
            }
        })?;
        Some(sent)
    }

    /// Calls `act` for every process but drain-init. Returns `None` if /proc cannot be
    /// listed, and otherwise whether every process could be read; one that exits
    /// meanwhile does not matter.
    fn scan(
        &mut self,
        own_pid: Pid,
        act: &mut dyn FnMut(&mut Self, Pid, &Process),
    ) -> Option<bool> {
        let mut is_whole = true;
        let is_listed = for_each_process(own_pid, &mut |pid, process| match process {
            Ok(process) => act(self, pid, &process),
            Err(Errno::ENOENT | Errno::ESRCH) => {}
            Err(_) => is_whole = false,
        });
        is_listed.then_some(is_whole)
    }

    /// Signals every other process in one call, once. Returns whether it was sent.
    fn signal_by_one_kill(&mut self, signal: Signal) -> bool {
        self.all = true;
        sys::kill(EVERY_PROCESS, Some(signal)).is_ok()
    }
}

/// What one scan of /proc saw of a process group.
struct Members {
    /// The sum of the members' process IDs, to tell whether two scans saw the same. 0 if
    /// the scan saw none.
    ids: u32,
    /// Whether a member is not a zombie.
    running: bool,
    /// Whether every member that is not a zombie ignores the signals.
    ignoring: bool,
}

impl Members {
    /// Looks at a group's members. Returns `None` if the scan proves nothing, because
    /// some process could not be read.
    fn of(group: Pid, sent: Option<SignalSet>) -> Option<Self> {
        let mut members = Self { ids: 0, running: false, ignoring: sent.is_some() };
        let mut is_whole = true;
        is_whole &= for_each_process(unistd::getpid(), &mut |pid, process| {
            let Ok(process) = process else {
                is_whole = false;
                return;
            };
            if process.group == group {
                members.ids = members.ids.wrapping_add(pid.as_raw().unsigned_abs());
                if !process.is_zombie {
                    members.running = true;
                    members.ignoring = members.ignoring && sent.is_some_and(|it| ignores(pid, it));
                }
            }
        });
        is_whole.then_some(members)
    }
}

/// Whether a process ignores all of the signals: by its disposition, or because it does
/// not catch a signal whose default is to be ignored. A blocked signal does not count as
/// ignored, because sigwait(3) may take it. Returns false if that cannot be read.
fn ignores(pid: Pid, signals: SignalSet) -> bool {
    let mut path = [0; 24];
    let Some(path) = in_proc(pid, b"/status", &mut path) else { return false };
    // The Groups line before the masks can be longer than any buffer. `line` holds the
    // first eight bytes of a line, and `mask` what follows, as a hexadecimal number.
    let (mut line, mut mask) = (0_u64, 0_u64);
    let [mut blocked, mut ignored, mut caught] = [None; 3];
    let read = sys::for_each_byte(path, &mut |byte| match byte {
        b'\n' => {
            let set = Some(SignalSet(mask));
            match &line.to_be_bytes() {
                b"SigBlk:\t" => blocked = set,
                b"SigIgn:\t" => ignored = set,
                b"SigCgt:\t" => caught = set,
                _ => {}
            }
            (line, mask) = (0, 0);
        }
        _ if line >> 56 == 0 => line = line << 8 | u64::from(byte),
        _ => mask = mask << 4 | u64::from(char::from(byte).to_digit(16).unwrap_or_default()),
    });
    let (Ok(()), Some(blocked), Some(ignored), Some(caught)) = (read, blocked, ignored, caught)
    else {
        return false;
    };
    signals.iter().all(|signal| {
        let by_default = signal.is_ignored_by_default() && !caught.contains(signal);
        !blocked.contains(signal) && (ignored.contains(signal) || by_default)
    })
}

/// Whether /proc lists every process of the PID namespace: no mount option hides any.
/// False if that cannot be read. See proc(5), `hidepid` and `subset`.
#[must_use]
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
    /// Whether it has exited. A zombie with further threads has not: only its main
    /// thread has ended.
    is_zombie: bool,
    /// Whether a signal has stopped it.
    is_stopped: bool,
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

/// Reads /proc/PID/stat.
///
/// # Errors
///
/// Those of open(2) and read(2): ENOENT or ESRCH if the process has exited.
fn read_stat(pid: Pid) -> nix::Result<Process> {
    let mut path = [0; 24];
    let path = in_proc(pid, b"/stat", &mut path).ok_or(Errno::ENAMETOOLONG)?;
    // The longest name and twenty numbers take about 320 bytes.
    let mut stat = [0; 512];
    parse_stat(sys::read_file(path, &mut stat)?).ok_or(Errno::EINVAL)
}

/// Reads the fields state, ppid, pgrp and `num_threads`. See `proc_pid_stat(5)`: the name
/// before them is in parentheses and can contain any byte.
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
    Some(Process { parent, group, is_zombie, is_stopped: state == b"T" })
}

/// The path of a process's file in /proc, as a C string in a buffer of zeros.
fn in_proc<'a>(pid: Pid, name: &[u8], buffer: &'a mut [u8]) -> Option<&'a CStr> {
    let digits = text::digits(pid.as_raw().unsigned_abs().into());
    let mut rest = &mut buffer[..];
    for part in [b"/proc/", digits.as_bytes(), name] {
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

    /// No process has it: the kernel's greatest is 2²².
    const NOBODY: Pid = Pid::from_raw(i32::MAX);

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
        let mut child = Child::new(NOBODY);
        assert_eq!(child.group_exists(), Ok(true));
        child.reaped = true;
        assert_eq!(child.group_exists(), Ok(false));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no kill(2)")]
    fn nothing_is_sent_to_a_process_that_was_reaped() {
        let own_pid = unistd::getpid();
        let mut own = Child::new(own_pid);
        assert_eq!(own.signal(Target::Process(own_pid), Signal::CONT), Ok(()));
        own.reaped = true;
        assert_eq!(own.signal(Target::Process(own_pid), Signal::CONT), Err(Errno::ESRCH));
        // While it runs it is signalled in place of a group that does not exist.
        let mut starting = Child::new(NOBODY);
        assert_eq!(starting.signal(Target::Group(NOBODY), Signal::CONT), Err(Errno::ESRCH));
        assert_eq!(starting.group_exists(), Ok(true), "the group may still be created");
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(cat.id()).unwrap());
        let mut child = Child::new(pid);
        assert_eq!(child.signal(Target::Group(pid), Signal::CONT), Ok(()));
        child.reaped = true;
        assert_eq!(child.signal(Target::Group(pid), Signal::CONT), Err(Errno::ESRCH));
        drop(cat.stdin.take());
        cat.wait().unwrap();
    }

    fn fields(stat: &str) -> Option<(i32, i32, bool, bool)> {
        let process = parse_stat(stat.as_bytes())?;
        let (parent, group) = (process.parent.as_raw(), process.group.as_raw());
        Some((parent, group, process.is_zombie, process.is_stopped))
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
        let stopped = fields(&format!("7 (sh) T 1 2 {BETWEEN} 1 0 "));
        assert_eq!(stopped, Some((1, 2, false, true)));
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
        // If /proc is another PID namespace's, the link has another number.
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
            let mut scans = (0..1000).filter_map(|_| Members::of(Pid::from_raw(group), None));
            scans.next().expect("a whole scan").ids
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
        let mut ignoring = child("trap '' INT QUIT");
        let pid = |child: &std::process::Child| Pid::from_raw(i32::try_from(child.id()).unwrap());
        for (signal, by_default, by_disposition) in [
            (Signal::TERM, false, false),
            (Signal::INT, false, true),
            (Signal::QUIT, false, true),
            (Signal::WINCH, true, true),
            (Signal::new(34).unwrap(), false, false),
        ] {
            let set = SignalSet::of(&[signal]);
            assert_eq!(ignores(pid(&plain), set), by_default, "{signal:?}");
            assert_eq!(ignores(pid(&ignoring), set), by_disposition, "{signal:?}");
        }
        let both = SignalSet::of(&[Signal::INT, Signal::TERM]);
        assert!(!ignores(pid(&ignoring), both), "it does not ignore TERM");
        assert!(!ignores(NOBODY, SignalSet::of(&[Signal::WINCH])), "it cannot be read");
        for child in [&mut plain, &mut ignoring] {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}
