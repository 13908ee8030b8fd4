//! What is due later: sorted coarsely, so that a million sleepers of an hour cost nothing.
//!
//! A timeout is nearly always cancelled long before it is due, so time spent on its order is
//! wasted. What is not due soon waits in one of 112 lists. Entering and leaving one takes a few
//! writes. Only when a list's time comes near are its slots looked at again: those due soon go on
//! to the heap, the others to a finer list.
//!
//! Time is cut into *units* of 2²³ ns (8 ms). `base` is the last unit that has been handed to the
//! heap; everything beyond is far. Write units in octal: a slot's *level* is the highest digit in
//! which its unit differs from `base`, and its bucket is (level, that digit). So:
//!
//! * Every slot of a level is due before every slot of a higher one, and within a level buckets are
//!   ordered by digit. The first bucket that is occupied is the earliest: one bit scan.
//! * Let `base` grow, and let *h* be the highest digit that changes. Levels above *h* stay right as
//!   they are. Levels below agree with the old base in digit *h*, where the new one is larger: all
//!   of that is near now. In level *h*, smaller digits are near, larger ones stay, and the equal
//!   one must be dealt out anew. So what has to be looked at is a prefix of the buckets.
//! * A slot is looked at once for each octal digit of its distance, at most: 7 times in an hour.
//!
//! Rejected: one far list with its earliest deadline remembered, walked whenever that comes near.
//! A million connections with timeouts spread over 30 s walk a million slots every time.
//!
//! The heap is to be small, or each step in it misses a cache. With units of 134 ms and a lead of 100 ms all of 100,000
//! sleeps of 1 to 50 ms were in the heap at once, and their registration and turns took 1.00 µs for each; with these
//! 0.79. (Medians of 7 on a busy machine, one thread, the wakers' destructors included. Units of 34 ms or 8 ms with a
//! lead of 4 ms: 0.60 and 0.62, but then less time is left for a bucket that is full.)

use crate::slab::{BUCKETS, MOVING, Slab};

/// 2²³ ns = 8 ms.
const UNIT_BITS: u32 = 23;
const DIGIT_BITS: u32 = 3;
const DIGITS: u32 = 1 << DIGIT_BITS;

const _: () = assert!((64 - UNIT_BITS).div_ceil(DIGIT_BITS) * DIGITS == BUCKETS);

/// How long before it is due a slot leaves its bucket (16 ms): time enough to deal out a bucket with
/// more slots than could be woken on time.
pub(crate) const LEAD: u64 = 16_000_000;

/// A bucket with no more slots than this is asked for its exact earliest deadline, so that a lone
/// sleeper costs no turn except the one that wakes it.
const FEW: usize = 16;

#[derive(Debug)]
pub(crate) struct Far {
    base: u64,
    /// One bit for each bucket that is not empty.
    occupied: u128,
}

fn unit(ns: u64) -> u64 {
    ns >> UNIT_BITS
}

impl Far {
    pub(crate) const fn new() -> Far {
        Far { base: 0, occupied: 0 }
    }

    /// Whether something due at `deadline` belongs here.
    #[inline]
    pub(crate) fn is_far(&self, deadline: u64) -> bool {
        unit(deadline) > self.base
    }

    #[inline]
    fn bucket(&self, unit: u64) -> u32 {
        let level = (unit ^ self.base).ilog2() / DIGIT_BITS;
        let digit = (unit >> (level * DIGIT_BITS)) as u32 % DIGITS;
        level * DIGITS + digit
    }

    /// Links a slot whose deadline [is far](Far::is_far).
    #[inline]
    pub(crate) fn link(&mut self, slab: &mut Slab, index: u32, deadline: u64) {
        let bucket = self.bucket(unit(deadline));
        self.occupied |= 1 << bucket;
        slab.push_back(bucket, index);
    }

    /// A slot has left and its list is empty now.
    #[inline]
    pub(crate) fn emptied(&mut self, list: u32) {
        if list < BUCKETS {
            self.occupied &= !(1 << list);
        }
    }

    /// Moves what may be due within [`LEAD`] to the list [`MOVING`], whole buckets at a time.
    pub(crate) fn advance(&mut self, slab: &mut Slab, now: u64) {
        let base = unit(now.saturating_add(LEAD));
        if base <= self.base {
            return;
        }
        let last = self.bucket(base);
        let mut due = self.occupied & (u128::MAX >> (127 - last));
        self.occupied &= !due;
        self.base = base;
        while due != 0 {
            slab.splice(due.trailing_zeros(), MOVING);
            due &= due - 1;
        }
    }

    /// When the next turn must look here, at the latest. Only asked after an
    /// [`advance`](Far::advance) to the present: the answer is later than that present.
    pub(crate) fn wake_at(&self, slab: &Slab) -> Option<u64> {
        let bucket = self.first()?;
        let mut slots = slab.iter(bucket).map(|slot| slot.deadline);
        let earliest = slots.by_ref().take(FEW).min();
        if slots.next().is_none() {
            return earliest;
        }
        let (level, digit) = (bucket / DIGITS, u64::from(bucket % DIGITS));
        let shift = level * DIGIT_BITS;
        let above = self.base >> (shift + DIGIT_BITS) << DIGIT_BITS;
        let start = ((above | digit) << shift) << UNIT_BITS;
        Some(start.saturating_sub(LEAD))
    }

    /// The earliest deadline here. Walks a whole bucket.
    pub(crate) fn earliest(&self, slab: &Slab) -> Option<u64> {
        slab.iter(self.first()?).map(|slot| slot.deadline).min()
    }

    fn first(&self) -> Option<u32> {
        (self.occupied != 0).then(|| self.occupied.trailing_zeros())
    }
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;
    use crate::clock::NEVER;

    /// A small generator, so that the test is the same each time.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn nothing_comes_late_and_wake_times_are_right() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for round in 0..200 {
            let (mut slab, mut far) = (Slab::new(), Far::new());
            let mut now = random(&mut state) >> (1 + round % 40);
            let mut left = 0;
            far.advance(&mut slab, now);
            for _ in 0..1 + random(&mut state) % 200 {
                let deadline = if random(&mut state) % 50 == 0 {
                    NEVER
                } else {
                    now.saturating_add(random(&mut state) >> (2 + random(&mut state) % 36))
                        .min(NEVER)
                };
                let index = slab.take();
                slab.get_mut(index).deadline = deadline;
                if far.is_far(deadline) {
                    far.link(&mut slab, index, deadline);
                    left += 1;
                } else {
                    assert!(deadline < now + LEAD + (1 << UNIT_BITS));
                }
            }
            while let Some(wake) = far.wake_at(&slab) {
                assert!(wake > now);
                assert!(wake <= far.earliest(&slab).unwrap());
                if wake == NEVER {
                    break;
                }
                // Sometimes the turner comes late.
                now = wake + if random(&mut state) % 3 == 0 { random(&mut state) >> 20 } else { 0 };
                far.advance(&mut slab, now);
                while let Some(index) = slab.first(MOVING) {
                    slab.unlink(index);
                    let deadline = slab.get(index).deadline;
                    if far.is_far(deadline) {
                        far.link(&mut slab, index, deadline);
                    } else {
                        left -= 1;
                    }
                }
                // Whatever is still here is not due before the lead.
                for bucket in 0..BUCKETS {
                    assert!(slab.iter(bucket).all(|slot| slot.deadline > now + LEAD));
                    assert_eq!(far.occupied >> bucket & 1 == 1, slab.first(bucket).is_some());
                }
            }
            let never = (0..BUCKETS).flat_map(|bucket| slab.iter(bucket)).count();
            assert_eq!(left, never);
        }
    }

    #[test]
    fn an_hour_is_few_steps() {
        let (mut slab, mut far) = (Slab::new(), Far::new());
        let mut now = 1_234_567_890_123;
        far.advance(&mut slab, now);
        let deadline = now + 3_600_000_000_000;
        for _ in 0..100 {
            let index = slab.take();
            slab.get_mut(index).deadline = deadline;
            far.link(&mut slab, index, deadline);
        }
        let mut steps = 0;
        while let Some(wake) = far.wake_at(&slab) {
            steps += 1;
            now = wake;
            far.advance(&mut slab, now);
            while let Some(index) = slab.first(MOVING) {
                slab.unlink(index);
                if far.is_far(deadline) {
                    far.link(&mut slab, index, deadline);
                }
            }
        }
        assert!(steps <= 6, "{steps}");
        assert!(deadline - now < LEAD + (1 << UNIT_BITS));
    }
}
