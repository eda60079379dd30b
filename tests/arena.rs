//! The program's allocator, which hands out memory and never takes it back.

#![allow(unsafe_code)]

#[path = "../src/arena.rs"]
mod arena;

use std::alloc::{GlobalAlloc as _, Layout};

use arena::Arena;

#[test]
fn it_hands_out_aligned_blocks_that_do_not_overlap() {
    let arena = Arena::new();
    let mut blocks: Vec<(usize, usize)> = Vec::new();
    for (size, align) in
        [(1, 1), (7, 8), (64, 64), (3, 1), (20_000, 16), (5, 4), (200_000, 4096), (1, 1)]
    {
        let layout = Layout::from_size_align(size, align).unwrap();
        // SAFETY: the layout is not empty, and the block is as large as the layout.
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
fn a_block_that_grows_keeps_what_it_holds() {
    let arena = Arena::new();
    let of = |size| Layout::from_size_align(size, 1).unwrap();
    // SAFETY: each block is used with the layout that it was given last.
    unsafe {
        let first = arena.alloc(of(10));
        first.write_bytes(1, 10);
        let second = arena.alloc(of(10));
        second.write_bytes(2, 10);
        let grown = arena.realloc(first, of(10), 100_000);
        assert_eq!(std::slice::from_raw_parts(grown, 10), [1; 10]);
        assert_eq!(std::slice::from_raw_parts(second, 10), [2; 10]);
        arena.dealloc(grown, of(100_000));
    }
}

#[test]
fn it_refuses_impossible_sizes() {
    let arena = Arena::new();
    let huge = Layout::from_size_align(isize::MAX as usize, 1).unwrap();
    // SAFETY: the layout is not empty.
    assert!(unsafe { arena.alloc(huge) }.is_null());
    // The refused request has used up no memory.
    // SAFETY: as above.
    assert!(!unsafe { arena.alloc(Layout::new::<u64>()) }.is_null());
}
