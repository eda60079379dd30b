//! The system calls that neither std nor nix has, or has in a form that an init
//! cannot use: each wrapper small, and the only `unsafe` code there is.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::time::Duration;
use std::ffi::CString;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use crate::drain::Status;
use crate::signal::{Signal, SignalSet};

/// The size of the kernel's `sigset_t`, which is what [`SignalSet`] is. The C
/// library's own type is larger, and musl's functions filter it.
const KERNEL_SIGSET_SIZE: usize = size_of::<SignalSet>();

// ---- Memory ----------------------------------------------------------------

/// The program's allocator: hands memory out, and takes back only what it handed
/// out last. All allocation is done before the loop begins, or in a child before
/// its exec. The C library's own malloc would be a seventh of the program, five
/// system calls and two pages of every container's memory.
pub struct Arena {
    /// Where free memory begins and ends.
    free: UnsafeCell<(usize, usize)>,
    /// Enough for most command lines. Pages that nothing touches cost nothing.
    first: UnsafeCell<MaybeUninit<[u8; Self::FIRST]>>,
}

// SAFETY: the program has one thread.
unsafe impl Sync for Arena {}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Arena {
    const FIRST: usize = 16 * 1024;

    /// An arena of which nothing has been handed out.
    #[must_use]
    pub const fn new() -> Self {
        Self { free: UnsafeCell::new((0, 0)), first: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Adds free memory for `size` bytes of any alignment up to `align`. What
    /// was free before is lost. See mmap(2).
    fn grow(&self, size: usize, align: usize) -> Option<(usize, usize)> {
        let wanted = size.checked_add(align)?;
        // SAFETY: one thread, and no reference to the pair outlives a statement.
        if unsafe { *self.free.get() } == (0, 0) && wanted <= Self::FIRST {
            let start = self.first.get() as usize;
            return Some((start, start + Self::FIRST));
        }
        let length = wanted.max(Self::FIRST).checked_next_multiple_of(Self::FIRST)?;
        // SAFETY: asks for new memory at a place of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        (start != libc::MAP_FAILED).then(|| (start as usize, start as usize + length))
    }
}

// SAFETY: every block lies in memory that is the arena's own, is aligned as
// asked for, and overlaps no other: `free` begins behind all of them.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and no reference to the pair outlives a statement.
        let (mut begin, mut end) = unsafe { *self.free.get() };
        let fits = |begin: usize, end: usize| {
            let start = begin.checked_next_multiple_of(layout.align())?;
            let behind = start.checked_add(layout.size())?;
            (behind <= end).then_some((start, behind))
        };
        if fits(begin, end).is_none() {
            let Some(grown) = self.grow(layout.size(), layout.align()) else {
                return ptr::null_mut();
            };
            (begin, end) = grown;
        }
        let Some((start, behind)) = fits(begin, end) else {
            return ptr::null_mut();
        };
        // SAFETY: as above.
        unsafe { *self.free.get() = (behind, end) };
        ptr::with_exposed_provenance_mut(start)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        let free = unsafe { &mut *self.free.get() };
        if block as usize + layout.size() == free.0 {
            free.0 = block as usize;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let (begin, end) = unsafe { *self.free.get() };
        let is_last = block as usize + layout.size() == begin;
        if is_last && size <= end - block as usize {
            // SAFETY: as above.
            unsafe { (*self.free.get()).0 = block as usize + size };
            return block;
        }
        // SAFETY: the caller gives a valid layout's parts.
        let other = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !other.is_null() {
            // SAFETY: two blocks of at least that size, which do not overlap.
            unsafe { ptr::copy_nonoverlapping(block, other, layout.size().min(size)) };
        }
        other
    }
}

// ---- Words: argument lists and environments -------------------------------

/// A NULL-terminated array of C strings that live as long as the process, as
/// execve(2) takes it: an argument list or an environment.
pub struct Words {
    /// The last pointer is NULL; every other one points to a C string.
    pointers: &'static mut [*const c_char],
}

impl Words {
    /// Takes over the array that the kernel laid out for main or the environment.
    ///
    /// # Safety
    ///
    /// `array` is NULL, or a NULL-terminated array of C strings. Array and
    /// strings live as long as the process, and nobody else uses the array.
    #[must_use]
    pub unsafe fn from_raw(array: *mut *const c_char) -> Self {
        if array.is_null() {
            return Self::new(Vec::new());
        }
        let mut count = 0;
        // SAFETY: the caller vouches for an array that ends with NULL; no
        // pointer behind that one is read.
        while unsafe { !(*array.add(count)).is_null() } {
            count += 1;
        }
        Self {
            // SAFETY: `count` pointers and the NULL are the array, and the
            // caller gives it up for good.
            pointers: unsafe { core::slice::from_raw_parts_mut(array, count + 1) },
        }
    }

    /// An array of these words.
    #[must_use]
    pub fn new(words: Vec<CString>) -> Self {
        Self::of(&mut words.into_iter().map(leak))
    }

    /// An array of words that stay where they are.
    #[must_use]
    pub fn of(words: &mut dyn Iterator<Item = &'static CStr>) -> Self {
        let mut pointers = Vec::new();
        for word in words {
            pointers.push(word.as_ptr());
        }
        pointers.push(ptr::null());
        Self { pointers: pointers.leak() }
    }

    /// The words in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'static CStr> {
        let words = self.pointers.split_last().map_or(&[][..], |(_, words)| words);
        // SAFETY: every pointer but the last points to a C string that is
        // never freed nor changed.
        words.iter().map(|&word| unsafe { CStr::from_ptr(word) })
    }

    /// The words from that place on.
    ///
    /// # Panics
    ///
    /// Where there are fewer than `count` words.
    #[must_use]
    pub fn skip(self, count: usize) -> Self {
        Self { pointers: &mut self.pointers[count..] }
    }

    /// Removes the words for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&'static CStr) -> bool) {
        let mut kept = 0;
        for index in 0..self.pointers.len() {
            let word = self.pointers[index];
            // SAFETY: as in `iter`: what is not NULL is a C string.
            let keeps = word.is_null() || keep(unsafe { CStr::from_ptr(word) });
            if keeps {
                self.pointers[kept] = word;
                kept += 1;
            }
        }
        let pointers = core::mem::take(&mut self.pointers);
        self.pointers = &mut pointers[..kept];
    }

    /// Puts other words in the place of those for which `with` has one.
    pub fn replace(&mut self, mut with: impl FnMut(&'static CStr) -> Option<CString>) {
        for word in &mut *self.pointers {
            if word.is_null() {
                continue;
            }
            // SAFETY: as in `iter`: what is not NULL is a C string.
            if let Some(other) = with(unsafe { CStr::from_ptr(*word) }) {
                *word = other.into_raw();
            }
        }
    }

    /// The array for execve(2).
    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// Lets a word live as long as the process.
#[must_use]
pub fn leak(word: CString) -> &'static CStr {
    Box::leak(word.into_boxed_c_str())
}

/// The environment that the process was started with, its array taken over.
///
/// # Safety
///
/// To be called once, while there is one thread; nothing reads or changes the
/// environment through the C library afterwards.
#[must_use]
pub unsafe fn take_environment() -> Words {
    unsafe extern "C" {
        static mut environ: *mut *const c_char;
    }
    // SAFETY: environ(7) is NULL or such an array, and the caller leaves it to us.
    unsafe { Words::from_raw(environ) }
}

// ---- Signals ---------------------------------------------------------------

/// Sets the signal mask, all 64 signals of it. See sigprocmask(2), which musl
/// and glibc do not let touch signals 32 to 34.
pub fn set_signal_mask(mask: SignalSet) {
    let mask = mask.bits();
    // SAFETY: the kernel reads KERNEL_SIGSET_SIZE bytes from `mask`. It cannot
    // fail with these arguments.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            ptr::null::<u64>(),
            KERNEL_SIGSET_SIZE,
        );
    }
}

/// Takes the pending signal with the lowest number out of `set`, waiting for one
/// for `timeout`, or for ever. See sigtimedwait(2).
///
/// # Errors
///
/// EAGAIN when the time is over, EINTR when the wait was interrupted (by a stop
/// and CONT, say).
#[inline(always)]
pub fn wait_for_signal(set: SignalSet, timeout: Option<Duration>) -> nix::Result<Signal> {
    let set = set.bits();
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(c_long::MAX),
        #[allow(clippy::cast_lossless)]
        tv_nsec: timeout.subsec_nanos() as c_long,
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads KERNEL_SIGSET_SIZE bytes from `set`, writes no
    // siginfo where that is NULL, and reads `timeout` where it is not NULL.
    let number = unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set,
            ptr::null::<c_void>(),
            timeout,
            KERNEL_SIGSET_SIZE,
        )
    };
    let number = Errno::result(number)?;
    i32::try_from(number).ok().and_then(Signal::new).ok_or(Errno::EINVAL)
}

/// The signals that are pending, where a filter does not forbid to ask. See
/// sigpending(2).
#[must_use]
#[inline(always)]
pub fn pending_signals() -> Option<SignalSet> {
    let mut set = 0_u64;
    // SAFETY: the kernel writes KERNEL_SIGSET_SIZE bytes to `set`.
    let failed =
        unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, KERNEL_SIGSET_SIZE) };
    (failed == 0).then(|| SignalSet::from_bits(set))
}

/// Takes a pending signal away without sigtimedwait(2): one that is ignored for a
/// moment is discarded. See sigaction(2), which the C library does not let touch
/// signals 32 to 34.
#[cold]
#[inline(never)]
pub fn discard(signal: Signal) {
    // The handler stands first, and no flag asks for a restorer.
    let ignored = [libc::SIG_IGN as u64, 0, 0, 0];
    let mut before = [0_u64; 4];
    let set = |action: *const u64, before: *mut u64| {
        // SAFETY: the kernel reads and writes a sigaction, which has four words
        // of 64 bits; before is the one that it gave.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal.number(),
                action,
                before,
                KERNEL_SIGSET_SIZE,
            );
        }
    };
    set(ignored.as_ptr(), before.as_mut_ptr());
    set(before.as_ptr(), ptr::null_mut());
}

/// Sleeps for so many milliseconds, whatever signal comes: all are blocked. See
/// poll(2).
pub fn sleep(millis: c_int) {
    // SAFETY: no descriptor is looked at.
    unsafe { libc::poll(ptr::null_mut(), 0, millis) };
}

/// Sends a signal as kill(2) takes it: to a process ID, to a group (negative),
/// to every process (-1). `None` only asks whether it could be sent.
///
/// # Errors
///
/// ESRCH where there is no such process, EPERM where none may be signalled.
#[inline(always)]
pub fn kill(target: Pid, signal: Option<Signal>) -> nix::Result<()> {
    let number = signal.map_or(0, Signal::number);
    // SAFETY: takes two numbers.
    let failed = unsafe { libc::kill(target.as_raw(), number) } != 0;
    if failed { Err(Errno::last()) } else { Ok(()) }
}

/// Makes CHLD's disposition the default, under which the kernel keeps a dead
/// child until it is reaped. Discards a pending CHLD. Says whether CHLD was
/// ignored. See sigaction(2), NOTES.
#[must_use]
pub fn reset_sigchld() -> bool {
    // SAFETY: signal(2) takes a number and one of its constants.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) == libc::SIG_IGN }
}

/// Lets signals do what they do by themselves, but for those in `blocked`. Where
/// the kernel would shield PID 1 from them, TERM and INT end it all the same.
pub fn let_signals_end(blocked: SignalSet) {
    extern "C" fn end(number: c_int) {
        // SAFETY: never returns.
        unsafe { libc::_exit(128 + number) }
    }
    if nix::unistd::getpid().as_raw() == 1 {
        for signal in [libc::SIGTERM, libc::SIGINT] {
            // SAFETY: the handler makes one system call.
            unsafe { libc::signal(signal, end as extern "C" fn(c_int) as libc::sighandler_t) };
        }
    }
    set_signal_mask(blocked);
}

/// The last acts before [`exec`]: gives CHLD the disposition that it was found
/// with, and unblocks every signal.
pub fn hand_over_signals(sigchld_ignored: bool) {
    if sigchld_ignored {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    }
    set_signal_mask(SignalSet::EMPTY);
}

// ---- Processes -------------------------------------------------------------

/// What [`reap`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Reaped {
    /// This child had ended, and is gone now.
    Child(Pid, Status),
    /// This child was stopped by this signal.
    Stopped(Pid, Signal),
    /// This child was continued.
    Continued(Pid),
    /// There are children, and none has ended.
    NoneYet,
    /// There is no child.
    NoChildren,
}

/// Reaps one child that has ended, of any kind (`__WALL`), or says of one that it
/// was stopped or continued. See waitpid(2).
#[must_use]
pub fn reap() -> Reaped {
    const OPTIONS: c_int = libc::WNOHANG | libc::__WALL | libc::WUNTRACED | libc::WCONTINUED;
    let mut status: c_int = 0;
    loop {
        // SAFETY: the kernel writes one int to `status`.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, OPTIONS) };
        return match Errno::result(pid) {
            Err(Errno::EINTR) => continue,
            Err(_) => Reaped::NoChildren,
            Ok(0) => Reaped::NoneYet,
            Ok(pid) => {
                let pid = Pid::from_raw(pid);
                if libc::WIFCONTINUED(status) {
                    Reaped::Continued(pid)
                } else if libc::WIFSTOPPED(status) {
                    let signal = Signal::new(libc::WSTOPSIG(status) & 0x7f);
                    Reaped::Stopped(pid, signal.unwrap_or(Signal::STOP))
                } else {
                    Reaped::Child(pid, decode(status))
                }
            }
        };
    }
}

/// What is neither a stop nor a continuation is an exit or a signal.
fn decode(status: c_int) -> Status {
    match Signal::new(libc::WTERMSIG(status)) {
        Some(signal) => Status::Killed(signal),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        None => Status::Exited(libc::WEXITSTATUS(status) as u8),
    }
}

/// Forks. Returns the child's process ID, or `None` in the child. See fork(2).
///
/// # Errors
///
/// EAGAIN at a limit of processes, ENOMEM.
pub fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: there is one thread, so that the child may do whatever the parent
    // might have done.
    let pid = Errno::result(unsafe { libc::fork() })?;
    Ok((pid != 0).then(|| Pid::from_raw(pid)))
}

/// Executes `path`. Returns only where that failed. See execve(2).
#[must_use]
pub fn exec(path: &CStr, argv: &Words, environment: &Words) -> Errno {
    // SAFETY: a C string and two arrays as execve takes them.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
    Errno::last()
}

/// Ends the process at once. See _exit(2).
pub fn exit(status: u8) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(status.into()) }
}

/// Asks for `signal` when the parent dies. See `PR_SET_PDEATHSIG(2const)`.
///
/// # Errors
///
/// ENOSYS or EPERM where a filter forbids it.
pub fn set_parent_death_signal(signal: Signal) -> nix::Result<()> {
    // SAFETY: takes two numbers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal.number()) }).map(drop)
}

/// Adopts the orphans among its descendants. See `PR_SET_CHILD_SUBREAPER(2const)`.
///
/// # Errors
///
/// EINVAL on kernels before 3.4, ENOSYS or EPERM where a filter forbids it.
pub fn become_subreaper() -> nix::Result<()> {
    // SAFETY: takes two numbers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }).map(drop)
}

/// The path of the working directory, where it has one below the root. See
/// getcwd(2); getcwd(3) would need the C library's malloc.
#[must_use]
#[inline(never)] // So that only who asks has the path's 4 KiB on the stack.
pub fn working_directory() -> Option<CString> {
    let mut path = [0_u8; libc::PATH_MAX as usize];
    // SAFETY: the kernel writes a C string of at most `path.len()` bytes, or fails.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
    // From outside the root it begins with "(unreachable)".
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    (length > 0 && path.to_bytes().starts_with(b"/")).then(|| path.to_owned())
}

/// The time since some moment in the past, never set back. See `clock_gettime(2)`,
/// `CLOCK_MONOTONIC`.
#[must_use]
pub fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, or leaves the zeros.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)]
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

// ---- Terminal --------------------------------------------------------------

/// The foreground process group of the controlling terminal, where `descriptor`
/// is that. See tcgetpgrp(3), which says so by not failing; TIOCGSID, which would
/// ask more directly, is unknown to qemu-user.
#[must_use]
pub fn foreground_group(descriptor: c_int) -> Option<Pid> {
    let mut group: libc::pid_t = 0;
    // SAFETY: TIOCGPGRP writes one pid_t.
    let failed = unsafe { libc::ioctl(descriptor, libc::TIOCGPGRP as _, &raw mut group) } != 0;
    // A pty's master answers for its slave.
    (!failed && !is_master(descriptor)).then(|| Pid::from_raw(group))
}

/// Whether a descriptor is a pty's master, which alone knows its number.
fn is_master(descriptor: c_int) -> bool {
    let mut number: c_int = 0;
    // SAFETY: TIOCGPTN writes one int.
    unsafe { libc::ioctl(descriptor, libc::TIOCGPTN as _, &raw mut number) == 0 }
}

/// Makes a group of the caller's session the terminal's foreground group. The
/// caller has TTOU blocked. See tcsetpgrp(3).
///
/// # Errors
///
/// ENOTTY where `descriptor` is not the controlling terminal, EPERM where the
/// group is of another session, ESRCH or EINVAL where there is none.
pub fn set_foreground_group(descriptor: c_int, group: Pid) -> nix::Result<()> {
    let group: libc::pid_t = group.as_raw();
    // SAFETY: TIOCSPGRP reads one pid_t.
    Errno::result(unsafe { libc::ioctl(descriptor, libc::TIOCSPGRP as _, &raw const group) })
        .map(drop)
}

/// Lets `use_it` have a descriptor of the controlling terminal, if there is one:
/// stdin, or /dev/tty. See tty(4).
pub fn with_terminal<T>(use_it: impl FnOnce(c_int) -> T) -> Option<T> {
    if foreground_group(0).is_some() {
        return Some(use_it(0));
    }
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: a C string.
    let descriptor = unsafe { libc::open(c"/dev/tty".as_ptr(), flags) };
    if descriptor < 0 {
        return None;
    }
    // An image may have any file of that name.
    let used = foreground_group(descriptor).map(|_| use_it(descriptor));
    close(descriptor);
    used
}

// ---- Descriptors -----------------------------------------------------------

/// Closes every descriptor from `first` on. See `close_range(2)`; where that call
/// is missing, goes by /proc/self/fd, and without /proc through all numbers that
/// a program is likely to have used.
pub fn close_from(first: c_int) {
    // SAFETY: takes three numbers. Nothing here keeps a descriptor from `first` on.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) };
    if answer == 0 || close_listed(first) {
        return;
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, or fails.
    let answer = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let most = if answer == 0 { limit.rlim_max } else { libc::RLIM_INFINITY };
    let last = c_int::try_from(most).unwrap_or(c_int::MAX).min(65_536);
    for descriptor in first..last {
        close(descriptor);
    }
}

/// Closes what /proc/self/fd lists from `first` on; false where it cannot be read.
fn close_listed(first: c_int) -> bool {
    for_each_number(c"/proc/self/fd", &mut |directory, descriptor| {
        if descriptor >= first && descriptor != directory {
            close(descriptor);
        }
    })
}

/// Hands out the descriptor of a directory and each number that is a name in it;
/// false where it cannot be read. See getdents64(2): opendir(3) would need the C
/// library's malloc.
pub fn for_each_number(directory: &CStr, act: &mut dyn FnMut(c_int, c_int)) -> bool {
    /// The offsets of `d_reclen` and `d_name` in a `linux_dirent64`.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: a C string.
    let directory = unsafe { libc::open(directory.as_ptr(), flags) };
    if directory < 0 {
        return false;
    }
    let mut buffer = [0_u8; 1024];
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`.
        let filled = unsafe {
            libc::syscall(libc::SYS_getdents64, directory, buffer.as_mut_ptr(), buffer.len())
        };
        let mut entries = usize::try_from(filled).map_or(&[][..], |filled| &buffer[..filled]);
        if entries.is_empty() {
            break;
        }
        while entries.len() > NAME {
            let length = u16::from_ne_bytes([entries[LENGTH], entries[LENGTH + 1]]);
            let (entry, rest) = entries.split_at(usize::from(length).min(entries.len()));
            entries = rest;
            let name = entry.get(NAME..).and_then(|name| CStr::from_bytes_until_nul(name).ok());
            if let Some(number) = name.and_then(|name| decimal(name.to_bytes())) {
                act(directory, number);
            }
        }
    }
    close(directory);
    true
}

/// Reads the beginning of a file, as much as the buffer holds, at once. See
/// open(2) and read(2).
pub fn read_file<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: a C string.
    let descriptor = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`.
    let count = unsafe { libc::read(descriptor, buffer.as_mut_ptr().cast(), buffer.len()) };
    close(descriptor);
    buffer.get(..usize::try_from(count).ok()?)
}

/// Reads where a symbolic link points to. See readlink(2).
pub fn read_link<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: a C string; the kernel writes at most `buffer.len()` bytes.
    let count = unsafe { libc::readlink(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    buffer.get(..usize::try_from(count).ok()?)
}

/// A number in decimal digits, and nothing else.
#[must_use]
pub fn decimal(digits: &[u8]) -> Option<c_int> {
    digits.iter().try_fold(0_i32, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Closes a descriptor, if it is open. See close(2).
pub fn close(descriptor: c_int) {
    // SAFETY: takes a number; nothing in the program owns a descriptor.
    unsafe { libc::close(descriptor) };
}

/// Makes descriptor 0 /dev/null, or where there is none a pipe at its end.
pub fn empty_stdin() {
    close(0);
    // Whatever is bound over it, the open does not wait.
    let flags = libc::O_RDONLY | libc::O_NONBLOCK;
    // SAFETY: a C string. The lowest free descriptor, 0, is what is opened.
    if unsafe { libc::open(c"/dev/null".as_ptr(), flags) } >= 0 {
        if is_dev_null(0) {
            return;
        }
        close(0);
    }
    let mut ends: [c_int; 2] = [0; 2];
    // SAFETY: the kernel writes two descriptors, or fails.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } == 0 {
        close(ends[1]);
    }
}

/// Whether a descriptor is the device that null(4) is. See fstat(2).
fn is_dev_null(descriptor: c_int) -> bool {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel writes one stat, or fails.
    if unsafe { libc::fstat(descriptor, stat.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: fstat has succeeded.
    let stat = unsafe { stat.assume_init() };
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == libc::makedev(1, 3)
}

/// Writes to a descriptor, once. See write(2).
///
/// # Errors
///
/// Whatever write(2) says.
pub fn write(descriptor: c_int, bytes: &[u8]) -> nix::Result<usize> {
    // SAFETY: the kernel reads `bytes.len()` bytes from `bytes`.
    let count = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
    #[allow(clippy::cast_sign_loss)]
    Errno::result(count).map(|count| count as usize)
}

/// How many bytes a pipe holds; `None` where the descriptor is no pipe. See
/// `F_GETPIPE_SZ(2const)`.
#[must_use]
pub fn pipe_size(descriptor: c_int) -> Option<c_int> {
    control(descriptor, libc::F_GETPIPE_SZ)
}

/// An answer of fcntl(2) to a question without an argument.
fn control(descriptor: c_int, question: c_int) -> Option<c_int> {
    // SAFETY: takes two numbers.
    let answer = unsafe { libc::syscall(libc::SYS_fcntl, descriptor, question, 0) };
    #[allow(clippy::cast_possible_truncation)]
    (answer >= 0).then_some(answer as c_int)
}

/// How many bytes are in a pipe. See `FIONREAD(2const)`.
#[must_use]
pub fn unread(descriptor: c_int) -> c_int {
    let mut count: c_int = c_int::MAX;
    // SAFETY: FIONREAD writes one int, or fails.
    unsafe { libc::ioctl(descriptor, libc::FIONREAD as _, &raw mut count) };
    count
}

/// Whether a descriptor is a terminal, and not the master of one. See isatty(3).
#[must_use]
pub fn is_terminal(descriptor: c_int) -> bool {
    let mut size = MaybeUninit::<libc::winsize>::uninit();
    // SAFETY: TIOCGWINSZ writes one winsize.
    let failed = unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ as _, size.as_mut_ptr()) } != 0;
    !failed && !is_master(descriptor)
}

/// Opens what stderr is once more, to write to it without ever blocking: by a
/// file description of its own, whose flags nobody shares. See proc(5).
#[must_use]
pub fn open_stderr_anew() -> Option<c_int> {
    // A pipe's end that is there to be read could be opened to be written to.
    if control(2, libc::F_GETFL)? & libc::O_ACCMODE == libc::O_RDONLY {
        return None;
    }
    let flags = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: a C string.
    let descriptor = unsafe { libc::open(c"/proc/self/fd/2".as_ptr(), flags) };
    (descriptor >= 0).then_some(descriptor)
}

/// Writes to a socket without blocking or raising PIPE, whatever the
/// descriptor's flags. See send(2).
///
/// # Errors
///
/// ENOTSOCK where it is none, EAGAIN where it would block.
pub fn send_without_blocking(descriptor: c_int, bytes: &[u8]) -> nix::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads `bytes.len()` bytes from `bytes`, and no address.
    let count = unsafe {
        libc::syscall(
            libc::SYS_sendto,
            descriptor,
            bytes.as_ptr(),
            bytes.len(),
            flags,
            ptr::null::<c_void>(),
            0,
        )
    };
    Errno::result(count).map(drop)
}

/// Writes without blocking, whatever the descriptor's flags. See pwritev2(2),
/// `RWF_NOWAIT`.
///
/// # Errors
///
/// EAGAIN where it would block, EOPNOTSUPP or ENOSYS where the kernel cannot.
pub fn write_without_blocking(descriptor: c_int, bytes: &[u8]) -> nix::Result<()> {
    const RWF_NOWAIT: c_int = 8;
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // The offset -1 is "where the file stands", in two halves on 64-bit kernels.
    // SAFETY: the kernel reads one iovec, and what it points to, and writes nothing.
    let count = unsafe {
        libc::syscall(
            libc::SYS_pwritev2,
            descriptor,
            &raw const part,
            1,
            -1_i64,
            -1_i64,
            RWF_NOWAIT,
        )
    };
    Errno::result(count).map(drop)
}

/// Whether a write would not block at this moment. See poll(2).
#[must_use]
pub fn is_writable(descriptor: c_int) -> bool {
    let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLOUT, revents: 0 };
    // SAFETY: the kernel reads and writes one pollfd.
    let count = unsafe { libc::poll(&raw mut poll, 1, 0) };
    count > 0 && poll.revents & libc::POLLOUT != 0
}

/// The words for an error, as strerror(3) has them.
#[must_use]
pub fn describe(error: Errno) -> &'static CStr {
    // SAFETY: strerror returns a C string; it lives on in musl, and in glibc
    // until the next call for an unknown error, with which the one thread is
    // done before it makes another.
    unsafe { CStr::from_ptr(libc::strerror(error as c_int)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arena_hands_out_aligned_blocks_that_do_not_overlap() {
        let arena = Arena::new();
        let mut blocks: Vec<(usize, usize)> = Vec::new();
        for (size, align) in
            [(1, 1), (7, 8), (64, 64), (3, 1), (20_000, 16), (5, 4), (200_000, 4096), (1, 1)]
        {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the layout is not empty, and the block is as large as it says.
            let start = unsafe {
                let block = arena.alloc(layout);
                assert!(!block.is_null());
                block.write_bytes(0xaa, size);
                block as usize
            };
            assert_eq!(start % align, 0);
            assert!(blocks.iter().all(|&(from, to)| start >= to || start + size <= from));
            blocks.push((start, start + size));
        }
    }

    #[test]
    fn the_arena_lets_the_last_block_grow_and_shrink_in_its_place() {
        let arena = Arena::new();
        let of = |size| Layout::from_size_align(size, 1).unwrap();
        // SAFETY: each block is used with the layout that it was given last.
        unsafe {
            let first = arena.alloc(of(10));
            first.write_bytes(1, 10);
            assert_eq!(arena.realloc(first, of(10), 100), first);
            assert_eq!(arena.realloc(first, of(100), 10), first);
            let second = arena.alloc(of(10));
            assert_eq!(second, first.add(10));
            // The first is not the last any more: it moves, and is copied.
            let moved = arena.realloc(first, of(10), 20);
            assert_eq!(moved, second.add(10));
            assert_eq!(core::slice::from_raw_parts(moved, 10), [1; 10]);
            // Too large for the place where it is: it moves again.
            let far = arena.realloc(moved, of(20), 100_000);
            assert_eq!(core::slice::from_raw_parts(far, 10), [1; 10]);
            // What was handed out last is taken back.
            arena.dealloc(far, of(100_000));
            assert_eq!(arena.alloc(of(1)), far);
        }
    }

    #[test]
    fn the_arena_refuses_what_cannot_be() {
        let arena = Arena::new();
        let huge = Layout::from_size_align(isize::MAX as usize, 1).unwrap();
        // SAFETY: the layout is not empty.
        assert!(unsafe { arena.alloc(huge) }.is_null());
    }

    #[test]
    fn words_are_an_array_for_execve() {
        let own = |words: &[&CStr]| Words::new(words.iter().map(|&word| word.to_owned()).collect());
        let mut words = own(&[c"a", c"b=1", c"c", c"b=2"]);
        words.retain(|word| word != c"c");
        words.replace(|word| (word == c"b=2").then(|| c"d".to_owned()));
        assert_eq!(words.iter().collect::<Vec<_>>(), [c"a", c"b=1", c"d"]);
        assert!(words.pointers.last().unwrap().is_null());
        let rest = words.skip(2);
        assert_eq!(rest.iter().collect::<Vec<_>>(), [c"d"]);
        assert_eq!(rest.skip(1).iter().count(), 0);
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { Words::from_raw(ptr::null_mut()) }.iter().count(), 0);
    }

    #[test]
    fn a_status_is_an_exit_or_a_signal() {
        assert_eq!(decode(0), Status::Exited(0));
        assert_eq!(decode(255 << 8), Status::Exited(255));
        assert_eq!(decode(9), Status::Killed(Signal::KILL));
        // With a core dump.
        assert_eq!(decode(6 | 0x80), Status::Killed(Signal::ABRT));
        assert_eq!(decode(64).code(), 192);
    }
}
