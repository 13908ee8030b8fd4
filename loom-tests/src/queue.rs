//! Stands in for crossbeam's deque in the loom build.
//!
//! Loom sees only what is made of its own primitives, and crossbeam's deque is not. So the models
//! run this one: a list under a lock, with the same face. What it keeps of the real one is what
//! the scheduler's protocols must live with:
//!
//! - `is_empty` and `len` are looks without a lock and without any ordering: only a fence makes
//!   sure that a push is seen. A steal begins with such a look, too.
//! - A steal from a queue that is not empty may answer [`Steal::Retry`]. When, is up to
//!   [`Whim::StealRetry`]: a proof runs its model once more for each opportunity.
//! - While a batch moves, it is in neither queue.
//!
//! What it cannot show is that the real deque hands out each item exactly once, also when its
//! buffer grows, and that an item's data comes with it: that is stressed by `tests/stress_queue.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::primitive::{AtomicUsize, Mutex, Ordering, Whim, whim};

/// What came of looking into another worker's queue.
#[derive(Debug)]
pub(crate) enum Steal<T> {
    Empty,
    Success(T),
    /// A race was lost: there may be something, look again.
    Retry,
}

struct Shared<T> {
    items: Mutex<VecDeque<T>>,
    /// The length, for those who only look. Changes under the lock.
    len: AtomicUsize,
}

impl<T> Shared<T> {
    /// Does something with the items. (Nothing is done under the lock that loom could interrupt,
    /// except the last store.)
    fn change<R>(&self, change: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
        let mut items = self.items.lock();
        let result = change(&mut items);
        self.len.store(items.len(), Ordering::Relaxed);
        result
    }

    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}

/// The owner's end.
pub(crate) struct Queue<T>(Arc<Shared<T>>);

impl<T> Queue<T> {
    pub(crate) fn new() -> Queue<T> {
        let items = Mutex::new(VecDeque::new());
        Queue(Arc::new(Shared { items, len: AtomicUsize::new(0) }))
    }

    pub(crate) fn push(&self, item: T) {
        self.0.change(|items| items.push_back(item));
    }

    pub(crate) fn pop(&self) -> Option<T> {
        // The owner has seen its own pushes, and others only take away: 0 is never out of date.
        if self.is_empty() { None } else { self.0.change(VecDeque::pop_front) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn stealer(&self) -> Stealer<T> {
        Stealer(self.0.clone())
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// Filled and emptied by anybody, in order.
#[allow(dead_code, reason = "the harness includes this file, too")]
pub(crate) struct Fifo<T>(Shared<T>);

#[allow(dead_code, reason = "as above")]
impl<T> Fifo<T> {
    pub(crate) fn new() -> Fifo<T> {
        Fifo(Shared { items: Mutex::new(VecDeque::new()), len: AtomicUsize::new(0) })
    }

    pub(crate) fn push(&self, item: T) {
        self.0.change(|items| items.push_back(item));
    }

    pub(crate) fn pop(&self) -> Steal<T> {
        if self.0.len() == 0 {
            return Steal::Empty;
        }
        if whim(Whim::StealRetry) {
            return Steal::Retry;
        }
        self.0.change(VecDeque::pop_front).map_or(Steal::Empty, Steal::Success)
    }
}

impl<T> fmt::Debug for Fifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fifo").finish_non_exhaustive()
    }
}

/// The thieves' end.
pub(crate) struct Stealer<T>(Arc<Shared<T>>);

impl<T> Stealer<T> {
    /// Moves up to half, and no more than `limit`, to `to`; the first of them is the answer.
    pub(crate) fn steal_batch_and_pop(&self, to: &Queue<T>, limit: usize) -> Steal<T> {
        let mut batch = match self.take_half(limit) {
            Steal::Success(batch) => batch,
            Steal::Retry => return Steal::Retry,
            Steal::Empty => return Steal::Empty,
        };
        let Some(first) = batch.pop_front() else {
            return Steal::Empty;
        };
        if !batch.is_empty() {
            to.0.change(|items| items.append(&mut batch));
        }
        Steal::Success(first)
    }

    /// Moves up to half, and no more than `limit`, to the end of `to`.
    #[allow(dead_code, reason = "the harness includes this file, too")]
    pub(crate) fn steal_batch(&self, to: &Queue<T>, limit: usize) -> Steal<()> {
        match self.take_half(limit) {
            Steal::Success(batch) if batch.is_empty() => Steal::Empty,
            Steal::Success(mut batch) => {
                to.0.change(|items| items.append(&mut batch));
                Steal::Success(())
            }
            Steal::Retry => Steal::Retry,
            Steal::Empty => Steal::Empty,
        }
    }

    /// Takes them out; there may be none any more.
    fn take_half(&self, limit: usize) -> Steal<VecDeque<T>> {
        if self.is_empty() {
            return Steal::Empty;
        }
        if whim(Whim::StealRetry) {
            return Steal::Retry;
        }
        Steal::Success(self.0.change(|items| {
            let half = items.len().div_ceil(2);
            items.drain(..half.min(limit)).collect()
        }))
    }

    /// A look that may be out of date.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// As [`is_empty`](Stealer::is_empty).
    #[allow(dead_code, reason = "the harness includes this file, too")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> fmt::Debug for Stealer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stealer").finish_non_exhaustive()
    }
}
