//! Mutex and condition variable.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Duration;

use crate::run::{Whim, whim};

/// A mutex that does not know poisoning.
#[derive(Debug, Default)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

/// Holds a [`Mutex`] locked.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    /// Empty only while a [`Condvar`] has it.
    inner: Option<loom::sync::MutexGuard<'a, T>>,
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    /// See [`std::sync::Mutex::new`].
    pub fn new(value: T) -> Self {
        Mutex(loom::sync::Mutex::new(value))
    }

    /// See [`std::sync::Mutex::lock`].
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard { inner: Some(inner), mutex: self }
    }

    /// See [`std::sync::Mutex::try_lock`].
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let inner = self.0.try_lock().ok()?;
        Some(MutexGuard { inner: Some(inner), mutex: self })
    }
}

const HELD: &str = "a guard is only without its lock inside Condvar::wait";

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect(HELD)
    }
}

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(loom::sync::Condvar);

impl Condvar {
    /// See [`std::sync::Condvar::new`].
    pub fn new() -> Self {
        Condvar(loom::sync::Condvar::new())
    }

    /// See [`std::sync::Condvar::wait`]. Returns for no reason only at a [`Whim::SpuriousWake`].
    #[track_caller]
    pub fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        if whim(Whim::SpuriousWake) {
            return let_others_in(guard);
        }
        let inner = guard.inner.take().expect(HELD);
        guard.inner = Some(self.0.wait(inner).unwrap_or_else(PoisonError::into_inner));
        guard
    }

    /// Waits until notified: the flag is then `true`. Time does not pass in a model, so the limit
    /// is ignored, except at a [`Whim::TimeUp`].
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _limit: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        if whim(Whim::TimeUp) {
            return (let_others_in(guard), false);
        }
        (self.wait(guard), true)
    }

    /// See [`std::sync::Condvar::notify_one`].
    #[track_caller]
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// See [`std::sync::Condvar::notify_all`].
    #[track_caller]
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Unlocks and locks again.
#[track_caller]
fn let_others_in<'a, T>(guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    let mutex = guard.mutex;
    drop(guard);
    mutex.lock()
}
