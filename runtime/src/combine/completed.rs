//! Results as they come.

use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::children::Watching;
use crate::error::JoinError;
use crate::task::cell::Waits;
use crate::task::polling;
use crate::task::{Id, JoinHandle};

/// Gives the results of tasks in the order in which they end, each with the [id](Id) of its task.
///
/// Dropping it leaves the tasks running; [`into_pending`](AsCompleted::into_pending) gives the handles of
/// the rest back. For a limit put a [`timeout`](fn@crate::timeout) around [`next`](AsCompleted::next).
///
/// ```
/// use std::time::Duration;
/// filch::run(async {
///     let tasks = [20, 1].map(|ms| {
///         filch::spawn(async move {
///             filch::sleep(Duration::from_millis(ms)).await;
///             ms
///         })
///     });
///     let second = tasks[1].id();
///     let mut results = filch::as_completed(tasks);
///     let (id, result) = results.next().await.unwrap();
///     assert_eq!((id, result.unwrap()), (second, 1));
///     assert_eq!(results.into_pending().len(), 1);
/// });
/// ```
#[doc(alias = "select!")]
#[doc(alias = "JoinSet")]
#[doc(alias = "FuturesUnordered")]
#[track_caller]
pub fn as_completed<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> AsCompleted<T> {
    AsCompleted { watching: Watching::new(handles), site: Location::caller() }
}

/// The stream of [`as_completed`].
#[must_use = "streams do nothing unless polled"]
pub struct AsCompleted<T> {
    watching: Watching<T>,
    site: &'static Location<'static>,
}

impl<T> AsCompleted<T> {
    /// The next result; `None` when all tasks have given theirs.
    ///
    /// # Cancel safety
    ///
    /// No result is lost: it is either returned or still to come.
    ///
    /// ```
    /// filch::run(async {
    ///     let tasks = [1, 2, 3].map(|n| filch::spawn(async move { n }));
    ///     let (mut results, mut sum) = (filch::as_completed(tasks), 0);
    ///     while let Some((_, result)) = results.next().await {
    ///         sum += result.unwrap();
    ///     }
    ///     assert_eq!(sum, 6);
    /// });
    /// ```
    #[doc(alias = "join_next")]
    pub async fn next(&mut self) -> Option<(Id, Result<T, JoinError>)> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The handles of the tasks whose results were not given, in the order of the handles.
    pub fn into_pending(self) -> Vec<JoinHandle<T>> {
        self.watching.into_pending()
    }
}

impl<T> Unpin for AsCompleted<T> {}

impl<T> Stream for AsCompleted<T> {
    type Item = (Id, Result<T, JoinError>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.watching.poll_ended(cx) {
            Poll::Ready(Some((_, mut handle))) => {
                let result = handle.try_join().expect("it has ended");
                Poll::Ready(Some((handle.id(), result)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                polling::waits(Waits::at(self.site));
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.watching.left(), Some(self.watching.left()))
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.watching.left()).finish()
    }
}
