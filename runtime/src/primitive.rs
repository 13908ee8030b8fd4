//! What the runtime's protocols are made of: std's atomics and locks, or loom's, or shuttle's.
//!
//! This is the only file that names `std::sync::atomic`. The loom build (see `loom-tests`)
//! swaps the whole module for one with the same face, whose atomics record each place they are
//! used from, so that a model can be run again with that one place weakened. The shuttle build (see
//! `shuttle-tests`) does the same for whole runtimes: there also the threads and the clock are the
//! explorer's. It sets both cfgs: what is written for models serves it as well, unless it says otherwise.

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    windows,
)))]
compile_error!(
    "filch runs on Linux, Android, macOS, iOS, FreeBSD and Windows: `atomic-wait`, by which its \
     threads sleep, does not know this system"
);

use std::time::{Duration, Instant};

#[cfg(not(filch_loom))]
pub(crate) use real::*;

#[cfg(all(filch_loom, not(filch_shuttle)))]
pub(crate) use filch_loom_primitive::*;

#[cfg(filch_shuttle)]
pub(crate) use filch_shuttle_primitive::*;

/// Threads that a runtime starts, and on which it sleeps. (The threads of loom's models are the models' own.)
#[cfg(not(filch_shuttle))]
pub(crate) use std::thread;

/// What the system's clock says. (Under shuttle time is what the schedule makes of it.)
#[cfg(not(filch_shuttle))]
#[inline]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// How long ago that was.
#[inline]
pub(crate) fn elapsed(since: Instant) -> Duration {
    now().saturating_duration_since(since)
}

/// A `fence(SeqCst)` right after a successful read-modify-write. On x86-64 that one is a full barrier already, whatever its
/// ordering, so there is nothing left to wait for: only the compiler must not move later reads before it.
#[cfg_attr(filch_loom, track_caller)]
#[inline(always)]
pub(crate) fn fence_after_exchange() {
    #[cfg(all(target_arch = "x86_64", not(any(filch_loom, miri))))]
    use std::sync::atomic::compiler_fence as fence;
    // (Each caller says by a tag of its own who relies on it.)
    // [exchange-fence] partner: announce-fence, stop-fence.
    fence(Ordering::SeqCst);
}

/// A fence between two threads of which one comes seldom, and pays for both.
pub(crate) mod barrier {
    use super::*;

    /// Does the system have it? If not, neither of the others may be relied on.
    #[inline]
    pub(crate) fn is_there() -> bool {
        cfg!(filch_loom) || crate::sys::has_barrier()
    }

    /// Of those who come often: what they have written before is visible after [`heavy`], or what was written before that is
    /// visible here. (The models know it as what it is made to be.)
    #[cfg_attr(filch_loom, track_caller)]
    #[inline(always)]
    pub(crate) fn light() {
        #[cfg(not(filch_loom))]
        use std::sync::atomic::compiler_fence as fence;
        // [light-fence] partner: heavy-fence.
        fence(Ordering::SeqCst);
    }

    /// Of the one who comes seldom: each thread of this process executes a fence, wherever it is. `false`: the system refused.
    #[cfg_attr(filch_loom, track_caller)]
    pub(crate) fn heavy() -> bool {
        // [heavy-fence] partner: light-fence.
        fence(Ordering::SeqCst);
        cfg!(filch_loom) || crate::sys::barrier()
    }
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

/// Atomics that no model looks at, because they live in statics, which loom cannot have:
/// counters, the fork flag, the depot. No wake-up ever depends on one of them.
pub(crate) mod unmodelled {
    #[cfg(unix)]
    pub(crate) use std::sync::atomic::AtomicBool;
    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
}

#[cfg(not(filch_loom))]
mod real {
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };

    use std::ops::Deref;
    use std::sync::{PoisonError, TryLockError};

    /// A mutex that does not know poisoning: nothing user-written runs under any of ours.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    pub(crate) type MutexGuard<'a, T> = std::sync::MutexGuard<'a, T>;

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Mutex(std::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// A lock that is only ever tried, by threads that may sleep with it.
    #[derive(Debug)]
    pub(crate) struct TryLock<T>(std::sync::Mutex<T>);

    pub(crate) type TryLockGuard<'a, T> = std::sync::MutexGuard<'a, T>;

    impl<T> TryLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            TryLock(std::sync::Mutex::new(value))
        }

        /// `None`: somebody else has it.
        pub(crate) fn try_lock(&self) -> Option<TryLockGuard<'_, T>> {
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
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

        /// Waits until notified or `limit` has passed; the flag says which: `true` = notified.
        /// Under loom time does not pass: the limit is ignored.
        pub(crate) fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            limit: std::time::Duration,
        ) -> (MutexGuard<'a, T>, bool) {
            let (guard, result) =
                self.0.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner);
            (guard, !result.timed_out())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// An atomic word that a thread can sleep on (a futex where the system has them).
    #[derive(Debug, Default)]
    pub(crate) struct Futex(AtomicU32);

    impl Futex {
        pub(crate) const fn new(value: u32) -> Self {
            Futex(AtomicU32::new(value))
        }

        /// Sleeps if the word still equals `expected`, until [`Futex::wake_one`]; may return
        /// for no reason.
        pub(crate) fn wait(&self, expected: u32) {
            atomic_wait::wait(&self.0, expected);
        }

        /// Wakes one thread that sleeps on the word, if there is one.
        pub(crate) fn wake_one(&self) {
            atomic_wait::wake_one(&self.0);
        }
    }

    impl Deref for Futex {
        type Target = AtomicU32;

        fn deref(&self) -> &AtomicU32 {
            &self.0
        }
    }

    /// `std::cell::UnsafeCell` with loom's face.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        /// A shared access: under loom, one that races with a `with_mut` fails the model.
        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// An exclusive access: under loom, one that races with any other fails the model.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
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
