//! What the timer's protocols are made of: std's atomics and locks, or loom's.
//!
//! This is the only file that names `std::sync::atomic`. The loom build compiles these sources a
//! second time and swaps this module for one with the same face.

#[cfg(not(target_has_atomic = "64"))]
compile_error!("filch and its timer need atomics of 64 bits, which this processor does not have");

#[cfg(not(filch_loom))]
pub(crate) use real::*;

#[cfg(all(filch_loom, not(filch_shuttle)))]
pub(crate) use filch_loom_primitive::*;

#[cfg(filch_shuttle)]
pub(crate) use filch_shuttle_primitive::*;

/// The timer's own thread. (The threads of loom's models are the models' own.)
#[cfg(not(filch_shuttle))]
pub(crate) use std::thread;

/// What the system's clock says. (Under shuttle time is what the schedule makes of it.)
#[cfg(not(filch_shuttle))]
#[inline]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// A static. (Under shuttle each execution has its own: it must not depend on those before it.)
#[cfg(not(filch_shuttle))]
macro_rules! global {
    ($(#[$attr:meta])* static $name:ident: $ty:ty = $init:expr) => {
        $(#[$attr])* static $name: $ty = $init;
    };
}
#[cfg(not(filch_shuttle))]
pub(crate) use global;

/// Atomics that no model looks at, because they live in statics, which loom cannot have: number
/// dispensers and the table of known waker vtables. No wake ever depends on an order between
/// one of them and anything else.
pub(crate) mod unmodelled {
    pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
}

#[cfg(not(filch_loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

    use std::sync::PoisonError;
    use std::time::Duration;

    /// A mutex that does not know poisoning: nothing user-written runs under any of ours.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    pub(crate) type MutexGuard<'a, T> = std::sync::MutexGuard<'a, T>;

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Mutex(std::sync::Mutex::new(value))
        }

        #[inline]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(std::sync::TryLockError::Poisoned(e)) => Some(e.into_inner()),
                Err(std::sync::TryLockError::WouldBlock) => None,
            }
        }
    }

    /// A condition variable for [`Mutex`].
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(std::sync::Condvar);

    impl Condvar {
        pub(crate) const fn new() -> Self {
            Condvar(std::sync::Condvar::new())
        }

        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
        }

        /// Waits until notified or `limit` has passed; the flag says which: `true` = notified.
        /// Under loom time does not pass: the limit is ignored.
        pub(crate) fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            limit: Duration,
        ) -> (MutexGuard<'a, T>, bool) {
            let (guard, result) =
                self.0.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner);
            (guard, !result.timed_out())
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// Whether a step is to be left out, so that a model can show that it notices. Never, here.
    #[inline(always)]
    pub(crate) const fn seeded(_bug: &str) -> bool {
        false
    }

    /// A thread-local with a constant start value (loom's cannot be constant, and loom's
    /// threads share one system thread, so std's would be one variable for all of them).
    macro_rules! tls {
        ($(#[$attr:meta])* static $name:ident: $ty:ty = $init:expr) => {
            std::thread_local! { $(#[$attr])* static $name: $ty = const { $init } }
        };
    }
    pub(crate) use tls;
}
