//! Where cells come from: blocks of a few sizes, used again and again.
//!
//! After the queues, malloc was the largest cost of a spawn (34–52 %). Three layers stand before
//! it:
//!
//! 1. Each thread has, for each size, a *chain* of up to 64 free blocks and one spare chain.
//!    No sharing, no atomics.
//! 2. A *depot* trades whole chains between threads: a spawner takes what a worker's completions
//!    gave back. (Per-thread lists alone lost: the consumer hoards, the producer mallocs cold.)
//!    A place in the depot is one pointer that is swapped, so nobody ever waits for a preempted
//!    thread, and there is no ABA problem. It has a bounded number of places.
//! 3. *Chunks* of 1 MiB, carved 64 blocks at a time so that pages are touched only as needed: see [`chunk`].
//!    Blocks that find the depot full go back to their chunk.
//!
//! What is neither small nor ordinarily aligned goes to the allocator directly. So does
//! everything under loom and under `--cfg filch_no_pool` (set for sanitizers): recycling would
//! hide a use after free from them.
#![allow(unsafe_code)]

mod chunk;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

use self::chunk::Chunks;
use crate::primitive::unmodelled::{AtomicPtr, AtomicUsize, Ordering};

/// Classes of 16 bytes up to here, then of 64.
const FINE: usize = 256;
const LARGEST: usize = 1024;
const CLASSES: usize = FINE / 16 + (LARGEST - FINE) / 64;
/// Blocks in a full chain.
const CHAIN: usize = 64;
/// Places in the depot for each class: 16,384 free blocks at most.
const PLACES: usize = 256;
/// Blocks are aligned to this.
const ALIGN: usize = 16;

const fn class_of(layout: Layout) -> Option<usize> {
    if cfg!(filch_loom) || cfg!(filch_no_pool) || cfg!(miri) {
        return None;
    }
    if layout.align() > ALIGN || layout.size() > LARGEST {
        None
    } else if layout.size() <= FINE {
        Some(layout.size().div_ceil(16).saturating_sub(1))
    } else {
        Some(FINE / 16 - 1 + (layout.size() - FINE).div_ceil(64))
    }
}

const fn size_of_class(class: usize) -> usize {
    if class < FINE / 16 { (class + 1) * 16 } else { FINE + (class + 1 - FINE / 16) * 64 }
}

/// Memory for one cell.
#[inline]
pub(crate) fn allocate(layout: Layout) -> NonNull<u8> {
    match class_of(layout) {
        Some(class) => CACHE
            .try_with(|cache| cache.classes[class].take(class))
            // The thread is ending and its cache is gone.
            .unwrap_or_else(|_| take_chain(class).keep_first(class))
            .cast(),
        None => system_allocate(layout),
    }
}

/// As a `Box`, in recycled memory. For what comes and goes with a task: allocated on one thread, freed on
/// another, which glibc pays for with a lock (a member of a group of 1,000: 369 → 310 ns).
pub(crate) struct Boxed<T>(NonNull<T>);

// SAFETY: it owns its value, as a `Box` does.
unsafe impl<T: Send> Send for Boxed<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Boxed<T> {}

impl<T> Boxed<T> {
    pub(crate) fn new(value: T) -> Boxed<T> {
        const { assert!(size_of::<T>() > 0, "the allocator must not be asked for nothing") };
        let place = allocate(Layout::new::<T>()).cast::<T>();
        // SAFETY: `allocate` gave memory of this layout that nobody else has.
        unsafe { place.write(value) };
        Boxed(place)
    }

    pub(crate) fn into_raw(self) -> *mut T {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// # Safety
    /// It came from [`Boxed::into_raw`], and nobody else uses it any more.
    pub(crate) unsafe fn from_raw(value: NonNull<T>) -> Boxed<T> {
        Boxed(value)
    }
}

impl<T: Default> Default for Boxed<T> {
    fn default() -> Boxed<T> {
        Boxed::new(T::default())
    }
}

impl<T> Deref for Boxed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it owns the value, which lives until `drop`.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Boxed<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Boxed<T> {
    fn drop(&mut self) {
        /// Gives the memory back also if the value's drop panics.
        struct Block<T>(NonNull<T>);
        impl<T> Drop for Block<T> {
            fn drop(&mut self) {
                // SAFETY: it came from `allocate` with this layout; the value in it is gone.
                unsafe { deallocate(self.0.cast(), Layout::new::<T>()) };
            }
        }
        let block = Block(self.0);
        // SAFETY: it owns the value, and never uses it again.
        unsafe { block.0.drop_in_place() };
    }
}

impl<T: fmt::Debug> fmt::Debug for Boxed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Takes back what [`allocate`] gave for the same layout.
///
/// # Safety
/// `block` came from `allocate(layout)` and is not used any more.
#[inline]
pub(crate) unsafe fn deallocate(block: NonNull<u8>, layout: Layout) {
    match class_of(layout) {
        Some(class) => {
            let block = block.cast::<Block>();
            if CACHE.try_with(|cache| cache.classes[class].give(class, block)).is_err() {
                let mut chain = Chain::EMPTY;
                chain.push(block);
                give_chain(class, chain);
            }
        }
        // SAFETY: promised by the caller; without a class it came from the allocator.
        None => unsafe { system_free(block, layout) },
    }
}

/// (The allocator may be anybody's, and come back into this module.)
fn system_allocate(layout: Layout) -> NonNull<u8> {
    #[cfg(all(test, not(filch_loom), not(filch_no_pool)))]
    tests::inside_the_allocator();
    // SAFETY: a cell has at least its header, `Boxed` looks, and chunks are large: the size is not zero.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// # Safety
/// It came from `system_allocate(layout)` and is not used any more.
unsafe fn system_free(memory: NonNull<u8>, layout: Layout) {
    #[cfg(all(test, not(filch_loom), not(filch_no_pool)))]
    tests::inside_the_allocator();
    // SAFETY: promised by the caller.
    unsafe { dealloc(memory.as_ptr(), layout) };
}

/// A free block: what its first words hold while it is in a chain.
struct Block {
    next: *mut Block,
    /// In the first block of a chain that lies in the depot or is a spare: its length.
    len: usize,
}

const _: () = assert!(size_of::<Block>() <= size_of_class(0) && align_of::<Block>() <= ALIGN);

/// A chain that belongs to one thread. Not dropped but handed on.
#[derive(Clone, Copy)]
struct Chain {
    first: *mut Block,
    len: usize,
}

impl Chain {
    const EMPTY: Chain = Chain { first: ptr::null_mut(), len: 0 };

    fn pop(&mut self) -> Option<NonNull<Block>> {
        let block = NonNull::new(self.first)?;
        // SAFETY: the chain's blocks are free and the chain's alone. (There is no reference to a block: its `len` may
        // never have been written.)
        self.first = unsafe { (*block.as_ptr()).next };
        self.len -= 1;
        Some(block)
    }

    fn push(&mut self, block: NonNull<Block>) {
        // SAFETY: a free block that was just handed to us; at least 16 bytes.
        unsafe { (&raw mut (*block.as_ptr()).next).write(self.first) };
        self.first = block.as_ptr();
        self.len += 1;
    }

    /// For a thread without a cache.
    fn keep_first(mut self, class: usize) -> NonNull<Block> {
        let block = self.pop().expect("chains in the depot are not empty");
        give_chain(class, self);
        block
    }
}

/// One thread's free blocks of one size.
struct Class {
    chain: Cell<Chain>,
    spare: Cell<Chain>,
}

impl Class {
    #[inline]
    fn take(&self, class: usize) -> NonNull<Block> {
        let mut chain = self.chain.get();
        let block = chain.pop().unwrap_or_else(|| {
            chain = self.spare.replace(Chain::EMPTY);
            chain.pop().unwrap_or_else(|| {
                chain = self.refill(class);
                chain.pop().expect("chains in the depot are not empty")
            })
        });
        self.chain.set(chain);
        block
    }

    #[inline]
    fn give(&self, class: usize, block: NonNull<Block>) {
        let mut chain = self.chain.get();
        if chain.len >= CHAIN {
            // No block stands in two places while the allocator runs: it may come back here.
            self.chain.set(Chain::EMPTY);
            let spare = self.spare.replace(chain);
            give_chain(class, spare);
            chain = self.chain.get();
        }
        chain.push(block);
        self.chain.set(chain);
    }

    /// Both chains are empty.
    #[cold]
    fn refill(&self, class: usize) -> Chain {
        let chain = take_chain(class);
        // If the allocator came back here, the blocks it was given have left some.
        give_chain(class, self.chain.replace(Chain::EMPTY));
        chain
    }
}

struct Cache {
    classes: [Class; CLASSES],
}

thread_local! {
    static CACHE: Cache = const {
        Cache {
            classes: [const {
                Class { chain: Cell::new(Chain::EMPTY), spare: Cell::new(Chain::EMPTY) }
            }; CLASSES],
        }
    };
}

impl Drop for Cache {
    fn drop(&mut self) {
        for (class, lists) in self.classes.iter().enumerate() {
            give_chain(class, lists.chain.replace(Chain::EMPTY));
            give_chain(class, lists.spare.replace(Chain::EMPTY));
        }
    }
}

/// The chains of one class that no thread has.
struct Depot {
    places: [AtomicPtr<Block>; PLACES],
    /// About how many places are full: where to start looking.
    full: AtomicUsize,
    chunks: Chunks,
}

static DEPOTS: [Depot; CLASSES] = [const {
    Depot {
        places: [const { AtomicPtr::new(ptr::null_mut()) }; PLACES],
        full: AtomicUsize::new(0),
        chunks: Chunks::new(),
    }
}; CLASSES];

/// A chain from the depot, or a new one.
#[cold]
fn take_chain(class: usize) -> Chain {
    let depot = &DEPOTS[class];
    let full = depot.full.load(Ordering::Relaxed).min(PLACES);
    // From the top down: what was given last is likely still in a cache. The hint may be too
    // low, so the rest is looked at before new memory is carved.
    for place in depot.places[..full].iter().rev().chain(&depot.places[full..]) {
        if place.load(Ordering::Relaxed).is_null() {
            continue;
        }
        // Acquire: partner is the Release of `give_chain`: the links are visible. [depot-take]
        let first = place.swap(ptr::null_mut(), Ordering::Acquire);
        if !first.is_null() {
            // Only a hint, so it may go wrong by races; it is corrected as places are found
            // empty or full.
            depot.full.store(full.saturating_sub(1), Ordering::Relaxed);
            // SAFETY: the swap gave us the chain, whose first block knows its length.
            return Chain { first, len: unsafe { (*first).len } };
        }
    }
    depot.full.store(0, Ordering::Relaxed);
    depot.chunks.carve(size_of_class(class))
}

/// Puts a chain into the depot, or its blocks back into their chunks.
#[cold]
fn give_chain(class: usize, chain: Chain) {
    let Some(first) = NonNull::new(chain.first) else { return };
    // SAFETY: the chain's blocks are free and the chain's alone.
    unsafe { (&raw mut (*first.as_ptr()).len).write(chain.len) };
    let depot = &DEPOTS[class];
    let full = depot.full.load(Ordering::Relaxed).min(PLACES);
    for (i, place) in depot.places.iter().enumerate().skip(full) {
        let (null, new) = (ptr::null_mut(), first.as_ptr());
        // Release: partner is the Acquire of `take_chain`. [depot-give]
        if place.compare_exchange(null, new, Ordering::Release, Ordering::Relaxed).is_ok() {
            depot.full.store(i + 1, Ordering::Relaxed);
            return;
        }
    }
    depot.full.store(PLACES, Ordering::Relaxed);
    depot.chunks.give(size_of_class(class), chain);
}

#[cfg(all(test, not(filch_loom), not(filch_no_pool)))]
mod tests {
    use super::*;

    thread_local! {
        /// What the allocator does besides, once.
        static INSIDE: Cell<Option<fn()>> = const { Cell::new(None) };
    }

    /// Called where an allocator of the program's own would be.
    pub(super) fn inside_the_allocator() {
        if let Some(act) = INSIDE.take() {
            act();
        }
    }

    /// How many blocks of this size the allocator takes for itself, and where they are.
    fn takes_some<const SIZE: usize>() {
        let layout = Layout::from_size_align(SIZE, 16).unwrap();
        TAKEN.with_borrow_mut(|taken| taken.extend((0..3 * CHAIN).map(|_| allocate(layout))));
    }

    thread_local! {
        static TAKEN: std::cell::RefCell<Vec<NonNull<u8>>> = const { std::cell::RefCell::new(Vec::new()) };
    }

    #[test]
    fn an_allocator_that_comes_back_while_a_chunk_is_freed_gets_blocks_of_its_own() {
        const SIZE: usize = 704;
        let layout = Layout::from_size_align(SIZE, 16).unwrap();
        let blocks: Vec<_> = (0..3 * PLACES * CHAIN).map(|_| allocate(layout)).collect();
        INSIDE.set(Some(takes_some::<SIZE>));
        for block in blocks {
            // SAFETY: from `allocate`, once each.
            unsafe { deallocate(block, layout) };
        }
        let mut taken = TAKEN.take();
        assert_eq!(taken.len(), 3 * CHAIN, "the depot was full, and some chunk was freed");
        taken.extend((0..4 * CHAIN).map(|_| allocate(layout)));
        let distinct: std::collections::HashSet<_> = taken.iter().collect();
        assert_eq!(distinct.len(), taken.len(), "a block was given twice");
        for block in taken {
            // SAFETY: as above.
            unsafe { deallocate(block, layout) };
        }
    }

    #[test]
    fn an_allocator_that_comes_back_while_a_chunk_is_made_loses_none() {
        const SIZE: usize = 960;
        let layout = Layout::from_size_align(SIZE, 16).unwrap();
        let chunks = &DEPOTS[class_of(layout).unwrap()].chunks;
        INSIDE.set(Some(takes_some::<SIZE>));
        let mut blocks = vec![allocate(layout)];
        blocks.extend(TAKEN.take());
        assert_eq!((blocks.len(), chunks.count()), (1 + 3 * CHAIN, 2), "one each");
        // What is left of both.
        blocks.extend((blocks.len()..2100).map(|_| allocate(layout)));
        let distinct: std::collections::HashSet<_> = blocks.iter().collect();
        assert_eq!((distinct.len(), chunks.count()), (2100, 2));
        for block in blocks {
            // SAFETY: from `allocate`, once each.
            unsafe { deallocate(block, layout) };
        }
    }

    #[test]
    fn classes_cover_sizes_without_much_waste() {
        for size in 1..=LARGEST {
            let class = class_of(Layout::from_size_align(size, 8).unwrap()).unwrap();
            let given = size_of_class(class);
            assert!(given >= size, "{size} bytes in a block of {given}");
            assert!(given < size + if size <= FINE { 16 } else { 64 });
        }
        assert_eq!(class_of(Layout::from_size_align(LARGEST + 1, 8).unwrap()), None);
        assert_eq!(class_of(Layout::from_size_align(64, 64).unwrap()), None);
    }

    #[test]
    fn blocks_are_distinct_aligned_and_reused() {
        let layout = Layout::from_size_align(992, 16).unwrap();
        let mut blocks: Vec<_> = (0..1000).map(|_| allocate(layout)).collect();
        for (i, block) in blocks.iter().enumerate() {
            assert_eq!(block.as_ptr() as usize % ALIGN, 0);
            // SAFETY: 992 bytes of ours.
            unsafe { ptr::write_bytes(block.as_ptr(), i as u8, 992) };
        }
        for (i, block) in blocks.iter().enumerate() {
            // SAFETY: as above.
            let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), 992) };
            assert!(bytes.iter().all(|&b| b == i as u8), "block {i} was given twice");
        }
        let last = *blocks.last().unwrap();
        for block in blocks.drain(..) {
            // SAFETY: from `allocate`, once each.
            unsafe { deallocate(block, layout) };
        }
        assert_eq!(allocate(layout), last, "the block freed last is hot, so it comes first");
        // SAFETY: as above.
        unsafe { deallocate(last, layout) };
    }

    #[test]
    fn producers_and_consumers_trade_chains() {
        let layout = Layout::from_size_align(512, 16).unwrap();
        let (send, receive) = std::sync::mpsc::sync_channel::<usize>(1024);
        let consumer = std::thread::spawn(move || {
            for address in receive {
                // SAFETY: from `allocate` on the other side, sent once.
                unsafe { deallocate(NonNull::new(address as *mut u8).unwrap(), layout) };
            }
        });
        let mut seen = std::collections::HashSet::new();
        for _ in 0..100_000 {
            let block = allocate(layout).as_ptr() as usize;
            seen.insert(block);
            send.send(block).unwrap();
        }
        drop(send);
        consumer.join().unwrap();
        assert!(seen.len() < 10_000, "{} blocks for 1024 in flight", seen.len());
    }

    #[test]
    fn a_surplus_goes_back_to_the_system() {
        // More than the depot holds: the rest must be returned chunk by chunk, without a crash,
        // and be usable again.
        let layout = Layout::from_size_align(896, 16).unwrap();
        for _ in 0..2 {
            let blocks: Vec<_> = (0..3 * PLACES * CHAIN).map(|_| allocate(layout)).collect();
            for block in blocks {
                // SAFETY: from `allocate`, once each.
                unsafe { deallocate(block, layout) };
            }
        }
    }

    /// What went home is used again, although its chunk is held by blocks that stay in the depot.
    #[test]
    fn peaks_that_come_again_and_again_take_no_more_memory() {
        let layout = Layout::from_size_align(784, 16).unwrap();
        let class = class_of(layout).unwrap();
        let mut random = 1_u64;
        let mut chunks = Vec::new();
        for _ in 0..12 {
            let mut blocks: Vec<_> = (0..4 * PLACES * CHAIN).map(|_| allocate(layout)).collect();
            chunks.push(DEPOTS[class].chunks.count());
            // They come back in any order.
            for i in (1..blocks.len()).rev() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                blocks.swap(i, (random >> 33) as usize % (i + 1));
            }
            for block in blocks {
                // SAFETY: from `allocate`, once each.
                unsafe { deallocate(block, layout) };
            }
        }
        let (first, last) = (chunks[0], chunks[11]);
        assert!(first > 10 && last <= first + 1, "chunks at each peak: {chunks:?}");
    }
}
