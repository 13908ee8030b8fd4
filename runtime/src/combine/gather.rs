//! Starting several tasks and collecting what they give.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::children::{Children, Next, spawn_child};
use crate::error::JoinError;

/// Starts the futures as tasks, all at once, and gives their values in the order of the futures.
///
/// If one panics or is cancelled, its error is the result *at once*; the others run on. For
/// all results, whatever they are: [`settled`](Gather::settled). For futures that give `Result`:
/// [`try_gather`]. For futures of different types: [`gather!`](macro@crate::gather). For tasks that
/// should end together: [`task_group`](fn@crate::task_group).
///
/// Nothing is started before it is awaited. If the task that awaits is cancelled, all of them are,
/// and their cleanups are waited for.
///
/// # Panics
///
/// When polled outside a runtime.
///
/// # Cancel safety
///
/// Dropping it cancels the tasks; whoever drops it is not seen to be complete until they have ended.
///
/// ```
/// filch::run(async {
///     let squares = filch::gather((1..=3).map(|n| async move { n * n })).await;
///     assert_eq!(squares.unwrap(), [1, 4, 9]);
/// });
/// ```
#[doc(alias = "asyncio.gather")]
#[doc(alias = "join_all")]
#[track_caller]
pub fn gather<I>(futures: I) -> Gather<I::Item>
where
    I: IntoIterator,
    I::Item: Future<Output: Send + 'static> + Send + 'static,
{
    Gather { all: All::new(futures, Location::caller()) }
}

/// As [`gather`], for futures that give `Result`: the first `Err` is the result at once, and the others
/// run on.
///
/// A `JoinHandle` is such a future: `try_gather(handles)` waits for tasks that run already. (It then
/// cancels only the waiting, not those tasks; `handle.linked()` ties them to it.)
///
/// # Panics
///
/// As [`gather`].
///
/// # Cancel safety
///
/// As [`gather`].
///
/// ```
/// use filch::TaskError;
/// filch::run(async {
///     let numbers = ["1", "2", "x"].map(|text| async move { text.parse::<i32>() });
///     let error = filch::try_gather(numbers).await.unwrap_err();
///     assert!(matches!(error, TaskError::Failed(_)));
///     assert_eq!(error.to_string(), "invalid digit found in string");
/// });
/// ```
#[doc(alias = "try_join")]
#[doc(alias = "try_join_all")]
#[track_caller]
pub fn try_gather<I, T, E>(futures: I) -> TryGather<I::Item, T>
where
    I: IntoIterator,
    I::Item: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    TryGather { all: All::new(futures, Location::caller()), values: Vec::new() }
}

/// Futures, then tasks.
struct All<F: Future> {
    futures: Vec<F>,
    children: Option<Children<F::Output>>,
    site: &'static Location<'static>,
    results: Vec<Option<Result<F::Output, JoinError>>>,
}

impl<F> All<F>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn new(futures: impl IntoIterator<Item = F>, site: &'static Location<'static>) -> All<F> {
        let futures: Vec<_> = futures.into_iter().collect();
        All { futures, children: None, site, results: Vec::new() }
    }

    fn children(&mut self) -> &mut Children<F::Output> {
        let (futures, site) = (&mut self.futures, self.site);
        self.children.get_or_insert_with(|| {
            self.results.resize_with(futures.len(), || None);
            Children::new(site, |ends| {
                let spawn = |(number, future)| spawn_child(future, site, ends, number);
                std::mem::take(futures).into_iter().enumerate().map(spawn).collect()
            })
        })
    }

    /// Collects results until all are there, or `stop` says that this one is enough.
    fn poll(
        &mut self,
        cx: &Context<'_>,
        mut stop: impl FnMut(&mut Result<F::Output, JoinError>) -> bool,
    ) -> Poll<Option<usize>> {
        loop {
            let children = self.children();
            let cancelled = children.is_cancelled();
            match std::task::ready!(children.poll_next(cx)) {
                Next::Ended(number, mut result) => {
                    let stop = stop(&mut result) && !cancelled;
                    self.results[number] = Some(result);
                    if stop && !self.children().is_cancelled() {
                        self.children().release();
                        return Poll::Ready(Some(number));
                    }
                }
                Next::AllEnded => return Poll::Ready(None),
            }
        }
    }

    fn take(&mut self) -> impl Iterator<Item = Result<F::Output, JoinError>> {
        std::mem::take(&mut self.results).into_iter().map(|result| result.expect("all have ended"))
    }
}

/// The future of [`gather`].
#[must_use = "futures do nothing unless awaited"]
pub struct Gather<F: Future> {
    all: All<F>,
}

impl<F: Future> Gather<F> {
    /// All results, errors in their places; nothing is left running.
    ///
    /// ```
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// filch::run(async {
    ///     let shares = [4, 0].map(|people| async move { 12 / people });
    ///     let results = filch::gather(shares).settled().await;
    ///     assert_eq!(*results[0].as_ref().unwrap(), 3);
    ///     assert!(results[1].as_ref().unwrap_err().is_panic());
    /// });
    /// ```
    #[doc(alias = "return_exceptions")]
    pub fn settled(self) -> Settled<F> {
        Settled { all: self.all }
    }
}

impl<F: Future> Unpin for Gather<F> {}

impl<F> Future for Gather<F>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    type Output = Result<Vec<F::Output>, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let all = &mut self.all;
        Poll::Ready(match std::task::ready!(all.poll(cx, |result| result.is_err())) {
            Some(number) => match all.results[number].take() {
                Some(Err(error)) => Err(error),
                _ => unreachable!("it was stopped by an error"),
            },
            None => all.take().collect(),
        })
    }
}

/// The future of [`Gather::settled`].
#[must_use = "futures do nothing unless awaited"]
pub struct Settled<F: Future> {
    all: All<F>,
}

impl<F: Future> Unpin for Settled<F> {}

impl<F> Future for Settled<F>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    type Output = Vec<Result<F::Output, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let all = &mut self.all;
        std::task::ready!(all.poll(cx, |_| false));
        Poll::Ready(all.take().collect())
    }
}

/// The future of [`try_gather`].
#[must_use = "futures do nothing unless awaited"]
pub struct TryGather<F: Future, T> {
    all: All<F>,
    values: Vec<T>,
}

impl<F: Future, T> Unpin for TryGather<F, T> {}

impl<F, T, E> Future for TryGather<F, T>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Output = Result<Vec<T>, TaskError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let failed = |result: &mut Result<Result<T, E>, JoinError>| !matches!(result, Ok(Ok(_)));
        let flat = |result: Result<Result<T, E>, JoinError>| match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(TaskError::Failed(error)),
            Err(error) => Err(TaskError::Join(error)),
        };
        Poll::Ready(match std::task::ready!(this.all.poll(cx, failed)) {
            Some(number) => {
                let result = this.all.results[number].take().expect("it was just stored");
                flat(result).map(|_| unreachable!("it was stopped by an error"))
            }
            None => {
                for result in this.all.take() {
                    match flat(result) {
                        Ok(value) => this.values.push(value),
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
                Ok(std::mem::take(&mut this.values))
            }
        })
    }
}

/// Why a task gave no value: by its own `Err`, or because it did not get that far.
///
/// ```
/// use filch::TaskError;
/// filch::run(async {
///     let parse = |text: &'static str| async move { text.parse::<u8>() };
///     match filch::try_gather([parse("7"), parse("seven")]).await {
///         Err(TaskError::Failed(error)) => assert!(error.to_string().contains("invalid digit")),
///         other => unreachable!("{other:?}"),
///     }
/// });
/// ```
#[derive(Debug)]
pub enum TaskError<E> {
    /// The task returned this error.
    Failed(E),
    /// The task panicked or was cancelled.
    Join(JoinError),
}

impl<E: fmt::Display> fmt::Display for TaskError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Failed(error) => error.fmt(f),
            TaskError::Join(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for TaskError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TaskError::Failed(error) => error.source(),
            TaskError::Join(error) => error.source(),
        }
    }
}

impl<F: Future> fmt::Debug for All<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("All").field("site", &format_args!("{}", self.site)).finish()
    }
}

impl<F: Future> fmt::Debug for Gather<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gather").field(&self.all).finish()
    }
}

impl<F: Future> fmt::Debug for Settled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Settled").field(&self.all).finish()
    }
}

impl<F: Future, T> fmt::Debug for TryGather<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryGather").field(&self.all).finish()
    }
}
