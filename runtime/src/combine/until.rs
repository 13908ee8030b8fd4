//! `wait`: which of these tasks have ended?

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::children::Ends;
use crate::error::JoinError;
use crate::task::cell::Waits;
use crate::task::extra::{self, WatchId};
use crate::task::polling;
use crate::task::{JoinHandle, TaskRef};
use crate::time::Sleep;

/// What [`wait`] waits for.
#[derive(Debug)]
pub enum Until<T> {
    /// The end of any task.
    First,
    /// The end of all.
    All,
    /// The end of a task whose value is of this kind, or that panicked; or else the end of all. (A
    /// cancelled task is neither.)
    When(fn(&T) -> bool),
}

impl<T, E> Until<Result<T, E>> {
    /// The first `Err` (or panic), or else the end of all.
    ///
    /// ```
    /// use filch::Until;
    /// filch::run(async {
    ///     let mut tasks: Vec<_> = vec![
    ///         filch::spawn(async { Err::<(), _>("broken") }),
    ///         filch::spawn(std::future::pending()),
    ///     ];
    ///     let done = filch::wait(&mut tasks, Until::first_err(), None).await;
    ///     assert_eq!((done.len(), tasks.len()), (1, 1));
    ///     tasks[0].abort();
    /// });
    /// ```
    #[doc(alias = "FIRST_EXCEPTION")]
    pub const fn first_err() -> Until<Result<T, E>> {
        Until::When(|result| result.is_err())
    }
}

impl<T> Clone for Until<T> {
    fn clone(&self) -> Until<T> {
        *self
    }
}

impl<T> Copy for Until<T> {}

/// Waits until tasks have ended, or the time is up (`None`: no limit). The handles of those that have ended are
/// returned, in their order; the others stay in `handles`. Nothing is cancelled, and no
/// error of a task is an error here.
///
/// With no handles at all it gives an empty vector at once.
///
/// # Panics
///
/// When polled outside a runtime, if there is a limit.
///
/// # Cancel safety
///
/// Dropping it leaves all handles where they are, and the tasks running.
///
/// ```
/// use filch::Until;
/// use std::time::Duration;
/// filch::run(async {
///     let mut tasks = vec![filch::spawn(std::future::pending()), filch::spawn(async { 2 })];
///     let mut done = filch::wait(&mut tasks, Until::First, Duration::from_secs(10)).await;
///     assert_eq!(done.pop().unwrap().await.unwrap(), 2);
///     assert_eq!(tasks.len(), 1, "the other one still runs");
///     tasks[0].abort();
/// });
/// ```
#[doc(alias = "select!")]
#[doc(alias = "asyncio.wait")]
#[doc(alias = "FIRST_COMPLETED")]
#[doc(alias = "ALL_COMPLETED")]
#[track_caller]
pub fn wait<T>(
    handles: &mut Vec<JoinHandle<T>>,
    until: Until<T>,
    limit: impl Into<Option<Duration>>,
) -> Wait<'_, T> {
    let deadline = Sleep::within(limit);
    let left = handles.len();
    Wait { handles, until, deadline, watching: None, left, met: false, site: Location::caller() }
}

/// The future of [`wait`].
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<'a, T> {
    handles: &'a mut Vec<JoinHandle<T>>,
    until: Until<T>,
    deadline: Option<Sleep>,
    watching: Option<WatchIds>,
    /// Tasks not seen to have ended.
    left: usize,
    met: bool,
    site: &'static Location<'static>,
}

/// The tasks are told to say when they end; taken back when dropped.
struct WatchIds {
    ends: Arc<Ends>,
    ids: Vec<(TaskRef, WatchId)>,
}

impl Drop for WatchIds {
    fn drop(&mut self) {
        for (task, id) in &self.ids {
            extra::unwatch(task, *id);
        }
    }
}

impl<T> Wait<'_, T> {
    fn watch(&mut self) {
        let ends = Arc::<Ends>::default();
        let mut ids = Vec::new();
        for (number, handle) in self.handles.iter().enumerate() {
            let task = handle.task_ref();
            let id = ends.watch(&task, number);
            ids.extend(id.map(|id| (task, id)));
        }
        self.watching = Some(WatchIds { ends, ids });
    }

    /// A task has ended: is that what was waited for?
    fn ended(&mut self, number: usize) {
        self.left -= 1;
        self.met |= match self.until {
            Until::First => true,
            Until::All => false,
            Until::When(is_it) => match self.handles[number].peek() {
                Some(Ok(value)) => is_it(value),
                Some(Err(error)) => JoinError::is_panic(error) || error.is_group_failure(),
                None => false,
            },
        };
    }
}

impl<T> Unpin for Wait<'_, T> {}

impl<T> Future for Wait<'_, T> {
    type Output = Vec<JoinHandle<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.watching.is_none() {
            this.watch();
        }
        while let Some(number) = this.watching.as_ref().and_then(|w| w.ends.next(cx.waker())) {
            this.ended(number);
        }
        if !this.met && this.left > 0 {
            polling::waits(Waits::at(this.site));
            let Some(deadline) = &mut this.deadline else { return Poll::Pending };
            if deadline.poll_deadline(cx).is_pending() {
                return Poll::Pending;
            }
        }
        this.watching = None;
        let (done, pending) = this.handles.drain(..).partition(JoinHandle::is_finished);
        *this.handles = pending;
        Poll::Ready(done)
    }
}

impl<T> fmt::Debug for Wait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("left", &self.left).finish()
    }
}
