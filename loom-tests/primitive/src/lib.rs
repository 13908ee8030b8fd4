//! What the loom build is made of: the face of `runtime/src/primitive.rs`, over loom.
//!
//! Besides standing in for std, the types here make *twins* possible: copies of a model with one
//! bug in them, which the model must notice. Three things can be asked of a run (see [`run`]):
//!
//! - **A weakened place.** Every atomic operation and fence records where it was called from, if
//!   its ordering is stronger than `Relaxed`. One recorded place can be chosen, and is then
//!   executed weaker:
//!
//!   | written                                    | executed                                    |
//!   |--------------------------------------------|---------------------------------------------|
//!   | `load(Acquire)`, `store(Release)`          | `Relaxed`                                   |
//!   | `swap`, `fetch_*` … with one half          | `Relaxed`                                   |
//!   | … with `AcqRel`                            | two places: without `acquire`, without `release` |
//!   | `compare_exchange*`, `fetch_update`        | as above, and `failure` (`fetch`) is a place of its own |
//!   | `fence(SeqCst)`                            | `fence(AcqRel)`: it must order a store with a later load |
//!   | `fence(AcqRel)`                            | two places, as above                        |
//!   | `fence(Acquire)`, `fence(Release)`         | left out                                    |
//!
//! - **A seeded bug.** Code under `cfg(filch_loom)` asks [`seeded`] whether to leave a step out.
//! - **A whim**: something the environment may do at any time, and mostly does not. See [`Whim`].
//!
//! What differs from std: nothing here but [`tls!`] can live in a static (loom makes its objects
//! inside a model), and an atomic has no `get_mut`.
//! Loom treats `SeqCst` accesses as `AcqRel`; only fences are really sequentially consistent.

mod atomic;
mod futex;
mod local;
mod lock;
pub mod run;

pub use atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
pub use futex::Futex;
pub use local::LocalKey;
pub use lock::{Condvar, Mutex, MutexGuard, TryLock, TryLockGuard};
pub use loom::cell::UnsafeCell;
pub use run::{Whim, seeded, whim};
pub use std::sync::atomic::Ordering;

use loom as model;

#[doc(hidden)]
pub use loom as __loom;

/// A thread-local of loom's threads: they share one system thread, so std's would be one variable
/// for all of them.
#[macro_export]
#[doc(hidden)]
macro_rules! __tls {
    ($(#[$attr:meta])* static $name:ident: $ty:ty = $init:expr) => {
        $(#[$attr])*
        static $name: $crate::LocalKey<$ty> = $crate::LocalKey::over({
            $crate::__loom::thread_local! { static INNER: $ty = $init }
            &INNER
        });
    };
}
#[doc(inline)]
pub use __tls as tls;
