//! One task in many is followed from the push that lets it run to the poll that comes of it.
//!
//! A runtime follows one task at a time. Its id stands in a word that workers look at before each poll anyway, to see
//! whether the runtime ends: 0 says that there is nothing to look after. So what is not followed costs nothing
//! more, and what is followed may be stolen, or be taken out of any queue, and is recognised wherever it is polled. While one
//! is on its way, each poll compares its task's id; after it has arrived nobody is followed for sixteen times as long, so
//! that this is seldom, also where the queues are long.
//!
//! Who is followed: see [`Handle::metrics`](crate::Handle::metrics).
//!
//! *Relaxed*: whoever begins to follow a task has the right to push it, and the queue hands on, with the task, that it is
//! followed. All others compare with an id that is not theirs, whatever they see.

use std::cell::Cell;
use std::time::Instant;

use super::Scheduler;
use crate::primitive::tls;
use crate::primitive::unmodelled::{AtomicU64, Ordering};
use crate::task::Runnable;

/// The runtime is not open any more. (Ids do not get that far.)
const ENDING: u64 = 1 << 63;
/// For so many times as long as the last one was on its way nobody is followed.
const REST: u64 = 16;
/// One in so many of those that come from outside is followed.
const FOLLOW_EVERY: usize = 64;

#[derive(Debug)]
pub(super) struct Attention {
    /// 0, or the id of who is followed, or the runtime ends.
    word: AtomicU64,
    /// Since when, and from when on somebody may be followed again; in nanoseconds since `zero`.
    since: AtomicU64,
    next: AtomicU64,
    zero: Instant,
}

impl Attention {
    pub(super) fn new() -> Attention {
        Attention {
            word: AtomicU64::new(0),
            since: AtomicU64::new(0),
            next: AtomicU64::new(0),
            zero: crate::primitive::now(),
        }
    }

    /// Is there anything that a worker has to look after before it polls?
    #[inline]
    pub(super) fn is_drawn(&self) -> bool {
        self.word.load(Ordering::Relaxed) != 0
    }

    /// The runtime ends.
    pub(super) fn draw(&self) {
        self.word.store(ENDING, Ordering::Relaxed);
    }

    /// The next runtime begins.
    pub(super) fn reset(&self) {
        self.word.store(0, Ordering::Relaxed);
        self.next.store(0, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(crate::primitive::elapsed(self.zero).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Follows the task with this id, which the caller is about to push; unless another one is followed, or was
    /// just now.
    #[cold]
    pub(super) fn follow(&self, id: u64) {
        if self.is_drawn() {
            return;
        }
        let now = self.now();
        if now < self.next.load(Ordering::Relaxed) {
            return;
        }
        if self.word.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.since.store(now, Ordering::Relaxed);
        }
    }

    /// A task is about to be polled. If it is the one that is followed: how long it was on its way.
    pub(super) fn arrived(&self, id: u64) -> Option<u64> {
        if self.word.load(Ordering::Relaxed) != id {
            return None;
        }
        let now = self.now();
        let waited = now.saturating_sub(self.since.load(Ordering::Relaxed));
        self.next.store(now.saturating_add(waited.saturating_mul(REST)), Ordering::Relaxed);
        // An exchange: the runtime may be about to end.
        let _ = self.word.compare_exchange(id, 0, Ordering::Relaxed, Ordering::Relaxed);
        Some(waited)
    }
}

tls! {
    /// How often this thread has pushed from outside. (Each counts for itself: a count for all would be one more word that
    /// threads which push at the same time take from each other.)
    static PUSHED: Cell<usize> = Cell::new(0)
}

fn tick() -> usize {
    PUSHED.with(|pushed| pushed.replace(pushed.get().wrapping_add(1)))
}

impl Scheduler {
    /// One in so many of those that a thread brings from outside, the first among them.
    #[inline]
    pub(super) fn follow_some(&self, task: &Runnable) {
        if tick() % FOLLOW_EVERY == 0 {
            self.attention.follow(task.header().id().as_u64());
        }
    }

    /// One of those that the timer wakes together. Not always the first or the last: they wait shorter, or longer, than others.
    pub(super) fn follow_one(&self, tasks: &[Runnable]) {
        if let Some(task) = tasks.get(tick() % tasks.len().max(1)) {
            self.attention.follow(task.header().id().as_u64());
        }
    }
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_is_followed_at_a_time_and_arrives_once() {
        let attention = Attention::new();
        attention.follow(7);
        attention.follow(8);
        assert!(attention.is_drawn());
        assert_eq!((attention.arrived(8), attention.arrived(6)), (None, None));
        assert!(attention.arrived(7).is_some());
        assert_eq!((attention.is_drawn(), attention.arrived(7)), (false, None));
    }

    #[test]
    fn after_a_long_way_nobody_is_followed_for_longer() {
        let attention = Attention::new();
        attention.follow(7);
        attention.since.store(0, Ordering::Relaxed);
        let hour = 3600 * 1_000_000_000;
        attention.next.store(attention.now() + hour, Ordering::Relaxed);
        assert!(attention.arrived(7).is_some());
        attention.next.store(attention.now() + hour, Ordering::Relaxed);
        attention.follow(8);
        assert!(!attention.is_drawn());
        attention.reset();
        attention.follow(8);
        assert!(attention.is_drawn());
    }

    #[test]
    fn the_end_is_never_taken_for_a_task() {
        let attention = Attention::new();
        attention.follow(7);
        attention.draw();
        assert_eq!(attention.arrived(7), None);
        attention.follow(8);
        assert_eq!((attention.is_drawn(), attention.arrived(8)), (true, None));
    }
}
