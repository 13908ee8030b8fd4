//! The heap: what is due soon, in order.
//!
//! It has two parts, and what is next is the earlier of their firsts. Single items are pushed onto a binary heap. But most of
//! what a busy timer has comes many at a time, from a bucket (see `far.rs`): that is sorted once, merged with what is left
//! of those before, and then taken from the end, one beside the other, where a heap goes down through all its levels and misses the
//! cache in most of them. (The turns for 100,000 sleeps of 1 to 50 ms, with one thread, for each sleep: 292 → 168 ns; for a million
//! 1100 → 262, for 10,000 61 → 53, for 1,000 of up to 20 ms 49 → 36. The lower twentieth of at least 12 interleaved rounds on a busy
//! machine. In the runtime's *100,000 sleeps* about a twentieth of the processor time is saved.)
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

/// What comes in so many at a time, and is no small part of what is there, is sorted instead of pushed.
const MANY: usize = 64;
/// No small part: so many times as much would be all. It bounds how often an item is moved.
const PART: usize = 4;

#[derive(Debug)]
pub(crate) struct Heap {
    /// The latest first, so that what is due next is taken from the end.
    sorted: Vec<Item>,
    single: BinaryHeap<Reverse<Item>>,
}

impl Heap {
    pub(crate) fn new() -> Heap {
        Heap { sorted: Vec::new(), single: BinaryHeap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.sorted.len() + self.single.len()
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.single.push(Reverse(item));
    }

    /// All of them; `items` is empty afterwards.
    pub(crate) fn append(&mut self, items: &mut Vec<Item>) {
        if items.len() < MANY || items.len() < self.sorted.len() / PART {
            return self.single.extend(items.drain(..).map(Reverse));
        }
        self.sorted.append(items);
        // (It finds out that most of it is in order, and merges the rest.)
        self.sorted.sort_by(|a, b| b.cmp(a));
    }

    pub(crate) fn first(&self) -> Option<&Item> {
        match (self.sorted.last(), self.single.peek()) {
            (Some(sorted), Some(Reverse(single))) => Some(sorted.min(single)),
            (sorted, single) => sorted.or(single.map(|item| &item.0)),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        match (self.sorted.last(), self.single.peek()) {
            (Some(sorted), Some(Reverse(single))) if single < sorted => {}
            (Some(_), _) => return self.sorted.pop(),
            (None, _) => {}
        }
        self.single.pop().map(|item| item.0)
    }

    /// The first, if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<Item> {
        if self.first()?.deadline <= now { self.pop() } else { None }
    }

    /// Throws out what is not live, and gives back memory that has not been needed for long.
    pub(crate) fn compact(&mut self, mut live: impl FnMut(&Item) -> bool) {
        self.sorted.retain(|item| live(item));
        self.single.retain(|item| live(&item.0));
        self.trim();
    }

    /// Gives back memory if there is four times as much as needed.
    pub(crate) fn trim(&mut self) {
        let (sorted, single) = (self.sorted.len(), self.single.len());
        if self.sorted.capacity() > 4096 && self.sorted.capacity() / 4 > sorted {
            self.sorted.shrink_to(2 * sorted);
        }
        if self.single.capacity() > 4096 && self.single.capacity() / 4 > single {
            self.single.shrink_to(2 * single);
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
        assert!(heap.single.capacity() < 4096);
        let mut last = item(0, 0);
        while let Some(next) = heap.pop_due(5) {
            assert!((next.deadline, next.seq) >= (last.deadline, last.seq));
            last = next;
        }
        assert_eq!(heap.first().unwrap().deadline, 6);
        assert_eq!(size_of::<Item>(), 24);
    }

    /// Singles and many at a time, taken out in between: as from one sorted list.
    #[test]
    fn what_is_sorted_and_what_is_pushed_come_out_in_one_order() {
        let mut random = 1_u64;
        let mut seq = 0;
        let mut some = |count: usize| -> Vec<Item> {
            std::iter::repeat_with(|| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seq += 1;
                Item { deadline: (random >> 33) % 5000, seq, shard: 0, slot: 0 }
            })
            .take(count)
            .collect()
        };
        let (mut heap, mut all) = (Heap::new(), Vec::new());
        for (round, count) in
            [1, 40_000, 3, 70, 10_000, 63, 64, 20_000, 500].into_iter().enumerate()
        {
            let mut items = some(count);
            all.extend_from_slice(&items);
            heap.append(&mut items);
            assert!(items.is_empty());
            all.sort();
            heap.compact(|item| item.seq % 10 != 7);
            all.retain(|item| item.seq % 10 != 7);
            for expected in all.drain(..all.len() / 3) {
                assert_eq!(heap.first(), Some(&expected), "in round {round}");
                assert_eq!(heap.pop(), Some(expected));
            }
            assert_eq!(heap.len(), all.len());
        }
        for expected in all {
            assert_eq!(heap.pop_due(4999), Some(expected));
        }
        heap.trim();
        assert_eq!((heap.pop(), heap.len()), (None, 0));
        assert!(heap.sorted.capacity() < 4096);
    }
}
