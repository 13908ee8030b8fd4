//! The right to a task's output: the handle's side of the race with completion.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::{Head, Header, JoinError, TaskRef, contained, drop_ref};
use crate::task::state::{Detach, Joiner};

/// The right to a task's output: a pointer in which the lowest bit says that it was taken. (Beside
/// the pointer it would take 8 bytes of whoever keeps a handle for each task.)
pub(crate) struct Join<T> {
    tagged: NonNull<Header>,
    output: PhantomData<fn() -> T>,
}

/// The lowest bit of [`Join::tagged`].
const TAKEN: usize = 1;
const _: () = assert!(align_of::<Header>() > TAKEN, "the bit is free");
const _: () = assert!(size_of::<Option<Join<()>>>() == size_of::<usize>());

// SAFETY: it moves a `T` from the thread that made it to the one that takes it; the rest is the
// header. `&Join` shows the header only.
unsafe impl<T: Send> Send for Join<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Join<T> {}

impl<T> Join<T> {
    /// # Safety
    /// The task was just made with a handle, and its output is a `T` (rule 7).
    pub(super) unsafe fn new(task: NonNull<Header>) -> Join<T> {
        Join { tagged: task, output: PhantomData }
    }

    /// Rule 6: with the provenance of the pointer it was made of.
    #[inline]
    fn pointer(&self) -> NonNull<Header> {
        let pointer = self.tagged.as_ptr().map_addr(|address| address & !TAKEN);
        // SAFETY: the address of a header, which is not null.
        unsafe { NonNull::new_unchecked(pointer) }
    }

    #[inline]
    fn is_taken(&self) -> bool {
        self.tagged.addr().get() & TAKEN != 0
    }

    fn set_taken(&mut self) {
        self.tagged = self.tagged.map_addr(|address| address | TAKEN);
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: rule 1: the handle holds a counted reference.
        unsafe { self.pointer().as_ref() }.witness()
    }

    pub(crate) fn task(&self) -> TaskRef {
        // SAFETY: rule 1: the handle holds a counted reference.
        unsafe { TaskRef::new(self.pointer()) }
    }

    /// Takes the output if the task is complete.
    ///
    /// # Panics
    /// If it was taken before.
    pub(crate) fn try_take(&mut self) -> Option<Result<T, JoinError>> {
        assert!(!self.is_taken(), "a JoinHandle was polled again after it had given its result");
        if !self.header().state.is_complete() {
            return None;
        }
        Some(self.take())
    }

    /// A look at the output, if the task is complete and it was not taken.
    pub(crate) fn peek(&mut self) -> Option<&Result<T, JoinError>> {
        if self.is_taken() || !self.header().state.is_complete() {
            return None;
        }
        // SAFETY: rule 2, as in `take`; it stays where it is as long as `self` is borrowed, for only
        // `self` can take it. Rule 7: the stage is a union without other bytes before its fields.
        unsafe {
            let output = (self.header().vtable.output)(self.pointer());
            Some(&*output.cast::<Result<T, JoinError>>())
        }
    }

    /// The task is complete and the output was not taken.
    fn take(&mut self) -> Result<T, JoinError> {
        self.set_taken();
        let mut output = MaybeUninit::<Result<T, JoinError>>::uninit();
        // SAFETY: rule 2: the task is complete and the handle still there, so the output is
        // alive and ours; the mark sees to it that it is moved out once. Rule 7: a `Join<T>` is
        // only made by `spawn` for a future whose output is `T`.
        unsafe {
            (self.header().vtable.take_output)(self.pointer(), output.as_mut_ptr().cast());
            output.assume_init()
        }
    }

    /// Takes the output, or leaves a waker.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<T, JoinError>> {
        if let Some(output) = self.try_take() {
            return Poll::Ready(output);
        }
        // SAFETY: rule 7 for the cast; we hold a reference.
        let head = unsafe { self.pointer().cast::<Head>().as_ref() };
        let state = &head.header.state;
        if state.has_joiner() {
            // SAFETY: rule 3: while the bit is set only the completer may take the waker, so
            // this must not look at it: take the place back first.
            if state.reclaim_waker() == Joiner::Complete {
                return Poll::Ready(self.take());
            }
        }
        // SAFETY: rule 3: the bit is clear, the place is ours.
        let old = head.joiner.with_mut(|joiner| unsafe { (*joiner).take() });
        // Out of its place, so that nothing is left behind if a foreign waker panics here.
        let (new, old) = match old {
            Some(waker) if waker.will_wake(cx.waker()) => (waker, None),
            old => (cx.waker().clone(), old),
        };
        // SAFETY: as above.
        head.joiner.with_mut(|joiner| unsafe { *joiner = Some(new) });
        let left = state.leave_waker();
        contained(|| drop(old));
        match left {
            Joiner::Mine => Poll::Pending,
            Joiner::Complete => {
                // SAFETY: rule 3: the completer saw the bit clear, so the waker stayed ours.
                let waker = head.joiner.with_mut(|joiner| unsafe { (*joiner).take() });
                contained(|| drop(waker));
                Poll::Ready(self.take())
            }
        }
    }
}

impl<T> Drop for Join<T> {
    fn drop(&mut self) {
        // SAFETY: rule 7 for the cast; we hold a reference until `detach` or `drop_ref`.
        unsafe {
            loop {
                let head = self.pointer().cast::<Head>().as_ref();
                match head.header.witness().state.detach() {
                    Detach::Detached => return,
                    Detach::TakeWaker => {
                        if head.header.state.reclaim_waker() == Joiner::Mine {
                            // SAFETY: rule 3.
                            let waker = head.joiner.with_mut(|joiner| (*joiner).take());
                            contained(|| drop(waker));
                        }
                    }
                    Detach::Complete => {
                        if !self.is_taken() {
                            // SAFETY: rule 2: complete, so the output is the handle's.
                            (head.header.vtable.drop_output)(self.pointer());
                        }
                        return drop_ref(self.pointer());
                    }
                }
            }
        }
    }
}

impl<T> fmt::Debug for Join<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header().fmt(f)
    }
}
