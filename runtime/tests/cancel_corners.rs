//! Corners of cancellation: what is taken back, moved, leaked, or polled by nobody.

#![allow(
    clippy::async_yields_async,
    clippy::unit_arg,
    clippy::semicolon_if_nothing_returned,
    reason = "futures are handed about half polled"
)]

mod support {
    pub(crate) mod woken;
}

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use filch::{
    CancelScope, Cancelled, JoinError, JoinHandle, catch_cancel, sleep, task, task_group, yield_now,
};
use support::woken::{Boxed, all};

const MS: Duration = Duration::from_millis(1);

/// On one worker, whom nobody helps out, and on a clock that stands while it polls, however busy the machine is; with a
/// limit in real time.
fn within<T: Send + 'static>(main: impl Future<Output = T> + Send + 'static) -> T {
    let (ends, end) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let _ends = ends;
        let builder = filch::Runtime::builder().worker_threads(1).manual_clock(true);
        let runtime = builder.build().unwrap();
        runtime.block_on(runtime.spawn(main)).unwrap()
    });
    assert_eq!(
        end.recv_timeout(Duration::from_secs(60)),
        Err(mpsc::RecvTimeoutError::Disconnected),
        "it hangs"
    );
    thread.join().unwrap()
}

/// Lets a task run until it waits.
async fn settle(task: &task::Task) {
    for _ in 0..20 {
        yield_now().await;
    }
    assert!(!task.is_finished());
}

async fn cancelled<T: std::fmt::Debug>(handle: JoinHandle<T>) -> JoinError {
    let error = handle.await.unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    error
}

async fn caught() -> Cancelled {
    catch_cancel(pending::<()>()).await.unwrap_err()
}

// ── taken back by somebody else ───────────────────────────────────────────────────────────────

#[test]
fn resume_ends_the_task_even_if_another_branch_takes_the_request_back() {
    within(async {
        let resumes: Boxed<()> = Box::pin(async { caught().await.resume().await });
        let takes_back: Boxed<()> = Box::pin(async {
            let token = caught().await;
            sleep(5 * MS).await;
            assert_eq!(token.uncancel(), 0);
        });
        let task = filch::spawn(all(vec![resumes, takes_back]));
        settle(&task.task()).await;
        task.task().cancel_with("first");
        assert_eq!(cancelled(task).await.reason(), Some("first"));
    });
}

#[test]
fn a_group_goes_on_if_another_branch_takes_the_request_back() {
    let outputs = within(async {
        let group: Boxed<bool> = Box::pin(async {
            let result = task_group(async |group| -> Result<(), ()> {
                group.spawn(pending::<Result<(), ()>>());
                pending().await
            });
            result.await.unwrap_err().is_cancelled()
        });
        let takes_back: Boxed<bool> = Box::pin(async {
            let token = caught().await;
            sleep(5 * MS).await;
            token.uncancel() == 0
        });
        let task = filch::spawn(all(vec![group, takes_back]));
        settle(&task.task()).await;
        task.task().cancel();
        task.await.unwrap()
    });
    assert_eq!(outputs, [true, true]);
}

#[test]
fn a_token_takes_back_no_later_request() {
    within(async {
        let quick: Boxed<()> = Box::pin(async { assert_eq!(caught().await.uncancel(), 0) });
        let slow: Boxed<()> = Box::pin(async {
            let token = caught().await;
            sleep(10 * MS).await;
            assert_eq!(token.uncancel(), 1, "the second request stands");
            pending().await
        });
        let task = filch::spawn(all(vec![slow, quick]));
        settle(&task.task()).await;
        task.task().cancel_with("first");
        settle(&task.task()).await;
        task.task().cancel_with("second");
        assert_eq!(cancelled(task).await.reason(), Some("second"));
    });
}

#[test]
fn what_has_fired_keeps_its_reason() {
    within(async {
        let task = filch::spawn(pending::<()>());
        settle(&task.task()).await;
        task.task().abort();
        task.task().uncancel();
        let error = cancelled(task).await;
        assert!(error.place().is_some() && !error.to_string().contains("shut down"), "{error}");
    });
}

// ── passed on in a cleanup ────────────────────────────────────────────────────────────────────

#[test]
fn what_is_passed_on_in_a_cleanup_does_not_reach_the_group_there() {
    within(async {
        let clean = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&clean);
        let task = filch::spawn(async move {
            let cut = filch::timeout(MS, async {
                let token = caught().await;
                task_group(async |_group: filch::TaskGroup<_>| {
                    drop(catch_cancel(sleep(10 * MS)).await);
                    sleep(10 * MS).await;
                })
                .await;
                done.store(true, Ordering::Relaxed);
                drop(token);
                pending::<()>().await;
            });
            let _ = cut.await;
        });
        for _ in 0..3 {
            sleep(5 * MS).await;
            task.task().cancel();
        }
        cancelled(task).await;
        assert!(clean.load(Ordering::Relaxed), "a dropped token does not give the cleanup up");
    });
}

// ── polled by nobody ──────────────────────────────────────────────────────────────────────────

#[test]
fn a_timeout_that_is_up_and_not_polled_holds_up_no_cancel() {
    within(async {
        let task = filch::spawn(async {
            let passed = AtomicBool::new(false);
            let mut lost = pin!(filch::timeout(5 * MS, async {
                loop {
                    drop(caught().await);
                    passed.store(true, Ordering::Relaxed);
                }
            }));
            // It is polled until its catch has passed the request on, and has begun anew.
            poll_fn(|cx| {
                assert!(lost.as_mut().poll(cx).is_pending());
                if passed.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            pending::<()>().await
        });
        sleep(30 * MS).await;
        task.task().cancel();
        cancelled(task).await;
    });
}

// ── moved ─────────────────────────────────────────────────────────────────────────────────────

/// Polls a future for a while in a task of its own, then gives it back.
async fn polled_elsewhere<F>(future: F, during: impl FnOnce()) -> Pin<Box<F>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut future = Box::pin(future);
    let polled = filch::spawn(async move {
        poll_fn(|cx| Poll::Ready(assert!(future.as_mut().poll(cx).is_pending()))).await;
        future
    });
    let future = polled.await.unwrap();
    during();
    future
}

#[test]
fn requests_to_what_was_moved_to_another_task_are_not_lost() {
    within(async {
        let scope = CancelScope::new();
        let inside = polled_elsewhere(scope.run(pending::<()>()), || scope.cancel()).await;
        assert!(inside.await.is_err());

        let keep = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&keep);
        let group = task_group(async move |group| {
            *kept.lock().unwrap() = Some(group);
            pending::<()>().await;
        });
        let group = polled_elsewhere(group, || keep.lock().unwrap().take().unwrap().cancel()).await;
        group.await;
    });
}

/// The request has reached the region where it was polled first, and a catch there; then it is moved.
#[test]
fn requests_that_arrived_before_the_move_are_not_lost() {
    within(async {
        let scope = CancelScope::new();
        let cancel = scope.clone();
        let mut inside = Box::pin(scope.run(async { drop(caught().await) }));
        let polled = filch::spawn(async move {
            poll_fn(|cx| Poll::Ready(assert!(inside.as_mut().poll(cx).is_pending()))).await;
            cancel.cancel();
            poll_fn(|cx| Poll::Ready(assert!(inside.as_mut().poll(cx).is_pending()))).await;
            inside
        });
        assert!(polled.await.unwrap().await.is_err());
    });
}

// ── at the next suspension ────────────────────────────────────────────────────────────────────

/// As a task that cancels itself: where it waits next it is dropped, even if it would wait for nothing.
#[test]
fn a_body_that_cancels_its_group_is_cut_where_it_waits_next() {
    within(async {
        let passed = Arc::new(AtomicBool::new(false));
        let inside = Arc::clone(&passed);
        task_group(async move |group| {
            group.cancel();
            yield_now().await;
            inside.store(true, Ordering::Relaxed);
        })
        .await;
        assert!(!passed.load(Ordering::Relaxed));
    });
}

/// The task is cancelled while the cleanup of a timeout runs, in which nobody hears of that yet.
#[test]
fn a_catch_that_begins_later_in_a_cleanup_hears_what_still_waits() {
    let heard = within(async {
        let (begun, begins) = async_channel::bounded::<()>(1);
        let (heard, hears) = async_channel::bounded::<()>(1);
        let task = filch::spawn(async move {
            let work = async {
                let token = caught().await;
                begun.send(()).await.unwrap();
                yield_now().await;
                while task::current().unwrap().cancelling() == 0 {
                    yield_now().await;
                }
                yield_now().await; // what can be delivered is
                drop(caught().await);
                heard.send(()).await.unwrap();
                drop(token);
            };
            let _ = filch::timeout(MS, work).await;
        });
        begins.recv().await.unwrap();
        task.cancel();
        let _ = task.await;
        hears.recv().await.is_ok()
    });
    assert!(heard);
}

// ── too late ──────────────────────────────────────────────────────────────────────────────────

/// An error that nobody will look at is dropped, even one that holds its own group.
#[test]
fn a_member_that_fails_after_its_group_was_dropped_leaves_nothing_behind() {
    type Late = (Arc<()>, Option<filch::TaskGroup<LateError>>);
    struct LateError(#[allow(dead_code, reason = "it is only kept")] Late);
    within(async {
        let witness = Arc::new(());
        let inside = Arc::clone(&witness);
        let owner = filch::spawn(async move {
            let mut group = Box::pin(task_group(async move |group| -> Result<(), LateError> {
                let keep = group.clone();
                group.spawn(async move {
                    assert_eq!(caught().await.uncancel(), 0);
                    Err::<(), _>(LateError((inside, Some(keep))))
                });
                pending().await
            }));
            poll_fn(|cx| Poll::Ready(assert!(group.as_mut().poll(cx).is_pending()))).await;
            yield_now().await; // the member has begun
        });
        owner.await.unwrap();
        assert_eq!(Arc::strong_count(&witness), 1);
    });
}

#[test]
fn a_resume_that_outlives_its_timeout_ends_the_task() {
    within(async {
        let task = filch::spawn(async {
            let mut resume: Option<Boxed<()>> = None;
            let out = filch::timeout(MS, async {
                let token = caught().await;
                let mut future: Boxed<()> = Box::pin(async { token.resume().await });
                poll_fn(|cx| Poll::Ready(assert!(future.as_mut().poll(cx).is_pending()))).await;
                resume = Some(future);
                pending::<()>().await
            });
            assert!(out.await.is_err());
            // The timeout's number may stand for this now.
            catch_cancel(async {
                resume.unwrap().await;
            })
            .await
            .map(|()| "resume never returns")
        });
        cancelled(task).await;
    });
}
