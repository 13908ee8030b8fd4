//! Calls as tasks: what the blocking pool and the compute lane have in common.
//!
//! A job is a task whose first and only poll is the call. It can ask whether it should stop, wherever it runs.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::context;
use crate::error::JoinError;
use crate::primitive::tls;
use crate::scheduler::{OnWorkers, Scheduler};
use crate::task::cell::{self, Closed, Listed, Place};
use crate::task::extra::{Extra, Request};
use crate::task::polling;
use crate::task::tree::NodeId;
use crate::task::{Runnable, Schedule, TaskRef};

/// Should the job that runs on this thread ([`spawn_blocking`](crate::spawn_blocking),
/// [`spawn_compute`](crate::spawn_compute)) stop? `true` once its handle was cancelled or
/// aborted, or its runtime has begun to shut down; `false` again if a cancel was taken back, and
/// wherever no job runs.
///
/// Nobody can stop a call from outside. A job in steps can look here between them; what it returns is its result,
/// also when it was cancelled: who completes wins.
///
/// ```
/// use filch::blocking::cancel_requested; // `filch::compute::cancel_requested` is the same
/// filch::run(async {
///     let job = filch::spawn_blocking(|| {
///         let mut steps = 0u64;
///         while !cancel_requested() {
///             steps += 1;
///         }
///         steps
///     });
///     let stopped = filch::spawn_blocking(|| cancel_requested());
///     assert!(!stopped.await.unwrap());
///     job.cancel();
///     let _steps_or_never_started = job.await;
/// });
/// assert!(!cancel_requested());
/// ```
#[doc(alias = "is_cancelled")]
pub fn cancel_requested() -> bool {
    let asked =
        RUNNING.try_with(|running| running.borrow().as_ref().is_some_and(Running::is_asked));
    asked.unwrap_or(false)
}

tls! { static RUNNING: RefCell<Option<Running>> = RefCell::new(None) }

/// The job that runs on this thread, also while it polls something else (a `block_on`).
#[derive(Debug)]
struct Running {
    job: TaskRef,
    scheduler: Option<&'static Scheduler>,
    /// It belongs to the cleanup of a runtime that shuts down.
    late: bool,
}

impl Running {
    /// Until the guard is dropped: the current task is such a job.
    fn here() -> RunsHere {
        let scheduler = context::scheduler();
        let late = scheduler.is_some_and(Scheduler::is_draining);
        let running = cell::current().map(|job| Running { job, scheduler, late });
        RunsHere { before: RUNNING.replace(running) }
    }

    fn is_asked(&self) -> bool {
        let task = self.job.header();
        // The mark stays while the job runs; whether the request was taken back stands in the tree.
        let stands = |extra: &Extra| {
            let tree = extra.tree_if_any();
            tree.is_some_and(|tree| tree.is_hard() || tree.count(NodeId::ROOT) > 0)
        };
        self.scheduler.is_some_and(|s| s.is_closing() || (s.is_draining() && !self.late))
            || (task.state().is_cancelled() && task.extra().is_some_and(stands))
    }
}

struct RunsHere {
    before: Option<Running>,
}

impl Drop for RunsHere {
    fn drop(&mut self) {
        drop(RUNNING.replace(self.before.take()));
    }
}

/// The call, as a future that is ready at its first poll.
pub(crate) struct Job<F>(Option<F>);

impl<F> Job<F> {
    pub(crate) fn new(f: F) -> Job<F> {
        Job(Some(f))
    }
}

/// The closure is called by value, never through a pinned reference.
impl<F> Unpin for Job<F> {}

impl<F: FnOnce() -> T, T> Future for Job<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        let f = self.0.take().expect("a job is polled once");
        let _running = Running::here();
        let _nowhere = polling::enter_node(NodeId::NOWHERE);
        Poll::Ready(f())
    }
}

/// Jobs are never idle, so nobody ever schedules or lists them.
#[derive(Debug)]
pub(crate) enum OnPool {}

impl Schedule for OnPool {
    type Owner = Scheduler;

    fn schedule(_: &'static Scheduler, job: Runnable) {
        drop(job);
    }

    fn track(_: &'static Scheduler, job: Listed) -> Result<Place, (Closed, Listed)> {
        Err((Closed, job))
    }

    fn untrack(_: &'static Scheduler, _: Place) -> Listed {
        unreachable!("jobs are not listed")
    }

    fn requested(owner: &'static Scheduler, job: &TaskRef) {
        match job.header().extra().and_then(Extra::line) {
            Some(line) => line.requested(job),
            None => owner.job_requested(job),
        }
    }

    fn later(owner: &'static Scheduler, job: cell::Job) {
        OnWorkers::later(owner, job);
    }

    fn unhandled(owner: &'static Scheduler, error: &JoinError) {
        OnWorkers::unhandled(owner, error);
    }
}

/// The request of a job that was asked to end. `None`: it was taken back already.
pub(crate) fn request(job: &TaskRef) -> Option<Request> {
    let tree = job.header().extra().and_then(Extra::tree_if_any)?;
    tree.first(NodeId::ROOT).cloned()
}
