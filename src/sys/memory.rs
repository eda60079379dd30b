//! Memory that is needed only if it is used. See mmap(2).

use core::ptr;

/// Maps `count` zeros, for as long as the process lives. Pages that nothing touches
/// take no memory. Returns `None` if a limit does not allow that many.
pub fn map_zeros(count: usize) -> Option<&'static mut [u64]> {
    let length = count.checked_mul(size_of::<u64>())?;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: asks for new memory at a place of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, -1, 0) };
    // SAFETY: the mapping has that length, starts at a page, holds zeros, has no other
    // reference and is never unmapped.
    (start != libc::MAP_FAILED)
        .then(|| unsafe { core::slice::from_raw_parts_mut(start.cast(), count) })
}
