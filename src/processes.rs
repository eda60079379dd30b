//! The processes: whom drain-init started, who of them is gone, who was told to
//! stop, who is left. See proc(5).

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::errno::Errno;
use nix::unistd::{self, Pid};

use crate::decimal;
use crate::signal::Signal;
use crate::status::Status;
use crate::sys::{self, Reaped};

/// A process that drain-init started, and leads a process group.
pub struct Started {
    /// Its process ID, which is its group's number, too.
    pub pid: Pid,
    /// Whether signals go to its group.
    pub by_group: bool,
    /// Whether it has ended and was reaped.
    pub reaped: bool,
    /// Whether its group was once seen to be gone: from then on its number may
    /// be another's.
    gone: bool,
}

impl Started {
    /// A process that was just started.
    #[must_use]
    pub const fn new(pid: Pid, by_group: bool) -> Self {
        Self { pid, by_group, reaped: false, gone: false }
    }

    /// It was reaped: its number stays its own only as its group's, which may
    /// be gone by now.
    pub fn mark_as_reaped(&mut self) {
        self.reaped = true;
        self.gone = !self.by_group;
    }

    /// Whether somebody is left of the group. False once is false for good.
    pub fn is_group_left(&mut self) -> bool {
        if self.reaped && !self.gone {
            self.gone = sys::kill(self.group(), None) == Err(Errno::ESRCH);
        }
        !self.gone
    }

    /// The group, as kill(2) takes it.
    fn group(&self) -> Pid {
        Pid::from_raw(-self.pid.as_raw())
    }

    /// Signals the group, or the process alone.
    ///
    /// # Errors
    ///
    /// Of kill(2); ESRCH where nobody is left.
    pub fn signal(&mut self, signal: Signal, by_group: bool) -> nix::Result<()> {
        let is_gone = if by_group { self.gone } else { self.reaped };
        if is_gone {
            return Err(Errno::ESRCH);
        }
        if !by_group {
            return sys::kill(self.pid, Some(signal));
        }
        match sys::kill(self.group(), Some(signal)) {
            // Between fork and setsid there is no group yet. The signal waits
            // in the child, which has blocked it, for the exec.
            Err(Errno::ESRCH) if !self.reaped => sys::kill(self.pid, Some(signal)),
            done => {
                self.gone = done == Err(Errno::ESRCH);
                done
            }
        }
    }
}

/// What a shell calls the state of a job.
#[derive(Clone, Copy)]
pub enum JobChange {
    /// COMMAND was stopped by this signal.
    Stopped(Signal),
    /// COMMAND was continued.
    Continued,
}

/// Who has ended since the last look.
#[derive(Default)]
pub struct Ended {
    /// Whether COMMAND was stopped or continued before.
    pub job: Option<JobChange>,
    /// How COMMAND ended, if it did.
    pub command: Option<Status>,
    /// How the drain command ended.
    pub drain_cmd: Option<Status>,
    /// How the stop command ended.
    pub stop_cmd: Option<Status>,
    /// Whether anybody has ended.
    pub any: bool,
    /// Whether no child is left.
    pub no_children: bool,
}

/// COMMAND, and the drain and stop commands.
pub struct Processes {
    /// COMMAND.
    pub command: Started,
    /// The drain command, once it was started.
    pub drain_cmd: Option<Started>,
    /// The stop command, once it was started.
    pub stop_cmd: Option<Started>,
}

impl Processes {
    /// COMMAND was just started.
    #[must_use]
    pub const fn new(command: Started) -> Self {
        Self { command, drain_cmd: None, stop_cmd: None }
    }

    /// Reaps all that has ended, and hands out the orphans. See wait(2).
    pub fn reap(&mut self, on_orphan: &dyn Fn(Pid, Status)) -> Ended {
        let mut ended = Ended::default();
        loop {
            let (pid, status) = match sys::reap() {
                Reaped::Child(pid, status) => (pid, status),
                Reaped::Stopped(pid, signal) => {
                    if is_running(Some(&self.command), pid) {
                        ended.job = Some(JobChange::Stopped(signal));
                    }
                    continue;
                }
                Reaped::Continued(pid) => {
                    if is_running(Some(&self.command), pid) {
                        ended.job = Some(JobChange::Continued);
                    }
                    continue;
                }
                Reaped::NoneYet => break,
                Reaped::NoChildren => {
                    ended.no_children = true;
                    break;
                }
            };
            ended.any = true;
            forget(pid);
            if is_running(Some(&self.command), pid) {
                ended.command = Some(status);
            } else if is_running(self.drain_cmd.as_ref(), pid) {
                ended.drain_cmd = Some(status);
            } else if is_running(self.stop_cmd.as_ref(), pid) {
                ended.stop_cmd = Some(status);
            } else {
                on_orphan(pid, status);
            }
        }
        if ended.any {
            self.look_for_groups(&ended);
        }
        ended
    }

    /// Whoever was reaped may have been the last of a group.
    fn look_for_groups(&mut self, ended: &Ended) {
        for (status, started) in [
            (ended.command, Some(&mut self.command)),
            (ended.drain_cmd, self.drain_cmd.as_mut()),
            (ended.stop_cmd, self.stop_cmd.as_mut()),
        ] {
            if let Some(started) = started {
                if status.is_some() {
                    started.mark_as_reaped();
                }
                started.is_group_left();
            }
        }
    }

    /// Whether somebody is left of COMMAND's group who is no zombie.
    pub fn is_group_left(&mut self) -> bool {
        self.command.is_group_left() && !is_dead(self.command.pid)
    }

    /// Signals every other process of the namespace, or every child if `children`,
    /// but the groups that are to be spared. See [`tell`].
    pub fn tell_all(&mut self, signal: Signal, children: bool, spare: [bool; 2]) {
        let group = |spare: bool, started: Option<&mut Started>| {
            started.filter(|_| spare).and_then(|it| it.is_group_left().then_some(it.pid))
        };
        let spared =
            [group(spare[0], Some(&mut self.command)), group(spare[1], self.drain_cmd.as_mut())];
        // From any other process than PID 1 this would reach half of the system.
        let reaches_all = matches!((children, unistd::getpid().as_raw()), (false, 1));
        let at_once = reaches_all && signal == Signal::KILL;
        if at_once || (!tell(signal, children, spared) && reaches_all) {
            let _ = sys::kill(Pid::from_raw(-1), Some(signal));
        }
    }
}

/// Whether that is the process, and it has not been reaped before.
fn is_running(started: Option<&Started>, pid: Pid) -> bool {
    started.is_some_and(|started| started.pid == pid && !started.reaped)
}

/// How often [`tell`] looks at most: whoever forks without end must not hold the
/// init up.
const LOOKS: u32 = 20;

/// Who was told by [`tell`]: a bit for each process ID up to the kernel's
/// greatest, 2²². Pages that nothing touches cost nothing.
static TOLD: [AtomicU64; 1 << 16] = [const { AtomicU64::new(0) }; 1 << 16];

fn place(pid: Pid) -> Option<(&'static AtomicU64, u64)> {
    let number = usize::try_from(pid.as_raw()).ok()?;
    Some((TOLD.get(number / 64)?, 1 << (number % 64)))
}

fn was_told(pid: Pid) -> bool {
    place(pid).is_some_and(|(word, bit)| word.load(Relaxed) & bit != 0)
}

/// Forgets a process that has ended: its number may be another's now.
fn forget(pid: Pid) {
    if let Some((word, bit)) = place(pid)
        && word.load(Relaxed) & bit != 0
    {
        word.fetch_and(!bit, Relaxed);
    }
}

/// Signals every other process, or every child if `children`, but the members of
/// the `spared` groups; looks again until nobody new is there. Nobody is sent a
/// signal but KILL twice so. Says no where /proc cannot tell who there is.
fn tell(signal: Signal, children: bool, spared: [Option<Pid>; 2]) -> bool {
    let own_pid = unistd::getpid();
    for _ in 0..LOOKS {
        let mut again = false;
        let listed = for_each_process(own_pid, &mut |pid, process| {
            if (signal != Signal::KILL && was_told(pid))
                || (children && process.parent != own_pid)
                || spared.contains(&Some(process.group))
            {
                return;
            }
            let reached = sys::kill(pid, Some(signal)).is_ok();
            if signal != Signal::KILL
                && reached
                && let Some((word, bit)) = place(pid)
            {
                word.fetch_or(bit, Relaxed);
                again = true;
            }
        });
        if !listed {
            return false;
        }
        if !again {
            break;
        }
    }
    true
}

/// Whether nobody but zombies is left of a group, as far as /proc can tell: they
/// stay for as long as their own parent does not reap them.
fn is_dead(group: Pid) -> bool {
    let mut lives = false;
    for_each_process(unistd::getpid(), &mut |_, process| {
        lives |= process.group == group && !process.is_zombie;
    }) && !lives
}

/// What /proc says of a process.
struct Process {
    parent: Pid,
    group: Pid,
    is_zombie: bool,
}

/// Hands out every process but `own_pid`; says no where /proc is missing, or
/// another PID namespace's.
fn for_each_process(own_pid: Pid, act: &mut dyn FnMut(Pid, Process)) -> bool {
    let mut link = [0; 16];
    sys::read_link(c"/proc/self", &mut link).and_then(number) == Some(own_pid.as_raw())
        && sys::for_each_number(c"/proc", &mut |_, number| {
            if number != own_pid.as_raw()
                && let Some(process) = look_at(number)
            {
                act(Pid::from_raw(number), process);
            }
        })
}

/// See `proc_pid_stat(5)`: the name stands in brackets, and may hold any byte.
fn look_at(pid: i32) -> Option<Process> {
    let mut path = [0; 24];
    let mut stat = [0; 256];
    let stat = sys::read_file(numbered(b"/proc/", pid, b"/stat", &mut path)?, &mut stat)?;
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = stat[name_end..].split(|&byte| byte == b' ').skip(1);
    let is_zombie = matches!(fields.next()?, b"Z" | b"X");
    let mut id = || fields.next().and_then(number).map(Pid::from_raw);
    Some(Process { parent: id()?, group: id()?, is_zombie })
}

/// `before`, a number and `after` as a C string.
fn numbered<'a>(
    before: &[u8],
    number: i32,
    after: &[u8],
    buffer: &'a mut [u8],
) -> Option<&'a core::ffi::CStr> {
    let digits = decimal::written(number.unsigned_abs().into());
    let whole = before.iter().chain(digits.as_bytes()).chain(after).chain(&[0]);
    for (place, &byte) in buffer.iter_mut().zip(whole) {
        *place = byte;
    }
    core::ffi::CStr::from_bytes_until_nul(buffer).ok()
}

/// A process ID in decimal.
fn number(digits: &[u8]) -> Option<i32> {
    decimal::read(digits).and_then(|number| number.try_into().ok())
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
