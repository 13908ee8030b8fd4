//! A worker's own queue: first in, first out, stolen from by the others.
//!
//! It is crossbeam's FIFO deque behind the face the scheduler needs (12 ns for a push and a pop;
//! a ring of fixed size of our own was no faster). Loom cannot look into crossbeam, so the
//! models run a stand-in with the same face and the same freedom to answer `Retry`; the real one
//! is stressed by `tests/stress_queue.rs`.

#[cfg(not(filch_loom))]
pub(crate) use real::*;

#[cfg(filch_loom)]
pub(crate) use imp::*;

#[cfg(filch_loom)]
#[path = "../../../loom-tests/src/queue.rs"]
mod imp;

#[cfg(not(filch_loom))]
mod real {
    use std::fmt;

    use crossbeam_deque as deque;

    /// What came of looking into another worker's queue.
    #[derive(Debug)]
    pub(crate) enum Steal<T> {
        Empty,
        Success(T),
        /// A race was lost: there may be something, look again.
        Retry,
    }

    /// The owner's end.
    pub(crate) struct Queue<T>(deque::Worker<T>);

    impl<T> Queue<T> {
        pub(crate) fn new() -> Queue<T> {
            Queue(deque::Worker::new_fifo())
        }

        pub(crate) fn push(&self, item: T) {
            self.0.push(item);
        }

        pub(crate) fn pop(&self) -> Option<T> {
            self.0.pop()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        pub(crate) fn len(&self) -> usize {
            self.0.len()
        }

        pub(crate) fn stealer(&self) -> Stealer<T> {
            Stealer(self.0.stealer())
        }
    }

    impl<T> fmt::Debug for Queue<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Queue").field("len", &self.len()).finish()
        }
    }

    /// Filled and emptied by anybody, in order.
    pub(crate) struct Fifo<T>(deque::Injector<T>);

    impl<T> Fifo<T> {
        pub(crate) fn new() -> Fifo<T> {
            Fifo(deque::Injector::new())
        }

        pub(crate) fn push(&self, item: T) {
            self.0.push(item);
        }

        pub(crate) fn pop(&self) -> Steal<T> {
            match self.0.steal() {
                deque::Steal::Empty => Steal::Empty,
                deque::Steal::Success(item) => Steal::Success(item),
                deque::Steal::Retry => Steal::Retry,
            }
        }
    }

    impl<T> fmt::Debug for Fifo<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Fifo").field("len", &self.0.len()).finish()
        }
    }

    /// The thieves' end.
    pub(crate) struct Stealer<T>(deque::Stealer<T>);

    impl<T> Stealer<T> {
        /// Moves up to half, and no more than `limit`, to `to`; the first of them is the answer.
        pub(crate) fn steal_batch_and_pop(&self, to: &Queue<T>, limit: usize) -> Steal<T> {
            match self.0.steal_batch_with_limit_and_pop(&to.0, limit) {
                deque::Steal::Empty => Steal::Empty,
                deque::Steal::Success(item) => Steal::Success(item),
                deque::Steal::Retry => Steal::Retry,
            }
        }

        /// Moves up to half, and no more than `limit`, to the end of `to`.
        pub(crate) fn steal_batch(&self, to: &Queue<T>, limit: usize) -> Steal<()> {
            match self.0.steal_batch_with_limit(&to.0, limit) {
                deque::Steal::Empty => Steal::Empty,
                deque::Steal::Success(()) => Steal::Success(()),
                deque::Steal::Retry => Steal::Retry,
            }
        }

        /// A look that may be out of date. (0.7 ns; a steal from an empty queue costs 11.)
        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        /// As [`is_empty`](Stealer::is_empty).
        pub(crate) fn len(&self) -> usize {
            self.0.len()
        }
    }

    impl<T> fmt::Debug for Stealer<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Stealer").field("is_empty", &self.is_empty()).finish()
        }
    }
}
