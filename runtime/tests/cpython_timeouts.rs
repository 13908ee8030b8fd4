//! The scenarios of CPython's `test_timeouts.py`, in our words: see `CPYTHON.md`.

mod support;

use std::future::Future;
use std::time::{Duration, Instant};

use filch::time::{advance, now};
use filch::{
    CancelScope, Cancelled, Deadline, Elapsed, catch_cancel, sleep, spawn, spawn_blocking, task,
    task_group, timeout, timeout_at, timeout_scope, yield_now,
};
use support::manual::{
    Log, MS, S, Stopwatch, fails_after, fails_in_cleanup, manual, settle, tells_cancel,
};

/// A timeout, and its deadline for later.
async fn watched<Fut: Future>(
    limit: impl Into<Option<Duration>>,
    f: impl FnOnce(Deadline) -> Fut,
) -> (Result<Fut::Output, Elapsed>, Deadline) {
    let mut kept = None;
    let result = timeout_scope(limit, |deadline| {
        kept = Some(deadline.clone());
        f(deadline)
    })
    .await;
    (result, kept.expect("it is made at once"))
}

/// The same until a point in time.
async fn watched_until<Fut: Future>(
    when: Option<Instant>,
    f: impl FnOnce(Deadline) -> Fut,
) -> (Result<Fut::Output, Elapsed>, Deadline) {
    watched(None, |deadline| {
        assert!(deadline.reschedule(when));
        f(deadline)
    })
    .await
}

// ── the time is up, or not ────────────────────────────────────────────────────────────────────

#[test]
fn timeout_basic() {
    // CPython: test_timeout_basic.
    manual(async || {
        let time = Stopwatch::start();
        let (result, deadline) = watched(10 * MS, |_| sleep(10 * S)).await;
        assert!(result.is_err() && deadline.expired());
        assert_eq!(time.ms(), 10);
    });
}

#[test]
fn timeout_at_basic() {
    // CPython: test_timeout_at_basic.
    manual(async || {
        let when = now() + 10 * MS;
        let (result, deadline) = watched_until(Some(when), |_| sleep(10 * S)).await;
        assert!(result.is_err() && deadline.expired());
        assert_eq!(deadline.when(), Some(when));
        assert_eq!(now(), when);
        let when = now() + 10 * MS;
        assert!(timeout_at(when, sleep(10 * S)).await.is_err());
        assert_eq!(now(), when);
    });
}

#[test]
fn timeout_not_reached() {
    // CPython: test_timeout_not_called.
    manual(async || {
        let (result, deadline) = watched(10 * S, |_| sleep(10 * MS)).await;
        assert!(result.is_ok() && !deadline.expired());
        assert!(deadline.when().unwrap() > now());
        // And it does not fire later.
        sleep(20 * S).await;
        assert!(!deadline.expired());
    });
}

#[test]
fn timeout_none() {
    // CPython: test_timeout_disabled.
    manual(async || {
        let (result, deadline) = watched(None, |_| sleep(10_000 * S)).await;
        assert!(result.is_ok() && !deadline.expired());
        assert_eq!(deadline.when(), None);
    });
}

#[test]
fn timeout_at_none() {
    // CPython: test_timeout_at_disabled.
    manual(async || {
        let (result, deadline) = watched_until(None, |_| sleep(10_000 * S)).await;
        assert!(result.is_ok() && !deadline.expired());
        assert_eq!(deadline.when(), None);
        assert!(timeout_at(None, sleep(10_000 * S)).await.is_ok());
    });
}

#[test]
fn timeout_zero_cuts_first_suspension() {
    // CPython: test_timeout_zero.
    manual(async || {
        let log = Log::default();
        let time = Stopwatch::start();
        let before = now();
        let (result, deadline) = watched(Duration::ZERO, async |_| {
            log.add("begun");
            sleep(10 * S).await;
            log.add("went on");
        })
        .await;
        assert!(result.is_err() && deadline.expired());
        assert_eq!(deadline.when(), Some(before));
        assert_eq!(time.ms(), 0);
        assert_eq!(log.entries(), ["begun"]);
    });
}

#[test]
fn timeout_zero_and_yield() {
    // CPython: test_timeout_zero_sleep_zero.
    manual(async || {
        let (result, deadline) = watched(Duration::ZERO, |_| sleep(Duration::ZERO)).await;
        assert!(result.is_err() && deadline.expired());
        let (result, deadline) = watched(Duration::ZERO, |_| yield_now()).await;
        assert!(result.is_err() && deadline.expired());
    });
}

#[test]
fn timeout_at_past_and_yield() {
    // CPython: test_timeout_in_the_past_sleep_zero.
    manual(async || {
        sleep(20 * S).await;
        let past = now() - 11 * S;
        let (result, deadline) = watched_until(Some(past), |_| sleep(Duration::ZERO)).await;
        assert!(result.is_err() && deadline.expired());
        assert_eq!(deadline.when(), Some(past));
        assert!(timeout_at(past, yield_now()).await.is_err());
    });
}

#[test]
fn timeout_passes_inner_error() {
    // CPython: test_foreign_exception_passed.
    manual(async || {
        let (result, deadline) = watched(10 * MS, |_| fails_after(5 * MS, "key")).await;
        assert_eq!(result, Ok(Err("key")));
        assert!(!deadline.expired());
    });
}

#[test]
fn timeout_does_not_cancel_task() {
    // CPython: test_outer_task_is_not_cancelled.
    manual(async || {
        let task = spawn(async {
            assert!(timeout(MS, sleep(10 * S)).await.is_err());
            let count = task::current().unwrap().cancelling();
            sleep(S).await;
            count
        });
        assert_eq!(task.await.expect("it was not cancelled"), 0);
    });
}

// ── what the code inside sees ─────────────────────────────────────────────────────────────────

#[test]
fn timeout_inner_catch_sees_it() {
    // CPython: test_waiter_cancelled.
    manual(async || {
        let log = Log::default();
        let inside = log.clone();
        let (result, deadline) =
            watched(10 * MS, |_| tells_cancel(10 * S, inside, "cancelled")).await;
        assert!(result.is_err() && deadline.expired());
        assert_eq!(log.entries(), ["cancelled"]);
    });
}

#[test]
fn timeout_cleanup_error_wins() {
    // CPython: test_foreign_exception_on_timeout. An error that carries the token is the timeout's own; there
    // the same is true of the CancelledError itself.
    manual(async || {
        let (result, deadline) = watched(10 * MS, |_| fails_in_cleanup(S, "crash")).await;
        assert_eq!(result, Ok(Err("crash")));
        assert!(deadline.expired());
        sleep(S).await;

        let (result, deadline) =
            watched(10 * MS, async |_| -> Result<(), Cancelled> { catch_cancel(sleep(S)).await })
                .await;
        assert!(matches!(result, Err(Elapsed { .. })));
        assert!(deadline.expired());
        assert_eq!(task::current().unwrap().cancelling(), 0);
        sleep(S).await;
    });
}

#[test]
fn timeout_nested_cleanups_error_wins() {
    // CPython: test_foreign_exception_on_timeout_2. (There the errors are chained, which Rust does not do.)
    manual(async || {
        let log = Log::default();
        let (result, deadline) = watched(10 * MS, async |_| {
            let inner = async {
                let carried = Err::<(), _>("value");
                if let Err(cancelled) = catch_cancel(sleep(S)).await {
                    log.add("inner cleanup");
                    cancelled.resume().await;
                }
                carried
            };
            match catch_cancel(inner).await {
                Ok(carried) => carried,
                Err(cancelled) => {
                    log.add("outer cleanup");
                    drop(cancelled);
                    Err("divided by zero")
                }
            }
        })
        .await;
        assert_eq!(result, Ok(Err("divided by zero")));
        assert!(deadline.expired());
        assert_eq!(log.entries(), ["inner cleanup", "outer cleanup"]);
        sleep(S).await;
    });
}

#[test]
fn timeout_passes_task_cancel() {
    // CPython: test_foreign_cancel_doesnt_timeout_if_not_expired.
    manual(async || {
        let (send, receive) = async_channel::bounded(1);
        let task = spawn(timeout_scope(10 * S, async move |deadline| {
            send.send(deadline).await.unwrap();
            task::current().unwrap().cancel();
            sleep(10 * S).await;
        }));
        let time = Stopwatch::start();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!receive.recv().await.unwrap().expired());
        assert_eq!(time.ms(), 0);
    });
}

#[test]
fn timeout_inside_cleanup_of_timeout() {
    // CPython: test_nested_timeout_in_finally.
    manual(async || {
        let log = Log::default();
        let time = Stopwatch::start();
        // With and without a catch in the inner one.
        for catches in [false, true] {
            let inside = log.clone();
            let (result, deadline) = watched(10 * MS, async |_| {
                let cancelled = catch_cancel(sleep(S)).await.unwrap_err();
                let inner = async {
                    if catches {
                        tells_cancel(10 * S, inside.clone(), "inner cancelled").await;
                    } else {
                        sleep(10 * S).await;
                    }
                };
                assert!(timeout(10 * MS, inner).await.is_err());
                inside.add("the cleanup's timeout");
                cancelled.resume().await;
            })
            .await;
            let _: Result<(), Elapsed> = result;
            assert!(result.is_err() && deadline.expired());
        }
        assert_eq!(time.ms(), 40);
        let expected = ["the cleanup's timeout", "inner cancelled", "the cleanup's timeout"];
        assert_eq!(log.entries(), expected);
        sleep(S).await;
    });
}

#[test]
fn timeout_in_cleanup_after_cancel() {
    // CPython: test_timeout_after_cancellation. There the cancel is swallowed by `except`; here the token is kept
    // over the cleanup, and a dropped one ends the task where it waits next.
    manual(async || {
        let log = Log::default();
        for keep in [true, false] {
            let log = log.clone();
            let runner = spawn(async move {
                task::current().unwrap().cancel();
                let mut cancelled = Some(catch_cancel(sleep(S)).await.unwrap_err());
                if !keep {
                    cancelled = None;
                }
                assert!(timeout(Duration::ZERO, sleep(S)).await.is_err());
                log.add("timeout in the cleanup");
                drop(cancelled);
                sleep(S).await;
                log.add("the cancel was lost");
            });
            assert!(runner.await.unwrap_err().is_cancelled());
        }
        assert_eq!(log.entries(), ["timeout in the cleanup"]);
    });
}

#[test]
fn second_cancel_in_cleanup_timeout() {
    // CPython: test_cancel_in_timeout_after_cancellation. There the second cancel cuts the cleanup; here it only
    // counts, and acts after the first. If the first was taken back, it acts as there.
    manual(async || {
        let log = Log::default();
        for take_back in [false, true] {
            let log = log.clone();
            let time = Stopwatch::start();
            let runner = spawn(async move {
                let me = task::current().unwrap();
                me.cancel();
                let mut cancelled = Some(catch_cancel(sleep(S)).await.unwrap_err());
                if take_back {
                    assert_eq!(cancelled.take().unwrap().uncancel(), 0);
                }
                let cleanup = async {
                    me.cancel();
                    sleep(2 * S).await;
                };
                assert!(timeout(S, cleanup).await.is_err());
                log.add("timeout in the cleanup");
                assert_eq!(me.cancelling(), 2);
                drop(cancelled);
                sleep(S).await;
                log.add("the cancels were lost");
            });
            assert!(runner.await.unwrap_err().is_cancelled());
            assert_eq!(time.ms(), if take_back { 0 } else { 1000 });
        }
        assert_eq!(log.entries(), ["timeout in the cleanup"]);
    });
}

#[test]
fn timeout_round_group_cleanup_error() {
    // CPython: test_timeout_taskgroup.
    manual(async || {
        let time = Stopwatch::start();
        let result = timeout(
            10 * MS,
            task_group(async |group| -> Result<(), &str> {
                group.spawn(fails_in_cleanup(2 * S, "divided by zero"));
                let carried = Err("value");
                sleep(S).await;
                carried
            }),
        )
        .await;
        let failed = result.expect("the group's errors win").unwrap_err();
        let errors: Vec<_> = failed.into_iter().map(|failure| failure.error).collect();
        assert_eq!(errors, ["divided by zero"]);
        assert_eq!(time.ms(), 10);
        assert_eq!(task::current().unwrap().cancelling(), 0);
        sleep(S).await;
    });
}

// ── one in the other ──────────────────────────────────────────────────────────────────────────

#[test]
fn timeouts_nested_equal() {
    // CPython: test_nested_timeouts.
    manual(async || {
        // Nobody between them.
        let log = Log::default();
        let when = now() + 10 * MS;
        let mut inner = None;
        let (result, outer) = watched_until(Some(when), async |_| {
            let (result, deadline) = watched_until(Some(when), |deadline| {
                inner = Some(deadline);
                sleep(10 * S)
            })
            .await;
            log.add("between");
            drop(deadline);
            result
        })
        .await;
        assert!(result.is_err(), "the outer one reports");
        assert!(log.is_empty(), "the code between has seen the inner one's end");
        assert!(outer.expired() && inner.unwrap().expired());
        // A catch between them, in the inner one, and both.
        for (between, inside) in [(true, false), (false, true), (true, true)] {
            let log = Log::default();
            let when = now() + 10 * MS;
            let mut inner = None;
            let (result, outer) = watched_until(Some(when), async |_| {
                let log = log.clone();
                let limited = watched_until(Some(when), |deadline| {
                    inner = Some(deadline);
                    let log = log.clone();
                    async move {
                        if inside {
                            tells_cancel(10 * S, log, "inside").await;
                        } else {
                            sleep(10 * S).await;
                        }
                    }
                });
                if between {
                    match catch_cancel(limited).await {
                        Ok(_) => log.add("the inner one's end"),
                        Err(cancelled) => {
                            log.add("between");
                            cancelled.resume().await;
                        }
                    }
                } else {
                    drop(limited.await);
                    log.add("the inner one's end");
                }
            })
            .await;
            assert!(result.is_err(), "{between} {inside}");
            assert!(outer.expired() && inner.unwrap().expired(), "{between} {inside}");
            let mut expected = Vec::new();
            expected.extend(inside.then_some("inside"));
            expected.extend(between.then_some("between"));
            assert_eq!(log.entries(), expected, "{between} {inside}");
            sleep(S).await;
        }
    });
}

#[test]
fn timeouts_nested_outer_earlier_busy() {
    // CPython: test_nested_timeouts_concurrent.
    manual(async || {
        let log = Log::default();
        let time = Stopwatch::start();
        let result = timeout(2 * MS, async {
            let inner = timeout(100 * MS, async {
                advance(10 * MS); // computes
                sleep(S).await;
            });
            let _ = inner.await;
            log.add("the inner one's end");
        })
        .await;
        assert!(result.is_err());
        assert_eq!(time.ms(), 10);
        assert!(log.is_empty());
    });
}

#[test]
fn timeouts_nested_busy_past_both() {
    // CPython: test_nested_timeouts_loop_busy. There the inner one reports first; here the outer one does at once.
    manual(async || {
        let log = Log::default();
        let time = Stopwatch::start();
        let result = timeout(100 * MS, async {
            let inner = timeout(10 * MS, async {
                advance(100 * MS); // computes
                sleep(S).await;
            });
            let _ = inner.await;
            sleep(10 * S).await;
            log.add("the outer one was lost");
        })
        .await;
        assert!(result.is_err());
        assert_eq!(time.ms(), 100);
        assert!(log.is_empty());
    });
}

// ── it can be moved ───────────────────────────────────────────────────────────────────────────

#[test]
fn timeout_reschedule_from_outside() {
    // CPython: test_reschedule.
    manual(async || {
        let (send, receive) = async_channel::bounded(1);
        let (first, second) = (now() + 10 * S, now() + 30 * S);
        let task = spawn(async move {
            watched_until(Some(first), async |deadline| {
                send.send(deadline).await.unwrap();
                sleep(50 * S).await;
            })
            .await
        });
        let deadline = receive.recv().await.unwrap();
        assert_eq!(deadline.when(), Some(first));
        settle().await;
        assert!(deadline.reschedule(second));
        assert_eq!(deadline.when(), Some(second));
        sleep(20 * S).await;
        assert!(!task.is_finished() && !deadline.expired());
        assert!(deadline.reschedule(None));
        assert_eq!(deadline.when(), None);
        sleep(20 * S).await;
        assert!(!task.is_finished() && !deadline.expired());
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!deadline.expired());
    });
}

#[test]
fn reschedule_after_end() {
    // CPython: test_timeout_finished. There it raises; here the answer is no.
    manual(async || {
        let (result, deadline) = watched(10 * MS, |_| yield_now()).await;
        assert!(result.is_ok());
        let when = deadline.when();
        assert!(!deadline.reschedule(now() + 20 * MS));
        assert!(!deadline.extend(20 * MS));
        assert_eq!(deadline.when(), when);
        sleep(S).await;
        assert!(!deadline.expired());
    });
}

#[test]
fn reschedule_after_expiry() {
    // CPython: test_timeout_expired. There it raises; here the answer is no.
    manual(async || {
        let (result, deadline) = watched(10 * MS, |_| sleep(S)).await;
        assert!(result.is_err());
        let when = deadline.when();
        assert!(!deadline.reschedule(now() + 20 * MS));
        assert!(!deadline.reschedule(None));
        assert_eq!(deadline.when(), when);
        assert!(deadline.expired());
    });
}

#[test]
fn reschedule_while_expiring() {
    // CPython: test_timeout_expiring. There it raises; here the answer is no, and the time stays up.
    manual(async || {
        let log = Log::default();
        let (result, deadline) = watched(10 * MS, async |deadline| {
            let cancelled = catch_cancel(sleep(S)).await.unwrap_err();
            assert!(deadline.expired());
            assert!(!deadline.reschedule(now() + 20 * MS));
            drop(cancelled);
            log.add("swallowed");
        })
        .await;
        assert_eq!(result, Ok(()), "there it was swallowed as well");
        assert!(deadline.expired());
        assert_eq!(log.entries(), ["swallowed"]);
        // One who waits instead is cut.
        let (result, deadline) = watched(10 * MS, async |deadline| {
            drop(catch_cancel(sleep(S)).await);
            assert!(!deadline.reschedule(None));
            sleep(S).await;
            log.add("revived");
        })
        .await;
        assert!(result.is_err() && deadline.expired());
        assert_eq!(log.entries(), ["swallowed"]);
    });
}

// ── in a foreign executor ─────────────────────────────────────────────────────────────────────

#[test]
fn foreign_executor_timeout() {
    // CPython: test_timeout_without_task. There it is refused; here it works, and a catch inside hears nothing.
    // (On the system's clock: the foreign executor blocks a thread.)
    filch::run(async {
        let job = spawn_blocking(|| {
            let log = Log::default();
            let inside = tells_cancel(600 * S, log.clone(), "cancelled");
            assert!(futures_lite::future::block_on(timeout(10 * MS, inside)).is_err());
            assert!(log.is_empty());
            let scope = CancelScope::new();
            scope.cancel();
            let inside = scope.run(catch_cancel(std::future::pending::<()>()));
            assert!(futures_lite::future::block_on(inside).is_err());
        });
        job.await.unwrap();
    });
}
