//! Where pending timers live: slots of 32 bytes in chunks that come and go.
//!
//! A slot belongs to one [`Entry`](crate::Entry), from its registration until the entry gives it
//! back, also after it has fired: so an entry's slot number is never stale. (The heap's references
//! can be, and carry the slot's sequence number to find out.) Chunks never move, so growing copies
//! nothing, and one that has become all free goes back to the allocator.
//!
//! A slot that waits is in one circular, doubly linked list; so leaving takes two writes and
//! no knowledge of which list it is. The lists' heads are the first slots of the first chunk.
//!
//! Who is in the heap is in no list, and the other way round. So the two links of a list and the
//! number by which the heap knows a slot again share eight bytes. (With the number beside them, given
//! at the registration, a slot has 40.)

use std::task::Waker;

/// Lists: the far buckets (see `far.rs`), then these.
pub(crate) const BUCKETS: u32 = 112;
/// Registered since the last turn and due soon.
pub(crate) const INTAKE: u32 = BUCKETS;
/// Taken from far buckets that have come near, not yet looked at one by one.
pub(crate) const MOVING: u32 = BUCKETS + 1;
const HEADS: u32 = BUCKETS + 2;

/// `prev` of a slot in no list, because the heap knows it: this, and the upper bits of the number
/// that the heap knows it by. The lower ones are in `next`.
const IN_HEAP: u32 = 1 << 31;
/// `prev` of a slot in no list, because its waker has been taken.
const FIRED: u32 = u32::MAX;
/// `prev` of a slot that belongs to nobody.
const FREE: u32 = u32::MAX - 1;
/// The end of a chain of free slots.
const NONE: u32 = u32::MAX;
/// The numbers that the heap knows slots by have so many bits: enough for one in each nanosecond of 146 years.
const SEQ_BITS: u32 = 62;
/// No slot has the number of a mark.
const LEAST_MARK: u32 = IN_HEAP;

const CHUNK: u32 = 256;

pub(crate) struct Slot {
    pub(crate) waker: Option<Waker>,
    pub(crate) deadline: u64,
    prev: u32,
    next: u32,
}

impl Slot {
    pub(crate) fn in_heap(&self) -> bool {
        self.prev >> 30 == IN_HEAP >> 30
    }

    /// In the heap by this number? It breaks ties, and tells a reference whether the slot still
    /// holds what it was made for.
    fn is_in_heap_as(&self, seq: u64) -> bool {
        self.in_heap() && (u64::from(self.prev ^ IN_HEAP) << 32 | u64::from(self.next)) == seq
    }

    pub(crate) fn fired(&self) -> bool {
        self.prev == FIRED
    }

    /// For a slot that is in no list.
    pub(crate) fn set_in_heap(&mut self, seq: u64) {
        debug_assert!(seq >> SEQ_BITS == 0);
        self.prev = IN_HEAP | (seq >> 32) as u32;
        self.next = seq as u32;
    }

    /// For a slot that is in no list, or whose list is never looked at again.
    pub(crate) fn set_fired(&mut self) {
        self.prev = FIRED;
    }
}

struct Chunk {
    /// None if the chunk was given back.
    slots: Option<Box<[Slot; CHUNK as usize]>>,
    /// The first free slot, and on through `next`; `NONE` ends.
    free: u32,
    live: u32,
    /// Where in [`Slab::open`] this chunk is, if it has a free slot.
    open_at: u32,
}

pub(crate) struct Slab {
    chunks: Vec<Chunk>,
    /// Numbers of the chunks that have free slots; the last one gives.
    open: Vec<u32>,
    /// Numbers of the chunks that were given back.
    vacant: Vec<u32>,
    free: usize,
    live: usize,
}

impl Slab {
    pub(crate) const fn new() -> Slab {
        Slab { chunks: Vec::new(), open: Vec::new(), vacant: Vec::new(), free: 0, live: 0 }
    }

    /// How many slots belong to an entry.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// How many slots memory is held for.
    pub(crate) fn capacity(&self) -> usize {
        (self.chunks.len() - self.vacant.len()) * CHUNK as usize
    }

    pub(crate) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The slots of one chunk, heads excepted, for shutdown's walk.
    pub(crate) fn chunk_mut(&mut self, chunk: usize) -> &mut [Slot] {
        let heads = if chunk == 0 { HEADS as usize } else { 0 };
        self.chunks[chunk].slots.as_mut().map_or(&mut [], |slots| &mut slots[heads..])
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> &Slot {
        match &self.chunks[(index / CHUNK) as usize].slots {
            Some(slots) => &slots[(index % CHUNK) as usize],
            None => gone(),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut Slot {
        match &mut self.chunks[(index / CHUNK) as usize].slots {
            Some(slots) => &mut slots[(index % CHUNK) as usize],
            None => gone(),
        }
    }

    /// The slot, if it is still what the heap's reference was made for.
    #[inline]
    pub(crate) fn find_in_heap(&mut self, index: u32, seq: u64) -> Option<&mut Slot> {
        let chunk = self.chunks.get_mut((index / CHUNK) as usize)?;
        let slot = &mut chunk.slots.as_mut()?[(index % CHUNK) as usize];
        slot.is_in_heap_as(seq).then_some(slot)
    }

    /// A free slot, in no list.
    #[inline]
    pub(crate) fn take(&mut self) -> u32 {
        let number = match self.open.last() {
            Some(&number) => number,
            None => self.grow(),
        };
        let chunk = &mut self.chunks[number as usize];
        let Some(slots) = &mut chunk.slots else { gone() };
        let index = chunk.free;
        chunk.free = slots[(index % CHUNK) as usize].next;
        chunk.live += 1;
        if chunk.free == NONE {
            self.open.pop();
        }
        self.free -= 1;
        self.live += 1;
        index
    }

    /// Takes back a slot that is in no list. The waker is the caller's to drop, without locks.
    #[inline]
    pub(crate) fn give(&mut self, index: u32) -> Option<Waker> {
        let number = index / CHUNK;
        let chunk = &mut self.chunks[number as usize];
        let Some(slots) = &mut chunk.slots else { gone() };
        let slot = &mut slots[(index % CHUNK) as usize];
        let waker = slot.waker.take();
        slot.prev = FREE;
        // In front: the slot that was used last is the one that is still in the cache.
        slot.next = chunk.free;
        if chunk.free == NONE {
            chunk.open_at = self.open.len() as u32;
            self.open.push(number);
        }
        chunk.free = index;
        chunk.live -= 1;
        self.free += 1;
        self.live -= 1;
        // Another chunk's worth must stay, or a slot taken and given in turn would make and free a
        // chunk each time. The first chunk holds the lists' heads.
        if chunk.live == 0 && number != 0 && self.free >= 2 * CHUNK as usize {
            self.shrink(number);
        }
        waker
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        let number = self.vacant.pop().unwrap_or(self.chunks.len() as u32);
        let first = number.checked_mul(CHUNK).filter(|&first| first < LEAST_MARK - CHUNK);
        let first = first.expect("more than two billion timers in one shard");
        let heads = if number == 0 { HEADS } else { 0 };
        let end = first + CHUNK;
        let slots: Vec<Slot> = (first..end)
            .map(|index| {
                // A head is an empty circle, another slot a link of the chain of free ones.
                let (prev, next) = match index {
                    _ if index < heads => (index, index),
                    _ if index + 1 == end => (FREE, NONE),
                    _ => (FREE, index + 1),
                };
                Slot { waker: None, deadline: 0, prev, next }
            })
            .collect();
        let chunk = Chunk {
            slots: slots.into_boxed_slice().try_into().ok(),
            free: first + heads,
            live: 0,
            open_at: self.open.len() as u32,
        };
        if number as usize == self.chunks.len() {
            self.chunks.push(chunk);
        } else {
            self.chunks[number as usize] = chunk;
        }
        self.open.push(number);
        self.free += (CHUNK - heads) as usize;
        number
    }

    #[cold]
    fn shrink(&mut self, number: u32) {
        let chunk = &mut self.chunks[number as usize];
        chunk.slots = None;
        let at = chunk.open_at;
        self.open.swap_remove(at as usize);
        if let Some(&moved) = self.open.get(at as usize) {
            self.chunks[moved as usize].open_at = at;
        }
        self.free -= CHUNK as usize;
        self.vacant.push(number);
    }

    #[inline]
    pub(crate) fn push_back(&mut self, list: u32, index: u32) {
        self.link(self.get(list).prev, index, list);
    }

    #[inline]
    fn link(&mut self, prev: u32, index: u32, next: u32) {
        self.get_mut(prev).next = index;
        self.get_mut(next).prev = index;
        let slot = self.get_mut(index);
        slot.prev = prev;
        slot.next = next;
    }

    /// Takes a slot out of its list; returns the list if it is empty now.
    #[inline]
    pub(crate) fn unlink(&mut self, index: u32) -> Option<u32> {
        let slot = self.get(index);
        let (prev, next) = (slot.prev, slot.next);
        self.get_mut(prev).next = next;
        self.get_mut(next).prev = prev;
        (prev == next).then_some(prev)
    }

    /// Appends all of one list to another.
    pub(crate) fn splice(&mut self, from: u32, to: u32) {
        let (first, last) = (self.get(from).next, self.get(from).prev);
        if first == from {
            return;
        }
        let tail = self.get(to).prev;
        self.get_mut(tail).next = first;
        self.get_mut(first).prev = tail;
        self.get_mut(last).next = to;
        self.get_mut(to).prev = last;
        let head = self.get_mut(from);
        head.prev = from;
        head.next = from;
    }

    /// The first of a list.
    pub(crate) fn first(&self, list: u32) -> Option<u32> {
        // Nothing was ever registered: there are not even heads.
        if self.chunks.is_empty() {
            return None;
        }
        let first = self.get(list).next;
        (first != list).then_some(first)
    }

    /// The slots of a list, in order.
    pub(crate) fn iter(&self, list: u32) -> impl Iterator<Item = &Slot> {
        let mut at = self.first(list);
        std::iter::from_fn(move || {
            let slot = self.get(at?);
            at = (slot.next != list).then_some(slot.next);
            Some(slot)
        })
    }
}

#[cold]
fn gone() -> ! {
    unreachable!("a slot in use keeps its chunk")
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_small() {
        assert_eq!(size_of::<Slot>(), 16 + 8 + 8);
    }

    #[test]
    fn the_heap_knows_a_slot_again_by_all_bits_of_its_number() {
        let mut slab = Slab::new();
        let slot = slab.take();
        let seqs = [0, 1, u64::from(u32::MAX), 1 << 32, (1 << SEQ_BITS) - 1];
        for seq in seqs {
            slab.get_mut(slot).set_in_heap(seq);
            for other in seqs {
                assert_eq!(slab.find_in_heap(slot, other).is_some(), other == seq, "{seq} {other}");
            }
        }
        slab.get_mut(slot).set_fired();
        assert!(seqs.iter().all(|&seq| slab.find_in_heap(slot, seq).is_none()));
        slab.push_back(INTAKE, slot);
        assert!(!slab.get(slot).in_heap() && !slab.get(slot).fired());
        slab.unlink(slot);
        slab.give(slot);
        assert!(seqs.iter().all(|&seq| slab.find_in_heap(slot, seq).is_none()));
    }

    #[test]
    fn chunks_come_and_go() {
        let mut slab = Slab::new();
        assert_eq!(slab.capacity(), 0);
        let slots: Vec<u32> = (0..10_000).map(|_| slab.take()).collect();
        assert_eq!(slab.live(), 10_000);
        assert!(slab.capacity() < 10_000 + 2 * CHUNK as usize);
        let mut unique = slots.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), slots.len());
        assert!(unique[0] >= HEADS);
        for &slot in &slots {
            slab.give(slot);
        }
        assert_eq!(slab.live(), 0);
        assert!(slab.capacity() <= 3 * CHUNK as usize, "{}", slab.capacity());
        // The numbers of chunks that were given back are used again.
        let chunks = slab.chunks();
        let again: Vec<u32> = (0..10_000).map(|_| slab.take()).collect();
        assert_eq!(slab.chunks(), chunks);
        for slot in again {
            slab.give(slot);
        }
    }

    #[test]
    fn lists_keep_order_through_unlink_and_splice() {
        let mut slab = Slab::new();
        let slots: Vec<u32> = (0..6).map(|_| slab.take()).collect();
        for (at, &slot) in slots.iter().enumerate() {
            slab.get_mut(slot).deadline = at as u64;
            slab.push_back(if at < 4 { INTAKE } else { MOVING }, slot);
        }
        let deadlines =
            |slab: &Slab, list| slab.iter(list).map(|slot| slot.deadline).collect::<Vec<_>>();
        assert_eq!(slab.unlink(slots[1]), None);
        assert_eq!(deadlines(&slab, INTAKE), [0, 2, 3]);
        slab.splice(MOVING, INTAKE);
        assert_eq!(deadlines(&slab, INTAKE), [0, 2, 3, 4, 5]);
        assert_eq!(slab.first(MOVING), None);
        slab.splice(MOVING, INTAKE);
        for at in [5, 0, 3, 4] {
            assert_eq!(slab.unlink(slots[at]), None);
        }
        assert_eq!(slab.unlink(slots[2]), Some(INTAKE));
    }
}
