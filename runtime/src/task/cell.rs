//! The task cell: one allocation that holds a future, later its output.
//!
//! ```text
//! ┌────────────── Header, 64 bytes ──────────────┐
//! │ state  vtable  owner  site  extra  id        │
//! │ link   slot list home                        │
//! ├──────────────────────────────────────────────┤
//! │ joiner: the waker of whoever awaits the task │
//! ├──────────────────────────────────────────────┤
//! │ stage:  the future, then Result<T, JoinError>│
//! └──────────────────────────────────────────────┘
//! ```
//!
//! The four kinds of pointer to a cell differ in what they allow:
//! - [`Runnable`]: the right to poll; exactly one exists while a task is queued.
//! - [`Join`]: the right to the output; at most one exists.
//! - [`TaskRef`]: the right to look at the header. Counted. A `Waker` is one of these.
//! - [`Listed`]: the right to be seen in a list of live tasks; taken back before completion.
//!
//! # The rules of this file
//!
//! 1. *Alive*: an incomplete task holds a reference to itself, so whoever knows that a task is
//!    incomplete, or holds a counted reference, may look at its header.
//! 2. *Stage and place*: `stage` and `place` belong to the owner of `ACTIVE` (see
//!    [`state`](super::state)): whoever holds the `Runnable`, or has consumed it in [`run`].
//!    At completion the stage passes to the handle, if there is one.
//! 3. *Joiner*: belongs to the handle while the `JOINER` bit is clear, to the completer once
//!    the bit is set and the task complete.
//! 4. *Link*: as a neighbour in a queue, it belongs to whatever queue holds the `Runnable`. (Its word is
//!    atomic, for anybody may look what an idle task waits for; see `cell/links.rs`.)
//! 5. *After completion* nothing is read again unless a reference is held that was counted
//!    before it.
//! 6. *One pointer*: what polls, schedules or frees a cell is the pointer that [`allocate`] made,
//!    handed on as `NonNull<Header>`. A `&Header` may look at the 64 bytes it covers and no more,
//!    so none is ever turned back into such a pointer.
//! 7. *Types*: a header is only made by [`spawn`] as the first field of a `Cell<F, S>` (which is
//!    `repr(C)`), and its vtable is made of functions for just that `F` and `S`.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, Waker};

use super::extra::Extra;
use super::polling::{self, Polling};
use super::pool::Boxed;
use super::state::{State, Wake};
use super::{Id, JoinError, Label, pool, waker};
use crate::primitive::{AtomicPtr, Ordering, UnsafeCell};

/// Links and list places: touched by the owner of `ACTIVE` only (rule 2).
#[derive(Debug, Clone, Copy)]
struct Standing {
    slot: u32,
    list: u16,
    home: u16,
}

/// The part of a cell that does not depend on the future.
#[repr(C)]
pub(crate) struct Header {
    state: State,
    vtable: &'static VTable,
    /// A `&'static S::Owner`.
    owner: NonNull<()>,
    site: &'static Location<'static>,
    extra: AtomicPtr<Extra>,
    id: Id,
    link: Link,
    standing: UnsafeCell<Standing>,
    /// A witness without bytes. Who may look at the header because of a counted reference says so
    /// with a read, and [`Cell::dealloc`] says that nobody can any more with a write: so the
    /// models see whether the count orders the one before the other.
    alive: UnsafeCell<()>,
}

#[cfg(all(target_pointer_width = "64", not(filch_loom)))]
const _: () = assert!(size_of::<Header>() <= 64, "a sleeping task pays for each byte");

// SAFETY: the raw pointers in a header are `owner`, a `&'static` to a `Sync` type, and `link`, an
// atomic word that is followed only by the queue that holds the task (rule 4). A future that is not `Send` is only reached
// through a `Runnable` that its `Schedule` sends home.
unsafe impl Send for Header {}
// SAFETY: as above; `standing` belongs to one thread at a time (rule 2).
unsafe impl Sync for Header {}

/// What the cell looks like up to the part whose type is not known.
#[repr(C)]
struct Head {
    header: Header,
    /// Rule 3.
    joiner: UnsafeCell<Option<Waker>>,
}

#[repr(C)]
struct Cell<F: Future, S> {
    head: Head,
    /// Rule 2. The state word says which variant is alive.
    stage: UnsafeCell<Stage<F>>,
    _kind: PhantomData<S>,
}

#[repr(C)]
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<Result<F::Output, JoinError>>,
}

#[cfg(all(target_pointer_width = "64", not(filch_loom)))]
const _: () =
    assert!(size_of::<Cell<std::future::Ready<()>, ()>>() <= 88, "and a trivial one, too");

/// How a poll ended.
enum Polled {
    Pending,
    Finished,
    Panicked,
}

struct VTable {
    poll: unsafe fn(NonNull<Header>) -> Polled,
    /// Drops the future and stores `Err` with the error, or with the panic of that drop.
    cancel: unsafe fn(NonNull<Header>, JoinError) -> Ending,
    /// Drops the output and stores `Err` with the error, or with the panic of that drop.
    overrule: unsafe fn(NonNull<Header>, JoinError) -> Ending,
    drop_output: unsafe fn(NonNull<Header>),
    /// Moves the output to where the second pointer says.
    take_output: unsafe fn(NonNull<Header>, *mut ()),
    /// Points to the output.
    output: unsafe fn(NonNull<Header>) -> *const (),
    dealloc: unsafe fn(NonNull<Header>),
    schedule: unsafe fn(NonNull<Header>),
    track: unsafe fn(NonNull<Header>) -> Result<Place, Closed>,
    untrack: unsafe fn(NonNull<Header>, Place) -> Listed,
    is_closing: unsafe fn(NonNull<Header>) -> bool,
    later: unsafe fn(NonNull<Header>, Job),
    requested: unsafe fn(&TaskRef),
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Finished,
    Cancelled,
    Panicked,
}

/// What [`Runnable::run`] and [`Runnable::abandon`] leave to their caller.
#[must_use]
#[derive(Debug)]
pub(crate) enum Ran {
    Ended(Ending),
    /// It waits; a waker has it now. (Or it has ended, and is the runtime's own, which nobody counts.)
    Parked,
    /// It was woken during its own poll: queue it again.
    Again(Runnable),
    /// It has finished, and this is who awaited it: to be scheduled, or polled.
    Handed(Runnable),
}

/// What a new task is made with.
#[derive(Debug)]
pub(crate) struct Spawn<O: 'static> {
    pub(crate) owner: &'static O,
    pub(crate) site: &'static Location<'static>,
    /// The worker that alone may poll it, for futures that are not `Send`.
    pub(crate) home: Option<u16>,
    pub(crate) extra: Option<Boxed<Extra>>,
}

/// Makes a task: the right to run it, and the right to its output.
/// (Inlined, so that `new` is not written to memory by words and read by pairs, which waits: spawn + await 79 → 72 ns.)
#[inline(always)]
pub(crate) fn spawn<S: Schedule, F>(future: F, new: Spawn<S::Owner>) -> (Runnable, Join<F::Output>)
where
    F: Future,
{
    let watched = new.extra.as_ref().is_some_and(|extra| extra.is_watched_from_start());
    let state = if watched { State::spawned_watched() } else { State::spawned() };
    let head = allocate::<S, F>(state, new, future);
    // SAFETY: the task is new, and the output is that of its future.
    (Runnable(head), unsafe { Join::new(head) })
}

/// Makes a task whose future stays with the caller, who polls it with [`Runnable::run_with`].
/// (In the cell stands a `Pending`, which has no bytes.)
pub(crate) fn root<S: Schedule>(new: Spawn<S::Owner>) -> Runnable {
    Runnable(allocate::<S, _>(State::rooted(), new, std::future::pending::<()>()))
}

#[inline(always)]
fn allocate<S: Schedule, F: Future>(
    state: State,
    new: Spawn<S::Owner>,
    future: F,
) -> NonNull<Header> {
    let layout = Layout::new::<Cell<F, S>>();
    let cell = pool::allocate(layout).cast::<Cell<F, S>>();
    let head = Head {
        header: Header {
            state,
            vtable: Cell::<F, S>::VTABLE,
            owner: NonNull::from(new.owner).cast(),
            site: new.site,
            extra: AtomicPtr::new(new.extra.map_or(ptr::null_mut(), Boxed::into_raw)),
            id: Id::next(),
            link: Link::new(),
            standing: UnsafeCell::new(Standing {
                slot: Place::NONE.slot,
                list: Place::NONE.list,
                home: new.home.unwrap_or(u16::MAX),
            }),
            alive: UnsafeCell::new(()),
        },
        joiner: UnsafeCell::new(None),
    };
    // SAFETY: `pool::allocate` returned memory of this layout that nobody else has. (In parts: a large future is moved once.)
    unsafe {
        (&raw mut (*cell.as_ptr()).head).write(head);
        (&raw mut (*cell.as_ptr()).stage)
            .write(UnsafeCell::new(Stage { future: ManuallyDrop::new(future) }));
    }
    cell.cast()
}

impl<F: Future, S: Schedule> Cell<F, S> {
    const VTABLE: &'static VTable = &VTable {
        poll: Self::poll,
        cancel: Self::cancel,
        overrule: Self::overrule,
        drop_output: Self::drop_output,
        take_output: Self::take_output,
        output: Self::output,
        dealloc: Self::dealloc,
        schedule: Self::schedule,
        track: Self::track,
        untrack: Self::untrack,
        is_closing: Self::is_closing,
        later: Self::later,
        requested: Self::requested,
    };

    /// # Safety
    /// Rule 7, and rule 2: the caller owns `ACTIVE`, and the future is alive.
    unsafe fn poll(header: NonNull<Header>) -> Polled {
        // SAFETY: rule 7; shared, because wakers look at the header meanwhile.
        let cell = unsafe { header.cast::<Self>().as_ref() };
        let waker = waker::borrowed(header);
        let mut context = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: rule 2, as promised by the caller. The cell never moves, so the future is pinned until `replace` drops it.
            cell.stage.with_mut(|stage| unsafe {
                Pin::new_unchecked(&mut *(*stage).future).poll(&mut context)
            })
        }));
        match polled {
            Ok(Poll::Pending) => Polled::Pending,
            Ok(Poll::Ready(output)) => {
                // SAFETY: rule 2, and the future is alive.
                match unsafe { cell.replace(Ok(output)) } {
                    None => Polled::Finished,
                    Some(_) => Polled::Panicked,
                }
            }
            Err(payload) => {
                let error = JoinError::panicked(payload, cell.head.header.label());
                // SAFETY: as above. A panic of the future's own drop comes second: it is kept
                // from unwinding, the first one is what the joiner sees.
                unsafe { cell.replace(Err(error)) };
                Polled::Panicked
            }
        }
    }

    /// # Safety
    /// As `poll`.
    unsafe fn cancel(header: NonNull<Header>, error: JoinError) -> Ending {
        // SAFETY: rule 7.
        let cell = unsafe { header.cast::<Self>().as_ref() };
        // SAFETY: rule 2, as promised by the caller.
        match unsafe { cell.replace(Err(error)) } {
            None => Ending::Cancelled,
            Some(_) => Ending::Panicked,
        }
    }

    /// Drops the future and stores the output in its place. If that drop panics and the output
    /// is no error of a panic already, the panic becomes the output; the answer says so.
    ///
    /// # Safety
    /// Rule 2, and the future is alive.
    unsafe fn replace(&self, output: Result<F::Output, JoinError>) -> Option<()> {
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the future is alive and the caller's; it is not touched again.
            self.stage.with_mut(|stage| unsafe { ManuallyDrop::drop(&mut (*stage).future) });
        }));
        let (output, panicked) = match (dropped, output) {
            (Ok(()), output) => (output, None),
            (Err(payload), Err(error)) if error.is_panic() => {
                contained(|| drop(payload));
                (Err(error), None)
            }
            (Err(payload), output) => {
                contained(|| drop(output));
                (Err(JoinError::panicked(payload, self.head.header.label())), Some(()))
            }
        };
        // SAFETY: the stage is the caller's, and nothing in it is alive now.
        self.stage.with_mut(|stage| unsafe {
            stage.write(Stage { output: ManuallyDrop::new(output) });
        });
        panicked
    }

    /// # Safety
    /// As `drop_output`.
    unsafe fn overrule(header: NonNull<Header>, error: JoinError) -> Ending {
        // SAFETY: rule 7.
        let cell = unsafe { header.cast::<Self>().as_ref() };
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: promised by the caller.
            cell.stage.with_mut(|stage| unsafe { ManuallyDrop::drop(&mut (*stage).output) });
        }));
        let (output, ending) = match dropped {
            Ok(()) => (Err(error), Ending::Cancelled),
            Err(payload) => {
                (Err(JoinError::panicked(payload, cell.head.header.label())), Ending::Panicked)
            }
        };
        // SAFETY: the stage is the caller's, and nothing in it is alive now.
        cell.stage.with_mut(|stage| unsafe {
            stage.write(Stage { output: ManuallyDrop::new(output) });
        });
        ending
    }

    /// # Safety
    /// Rule 7; the output is alive and the caller's (rule 2).
    unsafe fn drop_output(header: NonNull<Header>) {
        // SAFETY: rule 7.
        let cell = unsafe { header.cast::<Self>().as_ref() };
        contained(|| {
            // SAFETY: promised by the caller.
            cell.stage.with_mut(|stage| unsafe {
                if let Err(error) = &*(*stage).output {
                    if error.is_panic() {
                        S::unhandled(header.as_ref().owner.cast::<S::Owner>().as_ref(), error);
                    }
                }
                ManuallyDrop::drop(&mut (*stage).output);
            });
        });
    }

    /// # Safety
    /// As `drop_output`; `to` points to a `MaybeUninit<Result<F::Output, JoinError>>`.
    unsafe fn take_output(header: NonNull<Header>, to: *mut ()) {
        // SAFETY: rule 7.
        let cell = unsafe { header.cast::<Self>().as_ref() };
        // SAFETY: promised by the caller, who does not ask for the output again.
        cell.stage.with_mut(|stage| unsafe {
            to.cast::<Result<F::Output, JoinError>>()
                .write(ManuallyDrop::take(&mut (*stage).output));
        });
    }

    /// # Safety
    /// Rule 7.
    unsafe fn output(header: NonNull<Header>) -> *const () {
        // SAFETY: rule 7.
        let cell = unsafe { header.cast::<Self>().as_ref() };
        cell.stage.with(|stage| stage.cast::<()>())
    }

    /// # Safety
    /// Rule 7; the caller gave up the last reference, so nothing is alive but the header.
    unsafe fn dealloc(header: NonNull<Header>) {
        let cell = header.cast::<Self>();
        // SAFETY: nobody else knows the cell any more. The joiner's place is empty: its waker
        // was taken by the completer or back by the handle. The stage holds nothing alive.
        unsafe {
            // From here on all of it is this thread's alone.
            let Cell { head, stage, .. } = cell.as_ref();
            head.header.alive.with_mut(|_| ());
            head.header.link.retire();
            head.header.standing.with_mut(|_| ());
            head.joiner.with_mut(|_| ());
            stage.with_mut(|_| ());
            let extra = cell.as_ref().head.header.extra.load(Ordering::Relaxed);
            if !extra.is_null() {
                let extra = Boxed::from_raw(NonNull::new_unchecked(extra));
                contained(|| drop(extra));
            }
            ptr::drop_in_place(&raw mut (*cell.as_ptr()).head);
            pool::deallocate(cell.cast(), Layout::new::<Self>());
        }
    }

    /// # Safety
    /// Rule 7; the caller owns `ACTIVE` and gives it away.
    unsafe fn schedule(header: NonNull<Header>) {
        // SAFETY: rule 7: `owner` was made from a `&'static S::Owner`.
        let owner = unsafe { header.as_ref().owner.cast::<S::Owner>().as_ref() };
        S::schedule(owner, Runnable(header));
    }

    /// # Safety
    /// Rule 7; the caller owns `ACTIVE`.
    unsafe fn track(header: NonNull<Header>) -> Result<Place, Closed> {
        // SAFETY: rule 7.
        let owner = unsafe { header.as_ref().owner.cast::<S::Owner>().as_ref() };
        S::track(owner, Listed(header)).map_err(|(closed, listed)| {
            std::mem::forget(listed);
            closed
        })
    }

    /// # Safety
    /// Rule 7.
    unsafe fn untrack(header: NonNull<Header>, place: Place) -> Listed {
        // SAFETY: rule 7.
        let owner = unsafe { header.as_ref().owner.cast::<S::Owner>().as_ref() };
        S::untrack(owner, place)
    }

    /// # Safety
    /// Rule 7.
    unsafe fn is_closing(header: NonNull<Header>) -> bool {
        // SAFETY: rule 7.
        S::is_closing(unsafe { header.as_ref().owner.cast::<S::Owner>().as_ref() })
    }

    /// # Safety
    /// Rule 7.
    unsafe fn later(header: NonNull<Header>, job: Job) {
        // SAFETY: rule 7.
        S::later(unsafe { header.as_ref().owner.cast::<S::Owner>().as_ref() }, job);
    }

    /// # Safety
    /// Rule 7.
    unsafe fn requested(task: &TaskRef) {
        // SAFETY: rule 7.
        S::requested(unsafe { task.header().owner.cast::<S::Owner>().as_ref() }, task);
    }
}

/// Runs a job soon, where this task runs or ran.
pub(crate) fn later(task: &TaskRef, job: Job) {
    // SAFETY: rule 7; we are lent a reference.
    unsafe { (task.header().vtable.later)(task.0, job) }
}

/// Runs something user-written. Its panic ends here: it has nobody to go to.
pub(crate) fn contained(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        // A payload may panic when dropped; that one's payload is then leaked, for the same could be true of it.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
    }
}

impl Header {
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    pub(crate) fn site(&self) -> &'static Location<'static> {
        self.site
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Somebody who holds a counted reference is about to look, or has looked.
    #[inline(always)]
    pub(super) fn witness(&self) -> &Header {
        self.alive.with(|_| ());
        self
    }

    /// The rare fields, if any of them was ever used.
    pub(crate) fn extra(&self) -> Option<&Extra> {
        // Acquire: partner is the Release of `extra_or_new`.
        // [extra-get]
        let extra = self.extra.load(Ordering::Acquire);
        // SAFETY: once set it stays until the cell is freed, and is only read.
        unsafe { extra.as_ref() }
    }

    /// The rare fields; the first to ask makes them. A canceller races the owner here.
    pub(crate) fn extra_or_new(&self) -> &Extra {
        if let Some(extra) = self.extra() {
            return extra;
        }
        let new = Boxed::into_raw(Boxed::<Extra>::default());
        let null = ptr::null_mut();
        // Release: partner is the Acquire of `extra`. Acquire on failure: the same, reversed.
        // (On success there is nothing to acquire: the null was there from the beginning.)
        // [extra-set]
        match self.extra.compare_exchange(null, new, Ordering::Release, Ordering::Acquire) {
            // SAFETY: it was just made, and is freed with the cell.
            Ok(_) => unsafe { &*new },
            Err(first) => {
                // SAFETY: `new` was not shared; `first` is as in `extra`.
                unsafe {
                    drop(Boxed::from_raw(NonNull::new_unchecked(new)));
                    &*first
                }
            }
        }
    }

    /// How a task ended whose end is held back.
    fn held_ending(&self) -> Ending {
        self.extra().and_then(Extra::ending).unwrap_or(Ending::Finished)
    }

    /// What it waits for, while it is idle.
    pub(crate) fn waits(&self) -> Waits {
        self.link.waits()
    }

    /// What errors say about the task.
    pub(crate) fn label(&self) -> Label {
        Label { id: self.id, name: self.extra().and_then(Extra::name), site: self.site }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("id", &self.id).field("state", &self.state).finish()
    }
}

/// The task that this thread is polling.
pub(crate) fn current() -> Option<TaskRef> {
    // SAFETY: rule 1: a frame stands for a task that is being polled or dropped here, so it is
    // incomplete as long as the frame is there, which is longer than this call.
    polling::current_task().map(|task| unsafe { TaskRef::new(task) })
}

/// Is it this task that the thread is polling?
pub(crate) fn is_current(task: &TaskRef) -> bool {
    polling::current_task() == Some(task.0)
}

/// A look at the task that this thread is polling: as [`current`], but nothing is counted.
pub(crate) fn with_current<R>(f: impl FnOnce(&Header) -> R) -> Option<R> {
    // SAFETY: as in `current`; `f` cannot keep the header, nor leave a frame that was there before.
    polling::current_task().map(|task| f(unsafe { task.as_ref() }))
}

/// Wakes by reference: the one way from a waker to a queue.
///
/// # Safety
/// The caller, or somebody for it, holds a reference.
pub(crate) unsafe fn wake(task: NonNull<Header>) {
    // SAFETY: the reference keeps the header alive.
    let header = unsafe { task.as_ref() };
    if Polling::note_wake(task) {
        // The task woke itself during its own poll: the frame remembers it, no write needed.
        return;
    }
    if header.witness().state.wake() == Wake::Schedule {
        // SAFETY: rule 7, and `wake` gave us `ACTIVE`.
        unsafe { (header.vtable.schedule)(task) }
    }
}

/// Wakes, and gives up the caller's reference.
///
/// # Safety
/// The caller owns one reference, and uses it no more.
pub(crate) unsafe fn wake_by_val(task: NonNull<Header>) {
    // SAFETY: as this function's.
    if let Some(runnable) = unsafe { run::wake_and_take(task) } {
        runnable.schedule();
        #[cfg(filch_loom)] // A twin looks at the task once more, which may have ended.
        if crate::primitive::seeded("touch-after-schedule") {
            // SAFETY: there is no reason why it should be alive: that is the bug.
            unsafe { task.as_ref() }.witness();
        }
    }
}

/// # Safety
/// The caller owns one reference, and uses it no more.
pub(crate) unsafe fn drop_ref(task: NonNull<Header>) {
    // SAFETY: the reference keeps the header alive, and `free` comes after the last.
    unsafe {
        if task.as_ref().witness().state.drop_ref() {
            free(task);
        }
    }
}

/// # Safety
/// The last reference is gone.
unsafe fn free(task: NonNull<Header>) {
    // SAFETY: nobody else knows the cell; rule 7.
    unsafe { (task.as_ref().vtable.dealloc)(task) }
}

/// The right to poll a task. Dropping it cancels the task: nobody else could ever end it.
pub(crate) struct Runnable(NonNull<Header>);

// SAFETY: `spawn` is handed futures that are `Send`, or whose `Schedule` sends every `Runnable`
// to their home thread (`spawn_local.rs` argues that none gets anywhere else).
unsafe impl Send for Runnable {}
// SAFETY: a shared `Runnable` only shows the header, which is `Sync`.
unsafe impl Sync for Runnable {}

impl fmt::Debug for Runnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Runnable").field(&self.header().id).finish()
    }
}

impl Drop for Runnable {
    fn drop(&mut self) {
        // SAFETY: we own `ACTIVE` and give it up here.
        let _ = unsafe { run::abandon(self.0) };
    }
}

impl Runnable {
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: rule 1: a runnable task is incomplete.
        unsafe { self.0.as_ref() }
    }

    /// A counted reference to the same task.
    pub(crate) fn task(&self) -> TaskRef {
        // SAFETY: rule 1.
        unsafe { TaskRef::new(self.0) }
    }

    /// It was never polled, and was there before its runtime began to drain.
    pub(crate) fn is_unstarted(&self) -> bool {
        // SAFETY: rule 2: we own `ACTIVE`.
        let slot = self.header().standing.with(|s| unsafe { (*s).slot });
        slot == Place::NONE.slot && !self.header().state.is_late()
    }

    /// It is born while its runtime drains.
    pub(crate) fn mark_late(&self) {
        self.header().state.mark_late();
    }

    /// As [`TaskRef::shut`].
    pub(crate) fn shut(&self) {
        let _ = self.header().state.request_shut();
    }

    /// The worker that alone may poll it.
    pub(crate) fn home(&self) -> Option<u16> {
        // SAFETY: rule 2: we own `ACTIVE`.
        let home = self.header().standing.with(|s| unsafe { (*s).home });
        (home != u16::MAX).then_some(home)
    }

    fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }
}

/// A counted reference to a task: shows its header, wakes it, cancels it.
pub(crate) struct TaskRef(NonNull<Header>);

// SAFETY: it shows the header, which is `Send` and `Sync`, and frees the cell only when nothing
// but the header is alive in it.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// # Safety
    /// The task is alive: it is incomplete, or the caller holds a reference to it.
    unsafe fn new(task: NonNull<Header>) -> TaskRef {
        // SAFETY: promised by the caller.
        unsafe { task.as_ref() }.state.add_ref();
        TaskRef(task)
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: rule 1: we hold a counted reference.
        unsafe { self.0.as_ref() }.witness()
    }

    /// After a request has been written into the task's `Extra`: marks it and, if the task is
    /// idle, schedules it. `false` if it has ended.
    ///
    /// It may end the task right here (a job that waits for a thread), so not to be called under a lock.
    pub(crate) fn request(&self) -> bool {
        self.requested(self.header().state.request().as_ref())
    }

    /// Its runtime shuts down: the task is asked to end, with no reason written anywhere.
    pub(crate) fn shut(&self) -> bool {
        self.requested(self.header().state.request_shut().as_ref())
    }

    fn requested(&self, decision: Option<&Wake>) -> bool {
        match decision {
            None => false,
            Some(Wake::Nothing) => {
                // SAFETY: rule 7.
                unsafe { (self.header().vtable.requested)(self) };
                true
            }
            Some(Wake::Schedule) => {
                // SAFETY: rule 7, and `request` gave us `ACTIVE`.
                unsafe { (self.header().vtable.schedule)(self.0) };
                true
            }
        }
    }

    /// As a waker of the task would.
    pub(crate) fn wake(&self) {
        // SAFETY: we hold a reference.
        unsafe { wake(self.0) }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> TaskRef {
        // SAFETY: we hold a reference.
        unsafe { TaskRef::new(self.0) }
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        // SAFETY: our reference.
        unsafe { drop_ref(self.0) };
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskRef").field(&self.header().id).finish()
    }
}

/// An entry in a list of live tasks. While it exists its task is not complete: publication takes
/// it back first. It is not `Clone`, and only this file makes one.
pub(crate) struct Listed(NonNull<Header>);

// SAFETY: it shows the header, which is `Send` and `Sync`.
unsafe impl Send for Listed {}
// SAFETY: as above.
unsafe impl Sync for Listed {}

impl Listed {
    /// A counted reference to the task.
    pub(crate) fn task(&self) -> TaskRef {
        // SAFETY: rule 1: the task is incomplete while this entry exists.
        unsafe { TaskRef::new(self.0) }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        // A list that loses an entry would let the task wait for ever to be published.
        debug_assert!(std::thread::panicking(), "an entry of a live task was dropped");
    }
}

impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listed")
    }
}

mod kind;
pub(crate) use kind::{Closed, Job, Place, Schedule};

mod join;
pub(crate) use join::Join;

mod run;
pub(crate) use run::Rooted;

mod links;
use links::Link;
pub(crate) use links::{AtomicRunnable, AtomicSite, Chain, Stack, Waits};
