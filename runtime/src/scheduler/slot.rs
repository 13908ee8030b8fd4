//! The LIFO slot: the task that was woken last runs next, while its data is still in the cache.
//!
//! When one task wakes another and then waits for the answer, this hands the core over without
//! a detour through the queue. Two rules keep it fair: after three tasks in a row from the slot one
//! comes from the deque, and a *spawn* takes the slot only if it is free and nothing was waiting
//! longer. The slot can be stolen from, but thieves touch it only when its owner was found stuck
//! in a poll: routine stealing would bounce messages between cores.

use crate::primitive::{AtomicBool, Ordering};
use crate::task::Runnable;
use crate::task::cell::AtomicRunnable;

/// Tasks run from the slot in a row.
pub(crate) const IN_A_ROW: u32 = 3;

#[derive(Debug)]
pub(crate) struct Slot {
    next: AtomicRunnable,
    /// The owner is stuck in a poll: thieves may help themselves.
    open: AtomicBool,
}

impl Slot {
    pub(crate) fn new() -> Slot {
        Slot { next: AtomicRunnable::empty(), open: AtomicBool::new(false) }
    }

    /// The owner puts a task in; who was there before goes into the deque.
    pub(crate) fn put(&self, task: Runnable) -> Option<Runnable> {
        self.next.put(task)
    }

    /// The owner takes the task out.
    pub(crate) fn take(&self) -> Option<Runnable> {
        self.next.take()
    }

    /// A look that may be out of date (never for the owner, who alone fills the slot).
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Thieves may take from it until [`Slot::close`].
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// The owner is back.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    #[cfg(filch_loom)]
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Is there anything for a thief?
    pub(crate) fn has_loot(&self) -> bool {
        self.open.load(Ordering::Relaxed) && !self.is_empty()
    }

    /// A thief takes the task, if the slot is open.
    pub(crate) fn steal(&self) -> Option<Runnable> {
        if self.has_loot() { self.next.take() } else { None }
    }
}
