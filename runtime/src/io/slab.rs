//! A place for each registration, found by number.
//!
//! Places are never freed while the driver lives, and never move: an event that comes late finds
//! a place, and its generation there tells that it is not meant. They stand in chunks, each twice as large as the one
//! before, so that finding one takes no lock.

use std::sync::OnceLock;

use super::readiness::Readiness;
use crate::primitive::Mutex;

/// Places in the first chunk. (In a model each costs time.)
const FIRST: usize = if cfg!(filch_loom) { 1 } else { 64 };
const CHUNKS: usize = 24;

pub(crate) struct Slab {
    chunks: [OnceLock<Box<[Readiness]>>; CHUNKS],
    free: Mutex<Free>,
}

struct Free {
    /// Places that were used before.
    again: Vec<u32>,
    /// How many places were ever used.
    used: u32,
    closed: bool,
}

impl Slab {
    pub(crate) fn new() -> Slab {
        let free = Free { again: Vec::new(), used: 0, closed: false };
        Slab { chunks: [const { OnceLock::new() }; CHUNKS], free: Mutex::new(free) }
    }

    /// A free place; `None` after [`Slab::close`].
    pub(crate) fn take(&self) -> Option<u32> {
        let mut free = self.free.lock();
        let closed = free.closed;
        #[cfg(filch_loom)] // A twin registers although nobody is there any more.
        let closed = closed && !crate::primitive::seeded("register-after-all");
        if closed {
            return None;
        }
        if let Some(index) = free.again.pop() {
            return Some(index);
        }
        let index = free.used;
        let (chunk, _) = split(index);
        self.chunks[chunk].get_or_init(|| (0..FIRST << chunk).map(|_| Readiness::new()).collect());
        free.used += 1;
        Some(index)
    }

    pub(crate) fn give_back(&self, index: u32) {
        self.free.lock().again.push(index);
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Readiness> {
        let (chunk, offset) = split(index);
        self.chunks.get(chunk)?.get()?.get(offset)
    }

    /// No more places; visits all there were.
    pub(crate) fn close(&self, mut visit: impl FnMut(&Readiness)) {
        let used = {
            let mut free = self.free.lock();
            free.closed = true;
            free.used
        };
        (0..used).filter_map(|index| self.get(index)).for_each(&mut visit);
    }

    /// How many are taken.
    pub(crate) fn len(&self) -> usize {
        let free = self.free.lock();
        free.used as usize - free.again.len()
    }
}

/// Chunk and offset.
fn split(index: u32) -> (usize, usize) {
    let shifted = index as usize + FIRST;
    let chunk = shifted.ilog2() - FIRST.ilog2();
    (chunk as usize, shifted - (FIRST << chunk))
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_index_has_a_place_of_its_own() {
        let mut expected = Vec::new();
        for chunk in 0..4 {
            expected.extend((0..FIRST << chunk).map(|offset| (chunk, offset)));
        }
        let found: Vec<_> = (0..expected.len() as u32).map(split).collect();
        assert_eq!(found, expected);
        assert!(split(u32::MAX).0 >= CHUNKS, "a number from elsewhere is refused, not followed");
    }

    #[test]
    fn places_are_used_again_and_none_is_given_after_the_end() {
        let slab = Slab::new();
        let taken: Vec<_> = (0..200).map(|_| slab.take().unwrap()).collect();
        assert_eq!(taken, (0..200).collect::<Vec<_>>());
        slab.give_back(77);
        assert_eq!((slab.len(), slab.take(), slab.take()), (199, Some(77), Some(200)));
        let mut visited = 0;
        slab.close(|_| visited += 1);
        assert_eq!((visited, slab.take()), (201, None));
    }
}
