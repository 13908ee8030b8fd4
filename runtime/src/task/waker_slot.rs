//! A place for the waker of whoever waits for something.

use std::task::Waker;

use super::cell::contained;
use crate::primitive::Mutex;

/// Holds one waker. Whoever waits registers *and then* looks at what it waits for; whoever changes that
/// does so *and then* wakes. Both go through the lock in here, so one of the two sees the other.
#[derive(Debug, Default)]
pub(crate) struct WakerSlot(Mutex<Option<Waker>>);

impl WakerSlot {
    /// The next [`wake`](WakerSlot::wake) goes to this one. (Wakers are foreign code: they are cloned,
    /// dropped and woken outside the lock.)
    pub(crate) fn register(&self, waker: &Waker) {
        let known = {
            let old = self.0.lock();
            old.as_ref().is_some_and(|old| old.will_wake(waker))
        };
        if !known {
            let new = Some(waker.clone());
            let old = std::mem::replace(&mut *self.0.lock(), new);
            drop(old);
        }
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.lock().take();
        // A broken one must not keep others from being woken after it.
        contained(|| waker.into_iter().for_each(Waker::wake));
    }
}
