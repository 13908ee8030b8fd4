//! A part of one or many tasks that can be cancelled from outside.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::node::{Entered, Place};
use super::token::Cancelled;
use crate::primitive::Mutex;
use crate::task::WakerSlot;
use crate::task::extra::Request;
use crate::task::tree::Kind;

/// Cancels futures by hand: those that [`run`](CancelScope::run) in it, in whatever tasks.
///
/// Clones are the same scope. Once cancelled it stays so, and what is run in it later ends at once.
///
/// ```
/// filch::run(async {
///     let scope = filch::CancelScope::new();
///     let inside = scope.clone();
///     let task = filch::spawn(async move {
///         let result = inside.run(std::future::pending::<()>()).await;
///         assert_eq!(result.unwrap_err().reason(), Some("the user has left"));
///         "and the task goes on"
///     });
///     scope.cancel_with("the user has left");
///     assert_eq!(task.await.unwrap(), "and the task goes on");
/// });
/// ```
#[doc(alias = "CancellationToken")]
#[derive(Debug, Clone, Default)]
pub struct CancelScope {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: usize,
    first: Option<Request>,
    /// The futures that run in it, by number.
    running: BTreeMap<u64, Arc<WakerSlot>>,
    next: u64,
}

impl CancelScope {
    /// One that is not cancelled.
    pub fn new() -> CancelScope {
        CancelScope::default()
    }

    /// Cancels everything that runs in it. Catches inside hear of it first.
    ///
    /// ```
    /// filch::run(async {
    ///     let scope = filch::CancelScope::new();
    ///     scope.cancel();
    ///     assert!(scope.is_cancelled());
    ///     let late = scope.run(async { unreachable!("it is never polled") }).await;
    ///     assert!(late.is_err());
    /// });
    /// ```
    #[track_caller]
    pub fn cancel(&self) {
        self.request(Request::here());
    }

    /// As [`cancel`](CancelScope::cancel), with a reason.
    #[track_caller]
    pub fn cancel_with(&self, reason: impl Into<std::borrow::Cow<'static, str>>) {
        self.request(Request { reason: Some(reason.into()), ..Request::here() });
    }

    fn request(&self, request: Request) {
        let mut shared = self.shared.lock();
        shared.requests += 1;
        shared.first.get_or_insert(request);
        let running: Vec<_> = shared.running.values().cloned().collect();
        drop(shared);
        running.iter().for_each(|slot| slot.wake());
    }

    /// Has it been cancelled?
    pub fn is_cancelled(&self) -> bool {
        self.shared.lock().requests > 0
    }

    /// Runs a future in it. If the scope is cancelled first, the future is dropped (unpolled, if it
    /// was cancelled already), and the error tells why; it needs nothing to be decided.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the future.
    ///
    /// ```
    /// use std::time::Duration;
    /// filch::run(async {
    ///     let scope = filch::CancelScope::new();
    ///     assert_eq!(scope.run(async { 1 }).await.unwrap(), 1);
    ///     let timer = scope.clone();
    ///     filch::spawn(async move {
    ///         filch::sleep(Duration::from_millis(1)).await;
    ///         timer.cancel();
    ///     });
    ///     assert!(scope.run(std::future::pending::<()>()).await.is_err());
    /// });
    /// ```
    #[doc(alias = "run_until_cancelled")]
    #[track_caller]
    pub fn run<F: IntoFuture>(&self, future: F) -> InScope<F::IntoFuture> {
        InScope {
            future: Some(future.into_future()),
            seat: Seat { scope: self.clone(), waker: Arc::default(), number: None, seen: 0 },
            place: Place::new(Kind::Region),
        }
    }
}

pin_project! {
    /// The future of [`CancelScope::run`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct InScope<F> {
        #[pin]
        future: Option<F>,
        seat: Seat,
        place: Place,
    }
}

/// A future's place in its scope.
#[derive(Debug)]
struct Seat {
    scope: CancelScope,
    waker: Arc<WakerSlot>,
    number: Option<u64>,
    /// Requests that were passed to the region already.
    seen: usize,
}

impl Seat {
    /// Sees to it that a request wakes `waker`; then, whether there are new ones.
    fn look(&mut self, waker: &Waker) -> Option<Request> {
        if self.number.is_none() {
            let mut shared = self.scope.shared.lock();
            let number = shared.next;
            shared.next += 1;
            shared.running.insert(number, Arc::clone(&self.waker));
            self.number = Some(number);
        }
        self.waker.register(waker);
        let shared = self.scope.shared.lock();
        let new = shared.requests > self.seen;
        self.seen = shared.requests;
        if new { shared.first.clone() } else { None }
    }

    fn first(&self) -> Request {
        self.scope.shared.lock().first.clone().expect("it was cancelled")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let removed = self.scope.shared.lock().running.remove(&number);
            drop(removed);
        }
    }
}

impl<F: Future> Future for InScope<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let ended = 'ended: {
            let new = !this.place.is_linked();
            let asked_away = this.place.is_asked_away();
            let request = this.seat.look(cx.waker());
            let entered = this.place.enter(cx.waker());
            let guard = match (entered, request) {
                // Nobody inside could be asked: it has not begun, or not in this task.
                (Entered::Poll(guard), request) if asked_away || (new && request.is_some()) => {
                    drop(guard);
                    break 'ended Err(this.seat.first());
                }
                (Entered::Poll(guard), request) => {
                    request.into_iter().for_each(|request| this.place.raise(request));
                    guard
                }
                (Entered::Fired, _) => break 'ended Err(this.seat.first()),
                (Entered::Caught(_), _) => unreachable!("a region is no catch"),
            };
            let future = this.future.as_mut().as_pin_mut();
            let polled = future.expect("polled after it was ready").poll(cx);
            drop(guard);
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(value) if this.place.is_ridden() => {
                    drop(value);
                    Err(this.seat.first())
                }
                Poll::Ready(value) => Ok(value),
            }
        };
        this.future.set(None);
        this.place.leave();
        Poll::Ready(ended.map_err(Cancelled::report))
    }
}
