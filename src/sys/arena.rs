//! The program's allocator.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;

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
