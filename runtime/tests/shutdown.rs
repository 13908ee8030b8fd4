//! Rule 17: a runtime that shuts down asks all tasks to end, lets them clean up, and names who does not.

#![allow(missing_docs)]

mod support;

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use filch::{Runtime, catch_cancel, sleep, spawn, task};
use support::ends_in_time;

const HOUR: Duration = Duration::from_secs(3600);
const GRACE: Duration = Duration::from_secs(20);

/// With one worker and with four, on a clock that moves by itself.
fn on_each(test: impl Fn(Runtime)) {
    for workers in [1, 4] {
        for manual in [true, false] {
            let builder = Runtime::builder().worker_threads(workers).manual_clock(manual);
            test(builder.build().unwrap());
        }
    }
}

/// Until all of them have been polled and wait.
async fn all_wait(count: usize) {
    while filch::Handle::current().tasks().iter().filter(|t| t.waits_at.is_some()).count() < count {
        filch::yield_now().await;
    }
}

#[test]
fn rule_17_cleanups_run_during_the_grace() {
    let _ends = ends_in_time();
    on_each(|runtime| {
        let done = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            for _ in 0..10 {
                let done = Arc::clone(&done);
                spawn(async move {
                    let cancelled = catch_cancel(sleep(HOUR)).await.unwrap_err();
                    assert_eq!(cancelled.reason(), Some("the runtime was shut down"));
                    sleep(Duration::from_millis(10)).await;
                    done.fetch_add(1, Ordering::Relaxed);
                    cancelled.resume().await;
                });
            }
            all_wait(10).await;
        });
        let report = runtime.shutdown(GRACE);
        assert_eq!(done.load(Ordering::Relaxed), 10);
        assert_eq!((report.cancelled, report.aborted, report.finished), (10, 0, 0), "{report:?}");
    });
}

#[test]
fn rule_17_a_cleanup_may_start_tasks_and_jobs_and_those_are_asked_when_they_wait() {
    let _ends = ends_in_time();
    on_each(|runtime| {
        let done = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            let done = Arc::clone(&done);
            spawn(async move {
                let cancelled = catch_cancel(sleep(HOUR)).await;
                let sum = spawn(async { 1 + 1 });
                assert_eq!(sum.await.unwrap(), 2);
                assert_eq!(filch::spawn_blocking(|| 3).await.unwrap(), 3);
                let waits = spawn(sleep(HOUR));
                assert!(waits.await.unwrap_err().is_cancelled());
                done.fetch_add(1, Ordering::Relaxed);
                cancelled
            });
            all_wait(1).await;
        });
        let report = runtime.shutdown(GRACE);
        assert_eq!(done.load(Ordering::Relaxed), 1, "{report:?}");
        assert_eq!((report.cancelled, report.finished, report.aborted), (2, 1, 0), "{report:?}");
    });
}

#[test]
fn a_drop_at_shutdown_wakes_a_task_that_cleans_up() {
    let _ends = ends_in_time();
    /// Where the cleanup waits, and whether it may go on.
    #[derive(Default)]
    struct Gate(Mutex<(bool, Option<Waker>)>);
    struct OpensWhenDropped(Arc<Gate>);
    impl Drop for OpensWhenDropped {
        fn drop(&mut self) {
            let (is_open, waker) = &mut *self.0.0.lock().unwrap();
            *is_open = true;
            waker.take().expect("the cleanup waits").wake();
        }
    }
    on_each(|runtime| {
        let gate = Arc::new(Gate::default());
        runtime.block_on(async {
            let waits = Arc::clone(&gate);
            spawn(async move {
                let cancelled = catch_cancel(sleep(HOUR)).await.unwrap_err();
                poll_fn(|cx| {
                    let (is_open, waker) = &mut *waits.0.lock().unwrap();
                    *waker = Some(cx.waker().clone());
                    if *is_open { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                cancelled.resume().await;
            });
            let opens = OpensWhenDropped(Arc::clone(&gate));
            spawn(async move {
                let opens = opens;
                let cancelled = catch_cancel(sleep(HOUR)).await.unwrap_err();
                while opens.0.0.lock().unwrap().1.is_none() {
                    filch::yield_now().await;
                }
                cancelled.resume().await;
            });
            all_wait(2).await;
        });
        let report = runtime.shutdown(GRACE);
        assert_eq!((report.cancelled, report.aborted, report.finished), (2, 0, 0), "{report:?}");
    });
}

#[test]
fn rule_17_what_was_not_started_never_starts() {
    let _ends = ends_in_time();
    // (A spare worker would start them while the only one is busy.)
    let runtime = Runtime::builder().worker_threads(1).spare_workers(0).build().unwrap();
    let (busy, started) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    runtime.spawn(async move {
        busy.send(()).unwrap();
        wait.recv().unwrap();
    });
    started.recv().unwrap();
    let handles: Vec<_> = (0..100).map(|_| runtime.spawn(async { unreachable!() })).collect();
    let handle = runtime.handle();
    let ender = std::thread::spawn(move || runtime.shutdown(GRACE));
    // From outside nothing can be started any more: that is how the beginning shows.
    while handle.spawn(async {}).join_timeout(Duration::ZERO).is_none_or(|r| r.is_ok()) {
        std::thread::yield_now();
    }
    go.send(()).unwrap();
    let report = ender.join().unwrap();
    for mut handle in handles {
        assert!(handle.try_join().unwrap().unwrap_err().is_cancelled());
    }
    assert_eq!(report.panicked, 0);
    assert!(report.cancelled >= 100, "{report:?}");
}

#[test]
fn rule_17_who_takes_the_request_back_may_finish() {
    let _ends = ends_in_time();
    on_each(|runtime| {
        let handle = runtime.block_on(async {
            let handle = spawn(async {
                catch_cancel(sleep(HOUR)).await.unwrap_err().uncancel();
                sleep(Duration::from_millis(5)).await;
                "finished"
            });
            all_wait(1).await;
            [handle]
        });
        let report = runtime.shutdown(GRACE);
        assert_eq!((report.finished, report.cancelled), (1, 0), "{report:?}");
        let [mut handle] = handle;
        assert_eq!(handle.try_join().unwrap().unwrap(), "finished");
    });
}

#[test]
fn rule_17_an_endless_cleanup_is_aborted_and_named() {
    let _ends = ends_in_time();
    for workers in [1, 4] {
        let runtime = Runtime::builder().worker_threads(workers).build().unwrap();
        runtime.block_on(async {
            task::Builder::new().name("endless").spawn(async {
                let _cancelled = catch_cancel(sleep(HOUR)).await;
                loop {
                    sleep(Duration::from_millis(1)).await;
                }
            });
            all_wait(1).await;
        });
        let start = Instant::now();
        let report = runtime.shutdown(Duration::from_millis(30));
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert_eq!((report.cancelled, report.aborted), (0, 1), "{report:?}");
        assert_eq!(report.aborted_tasks[0].name.as_deref(), Some("endless"));
        assert!(report.aborted_tasks[0].held_by.unwrap().file().ends_with("shutdown.rs"));
    }
}

#[test]
fn rule_17_a_poll_that_does_not_return_is_stuck() {
    let _ends = ends_in_time();
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let (busy, started) = std::sync::mpsc::channel();
    let (_go, wait) = std::sync::mpsc::channel::<()>();
    runtime.spawn(async move {
        busy.send(()).unwrap();
        let _ = wait.recv();
    });
    started.recv().unwrap();
    let report = runtime.shutdown(Duration::from_millis(10));
    assert_eq!(report.stuck.len(), 1, "{report:?}");
    assert!(report.stuck[0].spawned_at.file().ends_with("shutdown.rs"));
}

#[test]
fn rule_17_a_running_job_is_told() {
    let _ends = ends_in_time();
    on_each(|runtime| {
        let (busy, started) = std::sync::mpsc::channel();
        let mut job = runtime.spawn_blocking(move || {
            busy.send(()).unwrap();
            while !filch::blocking::cancel_requested() {
                std::thread::yield_now();
            }
            5
        });
        started.recv().unwrap();
        let report = runtime.shutdown(GRACE);
        assert_eq!(report.stuck_jobs, 0);
        assert_eq!(job.try_join().unwrap().unwrap(), 5);
    });
}

#[test]
fn rule_17_a_panic_in_a_cleanup_is_counted() {
    let _ends = ends_in_time();
    on_each(|runtime| {
        std::panic::set_hook(Box::new(|_| ()));
        let handle = runtime.block_on(async {
            let handle = spawn(async {
                let _cancelled = catch_cancel(sleep(HOUR)).await;
                panic!("in the cleanup");
            });
            all_wait(1).await;
            [handle]
        });
        let report = runtime.shutdown(GRACE);
        assert_eq!((report.panicked, report.cancelled), (1, 0), "{report:?}");
        let [mut handle] = handle;
        assert!(handle.try_join().unwrap().unwrap_err().is_panic());
    });
}

/// Starts a task whose cleanup takes time, and is counted at its end.
async fn leave_one_that_cleans_up(done: Arc<AtomicUsize>) {
    spawn(async move {
        let cancelled = catch_cancel(sleep(HOUR)).await;
        sleep(Duration::from_millis(5)).await;
        done.fetch_add(1, Ordering::Relaxed);
        cancelled
    });
    all_wait(1).await;
}

#[test]
fn row_02_run_waits_for_the_cleanup_of_what_is_left() {
    let _ends = ends_in_time();
    let done = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&done);
    filch::run(leave_one_that_cleans_up(inside));
    assert_eq!(done.load(Ordering::Relaxed), 1);
}

#[test]
fn row_02_run_waits_for_cleanups_when_main_panics() {
    let _ends = ends_in_time();
    let done = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&done);
    let result = std::panic::catch_unwind(move || {
        filch::run(async move {
            leave_one_that_cleans_up(inside).await;
            std::panic::panic_any(7_i32);
        });
    });
    assert_eq!(result.unwrap_err().downcast_ref::<i32>(), Some(&7));
    assert_eq!(done.load(Ordering::Relaxed), 1);
}

#[test]
fn row_02_a_cancelled_main_has_no_value() {
    let _ends = ends_in_time();
    let result = std::panic::catch_unwind(|| {
        filch::run(async {
            task::current().unwrap().cancel_with("enough");
            sleep(HOUR).await;
        });
    });
    let text = result.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("run_interruptible") && text.contains("enough"), "{text}");
}

#[test]
fn a_churn_of_runtimes_that_drain_while_everything_spawns() {
    let _ends = ends_in_time();
    for round in 0..200 {
        let runtime = Runtime::builder().worker_threads(1 + round % 3).build().unwrap();
        let handle = runtime.handle();
        let outside = std::thread::spawn(move || {
            let spawn = |_| handle.spawn(async { drop(spawn(async { filch::yield_now().await })) });
            (0..200).map(spawn).for_each(drop);
        });
        runtime.spawn(async {
            loop {
                spawn(async { spawn(sleep(HOUR)).await });
                filch::yield_now().await;
            }
        });
        let report = runtime.shutdown(GRACE);
        outside.join().unwrap();
        assert_eq!(report.aborted, 0, "{report:?}");
    }
}
