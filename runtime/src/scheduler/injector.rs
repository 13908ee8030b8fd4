//! Where tasks come in from outside the workers.
//!
//! Pushers only ever exchange the top of a stack, so none of them can hold a worker up, however
//! long it is preempted. Workers take everything at once, turn it round into the order of arrival,
//! and share it from there under a lock that only workers take. (crossbeam's injector was not
//! taken: a pusher preempted between reserving its slot and writing it makes workers spin.)

use super::queue::Queue;
use crate::primitive::{AtomicUsize, Mutex, Ordering};
use crate::task::Runnable;
use crate::task::cell::{Chain, Pile, Stack};

/// No batch is larger: a worker that takes more lets the others wait.
const MOST: usize = 64;

#[derive(Debug)]
pub(crate) struct Injector {
    incoming: Stack,
    /// In order of arrival; what earlier batches left.
    ready: Mutex<Chain>,
    /// The length of `ready`, for those who only look.
    left: AtomicUsize,
}

impl Injector {
    pub(crate) fn new() -> Injector {
        Injector {
            incoming: Stack::new(),
            ready: Mutex::new(Chain::default()),
            left: AtomicUsize::new(0),
        }
    }

    /// From any thread. Gives the task back if the injector is closed.
    pub(crate) fn push(&self, task: Runnable) -> Result<(), Runnable> {
        self.incoming.push(task)
    }

    /// Many at once, with one exchange.
    pub(crate) fn push_all(&self, tasks: Pile) -> Result<(), Pile> {
        self.incoming.push_all(tasks)
    }

    /// A look that may be out of date.
    pub(crate) fn is_empty(&self) -> bool {
        self.incoming.is_empty() && self.left.load(Ordering::Relaxed) == 0
    }

    /// A worker takes its share: the oldest task is the answer, the rest goes into its queue.
    /// The flag says whether anything is left that others should know of.
    pub(crate) fn pop(&self, to: &Queue<Runnable>, workers: usize) -> Option<(Runnable, bool)> {
        if self.is_empty() {
            return None;
        }
        let mut ready = self.ready.lock();
        if ready.len() == 0 {
            *ready = self.incoming.take_all();
        }
        let first = ready.pop()?;
        let share = (ready.len() / workers + 1).min(MOST) - 1;
        for _ in 0..share {
            if let Some(task) = ready.pop() {
                to.push(task);
            }
        }
        // Relaxed: whoever must not miss this looks after a fence (see the sleep protocol).
        self.left.store(ready.len(), Ordering::Relaxed);
        Some((first, share > 0 || ready.len() > 0))
    }

    /// Takes no more; what was in it is handed out.
    pub(crate) fn close(&self) -> (Chain, Chain) {
        let incoming = self.incoming.close();
        let ready = std::mem::take(&mut *self.ready.lock());
        self.left.store(0, Ordering::Relaxed);
        (ready, incoming)
    }

    /// Takes pushes again, for the next runtime.
    pub(crate) fn reopen(&self) {
        self.incoming.reopen();
    }
}
