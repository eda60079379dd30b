//! Files of `--copy-to`.

use core::ffi::{CStr, c_int};

use nix::errno::Errno;

/// Makes a new file complete: its mode, whatever the umask, its bytes on the disk, and its
/// name, in place of what had that name. See fchmod(2), fsync(2) and rename(2).
///
/// # Errors
///
/// Those of the three calls.
pub fn publish(file: c_int, mode: libc::mode_t, from: &CStr, to: &CStr) -> nix::Result<()> {
    // SAFETY: two numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_fchmod, file, mode) })?;
    // SAFETY: a number.
    Errno::result(unsafe { libc::syscall(libc::SYS_fsync, file) })?;
    // SAFETY: two C strings.
    Errno::result(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) }).map(drop)
}

/// A random number; without getrandom(2) at least another one each time.
#[must_use]
pub fn random() -> u32 {
    let mut number = 0_u32;
    // SAFETY: the kernel writes four bytes, or fails.
    unsafe { libc::syscall(libc::SYS_getrandom, &raw mut number, 4, 0) };
    #[allow(clippy::cast_possible_truncation)]
    {
        number ^ super::now().as_nanos() as u32
    }
}
