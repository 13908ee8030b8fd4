//! Chunks: where new blocks are carved from, and where those go that nobody keeps.
//!
//! A chunk is aligned to its size, so a block finds it. One of which all blocks are at home is freed; from the others new
//! chains are made before another chunk is. (Blocks that had gone home once waited until all the others had. But there are always
//! some in the depot, and one keeps a whole chunk: in a soak of 13 minutes the heap at rest grew from 130 to 320 MB. Now it is
//! between 90 and 150.)
//!
//! All of that happens under a lock, which threads only try: most blocks never come here. Whoever brings blocks and finds it
//! taken leaves them on a stack, for the next one; whoever needs some and does not get it for a while makes a chunk of
//! its own. So nobody waits for a thread that is preempted, or for one that a fork has left behind.
//!
//! 1 MiB: with 256 KiB a sleeping task takes 3 bytes more, because the allocator touches pages around each chunk.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::{ALIGN, Block, CHAIN, Chain, system_allocate, system_free};
use crate::primitive::unmodelled::{AtomicPtr, AtomicUsize, Ordering};
use crate::sys;

const CHUNK: usize = 1024 * 1024;
const LAYOUT: Layout = match Layout::from_size_align(CHUNK, CHUNK) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};
/// How often a thread that needs blocks tries the lock.
const TRIES: u32 = 64;

/// The head of a chunk; the blocks follow it. Whoever has the lock of its class may touch it.
struct Chunk {
    /// Blocks that are at home.
    free: Chain,
    /// So many blocks were handed out once; the others were never touched.
    carved: usize,
    /// Its neighbours among those that have blocks to give.
    previous: *mut Chunk,
    next: *mut Chunk,
}

/// The head takes this much, so that the first block is aligned.
const HEAD: usize = size_of::<Chunk>().next_multiple_of(ALIGN);

const fn blocks_in_chunk(size: usize) -> usize {
    (CHUNK - HEAD) / size
}

/// All chunks of one class.
pub(super) struct Chunks {
    open: Mutex<Open>,
    /// Blocks that were brought while somebody else had the lock.
    late: AtomicPtr<Block>,
    /// How many chunks there are.
    count: AtomicUsize,
}

/// Those that have blocks to give.
struct Open {
    first: *mut Chunk,
}

// SAFETY: it owns what its pointer leads to.
unsafe impl Send for Open {}

impl Chunks {
    pub(super) const fn new() -> Chunks {
        Chunks {
            open: Mutex::new(Open { first: ptr::null_mut() }),
            late: AtomicPtr::new(ptr::null_mut()),
            count: AtomicUsize::new(0),
        }
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Open>> {
        match self.open.try_lock() {
            Ok(open) => Some(open),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Up to 64 blocks of this size, at least one.
    pub(super) fn carve(&self, size: usize) -> Chain {
        for _ in 0..TRIES {
            if let Some(mut open) = self.try_lock() {
                let empty = open.take_home(self.take_late(), size);
                let chain = open.carve(size, || self.new_chunk());
                drop(open);
                self.free(empty);
                return chain;
            }
            std::thread::yield_now();
        }
        // What others have left on the stack belongs to nobody. (If a fork has left the lock behind, all that this
        // process brings home from now on is there.)
        let late = self.take_late();
        if late.len > 0 {
            return late;
        }
        // It cannot be entered anywhere, so all of it is handed out at once.
        let chunk = self.new_chunk();
        // SAFETY: it is ours.
        unsafe { carve_fresh(chunk, size, blocks_in_chunk(size)) }
    }

    /// They are at home again.
    pub(super) fn give(&self, size: usize, mut chain: Chain) {
        if let Some(mut open) = self.try_lock() {
            let mut empty = open.take_home(chain, size);
            append(&mut empty, open.take_home(self.take_late(), size));
            drop(open);
            self.free(empty);
            return;
        }
        while let Some(block) = chain.pop() {
            let mut first = self.late.load(Ordering::Relaxed);
            loop {
                // SAFETY: a free block that is ours.
                unsafe { (&raw mut (*block.as_ptr()).next).write(first) };
                let (new, relaxed) = (block.as_ptr(), Ordering::Relaxed);
                // Release: partner is the Acquire of `take_late`: the link is visible. [late-give]
                match self.late.compare_exchange_weak(first, new, Ordering::Release, relaxed) {
                    Ok(_) => break,
                    Err(found) => first = found,
                }
            }
        }
    }

    fn take_late(&self) -> Chain {
        if self.late.load(Ordering::Relaxed).is_null() {
            return Chain::EMPTY;
        }
        // Acquire: partner is the Release of `give`. [late-take]
        let first = self.late.swap(ptr::null_mut(), Ordering::Acquire);
        let (mut len, mut block) = (0, first);
        while let Some(next) = NonNull::new(block) {
            len += 1;
            // SAFETY: the swap gave us the blocks, and each was linked before it was pushed. (No reference: see `Chain::pop`.)
            block = unsafe { (*next.as_ptr()).next };
        }
        Chain { first, len }
    }

    fn new_chunk(&self) -> NonNull<Chunk> {
        let chunk = system_allocate(LAYOUT).cast::<Chunk>();
        self.count.fetch_add(1, Ordering::Relaxed);
        let (previous, next) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: new memory, large enough and aligned.
        unsafe { chunk.write(Chunk { free: Chain::EMPTY, carved: 0, previous, next }) };
        chunk
    }

    /// Outside the lock.
    fn free(&self, mut chunks: *mut Chunk) {
        while let Some(chunk) = NonNull::new(chunks) {
            self.count.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: all blocks are at home, and the chunk was taken out of its list: nobody knows it any more.
            unsafe {
                chunks = chunk.as_ref().next;
                // The allocator keeps freed memory of this size; its pages need not stay.
                sys::discard(chunk.cast(), CHUNK);
                system_free(chunk.cast(), LAYOUT);
            }
        }
    }

    #[cfg(all(test, not(filch_loom), not(filch_no_pool)))]
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Open {
    fn carve(&mut self, size: usize, new_chunk: impl FnOnce() -> NonNull<Chunk>) -> Chain {
        let chunk = NonNull::new(self.first).unwrap_or_else(|| {
            let chunk = new_chunk();
            // SAFETY: it is new, and stands in no list.
            unsafe { self.enter(chunk) };
            chunk
        });
        // SAFETY: we have the lock, so the head is ours, and so are the blocks that are at home.
        unsafe {
            let head = chunk.as_ptr();
            let mut chain = Chain::EMPTY;
            while chain.len < CHAIN {
                let Some(block) = (*head).free.pop() else { break };
                chain.push(block);
            }
            if chain.len == 0 {
                chain = carve_fresh(chunk, size, CHAIN);
            }
            if (*head).free.len == 0 && (*head).carved == blocks_in_chunk(size) {
                self.leave(chunk);
            }
            chain
        }
    }

    /// Each of the blocks goes to its chunk. The answer: chunks of which nothing is out any more, linked by `next`.
    fn take_home(&mut self, mut chain: Chain, size: usize) -> *mut Chunk {
        let mut empty = ptr::null_mut();
        while let Some(block) = chain.pop() {
            // Every block lies in a chunk that is aligned to its size.
            let chunk = block.as_ptr().map_addr(|addr| addr & !(CHUNK - 1)).cast::<Chunk>();
            let chunk = NonNull::new(chunk).expect("chunks are not at address zero");
            // SAFETY: we have the lock; the block kept its chunk alive until here.
            unsafe {
                let head = chunk.as_ptr();
                let was_shut = (*head).free.len == 0 && (*head).carved == blocks_in_chunk(size);
                (*head).free.push(block);
                if was_shut {
                    self.enter(chunk);
                }
                if (*head).free.len == (*head).carved {
                    self.leave(chunk);
                    (*head).next = empty;
                    empty = head;
                }
            }
        }
        empty
    }

    /// # Safety
    /// The chunk is of this class, and not in the list.
    unsafe fn enter(&mut self, chunk: NonNull<Chunk>) {
        // SAFETY: we have the lock, and those in the list are alive.
        unsafe {
            (*chunk.as_ptr()).previous = ptr::null_mut();
            (*chunk.as_ptr()).next = self.first;
            if let Some(next) = NonNull::new(self.first) {
                (*next.as_ptr()).previous = chunk.as_ptr();
            }
        }
        self.first = chunk.as_ptr();
    }

    /// # Safety
    /// The chunk is in the list.
    unsafe fn leave(&mut self, chunk: NonNull<Chunk>) {
        // SAFETY: as above.
        unsafe {
            let (previous, next) = ((*chunk.as_ptr()).previous, (*chunk.as_ptr()).next);
            match NonNull::new(previous) {
                Some(previous) => (*previous.as_ptr()).next = next,
                None => self.first = next,
            }
            if let Some(next) = NonNull::new(next) {
                (*next.as_ptr()).previous = previous;
            }
        }
    }
}

/// Up to so many blocks that were never handed out.
///
/// # Safety
/// The head of the chunk is the caller's, and its blocks have this size.
unsafe fn carve_fresh(chunk: NonNull<Chunk>, size: usize, most: usize) -> Chain {
    // SAFETY: promised by the caller.
    let start = unsafe { (*chunk.as_ptr()).carved };
    let end = (start + most).min(blocks_in_chunk(size));
    let mut chain = Chain::EMPTY;
    // Backwards, so that the chain hands them out in the order of their addresses.
    for i in (start..end).rev() {
        // SAFETY: within the chunk, and carved once.
        let block = unsafe { chunk.cast::<u8>().add(HEAD + i * size) };
        chain.push(block.cast());
    }
    // SAFETY: as above.
    unsafe { (*chunk.as_ptr()).carved = end };
    chain
}

fn append(chunks: &mut *mut Chunk, mut others: *mut Chunk) {
    while let Some(chunk) = NonNull::new(others) {
        // SAFETY: both are lists of chunks that nobody else knows.
        unsafe {
            others = chunk.as_ref().next;
            (*chunk.as_ptr()).next = *chunks;
        }
        *chunks = chunk.as_ptr();
    }
}

#[cfg(all(test, not(filch_loom), not(filch_no_pool)))]
mod tests {
    use super::*;

    /// As in the child of a fork, if some other thread had the lock then.
    #[test]
    fn what_comes_home_while_the_lock_is_lost_is_used_again() {
        static CHUNKS: Chunks = Chunks::new();
        std::mem::forget(CHUNKS.open.lock().unwrap());
        let mut chain = CHUNKS.carve(96);
        assert_eq!((chain.len, CHUNKS.count()), (blocks_in_chunk(96), 1));
        for _ in 0..3 {
            let len = chain.len;
            CHUNKS.give(96, chain);
            chain = CHUNKS.carve(96);
            assert_eq!((chain.len, CHUNKS.count()), (len, 1), "the same blocks");
        }
    }

    /// Threads that fetch and bring as they like, and get into each other's way: no block is given twice, all chunks are freed in the end.
    #[test]
    fn chunks_are_freed_when_all_threads_have_brought_all_blocks_home() {
        static CHUNKS: Chunks = Chunks::new();
        const SIZE: usize = 992;
        let thread = |seed: u64| {
            let mut random = seed;
            let mut draw = |below: usize| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) as usize % below
            };
            let mut mine: Vec<NonNull<u64>> = Vec::new();
            for round in 0..600 {
                if draw(2) == 0 && round < 500 {
                    let mut chain = CHUNKS.carve(SIZE);
                    while let Some(block) = chain.pop() {
                        // SAFETY: a block of 992 bytes that is ours.
                        unsafe { block.cast::<u64>().add(2).write(seed) };
                        mine.push(block.cast());
                    }
                }
                let mut chain = Chain::EMPTY;
                for _ in 0..draw(100).min(mine.len()) {
                    let block = mine.swap_remove(draw(mine.len()));
                    // SAFETY: as above.
                    let owner = unsafe { block.add(2).read() };
                    assert_eq!(owner, seed, "it is another thread's as well");
                    chain.push(block.cast());
                }
                CHUNKS.give(SIZE, chain);
            }
            let mut chain = Chain::EMPTY;
            mine.into_iter().for_each(|block| chain.push(block.cast()));
            CHUNKS.give(SIZE, chain);
        };
        std::thread::scope(|scope| (1..=4).for_each(|seed| _ = scope.spawn(move || thread(seed))));
        // (What came last may be late.)
        CHUNKS.give(SIZE, Chain::EMPTY);
        assert_eq!(CHUNKS.count(), 0);
        let open = CHUNKS.open.lock().unwrap().first;
        assert!(open.is_null() && CHUNKS.late.load(Ordering::Relaxed).is_null());
    }
}
