//! Limits on how long something may take.
//!
//! A timeout is a region: when its time is up, catches inside it hear of that first and may clean
//! up. Nearly all timeouts have no catch inside, and those must cost nothing for it. So a timeout
//! takes no place in the task's tree until it has seen that something in it did: it compares this
//! thread's stamp before and after it polls its future (see [`Place::adopt`]).
//!
//! *Registered late.* What is inside may have woken the task before it returned Pending: it lets others run, or has had
//! its share of operations. Then this will be polled again soon, so a limit of a second or more is registered with the timer only if
//! the next poll ends in Pending, too: two locks less, and the task's waker is not cloned (1020 → 629 instructions with the
//! yield, which is 249 of them, and 105 → 57 ns of CPU). This is no guess: whoever woke the very waker that was passed
//! on has asked to be polled again, and can only be so through this. With another waker, one of a combinator that polls only
//! those of its futures that were woken, a wake-up of the task says nothing.
//!
//! With a catch inside it is the same, and the timeout takes its place in the tree as late: nobody but the timer makes it ask,
//! so until it is registered there is nothing to ask. A timeout around a catch that yields once: 375 → 178 ns of CPU (tokio, which
//! has no catches: 195); with four workers as with two, for it was never a matter of threads.
//!
//! Not tried further: to compute the deadline from a time that the worker read some polls ago, which saves the 23 ns of the
//! clock. It would have to be corrected by how old that time may be, that is by how long a poll may take.
//!
//! *Inner and outer at once.* When the time is up, a timeout wakes itself and suspends once more
//! before it reports. Meanwhile those around it notice that their time is up, too (or that the
//! task was cancelled), and being polled first in the next poll they report instead: of two equal nested timeouts
//! the outer one.

use std::future::{Future, IntoFuture};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::cancel::{Entered, Place};
use crate::error::Elapsed;
use crate::primitive::Mutex;
use crate::task::WakerSlot;
use crate::task::extra::Request;
use crate::task::polling;
use crate::task::tree::Kind;
use crate::time::{self, Sleep};

/// Gives `future` this long; after that drops it and gives [`Elapsed`]. `None`: no limit.
///
/// The future is polled first, then the clock is looked at: what is ready at the deadline wins, and
/// with a limit of zero it is polled once. It runs in the same task, so a future that computes
/// without ever suspending cannot be interrupted.
///
/// A [`catch_cancel`](fn@crate::catch_cancel) inside the future hears of it when the time is up, and the timeout
/// waits for its cleanup; then it gives [`Elapsed`], unless the catch took the request back: then
/// the future goes on without a limit. If the task is cancelled at the same time, or a timeout around this one is up as
/// well, that one reports.
///
/// To wait for a task's own cleanup there is [`wait_for`](crate::wait_for); to change the limit on the way,
/// [`timeout_scope`].
///
/// A limit that is not reached costs little (see `benches/RESULTS.md`): put one around every read.
///
/// # Panics
///
/// When polled outside a runtime, if there is a limit. With the future's own panic.
///
/// # Cancel safety
///
/// Dropping it drops the future.
///
/// ```
/// use std::time::Duration;
/// filch::run(async {
///     let forever = std::future::pending::<()>();
///     assert!(filch::timeout(Duration::from_millis(1), forever).await.is_err());
///     assert_eq!(filch::timeout(None, async { 5 }).await, Ok(5));
/// });
/// ```
#[doc(alias = "asyncio.timeout")]
#[track_caller]
pub fn timeout<F: IntoFuture>(
    limit: impl Into<Option<Duration>>,
    future: F,
) -> Timeout<F::IntoFuture> {
    let deadline = Sleep::within(limit);
    Timeout::new(future.into_future(), deadline)
}

/// As [`timeout`], until a point in time. `None`: no limit.
///
/// # Panics
///
/// As [`timeout`], to which it is also alike in cancel safety.
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
    #[expect(clippy::manual_map, reason = "a closure would not know the caller")]
    let deadline = match deadline.into() {
        Some(deadline) => Some(Sleep::at(deadline)),
        None => None,
    };
    Timeout::new(future.into_future(), deadline)
}

/// As [`timeout`]; the future is made by `f`, which is given the [`Deadline`], and can ask for it, move it
/// and take it away while it runs.
///
/// # Panics
///
/// As [`timeout`], to which it is also alike in cancel safety.
///
/// ```
/// use std::time::Duration;
/// let result = filch::run(filch::timeout_scope(Duration::from_millis(5), async |deadline| {
///     // The upload is alive: give it more time for each part.
///     for _part in 0..3 {
///         deadline.extend(Duration::from_millis(50));
///         filch::sleep(Duration::from_millis(4)).await;
///     }
///     deadline.reschedule(None); // and all the time there is for the end
///     "done"
/// }));
/// assert_eq!(result, Ok("done"));
/// ```
#[doc(alias = "reschedule")]
#[track_caller]
pub fn timeout_scope<Fut: Future>(
    limit: impl Into<Option<Duration>>,
    f: impl FnOnce(Deadline) -> Fut,
) -> Timeout<Fut> {
    let sleep = Sleep::within(limit);
    let deadline = Deadline { shared: Arc::default(), waker: Arc::default() };
    deadline.shared.lock().when = sleep.as_ref().and_then(Sleep::deadline);
    let mut timeout = Timeout::new(f(deadline.clone()), sleep);
    timeout.shared = Some(deadline);
    timeout
}

/// When a [`timeout_scope`] is up. Clones stand for the same scope, and can be used from anywhere.
///
/// ```
/// use std::time::{Duration, Instant};
/// filch::run(async {
///     let mut kept = None;
///     let result = filch::timeout_scope(None, async |deadline| {
///         assert_eq!((deadline.when(), deadline.expired()), (None, false));
///         kept = Some(deadline.clone());
///         deadline.reschedule(Instant::now()); // ends this where it waits next
///         std::future::pending::<()>().await
///     });
///     assert!(result.await.is_err());
///     let deadline = kept.unwrap();
///     assert!(deadline.expired());
///     assert!(!deadline.extend(Duration::from_secs(1)), "it is over");
/// });
/// ```
#[doc(alias = "Timeout")]
#[derive(Debug, Clone)]
pub struct Deadline {
    shared: Arc<Mutex<Shared>>,
    waker: Arc<WakerSlot>,
}

#[derive(Debug, Default)]
struct Shared {
    when: Option<Instant>,
    /// The timeout has not looked at `when` yet.
    changed: bool,
    expired: bool,
    ended: bool,
}

impl Deadline {
    /// When the time is up; `None`: never.
    pub fn when(&self) -> Option<Instant> {
        self.shared.lock().when
    }

    /// Moves it. A time in the past acts where the future waits next; `None` takes the limit
    /// away. `false`, and nothing happens, if the time was up already or the scope has ended.
    pub fn reschedule(&self, when: impl Into<Option<Instant>>) -> bool {
        let mut shared = self.shared.lock();
        if shared.expired || shared.ended {
            return false;
        }
        shared.when = when.into();
        shared.changed = true;
        drop(shared);
        self.waker.wake();
        true
    }

    /// Moves it to this long from now. As [`reschedule`](Deadline::reschedule).
    pub fn extend(&self, limit: Duration) -> bool {
        // What cannot be added to the present is never.
        self.reschedule(time::now().checked_add(limit))
    }

    /// Has the time run out while the scope was running (even if it gave a value nevertheless)?
    pub fn expired(&self) -> bool {
        self.shared.lock().expired
    }

    /// Is there news for the timeout? (It is to be woken by the next.)
    fn look(&self, waker: &Waker) -> Option<Option<Instant>> {
        self.waker.register(waker);
        let mut shared = self.shared.lock();
        std::mem::take(&mut shared.changed).then_some(shared.when)
    }
}

pin_project! {
    /// The future of [`timeout`], [`timeout_at`] and [`timeout_scope`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    #[project = Parts]
    pub struct Timeout<F> {
        #[pin]
        future: Option<F>,
        deadline: Option<Sleep>,
        shared: Option<Deadline>,
        place: Place,
        expired: bool,
    }
}

/// As the future is: what else there is changes under locks, or in polls that call nobody in between.
impl<F: UnwindSafe> UnwindSafe for Timeout<F> {}
impl<F: RefUnwindSafe> RefUnwindSafe for Timeout<F> {}

impl<F> Timeout<F> {
    #[track_caller]
    fn new(future: F, deadline: Option<Sleep>) -> Timeout<F> {
        let place = Place::new(Kind::Region);
        Timeout { future: Some(future), deadline, shared: None, place, expired: false }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.place.was_linked() || *this.expired || this.shared.is_some() {
            return this.poll_with_all(cx);
        }
        // The usual way, with as little as can be (the rest is out of line: 6 ns of 60).
        let before = polling::stamp();
        let future = this.future.as_mut().as_pin_mut();
        if let Poll::Ready(value) = future.expect("polled after it was ready").poll(cx) {
            this.future.set(None);
            return Poll::Ready(Ok(value));
        }
        let Some(deadline) = this.deadline else { return Poll::Pending };
        // (Put off also if there is somebody inside who would be asked: until it is registered, nothing asks.)
        if deadline.is_put_off(cx)
            || polling::stamp() == before && deadline.poll_deadline(cx).is_pending()
        {
            return Poll::Pending;
        }
        this.after_pending(before, cx);
        Poll::Pending
    }
}

impl<F: Future> Parts<'_, F> {
    #[inline(never)]
    fn poll_with_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<F::Output, Elapsed>> {
        let mut guard = None;
        if !*self.expired && self.place.is_spared_away() {
            // Another task polled it before, and asked nothing of it: here it begins anew.
            self.place.leave();
        }
        if self.place.is_linked() {
            match self.place.enter(cx.waker()) {
                Entered::Poll(inside) => guard = inside,
                _ => return self.end(Err(Elapsed(()))),
            }
        } else if *self.expired && !self.place.is_spared_away() {
            // Those around this one have had their turn.
            return self.end(Err(Elapsed(())));
        }
        let before = polling::stamp();
        let future = self.future.as_mut().as_pin_mut();
        let polled = future.expect("polled after it was ready").poll(cx);
        drop(guard);
        match polled {
            // (Nobody but this asks its region, and not before the time is up.)
            Poll::Ready(value) if *self.expired && self.place.is_ridden() => {
                drop(value);
                self.end(Err(Elapsed(())))
            }
            Poll::Ready(value) => self.end(Ok(value)),
            Poll::Pending => {
                self.after_pending(before, cx);
                Poll::Pending
            }
        }
    }

    /// What is inside waits. Was something polled in there that wants to hear of the end? Has the
    /// deadline been moved? Has it passed?
    #[inline(never)]
    fn after_pending(&mut self, before: u64, cx: &mut Context<'_>) {
        if polling::stamp() != before && !self.place.is_linked() {
            self.place.adopt(before, cx.waker());
        }
        if *self.expired {
            return;
        }
        if let Some(when) = self.shared.as_ref().and_then(|shared| shared.look(cx.waker())) {
            match (when, &mut *self.deadline) {
                (Some(when), Some(deadline)) => deadline.reset(when),
                (Some(when), none) => *none = Some(Sleep::at_site(when, self.place.site())),
                (None, deadline) => *deadline = None,
            }
        }
        let Some(deadline) = self.deadline else { return };
        if deadline.poll_deadline(cx).is_pending() {
            return;
        }
        *self.expired = true;
        self.shared.iter().for_each(|shared| shared.shared.lock().expired = true);
        if self.place.is_linked() {
            let reason = Some("the time limit was exceeded".into());
            self.place.raise(Request { reason, place: self.place.site() });
        } else {
            cx.waker().wake_by_ref();
        }
    }

    fn end<T>(&mut self, result: Result<T, Elapsed>) -> Poll<Result<T, Elapsed>> {
        self.future.set(None);
        self.place.leave();
        self.shared.iter().for_each(|shared| shared.shared.lock().ended = true);
        Poll::Ready(result)
    }
}
