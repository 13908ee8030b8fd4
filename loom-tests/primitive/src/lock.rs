//! Mutex and condition variable.

use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};

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

/// A lock that is only ever tried. (Loom's `try_lock` waits if the lock is taken just then; whoever takes this
/// one may fall asleep with it.)
#[derive(Debug, Default)]
pub struct TryLock<T> {
    taken: AtomicBool,
    /// Never waited for: `taken` says who has it, and hands over what is in it.
    value: std::sync::Mutex<T>,
}

/// Holds a [`TryLock`].
#[derive(Debug)]
pub struct TryLockGuard<'a, T> {
    /// Empty only while it is dropped.
    value: Option<std::sync::MutexGuard<'a, T>>,
    taken: &'a AtomicBool,
}

impl<T> TryLock<T> {
    /// Nobody has it.
    pub fn new(value: T) -> Self {
        TryLock { taken: AtomicBool::new(false), value: std::sync::Mutex::new(value) }
    }

    /// See [`std::sync::Mutex::try_lock`].
    #[track_caller]
    pub fn try_lock(&self) -> Option<TryLockGuard<'_, T>> {
        self.taken.compare_exchange(false, true, Acquire, Relaxed).ok()?;
        let value = self.value.try_lock().unwrap_or_else(|error| match error {
            TryLockError::Poisoned(poisoned) => poisoned.into_inner(),
            TryLockError::WouldBlock => unreachable!("taken by this thread alone"),
        });
        Some(TryLockGuard { value: Some(value), taken: &self.taken })
    }
}

impl<T> Drop for TryLockGuard<'_, T> {
    fn drop(&mut self) {
        drop(self.value.take());
        self.taken.swap(false, Release);
    }
}

impl<T> Deref for TryLockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for TryLockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(HELD)
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
