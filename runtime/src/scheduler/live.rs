//! The tasks that wait: who is alive, for shutdown and for those who ask.
//!
//! A task enters a list of the worker that polls it when its *first* poll returns Pending. Tasks
//! that finish at once never meet a list (tracking each spawn in the spawner's list cost 80 to
//! 340 ns); tasks that were never polled are in a queue, and shutdown empties the queues.
//!
//! A list can be closed. After that it refuses entries, and whoever is refused drops its future
//! then and there: a runtime that shuts down cannot miss a task that is just about to park.

use crate::primitive::{Mutex, MutexGuard};
use crate::task::TaskRef;
use crate::task::cell::{Closed, Listed};

/// Tasks copied under one hold of the lock.
const PORTION: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct LiveList {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: Vec<Option<Listed>>,
    free: Vec<u32>,
    closed: bool,
}

/// Whether the last task has left a closed list.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Others,
    ClosedAndEmpty,
}

impl LiveList {
    /// Enters a task. The number finds it again.
    pub(crate) fn insert(&self, task: Listed) -> Result<u32, (Closed, Listed)> {
        let mut inner = self.inner.lock();
        #[cfg(filch_shuttle)]
        // A twin enters it behind the back of those who have gone through the list.
        let forced = crate::primitive::seeded("enter-late");
        #[cfg(not(filch_shuttle))]
        let forced = false;
        if inner.closed && !forced {
            return Err((Closed, task));
        }
        if let Some(slot) = inner.free.pop() {
            inner.slots[slot as usize] = Some(task);
            Ok(slot)
        } else {
            inner.slots.push(Some(task));
            Ok((inner.slots.len() - 1) as u32)
        }
    }

    /// The task in a place that is known to be taken.
    pub(crate) fn task(&self, slot: u32) -> TaskRef {
        let inner = self.inner.lock();
        inner.slots[slot as usize].as_ref().expect("it was just entered").task()
    }

    /// Takes a task out, before its end is published.
    pub(crate) fn remove(&self, slot: u32) -> (Listed, Left) {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let task = inner.slots[slot as usize].take().expect("a live task is in its place");
        inner.free.push(slot);
        let mut garbage = None;
        if inner.free.len() == inner.slots.len() {
            let (slots, free) = (&mut inner.slots, &mut inner.free);
            if slots.capacity() > PORTION {
                // After a peak the memory goes back.
                garbage = Some((std::mem::take(slots), std::mem::take(free)));
            } else {
                slots.clear();
                free.clear();
            }
        }
        let left = if inner.closed && inner.slots.is_empty() {
            Left::ClosedAndEmpty
        } else {
            Left::Others
        };
        drop(guard);
        drop(garbage);
        (task, left)
    }

    /// Refuses entries from now on.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
    }

    /// For the next runtime.
    pub(crate) fn reopen(&self) {
        let mut inner = self.inner.lock();
        debug_assert!(inner.slots.is_empty(), "a runtime has left tasks behind");
        inner.closed = false;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        let inner = self.inner.lock();
        inner.slots.len() - inner.free.len()
    }

    /// Visits the tasks outside the lock, in portions: tasks that come or go meanwhile may be
    /// missed, none is visited twice in one place.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(TaskRef)) {
        let mut portion = Vec::new();
        let mut start = 0;
        loop {
            let inner: MutexGuard<'_, Inner> = self.inner.lock();
            let end = inner.slots.len().min(start + PORTION);
            if start >= end {
                return;
            }
            portion.extend(inner.slots[start..end].iter().flatten().map(Listed::task));
            drop(inner);
            portion.drain(..).for_each(&mut visit);
            start = end;
        }
    }
}
