//! The handle of a spawned task.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::cell::Join;
use super::cell::Waits;
use super::polling;
use super::{Id, JoinError, Task, TaskRef};

/// The result of a spawned task, to be awaited.
///
/// The runtime holds the task; the handle only waits for it. Dropping the handle *detaches* the
/// task, which runs on. (asyncio may lose a task nobody refers to; here none is ever lost.)
///
/// Awaiting it gives the task's output, or a [`JoinError`] that says whether the task was
/// cancelled or panicked. It is cancel safe: a handle that was polled and then awaited again
/// later loses nothing (`&mut handle` can be awaited, too).
///
/// ```
/// let answer = filch::run(async {
///     let handle = filch::spawn(async { 6 * 7 });
///     handle.await
/// });
/// assert_eq!(answer.unwrap(), 42);
/// ```
#[doc(alias = "shield")]
#[doc(alias = "Task")]
#[doc(alias = "Future")]
pub struct JoinHandle<T> {
    join: Join<T>,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(join: Join<T>) -> JoinHandle<T> {
        JoinHandle { join }
    }

    /// Identifies the task.
    ///
    /// ```
    /// filch::run(async {
    ///     let handle = filch::spawn(async {});
    ///     let id = handle.id();
    ///     assert_eq!(handle.id(), id);
    /// });
    /// ```
    pub fn id(&self) -> Id {
        self.join.header().id()
    }

    /// The name the task was given with [`task::Builder::name`](crate::task::Builder::name).
    ///
    /// ```
    /// filch::run(async {
    ///     let handle = filch::task::Builder::new().name("worker").spawn(async {});
    ///     assert_eq!(handle.name().as_deref(), Some("worker"));
    /// });
    /// ```
    #[doc(alias = "get_name")]
    pub fn name(&self) -> Option<Arc<str>> {
        self.join.header().label().name
    }

    /// Where the task was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.join.header().site()
    }

    /// Has the task ended (with an output, by a panic or because it was cancelled)?
    ///
    /// ```
    /// filch::run(async {
    ///     let mut handle = filch::spawn(async {});
    ///     (&mut handle).await.unwrap();
    ///     assert!(handle.is_finished());
    /// });
    /// ```
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.join.header().state().is_complete()
    }

    /// Ends the task hard: its future is dropped at its next suspension, by the worker that
    /// polls it (at once if it waits; unpolled if it was not started). `false` if it has ended.
    ///
    /// The handle then gives an error with [`is_cancelled`](JoinError::is_cancelled), unless the
    /// task completes first. A poll that never returns cannot be aborted, nor can a blocking job
    /// that already runs (it can [ask](crate::blocking::cancel_requested)); one that still waits for a thread
    /// is dropped here and now.
    ///
    /// ```
    /// filch::run(async {
    ///     let handle = filch::spawn(std::future::pending::<()>());
    ///     assert!(handle.abort());
    ///     assert!(handle.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    #[track_caller]
    pub fn abort(&self) -> bool {
        self.task().abort()
    }

    /// The task, without the type of its output: it can be cloned, kept and cancelled.
    ///
    /// ```
    /// filch::run(async {
    ///     let handle = filch::spawn(async { filch::task::current().unwrap().id() });
    ///     let task = handle.task();
    ///     assert_eq!(handle.await.unwrap(), task.id());
    ///     assert!(task.is_finished());
    /// });
    /// ```
    pub fn task(&self) -> Task {
        Task::new(self.join.task())
    }

    /// Asks the task to end; `false` if it has ended. See [`Task::cancel`].
    ///
    /// ```
    /// filch::run(async {
    ///     let handle = filch::spawn(std::future::pending::<()>());
    ///     assert!(handle.cancel());
    ///     assert!(handle.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.task().cancel()
    }

    /// As [`cancel`](JoinHandle::cancel), with a reason that the [`JoinError`] shows.
    ///
    /// ```
    /// filch::run(async {
    ///     let handle = filch::spawn(std::future::pending::<()>());
    ///     handle.cancel_with("nobody wants it any more");
    ///     let error = handle.await.unwrap_err();
    ///     assert_eq!(error.reason(), Some("nobody wants it any more"));
    /// });
    /// ```
    #[track_caller]
    pub fn cancel_with(&self, reason: impl Into<Cow<'static, str>>) -> bool {
        self.task().cancel_with(reason)
    }

    /// The result if the task has ended, without waiting.
    ///
    /// # Panics
    ///
    /// If the result was taken before.
    ///
    /// ```
    /// filch::run(async {
    ///     let mut handle = filch::spawn(std::future::pending::<()>());
    ///     assert!(handle.try_join().is_none());
    /// });
    /// ```
    #[doc(alias = "result")]
    #[doc(alias = "exception")]
    pub fn try_join(&mut self) -> Option<Result<T, JoinError>> {
        self.join.try_take()
    }

    pub(crate) fn task_ref(&self) -> TaskRef {
        self.join.task()
    }

    pub(crate) fn peek(&mut self) -> Option<&Result<T, JoinError>> {
        self.join.peek()
    }

    /// Blocks the calling thread until the task has ended or the time is up (`None`: for ever).
    /// For threads outside the runtime; the counterpart of `concurrent.futures.Future.result`.
    ///
    /// `None` when the time is up: the task goes on, and the handle can be asked again.
    ///
    /// # Panics
    ///
    /// In a task: it would block the thread that could run the awaited task. Await the handle
    /// there. Also if the result was taken before.
    ///
    /// ```
    /// use std::time::Duration;
    /// let runtime = filch::Runtime::new().unwrap();
    /// let mut handle = runtime.spawn(async { 3 });
    /// let result = handle.join_timeout(Duration::from_secs(10));
    /// assert_eq!(result.expect("ten seconds are enough").unwrap(), 3);
    /// ```
    #[doc(alias = "run_coroutine_threadsafe")]
    #[track_caller]
    pub fn join_timeout(
        &mut self,
        limit: impl Into<Option<Duration>>,
    ) -> Option<Result<T, JoinError>> {
        assert!(
            !polling::must_not_block(),
            "join_timeout was called inside a task, where it would block the runtime; \
             use `handle.await`, or `filch::timeout(limit, &mut handle).await`"
        );
        let deadline = limit.into().map(|limit| crate::primitive::now().checked_add(limit));
        let thread = Arc::new(Unpark(crate::primitive::thread::current()));
        let waker = Waker::from(thread);
        let cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = self.join.poll(&cx) {
                return Some(result);
            }
            match deadline.flatten() {
                None => crate::primitive::thread::park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(crate::primitive::now());
                    if left.is_zero() {
                        return None;
                    }
                    crate::primitive::thread::park_timeout(left);
                }
            }
        }
    }
}

/// Wakes a thread that blocks in `join_timeout`.
struct Unpark(crate::primitive::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.join.poll(cx);
        if polled.is_pending() {
            polling::waits(Waits::for_end_of(self.id()));
        }
        polled
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("finished", &self.is_finished())
            .finish()
    }
}
