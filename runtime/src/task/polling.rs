//! Which task this thread is polling.
//!
//! A frame stands on the stack of each poll. It answers two questions: which task is current,
//! and did that task wake itself? Such a wake-up needs no write to the state word: the poll will
//! return to the very thread that noted it. Polls nest (a `block_on` inside a blocking job, an
//! eager start), so a frame keeps the one it covers; dropping it, also by a panic, brings that
//! one back.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;

use super::cell::Header;
use crate::primitive::tls;

tls! { static CURRENT: Cell<Frame> = Cell::new(Frame::NONE) }

#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Only compared, never followed.
    task: *const Header,
    woken: bool,
}

impl Frame {
    const NONE: Frame = Frame { task: ptr::null(), woken: false };
}

/// The guard of a frame. It borrows the task it stands for, and stays on its thread.
#[derive(Debug)]
pub(crate) struct Polling<'a> {
    outer: Frame,
    task: PhantomData<&'a Header>,
    on_this_thread: PhantomData<*const ()>,
}

impl<'a> Polling<'a> {
    pub(crate) fn enter(task: &'a Header) -> Polling<'a> {
        let outer = CURRENT.with(|current| current.replace(Frame { task, woken: false }));
        Polling { outer, task: PhantomData, on_this_thread: PhantomData }
    }

    /// Ends the poll: did the task wake itself?
    pub(crate) fn leave(self) -> bool {
        CURRENT.with(Cell::get).woken
    }

    /// A wake-up of `task` on this thread. `true` if it is the one being polled here: then
    /// nothing else needs to be done.
    pub(crate) fn note_wake(task: &Header) -> bool {
        CURRENT.with(|current| {
            let frame = current.get();
            let own = ptr::eq(frame.task, task);
            if own && !frame.woken {
                current.set(Frame { woken: true, ..frame });
            }
            own
        })
    }

    /// Is any task being polled on this thread?
    pub(crate) fn is_any() -> bool {
        !CURRENT.with(Cell::get).task.is_null()
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.outer));
    }
}
