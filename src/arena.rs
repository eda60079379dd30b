//! The program's allocator: hands memory out, and takes none back. All allocation
//! is done before the loop begins, or in a child before its exec. The C library's
//! own malloc would be a seventh of the program, five system calls and two pages
//! of every container's memory.
//!
//! It belongs to the program, not to the library: that there is one thread is a
//! fact only here.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;

/// Enough for most command lines. Pages that nothing touches cost nothing.
const FIRST: usize = 16 * 1024;

/// Memory that is handed out from its beginning to its end. In this order, so that the
/// bytes in use share a page.
#[repr(C)]
pub struct Arena {
    /// Where free memory begins and ends.
    free: UnsafeCell<(usize, usize)>,
    first: UnsafeCell<MaybeUninit<[u8; FIRST]>>,
}

// SAFETY: the program has one thread.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena of which nothing has been handed out.
    pub const fn new() -> Self {
        Self { free: UnsafeCell::new((0, 0)), first: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// New memory for at least `size` bytes, its beginning and end: the first by
    /// itself, then what mmap(2) gives.
    fn more(&self, size: usize, is_first: bool) -> Option<(usize, usize)> {
        if is_first && size <= FIRST {
            let start = self.first.get().expose_provenance();
            return Some((start, start + FIRST));
        }
        let length = size.checked_next_multiple_of(FIRST)?;
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: asks for new memory at a place of the kernel's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, -1, 0) };
        let start = Some(start).filter(|&start| start != libc::MAP_FAILED)?.expose_provenance();
        Some((start, start + length))
    }

    /// Takes free memory. If a block is too small, its remaining bytes are lost.
    fn take(&self, layout: Layout) -> Option<usize> {
        // SAFETY: one thread, and no other reference to the pair.
        let free = unsafe { &mut *self.free.get() };
        let fits = |(begin, end): (usize, usize)| {
            let start = begin.checked_next_multiple_of(layout.align())?;
            let behind = start.checked_add(layout.size()).filter(|&behind| behind <= end)?;
            Some((start, (behind, end)))
        };
        let (start, left) = fits(*free).or_else(|| {
            let most = layout.size().checked_add(layout.align())?;
            fits(self.more(most, *free == (0, 0))?)
        })?;
        *free = left;
        Some(start)
    }
}

// SAFETY: every block lies in memory that is the arena's own, is aligned as
// asked for, and overlaps no other: `free` begins behind all of them.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout).map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}
