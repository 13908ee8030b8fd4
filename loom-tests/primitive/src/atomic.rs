//! Atomics that know where they are called from.

use std::panic::Location;
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

use loom::sync::atomic as inner;

use crate::run::{Part, Whim, meet, whim};

/// The ordering to execute at the caller's place, where one access reads or writes.
#[track_caller]
fn one(operation: &'static str, part: Part, written: Ordering) -> Ordering {
    if written != Relaxed && meet(Location::caller(), operation, part, written) {
        Relaxed
    } else {
        written
    }
}

/// The same for an access that reads and writes: its halves are weakened separately.
#[track_caller]
fn both(operation: &'static str, written: Ordering) -> Ordering {
    if !matches!(written, AcqRel | SeqCst) {
        return one(operation, Part::Whole, written);
    }
    let without_acquire = meet(Location::caller(), operation, Part::Acquire, written);
    let without_release = meet(Location::caller(), operation, Part::Release, written);
    match (without_acquire, without_release) {
        (true, _) => Release,
        (_, true) => Acquire,
        _ => written,
    }
}

/// See [`std::sync::atomic::fence`].
#[track_caller]
pub fn fence(ordering: Ordering) {
    let executed = match ordering {
        SeqCst if meet(Location::caller(), "fence", Part::Whole, ordering) => AcqRel,
        SeqCst => SeqCst,
        _ => both("fence", ordering),
    };
    // (A fence that is written as Relaxed is loom's to refuse, as it is std's.)
    if executed != Relaxed || ordering == Relaxed {
        inner::fence(executed);
    }
}

macro_rules! accesses {
    ($name:ident, $value:ty) => {
        /// See [`std::sync::atomic`].
        #[track_caller]
        pub fn new(value: $value) -> Self {
            Self(inner::$name::new(value))
        }

        /// See [`std::sync::atomic`].
        #[track_caller]
        pub fn into_inner(self) -> $value {
            self.0.into_inner()
        }

        /// See [`std::sync::atomic`].
        #[track_caller]
        pub fn load(&self, ordering: Ordering) -> $value {
            self.0.load(one("load", Part::Whole, ordering))
        }

        /// See [`std::sync::atomic`].
        #[track_caller]
        pub fn store(&self, value: $value, ordering: Ordering) {
            self.0.store(value, one("store", Part::Whole, ordering));
        }

        /// See [`std::sync::atomic`].
        #[track_caller]
        pub fn swap(&self, value: $value, ordering: Ordering) -> $value {
            self.0.swap(value, both("swap", ordering))
        }

        /// See [`std::sync::atomic`].
        #[track_caller]
        pub fn compare_exchange(
            &self,
            current: $value,
            new: $value,
            success: Ordering,
            failure: Ordering,
        ) -> Result<$value, $value> {
            let success = both("compare_exchange", success);
            let failure = one("compare_exchange", Part::Failure, failure);
            self.0.compare_exchange(current, new, success, failure)
        }

        /// See [`std::sync::atomic`]. Fails for no reason only at a [`Whim::WeakFailure`].
        #[track_caller]
        pub fn compare_exchange_weak(
            &self,
            current: $value,
            new: $value,
            success: Ordering,
            failure: Ordering,
        ) -> Result<$value, $value> {
            let success = both("compare_exchange_weak", success);
            let failure = one("compare_exchange_weak", Part::Failure, failure);
            if whim(Whim::WeakFailure) {
                return Err(self.0.load(failure));
            }
            self.0.compare_exchange_weak(current, new, success, failure)
        }

        /// See [`std::sync::atomic`].
        #[track_caller]
        pub fn fetch_update(
            &self,
            set: Ordering,
            fetch: Ordering,
            update: impl FnMut($value) -> Option<$value>,
        ) -> Result<$value, $value> {
            let set = both("fetch_update", set);
            let fetch = one("fetch_update", Part::Fetch, fetch);
            self.0.fetch_update(set, fetch, update)
        }
    };
}

macro_rules! modifications {
    ($value:ty: $($method:ident),+) => {
        $(
            /// See [`std::sync::atomic`].
            #[track_caller]
            pub fn $method(&self, value: $value, ordering: Ordering) -> $value {
                self.0.$method(value, both(stringify!($method), ordering))
            }
        )+
    };
}

macro_rules! integer {
    ($name:ident, $value:ty) => {
        #[doc = concat!("Twin of [`std::sync::atomic::", stringify!($name), "`].")]
        #[derive(Debug, Default)]
        pub struct $name(inner::$name);

        impl $name {
            accesses!($name, $value);
            modifications!(
                $value: fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min
            );
        }
    };
}

integer!(AtomicU32, u32);
integer!(AtomicU64, u64);
integer!(AtomicUsize, usize);

/// Twin of [`std::sync::atomic::AtomicBool`].
#[derive(Debug, Default)]
pub struct AtomicBool(inner::AtomicBool);

impl AtomicBool {
    accesses!(AtomicBool, bool);
    modifications!(bool: fetch_and, fetch_or, fetch_xor);
}

/// Twin of [`std::sync::atomic::AtomicPtr`].
#[derive(Debug)]
pub struct AtomicPtr<T>(inner::AtomicPtr<T>);

impl<T> AtomicPtr<T> {
    accesses!(AtomicPtr, *mut T);
}

impl<T> Default for AtomicPtr<T> {
    fn default() -> Self {
        Self::new(std::ptr::null_mut())
    }
}
