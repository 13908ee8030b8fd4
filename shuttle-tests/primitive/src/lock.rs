//! Locks, condition variables, and words to sleep on.

use std::ops::Deref;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use shuttle::sync as inner;

use crate::run::{Whim, whim};
use crate::time;
use crate::{AtomicU32, Ordering};

/// A mutex that does not know poisoning.
#[derive(Debug, Default)]
pub struct Mutex<T>(inner::Mutex<T>);

/// Holds a [`Mutex`] locked.
pub type MutexGuard<'a, T> = inner::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    /// See [`std::sync::Mutex::new`].
    pub const fn new(value: T) -> Self {
        Mutex(inner::Mutex::new(value))
    }

    /// See [`std::sync::Mutex::lock`].
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`std::sync::Mutex::try_lock`].
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// A lock that is only ever tried.
#[derive(Debug)]
pub struct TryLock<T>(inner::Mutex<T>);

/// Holds a [`TryLock`].
pub type TryLockGuard<'a, T> = inner::MutexGuard<'a, T>;

impl<T> TryLock<T> {
    /// Nobody has it.
    pub const fn new(value: T) -> Self {
        TryLock(inner::Mutex::new(value))
    }

    /// `None`: somebody else has it.
    pub fn try_lock(&self) -> Option<TryLockGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(Arc<inner::Condvar>);

impl Condvar {
    /// See [`std::sync::Condvar::new`].
    pub fn new() -> Self {
        Condvar::default()
    }

    /// See [`std::sync::Condvar::wait`].
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until notified, then the flag is `true`, or until the time is up. (When it is for one, others may wake
    /// up, too, as if for no reason.)
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let Some(up) = time::set_alarm(limit, &self.0) else {
            return (self.wait(guard), true);
        };
        let guard = self.wait(guard);
        time::cancel_alarm(&up);
        (guard, !up.load(Ordering::Relaxed))
    }

    /// See [`std::sync::Condvar::notify_one`].
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// See [`std::sync::Condvar::notify_all`].
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// An atomic word that a thread can sleep on.
#[derive(Debug, Default)]
pub struct Futex {
    word: AtomicU32,
    gate: inner::Mutex<()>,
    changed: inner::Condvar,
}

impl Futex {
    /// A word that nobody sleeps on.
    pub const fn new(value: u32) -> Self {
        Futex {
            word: AtomicU32::new(value),
            gate: inner::Mutex::new(()),
            changed: inner::Condvar::new(),
        }
    }

    fn gate(&self) -> inner::MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps if the word still equals `expected`, until [`Futex::wake_one`]; returns for no
    /// reason at a [`Whim::SpuriousWake`].
    pub fn wait(&self, expected: u32) {
        if whim(Whim::SpuriousWake) {
            return;
        }
        let gate = self.gate();
        if self.word.load(Ordering::SeqCst) == expected {
            drop(self.changed.wait(gate));
        }
    }

    /// Wakes one thread that sleeps on the word, if there is one.
    pub fn wake_one(&self) {
        let _gate = self.gate();
        self.changed.notify_one();
    }
}

impl Deref for Futex {
    type Target = AtomicU32;

    fn deref(&self) -> &AtomicU32 {
        &self.word
    }
}
