//! What a second reader suspected: each test failed once.

#![allow(clippy::async_yields_async, reason = "futures are handed about half polled")]

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use filch::{
    CancelScope, Runtime, catch_cancel, gather, sleep, spawn_blocking, task, task_group, timeout,
    yield_now,
};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);

/// On one worker, whom nobody helps out, and on a clock that stands while it polls, however busy the machine is; with a
/// limit in real time.
fn within<T: Send + 'static>(main: impl Future<Output = T> + Send + 'static) -> T {
    let (ends, end) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let _ends = ends;
        let builder = Runtime::builder().worker_threads(1).manual_clock(true);
        let runtime = builder.build().unwrap();
        runtime.block_on(runtime.spawn(main)).unwrap()
    });
    assert_eq!(end.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected), "it hangs");
    thread.join().unwrap()
}

/// Lets a task run until it waits.
async fn settle(task: &task::Task) {
    for _ in 0..20 {
        yield_now().await;
    }
    assert!(!task.is_finished());
}

#[test]
fn uncancel_of_a_task_that_nobody_cancelled_does_nothing() {
    within(async {
        let (go_on, may_go_on) = async_channel::bounded::<()>(1);
        let handle = filch::spawn(async move {
            may_go_on.recv().await.unwrap();
            sleep(MS).await;
            5
        });
        settle(&handle.task()).await;
        assert_eq!(handle.task().uncancel(), 0);
        go_on.send(()).await.unwrap();
        assert_eq!(handle.await.unwrap(), 5);
    });
}

async fn once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}

#[test]
fn a_timeout_that_moves_to_another_task_still_has_a_limit() {
    within(async {
        let mut limited = Box::pin(timeout(30 * MS, async {
            let mut first = true;
            let _ = catch_cancel(poll_fn(move |_| {
                if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
            }))
            .await;
            pending::<()>().await;
        }));
        let moved = filch::spawn(async move {
            assert!(!once(&mut limited).await);
            limited
        });
        let limited = moved.await.unwrap();
        assert!(limited.await.is_err());
    });
}

/// Polls a future in a task that is cancelled then, and gives it back when it has heard of that.
async fn caught_elsewhere<F>(future: F) -> Pin<Box<F>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (give, take) = mpsc::channel();
    let mut future = Box::pin(future);
    let first = filch::spawn(async move {
        assert!(!once(&mut future).await);
        task::current().unwrap().cancel();
        yield_now().await;
        assert!(!once(&mut future).await);
        give.send(future).unwrap();
        pending::<()>().await;
    });
    // The token in the future holds it up.
    let future = loop {
        match take.try_recv() {
            Ok(future) => break future,
            Err(_) => yield_now().await,
        }
    };
    assert!(!first.is_finished());
    filch::spawn(async move { assert!(first.await.unwrap_err().is_cancelled()) });
    future
}

#[test]
fn what_was_cancelled_may_move_to_another_task() {
    within(async {
        let group = caught_elsewhere(task_group(async |group| {
            group.spawn(sleep_a_little());
            pending::<()>().await;
        }));
        group.await.await;
        let linked = caught_elsewhere(filch::spawn(sleep_a_little()).linked());
        assert!(linked.await.await.unwrap_err().is_cancelled());
        let gather = caught_elsewhere(gather([sleep_a_little(), sleep_a_little()]));
        assert!(gather.await.await.is_err());
    });
}

async fn sleep_a_little() {
    let cancelled = catch_cancel(pending::<()>()).await;
    sleep(5 * MS).await;
    drop(cancelled);
    yield_now().await;
}

#[test]
fn a_runtime_ends_though_a_task_waits_for_a_blocking_job() {
    let (done, wait) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let runtime = Runtime::builder().worker_threads(1).build().unwrap();
        let (begun, begins) = mpsc::channel();
        let task = runtime.spawn(async move {
            let job = spawn_blocking(move || {
                begun.send(()).unwrap();
                let _ = released.recv();
            });
            let mut linked = Box::pin(job.linked());
            once(&mut linked).await;
            pending::<()>().await;
        });
        begins.recv().unwrap();
        task.abort();
        std::thread::sleep(50 * MS);
        assert!(!task.is_finished());
        drop(runtime);
        assert!(task.is_finished());
        done.send(()).unwrap();
    });
    let ended = wait.recv_timeout(LONG / 2);
    release.send(()).unwrap();
    ended.expect("it hangs");
}

/// Takes a while to be dropped.
struct Slow(Duration);
impl Drop for Slow {
    fn drop(&mut self) {
        std::thread::sleep(self.0);
    }
}

#[test]
fn a_shutdown_does_not_wait_for_its_grace_when_an_eager_task_ends_last() {
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let (begun, begins) = mpsc::channel();
    let _cleanup = runtime.spawn(async move {
        begun.send(()).unwrap();
        let cancelled = catch_cancel(pending::<()>()).await;
        drop(spawn_blocking(|| {
            let slow = Slow(300 * MS);
            drop(task::Builder::new().eager().spawn(async move {
                pending::<()>().await;
                drop(slow);
            }));
        }));
        sleep(100 * MS).await;
        cancelled
    });
    begins.recv().unwrap();
    let start = std::time::Instant::now();
    let report = runtime.shutdown(LONG);
    assert!(start.elapsed() < LONG / 2, "{report:?}");
}

#[test]
fn on_done_in_a_cleanup_is_called() {
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let called = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&called);
    let ended = runtime.spawn(async {});
    while !ended.is_finished() {
        std::thread::yield_now();
    }
    let task = runtime.spawn(async move {
        let cancelled = catch_cancel(pending::<()>()).await;
        ended.task().on_done(move |_| seen.store(true, Ordering::Relaxed));
        sleep(10 * MS).await;
        cancelled
    });
    while task.task().waits_at().is_none()
        && !runtime.handle().tasks().iter().any(|t| t.id == task.id())
    {
        std::thread::yield_now();
    }
    let report = runtime.shutdown(LONG);
    assert!(called.load(Ordering::Relaxed), "{report:?}");
}

#[test]
fn on_done_after_the_runtime_is_called() {
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let ended = runtime.spawn(async {});
    while !ended.is_finished() {
        std::thread::yield_now();
    }
    drop(runtime);
    std::thread::sleep(20 * MS);
    let (done, wait) = mpsc::channel();
    ended.task().on_done(move |_| done.send(()).unwrap());
    wait.recv_timeout(LONG / 2).expect("it was called");
}

/// A waker whose wake panics.
struct Broken;
impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("planned"));
    }
}

#[test]
fn a_scope_wakes_all_though_a_waker_panics() {
    within(async {
        let scope = CancelScope::new();
        let mut one = Box::pin(scope.run(pending::<()>()));
        let broken = Waker::from(Arc::new(Broken));
        assert!(one.as_mut().poll(&mut Context::from_waker(&broken)).is_pending());
        let inside = scope.clone();
        let task = filch::spawn(async move { inside.run(pending::<()>()).await.is_err() });
        settle(&task.task()).await;
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scope.cancel()));
        assert!(task.await.unwrap());
    });
}

#[test]
fn a_task_that_answers_for_itself_can_be_aborted() {
    within(async {
        let (give, take) = mpsc::channel::<filch::JoinHandle<()>>();
        let task = filch::spawn(async move {
            let own = loop {
                match take.try_recv() {
                    Ok(own) => break own,
                    Err(_) => yield_now().await,
                }
            };
            drop(own.linked());
            filch::shield(pending::<()>()).await;
        });
        let own = task.task();
        give.send(task).unwrap();
        settle(&own).await;
        assert!(own.abort());
        while !own.is_finished() {
            yield_now().await;
        }
    });
}
