//! What the owner of `ACTIVE` does with a task: polls it, parks it, ends it.
//!
//! ```text
//! run: begin ──► poll ──► Ready, panic ───────────────► publish ──► complete
//!        │         └────► Pending ──► settle ──► park      ▲  └── held back ──► parks, completing
//!        └── a request waits ──► ask the hook ◄──┘         │
//!                                  └────► drop the future ─┘
//! ```
//!
//! The rules it refers to are those of [`cell`](super).
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::{Closed, Ending, Head, Header, Place, Polled, Ran, Runnable, TaskRef, contained, free};
#[cfg(filch_loom)]
use crate::primitive::seeded;
use crate::task::extra::{self, Extra, Publish, Verdict};
use crate::task::polling::{Left, Polling};
use crate::task::state::{Begin, Complete, Park};
use crate::task::tree::When;
use crate::task::{JoinError, Label, waker};

impl Runnable {
    /// Polls the task once and does what follows from it.
    pub(crate) fn run(self) -> Ran {
        match self.run_and_hand_over() {
            Ran::Handed(joiner) => {
                joiner.schedule();
                Ran::Ended(Ending::Finished)
            }
            ran => ran,
        }
    }

    /// As [`Runnable::run`]; but if a task waits for the output of this one, it may be the caller who schedules it.
    #[inline]
    pub(crate) fn run_and_hand_over(self) -> Ran {
        let task = self.into_raw();
        // SAFETY: we own `ACTIVE` until one of the transitions below gives it away, and after
        // each of those nothing is touched.
        unsafe { run(task) }
    }

    pub(crate) fn schedule(self) {
        // SAFETY: rule 7, and we own `ACTIVE` and give it away.
        unsafe { (self.header().vtable.schedule)(self.into_raw()) }
    }

    /// Is this who schedules it? (Jobs have a scheduler for owner as well, but nobody wakes them: they ignore their waker.)
    pub(crate) fn is_owned_by<O>(&self, owner: &'static O) -> bool {
        self.header().owner == NonNull::from(owner).cast()
    }

    /// Ends the task instead of polling it: its runtime is shutting down.
    pub(crate) fn abandon(self) -> Ran {
        // SAFETY: we own `ACTIVE` and give it up.
        unsafe { abandon(self.into_raw()) }
    }

    /// Ends the task with an error, unpolled.
    pub(crate) fn fail(self, error: impl FnOnce(Label) -> JoinError) {
        let error = error(self.header().label());
        // SAFETY: we own `ACTIVE` and give it up.
        unsafe {
            let task = self.into_raw();
            let ending = cancel(task, error);
            let _ = publish_now(task, ending, true);
        }
    }

    /// Tries again to complete a root; `false`: it still is held back, and waits.
    pub(crate) fn complete_root(self) -> bool {
        let _ = self.header().state.begin();
        let ending = self.header().held_ending();
        // SAFETY: we own `ACTIVE`; a root has no output in its cell.
        unsafe { !matches!(publish(self.into_raw(), ending, false), Ran::Parked) }
    }

    /// The future of a root is dropped (by `f`), for it has ended one way or the other. Then the
    /// root is complete, or (`false`) still held back: [`Runnable::complete_root`] when it is woken.
    pub(crate) fn end_root(self, ending: Ending, f: impl FnOnce()) -> bool {
        let frame = Polling::enter(self.header(), self.0);
        f();
        frame.leave();
        // SAFETY: we own `ACTIVE`; a root has no output in its cell.
        unsafe { !matches!(publish(self.into_raw(), ending, false), Ran::Parked) }
    }

    /// Polls a root: its future is the caller's. See [`Rooted`].
    pub(crate) fn run_with<T>(self, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Rooted<T> {
        match self.header().state.begin() {
            Begin::Poll => {}
            // SAFETY: we own `ACTIVE`.
            Begin::Cancelled => match unsafe { ask(self.0, When::BeforePoll) } {
                (Verdict::Drop, _) => return Rooted::Cancelled(self),
                (Verdict::GoOn, _) => {}
            },
            Begin::Publish => unreachable!("a root that completes is not polled"),
        }
        let frame = Polling::enter(self.header(), self.0);
        let waker = waker::borrowed(self.0);
        // A panic goes on to the caller of `block_on`; `self`, dropped, then ends the task.
        let polled = poll(&mut Context::from_waker(&waker));
        let left = frame.leave();
        if let Poll::Ready(value) = polled {
            return match extra::overruled(self.header()) {
                None => Rooted::Ready(value, self),
                Some(error) => Rooted::Overruled(value, error, self),
            };
        }
        // SAFETY: we own `ACTIVE`. (A closed list is no reason to end a root: its runtime
        // cannot go away while `block_on` borrows it.)
        let _ = unsafe { enlist(self.0) };
        // SAFETY: we own `ACTIVE`.
        match unsafe { settle(self.0, &left) } {
            Settled::Parked => {
                std::mem::forget(self);
                Rooted::Parked
            }
            Settled::Again => Rooted::Again(self),
            Settled::Drop => Rooted::Cancelled(self),
        }
    }
}

/// How a poll of a root ended. Unless it parked or goes on, its future is to be dropped in
/// [`Runnable::end_root`].
#[derive(Debug)]
pub(crate) enum Rooted<T> {
    Ready(T, Runnable),
    /// Ready, but cut short by a cancel: the value is to be dropped, too.
    Overruled(T, JoinError, Runnable),
    Parked,
    Again(Runnable),
    Cancelled(Runnable),
}

/// What comes after a poll that returned Pending.
enum Settled {
    Parked,
    Again,
    Drop,
}

/// A request waits: asks the hook. The flag tells whether the task was woken by that.
///
/// # Safety
/// The caller owns `ACTIVE`.
#[cold]
unsafe fn ask(task: NonNull<Header>, when: When) -> (Verdict, bool) {
    // SAFETY: rule 1.
    let header = unsafe { task.as_ref() };
    // In a frame, so that wake-ups of the task itself are only noted.
    let frame = Polling::enter(header, task);
    let verdict = extra::after_pending(header, when);
    (verdict, frame.leave().woken)
}

/// A poll has returned Pending: parks, unless there is a reason not to.
///
/// # Safety
/// The caller owns `ACTIVE`; if the answer is `Parked`, no longer.
#[inline]
unsafe fn settle(task: NonNull<Header>, left: &Left) -> Settled {
    // SAFETY: rule 1; not used after it has parked.
    let header = unsafe { task.as_ref() };
    if left.woken && !header.state.is_cancelled() {
        return Settled::Again;
    }
    header.link.set_waits(left.waits);
    match header.state.park() {
        Park::Parked => Settled::Parked,
        Park::Notified => Settled::Again,
        // SAFETY: as this function's.
        Park::Cancelled { notified } => unsafe { settle_asked(task, left.woken || notified) },
    }
}

/// A request was found instead of a parking place.
///
/// # Safety
/// As [`settle`].
#[cold]
unsafe fn settle_asked(task: NonNull<Header>, mut woken: bool) -> Settled {
    // SAFETY: rule 1; not used after it has parked.
    let header = unsafe { task.as_ref() };
    loop {
        // SAFETY: as this function's.
        match unsafe { ask(task, When::AfterPoll { quiet: !woken }) } {
            (Verdict::Drop, _) => return Settled::Drop,
            (Verdict::GoOn, by_that) if by_that || woken => return Settled::Again,
            // Nothing came of it: back to parking.
            (Verdict::GoOn, _) => {}
        }
        match header.state.park() {
            Park::Parked => return Settled::Parked,
            Park::Notified => return Settled::Again,
            Park::Cancelled { notified } => woken = notified,
        }
    }
}

/// # Safety
/// The caller owns `ACTIVE` and gives it away.
unsafe fn run(task: NonNull<Header>) -> Ran {
    // SAFETY: rule 1; not used after `ACTIVE` is given away.
    let header = unsafe { task.as_ref() };
    // SAFETY: (of the vtable calls) rule 7, and we own `ACTIVE`.
    unsafe {
        match header.state.begin() {
            Begin::Poll => {}
            Begin::Cancelled => match ask(task, When::BeforePoll) {
                (Verdict::Drop, _) => {
                    let ending = cancel(task, extra::cancelled(header));
                    return publish(task, ending, true);
                }
                (Verdict::GoOn, _) => {}
            },
            Begin::Publish => return publish(task, header.held_ending(), true),
        }
        let frame = Polling::enter(header, task);
        let polled = (header.vtable.poll)(task);
        let left = frame.leave();
        match polled {
            Polled::Finished if header.extra().is_none() => {
                // Nothing can overrule it or hold it back.
                return complete(task, Ending::Finished, true, true);
            }
            Polled::Finished => {
                let ending = match extra::overruled(header) {
                    None => Ending::Finished,
                    Some(error) => overrule(task, error),
                };
                return publish(task, ending, true);
            }
            Polled::Panicked => return publish(task, Ending::Panicked, true),
            Polled::Pending => {}
        }
        if let Err(Closed) = enlist(task) {
            let ending = cancel(task, JoinError::shut_down(header.label()));
            return publish_now(task, ending, true);
        }
        match settle(task, &left) {
            Settled::Parked => Ran::Parked,
            Settled::Again => Ran::Again(Runnable(task)),
            Settled::Drop => {
                let ending = cancel(task, extra::cancelled(header));
                publish(task, ending, true)
            }
        }
    }
}

/// Enters a task into a list of live tasks after its first poll.
///
/// # Safety
/// The caller owns `ACTIVE`.
unsafe fn enlist(task: NonNull<Header>) -> Result<(), Closed> {
    // SAFETY: rules 1, 2 and 7.
    unsafe {
        let header = task.as_ref();
        if header.standing.with(|s| (*s).slot) == Place::NONE.slot {
            let place = (header.vtable.track)(task)?;
            header.standing.with_mut(|s| {
                (*s).slot = place.slot;
                (*s).list = place.list;
            });
        }
    }
    Ok(())
}

/// Drops the future instead of polling it, and stores the error.
///
/// # Safety
/// The caller owns `ACTIVE`; the future is alive.
unsafe fn cancel(task: NonNull<Header>, error: JoinError) -> Ending {
    // SAFETY: rules 1, 2 and 7. The frame tells whatever the drop calls which task this is.
    unsafe {
        let header = task.as_ref();
        let frame = Polling::enter(header, task);
        let ending = (header.vtable.cancel)(task, error);
        frame.leave();
        ending
    }
}

/// Drops the output, and stores the error instead.
///
/// # Safety
/// The caller owns `ACTIVE`; the output is alive.
unsafe fn overrule(task: NonNull<Header>, error: JoinError) -> Ending {
    // SAFETY: rules 1, 2 and 7.
    unsafe {
        let header = task.as_ref();
        let frame = Polling::enter(header, task);
        let ending = (header.vtable.overrule)(task, error);
        frame.leave();
        ending
    }
}

/// A `Runnable` was dropped instead of run: its runtime is gone.
///
/// # Safety
/// The caller owns `ACTIVE` and gives it away.
pub(super) unsafe fn abandon(task: NonNull<Header>) -> Ran {
    // SAFETY: rules 1, 2 and 7.
    unsafe {
        let header = task.as_ref();
        match header.state.begin() {
            Begin::Publish => publish_now(task, header.held_ending(), true),
            Begin::Poll | Begin::Cancelled => {
                let ending = cancel(task, JoinError::shut_down(header.label()));
                publish_now(task, ending, true)
            }
        }
    }
}

/// The future is gone and the output stored: tell the world.
///
/// # Safety
/// The caller owns `ACTIVE` and gives it away.
unsafe fn publish(task: NonNull<Header>, ending: Ending, has_output: bool) -> Ran {
    // SAFETY: rule 1: the task is incomplete, and ours.
    let header = unsafe { task.as_ref() };
    while header.extra().is_some_and(|extra| extra::before_publish(extra, ending) == Publish::Held)
    {
        // Somebody must know of it while it waits. In a runtime that closes nobody will, and it ends
        // now: what holds it is being dropped as well (or does not belong to the runtime, or is a
        // blocking job that goes on for ever). Whoever closes it marks that first, and then asks
        // each task in the lists: either that finds this one parked and wakes it, or parking fails.
        // SAFETY: rule 7, and we own `ACTIVE`.
        if unsafe { (header.vtable.is_closing)(task) || enlist(task).is_err() } {
            break;
        }
        if header.state.park_completing() {
            return Ran::Parked;
        }
    }
    // SAFETY: as this function's.
    unsafe { publish_now(task, ending, has_output) }
}

/// As [`publish`], whatever holds it back: the runtime is shutting down, and everything that could
/// hold is being dropped as well.
///
/// # Safety
/// As [`publish`].
unsafe fn publish_now(task: NonNull<Header>, ending: Ending, has_output: bool) -> Ran {
    // SAFETY: rule 1: the task is incomplete, and ours.
    let header = unsafe { task.as_ref() };
    let counts = !header.extra().is_some_and(Extra::is_uncounted);
    if let Some(locals) = header.extra().and_then(|extra| extra.locals().end()) {
        // User-written drops: in the task still, and while its runtime waits for it.
        let frame = Polling::enter(header, task);
        contained(|| drop(locals));
        frame.leave();
    }
    // SAFETY: as this function's.
    let ran = unsafe { complete(task, ending, has_output, false) };
    if counts { ran } else { Ran::Parked }
}

/// The last step: out of the list, and complete.
///
/// `hands_over`: the caller takes the joiner. Nothing that a user wrote runs between the joiner's wake-up and the caller's
/// return then (the task has no `Extra`, and its output is the handle's), so nobody need find the joiner meanwhile.
///
/// # Safety
/// As [`publish`].
unsafe fn complete(
    task: NonNull<Header>,
    ending: Ending,
    mut has_output: bool,
    hands_over: bool,
) -> Ran {
    // SAFETY: rule 1, until `complete` says `Done`.
    let header = unsafe { task.as_ref() };
    // SAFETY: rules 2, 3 and 7; after `Done` only the last reference is used, if it is ours.
    unsafe {
        let place = header.standing.with(|s| Place { slot: (*s).slot, list: (*s).list });
        if place != Place::NONE {
            let entry = (header.vtable.untrack)(task, place);
            // What makes `Listed::task` sound: nobody publishes a task that a list still shows.
            assert!(entry.0 == task, "a list of live tasks gave back another task");
            std::mem::forget(entry);
        }
        loop {
            match header.state.complete(has_output) {
                Complete::DropOutput => {
                    (header.vtable.drop_output)(task);
                    has_output = false;
                }
                Complete::Done { last } => {
                    if last {
                        free(task);
                    }
                    return Ran::Ended(ending);
                }
                Complete::WakeJoiner => {
                    let own = TaskRef(task);
                    #[cfg(filch_loom)] // A twin drops it too early.
                    let own = Some(own).filter(|_| !seeded("drop-before-wake"));
                    let joiner = wake_joiner(task);
                    let joiner = if hands_over { joiner } else { schedule(joiner) };
                    drop(own);
                    return joiner.map_or(Ran::Ended(ending), Ran::Handed);
                }
                Complete::Tell { joiner } => {
                    let own = TaskRef(task);
                    if joiner {
                        schedule(wake_joiner(task));
                    }
                    extra::tell(&own, ending);
                    return Ran::Ended(ending);
                }
            }
        }
    }
}

/// Wakes who awaits the task; if that is a task of ours that is to be polled now, it is the answer.
///
/// # Safety
/// The task is complete, and its joiner's waker the caller's (rule 3).
unsafe fn wake_joiner(task: NonNull<Header>) -> Option<Runnable> {
    // SAFETY: rule 7 for the cast; rule 3, as promised by the caller.
    let joiner = unsafe {
        let head = task.cast::<Head>().as_ref();
        head.joiner.with_mut(|joiner| (*joiner).take())
    };
    match waker::into_task(joiner?) {
        // SAFETY: the waker's reference is ours, and goes here.
        Ok(joiner) => unsafe { wake_and_take(joiner) },
        Err(joiner) => {
            contained(|| joiner.wake());
            None
        }
    }
}

/// As [`wake_by_val`](super::wake_by_val), but if the task is to be scheduled, the caller does it.
///
/// # Safety
/// As that function's.
pub(super) unsafe fn wake_and_take(task: NonNull<Header>) -> Option<Runnable> {
    // SAFETY: the reference keeps the header alive.
    match unsafe { task.as_ref() }.witness().state.wake_by_val() {
        // `wake_by_val` gave us `ACTIVE` (rule 1: it is incomplete).
        Ok(_) => Some(Runnable(task)),
        Err(true) => {
            // SAFETY: that was the last reference.
            unsafe { free(task) };
            None
        }
        Err(false) => None,
    }
}

fn schedule(task: Option<Runnable>) -> Option<Runnable> {
    task.into_iter().for_each(Runnable::schedule);
    None
}
