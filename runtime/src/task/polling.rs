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
}

/// May this thread block?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocking {
    /// Any thread: yes, but not inside a task that it polls (a `block_on`'s).
    OutsideTasks,
    /// A thread for blocking jobs: yes.
    Allowed,
    /// A worker, or the timer's thread: never.
    Refused,
}

tls! { static BLOCKING: Cell<Blocking> = Cell::new(Blocking::OutsideTasks) }

/// Sets what holds for this thread; the answer is what held before.
pub(crate) fn set_blocking(blocking: Blocking) -> Blocking {
    BLOCKING.with(|cell| cell.replace(blocking))
}

pub(crate) fn blocking() -> Blocking {
    BLOCKING.with(Cell::get)
}

/// Would it harm the runtime if this thread blocked here and now?
pub(crate) fn must_not_block() -> bool {
    match blocking() {
        Blocking::OutsideTasks => !CURRENT.with(Cell::get).task.is_null(),
        Blocking::Allowed => false,
        Blocking::Refused => true,
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.outer));
    }
}
