//! The scenarios of CPython's `test_waitfor.py`, in our words: see `CPYTHON.md`. (Those with a shield are in
//! `cpython_tasks.rs`, where a handle is awaited plainly.)

mod support;

use std::future::pending;
use std::time::Duration;

use filch::{catch_cancel, sleep, spawn, task, wait_for, yield_now};
use support::hush_panics;
use support::manual::{
    Log, MS, S, Stopwatch, cleans_up_for, fails_in_cleanup, manual, manual_on, settle, tells_cancel,
};

/// Takes 2 s, whatever is asked of it.
async fn stubborn(log: Log) -> &'static str {
    let end = filch::time::now() + 2 * S;
    while let Err(cancelled) = catch_cancel(filch::sleep_until(end)).await {
        log.add("asked");
        cancelled.uncancel();
    }
    log.add("end");
    "stubborn"
}

#[test]
fn wait_for_cancelled_waits_for_stubborn_inner() {
    // CPython: test_asyncio_wait_for_cancelled. There the waiter's own cancel is lost; here the value comes out, and
    // the request acts where the waiter waits next.
    manual(async || {
        let log = Log::default();
        let time = Stopwatch::start();
        let ends = spawn(wait_for(4 * S, spawn(stubborn(log.clone()))));
        let inner = spawn(stubborn(log.clone()));
        let seen = log.clone();
        let waits = spawn(async move {
            let value = wait_for(4 * S, inner).await.unwrap().unwrap();
            assert_eq!(value, "stubborn");
            assert_eq!(task::current().unwrap().cancelling(), 1);
            seen.add("value");
            sleep(S).await;
            seen.add("the cancel was lost");
        });
        settle().await;
        assert!(ends.cancel() && waits.cancel());
        assert_eq!(ends.await.unwrap().unwrap().unwrap(), "stubborn");
        assert_eq!(time.ms(), 2000);
        assert!(waits.await.unwrap_err().is_cancelled());
        assert_eq!(time.ms(), 2000);
        assert_eq!((log.count("asked"), log.count("end"), log.count("value")), (2, 2, 1));
        assert_eq!(log.entries().len(), 5);
    });
}

#[test]
fn wait_for_timeout_waits_for_stubborn_inner() {
    // CPython: test_asyncio_wait_for_timeout.
    manual(async || {
        let log = Log::default();
        let time = Stopwatch::start();
        let value = wait_for(S, spawn(stubborn(log.clone()))).await;
        assert_eq!(value.unwrap().unwrap(), "stubborn");
        assert_eq!(time.ms(), 2000);
        assert_eq!(log.entries(), ["asked", "end"]);
    });
}

#[test]
fn wait_for_zero_done() {
    // CPython: test_wait_for_timeout_less_then_0_or_0_future_done.
    manual(async || {
        let inner = spawn(async { "done" });
        settle().await;
        assert!(inner.is_finished());
        assert_eq!(wait_for(Duration::ZERO, inner).await.unwrap().unwrap(), "done");
    });
}

#[test]
fn wait_for_zero_never_starts() {
    // CPython: test_wait_for_timeout_less_then_0_or_0_coroutine_do_not_started. (Certain with one worker only.)
    for workers in [1, 4] {
        manual_on(workers, async move {
            let log = Log::default();
            let inside = log.clone();
            let inner = spawn(async move {
                inside.add("started");
                sleep(S).await;
                inside.add("went on");
            });
            assert!(wait_for(Duration::ZERO, inner).await.is_err());
            assert_eq!(log.count("went on"), 0);
            assert!(workers > 1 || log.is_empty(), "it was started");
        });
    }
}

#[test]
fn wait_for_zero_running() {
    // CPython: test_wait_for_timeout_less_then_0_or_0.
    manual(async || {
        let log = Log::default();
        let dropped = log.at_drop("cleaned up");
        let inner = spawn(async move {
            let _dropped = dropped;
            sleep(10 * S).await;
            "done"
        });
        settle().await;
        let (task, time) = (inner.task(), Stopwatch::start());
        assert!(wait_for(Duration::ZERO, inner).await.is_err());
        assert!(task.is_finished());
        assert_eq!(log.entries(), ["cleaned up"]);
        assert_eq!(time.ms(), 0);
    });
}

#[test]
fn wait_for_basic() {
    // CPython: test_wait_for.
    manual(async || {
        let log = Log::default();
        let inner = spawn(tells_cancel(3600 * S, log.clone(), "cancelled"));
        let (task, time) = (inner.task(), Stopwatch::start());
        assert!(wait_for(100 * MS, inner).await.is_err());
        assert!(task.is_finished());
        assert_eq!(time.ms(), 100);
        assert_eq!(log.entries(), ["cancelled"]);
        assert_eq!(task::current().unwrap().cancelling(), 0);
        sleep(S).await;
    });
}

#[test]
fn wait_for_none() {
    // CPython: test_wait_for_blocking.
    manual(async || {
        let inner = spawn(async {
            sleep(3600 * S).await;
            "done"
        });
        assert_eq!(wait_for(None, inner).await.unwrap().unwrap(), "done");
    });
}

#[test]
fn wait_for_value_next_tick() {
    // CPython: test_wait_for_race_condition.
    manual(async || {
        let (send, receive) = async_channel::bounded(1);
        let inner = spawn(async move { receive.recv().await.unwrap() });
        let sender = spawn(async move { send.send("ok").await.unwrap() });
        assert_eq!(wait_for(200 * MS, inner).await.unwrap().unwrap(), "ok");
        sender.await.unwrap();
    });
}

#[test]
fn wait_for_inner_returns_on_cancel() {
    // CPython: test_wait_for_cancellation_race_condition.
    manual(async || {
        let inner = spawn(async {
            drop(catch_cancel(sleep(S)).await.unwrap_err());
            1
        });
        assert_eq!(wait_for(10 * MS, inner).await.unwrap().unwrap(), 1);
    });
}

#[test]
fn wait_for_swallow_gives_value() {
    // CPython: test_wait_for_cancel_suppressed.
    manual(async || {
        let inner = spawn(async {
            match catch_cancel(sleep(10 * S)).await {
                Ok(()) => 0,
                Err(cancelled) => {
                    cancelled.uncancel();
                    sleep(S).await;
                    42
                }
            }
        });
        let time = Stopwatch::start();
        assert_eq!(wait_for(100 * MS, inner).await.unwrap().unwrap(), 42);
        assert_eq!(time.ms(), 1100);
    });
}

#[test]
fn wait_for_waits_for_cleanup() {
    // CPython: test_wait_for_waits_for_task_cancellation.
    manual(async || {
        let inner = spawn(cleans_up_for(10 * S, 2 * S));
        let (task, time) = (inner.task(), Stopwatch::start());
        assert!(wait_for(S, inner).await.is_err());
        assert!(task.is_finished());
        assert_eq!(time.ms(), 3000);
    });
}

#[test]
fn wait_for_zero_waits_for_cleanup() {
    // CPython: test_wait_for_waits_for_task_cancellation_w_timeout_0.
    manual(async || {
        let inner = spawn(cleans_up_for(10 * S, 2 * S));
        settle().await;
        let (task, time) = (inner.task(), Stopwatch::start());
        assert!(wait_for(Duration::ZERO, inner).await.is_err());
        assert!(task.is_finished());
        assert_eq!(time.ms(), 2000);
    });
}

#[test]
fn wait_for_cleanup_error_comes_out() {
    // CPython: test_wait_for_reraises_exception_during_cancellation. (And a panic.)
    hush_panics("planned");
    manual(async || {
        let inner = spawn(fails_in_cleanup(200 * MS, "foo"));
        assert_eq!(wait_for(MS, inner).await.unwrap().unwrap(), Err("foo"));
        let inner = spawn(async {
            let _cancelled = catch_cancel(sleep(200 * MS)).await;
            panic!("planned: foo");
        });
        let result: Result<(), _> = wait_for(MS, inner).await.unwrap();
        assert!(result.unwrap_err().is_panic());
    });
}

#[test]
fn wait_for_none_cancelled() {
    // CPython: test_cancel_blocking_wait_for.
    cancelled_with_limit(None);
}

#[test]
fn wait_for_long_cancelled() {
    // CPython: test_cancel_wait_for.
    cancelled_with_limit(Some(60 * S));
}

fn cancelled_with_limit(limit: Option<Duration>) {
    manual(move || async move {
        let log = Log::default();
        let inner = spawn(tells_cancel(3600 * S, log.clone(), "inner cancelled"));
        let task = inner.task();
        let waiter = spawn(wait_for(limit, inner));
        settle().await;
        let time = Stopwatch::start();
        assert!(waiter.cancel_with("from outside"));
        let error = waiter.await.unwrap_err();
        assert!(error.is_cancelled() && task.is_finished());
        assert_eq!(error.reason(), Some("from outside"));
        assert_eq!(time.ms(), 0);
        assert_eq!(log.entries(), ["inner cancelled"]);
        // Before either of them runs.
        let inner = spawn(pending::<()>());
        let task = inner.task();
        let waiter = spawn(wait_for(limit, inner));
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert!(task.is_finished(), "it was dropped with the waiter, who answers for it");
    });
}

#[test]
fn wait_for_inner_done_as_waiter_is_cancelled() {
    // CPython: test_wait_for_issue86296.
    manual_on(1, async {
        let log = Log::default();
        let inner = spawn(async { "done" });
        let task = inner.task();
        let ended = log.clone();
        task.on_done(move |_| ended.add("inner end"));
        let behind = log.clone();
        let waiter = spawn(async move {
            let result = wait_for(100 * S, inner).await;
            assert_eq!(result.unwrap().unwrap(), "done");
            sleep(S).await;
            behind.add("behind");
        });
        while !task.is_finished() {
            yield_now().await;
        }
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        settle().await;
        assert_eq!(log.entries(), ["inner end"]);
    });
    // A value that comes in the very instant of the cancel, after it.
    manual(async || {
        let log = Log::default();
        let (send, receive) = async_channel::bounded(1);
        let inner = spawn(async move {
            let cancelled = catch_cancel(pending::<()>()).await;
            send.send("done").await.unwrap();
            drop(cancelled);
        });
        let behind = log.clone();
        let waiter = spawn(async move {
            let _ = wait_for(100 * S, inner).await;
            behind.add("value");
            sleep(S).await;
            behind.add("the cancel was lost");
        });
        settle().await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(receive.recv().await.unwrap(), "done");
        assert_eq!(log.count("the cancel was lost"), 0);
    });
}
