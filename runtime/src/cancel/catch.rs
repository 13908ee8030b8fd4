//! To hear of a request to end before being dropped.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::node::{Entered, Place};
use super::token::Cancelled;
use crate::task::tree::Kind;

/// Runs a future; if the task (or a timeout, a group, a scope around this) is cancelled
/// meanwhile, drops the future and gives `Err` with a token, instead of being dropped itself.
///
/// While the [token](Cancelled) lives, what comes after it may `.await`: that is the place for a
/// cleanup. Then [`resume`](Cancelled::resume) the cancellation, or [take it back](Cancelled::uncancel), or return the
/// token with `?`: it is an [`Error`](std::error::Error). (Beside other futures of the same task, as in a `join!`, [see
/// there](Cancelled#beside-other-futures-of-the-same-task) what to do with it.)
///
/// Of several catches the innermost one hears of a request, and passes it on outwards. A future
/// that is ready before the task waits again keeps its value. In a foreign executor there are no
/// requests, and nothing is caught.
///
/// # Panics
///
/// With the future's own panic.
///
/// # Cancel safety
///
/// Dropping it drops the future. A request it has heard of, but not told yet, goes outwards.
///
/// ```
/// use std::time::Duration;
/// let got = filch::run(async {
///     let download = filch::spawn(async {
///         let endless = filch::sleep(Duration::MAX);
///         match filch::catch_cancel(endless).await {
///             Ok(()) => "complete",
///             Err(cancelled) => {
///                 filch::sleep(Duration::from_millis(1)).await; // the cleanup
///                 cancelled.uncancel();
///                 "partial"
///             }
///         }
///     });
///     while download.task().waits_at().is_none() {
///         filch::yield_now().await; // until it has begun
///     }
///     download.cancel();
///     download.await
/// });
/// assert_eq!(got.unwrap(), "partial");
/// ```
#[doc(alias = "CancelledError")]
#[track_caller]
pub fn catch_cancel<F: IntoFuture>(future: F) -> CatchCancel<F::IntoFuture> {
    CatchCancel { future: Some(future.into_future()), place: Place::new(Kind::Catch) }
}

pin_project! {
    /// The future of [`catch_cancel`](fn@catch_cancel).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct CatchCancel<F> {
        #[pin]
        future: Option<F>,
        place: Place,
    }
}

impl<F: Future> Future for CatchCancel<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let guard = match this.place.enter(cx.waker()) {
            Entered::Poll(guard) => guard,
            Entered::Caught(token) => {
                this.future.set(None);
                return Poll::Ready(Err(token));
            }
            Entered::Fired => unreachable!("a catch is no region"),
        };
        let future = this.future.as_mut().as_pin_mut();
        let polled = future.expect("polled after it was ready").poll(cx);
        drop(guard);
        if polled.is_ready() {
            this.future.set(None);
            this.place.leave();
        }
        polled.map(Ok)
    }
}
