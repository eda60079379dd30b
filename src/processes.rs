//! The processes: whom drain-init started, who of them is gone, who was told to
//! stop, who is left. See proc(5).

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::errno::Errno;
use nix::unistd::{self, Pid};

use crate::signal::Signal;
use crate::sys;

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

    /// Signals the group, or the process where signals go to it alone.
    ///
    /// # Errors
    ///
    /// Of kill(2); ESRCH where nobody is left.
    #[inline(always)]
    pub fn signal(&mut self, signal: Signal) -> nix::Result<()> {
        if !self.is_group_left() {
            return Err(Errno::ESRCH);
        }
        if !self.by_group {
            return sys::kill(self.pid, Some(signal));
        }
        match sys::kill(self.group(), Some(signal)) {
            // Between fork and setsid there is no group yet. The signal waits
            // in the child, which has blocked it, for the exec.
            Err(Errno::ESRCH) if !self.reaped => sys::kill(self.pid, Some(signal)),
            done => done,
        }
    }

    /// Signals the process alone.
    ///
    /// # Errors
    ///
    /// Of kill(2); ESRCH where it has ended.
    pub fn signal_alone(&self, signal: Signal) -> nix::Result<()> {
        if self.reaped {
            return Err(Errno::ESRCH);
        }
        sys::kill(self.pid, Some(signal))
    }
}

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
pub fn forget(pid: Pid) {
    if let Some((word, bit)) = place(pid)
        && word.load(Relaxed) & bit != 0
    {
        word.fetch_and(!bit, Relaxed);
    }
}

/// Signals every other process, or every child if `children`, but the members of
/// the `spared` groups; looks again until nobody new is there. Nobody is sent a
/// signal but KILL twice so. Says no where /proc cannot tell who there is.
#[must_use]
pub fn tell(signal: Signal, children: bool, spared: [Option<Pid>; 2]) -> bool {
    let own_pid = unistd::getpid();
    let mut again = true;
    while again {
        again = false;
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
    }
    true
}

/// Whether nobody but zombies is left of a group, as far as /proc can tell: they
/// stay for as long as their own parent does not reap them.
#[must_use]
pub fn is_dead(group: Pid) -> bool {
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
    sys::read_link(c"/proc/self", &mut link).and_then(sys::decimal) == Some(own_pid.as_raw())
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
    let mut fields = stat[name_end + 1..].split(|&byte| byte == b' ').skip(1);
    let is_zombie = matches!(fields.next()?, b"Z" | b"X");
    let mut id = || fields.next().and_then(sys::decimal).map(Pid::from_raw);
    Some(Process { parent: id()?, group: id()?, is_zombie })
}

/// `before`, a number and `after` as a C string.
fn numbered<'a>(
    before: &[u8],
    number: i32,
    after: &[u8],
    buffer: &'a mut [u8],
) -> Option<&'a core::ffi::CStr> {
    let mut length = 0;
    let mut put = |byte: u8| {
        if let Some(place) = buffer.get_mut(length) {
            *place = byte;
        }
        length += 1;
    };
    for &byte in before {
        put(byte);
    }
    crate::report::decimal(number.unsigned_abs().into(), &mut put);
    for &byte in after {
        put(byte);
    }
    put(0);
    core::ffi::CStr::from_bytes_until_nul(buffer).ok()
}
