//! To hold requests back.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::node::{Entered, Place};
use crate::task::tree::Kind;

/// Runs a future to its end, whatever requests to end there are around it: they wait, and act where
/// the task waits next after that.
///
/// For what must not be cut in two, like a commit. It delays a cancel in the same task; to let
/// something go on *without* this task, [`spawn`](fn@crate::spawn) it and await its handle:
/// dropping the handle does not end it. (That is what asyncio's `shield` does.)
///
/// [`abort`](crate::task::Task::abort) disregards it, and a poll that it starts in a foreign
/// executor is not shielded: there are no requests there.
///
/// # Cancel safety
///
/// Dropping it drops the future: it shields from requests, not from a `select!`.
///
/// ```
/// use std::time::Duration;
/// let result = filch::run(async {
///     let commit = filch::shield(filch::sleep(Duration::from_millis(20)));
///     filch::timeout(Duration::from_millis(1), async {
///         commit.await;
///         "committed"
///     })
///     .await
/// });
/// assert_eq!(result, Ok("committed"), "it was done before it waited again");
/// ```
#[doc(alias = "uncancellable")]
#[track_caller]
pub fn shield<F: IntoFuture>(future: F) -> Shield<F::IntoFuture> {
    Shield { future: Some(future.into_future()), place: Place::new(Kind::Shield) }
}

pin_project! {
    /// The future of [`shield`](fn@shield).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Shield<F> {
        #[pin]
        future: Option<F>,
        place: Place,
    }
}

impl<F: Future> Future for Shield<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let Entered::Poll(guard) = this.place.enter(cx.waker()) else {
            unreachable!("a shield does not fire")
        };
        let future = this.future.as_mut().as_pin_mut();
        let polled = future.expect("polled after it was ready").poll(cx);
        drop(guard);
        if polled.is_ready() {
            this.future.set(None);
            this.place.leave();
        }
        polled
    }
}
