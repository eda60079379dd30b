//! A random number. See getrandom(2).

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
