//! `std::task::Waker` for tasks: a counted pointer to the header.
//!
//! One vtable serves all tasks, so `will_wake` compares what it should.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::cell::{self, Header};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker lent to a poll: it holds no reference of its own, and none is given up.
pub(crate) struct Borrowed(ManuallyDrop<Waker>);

impl Deref for Borrowed {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.0
    }
}

/// For the owner of an active task, which is alive while it is polled.
pub(crate) fn borrowed(task: NonNull<Header>) -> Borrowed {
    let data = task.as_ptr().cast_const().cast::<()>();
    // SAFETY: the functions below keep the contract of a raw waker: thread-safe, and the
    // reference count pairs `clone` with `wake` and `drop`. This one is never dropped
    // (`ManuallyDrop`) and lives no longer than the poll it is lent to.
    Borrowed(ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(data, &VTABLE)) }))
}

/// Is this a waker of this task?
#[inline]
pub(super) fn is_of(waker: &Waker, task: NonNull<Header>) -> bool {
    waker.data() == task.as_ptr().cast_const().cast() && ptr::eq(waker.vtable(), &VTABLE)
}

/// The task that a waker would wake, if it is one of ours: the waker's reference is the caller's now.
#[inline]
pub(super) fn into_task(waker: Waker) -> Result<NonNull<Header>, Waker> {
    if !ptr::eq(waker.vtable(), &VTABLE) {
        return Err(waker);
    }
    Ok(header(ManuallyDrop::new(waker).data()))
}

fn header(data: *const ()) -> NonNull<Header> {
    // SAFETY: `data` was made from a `NonNull` in `borrowed`.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned keeps the header alive (a borrowed one: the poll does).
    unsafe { header(data).as_ref() }.witness().state().add_ref();
    RawWaker::new(data, &VTABLE)
}

fn wake(data: *const ()) {
    // SAFETY: `Waker::wake` gives up the waker's reference.
    unsafe { cell::wake_by_val(header(data)) };
}

fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker keeps the header alive.
    unsafe { cell::wake(header(data)) };
}

fn drop_waker(data: *const ()) {
    // SAFETY: `Waker::drop` gives up the waker's reference.
    unsafe { cell::drop_ref(header(data)) };
}
