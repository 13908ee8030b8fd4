//! Shuttle's atomics, locks and threads behind the face of filch's primitives, and a clock that the schedule moves.
//!
//! All threads of an execution share one system thread, and change places only where one of these is used. So plain data
//! inside of them needs no lock, and a lock of std's must never be held across such a place.
//!
//! To shuttle everything is sequentially consistent: orderings and fences say nothing here. They are loom's part.

#[path = "../../../loom-tests/primitive/src/local.rs"]
mod local;
mod lock;
mod run;
pub mod thread;
pub mod time;

pub use local::LocalKey;
pub use lock::{Condvar, Futex, Mutex, MutexGuard, TryLock, TryLockGuard};
pub use run::{BUG, Whim, seeded, whim};
pub use shuttle::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub use time::now;

use shuttle as model;

#[doc(hidden)]
pub use shuttle as __shuttle;

/// `std::cell::UnsafeCell` with the face that loom gave it. Shuttle does not look into it.
#[derive(Debug)]
#[repr(transparent)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// See [`std::cell::UnsafeCell`].
    pub const fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// A shared access.
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// An exclusive access.
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A thread-local of shuttle's threads: they share one system thread, so std's would be one variable for all of them.
#[macro_export]
#[doc(hidden)]
macro_rules! __tls {
    ($(#[$attr:meta])* static $name:ident: $ty:ty = $init:expr) => {
        $(#[$attr])*
        static $name: $crate::LocalKey<$ty> = $crate::LocalKey::over({
            $crate::__shuttle::thread_local! { static INNER: $ty = $init }
            &INNER
        });
    };
}
#[doc(inline)]
pub use __tls as tls;

/// A static of one execution.
#[macro_export]
#[doc(hidden)]
macro_rules! __global {
    ($(#[$attr:meta])* static $name:ident: $ty:ty = $init:expr) => {
        $crate::__shuttle::lazy_static! { $(#[$attr])* static ref $name: $ty = $init; }
    };
}
#[doc(inline)]
pub use __global as global;
