//! Waiting for one task, and answering for it.
//!
//! The future is a catch (see `task/tree.rs`): a request that reaches it goes on to the task, and when
//! that has ended the request is passed on, so a task's cleanup comes before the end of the one that
//! waits for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::cancel::{Cancelled, Entered, Passed, Place, cancel_all, end_with_current};
use crate::error::{Elapsed, JoinError};
use crate::task::JoinHandle;
use crate::task::extra::Request;
use crate::task::tree::Kind;
use crate::time::Sleep;

impl<T> JoinHandle<T> {
    /// Ties the task to the one that awaits this: a request to end that reaches the `.await` here is
    /// sent on to the task, whose cleanup is waited for. (Awaiting the handle itself, as in
    /// `handle.await`, leaves the task running when the waiter is cancelled.)
    ///
    /// When the task has ended because of that, the request goes on outwards. If it gave a value
    /// nevertheless, the value is returned, and the request acts where this task waits next.
    ///
    /// # Cancel safety
    ///
    /// Dropping it cancels the task; whoever drops it is not seen to be complete until that has ended.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// let (said, order) = mpsc::channel();
    /// filch::run(async move {
    ///     let parent = filch::spawn(async move {
    ///         let child = filch::spawn(async move {
    ///             let cancelled = filch::catch_cancel(std::future::pending::<()>()).await;
    ///             said.send("child's cleanup").unwrap();
    ///             cancelled
    ///         });
    ///         child.linked().await
    ///     });
    ///     while parent.task().info().waits_for.is_none() {
    ///         filch::yield_now().await;
    ///     }
    ///     parent.cancel();
    ///     assert!(parent.await.unwrap_err().is_cancelled());
    ///     assert_eq!(order.try_recv().ok(), Some("child's cleanup"));
    /// });
    /// ```
    #[doc(alias = "AbortOnDropHandle")]
    #[track_caller]
    pub fn linked(self) -> Linked<T> {
        Linked { handle: self, outer: Place::new(Kind::Waiter), stage: Stage::Waiting }
    }
}

/// The future of [`JoinHandle::linked`].
#[must_use = "futures do nothing unless awaited"]
pub struct Linked<T> {
    handle: JoinHandle<T>,
    outer: Place,
    stage: Stage<T>,
}

enum Stage<T> {
    Waiting,
    /// A request is kept until the task has ended.
    Caught(Cancelled),
    /// It was passed on; what is around is about to be dropped for it.
    Passed(Passed, Result<T, JoinError>),
    Done,
}

impl<T> Linked<T> {
    fn cancel(&self, request: &Request) {
        cancel_all(&[self.handle.task_ref()], request);
    }
}

impl<T> Unpin for Linked<T> {}

impl<T> Future for Linked<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut guard = None;
        match &this.stage {
            Stage::Waiting => match this.outer.enter(cx.waker()) {
                Entered::Poll(inside) => guard = inside,
                Entered::Caught(token) => {
                    this.cancel(&token.request());
                    this.stage = Stage::Caught(token);
                }
                Entered::Fired => unreachable!("a catch is no region"),
            },
            Stage::Caught(_) => {}
            Stage::Passed(passed, _) if !passed.is_over(cx.waker()) => return Poll::Pending,
            // It was taken back meanwhile: this goes on.
            Stage::Passed(..) => match std::mem::replace(&mut this.stage, Stage::Done) {
                Stage::Passed(_, result) => return Poll::Ready(result),
                _ => unreachable!("it was just seen"),
            },
            Stage::Done => panic!("a linked handle was polled again after it had given its result"),
        }
        let polled = Pin::new(&mut this.handle).poll(cx);
        drop(guard);
        let Poll::Ready(result) = polled else { return Poll::Pending };
        match std::mem::replace(&mut this.stage, Stage::Done) {
            Stage::Caught(token) if result.as_ref().is_err_and(JoinError::is_cancelled) => {
                this.stage = Stage::Passed(token.pass_on(cx.waker(), this.outer.site()), result);
                Poll::Pending
            }
            // (Dropping a token passes the request on.)
            _ => {
                this.outer.leave();
                Poll::Ready(result)
            }
        }
    }
}

impl<T> Drop for Linked<T> {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Waiting | Stage::Caught(_)) && !self.handle.is_finished() {
            let reason = Some("the handle it was linked to was dropped".into());
            let request = Request { reason, place: self.outer.site() };
            end_with_current(&[self.handle.task_ref()], &request);
        }
    }
}

impl<T> fmt::Debug for Linked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Linked").field(&self.handle).finish()
    }
}

/// Gives a task this long; then cancels it and *waits for its cleanup*, which may take longer. `None`:
/// no limit.
///
/// A task that ends with a value although it was cancelled gives the value; else the result is [`Elapsed`].
/// With a limit of zero a task that was not started yet never starts.
///
/// ([`timeout`](fn@crate::timeout) around `&mut handle` does not touch the task, and around a
/// `handle` lets it go on alone.)
///
/// If the waiting task is cancelled, so is the task it waits for: see [`JoinHandle::linked`].
///
/// # Panics
///
/// When polled outside a runtime, if there is a limit.
///
/// # Cancel safety
///
/// As [`JoinHandle::linked`].
///
/// ```
/// use std::time::Duration;
/// filch::run(async {
///     let forever = filch::spawn(std::future::pending::<()>());
///     assert!(filch::wait_for(Duration::from_millis(1), forever).await.is_err());
///
///     let quick = filch::spawn(async { 3 });
///     assert_eq!(filch::wait_for(None, quick).await.unwrap().unwrap(), 3);
/// });
/// ```
#[doc(alias = "asyncio.wait_for")]
#[track_caller]
pub fn wait_for<T>(limit: impl Into<Option<Duration>>, handle: JoinHandle<T>) -> WaitFor<T> {
    let deadline = Sleep::within(limit);
    WaitFor { linked: handle.linked(), deadline, expired: false }
}

/// The future of [`wait_for`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct WaitFor<T> {
    linked: Linked<T>,
    deadline: Option<Sleep>,
    expired: bool,
}

impl<T> Unpin for WaitFor<T> {}

impl<T> Future for WaitFor<T> {
    type Output = Result<Result<T, JoinError>, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(result) = Pin::new(&mut this.linked).poll(cx) {
            let cut = this.expired && result.as_ref().is_err_and(JoinError::is_cancelled);
            return Poll::Ready(if cut { Err(Elapsed(())) } else { Ok(result) });
        }
        let Some(deadline) = &mut this.deadline else { return Poll::Pending };
        if !this.expired && deadline.poll_deadline(cx).is_ready() {
            this.expired = true;
            let reason = Some("the time limit was exceeded".into());
            this.linked.cancel(&Request { reason, place: this.linked.outer.site() });
        }
        Poll::Pending
    }
}
