//! The state word: what is going on with a task, and how many hold it.
//!
//! | phase      | `ACTIVE` | `COMPLETE` | a [`Runnable`](super::Runnable) exists | who may touch the future |
//! |------------|----------|------------|----------------------------------------|--------------------------|
//! | queued     | 1        | 0          | yes, in exactly one queue              | whoever takes it out     |
//! | polling    | 1        | 0          | no, its worker has consumed it         | that worker              |
//! | idle       | 0        | 0          | no; a waker may make one               | nobody                   |
//! | complete   | 0        | 1          | never again                            | it is gone               |
//!
//! *Queued* and *polling* are one state, `ACTIVE`: "owned by a queue or a worker". Nobody needs
//! to tell them apart: a wake-up in either only leaves `NOTIFIED` behind. So the first poll of a
//! task needs no read-modify-write at all, and a whole wake cycle needs two (park and wake).
//!
//! The other bits:
//! - `NOTIFIED`: woken while active. The owner clears it before it polls, or finds it when it
//!   wants to park and then does not.
//! - `CANCELLED`: a request waits in the task's [`Extra`](super::extra::Extra). The owner clears
//!   it, before a poll or when it wants to park, and asks the hook what to do.
//! - `COMPLETING`: the future has ended and its output is stored, but something still holds its
//!   publication back (see [`extra`](super::extra)).
//! - `HANDLE`: a `JoinHandle` exists, so the output must be kept for it.
//! - `JOINER`: the handle has left a waker; until this bit is taken back only the completer may
//!   touch that waker.
//! - `WATCHED`: somebody wants to be told of the end; see [`extra`](super::extra).
//! - `LATE`: born while the runtime shuts down, and not asked to end before it first waits.
//! - `SHUT`: the runtime shuts down and has asked the task to end. (A bit rather than a request in
//!   `Extra`: a million tasks are asked at once.)
//!
//! The rest of the word counts references: one of the task to itself until it is complete, one
//! of the handle, one of each waker. **Queues hold no reference**: an incomplete task has its own.
//!
//! Transitions are verbs that return a decision; no caller sees a bit.

#[cfg(filch_loom)]
use crate::primitive::seeded;
use crate::primitive::{AtomicUsize, Ordering};

const ACTIVE: usize = 1 << 0;
const NOTIFIED: usize = 1 << 1;
const CANCELLED: usize = 1 << 2;
const COMPLETING: usize = 1 << 3;
const COMPLETE: usize = 1 << 4;
const HANDLE: usize = 1 << 5;
const JOINER: usize = 1 << 6;
const WATCHED: usize = 1 << 7;
const SHUT: usize = 1 << 8;
const LATE: usize = 1 << 9;
const REF_ONE: usize = 1 << 10;

/// What a new task with a handle looks like: queued, one reference to itself, one of its handle.
const SPAWNED: usize = ACTIVE | HANDLE | (2 * REF_ONE);
/// More references than this can only be a leak in a loop; the count must not wrap.
const MAX_REFS: usize = usize::MAX / REF_ONE / 2;

#[derive(Debug)]
pub(crate) struct State(AtomicUsize);

/// What to do after [`State::wake`].
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The task was idle and now belongs to the caller, who schedules it.
    Schedule,
    /// Somebody owns it and will see the wake-up, or it is complete.
    Nothing,
}

/// What the owner of an active task does next.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Poll,
    /// A request waits: ask the hook.
    Cancelled,
    /// The future has ended already; try again to publish.
    Publish,
}

/// What became of an attempt to park.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Park {
    /// The task is idle. It is no longer the caller's: a waker may have freed it already.
    Parked,
    /// It was woken meanwhile and is still the caller's, who queues it again.
    Notified,
    /// It is still the caller's, and a request waits. `notified`: it was woken as well.
    Cancelled { notified: bool },
}

/// What became of an attempt to complete.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Complete {
    /// No handle wants the output: drop it, then try again.
    DropOutput,
    /// Published, and the task's own reference is given up. `last`: nobody is left, free it.
    Done { last: bool },
    /// Published. Take the joiner's waker, wake it, and only then [`State::drop_ref`].
    WakeJoiner,
    /// Published. Wake the joiner, if there is one, tell the watchers, and only then
    /// [`State::drop_ref`].
    Tell { joiner: bool },
}

/// What a handle finds when it wants to leave or take back a waker.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joiner {
    /// The place of the waker belongs to the handle.
    Mine,
    /// The task is complete; the output can be taken.
    Complete,
}

/// What is left to do after a handle is dropped.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Detach {
    Detached,
    /// The handle's waker is in the cell: take it back, then try again.
    TakeWaker,
    /// The task is complete: drop the output if nobody took it, then [`State::drop_ref`].
    Complete,
}

impl State {
    pub(crate) fn spawned() -> State {
        State(AtomicUsize::new(SPAWNED))
    }

    /// As [`State::spawned`], for a task that is watched from the start.
    pub(crate) fn spawned_watched() -> State {
        State(AtomicUsize::new(SPAWNED | WATCHED))
    }

    /// A task polled in place by the thread that made it: active, with no handle.
    pub(crate) fn rooted() -> State {
        State(AtomicUsize::new(ACTIVE | REF_ONE))
    }

    /// A wake-up by reference.
    pub(crate) fn wake(&self) -> Wake {
        // Even an already notified task needs the write: its Release is what makes the waker's
        // data visible to the poll that this wake-up promises.
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let (next, decision) = match now {
                s if s & COMPLETE != 0 => return Wake::Nothing,
                s if s & ACTIVE != 0 => (s | NOTIFIED, Wake::Nothing),
                s => (s | ACTIVE, Wake::Schedule),
            };
            // Release: partner is the Acquire of `begin` (or of `park`), so that the poll sees
            // what happened before the wake-up. Acquire: partner is the Release of `park`, so
            // that whoever is handed the task sees what its last poll wrote.
            // [wake]
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return decision,
                Err(found) => now = found,
            }
        }
    }

    /// A wake-up that gives its reference away. `Err(last)` when there is nothing to schedule:
    /// the reference is gone, and `last` says whether the cell must be freed.
    pub(crate) fn wake_by_val(&self) -> Result<Wake, bool> {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let (next, schedule) = match now {
                s if s & COMPLETE != 0 => return Err(self.drop_ref()),
                // Not the last reference: an incomplete task has one of its own.
                s if s & ACTIVE != 0 => ((s | NOTIFIED) - REF_ONE, false),
                s => ((s | ACTIVE) - REF_ONE, true),
            };
            // As in `wake`.
            // [wake-by-val]
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if schedule => return Ok(Wake::Schedule),
                Ok(_) => return Err(false),
                Err(found) => now = found,
            }
        }
    }

    /// Notes that a request waits in the task's `Extra`. `None` if the task is complete, or (as
    /// with a wake-up) has nothing left to cancel.
    pub(crate) fn request(&self) -> Option<Wake> {
        self.request_with(CANCELLED)
    }

    /// As [`State::request`]; it is the runtime that asks, because it shuts down.
    pub(crate) fn request_shut(&self) -> Option<Wake> {
        self.request_with(CANCELLED | SHUT)
    }

    fn request_with(&self, bits: usize) -> Option<Wake> {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            if now & (COMPLETE | COMPLETING) != 0 {
                return None;
            }
            let decision = if now & ACTIVE != 0 { Wake::Nothing } else { Wake::Schedule };
            let next = now | bits | ACTIVE;
            // Release: partner is the Acquire of `begin` or `park`: the owner finds the request.
            // Acquire: partner is the Release of `park`: whoever schedules the task writes to its
            // link, after whoever took it out of a queue last.
            // [request]
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(decision),
                Err(found) => now = found,
            }
        }
    }

    /// Called by the owner of an active task before it polls.
    pub(crate) fn begin(&self) -> Begin {
        let mut now = self.0.load(Ordering::Relaxed);
        if now & (NOTIFIED | CANCELLED | COMPLETING) == 0 {
            // The common case: a plain load. What happened before the wake-up that made the
            // task active reached us through the queue.
            return Begin::Poll;
        }
        if now & (NOTIFIED | CANCELLED) != 0 {
            // The wake-ups so far are answered by the poll that comes now, the request by the
            // hook that is asked now.
            // Acquire: partner is the Release of `wake` and `request`.
            // [begin]
            now = self.0.fetch_and(!(NOTIFIED | CANCELLED), Ordering::Acquire);
        }
        match now {
            s if s & COMPLETING != 0 => Begin::Publish,
            s if s & CANCELLED != 0 => Begin::Cancelled,
            _ => Begin::Poll,
        }
    }

    /// Called by the owner after a poll that returned Pending and did not wake itself.
    pub(crate) fn park(&self) -> Park {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let reasons = now & (NOTIFIED | CANCELLED);
            #[cfg(filch_loom)] // A twin does not see that it was woken.
            let reasons = if seeded("park-blindly") { reasons & CANCELLED } else { reasons };
            #[cfg(filch_loom)] // A twin does not see that it was asked to end.
            let reasons = if seeded("park-deafly") { reasons & NOTIFIED } else { reasons };
            if reasons != 0 {
                // `begin` clears NOTIFIED and synchronizes; here it only matters that the task
                // stays ours. A cancel is dealt with at once, so synchronize with it.
                if now & CANCELLED != 0 {
                    // [park-cancelled] partner: the Release of `request` and `wake`.
                    let before = self.0.fetch_and(!(NOTIFIED | CANCELLED), Ordering::Acquire);
                    return Park::Cancelled { notified: before & NOTIFIED != 0 };
                }
                return Park::Notified;
            }
            let next = now & !ACTIVE;
            // Release: partner is the Acquire of `wake`: what this poll wrote is visible to
            // whoever polls next.
            // [park]
            match self.0.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Park::Parked,
                Err(found) => now = found,
            }
        }
    }

    /// Called by the owner: the future has ended, its output is stored, but its publication is
    /// held back. The task parks without a future; `false` if it was woken (or asked to end) meanwhile.
    pub(crate) fn park_completing(&self) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            // (A request comes too late, but it may be that of a runtime which closes: look again.)
            let reasons = now & (NOTIFIED | CANCELLED);
            #[cfg(filch_loom)] // A twin does not see that its runtime closes.
            let reasons = if seeded("complete-deafly") { reasons & NOTIFIED } else { reasons };
            let notified = reasons != 0;
            let next = if notified {
                (now & !(NOTIFIED | CANCELLED)) | COMPLETING
            } else {
                (now & !ACTIVE) | COMPLETING
            };
            // As `park` and `begin`.
            // [park-completing]
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return !notified,
                Err(found) => now = found,
            }
        }
    }

    /// Called by the owner when the output is stored and the future is gone. `has_output`:
    /// the output has not been dropped yet.
    pub(crate) fn complete(&self, has_output: bool) -> Complete {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            if now & HANDLE == 0 && has_output {
                return Complete::DropOutput;
            }
            let mut next = (now | COMPLETE) & !(ACTIVE | NOTIFIED | COMPLETING);
            if now & (JOINER | WATCHED) == 0 {
                // Nothing of the task may be touched after this exchange: the handle may free it.
                next -= REF_ONE;
            }
            // Release: partner is the Acquire of `is_complete`, `joiner` and `detach`: the output
            // is visible to the handle, and to whoever frees the cell.
            // Acquire: partner is the Release of `leave_waker` and `watch`: waker and watchers are
            // visible here.
            // [complete]
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if now & WATCHED != 0 => {
                    return Complete::Tell { joiner: now & JOINER != 0 };
                }
                Ok(_) if now & JOINER != 0 => return Complete::WakeJoiner,
                Ok(_) => return Complete::Done { last: next < REF_ONE },
                Err(found) => now = found,
            }
        }
    }

    /// A watcher stands in the task's `Extra`: the completer is to look there. `false` if the task
    /// is complete already: then nobody will.
    pub(crate) fn watch(&self) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            if now & COMPLETE != 0 {
                // [watch-complete] partner: the Release of `complete`.
                self.fence(Ordering::Acquire);
                return false;
            }
            let next = now | WATCHED;
            // Release: partner is the Acquire of `complete`.
            // [watch]
            match self.0.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(found) => now = found,
            }
        }
    }

    /// Was the task born while its runtime drained? (It may run until it first waits.)
    pub(crate) fn is_late(&self) -> bool {
        self.0.load(Ordering::Relaxed) & LATE != 0
    }

    pub(crate) fn mark_late(&self) {
        // Relaxed: before anybody else has the task.
        self.0.fetch_or(LATE, Ordering::Relaxed);
    }

    /// Has the runtime asked the task to end?
    pub(crate) fn is_shut(&self) -> bool {
        self.0.load(Ordering::Relaxed) & SHUT != 0
    }

    /// May the output be taken? (Only the handle asks.)
    pub(crate) fn is_complete(&self) -> bool {
        // Acquire: partner is the Release of `complete`.
        // [is-complete]
        self.0.load(Ordering::Acquire) & COMPLETE != 0
    }

    /// Does it wait, owned by nobody?
    pub(crate) fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) & (ACTIVE | COMPLETE) == 0
    }

    /// Is a request waiting?
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CANCELLED != 0
    }

    /// Has the handle left a waker, as far as the handle itself knows?
    pub(crate) fn has_joiner(&self) -> bool {
        self.0.load(Ordering::Relaxed) & JOINER != 0
    }

    /// The handle makes the place of the waker its own again.
    pub(crate) fn reclaim_waker(&self) -> Joiner {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            if now & COMPLETE != 0 {
                // [reclaim-complete] partner: the Release of `complete`.
                self.fence(Ordering::Acquire);
                return Joiner::Complete;
            }
            // Relaxed is enough: only the handle writes the waker, and the completer has not.
            let next = now & !JOINER;
            match self.0.compare_exchange_weak(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Joiner::Mine,
                Err(found) => now = found,
            }
        }
    }

    /// The handle has written a waker and hands its place to the completer. If the task has
    /// completed meanwhile the place stays the handle's.
    pub(crate) fn leave_waker(&self) -> Joiner {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            if now & COMPLETE != 0 {
                // [leave-complete] partner: the Release of `complete`.
                self.fence(Ordering::Acquire);
                return Joiner::Complete;
            }
            let next = now | JOINER;
            // Release: partner is the Acquire of `complete`.
            // [leave-waker]
            match self.0.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Joiner::Mine,
                Err(found) => now = found,
            }
        }
    }

    /// The handle is dropped.
    pub(crate) fn detach(&self) -> Detach {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            if now & COMPLETE != 0 {
                // [detach-complete] partner: the Release of `complete`.
                self.fence(Ordering::Acquire);
                return Detach::Complete;
            }
            if now & JOINER != 0 {
                return Detach::TakeWaker;
            }
            // Not the last reference: an incomplete task has one of its own.
            let next = (now & !HANDLE) - REF_ONE;
            // Release: partner is the Acquire of `complete`, whose caller may free the cell.
            // [detach]
            match self.0.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Detach::Detached,
                Err(found) => now = found,
            }
        }
    }

    /// A fence for the word as it was just read: what its writer did before is visible.
    #[track_caller] // The models know an ordering by its place: the caller's.
    #[inline(always)]
    fn fence(&self, ordering: Ordering) {
        #[cfg(not(filch_tsan))]
        crate::primitive::fence(ordering);
        // ThreadSanitizer knows nothing of fences and would report all that is done behind them.
        // So it sees a second read of the word instead, as it does in `Arc`. What that acquires
        // beyond the fence is what others release in between, and to a complete task's word
        // nothing happens any more but that they leave. (Whether a fence is needed where it
        // stands, and is there, is for the models to find out.)
        #[cfg(filch_tsan)]
        let _ = self.0.load(ordering);
    }

    pub(crate) fn add_ref(&self) {
        // Relaxed: whoever clones has a reference already.
        let before = self.0.fetch_add(REF_ONE, Ordering::Relaxed);
        if before / REF_ONE > MAX_REFS {
            // As with `Arc`: a count that wraps would free a task in use.
            std::process::abort();
        }
    }

    /// Gives up one reference; `true`: it was the last, free the cell.
    pub(crate) fn drop_ref(&self) -> bool {
        // The last holder needs no write: nobody is left who could make another reference.
        // Acquire: partner is every other holder's Release, as for the fence below.
        // [drop-ref-last]
        if self.0.load(Ordering::Acquire) < 2 * REF_ONE {
            return true;
        }
        // Release: what this holder did happens before the cell is freed.
        // [drop-ref]
        let before = self.0.fetch_sub(REF_ONE, Ordering::Release);
        debug_assert!(before >= REF_ONE, "a task's reference count fell below zero");
        let last = before < 2 * REF_ONE;
        if last {
            // [drop-ref-fence] partner: every other holder's Release in `drop_ref`, `detach`,
            // `complete` and `wake_by_val`.
            self.fence(Ordering::Acquire);
        }
        last
    }
}
