//! Limits on how long something may take.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::error::Elapsed;
use crate::time::Sleep;

/// Gives `future` this long; after that drops it and gives [`Elapsed`]. `None`: no limit.
///
/// The future is polled first, then the clock is looked at: what is ready at the deadline wins, and
/// with a limit of zero it is polled once. It runs in the same task, so a future that computes
/// without ever suspending cannot be interrupted.
///
/// A limit that is not reached costs little (see `benches/RESULTS.md`): put one around every read.
///
/// # Panics
///
/// When polled outside a runtime, if there is a limit. With the future's own panic.
///
/// ```
/// use std::time::Duration;
/// filch::run(async {
///     let forever = std::future::pending::<()>();
///     assert!(filch::timeout(Duration::from_millis(1), forever).await.is_err());
///     assert_eq!(filch::timeout(None, async { 5 }).await, Ok(5));
/// });
/// ```
#[doc(alias = "wait_for")]
#[track_caller]
pub fn timeout<F: IntoFuture>(
    limit: impl Into<Option<Duration>>,
    future: F,
) -> Timeout<F::IntoFuture> {
    #[expect(clippy::manual_map, reason = "a closure would not know the caller")]
    let deadline = match limit.into() {
        Some(limit) => Some(Sleep::after(limit)),
        None => None,
    };
    Timeout { future: future.into_future(), deadline }
}

/// As [`timeout`], until a point in time. `None`: no limit.
///
/// # Panics
///
/// As [`timeout`].
///
/// ```
/// use std::time::Instant;
/// filch::run(async {
///     let forever = std::future::pending::<()>();
///     assert!(filch::timeout_at(Instant::now(), forever).await.is_err());
/// });
/// ```
#[track_caller]
pub fn timeout_at<F: IntoFuture>(
    deadline: impl Into<Option<Instant>>,
    future: F,
) -> Timeout<F::IntoFuture> {
    #[expect(clippy::manual_map, reason = "as above")]
    let deadline = match deadline.into() {
        Some(deadline) => Some(Sleep::at(deadline)),
        None => None,
    };
    Timeout { future: future.into_future(), deadline }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        deadline: Option<Sleep>,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.future.poll(cx) {
            return Poll::Ready(Ok(value));
        }
        match this.deadline {
            Some(deadline) => deadline.poll_deadline(cx).map(|()| Err(Elapsed(()))),
            None => Poll::Pending,
        }
    }
}
