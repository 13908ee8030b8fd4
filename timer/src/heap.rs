//! The binary heap: what is due soon, in order.
//!
//! It holds references to slots, not timers, and a reference may be dead: its slot was cancelled,
//! moved to an earlier time, or is in use for something else. Taking one out of the middle of a
//! heap would cost a search; so the dead ones stay until they come up or until there are more of
//! them than live ones, when one pass throws all of them out. The shard knows which are dead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A reference to a slot. The order of the fields is the order of the heap: equal deadlines go by
/// sequence, which is the order in which they came from one shard: that of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Item {
    pub(crate) deadline: u64,
    pub(crate) seq: u64,
    pub(crate) shard: u32,
    pub(crate) slot: u32,
}

#[derive(Debug)]
pub(crate) struct Heap(BinaryHeap<Reverse<Item>>);

impl Heap {
    pub(crate) fn new() -> Heap {
        Heap(BinaryHeap::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.0.push(Reverse(item));
    }

    pub(crate) fn first(&self) -> Option<&Item> {
        self.0.peek().map(|item| &item.0)
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        self.0.pop().map(|item| item.0)
    }

    /// The first, if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<Item> {
        if self.first()?.deadline <= now { self.pop() } else { None }
    }

    /// Throws out what is not live, and gives back memory that has not been needed for long.
    pub(crate) fn compact(&mut self, mut live: impl FnMut(&Item) -> bool) {
        self.0.retain(|item| live(&item.0));
        self.trim();
    }

    /// Gives back memory if there is four times as much as needed.
    pub(crate) fn trim(&mut self) {
        if self.0.capacity() > 4096 && self.0.capacity() / 4 > self.0.len() {
            self.0.shrink_to(2 * self.0.len());
        }
    }
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    #[test]
    fn order_ties_and_memory() {
        let item = |deadline, seq| Item { deadline, seq, shard: 0, slot: 0 };
        let mut heap = Heap::new();
        for seq in 0..20_000 {
            heap.push(item(seq % 7, seq));
        }
        heap.compact(|item| item.seq < 100);
        assert_eq!(heap.len(), 100);
        assert!(heap.0.capacity() < 4096);
        let mut last = item(0, 0);
        while let Some(next) = heap.pop_due(5) {
            assert!((next.deadline, next.seq) >= (last.deadline, last.seq));
            last = next;
        }
        assert_eq!(heap.first().unwrap().deadline, 6);
        assert_eq!(size_of::<Item>(), 24);
    }
}
