//! What a worker counts: numbers that it alone writes, and anybody may read.
//!
//! A count is an ordinary load, an addition and an ordinary store: one instruction on x86-64, on a cache line that the
//! worker has to itself. Nothing is handed over by these numbers, so nothing is ordered; one reader may see
//! a poll counted and the steal that brought its task not yet.
//!
//! No model looks at them: no wake-up depends on one.

use super::Scheduler;
use super::sleep::notify_fence;
use crate::primitive::unmodelled::{AtomicU64, Ordering};
use crate::task::Ending;

/// Written by one thread, or under one lock.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        // The only writer: no read-modify-write needed.
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One worker's numbers, but for its polls, which the monitor watches (see [`table`](super::table)). What is counted
/// often comes first, and stands beside those.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Tally {
    pub(crate) from_slot: Count,
    pub(crate) finished: Count,
    pub(crate) cancelled: Count,
    pub(crate) panicked: Count,
    pub(crate) injected: Count,
    pub(crate) due: Count,
    pub(crate) steals: Count,
    pub(crate) stolen: Count,
    pub(crate) parks: Count,
    pub(crate) turns: Count,
    pub(crate) events: Count,
    /// Boxed, because they would spread the rest over a dozen cache lines.
    pub(crate) poll_time: Box<Spread>,
    pub(crate) wake_to_poll: Box<Spread>,
}

impl Tally {
    #[inline]
    pub(crate) fn ended(&self, ending: Ending) {
        let count = match ending {
            Ending::Finished => &self.finished,
            Ending::Cancelled => &self.cancelled,
            Ending::Panicked => &self.panicked,
        };
        count.add(1);
    }
}

/// As many as there are powers of two of nanoseconds up to 9 minutes.
pub(crate) const BUCKETS: usize = 40;

/// How durations are spread over powers of two.
#[derive(Debug)]
pub(crate) struct Spread {
    pub(crate) buckets: [Count; BUCKETS],
    /// Of all of them, in nanoseconds.
    pub(crate) sum_ns: Count,
}

impl Default for Spread {
    fn default() -> Spread {
        Spread { buckets: [const { Count(AtomicU64::new(0)) }; BUCKETS], sum_ns: Count::default() }
    }
}

impl Spread {
    pub(crate) fn add(&self, ns: u64) {
        let bucket = (ns | 1).ilog2() as usize;
        self.buckets[bucket.min(BUCKETS - 1)].add(1);
        self.sum_ns.add(ns);
    }
}

/// What is counted only when somebody asks.
impl Scheduler {
    /// How many tasks have come from outside, or from the timer, and were not taken by a worker yet.
    pub(crate) fn waiting_outside(&self) -> (usize, usize) {
        let (mut injected, mut due) = (0, 0);
        for (i, set) in self.sets.iter().enumerate() {
            let count = set.injector.count();
            if count > 0 {
                // [count-fence] partner: announce-fence.
                notify_fence();
                self.notify(i);
            }
            injected += count;
            due += set.due.len();
        }
        (injected, due)
    }

    /// How many tasks have been polled and have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_with_a_power_of_two() {
        let spread = Spread::default();
        [0, 1, 2, 3, 4, 1023, 1024, u64::MAX].iter().for_each(|&ns| spread.add(ns));
        let filled: Vec<_> = (0..BUCKETS).map(|i| spread.buckets[i].get()).collect();
        let mut expected = vec![0; BUCKETS];
        expected[..3].copy_from_slice(&[2, 2, 1]);
        (expected[9], expected[10], expected[BUCKETS - 1]) = (1, 1, 1);
        assert_eq!(filled, expected);
    }
}
