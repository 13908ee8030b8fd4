//! Starting tasks.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::compute;
use crate::context;
use crate::runtime::Handle;
use crate::scheduler::{self, Cause, OnWorkers, Scheduler};
use crate::task::cell;
use crate::task::extra::Extra;
use crate::task::local;
use crate::task::pool::Boxed;
use crate::task::{JoinHandle, Ran, Runnable};

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
    extra: Option<Boxed<Extra>>,
) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (task, handle) = prepare(scheduler, Location::caller(), future, extra);
    start(scheduler, task, Start::Queued);
    handle
}

/// A task that is yet to be started.
#[track_caller]
pub(crate) fn prepare<F>(
    scheduler: &'static Scheduler,
    site: &'static Location<'static>,
    future: F,
    extra: Option<Boxed<Extra>>,
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

/// Detached spawning for code that knows only this trait. After a shutdown has begun, spawning
/// gives an error.
///
/// ```
/// use futures_task::SpawnError;
/// use futures_task::Spawn as _;
/// let runtime = filch::Runtime::new()?;
/// let result: Result<(), SpawnError> = runtime.handle().spawn_obj(Box::new(async {}).into());
/// assert!(result.is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
impl futures_task::Spawn for Handle {
    #[track_caller]
    fn spawn_obj(
        &self,
        future: futures_task::FutureObj<'static, ()>,
    ) -> Result<(), futures_task::SpawnError> {
        self.status()?;
        drop(self.spawn(future));
        Ok(())
    }

    fn status(&self) -> Result<(), futures_task::SpawnError> {
        if self.scheduler().is_closing() || self.scheduler().is_draining() {
            Err(futures_task::SpawnError::shutdown())
        } else {
            Ok(())
        }
    }
}

/// How a new task comes to its first poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Start {
    #[default]
    Queued,
    /// Here and now.
    Eager,
}

/// An eager task is polled in a frame on top of whatever is polled here; a panic in it ends inside
/// it. If it then waits it is a task like any other: in a list of live tasks (on a thread that is no
/// worker, see [`OnWorkers::track`](crate::task::Schedule::track)), and woken into a queue. A
/// shutdown that begins in the middle of that poll finds it in its list, or has closed the list: then it is
/// dropped before this returns.
#[inline]
pub(crate) fn start(scheduler: &'static Scheduler, task: Runnable, start: Start) {
    let task = if scheduler.is_open() { Some(task) } else { late(scheduler, task) };
    let Some(task) = task else { return };
    let task = match start {
        Start::Queued => task,
        Start::Eager => match task.run() {
            // (`run` hands nobody over: it schedules who waits.)
            Ran::Ended(_) | Ran::Parked | Ran::Handed(_) => return,
            Ran::Again(task) => task,
        },
    };
    scheduler::schedule(scheduler, task, Cause::Spawn);
}

/// From a task of a runtime that drains, a cleanup perhaps, it is taken; from elsewhere not.
#[cold]
fn late(scheduler: &'static Scheduler, task: Runnable) -> Option<Runnable> {
    if scheduler.is_closing() || cell::with_current(|_| ()).is_none() {
        drop(task);
        return None;
    }
    task.mark_late();
    Some(task)
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
    extra: Option<Boxed<Extra>>,
    start: Start,
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

    /// The task is polled inside `spawn`, by the thread that calls it, until it waits for the first
    /// time. One that never waits has ended when `spawn` returns, and was never in a queue. That
    /// pays for futures that are mostly ready (a cache that hits, a channel that is rarely empty), and makes
    /// what they do up to their first wait happen in order.
    ///
    /// The caller is held up for that long, so what computes is better spawned the ordinary way. A
    /// panic in that poll is the task's, not the caller's. It does not matter which thread of the runtime
    /// spawns: a worker, one in [`block_on`](crate::Runtime::block_on), or one that runs a blocking
    /// job; later polls are always on workers. (Eager tasks that spawn eager tasks nest on the
    /// stack.)
    ///
    /// ```
    /// use filch::task;
    /// filch::run(async {
    ///     let ready = task::Builder::new().eager().spawn(async { 1 });
    ///     assert!(ready.is_finished());
    ///     let waits = task::Builder::new().eager().name("waits").spawn(async {
    ///         filch::yield_now().await;
    ///         2
    ///     });
    ///     assert_eq!(ready.await.unwrap() + waits.await.unwrap(), 3);
    /// });
    /// ```
    #[doc(alias = "eager_task_factory")]
    #[doc(alias = "eager_start")]
    #[doc(alias = "create_eager_task_factory")]
    pub fn eager(mut self) -> Builder {
        self.start = Start::Eager;
        self
    }

    /// Starts a call that computes, as [`spawn_compute`](crate::spawn_compute) does. (It is never eager.)
    ///
    /// # Panics
    ///
    /// As [`spawn_compute`](crate::spawn_compute).
    ///
    /// ```
    /// filch::run(async {
    ///     let job = filch::task::Builder::new().name("thumbnail").spawn_compute(|| 1);
    ///     assert_eq!(job.name().as_deref(), Some("thumbnail"));
    ///     assert_eq!(job.await.unwrap(), 1);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_compute<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        compute::spawn_compute_here(Location::caller(), self.extra, f)
    }

    pub(crate) fn into_parts(self) -> (Option<Boxed<Extra>>, Start) {
        (self.extra, self.start)
    }

    /// Starts the task, as [`spawn`] does. (After a shutdown has begun also an [eager](Builder::eager) one
    /// is dropped unpolled.)
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
            Some(scheduler) => {
                let (task, handle) = prepare(scheduler, Location::caller(), future, self.extra);
                start(scheduler, task, self.start);
                handle
            }
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

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;
    use crate::runtime::Runtime;
    use crate::scheduler::PUSHES;

    /// How often this thread has put a task into a queue meanwhile.
    fn pushes(f: impl FnOnce()) -> usize {
        let before = PUSHES.get();
        f();
        PUSHES.get() - before
    }

    #[test]
    fn an_eager_task_is_queued_when_it_is_woken_and_not_before() {
        let all = || {
            let ready = pushes(|| {
                for i in 0..100 {
                    let mut handle = Builder::new().eager().spawn(async move { i });
                    assert_eq!(handle.try_join().expect("it has ended").unwrap(), i);
                }
            });
            assert_eq!(ready, 0);
            let panics = pushes(|| {
                let payload = || std::panic::resume_unwind(Box::new("planned"));
                let mut handle = Builder::new().eager().spawn(async move { payload() });
                assert!(handle.try_join().expect("it has ended").unwrap_err().is_panic());
            });
            assert_eq!(panics, 0);
            let mut waiting = None;
            let waits = pushes(|| {
                waiting = Some(Builder::new().eager().spawn(std::future::pending::<()>()));
            });
            assert_eq!(waits, 0);
            assert_eq!(pushes(|| assert!(waiting.unwrap().abort())), 1);
            assert_eq!(pushes(|| drop(Builder::new().eager().spawn(yield_now()))), 1);
            assert_eq!(pushes(|| drop(Builder::new().spawn(async {}))), 1, "an ordinary one");
        };
        let runtime = Runtime::builder().worker_threads(1).build().unwrap();
        runtime.block_on(async move { all() });
        runtime.block_on(runtime.spawn(async move { all() })).unwrap();
        runtime.block_on(runtime.spawn_blocking(all)).unwrap();
    }
}
