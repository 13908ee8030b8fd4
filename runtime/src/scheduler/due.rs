//! What the timer woke: handed over in one piece, meant for one worker as a whole.
//!
//! Only the timer's thread and workers take this lock, and all they do under it is move pointers:
//! the tasks themselves, which are in nobody's cache, are touched when they are polled and not
//! before. (Linked through the tasks, as in the injector, a hand-over of 100,000 sleeps cost 180 ns
//! for each.)

use std::collections::VecDeque;

use super::injector::Popped;
use super::queue::Queue;
use crate::primitive::{AtomicUsize, Mutex, Ordering};
use crate::task::Runnable;

#[derive(Debug)]
pub(crate) struct Due {
    tasks: Mutex<Tasks>,
    /// How many there are, for those who only look.
    len: AtomicUsize,
}

#[derive(Debug, Default)]
struct Tasks {
    queue: VecDeque<Runnable>,
    closed: bool,
}

impl Due {
    pub(crate) fn new() -> Due {
        Due { tasks: Mutex::default(), len: AtomicUsize::new(0) }
    }

    /// Empties `tasks` into it. `false`: it is closed, and they are where they were.
    pub(crate) fn push_all(&self, tasks: &mut Vec<Runnable>) -> bool {
        let mut inner = self.tasks.lock();
        if inner.closed {
            return false;
        }
        inner.queue.extend(tasks.drain(..));
        // Relaxed: whoever must not miss this looks after a fence (see the sleep protocol).
        self.len.store(inner.queue.len(), Ordering::Relaxed);
        true
    }

    /// A look that may be out of date.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`is_empty`](Due::is_empty).
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// A worker takes the oldest, and up to `most` in all into its queue.
    pub(crate) fn pop(&self, to: &Queue<Runnable>, most: usize) -> Option<Popped> {
        if self.is_empty() {
            return None;
        }
        let mut inner = self.tasks.lock();
        let first = inner.queue.pop_front()?;
        let count = inner.queue.len().min(most - 1);
        inner.queue.drain(..count).for_each(|task| to.push(task));
        let left = inner.queue.len();
        if left == 0 && inner.queue.capacity() > 8 * most {
            // After a peak the memory goes back.
            inner.queue = VecDeque::new();
        }
        self.len.store(left, Ordering::Relaxed);
        Some(Popped { first, taken: count + 1, left: left > 0 })
    }

    /// Takes no more; what was in it is handed out.
    pub(crate) fn close(&self) -> VecDeque<Runnable> {
        let mut inner = self.tasks.lock();
        inner.closed = true;
        self.len.store(0, Ordering::Relaxed);
        std::mem::take(&mut inner.queue)
    }

    /// For the next runtime.
    pub(crate) fn reopen(&self) {
        self.tasks.lock().closed = false;
    }
}
