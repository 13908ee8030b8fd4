//! Starting tasks.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::context;
use crate::scheduler::{self, Cause, OnWorkers, Scheduler};
use crate::task::cell;
use crate::task::extra::Extra;
use crate::task::local;
use crate::task::{JoinHandle, Runnable};

/// Starts a task on the runtime this thread belongs to.
///
/// The task is scheduled, not run at once, and the runtime holds it: dropping the handle detaches
/// it. On a worker it goes into the worker's own queue; on any other thread, into the queue that
/// all workers look at.
///
/// After a shutdown has begun the future is dropped, and the handle gives an error with
/// [`is_cancelled`](crate::JoinError::is_cancelled).
///
/// # Panics
///
/// Outside a runtime; and in a process that was forked after the runtime was made.
///
/// ```
/// filch::run(async {
///     let child = filch::spawn(async { 2 + 2 });
///     assert_eq!(child.await.unwrap(), 4);
/// });
/// ```
#[doc(alias = "create_task")]
#[doc(alias = "ensure_future")]
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match context::scheduler() {
        Some(scheduler) => spawn_on(scheduler, future, None),
        None => context::none("filch::spawn"),
    }
}

#[track_caller]
pub(crate) fn spawn_on<F>(
    scheduler: &'static Scheduler,
    future: F,
    extra: Option<Box<Extra>>,
) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (task, handle) = prepare(scheduler, Location::caller(), future, extra);
    start(scheduler, task);
    handle
}

/// A task that is yet to be started.
#[track_caller]
pub(crate) fn prepare<F>(
    scheduler: &'static Scheduler,
    site: &'static Location<'static>,
    future: F,
    extra: Option<Box<Extra>>,
) -> (Runnable, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    scheduler.assert_same_process();
    let extra = local::inherited(extra);
    let new = cell::Spawn { owner: scheduler, site, home: None, extra };
    let (task, join) = cell::spawn::<OnWorkers, F>(future, new);
    (task, JoinHandle::new(join))
}

pub(crate) fn start(scheduler: &'static Scheduler, task: Runnable) {
    if scheduler.is_closing() {
        drop(task);
    } else {
        scheduler::schedule(scheduler, task, Cause::Spawn);
    }
}

/// How a task is to be started: for instance under a name.
///
/// ```
/// filch::run(async {
///     let handle = filch::task::Builder::new().name("fetch").spawn(async { 1 });
///     assert_eq!(handle.name().as_deref(), Some("fetch"));
///     assert_eq!(handle.await.unwrap(), 1);
/// });
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `spawn` is called"]
pub struct Builder {
    extra: Option<Box<Extra>>,
}

impl Builder {
    /// A task like any other.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the task: in errors, and wherever tasks are listed. Costs one allocation. Without a
    /// name a task is known by the place it was spawned at.
    #[doc(alias = "set_name")]
    pub fn name(mut self, name: impl AsRef<str>) -> Builder {
        self.extra = Some(Extra::named(name.as_ref()));
        self
    }

    pub(crate) fn into_extra(self) -> Option<Box<Extra>> {
        self.extra
    }

    /// Starts the task, as [`spawn`] does.
    ///
    /// # Panics
    ///
    /// As [`spawn`].
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match context::scheduler() {
            Some(scheduler) => spawn_on(scheduler, future, self.extra),
            None => context::none("task::Builder::spawn"),
        }
    }
}

/// Lets other tasks run first: suspends once, and the task goes to the end of the queue.
///
/// ```
/// filch::run(async {
///     filch::yield_now().await;
/// });
/// ```
#[doc(alias = "sleep(0)")]
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
