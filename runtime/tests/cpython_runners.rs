//! The scenarios of CPython's `test_runners.py`, in our words: see `CPYTHON.md`.

mod support;

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filch::{Runtime, catch_cancel, sleep, spawn, yield_now};
use support::hush_panics;
use support::manual::{Log, MS, tells_cancel};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().worker_threads(workers).build().unwrap()
}

fn panic_text(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().unwrap().to_string(),
    }
}

// ── run ───────────────────────────────────────────────────────────────────────────────────────

#[test]
fn run_returns_value() {
    // CPython: test_asyncio_run_return.
    assert_eq!(filch::run(async { yield_now().await }), ());
    assert_eq!(filch::run(async { 12 }), 12);
    // (And test_no_repr_is_call_on_the_task_result: nothing is asked of the type.)
    struct Opaque;
    let Opaque = filch::run(async { Opaque });
}

#[test]
fn run_passes_error() {
    // CPython: test_asyncio_run_raises. There it is one kind of error; here an `Err` is a value, and a panic goes on.
    hush_panics("planned");
    assert_eq!(filch::run(async { Err::<(), _>("zero") }), Err("zero"));
    let text = panic_text(|| filch::run(async { panic!("planned: spam") }));
    assert_eq!(text, "planned: spam");
}

#[test]
fn run_inside_run_panics() {
    // CPython: test_asyncio_run_from_running_loop.
    hush_panics("filch::run was called inside a runtime");
    let text = panic_text(|| filch::run(async { filch::run(async {}) }));
    assert!(text.contains("await the future"), "{text}");
}

#[test]
fn run_cancels_leftovers() {
    // CPython: test_asyncio_run_cancels_hanging_tasks.
    let log = Log::default();
    let inside = log.clone();
    let leftover = filch::run(async move {
        let (send, receive) = async_channel::bounded::<()>(1);
        let leftover = spawn(async move {
            let waits = async {
                send.send(()).await.unwrap();
                pending::<()>().await;
            };
            if let Err(cancelled) = catch_cancel(waits).await {
                sleep(5 * MS).await;
                inside.add("cleaned up");
                cancelled.resume().await;
            }
        });
        receive.recv().await.unwrap();
        Some(leftover)
    });
    assert!(leftover.unwrap().try_join().expect("it has ended").unwrap_err().is_cancelled());
    assert_eq!(log.entries(), ["cleaned up"]);
}

/// A runtime that counts the failures nobody asks for, ended as `run` does it.
fn counting() -> (Runtime, Arc<AtomicUsize>) {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let runtime = Runtime::builder()
        .worker_threads(2)
        .on_unhandled_failure(move |_| _ = count.fetch_add(1, Ordering::SeqCst))
        .build()
        .unwrap();
    (runtime, told)
}

/// Panics when it is cancelled; begun when this returns.
async fn leave_one_that_panics() {
    let (send, receive) = async_channel::bounded::<()>(1);
    drop(spawn(async move {
        let waits = async {
            send.send(()).await.unwrap();
            pending::<()>().await;
        };
        let _cancelled = catch_cancel(waits).await;
        panic!("planned: in the cleanup");
    }));
    receive.recv().await.unwrap();
}

#[test]
fn run_reports_leftover_failure() {
    // CPython: test_asyncio_run_reports_hanging_tasks_errors. (An `Err` of a leftover is a value nobody takes.)
    hush_panics("planned");
    let (runtime, told) = counting();
    let value = runtime.block_on(async {
        leave_one_that_panics().await;
        123
    });
    assert_eq!(value, 123);
    let report = runtime.shutdown(Duration::from_secs(60));
    assert_eq!((report.panicked, report.aborted), (1, 0));
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn run_leftover_failure_does_not_hide_main() {
    // CPython: test_asyncio_run_closes_gens_after_hanging_tasks_errors. (There are no generators to close.)
    hush_panics("planned");
    let text = panic_text(|| {
        filch::run(async {
            leave_one_that_panics().await;
            panic!("planned: fancy exit");
        });
    });
    assert_eq!(text, "planned: fancy exit");
}

// ── a runtime that is kept ────────────────────────────────────────────────────────────────────

#[test]
fn runtime_block_on_then_shutdown() {
    // CPython: test_run.
    for workers in [1, 4] {
        let runtime = runtime(workers);
        let handle = runtime.handle();
        assert_eq!(runtime.block_on(async { sleep(MS).await }), ());
        assert_eq!(runtime.block_on(async { "done" }), "done");
        let report = runtime.shutdown(Duration::from_secs(60));
        assert_eq!((report.cancelled, report.aborted), (0, 0));
        assert!(handle.spawn(async {}).join_timeout(None).unwrap().is_err());
    }
}

#[test]
fn block_on_ready() {
    // CPython: test_run_future.
    assert_eq!(runtime(1).block_on(std::future::ready("done")), "done");
}

#[test]
fn spawn_after_shutdown() {
    // CPython: test_explicit_close.
    let runtime = runtime(1);
    let handle = runtime.handle();
    runtime.shutdown(Duration::from_secs(60));
    let log = Log::default();
    let (entered, dropped) = (log.clone(), log.at_drop("dropped"));
    let mut late = handle.spawn(async move {
        let _dropped = dropped;
        entered.add("entered");
    });
    assert!(late.join_timeout(None).unwrap().unwrap_err().is_cancelled());
    assert_eq!(log.entries(), ["dropped"]);
}

filch::task_local! { static VALUE: u32 = 0 }

#[test]
fn block_on_locals_do_not_persist() {
    // CPython: test_run_keeps_context. There one context lasts from run to run; here each main begins afresh.
    let runtime = runtime(1);
    let get_set = |new| {
        runtime.block_on(async move {
            let before = VALUE.get();
            VALUE.set(new);
            before
        })
    };
    assert_eq!([get_set(1), get_set(2)], [Some(0), Some(0)]);
}

#[test]
fn block_on_inside_block_on() {
    // CPython: test_recursive_run. There it is refused; here it is where it would hold up others (on a worker), and
    // works on a thread of one's own.
    hush_panics("block_on was called on a worker thread");
    let runtime = Arc::new(runtime(1));
    assert_eq!(runtime.block_on(async { runtime.block_on(async { 5 }) }), 5);
    let inner = Arc::clone(&runtime);
    let refused = runtime.spawn(async move { inner.block_on(async {}) });
    assert!(runtime.block_on(refused).unwrap_err().is_panic());
}

// ── Ctrl-C ────────────────────────────────────────────────────────────────────────────────────

#[cfg(unix)]
mod interrupt {
    use super::*;
    use filch::{run_interruptible, spawn_blocking};
    use std::process::{Command, id};

    /// A real signal to this process, which is alone with its test.
    async fn interrupt_self() {
        let kill = || Command::new("kill").args(["-INT", &id().to_string()]).status();
        assert!(spawn_blocking(kill).await.unwrap().unwrap().success());
    }

    #[test]
    fn interrupt_while_yielding() {
        // CPython: test_interrupt_call_soon.
        support::alone("interrupt::interrupt_while_yielding", || {
            let log = Log::default();
            let inside = log.clone();
            let result = run_interruptible(async move {
                spawn(interrupt_self());
                let yields = async {
                    loop {
                        yield_now().await;
                    }
                };
                let Err(cancelled) = catch_cancel(yields).await;
                inside.add("caught");
                cancelled.resume().await;
            });
            assert!(result.is_err());
            assert_eq!(log.entries(), ["caught"]);
        });
    }

    #[test]
    fn interrupt_while_waiting() {
        // CPython: test_interrupt_wait.
        support::alone("interrupt::interrupt_while_waiting", || {
            let log = Log::default();
            let (inside, dropped) = (log.clone(), log.at_drop("dropped"));
            let result = run_interruptible(async move {
                spawn(interrupt_self());
                let waits = async {
                    let _dropped = dropped;
                    pending::<()>().await;
                };
                if let Err(cancelled) = catch_cancel(waits).await {
                    inside.add("caught");
                    cancelled.resume().await;
                }
            });
            assert!(result.is_err());
            assert_eq!(log.entries(), ["dropped", "caught"]);
        });
    }

    #[test]
    fn interrupt_after_cancel() {
        // CPython: test_interrupt_cancelled_task. There it ends as a plain cancel; here the error is the same for both, and
        // its reason is that of the first.
        support::alone("interrupt::interrupt_after_cancel", || {
            let log = Log::default();
            let inside = log.clone();
            let result = run_interruptible(async move {
                let main = filch::task::current().unwrap();
                spawn(async move {
                    main.cancel_with("enough");
                    interrupt_self().await;
                });
                tells_cancel(600 * Duration::from_secs(1), inside, "cancelled").await;
            });
            assert_eq!(result.unwrap_err().reason(), Some("enough"));
            assert_eq!(log.entries(), ["cancelled"]);
        });
    }
}
