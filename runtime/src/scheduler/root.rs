//! Tasks that are polled in place, by the thread that called `run` or `block_on`.
//!
//! Such a thread sits on a *seat*: a parker, and a mailbox for the right to poll its task.
//! Seats are never unmapped, because a waker may read them after `block_on` has returned; a
//! thread takes one from a list of free seats for each `block_on`, also for one nested inside
//! another (a shared one would eat the outer one's token).

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use super::park::{NoBed, Parker};
use super::quiet::{AwakeHere, Quiet, Sitter};
use super::{OnWorkers, Scheduler};
use crate::error::JoinError;
use crate::primitive::global;
use crate::task::cell::{self, AtomicRunnable, Closed, Job, Listed, Place, Rooted};
use crate::task::extra::{self, Extra};
use crate::task::pool::Boxed;
use crate::task::{Ending, Runnable, Schedule};

/// Where a thread sits while it polls a task of its own.
#[derive(Debug)]
pub(crate) struct Seat {
    mailbox: AtomicRunnable,
    parker: Parker,
    scheduler: Mutex<Option<&'static Scheduler>>,
    sitter: Sitter,
}

global! { static FREE: Mutex<Vec<&'static Seat>> = Mutex::new(Vec::new()) }

#[derive(Debug)]
enum OnSeat {}

impl Schedule for OnSeat {
    type Owner = Seat;

    fn schedule(owner: &'static Seat, task: Runnable) {
        owner.sitter.wakes();
        // The mailbox is empty: there is one `Runnable` of this task, and seats serve one task.
        drop(owner.mailbox.swap(Some(task)));
        owner.parker.unpark(None::<&NoBed>);
    }

    fn track(owner: &'static Seat, task: Listed) -> Result<Place, (Closed, Listed)> {
        let scheduler = *owner.scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        match scheduler {
            Some(scheduler) => scheduler.track(task, scheduler.outside_list()),
            None => Err((Closed, task)),
        }
    }

    fn untrack(owner: &'static Seat, place: Place) -> Listed {
        let scheduler = *owner.scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        scheduler.expect("a tracked root has a scheduler").untrack(place)
    }

    fn later(owner: &'static Seat, job: Job) {
        let scheduler = *owner.scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        match scheduler {
            Some(scheduler) => OnWorkers::later(scheduler, job),
            None => job(),
        }
    }

    fn unhandled(_: &'static Seat, _: &JoinError) {
        unreachable!("the panic of a root goes on to the caller of block_on")
    }
}

impl Seat {
    /// Sleeps until the task is woken: whoever does so fills the mailbox, then unparks.
    fn wait(&self) -> Runnable {
        self.sitter.rests();
        loop {
            if let Some(task) = self.mailbox.take() {
                return task;
            }
            self.parker.park();
        }
    }
}

/// A seat taken; given back when dropped.
struct Taken(&'static Seat, #[allow(dead_code, reason = "it is dropped last")] Option<AwakeHere>);

impl Taken {
    fn new(scheduler: &'static Scheduler, quiet: Option<&Arc<Quiet>>) -> Taken {
        let awake = quiet.map(AwakeHere::root);
        let seat = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| {
            Box::leak(Box::new(Seat {
                mailbox: AtomicRunnable::empty(),
                parker: Parker::new(),
                scheduler: Mutex::new(None),
                sitter: Sitter::new(),
            }))
        });
        *seat.scheduler.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheduler);
        seat.sitter.sits_down(quiet);
        Taken(seat, awake)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.sitter.gets_up();
        *self.0.scheduler.lock().unwrap_or_else(PoisonError::into_inner) = None;
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
    }
}

/// Polls a future on this thread, as a task, until it is ready. The error: it was cancelled, and there
/// is no value.
pub(crate) fn block_on<F: Future>(
    scheduler: &'static Scheduler,
    quiet: Option<&Arc<Quiet>>,
    site: &'static Location<'static>,
    extra: Option<Boxed<Extra>>,
    future: F,
) -> Result<F::Output, JoinError> {
    let seat = Taken::new(scheduler, quiet);
    let mut future = pin!(Some(future));
    let spawn = cell::Spawn { owner: seat.0, site, home: None, extra };
    let mut task = cell::root::<OnSeat>(spawn);
    loop {
        let poll = |cx: &mut Context<'_>| {
            let future = future.as_mut().as_pin_mut().expect("it has not ended");
            // A panic of the future goes on to the caller, after its drop.
            match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                Ok(polled) => polled.map(Ok),
                Err(payload) => Poll::Ready(Err(payload)),
            }
        };
        task = match task.run_with(poll) {
            Rooted::Again(task) => task,
            Rooted::Parked => seat.0.wait(),
            Rooted::Ready(value, task) => {
                let ending = if value.is_ok() { Ending::Finished } else { Ending::Panicked };
                end(&seat, task, ending, || future.set(None));
                return Ok(value.unwrap_or_else(|payload| resume_unwind(payload)));
            }
            Rooted::Overruled(value, error, task) => {
                end(&seat, task, Ending::Cancelled, || {
                    future.set(None);
                    drop(value);
                });
                return Err(error);
            }
            Rooted::Cancelled(task) => {
                let error = extra::cancelled(task.header());
                end(&seat, task, Ending::Cancelled, || future.set(None));
                return Err(error);
            }
        };
    }
}

/// Drops what is left and waits until nothing holds the task's end back any more. A panic of that
/// drop comes last.
fn end(seat: &Taken, task: Runnable, ending: Ending, drop: impl FnOnce()) {
    let mut dropped = Ok(());
    if !task.end_root(ending, || dropped = catch_unwind(AssertUnwindSafe(drop))) {
        while !seat.0.wait().complete_root() {}
    }
    if let Err(payload) = dropped {
        resume_unwind(payload);
    }
}
