//! The program's allocator: hands memory out, and takes none back. All allocation is done before
//! the loop begins, or in a child before its exec. The C library's own malloc would be a seventh
//! of the program, five system calls and two pages of every container's memory.
//!
//! It belongs to the program, not to the library: that there is one thread is a fact only here.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;

use drain_init::sys;

/// Enough for most command lines. Pages that nothing touches cost nothing.
const FIRST: usize = 16 * 1024;

/// Memory that is handed out from its beginning. In this order, the bytes in use share a page.
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

    /// Takes free memory. If a block is too small, its remaining bytes are lost.
    fn take(&self, layout: Layout) -> Option<usize> {
        // SAFETY: one thread, and no other reference to the pair.
        let free = unsafe { &mut *self.free.get() };
        if *free == (0, 0) {
            let start = self.first.get().expose_provenance();
            *free = (start, start + FIRST);
        }
        let fits = |(begin, end): (usize, usize)| {
            let start = begin.checked_next_multiple_of(layout.align())?;
            let behind = start.checked_add(layout.size()).filter(|&behind| behind <= end)?;
            Some((start, (behind, end)))
        };
        let more = || {
            let most = layout.size().checked_add(layout.align())?;
            let new = sys::map_zeros(most.checked_next_multiple_of(FIRST)? / size_of::<u64>())?;
            let start = new.as_mut_ptr().expose_provenance();
            Some((start, start + size_of_val(new)))
        };
        let (start, left) = fits(*free).or_else(|| fits(more()?))?;
        *free = left;
        Some(start)
    }
}

// SAFETY: every block lies in memory that is the arena's own, is aligned as
// asked for, and overlaps no other: `free` begins after all of them.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout).map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}
