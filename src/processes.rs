//! The processes that drain-init started: running, exited, signalled. Scans of /proc
//! for the processes that they left behind. See proc(5).

use core::ffi::CStr;

use nix::errno::Errno;
use nix::unistd::{self, Pid};

use crate::decimal;
use crate::signal::{Signal, SignalSet};
use crate::status::Status;
use crate::sys::{self, Reaped};

/// Where a signal goes.
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
            let answer = sys::kill(self.group(), None);
            self.gone = answer == Err(Errno::ESRCH);
            if !self.gone {
                answer?;
            }
        }
        Ok(!self.gone)
    }

    /// The group as kill(2) takes it.
    fn group(&self) -> Pid {
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
        match sys::kill(self.group(), Some(signal)) {
            // Between fork and setsid the group does not exist. The child has blocked
            // the signal, which stays pending until the exec.
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
    /// In a scan every running member ignored the signal that was asked about. The
    /// number is [`Members::ids`].
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
            let (pid, status) = match sys::reap() {
                Reaped::Child(pid, status) => (pid, status),
                Reaped::Stopped(pid, signal) => {
                    if is_running(Some(&self.command), pid) {
                        summary.job = Some(JobChange::Stopped(signal));
                    } else if unistd::getpgid(Some(pid)) == Ok(self.command.pid) {
                        summary.member_stopped = Some(signal);
                    }
                    continue;
                }
                Reaped::Continued(pid) => {
                    if is_running(Some(&self.command), pid) {
                        summary.job = Some(JobChange::Continued);
                    }
                    continue;
                }
                Reaped::NoneYet => break,
                Reaped::NoChildren => {
                    summary.no_children = true;
                    break;
                }
            };
            summary.any = true;
            self.signalled.forget(pid);
            if is_running(Some(&self.command), pid) {
                summary.command = Some(status);
            } else if is_running(self.drain_cmd.as_ref(), pid) {
                summary.drain_cmd = Some(status);
            } else if is_running(self.stop_cmd.as_ref(), pid) {
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

    /// Notes which groups are gone, before their IDs can be reused.
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

    /// Looks at what remains of COMMAND's group, and at whether all of it ignores
    /// `sent`, if that is a signal. [`Group::Zombies`] and [`Group::Ignoring`] are
    /// proof only if a second look, with a reap in between, has the same result, and
    /// if [`proc_lists_all`]: a member can fork and exit while /proc is read.
    pub fn group(&mut self, sent: Option<Signal>) -> Group {
        let has_members = match self.command.group_exists() {
            Ok(false) => return Group::Gone,
            Err(Errno::EPERM) => return Group::Forbidden,
            answer => answer.is_ok(),
        };
        match Members::of(self.command.pid, sent) {
            // If the group has members, a scan without any has missed them.
            Some(Members { ids, running: false, .. }) if ids != 0 || !has_members => {
                Group::Zombies(ids)
            }
            Some(Members { ids, running: true, ignoring: true }) => Group::Ignoring(ids),
            _ => Group::Remaining,
        }
    }

    /// Signals every other process of the PID namespace, or with `only_children` every
    /// child, that was not signalled before; KILL is sent again. The groups of COMMAND
    /// and of the drain command are left out, if `spare` says so. Returns whether
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
            // Without a list of processes, the spared groups would be signalled again:
            // that waits until they are gone.
            None if may_use_kill_all && spared == [None; 2] => self.signalled.kill_all(signal),
            None => false,
        }
    }
}

/// Whether that process is the child, and was not reaped before.
fn is_running(child: Option<&Child>, pid: Pid) -> bool {
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
    /// Whether every process was signalled by one kill(2).
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
        if self.contains(pid)
            && let Some((word, bit)) = self.bit(pid)
        {
            *word &= !bit;
        }
    }

    /// Signals the processes that were not signalled before. Returns whether any was,
    /// or `None` if they cannot be listed.
    ///
    /// First all that exist are noted, then they are signalled: what a process starts
    /// in its TERM handler must not be taken for one of them. A later process is
    /// signalled if it is an orphan, or if none of its ancestors was. Otherwise it is
    /// their business: the `pg_ctl stop` of a TERM handler, for example.
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
        if !core::mem::replace(&mut self.swept, true) {
            for _ in 0..MAX_SCANS {
                let mut is_new = false;
                self.scan(own_pid, &mut |signalled, pid, process| {
                    if !only_children || process.parent == own_pid {
                        is_new |= signalled.insert(pid);
                    }
                })?;
                if !is_new {
                    break;
                }
            }
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
    /// read; a process that exits meanwhile does not matter.
    fn scan(&mut self, own_pid: Pid, act: &mut dyn FnMut(&mut Self, Pid, &Process)) -> Option<()> {
        let mut can_read = true;
        let listed = for_each_process(own_pid, &mut |pid, process| match process {
            Ok(process) => act(self, pid, &process),
            Err(Errno::ENOENT | Errno::ESRCH) => {}
            Err(_) => can_read = false,
        });
        (listed && can_read).then_some(())
    }

    /// Signals every other process in one call, once. Returns whether it was sent.
    fn kill_all(&mut self, signal: Signal) -> bool {
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
    /// Whether every member that is not a zombie ignores the signal.
    ignoring: bool,
}

impl Members {
    /// Looks at a group's members. Returns `None` if the scan proves nothing, because
    /// some process could not be read.
    fn of(group: Pid, signal: Option<Signal>) -> Option<Self> {
        let mut members = Self { ids: 0, running: false, ignoring: signal.is_some() };
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
                    members.ignoring =
                        members.ignoring && signal.is_some_and(|signal| ignores(pid, signal));
                }
            }
        });
        is_whole.then_some(members)
    }
}

/// Whether a process ignores a signal: by its disposition, or because it neither
/// catches a signal whose default is to be ignored. A signal that it blocks it can
/// still take by sigwait(3). Returns false if that cannot be read.
fn ignores(pid: Pid, signal: Signal) -> bool {
    let mut path = [0; 24];
    let Some(path) = numbered(b"/proc/", pid, b"/status", &mut path) else { return false };
    // The Groups line before the masks can be longer than any buffer.
    let (mut line, mut mask) = (0_u64, 0_u64);
    let [mut blocked, mut ignored, mut caught] = [None; 3];
    let read = sys::for_each_byte(path, &mut |byte| match byte {
        b'\n' => {
            let set = Some(SignalSet::from_bits(mask));
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
    !blocked.contains(signal)
        && (ignored.contains(signal) || signal.is_ignored_by_default() && !caught.contains(signal))
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
    let path = numbered(b"/proc/", pid, b"/stat", &mut path).ok_or(Errno::ENAMETOOLONG)?;
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
    let mut fields = stat.get(name_end..fields_end)?.split(|&byte| byte == b' ').skip(1);
    let state = fields.next()?;
    let parent = fields.next().and_then(number)?;
    let group = fields.next().and_then(number)?;
    let threads = fields.nth(THREADS_AFTER_GROUP).and_then(decimal::read)?;
    let is_zombie = matches!(state, b"Z" | b"X") && threads < 2;
    Some(Process { parent, group, is_zombie, is_stopped: state == b"T" })
}

/// `before`, a process ID and `after` as a C string.
fn numbered<'a>(before: &[u8], pid: Pid, after: &[u8], buffer: &'a mut [u8]) -> Option<&'a CStr> {
    let digits = decimal::written(pid.as_raw().unsigned_abs().into());
    let whole = before.iter().chain(digits.as_bytes()).chain(after).chain(&[0]);
    for (place, &byte) in buffer.iter_mut().zip(whole) {
        *place = byte;
    }
    CStr::from_bytes_until_nul(buffer).ok()
}

/// A process ID in decimal.
fn number(digits: &[u8]) -> Option<Pid> {
    decimal::read(digits).and_then(|number| number.try_into().ok()).map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    use super::*;

    /// No process has it: the kernel's greatest is 2²².
    const NOBODY: Pid = Pid::from_raw(i32::MAX);

    #[test]
    fn each_process_id_has_a_place_of_its_own() {
        let numbers = [0, 1, 2, 63, 64, 65, 127, 128, 4095, 4096, 4097, (1 << 22) - 1];
        let place_of = |number: i32| {
            place(Pid::from_raw(number)).map(|(word, bit)| (core::ptr::from_ref(word), bit))
        };
        for (index, &number) in numbers.iter().enumerate() {
            let (_, bit) = place_of(number).unwrap();
            assert_eq!(bit.count_ones(), 1, "{number}");
            for &earlier in &numbers[..index] {
                assert_ne!(place_of(earlier), place_of(number), "{earlier}, {number}");
            }
        }
        for number in [-1, 1 << 22, i32::MAX] {
            assert_eq!(place_of(number), None, "{number}");
        }
    }

    #[test]
    fn who_has_ended_is_forgotten_and_nobody_else() {
        // No other test tells these.
        let [first, second, third] = [4_000_000, 4_000_001, 4_000_002].map(Pid::from_raw);
        for pid in [first, second] {
            let (word, bit) = place(pid).unwrap();
            word.fetch_or(bit, Relaxed);
        }
        let told = || [first, second, third].map(was_told);
        assert_eq!(told(), [true, true, false]);
        forget(third);
        assert_eq!(told(), [true, true, false]);
        forget(first);
        assert_eq!(told(), [false, true, false]);
        forget(second);
        assert_eq!(told(), [false, false, false]);
        forget(NOBODY);
        assert!(!was_told(NOBODY));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no kill(2)")]
    fn a_group_that_is_not_yet_there_is_not_gone() {
        // Between fork and setsid.
        let mut started = Started::new(NOBODY, true);
        assert!(started.is_group_left());
        started.mark_as_reaped();
        assert!(!started.is_group_left());
        let mut alone = Started::new(unistd::getpid(), false);
        alone.mark_as_reaped();
        assert!(!alone.is_group_left(), "it leads no group");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no kill(2)")]
    fn a_process_that_was_reaped_is_sent_nothing() {
        let mut own = Started::new(unistd::getpid(), false);
        assert_eq!(own.signal(Signal::CONT, false), Ok(()));
        own.mark_as_reaped();
        assert_eq!(own.signal(Signal::CONT, false), Err(Errno::ESRCH));
        assert_eq!(own.signal(Signal::CONT, true), Err(Errno::ESRCH));
        // Its group is not there: a process that runs is signalled instead of it.
        let mut starting = Started::new(NOBODY, true);
        assert_eq!(starting.signal(Signal::CONT, true), Err(Errno::ESRCH));
        assert!(starting.is_group_left(), "the process was asked, not the group");
        // It leads no group; once it has been reaped its number can be another's.
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let mut started = Started::new(Pid::from_raw(child.id().cast_signed()), true);
        assert_eq!(started.signal(Signal::CONT, true), Ok(()));
        started.mark_as_reaped();
        assert_eq!(started.signal(Signal::CONT, true), Err(Errno::ESRCH));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_path_is_numbered_as_far_as_the_buffer_goes() {
        let mut buffer = [0; 24];
        assert_eq!(
            numbered(b"/proc/", 4_194_303, b"/stat", &mut buffer),
            Some(c"/proc/4194303/stat")
        );
        assert_eq!(numbered(b"/proc/", 1, b"/stat", &mut [0; 24]), Some(c"/proc/1/stat"));
        assert_eq!(numbered(b"/proc/", 1, b"/stat", &mut [0; 12]), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no fork(2)")]
    fn proc_tells_parent_group_and_zombies() {
        let own_pid = unistd::getpid();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let child_pid = Pid::from_raw(child.id().cast_signed());
        let look = || look_at(child_pid.as_raw()).map(|it| (it.parent, it.group, it.is_zombie));
        assert_eq!(look(), Some((own_pid, unistd::getpgrp(), false)));
        drop(child.stdin.take());
        waitid(Id::Pid(child_pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        assert_eq!(look(), Some((own_pid, unistd::getpgrp(), true)));
        let mut seen = false;
        assert!(for_each_process(own_pid, &mut |pid, process| {
            assert_ne!(pid, own_pid);
            if pid == child_pid {
                seen = true;
                assert_eq!(process.parent, own_pid);
            }
        }));
        assert!(seen);
        child.wait().unwrap();
        assert_eq!(look(), None);
        // Where /proc is another PID namespace's, the link has another number.
        assert!(!for_each_process(Pid::from_raw(own_pid.as_raw() + 1), &mut |_, _| {
            panic!("handed out a stranger");
        }));
    }
}
