//! A timeout around something that has woken the task is registered late, if ever: but it ends on time. So it is with a catch
//! inside: the timeout takes no place above it before it is registered, but asks it when the time is up.

mod support;

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use filch::time::{advance, now};
use filch::{Handle, catch_cancel, timeout, yield_now};
use support::manual::{MS, S, manual};

/// How many timers the runtime has.
fn timers() -> usize {
    Handle::current().metrics().timers
}

/// The same when the limit around the whole test is among them: it is registered on another thread.
async fn timers_before() -> usize {
    while timers() == 0 {
        yield_now().await;
    }
    timers()
}

#[test]
fn one_yield_registers_nothing_and_two_do() {
    manual(async || {
        let before = timers_before().await;
        let result = timeout(60 * S, async move {
            yield_now().await;
            assert_eq!(timers(), before, "it is polled again anyway");
            yield_now().await;
            assert_eq!(timers(), before + 1);
        });
        assert!(result.await.is_ok());
        assert_eq!(timers(), before);
    });
}

#[test]
fn short_limits_are_registered_at_once() {
    manual(async || {
        let before = timers_before().await;
        let result = timeout(10 * MS, async move {
            yield_now().await;
            assert_eq!(timers(), before + 1);
        });
        assert!(result.await.is_ok());
    });
}

#[test]
fn whoever_yields_for_ever_is_ended() {
    manual(async || {
        let mut polls = 0;
        let endless = async {
            loop {
                yield_now().await;
                polls += 1;
                if polls == 10 {
                    advance(3 * S);
                }
                assert!(polls < 1_000);
            }
        };
        assert!(timeout(2 * S, endless).await.is_err());
        assert!(polls >= 10);
    });
}

#[test]
fn what_is_over_before_it_begins_is_polled_once() {
    manual(async || {
        let mut polls = 0;
        let counting = poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        });
        let late = timeout(2 * S, counting);
        advance(3 * S);
        assert!(late.await.is_err());
        assert_eq!(polls, 1);
    });
}

#[test]
fn a_neighbour_that_wakes_the_task_delays_nothing() {
    manual(async || {
        let start = now();
        let mut yields = pin!(yield_now());
        let mut limited = pin!(timeout(2 * S, pending::<()>()));
        let both = poll_fn(|cx| {
            let _ = yields.as_mut().poll(cx);
            limited.as_mut().poll(cx)
        });
        // (A yield that is over must not be polled again: this one is, and is ready again.)
        assert!(both.await.is_err());
        assert_eq!(now() - start, 2 * S);
    });
}

#[test]
fn a_yield_in_a_catch_registers_nothing() {
    manual(async || {
        let before = timers_before().await;
        let result = timeout(
            60 * S,
            catch_cancel(async move {
                yield_now().await;
                assert_eq!(timers(), before, "it is polled again anyway");
                yield_now().await;
                assert_eq!(timers(), before + 1);
            }),
        );
        assert!(result.await.unwrap().is_ok());
        assert_eq!(timers(), before);
    });
}

#[test]
fn a_catch_that_began_before_its_timeout_was_registered_cleans_up() {
    manual(async || {
        let start = now();
        let mut cleaned_up = false;
        let result = timeout(2 * S, async {
            let endless = async {
                yield_now().await;
                pending::<()>().await;
            };
            let token = catch_cancel(endless).await.unwrap_err();
            filch::sleep(S).await;
            cleaned_up = true;
            token.resume().await
        });
        assert!(result.await.is_err());
        assert!(cleaned_up);
        assert_eq!(now() - start, 3 * S, "the timeout waits for the cleanup");
    });
}

/// When a catch inside two timeouts hears of it.
async fn asked_after(inner: Duration, outer: Duration) -> (Duration, bool) {
    let start = now();
    let mut heard_after = Duration::MAX;
    let inside = async {
        let endless = async {
            yield_now().await;
            pending::<()>().await;
        };
        let token = catch_cancel(endless).await.unwrap_err();
        heard_after = now() - start;
        token.resume().await
    };
    let result = timeout(outer, timeout(inner, inside)).await;
    (heard_after, result.is_ok())
}

#[test]
fn of_two_timeouts_around_a_catch_each_asks_it_at_its_time() {
    manual(async || {
        assert_eq!(asked_after(2 * S, 3 * S).await, (2 * S, true), "the inner one reports");
        assert_eq!(asked_after(3 * S, 2 * S).await, (2 * S, false), "the outer one reports");
    });
}

#[test]
fn a_task_that_is_cancelled_before_its_timeout_was_registered_cleans_up() {
    manual(async || {
        let task = filch::spawn(timeout(60 * S, async {
            let inside = async {
                filch::task::current().unwrap().cancel();
                yield_now().await;
            };
            let token = catch_cancel(inside).await.unwrap_err();
            yield_now().await;
            token.uncancel();
            "cleaned up"
        }));
        assert_eq!(task.await.unwrap().unwrap(), "cleaned up");
    });
}

/// Notes that it was used, and wakes the task.
struct Tells {
    told: AtomicBool,
    task: Waker,
}

impl Wake for Tells {
    fn wake(self: Arc<Self>) {
        self.told.store(true, Ordering::SeqCst);
        self.task.wake_by_ref();
    }
}

/// Polls its future only if that was woken, as sets of futures do.
struct Picky<F> {
    future: Pin<Box<F>>,
    tells: Option<Arc<Tells>>,
}

impl<F: Future> Future for Picky<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let tells = self.tells.get_or_insert_with(|| {
            Arc::new(Tells { told: AtomicBool::new(true), task: cx.waker().clone() })
        });
        let tells = Arc::clone(tells);
        if !tells.told.swap(false, Ordering::SeqCst) {
            return Poll::Pending;
        }
        let waker = Waker::from(tells);
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[test]
fn a_wake_up_of_the_task_says_nothing_to_whoever_has_another_waker() {
    manual(async || {
        let start = now();
        let task = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        // It wakes the task, not itself: nobody polls it again for that.
        let inside = poll_fn(move |_| {
            task.wake_by_ref();
            Poll::<()>::Pending
        });
        let picky = Picky { future: Box::pin(timeout(2 * S, inside)), tells: None };
        assert!(picky.await.is_err());
        assert_eq!(now() - start, 2 * S);
    });
}
