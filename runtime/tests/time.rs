//! Sleeps, timeouts and intervals, most of them on a clock that stands still until it is moved.

mod support;

use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use filch::time::{MissedTick, advance};
use filch::{Runtime, interval, interval_at, sleep, sleep_until, timeout, timeout_at};
use support::hush_panics;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs a test in a task of a runtime whose clock is moved by hand.
fn by_hand<F>(test: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = Runtime::builder().worker_threads(2).manual_clock(true).build().unwrap();
    runtime.block_on(test);
}

/// Polls once: is it ready?
fn poll_now<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_sleep_ends_when_its_time_has_come_and_not_before() {
    by_hand(async {
        let mut nap = sleep(10 * MS);
        assert!(poll_now(&mut nap).is_pending());
        advance(9 * MS);
        assert!(poll_now(&mut nap).is_pending());
        advance(MS);
        assert!(poll_now(&mut nap).is_ready());
    });
}

#[test]
fn sleepers_on_workers_wake_in_the_order_of_their_deadlines() {
    let runtime = Runtime::builder().worker_threads(1).manual_clock(true).build().unwrap();
    let order: Arc<Mutex<Vec<u32>>> = Arc::default();
    let asleep = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = [3_u32, 1, 2, 5, 4]
        .map(|i| {
            let (order, asleep) = (Arc::clone(&order), Arc::clone(&asleep));
            runtime.spawn(async move {
                let mut nap = sleep(i * MS);
                std::future::poll_fn(|cx| {
                    let polled = std::pin::Pin::new(&mut nap).poll(cx);
                    asleep.fetch_add(1, Ordering::SeqCst);
                    polled
                })
                .await;
                order.lock().unwrap().push(i);
            })
        })
        .into();
    while asleep.load(Ordering::SeqCst) < 5 {
        std::thread::yield_now();
    }
    runtime.block_on(async {
        advance(10 * MS);
        for handle in handles {
            handle.await.unwrap();
        }
    });
    assert_eq!(*order.lock().unwrap(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_sleep_of_nothing_suspends_once() {
    by_hand(async {
        for mut nap in [sleep(Duration::ZERO), sleep_until(filch::time::now() - MS)] {
            assert!(poll_now(&mut nap).is_pending(), "as in asyncio, others get a turn");
            assert!(poll_now(&mut nap).is_ready());
        }
    });
}

#[test]
fn a_wait_knows_the_line_it_was_made_on() {
    by_hand(async {
        let line = line!() + 1;
        let waits = [format!("{:?}", sleep(MS)), format!("{:?}", timeout(MS, pending::<()>()))];
        for wait in waits {
            assert!(wait.contains(&format!("time.rs:{line}:")), "{wait}");
        }
    });
}

#[test]
fn what_overflows_is_never() {
    by_hand(async {
        let mut nap = sleep(Duration::MAX);
        assert_eq!(nap.deadline(), None);
        assert!(poll_now(&mut nap).is_pending());
        let mut limited = pin!(timeout(Duration::MAX, pending::<()>()));
        assert!(limited.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        advance(100 * YEAR);
        assert!(poll_now(&mut nap).is_pending());
        assert!(limited.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    });
}

#[test]
fn a_clock_that_jumps_fires_what_is_due_and_nothing_else() {
    by_hand(async {
        let (soon, late) = (filch::spawn(sleep(HOUR)), filch::spawn(sleep(2 * YEAR)));
        filch::spawn(filch::yield_now()).await.unwrap();
        advance(YEAR);
        soon.await.unwrap();
        assert!(!late.is_finished());
        advance(YEAR);
        late.await.unwrap();
    });
}

#[test]
fn a_reset_moves_the_end_both_ways_and_revives() {
    by_hand(async {
        let start = filch::time::interval(HOUR).tick().await;
        let mut nap = sleep(10 * MS);
        assert!(poll_now(&mut nap).is_pending());
        nap.reset(start + 30 * MS);
        advance(20 * MS);
        assert!(poll_now(&mut nap).is_pending());
        nap.reset(start + 21 * MS);
        advance(MS);
        assert!(poll_now(&mut nap).is_ready());
        nap.reset(start + 40 * MS);
        assert!(poll_now(&mut nap).is_pending());
        advance(19 * MS);
        assert!(poll_now(&mut nap).is_ready());
    });
}

#[test]
fn a_timeout_drops_what_takes_too_long_and_keeps_what_is_ready() {
    by_hand(async {
        let handle = filch::spawn(timeout(10 * MS, pending::<()>()));
        filch::spawn(filch::yield_now()).await.unwrap();
        while !handle.is_finished() {
            advance(MS);
            filch::yield_now().await;
        }
        assert!(handle.await.unwrap().is_err());
        assert_eq!(timeout(10 * MS, async { 1 }).await, Ok(1));
        assert_eq!(timeout(Duration::ZERO, async { 2 }).await, Ok(2), "what is ready wins");
        assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
        assert_eq!(timeout(None, async { 3 }).await, Ok(3));
        assert_eq!(timeout_at(None, async { 4 }).await, Ok(4));
        // Ready in the same poll as the deadline: the value wins.
        let mut late = pin!(timeout(
            MS,
            std::future::poll_fn(|_| {
                advance(2 * MS);
                Poll::Ready(5)
            })
        ));
        assert_eq!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(5)));
    });
}

#[test]
fn a_timeout_is_as_safe_to_look_at_after_a_panic_as_its_future() {
    const BROKEN: &str = "broken on purpose";
    /// Safe to look at, for it says so.
    struct Breaks;
    impl Future for Breaks {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            panic!("{BROKEN}")
        }
    }
    hush_panics(BROKEN);
    by_hand(async {
        let mut around = timeout(MS, Breaks);
        // It compiles: no `AssertUnwindSafe` around it.
        let caught = std::panic::catch_unwind(move || {
            let _ = poll_now(&mut around);
        });
        assert!(caught.is_err());
        let mut around = timeout(MS, Breaks);
        for _ in 0..2 {
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| poll_now(&mut around)));
            assert!(polled.is_err(), "it polls what it holds, as ever");
        }
    });
}

#[test]
fn a_timeout_on_a_handle_by_reference_leaves_the_task_alone() {
    by_hand(async {
        let (send, receive) = async_channel::bounded::<u8>(1);
        let mut handle = filch::spawn(async move { receive.recv().await.unwrap() });
        assert!(timeout(Duration::ZERO, &mut handle).await.is_err());
        send.send(7).await.unwrap();
        assert_eq!(handle.await.unwrap(), 7);
    });
}

/// Ticks of an interval of 10 ms whose user comes 35 ms late once, in ms since the start.
async fn late_once(missed: MissedTick) -> Vec<u128> {
    let mut every = interval(10 * MS).missed_tick(missed);
    let start = every.tick().await;
    let mut ticks = Vec::new();
    advance(35 * MS);
    for _ in 0..5 {
        let due = loop {
            let mut tick = pin!(every.tick());
            match tick.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(due) => break due,
                // The next one is ahead: go there.
                Poll::Pending => advance(MS),
            }
        };
        ticks.push((due - start).as_millis());
    }
    ticks
}

#[test]
fn an_interval_catches_up_delays_or_skips() {
    by_hand(async {
        assert_eq!(late_once(MissedTick::Burst).await, [10, 20, 30, 40, 50]);
        assert_eq!(late_once(MissedTick::Delay).await, [10, 45, 55, 65, 75]);
        assert_eq!(late_once(MissedTick::Skip).await, [10, 40, 50, 60, 70]);
    });
}

#[test]
fn an_interval_can_start_later_and_ends_nowhere() {
    hush_panics("an interval of zero");
    by_hand(async {
        let start = interval(MS).tick().await;
        let mut every = interval_at(start + 5 * MS, MS);
        assert!(every.poll_tick(&mut Context::from_waker(Waker::noop())).is_pending());
        advance(5 * MS);
        assert_eq!(every.tick().await, start + 5 * MS);
        // The next tick cannot be told: it never comes.
        let mut rare = interval_at(start, Duration::MAX);
        rare.tick().await;
        assert!(rare.poll_tick(&mut Context::from_waker(Waker::noop())).is_pending());
    });
    let caught = std::panic::catch_unwind(|| interval(Duration::ZERO));
    assert!(caught.is_err());
}

#[test]
fn what_sleeps_when_the_runtime_ends_is_told() {
    hush_panics("shut down while this sleep was pending");
    let (one, other) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    // Polled in one runtime, which ends; polled again in a thread that belongs to it no more.
    let mut nap = Box::pin(sleep(HOUR));
    one.block_on(async { assert!(poll_now(&mut nap).is_pending()) });
    drop(one);
    // In another runtime it goes on there.
    other.block_on(async { assert!(poll_now(&mut nap).is_pending()) });
    let handle = other.handle();
    let mut sleeper = other.spawn(sleep(HOUR));
    drop(other);
    assert!(sleeper.join_timeout(None).unwrap().unwrap_err().is_cancelled());
    drop(handle);
}

#[test]
fn advance_without_a_manual_clock_says_what_to_write() {
    hush_panics("time::advance");
    let caught = std::panic::catch_unwind(|| filch::run(async { advance(MS) }));
    let text = *caught.unwrap_err().downcast::<&str>().unwrap();
    assert!(text.contains("#[filch::test(clock = manual)]"), "{text}");
}

#[test]
fn time_passes_on_the_real_clock_too() {
    let start = Instant::now();
    filch::run(async {
        // Long enough to be far for the timer, and several at once.
        let handles: Vec<_> =
            [150, 20, 3].map(|ms| filch::spawn(sleep(ms * MS))).into_iter().collect();
        for handle in handles {
            handle.await.unwrap();
        }
        let mut every = interval(2 * MS);
        for _ in 0..5 {
            every.tick().await;
        }
        assert!(timeout(MS, pending::<()>()).await.is_err());
    });
    assert!(start.elapsed() >= 150 * MS + 8 * MS + MS);
}
