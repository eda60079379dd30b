//! Descriptors: closing them, reading files, and writing without ever blocking.

use core::ffi::{CStr, c_int, c_long};
use core::ops::Range;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{self, OFlag};
use nix::sys::stat::{self, Mode};
use nix::unistd;

use crate::text;

/// Standard input, which may be closed.
pub const STDIN: BorrowedFd = standard(libc::STDIN_FILENO);

/// Standard output.
pub const STDOUT: BorrowedFd = standard(libc::STDOUT_FILENO);

/// Standard error.
pub const STDERR: BorrowedFd = standard(libc::STDERR_FILENO);

const fn standard(descriptor: c_int) -> BorrowedFd<'static> {
    // SAFETY: nothing in the program owns it.
    unsafe { BorrowedFd::borrow_raw(descriptor) }
}

/// Closes every descriptor from `first` on. See `close_range(2)`. If that fails, closes
/// what /proc/self/fd lists, and without /proc all numbers up to 65,535.
pub fn close_from(first: c_int) {
    // SAFETY: takes three numbers. Nothing here keeps a descriptor from `first` on.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) };
    let are_closed = answer == 0
        || for_each_number(c"/proc/self/fd", &mut |directory, descriptor| {
            if descriptor >= first && descriptor != directory {
                close(descriptor);
            }
        });
    if !are_closed {
        (first..65_536).for_each(close);
    }
}

/// Calls `act` with the descriptor of a directory and each number that is a name in it. Returns
/// false if it cannot be read to its end. See getdents64(2); opendir(3) would need malloc(3).
pub fn for_each_number(directory: &CStr, act: &mut dyn FnMut(c_int, c_int)) -> bool {
    /// Where `d_reclen` and `d_name` are in a `linux_dirent64`.
    const LENGTH: Range<usize> = 16..18;
    const NAME: usize = 19;
    let Ok(opened) = open(directory, OFlag::O_DIRECTORY) else { return false };
    let directory = opened.as_raw_fd();
    let mut buffer = [0_u8; 1024];
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`.
        let filled = unsafe {
            libc::syscall(libc::SYS_getdents64, directory, buffer.as_mut_ptr(), buffer.len())
        };
        let mut entries = match usize::try_from(filled) {
            Ok(0) => return true,
            Ok(filled) => &buffer[..filled],
            Err(_) => return false,
        };
        while let Some(&[one, other]) = entries.get(LENGTH) {
            let length = u16::from_ne_bytes([one, other]);
            let (entry, rest) = entries.split_at(usize::from(length).min(entries.len()));
            entries = rest;
            let name = entry.get(NAME..).and_then(|name| CStr::from_bytes_until_nul(name).ok());
            let number = name.and_then(|name| text::number(name.to_bytes()));
            if let Some(number) = number.and_then(|number| number.try_into().ok()) {
                act(directory, number);
            }
        }
    }
}

/// Opens a file to be read. It is closed before anything is executed. See open(2).
fn open(path: &CStr, flags: OFlag) -> nix::Result<OwnedFd> {
    fcntl::open(path, flags, Mode::empty())
}

/// Creates a file, to be written. EEXIST if the path exists, even as a dangling link. See open(2).
pub fn create(path: &CStr, mode: Mode) -> nix::Result<OwnedFd> {
    fcntl::open(path, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, mode)
}

/// Sets a file's mode. See fchmod(2); the C library's would open a path of /proc on an error.
pub fn set_mode(file: &OwnedFd, mode: libc::mode_t) -> nix::Result<()> {
    // SAFETY: takes numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_fchmod, file.as_raw_fd(), mode) }).map(drop)
}

/// Writes all of this, in as many calls as it takes. See write(2).
pub fn write_all(descriptor: impl AsFd, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[unistd::write(&descriptor, bytes)?..];
    }
    Ok(())
}

/// Reads the beginning of a file, as much as the buffer holds, in one call.
pub fn read_file<'a>(path: &CStr, buffer: &'a mut [u8]) -> nix::Result<&'a [u8]> {
    let count = unistd::read(open(path, OFlag::O_RDONLY)?, buffer)?;
    Ok(&buffer[..count])
}

/// Calls `act` with each piece of a file, until an error of open(2), read(2) or `act` itself.
pub fn for_each_piece(
    path: &CStr,
    act: &mut dyn FnMut(&[u8]) -> nix::Result<()>,
) -> nix::Result<()> {
    let file = open(path, OFlag::O_RDONLY)?;
    let mut buffer = [0; 512];
    loop {
        match unistd::read(&file, &mut buffer)? {
            0 => return Ok(()),
            count => act(&buffer[..count])?,
        }
    }
}

/// Calls `act` with each byte of a file, until an error of open(2) or read(2).
pub fn for_each_byte(path: &CStr, act: &mut dyn FnMut(u8)) -> nix::Result<()> {
    for_each_piece(path, &mut |piece| {
        for &byte in piece {
            act(byte);
        }
        Ok(())
    })
}

/// Reads the target of a symbolic link. See readlink(2).
pub fn read_link<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: a C string; the kernel writes at most `buffer.len()` bytes.
    let count = unsafe { libc::readlink(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    buffer.get(..usize::try_from(count).ok()?)
}

/// Closes a descriptor, if it is open. See close(2).
pub fn close(descriptor: c_int) {
    // SAFETY: takes a number; nothing in the program owns a descriptor.
    unsafe { libc::close(descriptor) };
}

/// Makes descriptor 0 /dev/null, or if that is missing a pipe at end of file. See null(4).
pub fn empty_stdin() {
    close(0);
    // A FIFO may be mounted over it: the open must not wait. The lowest free descriptor is 0.
    let null = open(c"/dev/null", OFlag::O_NONBLOCK).ok();
    let null = null.filter(|null| device(null) == Some(libc::makedev(1, 3)));
    if let Some(stdin) = null.or_else(|| unistd::pipe().ok().map(|(end, _)| end)) {
        let _ = stdin.into_raw_fd();
    }
}

/// The number of the character device that a descriptor is. See fstat(2).
fn device(descriptor: impl AsFd) -> Option<libc::dev_t> {
    let stat = stat::fstat(descriptor).ok()?;
    (stat.st_mode & libc::S_IFMT == libc::S_IFCHR).then_some(stat.st_rdev)
}

/// Whether a descriptor is a terminal, and not the master of one. See isatty(3).
pub fn is_terminal(descriptor: BorrowedFd) -> bool {
    unistd::isatty(descriptor) == Ok(true) && !is_master(descriptor)
}

/// Whether a descriptor is a pty's master, which alone knows its number. In gVisor the
/// slave knows it as well, so its device's major number must not be a slave's. See pts(4).
pub fn is_master(descriptor: BorrowedFd) -> bool {
    let mut number: c_int = 0;
    // SAFETY: TIOCGPTN writes one int, or fails.
    let failed =
        unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::TIOCGPTN as _, &raw mut number) };
    failed == 0 && !device(descriptor).is_some_and(|it| (136..=143).contains(&libc::major(it)))
}

/// How many bytes a pipe can hold. `None` if it is not a pipe. See `F_GETPIPE_SZ(2const)`.
pub fn pipe_size(descriptor: BorrowedFd) -> Option<c_int> {
    control(descriptor, libc::F_GETPIPE_SZ)
}

/// The result of an fcntl(2) command that has no argument.
fn control(descriptor: BorrowedFd, command: c_int) -> Option<c_int> {
    // SAFETY: takes numbers.
    let answer = unsafe { libc::syscall(libc::SYS_fcntl, descriptor.as_raw_fd(), command, 0) };
    #[allow(clippy::cast_possible_truncation)]
    (answer >= 0).then_some(answer as c_int)
}

/// How many bytes are in a pipe. See `FIONREAD(2const)`.
pub fn unread(descriptor: BorrowedFd) -> c_int {
    let mut count: c_int = c_int::MAX;
    // SAFETY: FIONREAD writes one int, or fails.
    unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::FIONREAD as _, &raw mut count) };
    count
}

/// Opens stderr's file again, to write to it without blocking through a file description
/// whose flags no other process shares. See proc(5).
pub fn reopen_stderr() -> Option<OwnedFd> {
    // The reading end of a pipe could be opened for writing.
    if control(STDERR, libc::F_GETFL)? & libc::O_ACCMODE == libc::O_RDONLY {
        return None;
    }
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(c"/proc/self/fd/2", flags).ok()
}

/// Writes to a socket without blocking or raising PIPE, whatever its flags. ENOTSOCK if it
/// is not a socket, EAGAIN if it would block. See send(2).
pub fn send_without_blocking(socket: BorrowedFd, bytes: &[u8]) -> nix::Result<()> {
    let (socket, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    // SAFETY: the kernel reads `bytes.len()` bytes from `bytes`.
    let count = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) };
    Errno::result(count).map(drop)
}

/// Writes without blocking, whatever the descriptor's flags. EAGAIN if it would block,
/// EOPNOTSUPP or ENOSYS if the kernel cannot do this. See pwritev2(2), `RWF_NOWAIT`.
pub fn write_without_blocking(descriptor: BorrowedFd, bytes: &[u8]) -> nix::Result<()> {
    const RWF_NOWAIT: c_int = 8;
    // The offset, in two words: the current one.
    const HERE: c_long = -1;
    let (descriptor, part) = (descriptor.as_raw_fd(), io::IoSlice::new(bytes));
    // SAFETY: the kernel reads one iovec, and what it points to, and writes nothing.
    let count = unsafe {
        libc::syscall(libc::SYS_pwritev2, descriptor, &raw const part, 1, HERE, HERE, RWF_NOWAIT)
    };
    Errno::result(count).map(drop)
}

/// Whether a write would not block at this moment. See poll(2).
pub fn is_writable(descriptor: BorrowedFd) -> bool {
    let fd = descriptor.as_raw_fd();
    let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: the kernel reads and writes one pollfd, or leaves it.
    unsafe { libc::poll(&raw mut poll, 1, 0) };
    poll.revents & libc::POLLOUT != 0
}
