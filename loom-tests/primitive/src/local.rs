//! Thread-locals of a model's threads: loom's here, shuttle's where its twin of this package includes the file.

use std::cell::{Cell, RefCell};

use crate::model::thread::{self, AccessError};

/// A model's thread-local with the methods of std's.
#[derive(Debug)]
pub struct LocalKey<T: 'static>(&'static thread::LocalKey<T>);

impl<T: 'static> LocalKey<T> {
    /// For [`tls!`](crate::tls).
    #[doc(hidden)]
    pub const fn over(inner: &'static thread::LocalKey<T>) -> Self {
        LocalKey(inner)
    }

    /// See [`std::thread::LocalKey`].
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.0.with(f)
    }

    /// See [`std::thread::LocalKey`].
    ///
    /// # Errors
    ///
    /// In a thread that has dropped the value already.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        self.0.try_with(f)
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// See [`std::thread::LocalKey`].
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }

    /// See [`std::thread::LocalKey`].
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// See [`std::thread::LocalKey`].
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// See [`std::thread::LocalKey`].
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// See [`std::thread::LocalKey`].
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// See [`std::thread::LocalKey`].
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// See [`std::thread::LocalKey`].
    pub fn set(&'static self, value: T) {
        self.replace(value);
    }

    /// See [`std::thread::LocalKey`].
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// See [`std::thread::LocalKey`].
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}
