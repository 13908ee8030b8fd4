//! Which task this thread is polling, and what that poll has said so far.
//!
//! A frame stands on the stack of each poll. It answers: which task is current? Did that task wake
//! itself? (Such a wake-up needs no write to the state word: the poll will return to the very
//! thread that noted it.) Which node of the task's [tree](super::tree) is being polled? And what
//! does the task wait for? Polls nest (a `block_on` inside a blocking job, an eager start), so a
//! frame keeps the one it covers; dropping it, also by a panic, brings that one back.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::task::Waker;

use super::cell::{Header, Waits};
use super::tree::NodeId;
use super::waker;
use crate::primitive::tls;
use crate::primitive::unmodelled::{AtomicU64, Ordering};

tls! { static CURRENT: Current = Current::NOTHING }

/// Three words, each in a cell of its own: a poll touches one or two of them.
struct Current {
    task: Cell<Option<NonNull<Header>>>,
    notes: Cell<Notes>,
    waits: Cell<Waits>,
}

#[derive(Debug, Clone, Copy)]
struct Notes {
    node: NodeId,
    woken: bool,
    /// How many operations have succeeded in this poll.
    done: u16,
}

impl Notes {
    const NOTHING: Notes = Notes { node: NodeId::ROOT, woken: false, done: 0 };
}

impl Current {
    #[allow(clippy::declare_interior_mutable_const, reason = "the start value of a thread-local")]
    const NOTHING: Current = Current {
        task: Cell::new(None),
        notes: Cell::new(Notes::NOTHING),
        waits: Cell::new(Waits::UNKNOWN),
    };
}

/// The guard of a frame. It borrows the task it stands for, and stays on its thread.
#[derive(Debug)]
pub(crate) struct Polling<'a> {
    task: Option<NonNull<Header>>,
    notes: Notes,
    waits: Waits,
    header: PhantomData<&'a Header>,
}

/// What a frame has noted.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) woken: bool,
    pub(crate) waits: Waits,
}

impl<'a> Polling<'a> {
    /// `header` is where `task` points to: while the guard lives, the task can be found by
    /// [`current`](super::cell::current).
    #[inline]
    pub(crate) fn enter(_header: &'a Header, task: NonNull<Header>) -> Polling<'a> {
        Polling::cover(Some(task))
    }

    #[inline]
    fn cover(task: Option<NonNull<Header>>) -> Polling<'a> {
        CURRENT.with(|current| Polling {
            task: current.task.replace(task),
            notes: current.notes.replace(Notes::NOTHING),
            waits: current.waits.replace(Waits::UNKNOWN),
            header: PhantomData,
        })
    }

    /// Ends the poll.
    #[inline]
    pub(crate) fn leave(self) -> Left {
        CURRENT.with(|current| {
            let woken = current.notes.get().woken;
            Left { woken, waits: current.waits.get() }
        })
    }

    /// A wake-up of `task` on this thread. `true` if it is the one being polled here: then
    /// nothing else needs to be done.
    pub(crate) fn note_wake(task: NonNull<Header>) -> bool {
        CURRENT.with(|current| {
            let own = current.task.get() == Some(task);
            if own {
                current.notes.set(Notes { woken: true, ..current.notes.get() });
            }
            own
        })
    }
}

/// Has the task that is polled here been woken in this poll, and is this its own waker? Then whoever was passed
/// that waker is polled again: such a wake-up does not tell for whom it is.
#[inline]
pub(crate) fn is_woken(waker: &Waker) -> bool {
    CURRENT.with(|current| {
        let task = current.task.get();
        current.notes.get().woken && task.is_some_and(|task| waker::is_of(waker, task))
    })
}

impl Drop for Polling<'_> {
    #[inline]
    fn drop(&mut self) {
        CURRENT.with(|current| {
            current.task.set(self.task);
            current.notes.set(self.notes);
            current.waits.set(self.waits);
        });
    }
}

/// Until the guard is dropped, nothing is polled here: for callbacks, which belong to no task, wherever
/// they are called.
pub(crate) fn outside() -> Polling<'static> {
    Polling::cover(None)
}

/// The task of the topmost frame. It lives as long as the frame; whoever follows the pointer must
/// not keep what it finds for longer.
pub(super) fn current_task() -> Option<NonNull<Header>> {
    CURRENT.try_with(|current| current.task.get()).ok().flatten()
}

/// The node that is being polled.
pub(crate) fn node() -> NodeId {
    CURRENT.with(|current| current.notes.get().node)
}

/// Until the guard is dropped, this node is being polled.
pub(crate) fn enter_node(node: NodeId) -> InNode {
    CURRENT.with(|current| {
        let notes = current.notes.get();
        current.notes.set(Notes { node, ..notes });
        InNode(notes.node)
    })
}

/// See [`enter_node`].
#[derive(Debug)]
pub(crate) struct InNode(NodeId);

impl Drop for InNode {
    fn drop(&mut self) {
        CURRENT.with(|current| {
            current.notes.set(Notes { node: self.0, ..current.notes.get() });
        });
    }
}

/// After how many operations that need not wait a poll is asked to end: then the others have a turn. (A task that
/// is never found waiting could not be cancelled either, nor would its timeouts end.) Each is a
/// system call, so a yield after so many is not felt.
const ENOUGH: u16 = 64;
/// After how many it is made to.
const TOO_MANY: u16 = 512;

/// May what is polled here try one more operation? If not, it wakes itself and returns Pending.
///
/// One refusal ends the poll of a task that does one thing after the other. A task that waits for many things at a time asks
/// for each of them in turn; to refuse all the rest would be so many polls in vain, in each of its rounds. So there
/// is one refusal after 64 operations, and only after 512 is everything refused: that ends a `select` between two
/// that are always ready, too.
pub(crate) fn may_go_on() -> bool {
    CURRENT.with(|current| {
        let notes = current.notes.get();
        if notes.done == ENOUGH {
            current.notes.set(Notes { done: ENOUGH + 1, ..notes });
        }
        notes.done != ENOUGH && notes.done < TOO_MANY
    })
}

/// An operation has succeeded that another task could also have been made to wait for. Counted in polls of tasks
/// only: on a foreign executor nobody would begin anew.
pub(crate) fn has_gone_on() {
    CURRENT.with(|current| {
        if current.task.get().is_some() {
            let notes = current.notes.get();
            current.notes.set(Notes { done: notes.done.saturating_add(1), ..notes });
        }
    });
}

/// What is polled here is about to return Pending, and this is why. Of several, the first is kept:
/// an inner future says more than what it is wrapped in.
pub(crate) fn waits(waits: Waits) {
    CURRENT.with(|current| {
        if current.waits.get().is_unknown() {
            current.waits.set(waits);
        }
    });
}

/// As [`waits`], whatever the futures inside have said.
pub(crate) fn waits_rather(waits: Waits) {
    CURRENT.with(|current| current.waits.set(waits));
}

tls! {
    /// How many nodes were polled on this thread, plus a start value that no other thread shares.
    static STAMP: Cell<u64> = Cell::new(0)
}

/// Rises with each node that is polled on this thread: whoever finds the same value before and
/// after a poll knows that there was none in it.
pub(crate) fn stamp() -> u64 {
    static THREADS: AtomicU64 = AtomicU64::new(0);
    STAMP.with(|stamp| {
        if stamp.get() == 0 {
            // Also if it is only looked at: between two stamps of a thread lie none of another.
            stamp.set((THREADS.fetch_add(1, Ordering::Relaxed) << 40) + 1);
        }
        stamp.get()
    })
}

/// A node is polled.
pub(crate) fn next_stamp() -> u64 {
    let now = stamp() + 1;
    STAMP.with(|stamp| stamp.set(now));
    now
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
        Blocking::OutsideTasks => current_task().is_some(),
        Blocking::Allowed => false,
        Blocking::Refused => true,
    }
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::{next_stamp, stamp};

    #[test]
    fn between_two_stamps_of_a_thread_lie_none_of_another() {
        let others: Vec<_> =
            (0..3).map(|_| std::thread::spawn(next_stamp).join().unwrap()).collect();
        std::thread::spawn(move || {
            let range = stamp() + 1..=next_stamp();
            assert!(others.iter().all(|other| !range.contains(other)), "{range:?}");
        })
        .join()
        .unwrap();
    }
}
